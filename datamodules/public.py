"""What ``from datamodules import …`` offers."""

from datamodules.arrays import ImageArrays
from datamodules.augmented import AugmentedDataModule
from datamodules.base import GANDataModule, Table
from datamodules.errors import InputError
from datamodules.grammar import Grammar
from datamodules.imagefolder import ImageFolder
from datamodules.images import CIFAR10, MNIST, Digits, FashionMNIST
from datamodules.oracle import OracleText
from datamodules.scales import SeriesSchema
from datamodules.schema import ImageSchema, Schema
from datamodules.seriesarrays import SeriesArrays
from datamodules.seriesfile import SeriesFile
from datamodules.simulated import Signals, Sines
from datamodules.text import TextFile
from datamodules.tokens import TextSchema

__all__ = [
    "CIFAR10",
    "MNIST",
    "AugmentedDataModule",
    "Digits",
    "FashionMNIST",
    "GANDataModule",
    "Grammar",
    "ImageArrays",
    "ImageFolder",
    "ImageSchema",
    "InputError",
    "OracleText",
    "Schema",
    "SeriesArrays",
    "SeriesFile",
    "SeriesSchema",
    "Signals",
    "Sines",
    "Table",
    "TextFile",
    "TextSchema",
]
