"""The figures of a study: scores by arm over the number of rows, in bars, and over the ratio of samples to rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ganaug.study.plan import ARMS
from ganaug.study.statistics import METRICS

# Okabe and Ito's colours, which the colour-blind can tell apart, and a marker for print.
COLOURS = ("#000000", "#999999", "#8a6d00", "#0072b2", "#56b4e9", "#d55e00", "#009e73", "#cc79a7", "#f0e442")
MARKERS = "osP^<Dv*X"
ORDER = list(ARMS)
# Letters are left to the browser, which has fonts for every script; and a dollar begins no formula.
PLOTS: Any = {"svg.fonttype": "none", "svg.hashsalt": "ganaug", "text.parse_math": False}


def in_order(names: Iterable[str]) -> list[str]:
    """Arms in the order of :data:`ARMS`, others behind."""
    return sorted(dict.fromkeys(names), key=lambda arm: ORDER.index(arm) if arm in ARMS else len(ARMS))


def _style(arm: str) -> tuple[str, str]:
    number = ORDER.index(arm) if arm in ARMS else len(arm)
    return COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]


def difference_figure(lines: Sequence[tuple[str, Mapping[str, Any], str]]) -> Figure:
    """Differences with their intervals, beside zero.

    Args:
        lines: of each its label, the difference as :func:`~ganaug.study.statistics.difference` gives it, and the arm.
    """
    figure = Figure(figsize=(9, 0.8 + 0.34 * len(lines)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="#888888", linewidth=1)
    for place, (_, compared, arm) in enumerate(reversed(lines)):
        colour, marker = _style(arm)
        low, high = compared["interval"] or [compared["mean"]] * 2
        axes.plot([100 * low, 100 * high], [place, place], color=colour)
        axes.plot(100 * compared["mean"], place, marker, color=colour)
    axes.set_yticks(range(len(lines)), [label for label, _, _ in reversed(lines)])
    axes.set_ylim(-0.6, len(lines) - 0.4)
    axes.set_xlabel("difference in points: left of the line harm, right of it gain")
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
        metric: of :data:`~ganaug.study.statistics.METRICS`.
        draw: :func:`curves` or :func:`bars`.
    """
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots()
    draw(axes, settings, arms, metric)
    axes.set_ylabel(f"{METRICS[metric]}, %")
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
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
    """A group of bars for each setting."""
    width = 0.8 / len(arms)
    for number, arm in enumerate(arms):
        there = [(k, s["arms"][arm][metric]) for k, s in enumerate(settings) if arm in s["arms"]]
        there = [(k, score) for k, score in there if score["mean"] is not None]
        across = [k + (number - (len(arms) - 1) / 2) * width for k, _ in there]
        up, spread = [100 * s["mean"] for _, s in there], [100 * (s["sd"] or 0) for _, s in there]
        axes.bar(across, up, width, yerr=spread, color=_style(arm)[0], ecolor="#777777", capsize=2, label=arm)
    axes.set_xticks(range(len(settings)), [s["name"] for s in settings])


def ratio_figure(tried: Sequence[tuple[str, str, Mapping[str, Any]]]) -> Figure:
    """Scores over ratios: a pane for each setting, a pair of curves for each arm."""
    names = list(dict.fromkeys(setting for setting, _, _ in tried))
    ratios = sorted({float(step["ratio"]) for _, _, step in tried})
    down = math.ceil(len(names) / 3)
    figure = Figure(figsize=(9, 0.5 + 2.6 * down), layout="constrained")
    panes = figure.subplots(down, min(3, len(names)), squeeze=False).flatten()
    for pane, setting in zip(panes, names, strict=False):
        for arm in in_order(step["arm"] for _, _, step in tried):
            for field, line, label in (("validation", "-", "validation"), ("accuracy", ":", "test")):
                means = []
                for place, ratio in enumerate(ratios):
                    at = [
                        100 * step[field]
                        for where, _, step in tried
                        if (where, step["arm"], step["ratio"]) == (setting, arm, ratio) and step.get(field) is not None
                    ]
                    means += [(place, float(np.mean(at)))] if at else []
                if means:
                    colour, marker = _style(arm)
                    pane.plot(
                        *zip(*means, strict=True), line, color=colour, marker=marker, ms=4, label=f"{arm}, {label}"
                    )
        pane.set_title(setting, fontsize="medium")
        pane.set_xticks(range(len(ratios)), [f"{ratio:g}" for ratio in ratios])
        pane.set_xlabel("samples to a real row")
        pane.grid(alpha=0.3)
    for pane in panes[len(names) :]:
        pane.set_axis_off()
    panes[0].set_ylabel("score, %")
    figure.legend(*panes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
    return figure
