"""Rows of groups that are set aside whole: no split has a row of them, whatever the source."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from datamodules import Digits, ImageArrays, ImageFolder, InputError, SeriesArrays, SeriesFile, TextFile
from datamodules.splits import whole_groups

SITES = 8


def table(rows: int = 160) -> pd.DataFrame:
    """A row a series of two classes; the first value is the number of its site."""
    rng = np.random.default_rng(0)
    site = np.arange(rows) % SITES
    return pd.DataFrame(
        {"site": [f"s{k}" for k in site], "t0": site, "t1": rng.random(rows), "t2": rng.random(rows), "label": site % 2}
    )


def text_file(tmp_path, suffix: str) -> TextFile:
    path = tmp_path / f"notes{suffix}"
    rows = [{"text": f"{k % SITES} saw {k}", "label": k % 3, "site": k % SITES} for k in range(160)]
    if suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    else:
        pd.DataFrame(rows).to_csv(path, index=False)
    return TextFile(path, group="site", tokenizer="char")


def series_file(tmp_path) -> SeriesFile:
    table().to_csv(tmp_path / "wide.csv", index=False)
    return SeriesFile(tmp_path / "wide.csv", form="wide", group="site")


def arrays(tmp_path, kind: type) -> ImageArrays | SeriesArrays:
    site = np.arange(160) % SITES
    x = np.broadcast_to(site[:, None, None], (160, 8, 8)) * 10
    x = x.astype(np.uint8) if kind is ImageArrays else x[:, :, :1].astype(float)
    options = {} if kind is ImageArrays else {"layout": "NTF"}
    np.savez(tmp_path / "rows.npz", x=x, y=np.arange(160) % 2, site=site)
    return kind(tmp_path / "rows.npz", group="site", **options)


def pictures(tmp_path, column: str = "site") -> ImageFolder:
    """The rows of metadata.csv are in another order than the files."""
    rows = []
    for k in range(160):
        file = tmp_path / "photos" / "ab"[k % 2] / f"{k:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), k % SITES * 10).save(file)
        rows.append({"file_name": f"{'ab'[k % 2]}/{k:03}.png", "site": f"s{k % SITES}"})
    pd.DataFrame(rows).sample(frac=1, random_state=0).to_csv(tmp_path / "photos" / "metadata.csv", index=False)
    return ImageFolder(tmp_path / "photos", group=column)


SOURCES = {
    "folder": pictures,
    "jsonl": lambda path: text_file(path, ".jsonl"),
    "csv": lambda path: text_file(path, ".csv"),
    "series": series_file,
    "images": lambda path: arrays(path, ImageArrays),
    "series arrays": lambda path: arrays(path, SeriesArrays),
}


def sites_of(data, table) -> set:
    """The sites that rows of a table are from, by what is written in them."""
    stored = data.schema.stored(next(iter(table.batches(10_000))))
    if data.schema.kind == "text":
        return {data.schema.vocabulary[word] for word in stored["x"][:, 0]}
    return set(np.round(stored["x"].flatten(1)[:, 0].double().numpy(), 3).tolist())


@pytest.mark.parametrize("source", SOURCES)
def test_groups_are_held_out_whole(tmp_path, source):
    data = SOURCES[source](tmp_path)
    data.setup()
    away = sites_of(data, data.elsewhere)
    assert len(away) == 2  # a fifth of 8, rounded up
    assert len(data.elsewhere) == 160 * 2 // SITES
    rest = [sites_of(data, part) for part in (data.train, data.val, data.test)]
    assert not any(away & sites for sites in rest)
    assert len(data.train) + len(data.val) + len(data.test) + len(data.elsewhere) == 160
    others = [data.again(seed=seed) for seed in range(1, 6)]
    for other in others:
        other.setup()
    assert any(sites_of(other, other.elsewhere) != away for other in others)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (None, "no file .*metadata.csv: write one with the columns file_name, such as a/000.png, and site"),
        (["file_name,place", "a/000.png,s0"], "no column site: the columns are file_name, place"),
        (["name,site", "a/000.png,s0"], "no column file_name"),
        (["file_name,site", "a/000.png,s0", "./a/000.png,s1"], "metadata.csv:3, column file_name: a/000.png is there"),
        (["file_name,site", "a/000.png,s0"], "no row of 159 of 160 pictures, the first a/002.png"),
    ],
)
def test_metadata_that_names_no_groups_are_refused(tmp_path, rows, message):
    data = pictures(tmp_path)
    (tmp_path / "photos" / "metadata.csv").unlink()
    if rows is not None:
        (tmp_path / "photos" / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        data.setup()


def test_pictures_that_are_skipped_have_no_group(tmp_path):
    pictures(tmp_path)
    (tmp_path / "photos" / "a" / "000.png").write_bytes(b"broken")
    data = ImageFolder(tmp_path / "photos", group="site", on_error="skip")
    data.setup()
    assert len(data.groups()) == 159
    assert not sites_of(data, data.elsewhere) & sites_of(data, data.train)


def test_a_group_is_no_measurement(tmp_path):
    table().assign(site=lambda rows: rows["t0"] + 100).to_csv(tmp_path / "long.csv", index=False)
    data = SeriesFile(tmp_path / "long.csv", group="site", window=1)
    assert data.schema.columns == ("t0", "t1", "t2")


def test_the_series_themselves_may_be_groups(tmp_path):
    frame = pd.DataFrame({"patient": np.repeat(np.arange(10), 12), "heat": np.random.default_rng(0).random(120)})
    frame.to_csv(tmp_path / "long.csv", index=False)
    data = SeriesFile(tmp_path / "long.csv", id_column="patient", group="patient", window=4, stride=4)
    data.setup()
    assert len(data.elsewhere) == 2 * 3


def test_windows_of_one_group_alone_are_kept(tmp_path):
    frame = pd.DataFrame({"heat": np.random.default_rng(0).random(100), "year": np.arange(100) // 10})
    frame.to_csv(tmp_path / "one.csv", index=False)
    data = SeriesFile(tmp_path / "one.csv", window=4, group="year")
    assert len(data.groups()) == 10 * 7
    with pytest.raises(InputError, match="the group changes within the series"):
        SeriesFile(tmp_path / "one.csv", window=20, group="year")


def test_a_source_with_a_test_split_of_its_own_keeps_it(tmp_path):
    site, x = np.arange(80) % SITES, np.zeros((80, 8, 8), dtype=np.uint8)
    x[:, 0, 0] = site
    np.savez(tmp_path / "own.npz", x_train=x, y_train=site % 2, x_test=x[:7], y_test=site[:7] % 2, site=site)
    data = ImageArrays(tmp_path / "own.npz", group="site")
    data.setup()
    assert len(data.test) == 7
    assert len(data.elsewhere) == 20


def test_without_a_group_nothing_is_set_aside():
    data = Digits()
    data.setup()
    assert data.elsewhere is None


def test_what_cannot_be_grouped(tmp_path):
    with pytest.raises(InputError, match="Digits knows of no groups"):
        Digits(group="site").setup()
    (tmp_path / "a.txt").write_text("one\ntwo\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.txt: a \.txt has no columns: leave text_column, label_column and group"):
        TextFile(tmp_path / "a.txt", group="site")
    (tmp_path / "a.jsonl").write_text('{"text": "a", "site": null}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.jsonl:1: site is empty"):
        TextFile(tmp_path / "a.jsonl", group="site")
    (tmp_path / "b.csv").write_text("text,label\na,b\n", encoding="utf-8")
    with pytest.raises(InputError, match="no column site"):
        TextFile(tmp_path / "b.csv", group="site")
    wanted = "a group for each of 9 rows is needed, whole numbers or strings"
    for site, why in (
        (np.arange(8), wanted),
        (np.arange(9) / 2, wanted),
        (np.array([b"\xff"] * 9), "bytes that are not"),
    ):
        np.savez(tmp_path / "x.npz", x=np.zeros((9, 8, 8), dtype=np.uint8), site=site)
        data = ImageArrays(tmp_path / "x.npz", group="site")
        with pytest.raises(InputError, match=why):
            data.setup()


@pytest.mark.parametrize(("count", "fraction"), [(1, 0.2), (5, 0.0), (3, 0.9)])
def test_some_groups_stay_and_some_go(count, fraction):
    with pytest.raises(InputError, match="must set some aside and leave some"):
        whole_groups(np.repeat(np.arange(count), 4), fraction, 0, "site")


def test_the_choice_is_the_seed_s():
    groups = np.repeat(np.arange(20), 3)
    first = whole_groups(groups, 0.25, 2**40, "site")
    assert (first == whole_groups(groups, 0.25, 2**40, "site")).all()
    assert first.sum() == 15
    assert len(np.unique(groups[first])) == 5


@pytest.mark.parametrize("source", ["images", "series arrays", "series", "folder"])
def test_spaces_around_a_group_s_name_are_nothing(tmp_path, source, caplog):
    plain = SOURCES[source](tmp_path)
    plain.setup()
    for file in sorted(tmp_path.rglob("*")):
        if file.suffix == ".csv":
            text = file.read_text(encoding="utf-8")
            file.write_text(text.replace("s1", " s1 ", 1), encoding="utf-8")
        elif file.suffix == ".npz":
            held = dict(np.load(file))
            held["site"] = np.array([f" {name} " if k == 5 else name for k, name in enumerate(held["site"])])
            np.savez(file, **held)
    with caplog.at_level("INFO"):
        data = plain.again()
        data.setup()
    assert "1 groups have spaces around them, and are taken without" in caplog.text
    assert sites_of(data, data.elsewhere) == sites_of(plain, plain.elsewhere)
