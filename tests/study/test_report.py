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
from ganaug.study.findings import _chance, headline
from ganaug.study.report import write_report
from ganaug.study.statistics import summarise, verdict
from ganaug.study.statistics.summary import BEST
from tests.study.made_rows import BASE, SAME, UP, compared, folds
from tests.study.made_rows import rows as made

torch.set_num_threads(1)
NASTY = "<b>&\"步行'$x$"
VOID = {"meta", "img", "br"}


def study(settings=((10, ""), (50, "")), count: int = 3) -> list[dict]:
    """Made-up rows of all arms and of a fold of each seed; every accuracy is another number."""
    rng = np.random.default_rng(0)
    table = []
    for n, imbalance in settings:
        for k, arm in enumerate(("real", "classical", "gan", "classical_gan", "gan_only", "trts")):
            for ratio in (1.0, 3.0) if arm in ("gan", "classical_gan") else (0.0,):
                score, held_out = 0.5 + 0.03 * k + rng.uniform(0, 0.03, (2, count))
                rare = {"macro_f1": score - 0.01, "rare_recall": score - 0.2, "rarest": NASTY}
                table += made(arm, score, ratio, n, imbalance, **(rare if arm != "trts" else dict.fromkeys(rare)))
                if arm not in ("gan_only", "trts"):
                    table += folds(
                        arm, held_out, ratio, per_class=n, imbalance=imbalance, **rare | {"macro_f1": held_out}
                    )
    return table


