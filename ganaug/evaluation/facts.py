"""What a data module has read, in a short table: rows, classes, and for each kind of data what is particular to it."""

from __future__ import annotations

import numpy as np

from datamodules.base import GANDataModule
from datamodules.rows import contents, stored_rows
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
    seen = {
        name: contents(stored_rows(data.schema, table))
        for name, table in (("train", data.train), ("val", data.val), ("test", data.test))
    }
    known = set(seen["train"])
    twice = len(seen["train"]) - len(known)
    found = [f"{twice:,} of the training rows are copies of others" if twice else ""]
    for name in ("val", "test"):
        copies = sum(row in known for row in seen[name])
        found.append(f"{copies:,} of {len(seen[name]):,} {name} rows are training rows too" if copies else "")
    return [("copies", "; ".join(filter(None, found)) or "none, neither in the training rows nor between splits")]


def as_table(found: list[Fact]) -> str:
    """Lines of text, what in a column of its own."""
    width = max(len(what) for what, _ in found)
    return "\n".join(f"{what:{width}}  {text}" for what, text in found)


def some_names(names: list[str]) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
