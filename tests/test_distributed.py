"""Several devices, as users ask for them: nothing is named but their number."""

import os
import subprocess
import sys
from pathlib import Path

import ddp_equal
import pytest
import torch

from ganaug.cli import main
from ganaug.gan import read_checkpoint

HERE = Path(__file__).parent
FIT = {
    "DCGAN": ["--data", "Digits", "--model.width", "8"],
    "SeqGAN": ["--data", "Grammar", "--data.sentences", "200"],
    "TimeGAN": ["--data", "Signals", "--data.series", "60", "--model.hidden", "8"],
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


@pytest.mark.parametrize("name", ["DCGAN", "SeqGAN", "TimeGAN"])
def test_equal_to_one_device(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes of four rows each end with the weights of one of eight, to rounding."""
    steps = 8
    done = start(HERE / "ddp_equal.py", name, steps, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    for module, attribute in ((ddp_equal.ganaug.gan, "stream_seed"), (torch, "rand"), (torch, "randn")):
        monkeypatch.setattr(module, attribute, getattr(module, attribute))  # to be put back
    begun = ddp_equal.MODELS[name](8)[1].state_dict()
    alone = ddp_equal.train(name, 1, steps).state_dict()
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    moved = 0
    for key, value in alone.items():
        assert torch.equal(first[key], second[key]), key
        torch.testing.assert_close(first[key], value, rtol=1e-3, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}")
        moved += not torch.allclose(begun[key], value, rtol=1e-3, atol=1e-4)
    assert moved > len(alone) // 3


@pytest.mark.parametrize("name", ["DCGAN", "SeqGAN", "TimeGAN"])
def test_the_command_line_with_two_devices(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As README says, with no strategy named; resumed, and refused to one process, which would not end the same."""
    words = [
        "-m", "ganaug.cli", "fit", "--model", name, *FIT[name], "--name", "two", "--data.batch_size", "8",
        "--trainer.accelerator", "cpu", "--trainer.val_check_interval", "3", "--scores.steps", "3",
        "--trainer.limit_val_batches", "1", "--ckpt_path", "last",
    ]  # fmt: skip
    phases = {"SeqGAN": ("mle_steps", "discriminator_steps"), "TimeGAN": ("autoencoder_steps", "supervisor_steps")}
    words += [word for option in phases.get(name, ()) for word in (f"--model.{option}", "2")]
    ckpt = tmp_path / "lightning_logs" / "two" / "version_0" / "checkpoints" / "last.ckpt"
    for steps in (5, 7) if name == "DCGAN" else (5,):
        done = start(*words, "--trainer.devices", 2, "--trainer.max_steps", steps, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
        assert read_checkpoint(ckpt)["global_step"] == steps
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main([*words, "--trainer.max_steps", "9"])
    assert "trained with processes 2, this run has 1" in capsys.readouterr().err
