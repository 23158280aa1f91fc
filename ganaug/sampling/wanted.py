"""Which samples are wanted: how many, of which classes, with which attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from datamodules.errors import InputError
from datamodules.files.table import TableFile
from datamodules.options import in_range
from datamodules.series.schema import SeriesSchema
from ganaug.gans.base import GAN

MOST = 10**9  # samples


def choose_labels(model: GAN, labels: str | Sequence[str | int] | None) -> list[int]:
    """Class ids of the labels asked for: all where none are, and one id, 0, where the model has no classes.

    Raises:
        InputError: an unknown or repeated label, or labels for a model without classes.
    """
    if labels is None:
        return list(range(model.schema.num_classes)) if model.conditional else [0]
    if not model.conditional:
        raise InputError(
            f"labels {labels!r}: this {type(model).__name__} was trained without classes; leave --labels out"
        )
    if not isinstance(labels, str):
        names = np.atleast_1d(labels).tolist()
    elif labels in model.schema.classes:  # a name may hold a comma
        names = [labels]
    else:
        names = [part.strip() for part in labels.split(",")]
    if not names:
        raise InputError("labels: give at least one, or leave --labels out for all")
    return model.schema.class_ids("labels", names)


def wanted_rows(model: GAN, path: Path) -> tuple[Tensor, dict[str, Tensor]]:
    """Class ids (N,) of a table of wanted samples, and what else their rows ask for.

    Raises:
        InputError: it cannot be read, or asks for a class or an attribute that the model does not know.
    """
    schema = model.schema
    label = schema.label_column if isinstance(schema, SeriesSchema) else "label"
    static = schema.static if isinstance(schema, SeriesSchema) else ()
    table = TableFile(Path(path), {label, *static})
    unknown = [name for name in table.names if name not in (*static, *([label] if model.conditional else []))]
    if unknown:
        known = ", ".join([*([label] if model.conditional else []), *static]) or "(none)"
        raise InputError(f"{path}: no column {unknown[0]!r} can be asked for; known are {known}")
    series = schema if isinstance(schema, SeriesSchema) else None
    categories = dict(zip(static, series.static_categories, strict=True)) if series else {}
    columns: dict[str, Any] = {
        name: table.words(name) if name == label or categories[name] else _measured(table, name) for name in table.names
    }
    y = torch.zeros(len(table.frame), dtype=torch.long)
    asked = []
    for k in range(len(y)):
        try:
            if label in columns:
                y[k] = schema.class_id(columns[label][k].strip())
            if static:
                values = {name: columns[name][k] for name in static if name in columns}
                asked.append(cast(SeriesSchema, schema).asked(values))
        except InputError as error:
            raise InputError(f"{table.place(k)}: {error}") from None
    if label not in columns and model.conditional:
        raise InputError(f"{path}: no column {label}, which says the class of each row")
    return y, {"static": torch.stack(asked)} if asked and set(static) & set(columns) else {}


def _measured(table: TableFile, name: str) -> np.ndarray:
    """A column of numbers, each of which is asked for."""
    numbers = table.numbers(name)[0]
    if (gaps := np.flatnonzero(np.isnan(numbers))).size:
        raise InputError(f"{table.place(int(gaps[0]), name)}: the cell is empty: fill it in or remove the row")
    return numbers


def asked_for(static: str | Mapping[str, str | float] | None) -> dict[str, str | float] | None:
    """Attributes by name, of ``name=value`` with commas between.

    Raises:
        InputError: it is no such text.
    """
    if not isinstance(static, str):
        return static if static is None else dict(static)
    pairs = [part.partition("=") for part in static.split(",")]
    wrong = next((name for name, sign, value in pairs if not (name.strip() and sign and value.strip())), None)
    if wrong is not None:
        raise InputError(f"static {static!r}: give it as name=value,name=value")
    return {name.strip(): value.strip() for name, _, value in pairs}


def how_many(n: int | None, per_class: int | None, labels: int) -> int:
    """The number of samples that n, or per_class of so many labels, asks for.

    Raises:
        InputError: both are given, or one is out of its range.
    """
    if n is not None and per_class is not None:
        raise InputError("give n or per_class, not both")
    in_range("n", n, 1, MOST)
    in_range("per_class", per_class, 1, MOST // labels)
    return n if n is not None else (10 if per_class is None else per_class) * labels
