"""What a data module has read, in a short table: rows, classes, and for each kind of data what is particular to it."""

from __future__ import annotations

import numpy as np

from datamodules.base import GANDataModule
from datamodules.rows import contents, stored_rows
from datamodules.schema import Batch
from ganaug.kind import kind_of

Fact = tuple[str, str]
NAMED = 12  # most that are named one by one


def facts(data: GANDataModule) -> list[Fact]:
    """What has been read, as (what, text), in lines of a table; for a data module that has been set up."""
    splits = {"train": data.train, "val": data.val, "test": data.test}
    found = [("rows", ", ".join(f"{name} {len(table):,}" for name, table in splits.items()))]
    if not len(data.test):
        found.append(("no test rows", "evaluate and augment need some: have more of a class, or raise test_fraction"))
    if data.schema.labelled:
        counts = np.bincount(data.train.fields["y"].numpy(), minlength=data.schema.num_classes)
        each = [f"{data.schema.class_name(c)}: {n:,}" for c, n in enumerate(counts)]
        found.append(("classes", f"{len(each)}, training rows each: {some_names(each)}"))
    else:
        found.append(("classes", "none"))
    return [*found, *kind_of(data.schema).facts(data.schema, stored_rows(data.schema, data.train), splits)]


def duplicates(data: GANDataModule) -> list[Fact]:
    """Rows that are there twice within the training rows, and rows of the other splits that are training rows too."""
    rows = {name: stored_rows(data.schema, getattr(data, name)) for name in ("train", "val", "test")}
    train = contents(rows["train"])
    twice = len(train) - len(set(train))
    found = [f"{twice:,} of the training rows are copies of others" if twice else ""]
    found += [said for part in ("val", "test") if (said := leaked(rows["train"], rows[part], part))]
    return [("copies", "; ".join(filter(None, found)) or "none, neither in the training rows nor between splits")]


def copied(train: Batch, rows: Batch) -> int:
    """How many rows are equal to a training row."""
    known = set(contents(train))
    return sum(row in known for row in contents(rows))


def leaked(train: Batch, rows: Batch, part: str) -> str | None:
    """What is said of rows that are training rows too; None where there are none."""
    count = copied(train, rows)
    return f"{count:,} of {len(rows['y']):,} {part} rows are training rows too" if count else None


def as_table(found: list[Fact]) -> str:
    """Lines of text, what in a column of its own."""
    width = max(len(what) for what, _ in found)
    return "\n".join(f"{what:{width}}  {text}" for what, text in found)


def some_names(names: list[str]) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
