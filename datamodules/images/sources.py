"""Pictures that other libraries provide: Digits, MNIST, FashionMNIST, CIFAR10; and what all image modules share."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from sklearn.datasets import load_digits
from torchvision import datasets

from datamodules.base import GANDataModule
from datamodules.errors import InputError, reason_of
from datamodules.images.schema import ImageSchema
from datamodules.images.sides import SIZES, both, checked_size, usual_size
from datamodules.rows import Table

Fit = Literal["pad", "resize"]

_UNREADABLE = (OSError, RuntimeError, ValueError, TypeError, AssertionError, EOFError, pickle.UnpicklingError)


class ImageModule(GANDataModule):
    """Pictures of one size, as networks see them: squares whose side is a power of two, or rectangles.

    Args:
        image_size: side of the square that the networks see, 8, 16, 32, 64, 128 or 256; or ``[height, width]``,
            multiples of 4 from 8 to 256. By default the smallest square that holds the pictures, and 128 for those that
            none up to that holds; where one side is at least 1.5 times the other, the smallest rectangle, within 256.
        fit: ``pad`` centres each picture on black, ``resize`` scales it. By default pad where the picture fits.
        kwargs: the options of :class:`GANDataModule`.
    """

    schema: ImageSchema

    def __init__(self, image_size: int | tuple[int, int] | None = None, fit: Fit | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.image_size = None if image_size is None else checked_size(image_size)
        self.fit = fit

    def _describe(self, height: int, width: int, channels: int, classes: tuple[str, ...]) -> ImageSchema:
        """The schema of pictures of this size, by the options."""
        image_size = self.image_size or usual_size(height, width)
        size = both(image_size)
        holds = height <= size[0] and width <= size[1]
        if self.fit == "pad" and not holds:
            longest = max(height, width)
            raise InputError(
                f"fit: pictures of {height}×{width} do not fit in {size[0]}×{size[1]}: choose fit resize"
                + (f" or an image_size of {next(s for s in SIZES if s >= longest)}" if longest <= SIZES[-1] else "")
            )
        if self.image_size is None and size != (height, width) and (size[0] != size[1] or not holds):
            rank_zero_info(
                f"pictures of {height}×{width} (height×width) are seen at {size[0]}×{size[1]}"
                + ("" if holds else ", scaled down, and samples are scaled up again")
                + ("; image_size 256 would hold them" if not holds and max(height, width) <= SIZES[-1] else "")
            )
        fit: Fit = self.fit or ("pad" if holds else "resize")
        return ImageSchema(
            classes=classes, height=height, width=width, channels=channels, image_size=image_size, fit=fit
        )

    def _table(self, pictures: np.ndarray, y: np.ndarray) -> Table:
        """Pictures uint8 (N, height, width, channels) and class ids (N,) as rows, stored as uint8."""
        fields = {"x": self.schema.encode(pictures), "y": torch.from_numpy(np.asarray(y, dtype=np.int64))}
        return Table(fields, transform=self.schema.prepare)


class Digits(ImageModule):
    """The 1797 handwritten digits inside scikit-learn, 8×8 and grey: nothing to download.

    Args:
        image_size: side of the square that the networks see, or ``[height, width]``. By default 16, since a network of
            halvings has but one of them at 8.
        fit: ``resize`` scales each picture, ``pad`` centres it on black.
        kwargs: the options of :class:`GANDataModule`.
    """

    def __init__(
        self, image_size: int | tuple[int, int] | None = 16, fit: Fit | None = "resize", **kwargs: Any
    ) -> None:
        super().__init__(image_size, fit, **kwargs)
        self.schema = self._describe(8, 8, 1, tuple("0123456789"))

    def load(self) -> tuple[Table, None]:
        """All digits; there is no test split."""
        digits = load_digits()
        pictures = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]  # the source counts 0..16
        return self._table(pictures, digits.target), None


class _Torchvision(ImageModule):
    """A data set of torchvision, with its own test split."""

    source: type[datasets.VisionDataset]
    names: tuple[str, ...]
    shape: tuple[int, int, int]
    folder: str

    def __init__(self, root: str | Path = "data", download: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.root = Path(root)
        self.download = download
        self.schema = self._describe(*self.shape, self.names)

    def prepare_data(self) -> None:
        """Download what is missing; Lightning calls this in one process a machine."""
        self._read(train=True)

    def load(self) -> tuple[Table, Table]:
        """The training and the test split of the source."""
        return self._table(*self._read(train=True)), self._table(*self._read(train=False))

    def _read(self, train: bool) -> tuple[np.ndarray, np.ndarray]:
        place = (self.root / self.folder).absolute()
        try:
            source: Any = self.source(self.root, train=train, download=self.download)
        except _UNREADABLE as error:
            reason = reason_of(error)
            if no_way := re.search(r"<urlopen error (?:\[Errno -?\d+\] )?([^>]+)>", reason):
                reason = no_way[1]
            raise InputError(
                f"{type(self).__name__}: not found whole in {place}, and "
                + (f"it could not be downloaded ({reason[:200]})" if self.download else "download is off")
                + ": place the original files there, or give a copy in .npz to ImageArrays"
            ) from None
        pictures = np.asarray(source.data)
        return pictures.reshape(len(pictures), *self.shape), np.asarray(source.targets)


class MNIST(_Torchvision):
    """MNIST: 60,000 + 10,000 handwritten digits, 28×28 and grey (LeCun et al. 1998).

    Args:
        root: folder that holds ``MNIST/raw`` with the four original files.
        download: fetch them where they are missing.
        kwargs: the options of :class:`ImageModule` and :class:`GANDataModule`.

    Raises:
        InputError: the files are neither there nor to be had; raised by ``setup``, not before.
    """

    source = datasets.MNIST
    names = tuple("0123456789")
    shape = (28, 28, 1)
    folder = "MNIST/raw"


class FashionMNIST(_Torchvision):
    """Fashion-MNIST: 60,000 + 10,000 pieces of clothing, 28×28 and grey (Xiao et al. 2017).

    Args:
        root: folder that holds ``FashionMNIST/raw`` with the four original files.
        download: fetch them where they are missing.
        kwargs: the options of :class:`ImageModule` and :class:`GANDataModule`.

    Raises:
        InputError: the files are neither there nor to be had; raised by ``setup``, not before.
    """

    source = datasets.FashionMNIST
    names = tuple(datasets.FashionMNIST.classes)
    shape = (28, 28, 1)
    folder = "FashionMNIST/raw"


class CIFAR10(_Torchvision):
    """CIFAR-10: 50,000 + 10,000 photographs of ten things, 32×32 in colour (Krizhevsky 2009).

    Args:
        root: folder that holds ``cifar-10-batches-py`` with the original batches.
        download: fetch them where they are missing.
        kwargs: the options of :class:`ImageModule` and :class:`GANDataModule`.

    Raises:
        InputError: the files are neither there nor to be had; raised by ``setup``, not before.
    """

    source = datasets.CIFAR10
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    shape = (32, 32, 3)
    folder = "cifar-10-batches-py"
