"""Run by test_distributed.py: two processes train as one does with batches of twice the size, on the same noise."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

import ganaug.gans.base
from datamodules import GANDataModule, OracleText
from ganaug import DCGAN, GAN
from tests.gan_contract import trainer
from tests.gans.dcgan import test_model as test_dcgan
from tests.gans.r3gan import test_model as test_r3gan
from tests.gans.seqgan import test_model as test_seqgan
from tests.gans.timegan import test_model as test_timegan

ROWS = 8  # of a batch, in all
STEPS = 8


class Plain(nn.Module):
    """A norm of each picture alone, in place of the batch's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)

    def forward(self, x: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return self.norm(x)


class PictureGAN(DCGAN):
    """A subclass, as anyone may write one, without batch statistics."""

    def __init__(self, schema, **options) -> None:
        super().__init__(schema, **options)
        norms = self.generator.norms
        self.generator.norms = nn.ModuleList(Plain(norm.num_features) for norm in norms)
        self.ema.network.norms = nn.ModuleList(Plain(norm.num_features) for norm in norms)


def pictures(batch_size: int) -> tuple[GANDataModule, GAN]:
    data = test_dcgan.Squares(batch_size=batch_size)
    return data, PictureGAN(data.schema, width=8, latent_dim=8, augment="", accumulate=2, clip=1.0)


def sentences(batch_size: int) -> tuple[GANDataModule, GAN]:
    """All of one length, since a mean over tokens weighs each process by how many it has; no rollouts' noise."""
    data = OracleText(sentences=40, length=6, vocabulary=9, batch_size=batch_size)
    options = {"reward": "constant", "baseline": "none", "negatives": 1, "dropout": 0.0, "d_dropout": 0.0}
    return data, test_seqgan.make(data, **options)


def series(batch_size: int) -> tuple[GANDataModule, GAN]:
    """Without the losses that compare batches, and without roots of means."""
    data = test_timegan.Waves(batch_size=batch_size, fixed=True, static=False)
    batch = ("supervised", "moment", "correlation", "autocorrelation", "change", "sliced", "matching", "reconstruction")
    options = {f"{name}_weight": 0.0 for name in batch}
    return data, test_timegan.make(data, **options, autoencoder_steps=0)


def relativistic(batch_size: int) -> tuple[GANDataModule, GAN]:
    """Series with penalties at every second step."""
    data = test_timegan.Waves(batch_size=batch_size, fixed=True, static=False)
    return data, test_r3gan.make(data, penalty_every=2, accumulate=2, clip=1.0)


MODELS = {"DCGAN": pictures, "SeqGAN": sentences, "TimeGAN": series, "R3GAN": relativistic}


@contextmanager
def same_noise(rank: int, world: int) -> Iterator[None]:
    """Let each process draw its part of what one alone would draw, by (seed, step)."""
    seed, draws = ganaug.gans.base.stream_seed, {name: getattr(torch, name) for name in ("rand", "randn")}
    ganaug.gans.base.stream_seed = lambda *key: seed(*(key[:2] + key[3:] if key[0] == "train" else key))
    for name, draw in draws.items():

        def part(count: int, *shape: int, draw=draw, **options) -> torch.Tensor:
            return draw(count * world, *shape, **options)[rank * count : (rank + 1) * count]

        setattr(torch, name, part)
    try:
        yield
    finally:
        ganaug.gans.base.stream_seed = seed
        for name, draw in draws.items():
            setattr(torch, name, draw)


def train(name: str, devices: int, steps: int) -> GAN:
    data, model = MODELS[name](ROWS // devices)
    data.setup()  # before the noise is another
    run = trainer(steps, devices=devices)
    with same_noise(run.global_rank, devices):
        run.fit(model, data)
    return model


if __name__ == "__main__":
    for name in MODELS:
        trained = train(name, 2, STEPS)
        torch.save(trained.state_dict(), Path(sys.argv[1]) / f"{name}{trained.trainer.global_rank}.pt")
