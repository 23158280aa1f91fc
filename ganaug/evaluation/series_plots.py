"""Pictures of series: samples by class, and real ones beside synthetic ones.

Figures are matplotlib's own objects, without the state of its pyplot; the random numbers in them are seeded and leave
the global ones alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import MaxNLocator
from sklearn.manifold import TSNE

from datamodules.schema import Batch
from datamodules.series.schema import SeriesSchema
from ganaug.metrics.series import autocorrelation

REAL, SYNTHETIC = {"color": "tab:blue", "label": "real"}, {"color": "tab:orange", "label": "synthetic"}
CLASSES, COLUMNS, SERIES = 8, 4, 10  # most that sample_figure draws: classes, columns of the data, series of a class
WORDS = 6  # most that stand beside an axis
FEATURES, POINTS = 6, 1000  # most columns that compare_figure draws, and series of each sort in the scatters

# ---- samples ---------------------------------------------------------------------------------------------------------


def sample_figure(schema: SeriesSchema, batch: Batch) -> Figure:
    """The first series of each class in their own units: a row of axes a class, a column of axes a measurement.

    At most 8 classes that occur, 4 measurements and 10 series of a class; a line says where there are more of the first
    two. Axes of a measurement share their limits, and a series ends at its length.
    """
    y, length = _array(batch, "y"), _array(batch, "length")
    occurring = np.unique(y)
    present = occurring[:CLASSES]
    across, down = min(len(schema.columns), COLUMNS), max(1, len(present))
    more = [
        f"{shown} of {there} {what}"
        for shown, there, what in ((down, len(occurring), "classes"), (across, len(schema.columns), "columns"))
        if there > shown
    ]
    room = 0.2 if more else 0.0
    width, height = 3.0 * across + 0.8, 1.5 * down + 0.9 + room
    figure = Figure(figsize=(width, height))
    # Fixed margins: to measure the labels of so many axes takes longer than to draw them.
    margins = {"left": 0.9 / width, "right": 1 - 0.15 / width, "bottom": (0.5 + room) / height, "top": 1 - 0.4 / height}
    figure.subplots_adjust(**margins, wspace=0.3, hspace=0.15)
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey="col")
    for axes, c in zip(grid, present, strict=False):
        rows = np.flatnonzero(y == c)[:SERIES]
        values = schema.decode(batch["x"][rows.tolist()])
        for column, pane in enumerate(axes):
            _curves(pane, [series[:steps, column] for series, steps in zip(values, length[rows], strict=True)])
        if schema.labelled:
            axes[0].set_ylabel(_legible(schema.class_name(int(c)), f"class {c}"))
            axes[0].yaxis.set_label_coords(-0.21, 0.5)
    for column, pane in enumerate(grid[0]):
        pane.set_title(_legible(schema.columns[column], f"column {column}"), fontsize="medium")
        words = ("false", "true") if schema.dtypes[column] == "bool" else schema.words(column)
        if 0 < len(words) <= WORDS:
            names = [_legible(word, str(k)) for k, word in enumerate(words)]
            pane.set_yticks(range(len(words)), [n if len(n) < 8 else f"{n[:7]}…" for n in names], fontsize="small")
        else:
            pane.yaxis.set_major_locator(MaxNLocator(4, integer=bool(words)))
            pane.ticklabel_format(axis="y", scilimits=(-3, 4))
        pane.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    for pane in grid[-1]:
        pane.set_xlabel("step")
    figure.text(0.01, 0.05 / height, ", ".join(more), fontsize="small", va="bottom")
    return figure


def _curves(axes: Axes, curves: Sequence[np.ndarray]) -> None:
    """A line for each, in colours of their own; a dot for a single step."""
    colours = [f"C{number}" for number in range(len(curves))]
    lines = [np.column_stack([np.arange(len(curve)), curve]) for curve in curves]
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=0.9, alpha=0.8))
    for curve, colour in zip(curves, colours, strict=True):
        if len(curve) == 1:
            axes.plot(0, curve[0], ".", color=colour)
    axes.autoscale_view()


# ---- real and synthetic ----------------------------------------------------------------------------------------------


def compare_figure(schema: SeriesSchema, real: Batch, synthetic: Batch, seed: int = 0) -> Figure:
    """Real series and synthetic ones: where they lie, what values they take, how they go on.

    The first row of axes holds two scatters of up to 1,000 series of each sort, flattened, 0 from their length on,
    every column divided by its deviation over the real ones: the first two principal components of the real ones, and
    t-SNE of both together (Yoon et al. 2019, "Time-series Generative Adversarial Networks", section 5). Below them, for
    up to 6 columns, the histogram of the values and the mean autocorrelation of the series.

    Args:
        schema: of both.
        real, synthetic: at least one row of each.
        seed: of the choice of series and of t-SNE.
    """
    rng = np.random.default_rng(seed)
    sorts = [_rows(schema, _some(batch, rng)) for batch in (real, synthetic)]
    across = min(len(schema.columns), FEATURES)
    figure = Figure(figsize=(max(7.0, 2.6 * across), 8.4), layout="constrained")
    above, below = cast(Any, figure.subfigures(2, 1, height_ratios=(1, 1.4)))
    _scatters(above.subplots(1, 2), sorts, seed)
    for column, (marginal, correlation) in enumerate(below.subplots(2, across, squeeze=False).T):
        _marginal(marginal, [values[inside, column] for values, inside in sorts])
        marginal.set_title(_legible(schema.columns[column], f"column {column}"), fontsize="medium")
        for (values, inside), style in zip(sorts, (REAL, SYNTHETIC), strict=True):
            length = torch.from_numpy(inside.sum(1))
            curve = autocorrelation(torch.from_numpy(values[..., [column]]), length, int(length.max()) // 2)[:, 0]
            correlation.plot(curve, **cast(Any, style), marker="." if len(curve) < 3 else None)
        correlation.set_ylim(-1.05, 1.05)
        correlation.set_xlabel("lag")
        if not column:
            marginal.set_ylabel("density")
            correlation.set_ylabel("autocorrelation")
            correlation.legend(fontsize="small")
    return figure


def _scatters(grid: Sequence[Axes], sorts: Sequence[tuple[np.ndarray, np.ndarray]], seed: int) -> None:
    """The scatters of PCA and of t-SNE."""
    (values, inside), _ = sorts
    deviation = values[inside].std(0)
    deviation[deviation <= 1e-6 * np.abs(values[inside]).max(0)] = 1.0  # of a constant column
    flat = [(np.where(i[..., None], v, 0.0) / deviation).reshape(len(v), -1) for v, i in sorts]
    centre = flat[0].mean(0)
    # By hand, since of equal rows scikit-learn's PCA warns.
    axes = np.linalg.svd(flat[0] - centre, full_matrices=False)[2][:2]
    _scatter(grid[0], "PCA of the real series", [(part - centre) @ axes.T for part in flat])
    both = np.concatenate(flat)
    tsne = TSNE(2, perplexity=min(30.0, (len(both) - 1) / 3), max_iter=500, init="random", random_state=seed)
    _scatter(grid[1], "t-SNE", np.split(tsne.fit_transform(both), [len(flat[0])]))


def _scatter(axes: Axes, title: str, parts: Sequence[np.ndarray]) -> None:
    for points, style in zip(parts, (REAL, SYNTHETIC), strict=True):
        up = points[:, 1] if points.shape[1] > 1 else np.zeros(len(points))
        axes.scatter(points[:, 0], up, s=8 if len(points) > 50 else 24, alpha=0.5, linewidths=0, **cast(Any, style))
    axes.set_title(title, fontsize="medium")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(fontsize="small")


def _marginal(axes: Axes, parts: Sequence[np.ndarray]) -> None:
    """Histograms of the same bins, from the range of the real values; what lies beyond counts to the outermost."""
    low, high = parts[0].min(), parts[0].max()
    margin = 0.1 * (high - low) or max(1.0, abs(low)) * 0.5
    edges = np.linspace(low - margin, high + margin, 41)
    for part, style in zip(parts, (REAL, SYNTHETIC), strict=True):
        axes.hist(part.clip(edges[0], edges[-1]), cast(Any, edges), density=True, alpha=0.5, **cast(Any, style))


def _rows(schema: SeriesSchema, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Values in their own units (N, T, F), and which of the steps count, (N, T)."""
    values = schema.decode(batch["x"])
    return values, np.arange(values.shape[1]) < _array(batch, "length")[:, None]


def _some(batch: Batch, rng: np.random.Generator) -> Batch:
    """At most 1,000 rows, drawn without replacement."""
    count = len(batch["x"])
    rows = np.sort(rng.permutation(count)[:POINTS]).tolist()
    return {name: batch[name][rows] for name in ("x", "length")}


# ---- names -----------------------------------------------------------------------------------------------------------


def _array(batch: Batch, name: str) -> np.ndarray:
    array: np.ndarray = batch[name].detach().cpu().numpy()
    return array


def _legible(name: str, instead: str, longest: int = 24) -> str:
    """A name as matplotlib shows it, cut where it is long; ``instead`` where the font lacks a letter."""
    font = get_font(findfont(FontProperties()))
    if not name.strip() or not all(font.get_char_index(ord(letter)) for letter in name):
        return instead
    short = name if len(name) <= longest else name[: longest - 1] + "…"
    return short.replace("$", r"\$")  # a pair of them would be a formula
