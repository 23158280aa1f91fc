"""What ``from ganaug import …`` offers."""

from ganaug.commands.augment import augment
from ganaug.commands.evaluate import evaluate
from ganaug.commands.export import export
from ganaug.commands.generate import generate
from ganaug.commands.inspect import inspect
from ganaug.gans.base import GAN
from ganaug.gans.dcgan.model import DCGAN
from ganaug.gans.loading import load
from ganaug.gans.r3gan.model import R3GAN
from ganaug.gans.seqgan.model import SeqGAN
from ganaug.gans.timegan.model import TimeGAN
from ganaug.runtime.divergence import DivergedError
from ganaug.sampling.dataset import SyntheticDataset
from ganaug.sampling.resample import GANSampler

__all__ = [
    "DCGAN",
    "GAN",
    "R3GAN",
    "DivergedError",
    "GANSampler",
    "SeqGAN",
    "SyntheticDataset",
    "TimeGAN",
    "augment",
    "evaluate",
    "export",
    "generate",
    "inspect",
    "load",
]
