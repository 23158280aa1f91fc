"""``Archive``: arrays of an ``.npz`` file, opened without pickle and described without reading them; labels in it."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from lightning.pytorch.utilities import rank_zero_info

from datamodules.errors import InputError, reason_of
from datamodules.labels import stripped
from datamodules.schema import label_ids

T = TypeVar("T")


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
                f"{self.path}: not a .npz file, or cut short ({reason_of(error)}): write it with numpy.savez"
            ) from None
        self.keys = [name.removesuffix(".npy") for name in names if name.endswith(".npy")]

    def __contains__(self, key: str) -> bool:
        return key in self.keys

    def header(self, key: str, instead: str = "") -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and type of an array, without reading it.

        Args:
            key: its name.
            instead: what to do where it holds Python objects.

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
                f"{self.path}: {key} holds Python objects, which cannot be read safely: "
                + (instead or "save numbers, or strings by way of numpy.array(..., dtype=str)")
            )
        return shape, dtype

    def __getitem__(self, key: str) -> np.ndarray:
        """The array; of bytes, as numpy's ``S`` has them, the strings that they mean."""
        self.header(key)
        array: np.ndarray = self._open(key, lambda file: np.lib.format.read_array(file, allow_pickle=False))
        if array.dtype.kind != "S":
            return array
        try:
            return np.char.decode(array, "utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{self.path}: {key} holds bytes that are not UTF-8: write strings") from None

    def _open(self, key: str, read: Callable[[Any], Any]) -> Any:
        if key not in self:
            raise InputError(f"{self.path}: no array {key}: the file holds {', '.join(self.keys) or 'nothing'}")
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{key}.npy") as file:
                return read(file)
        except (OSError, ValueError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
            raise InputError(
                f"{self.path}: the array {key} is damaged ({reason_of(error)}): write the file anew"
            ) from None

    def word(self, key: str) -> str:
        """The word in an array that holds one, whatever its shape."""
        array = self[key].reshape(-1)
        return str(array[0]) if len(array) == 1 else ""

    def labels(self, arrays: Mapping[T, tuple[str, str, int]]) -> tuple[dict[T, np.ndarray], tuple[str, ...]]:
        """Class ids by split, and the classes' names.

        Args:
            arrays: by split, the names of the arrays of rows and of labels, and the number of rows; the split to train
                on first.

        Raises:
            InputError: labels that are no whole numbers or strings, or not one a row; a class that the split to train
                on has not.
        """
        path = self.path
        names = {split: y for split, (_, y, _) in arrays.items()}
        present = [name for name in names.values() if name in self]
        if "classes" in self and self.header("classes")[0] == (0,):
            present = []  # samples of a model without classes
        if not present:
            if "classes" in self:
                wanted = " or ".join(dict.fromkeys(names.values()))
                rank_zero_info(f"{path}: classes is not read, since there are no labels: name their array {wanted}")
            return {split: np.zeros(n, dtype=np.int64) for split, (_, _, n) in arrays.items()}, ()
        labels: dict[T, np.ndarray] = {}
        for split, (x, name, count) in arrays.items():
            shape, dtype = self.header(name)
            if shape not in ((count,), (count, 1)):
                raise InputError(
                    f"{path}: {x} has {count} rows and {name} has shape {shape}: one label a row is needed"
                )
            y = self[name].reshape(-1)
            if dtype.kind in "fu":
                floats = dtype.kind == "f"
                odd = ~np.isfinite(y) | (y != np.trunc(y)) if floats else np.zeros(count, dtype=bool)
                for wrong, why in (
                    (odd, ": labels are whole numbers or strings"),
                    (np.abs(y) > (2.0**53 if floats else np.uint64(2**63 - 1)), ", too large a number: use strings"),
                ):
                    if wrong.any():
                        row = int(wrong.argmax())
                        raise InputError(f"{path}: {name} has {y[row]} in row {row}{why}")
                y = y.astype(np.int64)
            elif dtype.kind not in "ibSU":
                raise InputError(f"{path}: {name} is {dtype}: labels are whole numbers or strings")
            if y.dtype.kind == "U":
                where = f"{path}: {name}"
                y = np.array(stripped(y.tolist(), where, partial("{}, row {}".format, where)))
                if (y == "").any() and "classes" not in self:
                    raise InputError(f"{where} is empty in row {int((y == '').argmax())}: label it, or leave it out")
            labels[split] = y
        if "classes" in self:
            labels, classes = self._named(labels, names)
        else:
            ids, classes = label_ids(np.concatenate(list(labels.values())))
            parts = np.split(ids, np.cumsum([len(y) for y in labels.values()])[:-1])
            labels = dict(zip(labels, parts, strict=True))
        first, *others = labels
        for split in others:
            if len(only := np.setdiff1d(labels[split], labels[first])):
                raise InputError(f"{path}: the class {classes[only[0]]} is in {names[split]} and not in {names[first]}")
        return labels, classes

    def groups(self, name: str, rows: int) -> np.ndarray:
        """The group of each row, str (N,), of an array of whole numbers or strings.

        Raises:
            InputError: it is none, or does not hold one a row.
        """
        shape, dtype = self.header(name)
        if shape not in ((rows,), (rows, 1)) or dtype.kind not in "iubSU":
            raise InputError(
                f"{self.path}: {name} is {dtype} of shape {shape}: a group for each of {rows} rows is needed, whole"
                " numbers or strings"
            )
        where = f"{self.path}: {name}"
        named = self[name].reshape(-1).astype(str).tolist()
        return np.array(stripped(named, where, partial("{}, row {}".format, where), what="group"), dtype=str)

    def _named(self, labels: dict[T, np.ndarray], names: dict[T, str]) -> tuple[dict[T, np.ndarray], tuple[str, ...]]:
        path = self.path
        classes = tuple(str(name) for name in self["classes"].reshape(-1).tolist())
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
