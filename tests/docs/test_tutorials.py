"""README, start and tutorials, from the first block to the last, with the numbers of ``pages.SHORT``."""

from pathlib import Path

import pytest

from ganaug.cli import main
from tests.docs.pages import ROOT, blocks, commands, shortened

DOCS = ROOT / "docs"


def run(page: Path) -> None:
    """Its commands, and its Python before them where it makes the files."""
    python = blocks(page, "python")
    for block in python:
        exec(compile(block, page.name, "exec"), SPACE)
    for command in commands(page):
        main(shortened(command))


SPACE: dict = {}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new one, with the YAML files in it; names of Python last for a test."""
    SPACE.clear()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    return tmp_path


def test_start_and_what_goes_on_from_it(folder: Path) -> None:
    for page in (DOCS / "start.md", DOCS / "howto" / "own_training.md"):
        run(page)
    for path in ("samples/grid.png", "scores.json", "study/report.html"):
        assert (folder / path).is_file(), path
    assert SPACE["pictures"].shape == (10, 8, 8, 1)
    assert (SPACE["y_more"] == 8).sum() > (SPACE["y"] == 8).sum()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("pictures", ["photos.html", "more_photos/grid.png", "photos_scores.json", "photos_study/report.html"]),
        ("text", ["more_questions/samples.jsonl", "questions_curves_temperatures.png", "questions_study/report.html"]),
        ("series", ["more_machines/samples.csv", "machines_scores_comparison.png", "machines_study/report.html"]),
    ],
)
def test_tutorial(name: str, left: list[str], folder: Path) -> None:
    run(DOCS / "tutorials" / f"{name}.md")
    for path in left:
        assert (folder / path).is_file(), path
