"""The example of a network of one's own, by the commands that it names."""

import inspect
import re
import shlex
from pathlib import Path

import pytest
import torch

from datamodules import ImageSchema
from experiments import own_generator
from ganaug import DCGAN, load
from ganaug.cli import main

ROOT = Path(__file__).parents[2]
SMALL = [
    "--trainer.accelerator", "cpu", "--trainer.devices", "1", "--trainer.max_steps", "3", "--data.batch_size", "8",
    "--trainer.val_check_interval", "2", "--trainer.limit_val_batches", "2", "--scores.steps", "5",
]  # fmt: skip


def test_its_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ganaug.runtime.outside.IMPORTED", [])
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    text = inspect.getdoc(own_generator) or ""
    fit, generate = (shlex.split(one)[1:] for one in re.findall(r"^ +ganaug .*(?:\n +--.*)*", text, re.MULTILINE))
    main([*fit, *SMALL])
    main([*generate, "--accelerator", "cpu", "--progress", "false"])
    assert len(list((tmp_path / "samples").glob("*/*.png"))) == 100
    model = load(generate[generate.index("--ckpt") + 1])
    assert isinstance(model.generator, own_generator.ResNet)
    assert model.hparams["generator"]["init_args"] == {"width": 32}


@pytest.mark.parametrize("size", [8, 16, 28, (12, 20), 64])
def test_any_side_that_dcgan_takes(size: int | tuple[int, int]) -> None:
    height, width = (size, size) if isinstance(size, int) else size
    schema = ImageSchema(height=height, width=width, channels=3, image_size=size, classes=("a", "b", "c"))
    model = DCGAN(schema, generator=own_generator.ResNet, latent_dim=8, width=8).eval()
    made = model.sample(model.latent(torch.arange(3), 0), torch.arange(3))["x"]
    assert made.shape == (3, 3, height, width)
    model.generator.blocks[0].norm1.gain.data[1] = 0.0
    latent = model.latent(torch.arange(1), 0).expand(2, -1)
    one, other = model.generator.eval()(latent, torch.tensor([0, 1]))
    assert not torch.allclose(one, other)
