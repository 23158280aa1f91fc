"""Rows as they are stored, in a dict: all of a table, several as one, some of many."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from datamodules.base import Table
from datamodules.schema import Batch, Schema


def stored_rows(schema: Schema, table: Table) -> Batch:
    """All rows of a table as they are stored, after whatever turns them into what the model sees."""
    return joined([schema.stored(batch) for batch in table.batches()] or [table.fields])


def joined(batches: Iterable[Batch]) -> Batch:
    """Batches of the same fields, at least one, as a single one on the CPU."""
    parts = list(batches)
    return {name: torch.cat([part[name].cpu() for part in parts]) for name in parts[0]}


def some_rows(rows: Batch, count: int, seed: int) -> Batch:
    """At most ``count`` rows, see :func:`chosen`."""
    index = chosen(len(rows["y"]), count, seed)
    return {name: field[index] for name, field in rows.items()}


def chosen(total: int, count: int, seed: int) -> Tensor:
    """Numbers of at most ``count`` of so many rows, each once, in an order and a choice by the seed alone: int64."""
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:count]
