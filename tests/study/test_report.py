"""The report is one whole, harmless page that holds every row, whatever names and sentences are in it."""

import base64
import html
import io
import re
import warnings
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import Digits, Grammar
from datamodules.errors import InputError
from datamodules.images.schema import ImageSchema
from datamodules.rows import stored_rows
from datamodules.schema import Batch
from datamodules.series.schema import SeriesSchema
from datamodules.text.schema import TextSchema, build_vocabulary
from ganaug.study.report import write_report
from ganaug.study.statistics import summarise, verdict

torch.set_num_threads(1)
NASTY = "<b>&\"步行'$x$"
VOID = {"meta", "img", "br"}


def study(settings=((10, ""), (50, "")), seeds: int = 3) -> list[dict]:
    """Made-up rows of all arms; every accuracy is another number."""
    rng = np.random.default_rng(0)
    rows = []
    for n, imbalance in settings:
        for seed in range(seeds):
            for k, arm in enumerate(("real", "classical", "gan", "classical_gan", "gan_only", "trts")):
                score = 0.5 + 0.03 * k + rng.uniform(0, 0.03)
                row = {"cell": f"n={n},{imbalance},seed={seed}", "per_class": n, "imbalance": imbalance, "seed": seed}
                row |= {"arm": arm, "ratio": 2.0 * ("gan" in arm), "accuracy": score, "rarest": NASTY}
                rare = {"macro_f1": score - 0.01, "rare_recall": score - 0.2}
                rows.append(row | (rare if arm != "trts" else dict.fromkeys(rare)))
    return rows


def facts(rows: list[dict]) -> dict:
    cells = [
        {
            "cell": cell,
            "filters": {
                "discriminator": {"in": 200, "dropped": 31, "gamma": 0.25},
                "density": {"in": 169, "dropped": 0},
            },
            "memorisation": {"in_features": {"ratio": 1.25, "closer": 0.0375, "copies": 0.0}},
            "leakage": {"test": 0.0},
            "sweep": [
                {"arm": "gan", "ratio": r, "validation": 0.612 + r / 100, "validation_loss": 0.3, "accuracy": 0.6}
                for r in (0, 1, 3)
            ],
            "runs": {"gan@1": {"accuracy": 0.987654}},
        }
        for cell in dict.fromkeys(row["cell"] for row in rows)
    ]
    return {"cells": cells, "request": {"note": NASTY}, "versions": {"torch": "2.99"}, "seconds": 1234.5}


def pictures() -> dict:
    data = Digits(per_class=5)
    data.setup()
    rows = stored_rows(data.schema, data.train)
    made = {**rows, "x": rows["x"].flip(-1), "y": rows["y"].roll(1)}
    return {"title": f"Digits {NASTY}", "schema": data.schema, "synthetic": made, "nearest": rows}


def sentences() -> dict:
    data = Grammar()
    data.setup()
    rows = {key: field[:8] for key, field in stored_rows(data.schema, data.train).items()}
    made = {key: field.flip(0) for key, field in rows.items()}
    return {"title": "Sentences", "schema": data.schema, "synthetic": made, "nearest": rows}


def series(columns: int = 2, n: int = 7, length: int = 200) -> dict:
    given = SeriesSchema(
        classes=(NASTY, "b"),
        columns=tuple(f"c{i}" for i in range(columns)),
        dtypes=("float64",) * columns,
        offset=(0.0,) * columns,
        scale=(1.0,) * columns,
        length=length,
    )
    rng = torch.Generator().manual_seed(0)

    def rows() -> Batch:
        lengths = torch.randint(1, length + 1, (n,), generator=rng)
        x = torch.rand(n, length, columns, generator=rng) * (torch.arange(length) < lengths[:, None])[..., None]
        return {"x": x, "length": lengths, "y": torch.arange(n) % 2}

    return {"title": "Series", "schema": given, "synthetic": rows(), "nearest": rows()}


