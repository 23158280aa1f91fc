"""``report.html`` of a study: one file with everything in it, that opens anywhere and asks nothing of the network."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from datamodules.files.manifest import make_folder, replacing
from ganaug.evaluation.markup import Html, escaped, folded, page, plotted, table_of, tag
from ganaug.sampling.filters import NOTES
from ganaug.study.gallery import gallery_of
from ganaug.study.plan import ARMS
from ganaug.study.plots import PLOTS, bars, curves, difference_figure, in_order, ratio_figure, score_figure
from ganaug.study.statistics import METRICS, PAIRS, Row, difference, found, name, points, verdict

COPIES = ("memorisation", "leakage", "augmentation_leak")  # what a cell may say of samples and splits
WORDS = {"gain": "▲ gain", "harm": "▼ harm", "none": "no difference seen", "equal": "no interval", "unused": "not used"}


def write_report(
    out: Path,
    rows: list[Row],
    summary: dict[str, Any],
    galleries: list[dict[str, Any]],
    facts: dict[str, Any] | None = None,
) -> Path:
    """Write ``report.html``: the verdict, what it rests on, and every row of the study, gains and harm alike.

    Args:
        out: folder to write in, made where it is missing.
        rows: of the study, each with its ``cell``; see :func:`~ganaug.study.statistics.summarise`.
        summary: of those rows.
        galleries: each ``title``, ``schema`` and, as rows are stored and row by row, ``synthetic`` and ``nearest``,
            a sample and the training row that is nearest to it. The first 40 are shown.
        facts: how it was made; all of it is shown. Apart from the rest stand ``request``, what was asked for, and
            ``cells``, for each a dict of ``cell`` and, where there is such: ``filters`` (by filter ``in``, ``dropped``
            and further figures), those of :data:`COPIES` (figures, as deep as they may be), ``sweep`` (a list of
            ``arm``, ``ratio``, ``validation``, ``validation_loss`` and ``accuracy`` on test), other figures. Its
            ``rows`` and ``runs`` are passed over, since the former are those above.

    Returns:
        The path of the file, which appears whole or not at all.

    Raises:
        InputError: ``out`` cannot be a folder.
    """
    make_folder(out)
    facts = facts or {}
    cells = {cell["cell"]: cell for cell in facts.get("cells", [])}
    settings = {row["cell"]: name(row) for row in rows}  # of each cell
    with matplotlib.rc_context(PLOTS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # the font that it measures with may lack letters
        parts = [
            _headline(rows, summary),
            _differences(summary),
            _scores(summary),
            _ratios(summary, cells, settings),
            _filters(cells, settings),
            _copies(cells, settings),
            *(gallery_of(**gallery) for gallery in galleries),
            _making(facts),
            _everything(rows, cells),
        ]
    path = out / "report.html"
    with replacing(path) as file:
        file.write(page("Do GAN samples help?", parts).encode("utf-8", "replace"))
    return path


# ---- names ---------------------------------------------------------------------------------------------------------


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested figures by their path."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{above}{key}, ") if isinstance(value, Mapping) else {f"{above}{key}": value}
    return flat


def _named(arm: str) -> Html:
    return Html(tag("b", arm) + " " + tag("small", ARMS.get(arm, "")))


# ---- what came out ---------------------------------------------------------------------------------------------------


def _headline(rows: Sequence[Row], summary: Mapping[str, Any]) -> Html:
    """The verdict, what it is to be held against, and how to read the rest."""
    settings = summary["settings"]
    notes = []
    for arm, other, subject, pronoun in (
        ("gan", "real", "GAN samples", "they"),
        ("classical", "real", "classical augmentation", "it"),
    ):
        if any(difference(setting, arm, other) for setting in settings):
            notes.append(f"Beside the real rows alone, {subject} {found(summary, arm, other, pronoun)}.")
    intervals = [
        compared[setting["metric"]]["interval"]
        for setting in settings
        for arm in setting["arms"].values()
        for compared in arm["to"].values()
    ]
    count = len(intervals) - intervals.count(None)
    notes.append(
        "Scores are of real rows held out from everything. Differences are between arms of the same seed; their 95 %"
        " interval is Student's, over seeds. Gain and harm are where it leaves out zero: so would by chance about one"
        f" in 20 of the {count} intervals below."
    )
    cells, seeds = len({row["cell"] for row in rows}), len({row["seed"] for row in rows})
    many = f"{len(settings)} setting{'s' if len(settings) > 1 else ''}"
    counts = f"{many}, {seeds} seeds, {cells} cells, {len(rows)} rows of results: all are in here"
    if summary["failed"]:
        counts += f", but for {len(summary['failed'])} that failed"
        notes += [f"The cell {cell} failed: {reason}." for cell, reason in summary["failed"].items()]
    return Html(
        tag("p", "Do GAN samples help? ", counts, ".", class_="eyebrow")
        + tag("h1", verdict(summary))
        + tag("ul", *(tag("li", note) for note in notes))
    )


def _differences(summary: Mapping[str, Any]) -> Html:
    """Every interval that the verdict rests on, beside zero."""
    lines = [
        (f"{setting['name']}, {METRICS[setting['metric']]}: {arm} − {other}", compared, arm)
        for setting in summary["settings"]
        for arm, other in PAIRS
        if (compared := difference(setting, arm, other)) and compared["mean"] is not None
    ]
    if not lines:
        return Html("")
    told = "; ".join(f"{label} {_spoken(compared)}" for label, compared, _ in lines)
    return Html(
        tag("h2", "What GAN samples add")
        + plotted(difference_figure(lines), f"Differences with their 95 % intervals: {told}.")
    )


def _spoken(compared: Mapping[str, Any]) -> str:
    """A difference in words: ``+1.9 (0.4 to 3.4) ▲ gain``."""
    if compared["mean"] is None:
        return "–"
    ends = [points(end, sign=False) for end in compared["interval"] or ()]
    inside = " ({} to {})".format(*ends) if ends else ""
    return f"{points(compared['mean'])}{inside} {WORDS.get(compared['outcome'], compared['outcome'])}"


def _scores(summary: Mapping[str, Any]) -> Html:
    """Plots, and a table for each setting."""
    settings = summary["settings"]
    parts = [tag("h2", "Scores of every arm")]
    curve = [s for s in settings if s["per_class"] is not None and not s["imbalance"]]
    curve = curve if len(curve) > 1 else []
    for drawn, draw in (
        (curve, curves),
        ([s for s in settings if not s["imbalance"] and s not in curve], bars),
        ([s for s in settings if s["imbalance"]], bars),
    ):
        if drawn:
            metric = drawn[0]["metric"]
            arms = [arm for arm in in_order(a for s in drawn for a in s["arms"]) if arm != "trts"]
            over = ", ".join(s["name"] for s in drawn)
            alt = f"{METRICS[metric]} of {', '.join(arms)} with {over}; the numbers are in the tables."
            parts += [
                plotted(score_figure(drawn, arms, metric, draw), alt),
                tag("p", tag("small", "Bars: one standard deviation over seeds, each way.")),
            ]
    return Html("".join([*parts, *map(_setting, settings)]))


def _setting(setting: Mapping[str, Any]) -> Html:
    """The table of one setting."""
    arms = in_order(setting["arms"])
    metrics = [m for m in METRICS if any(setting["arms"][arm][m]["n"] for arm in arms)]
    main = METRICS[setting["metric"]]
    beside = in_order(other for arm in arms for other in setting["arms"][arm]["to"])
    lines = []
    for arm in arms:
        given = setting["arms"][arm]
        cells = [_score(given[metric]) for metric in metrics]
        lines.append([_named(arm), *cells, given["seeds"], *(_compared(setting, arm, other) for other in beside)])
    head = [
        "arm",
        *(f"{METRICS[m]}, %" for m in metrics),
        "seeds",
        *(f"{main} beside {other}" for other in beside),
    ]
    rarest = f" (rarest class: {', '.join(setting['rarest'])})" if setting["rarest"] else ""
    return Html(tag("h3", setting["name"], rarest) + table_of(head, lines))


def _score(score: Mapping[str, Any]) -> str:
    if score["mean"] is None:
        return "–"
    spread = "" if score["sd"] is None else f" ± {100 * score['sd']:.1f}"
    return f"{100 * score['mean']:.1f}{spread}".replace(" ", "\N{NO-BREAK SPACE}")


def _compared(setting: Mapping[str, Any], arm: str, other: str) -> Html:
    """A difference, and under imbalance that of the rarest class below it."""
    compared = difference(setting, arm, other)
    if compared is None:
        return Html("")
    shown = tag("span", _spoken(compared), class_=compared["outcome"])
    rare = difference(setting, arm, other, "rare_recall")
    if setting["imbalance"] and rare and rare["mean"] is not None:
        shown = Html(shown + "<br>" + tag("small", "rarest: ", _spoken(rare)))
    return shown


# ---- how many samples, and which -------------------------------------------------------------------------------------


def _ratios(summary: Mapping[str, Any], cells: Mapping[str, Any], settings: Mapping[str, str]) -> Html:
    """What validation chose, and all that it chose from."""
    chosen = [
        [setting["name"], arm, ", ".join(f"{r:g}" for r in given["ratios"]), f"{100 * given['unused']:.0f} %"]
        for setting in summary["settings"]
        for arm, given in setting["arms"].items()
        if given["ratios"]
    ]
    tried = [
        (settings.get(cell, cell), cell, step) for cell, given in cells.items() for step in given.get("sweep") or ()
    ]
    if not chosen and not tried:
        return Html("")
    parts = [
        tag("h2", "How many samples"),
        tag(
            "p",
            "Samples to each real row, chosen on the validation split in every cell; 0 is none at all. Where scores are"
            " equal, the log loss decides. So an arm with samples is the best of several trainings, its opponent one,"
            " which by itself may be worth a fraction of a point: test scores of each ratio are below.",
        ),
        table_of(["setting", "arm", "chosen, by seed", "cells with none"], chosen),
    ]
    if tried:
        names = ("arm", "ratio", "validation", "validation_loss", "accuracy")
        every = [[cell, *(s.get(name) for name in names)] for _, cell, s in tried]
        head = ["cell", "arm", "ratio", "validation", "its log loss", "test"]
        parts += [
            plotted(
                ratio_figure(tried), "Score over the ratio of samples to real rows; numbers are in the table below."
            ),
            tag(
                "p",
                tag(
                    "small",
                    "Means over seeds: accuracy, but on validation under imbalance macro-F1. Test rows chose nothing.",
                ),
            ),
            folded("Every ratio that was tried", table_of(head, every)),
        ]
    return Html("".join(parts))


def _filters(cells: Mapping[str, Any], settings: Mapping[str, str]) -> Html:
    """What was taken away before any classifier saw it, and why."""
    every = [
        (settings.get(cell, cell), cell, sort, figures)
        for cell, given in cells.items()
        for sort, figures in (given.get("filters") or {}).items()
    ]
    if not every:
        return Html("")
    totals: dict[tuple[str, str], list[float]] = {}
    for setting, _, sort, figures in every:
        total = totals.setdefault((setting, sort), [0, 0])
        total[0] += figures.get("in", 0)
        total[1] += figures.get("dropped", 0)
    lines = [
        [setting, sort, NOTES.get(sort, ""), made, dropped, f"{100 * dropped / made:.1f} %" if made else "–"]
        for (setting, sort), (made, dropped) in totals.items()
    ]
    figured = [[cell, sort, ", ".join(f"{k} {escaped(v)}" for k, v in f.items())] for _, cell, sort, f in every]
    return Html(
        tag("h2", "Samples left out")
        + table_of(["setting", "filter", "a sample goes where", "samples", "dropped", "share"], lines)
        + folded("Every cell", table_of(["cell", "filter", "figures"], figured))
    )


def _copies(cells: Mapping[str, Any], settings: Mapping[str, str]) -> Html:
    """Whether samples are training rows in disguise, and whether test rows have leaked."""
    by: dict[str, dict[str, list[float]]] = {}
    for cell, given in cells.items():
        for figure, value in _flat({k: given[k] for k in COPIES if given.get(k) is not None}).items():
            if isinstance(value, int | float):
                by.setdefault(figure, {}).setdefault(settings.get(cell, cell), []).append(value)
    if not by:
        return Html("")
    names = list(dict.fromkeys(settings.get(cell, cell) for cell in cells))
    lines = []
    for figure, values in by.items():
        last = figure.split(", ")[-1]
        worst, expected = (min, "about 1") if last == "ratio" else (max, "1 %" if last == "closer" else "0")
        if figure == "augmentation_leak, samples":
            expected = "as of unseen rows"
        form = "{:.3g}".format if last == "ratio" else lambda share: f"{100 * share:.1f} %"
        told = [f"{form(sum(v) / len(v))} ({form(worst(v))})" if (v := values.get(n)) else None for n in names]
        lines.append([figure, expected, *told])
    return Html(
        tag("h2", "Copies and leakage")
        + tag(
            "p",
            "Of samples before any filter: the mean over cells and, in brackets, the worst cell. “closer” is the share"
            " of samples that lie nearer to a training row than 99 % of unseen real rows do, so that 1 % is to be"
            " expected; “copies” are training rows themselves; “ratio” compares the usual distance to the nearest"
            " training row with that of unseen rows; “leakage” is the share of rows of another split that are equal to"
            " a training row;"
            " “augmentation_leak” is the share that a network takes for rows augmented as the discriminator saw them,"
            " of the samples and of unseen real rows, which should be alike.",
        )
        + table_of(["figure", "expected", *names], lines)
    )


# ---- how it was made -------------------------------------------------------------------------------------------------


def _making(facts: Mapping[str, Any]) -> Html:
    """What was asked for, with which versions, on what, and how long it took."""
    rest = _flat({key: value for key, value in facts.items() if key not in ("cells", "request")})
    asked = json.dumps(facts.get("request", {}), indent=2, ensure_ascii=False, default=str)
    return Html(tag("h2", "How it was made") + table_of([], rest.items()) + folded("The request", tag("pre", asked)))


def _everything(rows: Sequence[Row], cells: Mapping[str, Any]) -> Html:
    """Every row of the study and every figure of its cells, as they are."""
    head = list(dict.fromkeys(key for row in rows for key in row))
    parts = [folded(f"All {len(rows)} rows", table_of(head, ([row.get(key) for key in head] for row in rows)))]
    flat = [
        _flat({k: v for k, v in cell.items() if k not in ("filters", "sweep", "runs", "rows")})
        for cell in cells.values()
    ]
    if flat:
        keys = list(dict.fromkeys(key for cell in flat for key in cell))
        parts.append(
            folded(f"All {len(flat)} cells", table_of(keys, ([cell.get(key) for key in keys] for cell in flat)))
        )
    return Html(tag("h2", "Everything that was run") + "".join(parts))
