"""GAN-based data augmentation: labelled synthetic images, text and time series, and whether they help."""

from ganaug.dcgan import DCGAN
from ganaug.gan import GAN, DivergedError, load
from ganaug.seqgan import SeqGAN
from ganaug.timegan import TimeGAN

__all__ = ["DCGAN", "GAN", "DivergedError", "SeqGAN", "TimeGAN", "load"]
