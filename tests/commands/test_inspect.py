"""What is said of a source before anything is trained on it."""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datamodules import Digits, Grammar, ImageArrays, InputError, SeriesArrays, SeriesFile, Signals, TextFile
from ganaug.cli import main
from ganaug.commands.inspect import inspect
from ganaug.evaluation.series_plots import sample_figure


def test_pictures() -> None:
    said = inspect(Digits())
    assert said["source"] == "Digits"
    assert said["rows"] == "train 1,295, val 143, test 359"
    assert said["classes"].startswith("10, training rows each: 0: 128, 1: 131")
    assert said["pictures"] == "8×8, grey, seen by the networks as 16×16 (resize)"
    assert said["values"] == "0 to 255 of 255, mean 78, 17 levels"
    assert said["copies"].startswith("none")


def test_copies_between_splits_are_counted(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    x[1] = x[0]
    np.savez(tmp_path / "a.npz", x_train=x, y_train=np.arange(40) % 2, x_test=x[:5], y_test=np.arange(5) % 2)
    said = inspect(ImageArrays(tmp_path / "a.npz", val_fraction=0.0))
    assert said["copies"] == "1 of the training rows are copies of others; 5 of 5 test rows are training rows too"


def test_sentences(tmp_path: Path) -> None:
    said = inspect(Grammar(sentences=600))
    assert said["lengths"].startswith("4 to ")
    assert said["vocabulary"].endswith("unknown tokens: none")
    (tmp_path / "b.txt").write_text("\n".join(f"word{k} again" for k in range(100)))
    assert inspect(TextFile(tmp_path / "b.txt"))["lengths"] == "2 tokens each; each row takes 3"
    (tmp_path / "b.txt").write_text("\n".join(f"word{k}" for k in range(100)))
    assert inspect(TextFile(tmp_path / "b.txt"))["lengths"] == "1 token each; each row takes 2"
    (tmp_path / "a.txt").write_text("\n".join(f"word{k} again and again" for k in range(100)))
    said = inspect(TextFile(tmp_path / "a.txt"))
    assert said["classes"] == "none"
    assert "val 25 %" in said["vocabulary"]


def test_series(tmp_path: Path) -> None:
    assert inspect(Signals(series=70, length=8))["time"] == "time: from 0, every 0.5"
    table = pd.DataFrame(
        {
            "id": np.repeat(np.arange(20), 6), "when": np.tile(pd.date_range("2024-01-01", periods=6, freq="h"), 20),
            "pulse": np.arange(120) % 90 + 40, "ph": np.round(7 + np.arange(120) / 500, 2),
            "town": np.repeat(list("ab") * 10, 6),
        }
    )  # fmt: skip
    table.loc[3::10, "ph"] = np.nan
    table.to_csv(tmp_path / "a.csv", index=False)
    said = inspect(
        SeriesFile(tmp_path / "a.csv", id_column="id", time_column="when", static_columns=["town"], missing="mask")
    )
    pd.DataFrame({"v": [82768100, 5, 2024] * 20, "w": [1234567.25, 0.5, 0.25] * 20}).to_csv(tmp_path / "b.csv")
    big = inspect(SeriesFile(tmp_path / "b.csv", value_columns=["v", "w"], window=4))["columns"]
    assert big == "v: whole numbers, 5 to 82,768,100; w: numbers with 2 decimals, 0.25 to 1,234,567"
    x = np.ones((30, 9, 1)) * np.arange(30)[:, None, None]
    np.savez(
        tmp_path / "a.npz", x_train=x[:, :7], x_test=x, layout="NTF", lengths_train=[3] * 30, lengths_test=[9] * 30
    )
    varied = inspect(SeriesArrays(tmp_path / "a.npz"))
    assert varied["series"] == "3 to 9 steps, scaled by min_max"
    assert said["series"] == "6 steps each, scaled by min_max"
    assert said["time"] == "when: from 2024-01-01T00:00:00, every hour"
    pulse, ph = said["columns"].split("; ")
    assert pulse.startswith("pulse: whole numbers, 40 to ")
    assert ph.startswith("ph: numbers with 2 decimals, 7 to 7.2")
    assert ph.endswith("% missing")
    assert said["attributes"] == "town: one of 2: a, b"


@pytest.mark.parametrize("source", ["Digits", "Grammar", "Signals"])
def test_the_command_line_and_the_page(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["inspect", "--data", source, "--out", "pages/a.html"])
    printed = capsys.readouterr().out
    page = Path("pages/a.html").read_text()
    first, last = printed.splitlines()[0], printed.splitlines()[-1]
    assert first.index(source) == last.index("pages/a.html")  # one column for all that is said
    for line in printed.splitlines()[:4]:
        assert line.split(maxsplit=1)[1].replace("<", "&lt;") in page
    assert page.count("data:image/svg") == 1  # how many rows each class has
    assert page.count("data:image/png") == (source != "Grammar")  # examples: a picture, or a table of sentences
    assert page.count("<table>") == 1 + (source == "Grammar")
    assert "http" not in page.replace("http://www.w3.org", "")


def test_examples_are_spread_over_the_rows(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n".join(f"line{k:03d}" for k in range(100)))
    inspect(TextFile(tmp_path / "a.txt", val_fraction=0, test_fraction=0), tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert [int(k) for k in re.findall(r"<tr><td>line(\d+)", page)] == [0, 11, 22, 33, 44, 55, 66, 77, 88, 99]
    assert "<p>10 training rows, spread evenly over them.</p>" in page
    np.savez(tmp_path / "a.npz", x=np.arange(3 * 25 * 64, dtype=np.uint8).reshape(75, 8, 8), y=np.arange(75) % 25)
    inspect(ImageArrays(tmp_path / "a.npz"), tmp_path / "b.html")
    said = "<p>10 training rows of each of the first 20 of 25 classes, spread evenly over them.</p>"
    assert said in (tmp_path / "b.html").read_text()


def test_a_page_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"out must be a file, like .*result\.html: .* is a folder"):
        inspect(Digits(), tmp_path)
    with pytest.raises(InputError, match=r"page\.pdf: the name must end in \.html"):
        inspect(Digits(), tmp_path / "page.pdf")
    assert not capsys.readouterr().out


def test_columns_of_words_and_flags(tmp_path: Path) -> None:
    row = np.arange(120)
    states = np.array(["a long standstill", "run"])[row % 2]
    table = {"on": row % 4 == 0, "state": states, "day": pd.date_range("2024-01-01", periods=12).repeat(10)}
    pd.DataFrame(table).to_csv(tmp_path / "a.csv", index=False)
    data = SeriesFile(tmp_path / "a.csv", window=6)
    assert inspect(data)["columns"] == "on: true or false, true 24 %; state: one of 2: a long standstill 50 %, run 50 %"
    on, state = sample_figure(data.schema, data.train.__getitems__([0, 1])).axes
    assert [[label.get_text() for label in axes.get_yticklabels()] for axes in (on, state)] == [
        ["false", "true"], ["a long …", "run"],
    ]  # fmt: skip


def test_warnings_are_one_line_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    pd.DataFrame({"v": np.arange(60.0), "still": 1.5}).to_csv(tmp_path / "a.csv", index=False)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        main(["inspect", "--data", "SeriesFile", "--data.path", str(tmp_path / "a.csv"), "--data.window", "4"])
    lines = [warnings.formatwarning(w.message, w.category, w.filename, w.lineno) for w in found]
    constant = f"warning: {tmp_path / 'a.csv'}: constant, so that there is nothing to learn in them: still\n"
    assert constant in lines
    assert warnings.formatwarning("old", DeprecationWarning, "/x/y.py", 3) == "/x/y.py:3: DeprecationWarning: old\n"


def test_a_training_says_it_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["fit", "--model", "DCGAN", "--model.width", "4", "--data", "Digits", "--trainer.fast_dev_run", "true"]
    main([*words, "--trainer.accelerator", "cpu", "--scores.steps", "1"])
    assert "rows      train 1,295, val 143, test 359" in capsys.readouterr().out
