"""README, start and tutorials, from the first block to the last, with the numbers of ``pages.SHORT``."""

from pathlib import Path

import pytest

from ganaug.cli import main
from tests.docs.pages import ROOT, blocks, commands, shortened

LEFT = {
    "start": ["samples/grid.png", "scores.json", "study/report.html"],
    "pictures": ["photos.html", "more_photos/grid.png", "photos_scores.json", "photos_study/report.html"],
    "text": ["more_questions/samples.jsonl", "questions_curves_temperatures.png", "questions_study/report.html"],
    "series": ["more_machines/samples.csv", "machines_scores_comparison.png", "machines_study/report.html"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LEFT)
def test_tutorial(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ROOT / "docs" / ("start.md" if name == "start" else f"tutorials/{name}.md")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), {})
    for command in commands(page):
        main(shortened(command))
    for path in LEFT[name]:
        assert (tmp_path / path).is_file(), path
