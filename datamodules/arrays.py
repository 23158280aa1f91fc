"""Arrays from ``.npz`` files: opened without pickle, described without reading them; ImageArrays."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.base import Table
from datamodules.errors import InputError
from datamodules.images import ImageModule
from datamodules.labels import stripped
from datamodules.schema import label_ids


class Archive:
    """An ``.npz`` file whose arrays are read one at a time; keys, shapes and types are known from the headers alone.

    Args:
        path: of the file.

    Raises:
        InputError: the file is missing, or no ``.npz``; later, an array is broken or would need pickle to read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise InputError(f"no file {self.path}: check the path")
        if self.path.is_dir():
            raise InputError(f"{self.path} is a folder: give a .npz file, or use ImageFolder for a folder of pictures")
        try:
            with zipfile.ZipFile(self.path) as archive:
                names = archive.namelist()
        except (OSError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{self.path}: not a .npz file, or cut short ({_line(error)}): write it with numpy.savez"
            ) from None
        self.keys = [name.removesuffix(".npy") for name in names if name.endswith(".npy")]

    def __contains__(self, key: str) -> bool:
        return key in self.keys

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and type of an array, without reading it.

        Raises:
            InputError: there is no such array, or it is broken or holds Python objects.
        """

        def read(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
            version = np.lib.format.read_magic(file)
            reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = reader(file)
            return shape, dtype

        shape, dtype = self._open(key, read)
        if dtype.hasobject:
            raise InputError(
                f"{self.path}: {key} holds Python objects, which cannot be read safely: save numbers,"
                " or strings by way of numpy.array(..., dtype=str)"
            )
        return shape, dtype

    def __getitem__(self, key: str) -> np.ndarray:
        self.header(key)
        array: np.ndarray = self._open(key, lambda file: np.lib.format.read_array(file, allow_pickle=False))
        return array

    def _open(self, key: str, read: Callable[[Any], Any]) -> Any:
        if key not in self:
            raise InputError(f"{self.path}: no array {key}: the file holds {', '.join(self.keys) or 'nothing'}")
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{key}.npy") as file:
                return read(file)
        except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise InputError(f"{self.path}: the array {key} is damaged ({_line(error)}): write the file anew") from None


class ImageSource:
    """The pictures and labels of an ``.npz`` file, checked.

    What :class:`ImageArrays` documents. The labels are read at once, the pictures when :meth:`pictures` is called.
    """

    def __init__(self, path: str | Path) -> None:
        self.archive = archive = Archive(path)
        self.splits = ("_train", "_test") if "x_train" in archive and "x_test" in archive else ("",)
        if self.splits == ("",) and "x" not in archive:
            if "x_train" not in archive:
                raise InputError(
                    f"{archive.path}: no array x, nor x_train and x_test: the file holds"
                    f" {', '.join(archive.keys) or 'nothing'}"
                )
            self.splits = ("_train",)
        shapes = {split: self._shape(f"x{split}") for split in self.splits}
        if len({shape[1:] for shape in shapes.values()}) > 1:
            sizes = " and ".join("×".join(map(str, shape[1:])) for shape in shapes.values())
            raise InputError(f"{archive.path}: x_train and x_test hold pictures of different shapes, {sizes}")
        _, self.height, self.width, self.channels = shapes[self.splits[0]]
        self.y, self.classes = self._labels({split: shape[0] for split, shape in shapes.items()})

    def pictures(self, split: str) -> np.ndarray:
        """The pictures of a split as uint8 (N, height, width, channels).

        Raises:
            InputError: values that are no pixels.
        """
        name = f"x{split}"
        x = self.archive[name]
        if x.dtype != np.uint8:
            x = self._scaled(name, x)
        if x.ndim == 4 and self._channels_first(name, x.shape):
            return np.moveaxis(x, 1, 3)
        return x[..., None] if x.ndim == 3 else x

    def _scaled(self, name: str, x: np.ndarray) -> np.ndarray:
        pixels = np.empty(x.shape, dtype=np.uint8)
        for first in range(0, len(x), 1024):  # in parts: the float copy of a part stays small
            part = x[first : first + 1024].astype(np.float32)
            bad = ~np.isfinite(part).reshape(len(part), -1).all(axis=1)
            if bad.any():
                raise InputError(
                    f"{self.archive.path}: {name} has a value that is no number in row {first + int(bad.argmax())}:"
                    " remove the row or fill it in"
                )
            if part.min(initial=0) < 0 or part.max(initial=0) > 1:
                raise InputError(
                    f"{self.archive.path}: {name} is {x.dtype} from {np.nanmin(x):.4g} to {np.nanmax(x):.4g}:"
                    " floats must lie in 0 to 1, or save the pictures as uint8 0 to 255"
                )
            pixels[first : first + 1024] = np.rint(part * 255)
        return pixels

    def _shape(self, name: str) -> tuple[int, int, int, int]:
        """(N, height, width, channels)."""
        path = self.archive.path
        shape, dtype = self.archive.header(name)
        if len(shape) not in (3, 4):
            raise InputError(f"{path}: {name} has shape {shape}: pictures are (N, H, W), (N, H, W, C) or (N, C, H, W)")
        if not all(shape):
            raise InputError(f"{path}: {name} has shape {shape}: there are no pictures in it")
        if dtype != np.uint8 and dtype.kind != "f":
            found = ""
            if dtype.kind in "iub":
                x = self.archive[name]
                found = f" from {x.min()} to {x.max()}"
            raise InputError(
                f"{path}: {name} is {dtype}{found}: save the pictures as uint8 0 to 255, or as floats 0 to 1"
            )
        if len(shape) == 3:
            return (*shape, 1)
        if self._channels_first(name, shape):
            return shape[0], shape[2], shape[3], shape[1]
        return shape[0], shape[1], shape[2], shape[3]

    def _channels_first(self, name: str, shape: tuple[int, ...]) -> bool:
        """Which of axes 1 and 3 holds the channels: that of 1, 3 or 4, else that smaller than the other two."""
        if "layout" in self.archive:
            layout = str(self.archive["layout"])
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

    def _labels(self, rows: dict[str, int]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
        """Class ids by split, and the classes' names."""
        path = self.archive.path
        names = {split: f"y{split}" for split in rows}
        present = [name for name in names.values() if name in self.archive]
        if "classes" in self.archive and self.archive.header("classes")[0] == (0,):
            present = []  # samples of a model without classes
        if not present:
            return {split: np.zeros(n, dtype=np.int64) for split, n in rows.items()}, ()
        labels = {}
        for split, name in names.items():
            shape, dtype = self.archive.header(name)
            if shape not in ((rows[split],), (rows[split], 1)):
                raise InputError(
                    f"{path}: x{split} has {rows[split]} rows and {name} has shape {shape}: one label a row is needed"
                )
            y = self.archive[name].reshape(-1)
            if dtype.kind == "S":
                try:
                    y = np.char.decode(y, "utf-8")
                except UnicodeDecodeError:
                    raise InputError(f"{path}: {name} holds bytes that are not UTF-8: write strings") from None
            elif dtype.kind == "f":
                odd = ~np.isfinite(y) | (y != np.trunc(y))
                if odd.any():
                    row = int(odd.argmax())
                    raise InputError(f"{path}: {name} has {y[row]} in row {row}: labels are whole numbers or strings")
                y = y.astype(np.int64)
            elif dtype.kind not in "iubU":
                raise InputError(f"{path}: {name} is {dtype}: labels are whole numbers or strings")
            if y.dtype.kind == "U":
                where = f"{path}: {name}"
                y = np.array(stripped(y.tolist(), where, partial("{}, row {}".format, where)))
            labels[split] = y
        if "classes" in self.archive:
            return self._named(labels, names)
        ids, classes = label_ids(np.concatenate(list(labels.values())))  # type: ignore[arg-type]
        return dict(zip(labels, np.split(ids, np.cumsum([len(y) for y in labels.values()])[:-1]), strict=True)), classes

    def _named(
        self, labels: dict[str, np.ndarray], names: dict[str, str]
    ) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
        path = self.archive.path
        classes = tuple(str(name) for name in self.archive["classes"].reshape(-1).tolist())
        if len(set(classes)) < len(classes):
            raise InputError(f"{path}: classes names {next(c for c in classes if classes.count(c) > 1)} twice")
        for split, y in labels.items():
            if y.dtype.kind not in "iu":
                raise InputError(f"{path}: {names[split]} is {y.dtype}: beside classes it must hold ids, whole numbers")
            wrong = (y < 0) | (y >= len(classes))
            if wrong.any():
                row = int(wrong.argmax())
                raise InputError(
                    f"{path}: {names[split]} has {y[row]} in row {row}, and classes names {len(classes)},"
                    f" 0 to {len(classes) - 1}"
                )
            labels[split] = y.astype(np.int64)
        return labels, classes


class ImageArrays(ImageModule):
    """Pictures and labels from a ``.npz`` file.

    The file holds ``x`` and, where there are labels, ``y``; or ``x_train``, ``y_train``, ``x_test``, ``y_test``.
    Pictures are uint8, or floats in [0, 1]: (N, H, W), (N, H, W, C) or (N, C, H, W), where C is the axis of 1, 3 or 4,
    else the smallest; an array ``layout`` with ``NHWC`` or ``NCHW`` settles it. Labels are whole numbers or strings;
    beside an array ``classes`` of names they are ids into it.

    Args:
        path: of the file.
        kwargs: the options of :class:`ImageModule` and :class:`GANDataModule`.

    Raises:
        InputError: the file cannot be read as this says. Pixels are only looked at by ``setup``.
    """

    def __init__(self, path: str | Path, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = Path(path)
        self._source = source = ImageSource(path)
        self.schema = self._describe(source.height, source.width, source.channels, source.classes)

    def load(self) -> tuple[Table, Table | None]:
        """The rows of ``x`` or ``x_train``, and those of ``x_test``."""
        tables = [self._table(self._source.pictures(split), self._source.y[split]) for split in self._source.splits]
        return tables[0], tables[1] if len(tables) > 1 else None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
