"""The example of a network of one's own, by the commands that it names."""

import inspect
import re
import shlex
from functools import partial
from pathlib import Path

import pytest
import torch

from datamodules import Digits, ImageSchema
from experiments import own_generator
from ganaug import DCGAN, load
from ganaug.cli import main
from tests.gan_contract import equal, trainer

ROOT = Path(__file__).parents[2]
SMALL = [
    "--trainer.accelerator", "cpu", "--trainer.devices", "1", "--trainer.max_steps", "3", "--data.batch_size", "8",
    "--trainer.val_check_interval", "2", "--trainer.limit_val_batches", "2", "--scores.steps", "5",
]  # fmt: skip


def test_it_asks_for_public_names_alone() -> None:
    ours = re.findall(r"^from ((?:ganaug|datamodules)\S*) import", inspect.getsource(own_generator), re.MULTILINE)
    assert ours == ["datamodules"]


def test_its_discriminator(tmp_path: Path) -> None:
    data = Digits(per_class=4, batch_size=8)
    networks = {
        "generator": partial(own_generator.ResNet, width=8),
        "discriminator": partial(own_generator.Judge, width=8),
    }
    model = DCGAN(data.schema, latent_dim=8, **networks)
    run = trainer(3, logger=False)
    run.fit(model, data)
    run.save_checkpoint(tmp_path / "a.ckpt")
    assert equal(load(tmp_path / "a.ckpt").state_dict(), model.state_dict())


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
    networks = {"generator": own_generator.ResNet, "discriminator": own_generator.Judge}
    model = DCGAN(schema, latent_dim=8, **networks).eval()
    made = model.sample(model.latent(torch.arange(3), 0), torch.arange(3))["x"]
    assert made.shape == (3, 3, height, width)
    assert model.logits({"x": made, "y": torch.arange(3)}).shape == (3,)
    model.generator.blocks[0].norm1.gain.data[1] = 0.0
    latent = model.latent(torch.arange(1), 0).expand(2, -1)
    one, other = model.generator.eval()(latent, torch.tensor([0, 1]))
    assert not torch.allclose(one, other)
