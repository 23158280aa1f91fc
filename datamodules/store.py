"""``Store``: how samples of a kind of data are written, and read as rows like those of the data that they are for."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from datamodules.errors import InputError
from datamodules.labels import renumbered
from datamodules.schema import Batch, Schema


class Store:
    """Base of those of each kind of data, which Python finds by their ``kind`` once they are imported."""

    kind: ClassVar[str]
    formats: ClassVar[tuple[str, ...]]
    """In which samples are written; the first is the default."""
    _stores: ClassVar[dict[str, type[Store]]] = {}

    def __init_subclass__(cls) -> None:
        Store._stores[cls.kind] = cls

    @classmethod
    def possible(cls, schema: Any) -> tuple[str, ...]:
        """Those of ``formats`` in which samples of such data can be written."""
        return cls.formats

    @staticmethod
    def write(schema: Any, shards: Iterable[Batch], out: Path, format: Any) -> None:
        """Write samples; every file appears whole or not at all.

        Args:
            schema: of the model that made them.
            shards: any number of batches as the model makes them, with ``index`` int64 (n,); of an index that comes
                again the last counts.
            out: folder to write in, made where it is missing.
            format: one of ``formats``.

        Raises:
            InputError: they cannot be written so, or ``out`` cannot be a folder.
        """
        raise NotImplementedError

    @staticmethod
    def read(path: Path, schema: Any) -> tuple[Batch, bool]:
        """What :func:`read_samples` returns, of one kind of data."""
        raise NotImplementedError


def store_of(schema: Schema) -> type[Store]:
    """That of the schema's kind.

    Raises:
        InputError: there is none.
    """
    if schema.kind not in Store._stores:
        import_module("datamodules.public")  # not at the top: those of the kinds here stand on this file
    if schema.kind not in Store._stores:
        raise InputError(f"there is no Store of {schema.kind} data: samples of them cannot be written or read")
    return Store._stores[schema.kind]


def read_samples(path: Path, schema: Schema) -> tuple[Batch, bool]:
    """Samples in files as rows like those of the data.

    Args:
        path: folder or ``.npz`` of pictures, folder or file of sentences or series.
        schema: of the data.

    Returns:
        Rows as the data's are stored, with its class ids by the classes' names, 0 where either has no classes; and
        whether the samples have labels. A sentence without a token, as a model of characters may write one, is left
        out, with a warning.

    Raises:
        InputError: they cannot be read, or have another size, other columns or other classes than the data.
    """
    return store_of(schema).read(path, schema)


def own_ids(path: Path, schema: Schema, y: np.ndarray | None, classes: tuple[str, ...], count: int) -> Tensor:
    """The data's ids, int64 (count,), of ids of classes that have these names; 0 where either has no classes.

    Raises:
        InputError: a class that the data do not have.
    """
    if y is None or not classes or not schema.labelled:
        return torch.zeros(count, dtype=torch.long)
    return torch.from_numpy(renumbered(y, classes, schema.classes, path, "the data"))