def facts(rows: list[dict]) -> dict:
    cells = [
        {
            "cell": cell,
            "filters": {
                "discriminator": {"in": 200, "dropped": 31, "gamma": 0.25},
                "density": {"in": 169, "dropped": 0},
            },
            "memorisation": {"in_features": {"ratio": 1.25, "closer": 0.0375, "closer_floor": 0.0121, "copies": 0}},
            "leakage": {"test": 0.0},
            "augmentation_leak": {"samples": 0.04, "unseen": 0.03},
            "class_spread": {"to_train": 0.375, "floor": 1.125, "by_class": {NASTY: 0.375}, "rows": 200},
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


def test_never_always_and_chosen_stand_side_by_side(tmp_path):
    rows = study([(10, ""), (None, "8:0.05")])
    page, _ = written(tmp_path, rows)
    plain, rare = summarise(rows)["settings"]
    assert (plain["imbalance"], rare["imbalance"]) == ("", "8:0.05")
    heads = [cells for cells in page.cells if cells[1:2] == ["classicalwith classical augmentation"]]
    assert [cells[2].removeprefix(BEST) for cells in heads] == ["classical"] * 2  # the hardest opponents come first
    for number, (setting, metric) in enumerate(((plain, "accuracy"), (rare, "macro_f1"))):

        def line(title: str, number: int = number) -> str:
            return [cells for cells in page.cells if cells[0] == title][number][1]

        arms = setting["arms"]
        names = {"never": "classical", "always": "classical_gan, always", "chosen": "classical_gan, chosen"}
        for title, arm in names.items():
            score = arms[arm][metric]
            assert line(title).startswith(f"{100 * score['mean']:.1f} ± {100 * score['sd']:.1f}")
        beside = arms["classical_gan, always"]["to"]["classical"][metric]
        low, high = beside["interval"]
        assert line("always − never").startswith(f"+{100 * beside['mean']:.1f} ({100 * low:.1f} to {100 * high:.1f}) ▲")
        assert ("rarest: +" in line("always − never")) == (setting is rare)
    assert "always with 1 sample to a real row" in page.text
    assert "best on the held-out folds of all other seeds" in page.text


@pytest.mark.parametrize(
    ("change", "words"),
    [([-0.05, -0.051, -0.052], "▼ harm"), ([0.01, -0.01, 0.0], "no difference seen"), ([0.1], "one seed")],
)
def test_the_headline_in_numbers(tmp_path, change, words):
    rows = compared(change)
    page, _ = written(tmp_path, rows)
    (line,) = (cells for cells in page.cells if cells[0].endswith("classical_gan − classical"))
    assert line[0].startswith("20 a class")
    assert line[0].endswith(f"{words}classical_gan − classical")
    headline = summarise(rows)["settings"][0]["headline"]
    if len(change) > 1:
        assert line[1:] == [
            f"{headline['holm']:.2g}",
            f"{100 * headline['detectable']:.1f}",
            str(headline["seeds_for_one_point"]),
        ]
    else:
        assert line[1:] == ["–"] * 3


def test_placebo_and_shifts(tmp_path):
    score = np.add(BASE, 0.005)
    rows = compared(UP, **{"shift:turned": 0.4}) + made("classical_placebo", score, 1.0, **{"shift:turned": 0.3})
    page, _ = written(tmp_path, rows)
    (placebo,) = (cells for cells in page.cells if cells[0] == "placebo")
    assert placebo[1] == "81.5 ± 1.0shift turned: 30.0 ± 0.0"
    (beside,) = (cells for cells in page.cells if cells[0] == "always − placebo")
    assert beside[1].startswith("+1.6 (1.4 to 1.8) ▲shift turned: +10.0 no interval")
    assert "placebo real rows drawn again" in page.text


def test_what_speaks_against_it(tmp_path):
    longer = folds("classical", np.add(BASE, [0.05, 0.04, 0.06]), steps=2)
    page, _ = written(
        tmp_path, compared(UP, None) + [r | {"per_class": None} for r in folds("classical", BASE) + longer]
    )
    assert "classical in “all rows” (+5.0, p 0.0065)" in page.text
    assert "Seeds draw from the same rows" in page.text
    page, _ = written(tmp_path / "b", compared(UP, validation=0.5))
    assert "by chance alone looks like a gain" in page.text
    lacking = [row | {"synthetic_rows": 1, "lacking_rows": 3} for row in compared(UP)]
    page, _ = written(tmp_path / "c", lacking)
    assert "filters left 25 % of the samples asked for" in page.text
    summary = summarise(compared(UP), until=0.1)
    assert "to each side, where 0.1 were asked for" in str(headline(compared(UP), summary))
    assert "all seeds that were allowed have run" in str(headline(compared(UP), summary))
    summary = summarise(compared(UP), until=0.1, failed={"n=5,seed=7": "no room"})
    assert "once the cells that failed are done, further seeds may follow" in str(headline(compared(UP), summary))
    assert "were asked for" not in str(headline(compared(UP), summarise(compared(UP), until=0.3)))
    same = compared([0.01] * 3)
    assert "all seeds say the same" in str(headline(same, summarise(same, until=1.0)))
    assert summarise(same)["settings"][0]["headline"]["seeds_for_one_point"] is None
    assert "seeds share" not in page.text


def test_folds_without_the_rarest_class_are_told(tmp_path):
    rare = {"per_class": None, "imbalance": "8:0.05", "rarest": "8"}
    held_out = folds("classical", BASE, macro_f1=BASE, rare_recall=[0.5, None, None], **rare)
    page, _ = written(tmp_path, compared(UP, None, imbalance="8:0.05") + held_out)
    assert "2 of 3 held-out folds have no row of the rarest class" in page.text
    page, _ = written(tmp_path / "all", compared(UP, None, imbalance="8:0.05") + held_out[:1])
    assert "no row of the rarest class" not in page.text


def test_one_seed_chooses_by_its_own_folds(tmp_path):
    page, _ = written(tmp_path, study(count=1))
    assert "as there is no other seed" in page.text
    assert "leaves no interval: give more seeds" in page.text
    assert "0 comparisons" not in page.text


def test_figure_and_table_have_one_outcome(tmp_path):
    rows = compared([0.02, 0.026, 0.012]) + compared(SAME, 50)
    page, text = written(tmp_path, rows)
    assert "not after correction" in page.text
    (alt,) = re.findall('alt="Differences[^"]*"', text)
    assert "not after correction" in alt
    assert "gain" not in alt


@pytest.mark.parametrize(("p", "shown"), [(0.0497, "0.0497"), (0.0503, "0.05"), (0.04999, "0.04999"), (0.007, "0.007")])
def test_a_chance_is_on_the_side_of_its_level(p, shown):
    assert _chance(p) == shown


def test_seeds_without_a_score_are_not_counted(tmp_path):
    rows = compared(UP) + made("gan_only", [None, 0.5, None], 1.0)
    page, _ = written(tmp_path, rows)
    assert next(cells for cells in page.cells if cells[0] == "gan_only")[2] == "1 of 3"


def test_names_are_text(tmp_path, caplog):
    rows = study([(None, "8:0.05," + NASTY)])
    page, text = written(tmp_path, rows, [series()], facts(rows))
    assert "<b>&" not in text
    assert f"imbalance 8:0.05,{NASTY}, macro-F1 in % (rarest class: {NASTY})" in page.text
    assert page.of("svg")[0]["aria-label"].startswith(f"sample 1 of class {NASTY} over")
    assert '"note": "<b>&\\"步行' in page.text
    by_setting = [html.escape(NASTY, quote=False) in plot for plot in plots(page)]
    assert by_setting == [True, True, True]  # in whatever font the browser has, and no formula
    assert not caplog.records


def test_ratios_filters_and_copies(tmp_path):
    rows = study()
    page, _ = written(tmp_path, rows, known=facts(rows))
    setting = summarise(rows)["settings"][0]
    chosen = setting["arms"]["gan, chosen"]["ratios"]
    tested = setting["arms"]["gan, always"]["to"]["real"]["accuracy"]["mean"]
    (line,) = (cells for cells in page.cells if cells[:3] == ["10 a class", "gan", "1"])
    assert line[4:] == [f"+{100 * tested:.1f}", f"{chosen.count(1.0)} of 3"]
    (dropped,) = (cells for cells in page.cells if cells[:2] == ["10 a class", "discriminator"])
    assert dropped[-3:] == ["1200", "186", "15.5 %"]
    assert ["n=50,,seed=2", "discriminator", "in 200, dropped 31, gamma 0.25"] in page.cells
    assert ["memorisation, in_features, closer", "1.2 %"] + ["3.8 % (3.8 %)"] * 2 in page.cells
    assert ["augmentation_leak, unseen", "–"] in [cells[:2] for cells in page.cells]
    assert ["class_spread, to_train", "about 1"] + ["0.375 (0.375)"] * 2 in page.cells
    assert ["class_spread, floor", "about 1"] + ["1.12 (1.12)"] * 2 in page.cells
    assert not any("class_spread, by_class" in cells[0] for cells in page.cells if len(cells) == 4)
    assert ["leakage, test", "0"] + ["0.0 % (0.0 %)"] * 2 in page.cells
    assert ["versions, torch", "2.99"] in page.cells
    assert ["seconds", "1234.5"] in page.cells
    assert "0.9877" not in page.text  # what cells keep of single trainings is in the rows already


def members(known: dict, auc: list[float]) -> dict:
    """Facts in which the attacks on cells reach so much, in turn."""
    for cell, area in zip(known["cells"], auc, strict=False):
        attack = {"auc": area, "interval": [area - 0.1, area + 0.1], "control": {"auc": 0.45, "interval": [0.3, 0.6]}}
        cell["membership"] = {"sentence": "…", "attacks": {"nearest_sample": attack}}
    return known


def test_who_can_tell_members(tmp_path):
    rows = study(settings=[(10, "")])
    page, _ = written(tmp_path, rows, known=members(facts(rows), [0.6, 0.7, 0.65]))
    (line,) = (cells for cells in page.cells if len(cells) > 1 and cells[1] == "samples")
    assert line[0] == "10 a class"
    assert line[3:] == ["0.65 (0.53 to 0.77)", "0.70", "0.45"]  # Student's t of 2 degrees of freedom: 4.30 × .05 / √3
    assert "Yes, in part" in page.text


def test_what_is_learnt_by_heart_is_told_in_one_seed_and_in_equal_ones(tmp_path):
    for count, areas in ((1, [0.95]), (3, [0.99] * 3)):
        rows = study(settings=[(10, "")], count=count)
        known = members(facts(rows), areas)
        page, _ = written(tmp_path / str(count), rows, known=known)
        assert "Yes, in part" in page.text, areas
        assert "of many settings one may by chance" in page.text


def test_the_best_of_many_attacks_is_corrected_for_their_number(tmp_path):
    """An interval above 0.5 by itself, among ten settings in which nobody can tell."""
    rows = study(settings=[(n, "") for n in range(10, 20)])
    nobody, somebody, fold = [0.45, 0.55, 0.52], [0.6, 0.7, 0.65], [0.5] * 3
    known = members(facts(rows), [area for areas in [*[nobody] * 9, somebody] for area in areas + fold])
    for cell in known["cells"]:
        if "fold" in cell["cell"]:
            del cell["membership"]
    page, _ = written(tmp_path, rows, known=known)
    assert "0.65 (0.53 to 0.77)" in page.text
    assert "Not that these attacks could show" in page.text


def test_nobody_is_said_to_tell_members_by_chance(tmp_path):
    rows = study(settings=[(10, "")])
    known = members(facts(rows), [0.45, 0.55, 0.52])
    known["cells"][-1]["membership"] = {"sentence": "Membership: too few."}  # of a fold, or of few rows
    page, _ = written(tmp_path, rows, known=known)
    assert "Not that these attacks could show" in page.text
    assert "Membership: too few." in page.text
    page, _ = written(tmp_path / "plain", rows, known=facts(rows))
    assert "Can anybody tell" not in page.text


def test_pictures_beside_their_neighbours(tmp_path):
    gallery = pictures()
    page, _ = written(tmp_path, galleries=[gallery])
    shown = [given for given in page.of("img") if "png" in given["src"]]
    assert len(shown) == 80  # 40 of 50, each with its neighbour
    assert "40 of 50 samples that passed the filters, unselected." in page.text
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
