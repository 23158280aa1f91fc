"""GAN-based data augmentation: labelled synthetic images, text and time series, and whether they help."""

from ganaug.augment import augment
from ganaug.dcgan import DCGAN
from ganaug.evaluate import evaluate
from ganaug.gan import GAN, DivergedError, load
from ganaug.generate import generate
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
    "generate",
    "load",
]
