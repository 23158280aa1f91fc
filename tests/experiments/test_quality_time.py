"""Quality against time, as the script's docstring calls it, cut short."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules import Digits

SCRIPT = Path(__file__).parents[2] / "experiments" / "quality_time.py"
DATA = ("--data", "Digits", "--data.image_size", "8", "--data.per_class", "5")


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_trainings_and_samples_of_others_side_by_side(tmp_path: Path) -> None:
    points = tmp_path / "points"
    words = ("--model", "DCGAN", "--model.width", "8", "--steps", "6", "--every", "100", "--n", "40")
    done = run("train", *DATA, *words, "--out", str(points / "ours.json"))
    assert done.returncode == 0, done.stderr[-2000:]
    (ours,) = json.loads((points / "ours.json").read_text())
    assert ours["steps"] == 6
    assert 0 < ours["minutes"] < 5
    data = Digits(image_size=8, per_class=5)
    data.setup()
    (tmp_path / "others").mkdir()
    fields = data.train.fields
    np.savez(tmp_path / "others" / "1.5.npz", x=fields["x"][:, 0].numpy(), y=fields["y"].numpy())
    done = run("score", *DATA, "--samples", str(tmp_path / "others"), "--out", str(points / "copies.json"))
    assert done.returncode == 0, done.stderr[-2000:]
    (others,) = json.loads((points / "copies.json").read_text())
    assert others["minutes"] == 1.5
    assert others["scores"]["CAS"][0] > ours["scores"]["CAS"][0], "real rows teach more than six batches do"
    done = run("plot", "--points", json.dumps([str(points)]), "--out", str(tmp_path / "both.png"))
    assert done.returncode == 0, done.stderr[-2000:]
    with Image.open(tmp_path / "both.png") as image:
        assert image.width > image.height
    done = run("score", *DATA, "--samples", str(tmp_path), "--out", str(points / "none.json"))
    assert "no .npz in it" in done.stderr.strip().splitlines()[-1]