class Page(HTMLParser):
    """Checks that tags are balanced, and keeps elements, their attributes and the text in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.cells: list[list[str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            return
        self.text += data
        if "tr" in self.open and self.cells[-1:] and self.cells[-1]:
            self.cells[-1][-1] += data

    def of(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        return [given for name, given in self.tags if name == tag and attributes.items() <= given.items()]


def plots(page: Page) -> list[str]:
    return [base64.b64decode(given["src"].split(",")[1]).decode() for given in page.of("img", **{"class": "plot"})]


def written(tmp_path: Path, rows=None, galleries=(), known=None) -> tuple[Page, str]:
    rows = study() if rows is None else rows
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as for letters that a font lacks
        path = write_report(tmp_path / "out", rows, summarise(rows), list(galleries), known or {})
    assert path == tmp_path / "out" / "report.html"
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    text = path.read_text(encoding="utf-8")
    return Page(text), text


def test_one_file_that_asks_nothing_of_anyone(tmp_path):
    rows = study([(10, ""), (50, ""), (None, "8:0.05," + NASTY)])
    page, text = written(tmp_path, rows, [pictures(), sentences(), series()], facts(rows))
    assert not re.search(r"https?:|//\w|@import|url\(|<script|<link|<iframe", re.sub(r"base64,[\w+/=]+", "", text))
    assert len(plots(page)) >= 4
    assert not any(re.search(r'href="[^#]|<script|url\([^#]', plot) for plot in plots(page))
    assert all(source["src"].startswith("data:image/") for source in page.of("img"))
    assert not any("href" in given or any(key.startswith("on") for key in given) for _, given in page.tags)
    assert len(text) < 1_000_000


def test_the_verdict_is_the_headline_and_every_row_is_there(tmp_path):
    rows = study([(10, ""), (None, "8:0.05")])
    page, text = written(tmp_path, rows, known=facts(rows))
    assert f"<h1>{html.escape(verdict(summarise(rows)))}</h1>" in text
    for row in rows:
        wanted = [f"{v:.4g}" if isinstance(v, float) else "–" if v is None else str(v) for v in row.values()]
        assert page.cells.count(wanted) == 1
    assert text.index("<h1>") < text.index("<table>")


def test_scores_and_differences(tmp_path):
    rows = study([(10, ""), (None, "8:0.05")])
    page, _ = written(tmp_path, rows)
    plain, rare = summarise(rows)["settings"]
    assert (plain["imbalance"], rare["imbalance"]) == ("", "8:0.05")
    lines = [cells for cells in page.cells if cells[0].startswith("classical_gan with both")]
    for setting, cells, metric in ((plain, lines[0], "accuracy"), (rare, lines[1], "macro_f1")):
        arm = setting["arms"]["classical_gan"]
        score = (
            f"{100 * arm['accuracy']['mean']:.1f}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{100 * arm['accuracy']['sd']:.1f}"
        )
        assert cells[1] == score
        beside = arm["to"]["real"][metric]
        low, high = beside["interval"]
        assert cells[-2].startswith(f"+{100 * beside['mean']:.1f} ({100 * low:.1f} to {100 * high:.1f}) ▲ gain")
        assert ("rarest: +" in cells[-2]) == (setting is rare)
    assert len(lines) == 2
    assert "not used" not in page.text


@pytest.mark.parametrize(
    ("change", "words"),
    [([-0.05, -0.051, -0.052], "▼ harm"), ([0.01, -0.01, 0.0], "no difference seen"), ([0.1], "one seed")],
)
def test_outcomes_are_words(tmp_path, change, words):
    rows = [
        {"cell": f"{s}", "seed": s, "arm": arm, "accuracy": 0.6 + extra * (arm == "gan"), "ratio": 1.0}
        for s, extra in enumerate(change)
        for arm in ("real", "gan")
    ]
    page, _ = written(tmp_path, rows)
    (line,) = (cells for cells in page.cells if cells[0].startswith("gan with"))
    assert line[-1].endswith(words)


def test_names_are_text(tmp_path, caplog):
    rows = study([(None, "8:0.05," + NASTY)])
    page, text = written(tmp_path, rows, [series()], facts(rows))
    assert "<b>&" not in text
    assert f"imbalance 8:0.05,{NASTY} (rarest class: {NASTY})" in page.text
    assert page.of("svg")[0]["aria-label"].startswith(f"sample 1 of class {NASTY} over")
    assert '"note": "<b>&\\"步行' in page.text
    by_setting = [html.escape(NASTY, quote=False) in plot for plot in plots(page)]
    assert by_setting == [True, True, True]  # in whatever font the browser has, and no formula
    assert not caplog.records


def test_ratios_filters_and_copies(tmp_path):
    rows = study()
    page, _ = written(tmp_path, rows, known=facts(rows))
    assert ["10 a class", "gan", "2, 2, 2", "0 %"] in page.cells
    assert ["n=10,,seed=0", "gan", "3", "0.642", "0.3", "0.6"] in page.cells
    (dropped,) = (cells for cells in page.cells if cells[:2] == ["10 a class", "discriminator"])
    assert dropped[-3:] == ["600", "93", "15.5 %"]
    assert ["n=50,,seed=2", "discriminator", "in 200, dropped 31, gamma 0.25"] in page.cells
    assert ["memorisation, in_features, closer", "1 %"] + ["3.8 % (3.8 %)"] * 2 in page.cells
    assert ["leakage, test", "0"] + ["0.0 % (0.0 %)"] * 2 in page.cells
    assert ["versions, torch", "2.99"] in page.cells
    assert ["seconds", "1234.5"] in page.cells
    assert "0.9877" not in page.text  # what cells keep of single trainings is in the rows already


def test_pictures_beside_their_neighbours(tmp_path):
    gallery = pictures()
    page, _ = written(tmp_path, galleries=[gallery])
    shown = [given for given in page.of("img") if "png" in given["src"]]
    assert len(shown) == 80  # 40 of 50, each with its neighbour
    assert "The first 40 of 50 samples that passed the filters, unselected." in page.text
    schema = gallery["schema"]
    for k, sort in ((0, "synthetic"), (1, "nearest")):
        picture = np.array(Image.open(io.BytesIO(base64.b64decode(shown[k]["src"].split(",")[1]))))
        expected = schema.decode(schema.prepare(gallery[sort])["x"][:1])[0, ..., 0]
        assert np.array_equal(picture, expected)
    a, b = (schema.class_name(int(gallery[sort]["y"][0])) for sort in ("synthetic", "nearest"))
    assert shown[0]["alt"].startswith(f"sample 1 of class {a}")
    assert a != b
    assert f"{a}, neighbour {b}" in page.text


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_large_pictures_stay_small(tmp_path, channels):
    schema = ImageSchema(height=128, width=96, channels=channels, image_size=128)
    x = torch.randint(0, 256, (40, channels, 128, 128), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    rows = {"x": x, "y": torch.zeros(40, dtype=torch.long)}
    gallery = {"title": "noise", "schema": schema, "synthetic": rows, "nearest": rows}
    page, text = written(tmp_path, galleries=[gallery])
    assert len(text) < 1_600_000
    first = next(given for given in page.of("img") if "svg" not in given["src"])
    assert Image.open(io.BytesIO(base64.b64decode(first["src"].split(",")[1]))).size == (48, 64)
    assert first["class"] == "smooth"


def test_sentences_beside_their_neighbours(tmp_path):
    texts = ["a <i>b</i> & c", "步 行 !"]
    vocabulary, _ = build_vocabulary(texts, "word", 1, 0)
    schema = TextSchema(classes=("y", "x<"), vocabulary=tuple(vocabulary), max_length=12)
    x, length = schema.encode(texts)
    rows = {"x": x, "length": length, "y": torch.tensor([1, 0])}
    near = {"x": x.flip(0), "length": length.flip(0), "y": torch.tensor([0, 0])}
    page, text = written(tmp_path, galleries=[{"title": "t", "schema": schema, "synthetic": rows, "nearest": near}])
    assert ["class", "sample", "nearest training sentence"] in page.cells
    start = page.cells.index(["y", texts[1], texts[0]])  # by class
    assert page.cells[start + 1] == ["x<, neighbour y", texts[0], texts[1]]
    assert "<i>" not in text


def test_series_over_their_neighbours(tmp_path):
    gallery = series(columns=5)
    page, _ = written(tmp_path, galleries=[gallery])
    lines = page.of("polyline")
    assert len(lines) == 7 * 2 * 4  # four of five columns
    assert [line["class"] for line in lines[:8]] == ["nearest"] * 4 + ["sample"] * 4
    made, near = (gallery[sort] for sort in ("synthetic", "nearest"))
    a, b = (batch["x"][0, : int(batch["length"][0]), 0].numpy() for batch in (made, near))
    across, down = np.array([[float(v) for v in p.split(",")] for p in lines[4]["points"].split()]).T
    low, high = min(a.min(), b.min()), max(a.max(), b.max())
    places = np.unique(np.linspace(0, len(a) - 1, 120).round().astype(int))
    np.testing.assert_allclose(down, 62 - 58 * (a[places] - low) / (high - low), atol=0.051)
    np.testing.assert_allclose(across, 3 + 114 * places / (max(len(a), len(b)) - 1), atol=0.051)
    assert "samples that passed the filters, unselected" in page.text


def test_a_constant_series_and_a_single_step(tmp_path):
    gallery = series(columns=1, n=2, length=1)
    gallery["synthetic"]["x"][:] = 0.0
    gallery["nearest"]["x"][:] = 0.0
    page, text = written(tmp_path, galleries=[gallery])
    assert len(page.of("polyline")) == 4
    assert "nan" not in text


def test_little_to_tell(tmp_path):
    """One seed, one setting, no GAN arm, no facts: a page all the same."""
    rows = [{"cell": "c", "seed": 0, "arm": "real", "accuracy": 0.5}]
    page, _ = written(tmp_path, rows)
    assert "nothing can be said" in page.text
    assert ["c", "0", "real", "0.5"] in page.cells
    assert page.of("img")


def test_the_same_study_gives_the_same_file(tmp_path):
    rows = study()
    texts = {written(tmp_path / str(k), rows, [series()], facts(rows))[1] for k in range(2)}
    assert len(texts) == 1


def test_no_place_for_it(tmp_path):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(InputError, match="cannot make the folder"):
        write_report(tmp_path / "out", study(), summarise(study()), [], {})
