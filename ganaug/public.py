"""What ``from ganaug import …`` offers."""

from ganaug.commands.augment import augment
from ganaug.commands.evaluate import evaluate
from ganaug.commands.export import export
from ganaug.commands.generate import generate
from ganaug.commands.inspect import inspect
from ganaug.dcgan import DCGAN
from ganaug.gan import GAN, DivergedError
from ganaug.loading import load
from ganaug.resample import GANSampler
from ganaug.seqgan import SeqGAN
from ganaug.synthetic import SyntheticDataset
from ganaug.timegan import TimeGAN

__all__ = [
    "DCGAN",
    "GAN",
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
