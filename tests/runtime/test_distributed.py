"""Several devices, as users ask for them: nothing is named but their number."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ganaug.cli import main
from ganaug.gans.checkpoint import read_checkpoint
from tests import ddp_equal

HERE = Path(__file__).parents[1]
FIT = {
    "DCGAN": ["--data", "Digits", "--model.width", "8"],
    "SeqGAN": ["--data", "Grammar", "--data.sentences", "200"],
    "TimeGAN": ["--data", "Signals", "--data.series", "60", "--model.hidden", "8"],
    "R3GAN": ["--data", "Digits", "--model.widths", "[8]"],
}


def start(*words: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent)},
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )


@pytest.fixture(scope="module")
def equal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes made of each model, started once: starting takes longer than the training."""
    folder = tmp_path_factory.mktemp("equal")
    done = start("-m", "tests.ddp_equal", folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes of each model, and one that diverges."""
    folder = tmp_path_factory.mktemp("runs")
    done = start("-m", "tests.ddp_run", folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", ["DCGAN", "SeqGAN", "TimeGAN", "R3GAN"])
def test_equal_to_one_device(name: str, equal: Path) -> None:
    """Two processes of four rows each end with the weights of one of eight, to rounding."""
    begun = ddp_equal.MODELS[name](8)[1].state_dict()
    alone = ddp_equal.train(name, 1, ddp_equal.STEPS).state_dict()
    first, second = (torch.load(equal / f"{name}{rank}.pt", weights_only=True) for rank in (0, 1))
    moved = 0
    for key, value in alone.items():
        assert torch.equal(first[key], second[key]), key
        torch.testing.assert_close(first[key], value, rtol=1e-3, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}")
        moved += not torch.allclose(begun[key], value, rtol=1e-3, atol=1e-4)
    assert moved > len(alone) // 3


@pytest.mark.parametrize("name", ["DCGAN", "SeqGAN", "TimeGAN", "R3GAN"])
def test_two_processes(name: str, runs: Path) -> None:
    """Other data and other noise on each rank, the same weights, one set of files; through all phases."""
    first, second = (torch.load(runs / name / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first["weights"].keys() == second["weights"].keys()
    assert all(torch.equal(first["weights"][name], second["weights"][name]) for name in first["weights"])
    assert len(first["rows"]) == len(second["rows"]) == 48
    steps = zip(torch.split(first["rows"], 8), torch.split(second["rows"], 8), strict=True)
    stream = torch.cat([torch.cat(ranks) for ranks in steps]).tolist()
    assert sorted(stream[:44]) == sorted(stream[44:88]) == list(range(44))  # a pass, and another, over all rows
    assert first["noise"].shape == second["noise"].shape
    assert not (first["noise"] == second["noise"]).all(1).any()
    assert sorted(p.name for p in (runs / name / "run").iterdir()) == ["version_0", "version_1"]
    files = list((runs / name / "run" / "version_0").rglob("*"))
    assert sum("tfevents" in p.name for p in files) == 2  # one for each of the two runs, from rank 0
    assert sum(p.suffix == ".ckpt" for p in files) == 1
    assert first["scores"] == second["scores"]
    assert ("score/nll" in first["scores"]) == (name == "SeqGAN")
    assert first["resumed"] == second["resumed"] == 8
    assert first["other"] == []  # than of a run that nobody stopped, to the bit
    assert {key.split(".")[0] for key in second["other"]} <= {
        "frames",
        "view",
    }  # its own note of lengths, which none reads


def test_divergence_of_one_process_stops_all(runs: Path) -> None:
    first, second = ((runs / f"rank{rank}.txt").read_text() for rank in (0, 1))
    assert "another process was not finite at step 2" in first
    assert "became nan at step 2" in second


@pytest.mark.parametrize("name", ["DCGAN", "SeqGAN", "TimeGAN", "R3GAN"])
def test_the_command_line_with_two_devices(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As README says, with no strategy named; resumed, and refused to one process, which would not end the same."""
    words = [
        "fit", "--model", name, *FIT[name], "--name", "two", "--data.batch_size", "8",
        "--trainer.accelerator", "cpu", "--trainer.val_check_interval", "3", "--scores.steps", "3",
        "--trainer.limit_val_batches", "1", "--ckpt_path", "last",
    ]  # fmt: skip
    phases = {"SeqGAN": ("mle_steps", "discriminator_steps"), "TimeGAN": ("autoencoder_steps", "supervisor_steps")}
    words += [word for option in phases.get(name, ()) for word in (f"--model.{option}", "2")]
    ckpt = tmp_path / "lightning_logs" / "two" / "version_0" / "checkpoints" / "last.ckpt"
    for steps in (5, 7) if name == "DCGAN" else (5,):
        done = start("-m", "ganaug.cli", *words, "--trainer.devices", 2, "--trainer.max_steps", steps, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
        assert read_checkpoint(ckpt)["global_step"] == steps
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main([*words, "--trainer.max_steps", "9"])
    assert "trained with processes 2, this run has 1" in capsys.readouterr().err
