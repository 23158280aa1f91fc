"""``ganaug inspect``: what was read of a source, before anything is trained on it."""

from __future__ import annotations

import io

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from datamodules import GANDataModule
from datamodules.files.manifest import replacing, result_file
from datamodules.images.files import as_image
from datamodules.options import File, checked
from datamodules.schema import Schema
from ganaug.evaluation.facts import as_table, duplicates, facts
from ganaug.evaluation.figures import pixels
from ganaug.evaluation.markup import Html, data_uri, page, plotted, table_of, tag
from ganaug.kind import kind_of
from ganaug.loggers import Shown

EXAMPLES, CLASSES = 10, 20  # of each class; classes


@checked
def inspect(data: GANDataModule, out: File | None = None) -> dict[str, str]:
    """Say what was read of a source: rows, classes, types, ranges, times, copies; nothing is trained.

    Args:
        data: the source and its options.
        out: file of a page (.html) with the same table, class counts and examples.

    Returns:
        The table: what, and what is said of it.

    Raises:
        InputError: the source cannot be read as its options say.
    """
    if out is not None:
        out = result_file(out, [".html", ".htm"], data._arguments.values())
    data.prepare_data()
    data.setup()
    found = [("source", _source(data)), *facts(data), *duplicates(data)]
    if out is not None:
        with replacing(out) as file:
            file.write(_page(data, found).encode("utf-8", "replace"))
    print(as_table(found if out is None else [*found, ("page", str(out))]))
    names = [what for what, _ in found]
    first = {k: next(i for i in range(k, -1, -1) if names[i]) for k in range(len(found))}
    table: dict[str, str] = {}
    for k, (_, text) in enumerate(found):  # lines that go on belong to the one above
        what = names[first[k]]
        table[what] = f"{table[what]}; {text}" if what in table else text
    return table


def _source(data: GANDataModule) -> str:
    where = getattr(data, "path", None) or data._arguments.get("path")
    return type(data).__name__ + (f" {where}" if where is not None else "")


def _page(data: GANDataModule, found: list[tuple[str, str]]) -> Html:
    schema = data.schema
    y = data.train.fields["y"]
    parts = [tag("h1", f"What was read: {_source(data)}"), table_of((), found)]
    if schema.labelled:
        counts = np.bincount(y.numpy(), minlength=schema.num_classes)
        figure = Figure(figsize=(8, min(12.0, 0.8 + 0.28 * len(counts))))
        axes = figure.subplots()
        axes.barh([schema.class_name(c) for c in range(len(counts))], counts, color="#0072b2")
        axes.invert_yaxis()
        axes.set_xlabel("training rows")
        figure.set_layout_engine("tight")
        parts += [tag("h2", "Classes"), plotted(figure, "training rows of each class")]
    rows = [row for c in range(min(CLASSES, schema.num_classes)) for row in _spread(torch.nonzero(y == c).flatten())]
    shown = kind_of(schema).preview(schema, data.train.__getitems__(rows))
    parts += [
        tag("h2", "Examples"),
        tag("p", _chosen(schema)),
        _shown(schema, shown),
    ]
    return page(f"What was read: {_source(data)}", parts)


def _spread(members: Tensor) -> list[int]:
    """A few of the rows (M,), from the first to the last: neighbours, such as windows of a series, are much alike."""
    places = np.unique(np.linspace(0, max(0, len(members) - 1), EXAMPLES).round().astype(int))
    return [int(row) for row in members[places[: len(members)]]]


def _chosen(schema: Schema) -> str:
    """Which rows the examples are."""
    of = " of each class" if schema.labelled else ""
    of = f" of each of the first {CLASSES} of {schema.num_classes} classes" if schema.num_classes > CLASSES else of
    return f"{EXAMPLES} training rows{of}, spread evenly over them."


def _shown(schema: Schema, shown: Shown) -> Html:
    if isinstance(shown, list | tuple):
        if not schema.labelled:
            return table_of((), [row[1:] for row in shown])
        return table_of(("class", "sentence"), shown)
    buffer = io.BytesIO()
    image: Image.Image = as_image(pixels(shown))  # type: ignore[arg-type]
    image.save(buffer, "png")
    return tag("img", class_="plot", alt="examples", src=data_uri(buffer.getvalue(), "png"))
