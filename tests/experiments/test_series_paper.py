"""The benchmark of series as its docstring calls it, cut short."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "experiments" / "series_paper.py"
SHORT = ["--steps", "2", "--seeds", "[0]", "--repeats", "1", "--most", "80", "--threads", "1", "--batch_size", "8"]


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_models_and_their_options(tmp_path: Path) -> None:
    out = tmp_path / "paper.json"
    for model, options in (("R3GAN", {"widths": [8]}), ("TimeGAN", {"autoencoder_steps": 1, "supervisor_steps": 0})):
        done = run("--model", model, "--options", json.dumps(options), *SHORT, "--out", str(out))
        assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads(out.read_text())
    assert [row["model"] for row in rows] == ["floor", "R3GAN", "TimeGAN"]  # the floor once
    assert all(0 <= row["discriminative"] <= 0.5 for row in rows)
    for words, line in (
        (["--model", "DCGAN"], "is none of R3GAN, TimeGAN"),
        (["--options", '{"gama": 1}'], "gama: must"),
    ):
        done = run(*words)
        assert done.returncode == 1
        assert line in done.stderr.strip().splitlines()[-1]
