"""Checkpoints and YAML files that were written before the packages had rooms go on working."""

from pathlib import Path

import pytest
import torch

from ganaug import load
from ganaug.cli import main

OLD = Path(__file__).parent / "old"
NAMES = ["dcgan", "seqgan", "timegan"]


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_what_they_were(name: str) -> None:
    model, samples = load(OLD / f"{name}.ckpt"), torch.load(OLD / "samples.pt")[name]
    made = model.sample(model.latent(torch.arange(3), 5), torch.arange(3) % model.schema.num_classes)
    if name == "dcgan":
        made["x"] = made["x"][:, :, ::4, ::4]  # as many as were kept
    for field, value in samples.items():
        torch.testing.assert_close(made[field], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_goes_on(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the YAML file that the run had left, from its checkpoint."""
    monkeypatch.chdir(tmp_path)
    steps = torch.load(OLD / f"{name}.ckpt", weights_only=True)["global_step"] + 1
    options = ["--trainer.max_steps", str(steps), "--ckpt_path", str(OLD / f"{name}.ckpt")]
    main(["fit", "--config", str(OLD / f"{name}.yaml"), *options])
    ended = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert ended["global_step"] == steps
