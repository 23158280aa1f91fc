"""Tables of rows in memory; rows as they are stored, in a dict: all of a table, several as one, some of many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.schema import Batch, Schema


class Table(Dataset[Batch]):
    """Rows held in memory as one tensor a field; a whole batch is one indexing operation a field.

    Args:
        fields: tensors of the same first dimension, at least ``x`` and ``y``.
        transform: what turns the stored rows of a batch into the batch that the model sees.
    """

    def __init__(self, fields: Batch, transform: Callable[[Batch], Batch] | None = None) -> None:
        self.fields = fields
        self.transform = transform

    def __len__(self) -> int:
        return len(self.fields["y"])

    def __getitems__(self, rows: list[int]) -> Batch:
        index = torch.as_tensor(rows, dtype=torch.long)
        batch = {name: field[index] for name, field in self.fields.items()}
        return self.transform(batch) if self.transform else batch

    def __getitem__(self, row: int) -> Batch:
        return {name: field[0] for name, field in self.__getitems__([row]).items()}

    def batches(self, size: int = 512) -> Iterator[Batch]:
        """Every row once, in order, as the model sees it."""
        for first in range(0, len(self), size):
            yield self.__getitems__(list(range(first, min(first + size, len(self)))))

    def subset(self, rows: np.ndarray) -> Table:
        """The given rows, in the given order."""
        index = torch.from_numpy(rows)
        return Table({name: field[index] for name, field in self.fields.items()}, self.transform)


def stored_rows(schema: Schema, table: Table) -> Batch:
    """All rows of a table as they are stored, after whatever turns them into what the model sees."""
    return joined([schema.stored(batch) for batch in table.batches()] or [schema.stored(table.__getitems__([]))])


def joined(batches: Iterable[Batch]) -> Batch:
    """Batches of the same fields, at least one, as a single one on the CPU."""
    parts = list(batches)
    return {name: torch.cat([part[name].cpu() for part in parts]) for name in parts[0]}


def contents(rows: Batch, names: Sequence[str] = ("x", "static", "length")) -> list[bytes]:
    """The bytes of these fields of each stored row, as far as there are any: equal for equal rows alone."""
    fields = [rows[name].cpu().numpy() for name in names if name in rows]
    return [b"".join(field[k].tobytes() for field in fields) for k in range(len(rows["y"]))]


def fingerprint(rows: Batch) -> list[float]:
    """Numbers that hardly any other rows have, or the same in another order.

    Means, so that the last bits in which another machine may round are no matter.

    Args:
        rows: at least one, as they are stored.
    """
    parts = [rows["x"][index].double().flatten(1).mean(1) for index in torch.split(torch.arange(len(rows["x"])), 1024)]
    each, place = torch.cat(parts), torch.arange(len(rows["x"])).double().cos()
    return [len(each), *(float(x.mean()) for x in (each, each**2, each * place, rows["y"] * place))]


def some_rows(rows: Batch, count: int, seed: int) -> Batch:
    """At most ``count`` rows, see :func:`chosen`."""
    index = chosen(len(rows["y"]), count, seed)
    return {name: field[index] for name, field in rows.items()}


def spread_rows(rows: Batch, most: int) -> Batch:
    """At most so many rows, as evenly from the classes as there are, in their order: of each class the first."""
    y = rows["y"]
    by_class = torch.argsort(y, stable=True)
    place = torch.empty_like(y)  # in its class
    place[by_class] = torch.cat([torch.arange(k) for k in y.bincount().tolist()])
    index = torch.sort(torch.argsort(place, stable=True)[:most])[0]
    return {name: field[index] for name, field in rows.items()}


def chosen(total: int, count: int, seed: int) -> Tensor:
    """Numbers of at most ``count`` of so many rows, each once, in an order and a choice by the seed alone: int64."""
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:count]
