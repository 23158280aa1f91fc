"""``report.html`` of a study: one file with everything in it, that opens anywhere and asks nothing of the network."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from datamodules.files.manifest import make_folder, replacing
from ganaug.evaluation.markup import Html, escaped, folded, page, table_of, tag
from ganaug.evaluation.membership import ATTACKS
from ganaug.sampling.filters import NOTES
from ganaug.study.findings import differences, headline, ratios, scores
from ganaug.study.gallery import gallery_of
from ganaug.study.plots import PLOTS
from ganaug.study.statistics.intervals import ALPHA, holm, student
from ganaug.study.statistics.trainings import Row, name

COPIES = ("memorisation", "leakage", "augmentation_leak", "class_spread")  # what a cell may say of samples and splits


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
            and further figures), those of :data:`COPIES` (figures, as deep as they may be), ``membership`` (see
            :func:`~ganaug.evaluation.membership.membership`), other figures. Its ``rows`` and ``runs`` are passed over,
            since they are those above.

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
            headline(rows, summary),
            differences(summary),
            scores(summary),
            ratios(rows, summary),
            _filters(cells, settings),
            _copies(cells, settings),
            _members(cells, settings),
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


# ---- samples --------------------------------------------------------------------------------------------------------


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
        [setting, sort, made, dropped, f"{100 * dropped / made:.1f} %" if made else "–"]
        for (setting, sort), (made, dropped) in totals.items()
    ]
    figured = [[cell, sort, ", ".join(f"{k} {escaped(v)}" for k, v in f.items())] for _, cell, sort, f in every]
    reasons = [f"by “{sort}” where {NOTES[sort]}" for sort in dict.fromkeys(s for _, s in totals) if sort in NOTES]
    return Html(
        tag("h2", "Samples left out")
        + (tag("p", f"A sample is left out {'; '.join(reasons)}.") if reasons else "")
        + table_of(["setting", "filter", "samples", "dropped", "share"], lines)
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
    floors = [share for figure in by if figure.endswith("closer_floor") for v in by[figure].values() for share in v]
    for figure, values in by.items():
        last = figure.split(", ")[-1]
        if last in ("closer_floor", "rows") or "by_class" in figure:
            continue
        floor = f"{100 * sum(floors) / len(floors):.1f} %" if last == "closer" and floors else "0"
        ratio = last == "ratio" or figure.startswith("class_spread")
        worst, expected = (min, "about 1") if ratio else (max, floor)
        expected = {"augmentation_leak, samples": "as of unseen rows", "augmentation_leak, unseen": "–"}.get(
            figure, expected
        )
        form = "{:.3g}".format if ratio else lambda share: f"{100 * share:.1f} %"
        told = [f"{form(sum(v) / len(v))} ({form(worst(v))})" if (v := values.get(n)) else None for n in names]
        lines.append([figure, expected, *told])
    return Html(
        tag("h2", "Copies, leakage and collapse")
        + tag(
            "p",
            "Of samples before any filter: the mean over cells and, in brackets, the worst cell. “closer” is the share"
            " of samples that lie nearer to a training row than 99 % of unseen real rows do, so that a little more"
            " than 1 % is to be expected; “copies” are training rows themselves; “ratio” compares the usual distance to"
            " the nearest training row with that of unseen rows; “leakage” is the share of rows of another split that"
            " are equal to a training row; “augmentation_leak” is the share that a network takes for rows augmented as"
            " the discriminator saw them, of the samples and of unseen real rows, which should be alike;"
            " “class_spread” is how far two samples of a class are apart, as a share of what two training rows of it"
            " are, and the same of test rows: far below 1, the generator makes hardly more than one row of a class.",
        )
        + table_of(["figure", "expected", *names], lines)
    )


def _members(cells: Mapping[str, Any], settings: Mapping[str, str]) -> Html:
    """Whether samples, or the checkpoint, give away which rows were trained on: every attack, over seeds."""
    given = [(settings.get(cell, cell), facts["membership"]) for cell, facts in cells.items() if "membership" in facts]
    if not given:
        return Html("")
    lines, alone, chances = [], False, list[float]()
    for setting in dict.fromkeys(setting for setting, _ in given):
        of_setting = [told["attacks"] for name, told in given if name == setting and "attacks" in told]
        for attack, (holder, by) in ATTACKS.items():
            told = [attacks[attack] for attacks in of_setting if attack in attacks]
            if told:
                mean, half, _ = student([one["auc"] for one in told])
                p = float(student([one["auc"] - 0.5 for one in told])[2])
                # One seed, or the same in all, leaves nothing to estimate chance from: each then speaks for itself.
                alone |= math.isnan(p) and min(one["interval"][0] for one in told) > 0.5
                chances += [] if math.isnan(p) else [p if mean > 0.5 else 1.0]
                controls = [one["control"]["auc"] for one in told if "control" in one]
                control = f"{sum(controls) / len(controls):.2f}" if controls else None
                inside = "" if math.isnan(half) else f" ({max(0, mean - half):.2f} to {min(1, mean + half):.2f})"
                lines.append(
                    [setting, holder, by, f"{mean:.2f}{inside}", f"{max(one['auc'] for one in told):.2f}", control]
                )
    found = bool((holm(chances) < ALPHA).any())
    lacking = dict.fromkeys(told["sentence"] for _, told in given if "attacks" not in told)
    seen = (
        "Yes, in part: at least one attack does better than 0.5, beyond chance, corrected for all that are listed."
        if found
        else "Yes, in part: at least one attack does better than 0.5, beyond chance by itself; of one seed each setting"
        " is judged alone, so that of many settings one may by chance."
        if alone
        else "Not that these attacks could show. That is no proof of privacy: others may do better."
    )
    terms = (
        "Attackers guess among as many training as test rows of each class. The area under the curve (AUC) is the"
        " chance that they rank a training row above another: 0.5 is guessing, 1 is certain; its mean over seeds,"
        " Student's 95 % interval for each attack by itself, and the worst seed. “Control” is the same attack on"
        " validation rows in the place of training rows, on which nobody was trained: where it is not about 0.5, the"
        " splits differ by themselves."
    )
    head = ["setting", "who has the", "guesses by", "AUC (95 % interval)", "worst", "control"]
    table = [tag("p", seen, " ", terms), table_of(head, lines)] if lines else []
    return Html(
        tag("h2", "Can anybody tell which rows were trained on?") + "".join([*table, *(tag("p", no) for no in lacking)])
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
        _flat({k: v for k, v in cell.items() if k not in ("filters", "runs", "rows", "membership")})
        for cell in cells.values()
    ]
    if flat:
        keys = list(dict.fromkeys(key for cell in flat for key in cell))
        parts.append(
            folded(f"All {len(flat)} cells", table_of(keys, ([cell.get(key) for key in keys] for cell in flat)))
        )
    return Html(tag("h2", "Everything that was run") + "".join(parts))
