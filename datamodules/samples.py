"""Samples in files as rows like those of the data that they are for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from datamodules.errors import InputError
from datamodules.labels import unknown
from datamodules.scales import SeriesSchema
from datamodules.schema import Batch, ImageSchema, Schema
from datamodules.store import read_images, read_series, read_texts
from datamodules.tokens import END, TextSchema


def read_samples(path: Path, schema: Schema) -> tuple[Batch, bool]:
    """Samples in files as rows like those of the data.

    Args:
        path: what :mod:`datamodules.store` reads: folder or ``.npz`` of pictures, folder or file of sentences or
            series.
        schema: of the data.

    Returns:
        Rows as the data's are stored, with its class ids by the classes' names, 0 where either has no classes; and
        whether the samples have labels. A sentence without a token, as a model of characters may write one, is left
        out, with a warning.

    Raises:
        InputError: they cannot be read, or have another size, other columns or other classes than the data.
    """
    if isinstance(schema, ImageSchema):
        return _pictures(path, schema)
    if isinstance(schema, TextSchema):
        return _sentences(path, schema)
    if isinstance(schema, SeriesSchema):
        return read_series(path, schema)
    raise InputError(f"{path}: samples of {schema.kind} data cannot be read: give a data set of them")


def _pictures(path: Path, schema: ImageSchema) -> tuple[Batch, bool]:
    known: Any = schema.channels if schema.channels in (1, 3, 4) else None
    pictures, y, classes = read_images(path, channels=known)
    expected = (schema.height, schema.width, schema.channels)
    if pictures.shape[1:] != expected:
        found, wanted = (f"{h}×{w} with {c} channels" for h, w, c in (pictures.shape[1:], expected))
        raise InputError(f"{path}: the samples are {found}, the data are {wanted}")
    return {"x": schema.encode(pictures), "y": _ids(path, schema, y, classes, len(pictures))}, y is not None


def _sentences(path: Path, schema: TextSchema) -> tuple[Batch, bool]:
    texts, y, classes = read_texts(path)
    blank = [END] * (1 if schema.ends else schema.max_length)  # holds the place, so that errors count every sentence
    try:
        ids = [schema.ids(text) for text in texts]
        x, length = schema.pad([tokens or blank for tokens in ids])
    except InputError as error:
        raise InputError(f"{path}: {error}, as in the data") from None
    rows = {"x": x, "length": length, "y": _ids(path, schema, y, classes, len(texts))}
    full = torch.tensor([bool(tokens) for tokens in ids])
    if not full.all():
        rank_zero_warn(f"{path}: {int((~full).sum())} of {len(texts)} samples have no token: left out")
    return {name: field[full] for name, field in rows.items()}, y is not None


def _ids(path: Path, schema: Schema, y: np.ndarray | None, classes: tuple[str, ...], count: int) -> Tensor:
    """The data's ids of class ids that belong to other names; 0 where either has no classes."""
    if y is None or not schema.labelled:
        return torch.zeros(count, dtype=torch.long)
    others = [name for name in classes if name not in schema.classes]
    if others:
        raise InputError(f"{path}: {unknown(others[0], 'the data', schema.classes)}")
    return torch.tensor([schema.classes.index(name) for name in classes])[torch.from_numpy(y)]
