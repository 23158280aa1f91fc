"""Rows and labels in the containers of numpy and pandas, to arrays, and samples back into the same containers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch

from datamodules.errors import InputError
from datamodules.images.schema import ImageSchema
from datamodules.schema import Schema
from datamodules.series.schema import SeriesSchema
from datamodules.text.schema import TextSchema


def as_array(rows: Any) -> np.ndarray:
    """N rows, N ≥ 1.

    Raises:
        InputError: they have different shapes, or there are none.
    """
    try:
        array = _as_given(rows)
    except ValueError:
        raise InputError("X: rows of different shapes: give an array, or a list of strings") from None
    if not array.ndim:
        raise InputError(f"X: give N rows as an array, a data frame or a list of strings, not {type(rows).__name__}")
    if not len(array):
        raise InputError("X: no rows")
    return array


def _as_given(values: Any) -> np.ndarray:
    """As an array, in which a list of strings that holds something else too does not become one of strings alone."""
    array = np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values)
    if array.dtype == object and isinstance(values, pd.DataFrame):  # of types that may have gaps
        types = pd.api.types
        for column, dtype in values.dtypes.items():
            if types.is_bool_dtype(dtype):
                raise InputError(
                    f"X: the column {column} is of true and false, and a sample may be neither: give numbers"
                )
        if all(map(types.is_numeric_dtype, values.dtypes)):
            numbers: np.ndarray = values.to_numpy(dtype=np.float64, na_value=np.nan)
            return numbers
    mixed = isinstance(values, list | tuple) and array.dtype.kind in "US"
    return np.asarray(values, dtype=object) if mixed else array


def label_values(y: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The labels' values (K,) and the class ids int64 (N,).

    Raises:
        InputError: there is not one for each row, or they cannot be sorted.
    """
    labels = _as_given(y)
    if labels.shape == (count, 1):  # a table of one column
        labels = labels[:, 0]
    if labels.shape != (count,):
        raise InputError(f"y {labels.shape}: X has {count} rows, which want a label each")
    if bool(pd.isna(labels).any()):
        raise InputError(f"y: row {int(np.flatnonzero(pd.isna(labels))[0])} has no label")
    try:
        values, ids = np.unique(labels, return_inverse=True)
    except TypeError:
        raise InputError("y: labels of different kinds cannot be sorted: make them all strings") from None
    return values, ids.astype(np.int64)


def decoded(schema: Schema, x: torch.Tensor, rows: np.ndarray) -> np.ndarray:
    """Samples as they are stored, in the type of the rows that were learnt from."""
    if isinstance(schema, ImageSchema):
        return schema.decode(schema.prepare({"x": x})["x"])
    if isinstance(schema, TextSchema):
        return np.array(schema.decode(x), dtype=object)
    assert isinstance(schema, SeriesSchema)
    values = schema.decode(x)
    return (np.rint(values) if rows.dtype.kind in "iu" else values).astype(rows.dtype)


def extended(given: Any, made: np.ndarray) -> Any:
    """What was given with the new rows after it: a list, pandas Series or DataFrame, a tensor, or an array."""
    if isinstance(given, torch.Tensor):
        return torch.from_numpy(extended(given.detach().cpu().numpy(), made)).to(given.device)
    if isinstance(given, list | tuple):
        made = made.reshape(len(made), *np.asarray(given).shape[1:])
        new = list(made.astype(given[0].dtype)) if isinstance(given[0], np.ndarray) else made.tolist()
        return (*given, *new) if isinstance(given, tuple) else [*given, *new]
    if isinstance(given, pd.Series):
        given = _widened(given, made)
        return pd.concat([given, pd.Series(made, dtype=given.dtype, name=given.name)], ignore_index=True)
    if isinstance(given, pd.DataFrame):
        table = made.reshape(len(made), -1)
        parts = [extended(given.iloc[:, k], _whole(table[:, k], dtype)) for k, dtype in enumerate(given.dtypes)]
        return pd.concat(parts, axis=1)
    array = np.asarray(given)
    made = made.reshape(len(made), *array.shape[1:])
    return np.concatenate([array, made.astype(str) if array.dtype.kind == "U" else made.astype(array.dtype)])


def _widened(given: pd.Series, made: np.ndarray) -> pd.Series:
    """A column of categories as one of their own type, where new rows are none of them."""
    if isinstance(given.dtype, pd.CategoricalDtype) and not set(made.tolist()) <= set(given.cat.categories):
        return given.astype(given.cat.categories.dtype)
    return given


def _whole(values: np.ndarray, dtype: Any) -> np.ndarray:
    """Numbers of a column of whole ones rounded, and held in its range."""
    if not pd.api.types.is_integer_dtype(dtype):
        return values
    limits = np.iinfo(getattr(dtype, "numpy_dtype", dtype))
    return np.rint(values.astype(np.float64)).clip(limits.min, limits.max)


def listed(values: np.ndarray) -> str:
    """The first of them, for a message."""
    return ", ".join(str(value) for value in values[:20].tolist()) + (", …" if len(values) > 20 else "")


def as_bytes(rows: np.ndarray) -> str:
    """How numbers (N, H, W) that may be pictures become bytes; empty where they hardly are: small ones or long ones."""
    low, high = float(rows.min()), float(rows.max())
    height, width = rows.shape[1:]
    if low >= 0 and high <= 255 and bool((rows % 1 == 0).all()):
        return "X.astype('uint8')" if high > 127 else f"(X * {255 // max(1, int(high))}).astype('uint8')"
    if height == width and height >= 8 and low >= -1 and high <= 1:
        return "(X * 255).astype('uint8')" if low >= 0 else "((X + 1) * 127.5).astype('uint8')"
    return ""
