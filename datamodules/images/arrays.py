"""Pictures from ``.npz`` files: which arrays, channels and range; ImageArrays."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, cast

import numpy as np
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from datamodules.errors import InputError
from datamodules.files.archive import Archive
from datamodules.images.blank import Look
from datamodules.images.ranges import Extent, Range, asked_range, beyond, found_range
from datamodules.images.sources import ImageModule
from datamodules.rows import Table
from datamodules.splits import own_splits

NAMES: tuple[dict[str, tuple[str, str]], ...] = (  # of the arrays of pictures and of labels
    {"train": ("x", "y"), "val": ("x_val", "y_val"), "test": ("x_test", "y_test")},
    {"train": ("x_train", "y_train"), "val": ("x_val", "y_val"), "test": ("x_test", "y_test")},
    {split: (f"{split}_images", f"{split}_labels") for split in ("train", "val", "test")},  # MedMNIST's
)


class ImageSource:
    """The pictures and labels of an ``.npz`` file, checked.

    What :class:`ImageArrays` documents. The labels are read at once, the pictures when :meth:`pictures` is called.
    """

    def __init__(
        self, path: str | Path, value_range: tuple[float, float] | None = None, group: str | None = None
    ) -> None:
        self.archive = archive = Archive(path)
        self.group = group
        self._asked, self._found = asked_range(value_range), cast(Range | None, None)
        self.arrays = self._find()
        self.splits: tuple[str, ...] = tuple(self.arrays)
        shapes = {split: self._shape(x) for split, (x, _) in self.arrays.items()}
        for split, shape in shapes.items():
            if shape[1:] != shapes["train"][1:]:
                sizes = " and ".join("×".join(map(str, one[1:])) for one in (shapes["train"], shape))
                names = f"{self.arrays['train'][0]} and {self.arrays[split][0]}"
                raise InputError(f"{archive.path}: {names} hold pictures of different shapes, {sizes}")
        _, self.height, self.width, self.channels = shapes["train"]
        self.counts = {split: shape[0] for split, shape in shapes.items()}
        self.y, self.classes = archive.labels({s: (*self.arrays[s], n) for s, n in self.counts.items()})

    def _find(self) -> dict[str, tuple[str, str]]:
        """Names of the arrays of pictures and of labels, by split."""
        archive = self.archive
        found = [names for names in NAMES if names["train"][0] in archive]
        if not found:
            raise InputError(
                f"{archive.path}: no array x, nor x_train or train_images: the file holds"
                f" {', '.join(archive.keys) or 'nothing'}"
            )
        if len(found) > 1:
            both = " and ".join(names["train"][0] for names in found)
            raise InputError(f"{archive.path}: holds {both}: leave the pictures to train on in one of them")
        splits = {role: pair for role, pair in found[0].items() if pair[0] in archive}
        known = {"layout", "classes", "index", self.group, *(name for pair in splits.values() for name in pair)}
        if others := [key for key in archive.keys if key not in known]:
            rank_zero_info(f"{archive.path}: arrays that are not read: {', '.join(others)}")
        return splits

    def pictures(self, split: str) -> np.ndarray:
        """The pictures of a split as uint8 (N, height, width, channels).

        Raises:
            InputError: values that are no pixels.
        """
        name = self.arrays[split][0]
        x = self.archive[name]
        if x.dtype != np.uint8 or self._asked is not None:
            x = self._scaled(split, x)
        if x.ndim == 4 and self._channels_first(name, x.shape):
            return np.moveaxis(x, 1, 3)
        return x[..., None] if x.ndim == 3 else x

    def _scaled(self, split: str, x: np.ndarray) -> np.ndarray:
        """Numbers to bytes, from the range of the training pictures."""
        path, name = self.archive.path, self.arrays[split][0]
        known = self._asked or self._range(split, x)
        if known.asked and split == "train" and x.dtype.itemsize > 1:
            rank_zero_info(f"{path}: {known.said}")
        pixels, cut = np.empty(x.shape, dtype=np.uint8), 0
        for first, part in _parts(name, path, x):
            outside = np.array([known.outside(row) for row in part])
            if known.asked and outside.any():
                row = int(outside.argmax())
                raise InputError(f"{path}: {name} has {beyond(part[row], known)}, in row {first + row}")
            pixels[first : first + len(part)] = known.pixels(part)
            cut += int(outside.sum())
        if cut:
            rank_zero_warn(
                f"{path}: {cut} of {len(x)} pictures in {name} have pixels beyond the range of the training pictures,"
                " cut off there: set value_range"
            )
        return pixels

    def _range(self, split: str, x: np.ndarray) -> Range:
        path, (name, _), (train, _) = self.archive.path, self.arrays[split], self.arrays["train"]
        theirs = self.archive.header(train)[1]
        if split != "train" and _alike(x.dtype, theirs):
            if self._found is None:
                self._range("train", self.archive[train])
            assert self._found is not None
            return self._found
        extents = [Extent.of(part) for _, part in _parts(name, path, x)]
        try:
            found = found_range(reduce(or_, extents))
        except InputError as error:
            raise InputError(f"{path}: {name}: {error}") from None
        if found.said:
            rank_zero_info(f"{path}: {found.said}; another range by value_range")
        if split == "train":
            self._found = found
        return found

    def _shape(self, name: str) -> tuple[int, int, int, int]:
        """(N, height, width, channels)."""
        path = self.archive.path
        shape, dtype = self.archive.header(name)
        if len(shape) not in (3, 4):
            raise InputError(f"{path}: {name} has shape {shape}: pictures are (N, H, W), (N, H, W, C) or (N, C, H, W)")
        if not all(shape):
            raise InputError(f"{path}: {name} has shape {shape}: there are no pictures in it")
        if dtype.kind not in "biuf":
            raise InputError(f"{path}: {name} is {dtype}: pictures are numbers, best uint8 0 to 255")
        if len(shape) == 3:
            return (*shape, 1)
        if self._channels_first(name, shape):
            return shape[0], shape[2], shape[3], shape[1]
        return shape[0], shape[1], shape[2], shape[3]

    def _channels_first(self, name: str, shape: tuple[int, ...]) -> bool:
        """Which of axes 1 and 3 holds the channels: that of 1, 3 or 4, else that smaller than the other two."""
        if "layout" in self.archive:
            layout = self.archive.word("layout")
            if layout not in ("NHWC", "NCHW"):
                raise InputError(f"{self.archive.path}: layout must be NHWC or NCHW, not {layout}")
            return layout == "NCHW"
        first, last = shape[1] in (1, 3, 4), shape[3] in (1, 3, 4)
        if first == last:
            first, last = shape[1] < min(shape[2:]), shape[3] < min(shape[1:3])
        if first == last:
            raise InputError(
                f"{self.archive.path}: {name} has shape {shape}, and which axis holds the channels is unclear:"
                " add an array layout, 'NHWC' or 'NCHW'"
            )
        return first


class ImageArrays(ImageModule):
    """Pictures and labels from a ``.npz`` file.

    The file holds ``x`` and, where there are labels, ``y``; or ``x_train``, ``y_train``, ``x_val``, ``y_val``,
    ``x_test``, ``y_test``; or ``train_images``, ``train_labels``, ``val_images`` and so on, as MedMNIST has them. What
    there is of ``val`` and ``test`` is used as such; what there is not is held out of the training rows. Pictures
    are (N, H, W), (N, H, W, C) or (N, C, H, W), where C is the axis of 1, 3 or 4, else the smallest; an array
    ``layout`` with ``NHWC`` or ``NCHW`` settles it. Labels are whole numbers or strings; beside an array ``classes`` of
    names they are ids into it.

    Pictures are best uint8. Other whole numbers are scaled to 8 bits from the bits that the pictures of ``x`` or
    ``x_train`` use, before any are held out, floats from 0 to 1 (or -1 to 1 where some are negative), or, where they
    lie elsewhere, from the least to the most: it is said which.

    Args:
        path: of the file.
        value_range: ``[low, high]``, the numbers that are black and white. Others are refused.
        kwargs: the options of :class:`ImageModule` and :class:`GANDataModule`.

    Raises:
        InputError: the file cannot be read as this says. Pixels are only looked at by ``setup``.
    """

    def __init__(self, path: str | Path, value_range: tuple[float, float] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = Path(path)
        self._source = source = ImageSource(path, value_range, self.group)
        if len(source.counts) > 1:
            rank_zero_info(f"{self.path}: {own_splits(source.counts, self.test_fraction, self.val_fraction)}")
        self.schema = self._describe(source.height, source.width, source.channels, source.classes)

    def groups(self) -> np.ndarray:
        """Of the array ``group``, a group for each training row."""
        return self._source.archive.groups(str(self.group), self._source.counts["train"])

    def load(self) -> tuple[Table, Table | None, Table | None]:
        """The training rows, and those of ``test`` and ``val``, where the file has them."""
        source = self._source
        pictures, look = {split: source.pictures(split) for split in source.counts}, Look()
        for picture in pictures["train"]:
            look.at(picture)
            if look.enough:
                break
        if warning := look.warning():
            rank_zero_warn(f"{self.path}: {warning}")
        tables = {split: self._table(x, source.y[split]) for split, x in pictures.items()}
        return tables["train"], tables.get("test"), tables.get("val")


def _alike(a: np.dtype[Any], b: np.dtype[Any]) -> bool:
    """Whether pictures of these types are scaled alike: both of floats, or both of whole numbers beyond bytes."""
    return a == b or (a.kind == b.kind == "f") or all(one.kind in "iu" and one.itemsize > 1 for one in (a, b))


def _parts(name: str, path: Path, x: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Rows in parts, and the number of the first: numbers of a part may take eight times as much as bytes."""
    for first in range(0, len(x), 1024):
        part = x[first : first + 1024]
        bad = ~np.isfinite(part).reshape(len(part), -1).all(axis=1)
        if bad.any():
            raise InputError(
                f"{path}: {name} has a value that is no number in row {first + int(bad.argmax())}: remove the row or"
                " fill it in"
            )
        yield first, part
