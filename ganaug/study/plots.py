"""The figures of a study: differences beside zero, scores by arm, gains over the ratio of samples to real rows.

They are as wide as half a page of a desk and a whole one of a phone, where letters are still to be read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ganaug.study.plan import ARMS
from ganaug.study.statistics.summary import BEST
from ganaug.study.statistics.trainings import METRICS, PLACEBO

# Okabe and Ito's colours, which the colour-blind can tell apart, and a marker for print.
STYLES = {
    "real": ("#000000", "o"),
    "oversampled": ("#999999", "s"),
    "smote": ("#8a6d00", "P"),
    "classical": ("#0072b2", "^"),
    "classical_oversampled": ("#56b4e9", "<"),
    BEST: ("#000000", "_"),
    "gan": ("#d55e00", "D"),
    "oversampled_gan": ("#e69f00", "v"),
    "classical_gan": ("#009e73", "*"),
    "classical_oversampled_gan": ("#cc79a7", "X"),
}
OTHER = ("#666666", "d")
WIDTH = 5.4  # inches
# Letters are left to the browser, which has fonts for every script; and a dollar begins no formula.
PLOTS: Any = {"svg.fonttype": "none", "svg.hashsalt": "ganaug", "text.parse_math": False}
ORDER = [*dict.fromkeys([*STYLES, *ARMS, *PLACEBO.values()])]

Gains = Sequence[tuple[float, float]]  # a ratio and a gain


def in_order(names: Iterable[str]) -> list[str]:
    """Arms without samples, then those with them, then others."""

    def place(name: str) -> tuple[int, str]:
        arm = name.partition(",")[0]
        return (ORDER.index(arm) if arm in ORDER else len(ORDER)), name

    return sorted(dict.fromkeys(names), key=place)


def _style(arm: str) -> tuple[str, str]:
    return STYLES.get(arm.partition(",")[0], OTHER)


def difference_figure(lines: Sequence[tuple[str, Mapping[str, Any], str]]) -> Figure:
    """Differences with their intervals, beside zero.

    Args:
        lines: of each its label, the difference as :func:`~ganaug.study.statistics.summarise` gives it, and the arm.
    """
    figure = Figure(figsize=(WIDTH, 0.7 + 0.5 * len(lines)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="#888888", linewidth=1)
    for place, (label, compared, arm) in enumerate(reversed(lines)):
        colour, marker = _style(arm)
        low, high = compared["interval"] or [compared["mean"]] * 2
        filled = "white" if arm.endswith("chosen") else colour
        axes.plot([100 * low, 100 * high], [place, place], color=colour)
        axes.plot(100 * compared["mean"], place, marker, color=colour, markerfacecolor=filled, markersize=7)
        axes.text(0, place + 0.24, label, transform=axes.get_yaxis_transform(), fontsize="small")
    axes.set_yticks([])
    axes.set_ylim(-0.5, len(lines) - 0.3)
    axes.set_xlabel("points: left of the line harm, right of it gain")
    axes.spines[["left", "top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)
    return figure


def score_figure(
    settings: Sequence[Mapping[str, Any]],
    arms: Sequence[str],
    metric: str,
    draw: Callable[[Axes, Sequence[Mapping[str, Any]], Sequence[str], str], None],
) -> Figure:
    """Means and deviations of a metric, of every arm in every setting of a summary.

    Args:
        settings: see :func:`~ganaug.study.statistics.summarise`.
        arms: in the order wanted.
        metric: of :data:`~ganaug.study.statistics.trainings.METRICS`.
        draw: :func:`curves` or :func:`bars`.
    """
    figure = Figure(figsize=(WIDTH, 3.4 + 0.2 * math.ceil(len(arms) / 2)), layout="constrained")
    axes = figure.subplots()
    draw(axes, settings, arms, metric)
    axes.set_ylabel(f"{METRICS[metric]}, %")
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    return figure


def curves(axes: Axes, settings: Sequence[Mapping[str, Any]], arms: Sequence[str], metric: str) -> None:
    """A curve for each arm over the number of rows a class, set off a little so that bars do not hide each other."""
    for number, arm in enumerate(arms):
        those = [s for s in settings if arm in s["arms"] and s["arms"][arm][metric]["mean"] is not None]
        scores = [s["arms"][arm][metric] for s in those]
        across = [s["per_class"] * 1.025 ** (number - (len(arms) - 1) / 2) for s in those]
        colour, marker = _style(arm)
        up, bars = [100 * s["mean"] for s in scores], [100 * (s["sd"] or 0) for s in scores]
        axes.errorbar(across, up, bars, color=colour, marker=marker, markersize=5, linewidth=1.2, capsize=2, label=arm)
    axes.set_xscale("log")
    axes.set_xticks([s["per_class"] for s in settings], [str(s["per_class"]) for s in settings])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("real rows of each class")


def bars(axes: Axes, settings: Sequence[Mapping[str, Any]], arms: Sequence[str], metric: str) -> None:
    """A group of marks for each setting, with bars of a deviation; the axis begins where the scores do."""
    width = 0.8 / len(arms)
    for number, arm in enumerate(arms):
        there = [(k, s["arms"][arm][metric]) for k, s in enumerate(settings) if arm in s["arms"]]
        there = [(k, score) for k, score in there if score["mean"] is not None]
        across = [k + (number - (len(arms) - 1) / 2) * width for k, _ in there]
        up, spread = [100 * s["mean"] for _, s in there], [100 * (s["sd"] or 0) for _, s in there]
        colour, marker = _style(arm)
        axes.errorbar(across, up, spread, fmt=marker, color=colour, markersize=6, capsize=2, label=arm)
    axes.set_xticks(range(len(settings)), [s["name"].replace(", ", "\n") for s in settings], fontsize="small")
    axes.set_xlim(-0.5, len(settings) - 0.5)


def ratio_figure(lines: Sequence[tuple[str, str, Gains, Gains]]) -> Figure:
    """Gains over the same arm without samples, by ratio: a pane for each setting.

    Args:
        lines: of each its setting, its arm, and the gains in points on held-out rows and on test rows.
    """
    names = list(dict.fromkeys(setting for setting, *_ in lines))
    across = min(2, len(names))
    down = math.ceil(len(names) / across)
    figure = Figure(figsize=(WIDTH, 0.9 + 2.1 * down), layout="constrained")
    panes = figure.subplots(down, across, squeeze=False).flatten()
    ratios = sorted({0.0, *(ratio for *_, judged, tested in lines for ratio, _ in (*judged, *tested))})
    labelled: dict[str, Any] = {}
    for pane, name in zip(panes, names, strict=False):
        pane.axhline(0, color="#888888", linewidth=1)
        for _, arm, judged, tested in (line for line in lines if line[0] == name):
            colour, marker = _style(arm)
            for gains, style, where in ((judged, "-", "held out"), (tested, ":", "test")):
                if gains:
                    steps = [(0, 0.0), *((ratios.index(ratio), gain) for ratio, gain in gains)]
                    (drawn,) = pane.plot(*zip(*steps, strict=True), style, color=colour, marker=marker, ms=4)
                    labelled.setdefault(f"{arm}, {where}", drawn)
        pane.set_title(name, fontsize="small")
        pane.set_xticks(range(len(ratios)), [f"{ratio:g}" for ratio in ratios])
        pane.set_xlabel("samples to a real row", fontsize="small")
        pane.grid(alpha=0.3)
    for pane in panes[len(names) :]:
        pane.set_axis_off()
    for row in range(down):
        panes[row * across].set_ylabel("gain, points", fontsize="small")
    figure.legend(labelled.values(), labelled.keys(), loc="outside lower center", ncols=2, fontsize="small")
    return figure
