"""Time series."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from datamodules.rows import Table
from datamodules.schema import Batch
from datamodules.series.schema import SeriesSchema
from ganaug.classifiers import SeriesClassifier
from ganaug.evaluation.facts import some_names
from ganaug.evaluation.figures import save_figure
from ganaug.evaluation.markup import Html, tag
from ganaug.evaluation.series import series_scores
from ganaug.evaluation.series_plots import compare_figure, sample_figure
from ganaug.kind import Kind
from ganaug.shifts import Shift
from ganaug.shifts.series import SHIFTS

STEPS = 120  # points of a curve in a gallery
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # columns of a series
NAMED = 12  # most columns that are named one by one
EVERY = {
    "24h": "day",
    "s": "second",
    "min": "minute",
    "h": "hour",
    "D": "day",
    "MS": "month",
    "ME": "month",
}  # pandas' own names


class Series(Kind):
    """See :class:`~ganaug.kind.Kind`."""

    name = "series"
    classifier = SeriesClassifier
    vectors = True
    gallery_note = (
        "The sample is the full line, the training series nearest to it the dashed one; a colour for each of the first"
        " four columns, each drawn from its least to its greatest value."
    )
    preview = staticmethod(sample_figure)
    scores = staticmethod(series_scores)

    @staticmethod
    def overview(schema: SeriesSchema, first: Callable[[int], Batch], out: Path) -> None:
        """``plot.png``, the first of each class."""
        save_figure(sample_figure(schema, first(10 * schema.num_classes)), out / "plot.png")

    @staticmethod
    def figures(schema: SeriesSchema, real: Batch, synthetic: Batch) -> dict[str, Figure]:
        """Samples by class; where they lie among real series, what values they take and how they go on."""
        return {"samples": sample_figure(schema, synthetic), "comparison": compare_figure(schema, real, synthetic)}

    @staticmethod
    def shifts(schema: SeriesSchema) -> Mapping[str, Shift]:
        """See :mod:`ganaug.shifts.series`."""
        return SHIFTS

    @staticmethod
    def facts(schema: SeriesSchema, rows: Batch, splits: dict[str, Table]) -> Iterator[tuple[str, str]]:
        """See :meth:`Kind.facts`."""
        length = rows["length"].numpy()
        lengths = torch.cat([table.fields["length"] for table in splits.values()])
        steps = f"{schema.length} steps each" if schema.fixed else f"{int(lengths.min())} to {int(lengths.max())} steps"
        yield "series", f"{steps}, scaled by {schema.scaler}"
        if schema.time:
            zone = f", in {schema.zone}" if schema.zone else ""
            every = (
                f"at times of their own, learnt as the {'seconds' if schema.dated else 'time'} since the step before"
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
                each = some_names([f"{word} {100 * share:.2g} %" for word, share in zip(words, shares, strict=True)])
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
            named = f"one of {len(categories)}: {some_names(list(categories))}"
            decimals = written.get(name, schema.static_decimals[k] if schema.static_decimals else -1)
            number = _type(schema.static_dtypes[k], decimals)
            yield "attributes" if k == 0 else "", f"{name}: {named if categories else number}"

    @staticmethod
    def gallery(schema: SeriesSchema, made: Batch, near: Batch, captions: Sequence[str]) -> Html:
        """See :meth:`Kind.gallery`."""
        panes = []
        for k, caption in enumerate(captions):
            # (T, F) each
            sample, neighbour = (batch["x"][k, : int(batch["length"][k]), :4].numpy() for batch in (made, near))
            both = np.concatenate([sample, neighbour])
            low, high = both.min(0), both.max(0)
            last = max(len(sample), len(neighbour), 2) - 1
            lines = [
                _line(
                    3 + 114 / last * np.arange(len(curve)),
                    62 - 58 * (curve - low)[:, c] / max(high[c] - low[c], 1e-9),
                    sort,
                    c,
                )
                for sort, curve in (("nearest", neighbour), ("sample", sample))
                for c in range(both.shape[1])
            ]
            alt = f"sample {k + 1}{' of class ' + caption if caption else ''} over its nearest training series"
            pane = tag("svg", *lines, viewBox="0 0 120 66", role="img", aria_label=alt)
            panes.append(tag("figure", pane, tag("figcaption", caption)))
        return tag("div", *panes, class_="gallery")


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


def _line(across: np.ndarray, down: np.ndarray, sort: str, column: int) -> Html:
    few = np.unique(np.linspace(0, len(across) - 1, STEPS).round().astype(int))
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across[few], down[few], strict=True))
    return tag("polyline", class_=sort, points=corners, stroke=LINES[column])
