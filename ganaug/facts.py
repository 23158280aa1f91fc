"""What a data module has read, in a short table: rows, classes, and for each kind of data what is particular to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
import torch

from datamodules.base import GANDataModule, Table
from datamodules.rows import stored_rows
from datamodules.scales import SeriesSchema
from datamodules.schema import Batch, ImageSchema, Schema
from datamodules.tokens import UNKNOWN, TextSchema

Fact = tuple[str, str]
NAMED = 12  # most classes, columns and categories that are named one by one
EVERY = {"s": "second", "min": "minute", "h": "hour", "D": "day", "MS": "month", "ME": "month"}  # pandas' own names
COLOURS = {1: "grey", 2: "grey and transparency", 3: "RGB", 4: "RGBA"}


def facts(data: GANDataModule) -> list[Fact]:
    """What has been read, as (what, text), in lines of a table; for a data module that has been set up."""
    splits = {"train": data.train, "val": data.val, "test": data.test}
    found = [("rows", ", ".join(f"{name} {len(table):,}" for name, table in splits.items()))]
    if data.schema.labelled:
        counts = np.bincount(data.train.fields["y"].numpy(), minlength=data.schema.num_classes)
        each = [f"{data.schema.class_name(c)}: {n:,}" for c, n in enumerate(counts)]
        found.append(("classes", f"{len(each)}, training rows each: {_some(each)}"))
    else:
        found.append(("classes", "none"))
    if (more := KINDS.get(data.schema.kind)) is not None:
        found += more(data.schema, stored_rows(data.schema, data.train), splits)
    return found


def duplicates(data: GANDataModule) -> list[Fact]:
    """Rows that are there twice within the training rows, and rows of the other splits that are training rows too."""
    seen = {
        name: _digests(data.schema, table)
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


def _digests(schema: Schema, table: Table) -> list[bytes]:
    if not len(table):
        return []
    rows = stored_rows(schema, table)
    fields = [rows[name].numpy().reshape(len(rows["y"]), -1) for name in ("x", "static", "length") if name in rows]
    return [b"".join(field[k].tobytes() for field in fields) for k in range(len(rows["y"]))]


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _pictures(schema: Schema, rows: Batch, splits: dict[str, Table]) -> Iterator[Fact]:
    schema = cast(ImageSchema, schema)
    seen = tuple(rows["x"].shape[2:])
    own = (schema.height, schema.width)
    colour = COLOURS.get(schema.channels, f"{schema.channels} channels")
    fitted = "" if own == seen else f", seen by the networks as {seen[0]}×{seen[1]} ({schema.fit})"
    yield "pictures", f"{own[0]}×{own[1]}, {colour}{fitted}"
    x = rows["x"][:: max(1, len(rows["x"]) // 2000)]
    levels = len(torch.unique(x))
    alike = bool((x == x[:1]).all())
    yield (
        "values",
        f"{int(x.min())} to {int(x.max())} of 255, mean {float(x.float().mean()):.0f}, {levels} levels"
        + ("; all pictures are alike" if alike and len(x) > 1 else ""),
    )


def _sentences(schema: Schema, rows: Batch, splits: dict[str, Table]) -> Iterator[Fact]:
    schema = cast(TextSchema, schema)
    length = rows["length"].numpy() - schema.ends
    low, middle, high, most = (int(q) for q in np.quantile(length, [0, 0.5, 0.99, 1]))
    spread = f"{low} to {most} tokens, half at most {middle}, 99 % at most {high}"
    yield "lengths", f"{spread if low < most else f'{low} tokens each'}; each row takes {schema.max_length}"
    unknown, counted = [], 0
    for name, table in splits.items():
        if len(table) and schema.ends:
            count = int((table.fields["x"] == UNKNOWN).sum())
            total = int(table.fields["length"].sum()) - len(table)
            unknown.append(f"{name} {100 * count / max(1, total):.2g} %")
            counted += count
    words = len(schema.words) - schema.ends
    beyond = f"; unknown tokens: {', '.join(unknown) if counted else 'none'}" if unknown else ""
    yield "vocabulary", f"{words:,} tokens ({schema.tokenizer}{', lower case' if schema.lowercase else ''}){beyond}"


def _series(schema: Schema, rows: Batch, splits: dict[str, Table]) -> Iterator[Fact]:
    schema = cast(SeriesSchema, schema)
    length = rows["length"].numpy()
    lengths = torch.cat([table.fields["length"] for table in splits.values()])
    steps = f"{schema.length} steps each" if schema.fixed else f"{int(lengths.min())} to {int(lengths.max())} steps"
    yield "series", f"{steps}, scaled by {schema.scaler}"
    if schema.time:
        zone = f", in {schema.zone}" if schema.zone else ""
        every = (
            "at times of their own, which are learnt"
            if schema.intervals
            else f"every {EVERY.get(schema.frequency, schema.frequency)}"
        )
        yield "time", f"{schema.time}: from {schema.start}, {every}{zone}"
    else:
        yield "time", "none: steps are numbered"
    written = dict(schema.written)
    inside = np.arange(rows["x"].shape[1]) < length[:, None]
    values = schema.decode(rows["x"])[inside]
    observed = rows["observed"].numpy()[inside] if "observed" in rows else np.ones((len(values), schema.features))
    for k, (name, first) in enumerate(zip(schema.columns[:NAMED], schema.places, strict=False)):
        there = values[observed[:, first] > 0, k]
        missing = 1 - float(observed[:, first].mean())
        gaps = f", {100 * missing:.2g} % missing" if missing else ""
        if words := schema.words(k):
            shares = np.bincount(there.astype(np.int64), minlength=len(words)) / max(1, len(there))
            each = _some([f"{word} {100 * share:.2g} %" for word, share in zip(words, shares, strict=True)])
            yield "columns" if k == 0 else "", f"{name}: one of {len(words)}: {each}{gaps}"
            continue
        if schema.dtypes[k] == "bool" and len(there):
            yield "columns" if k == 0 else "", f"{name}: true or false, true {100 * there.mean():.2g} %{gaps}"
            continue
        kind = _type(schema.dtypes[k], written.get(name, schema.decimals[k] if schema.decimals else -1))
        yield "columns" if k == 0 else "", f"{name}: {kind}, {_number(there.min())} to {_number(there.max())}{gaps}"
    if len(schema.columns) > NAMED:
        yield "", f"and {len(schema.columns) - NAMED} more"
    for k, name in enumerate(schema.static):
        categories = schema.static_categories[k]
        named = f"one of {len(categories)}: {_some(list(categories))}"
        decimals = written.get(name, schema.static_decimals[k] if schema.static_decimals else -1)
        number = _type(schema.static_dtypes[k], decimals)
        yield "attributes" if k == 0 else "", f"{name}: {named if categories else number}"


def _number(value: float) -> str:
    """A number to be read: six digits, and of a large one all that stand before the point."""
    size = abs(value)
    return f"{value:,.0f}" if 1e6 <= size < 1e15 else f"{value:,.6g}" if size >= 1e4 else f"{value:.6g}"


def _type(dtype: str, decimals: int) -> str:
    if dtype == "bool":
        return "true or false"
    if not dtype.startswith("float"):
        return "whole numbers"
    return "numbers" if decimals < 0 else f"numbers with {decimals} decimal{'' if decimals == 1 else 's'}"


KINDS: dict[str, Callable[[Schema, Batch, dict[str, Table]], Iterator[Fact]]] = {
    "image": _pictures,
    "text": _sentences,
    "series": _series,
}
