"""What ``from datamodules import …`` offers."""

from datamodules.augmented import AugmentedDataModule
from datamodules.base import GANDataModule
from datamodules.errors import InputError
from datamodules.images.arrays import ImageArrays
from datamodules.images.folder import ImageFolder
from datamodules.images.schema import ImageSchema
from datamodules.images.sources import CIFAR10, MNIST, Digits, FashionMNIST
from datamodules.images.store import ImageStore
from datamodules.rows import Table
from datamodules.schema import Schema
from datamodules.series.arrays import SeriesArrays
from datamodules.series.file import SeriesFile
from datamodules.series.schema import SeriesSchema
from datamodules.series.simulated import Signals, Sines
from datamodules.series.store import SeriesStore
from datamodules.text.file import TextFile
from datamodules.text.grammar import Grammar
from datamodules.text.oracle import OracleText
from datamodules.text.schema import TextSchema
from datamodules.text.store import TextStore

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
    "ImageStore",
    "InputError",
    "OracleText",
    "Schema",
    "SeriesArrays",
    "SeriesFile",
    "SeriesSchema",
    "SeriesStore",
    "Signals",
    "Sines",
    "Table",
    "TextFile",
    "TextSchema",
    "TextStore",
]
