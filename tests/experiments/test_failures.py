"""The faults of docs/howto/not_learning.md."""

import json
import runpy
from pathlib import Path

import pytest
from PIL import Image

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.mark.slow
def test_each_fault_leaves_a_picture_and_its_scores(tmp_path: Path) -> None:
    space = runpy.run_path(str(EXPERIMENTS / "failures.py"))
    found = space["failures"](tmp_path, steps=20)
    assert set(found) == set(space["FAULTS"])
    assert json.loads((tmp_path / "scores.json").read_text()).keys() == found.keys()
    for fault, scores in found.items():
        picture = Image.open(tmp_path / f"{fault}.png")
        assert min(picture.size) > 50
        assert (tmp_path / f"{fault}.png").stat().st_size < 100_000
        assert scores["steps"] == 20
        assert 0 <= scores["scores"]["coverage"]["to_train"] <= 1
        assert "loss/g" in scores
