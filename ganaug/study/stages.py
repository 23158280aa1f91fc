"""A second stage of seeds, as many as the first says are wanted for an interval of a given width.

Stein 1945, "A Two-Sample Test for a Linear Hypothesis Whose Power Is Independent of the Variance", Annals of
Mathematical Statistics 16(3). The number of seeds depends on the spread of the first stage alone, never on the mean, so
that nobody goes on until they like what they see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ganaug.study.plan import Cell, Row, Study
from ganaug.study.statistics import seeds_wanted
from ganaug.study.statistics.trainings import PAIRS, headline_of


def first_stage(asked: Mapping[str, Any]) -> int | None:
    """How many seeds a study's first stage has, by what ``study.json`` says; None where there is no second."""
    seeds = {name.rpartition("seed=")[2].partition(",")[0] for name in asked["cells"]}
    return len(seeds) if asked["until"] else None


def headline(rows: Sequence[Row], ratio: float) -> list[float] | None:
    """How far the headline's arm is above the same without samples, for each seed of a setting; None if one lacks it.

    Args:
        rows: of one setting; those of whole cells are read.
        ratio: of samples to training rows, fixed in advance.
    """
    imbalance = rows[0]["imbalance"]
    metric = "macro_f1" if imbalance else "accuracy"
    scores = {(r["arm"], r["ratio"], r["seed"]): r[metric] for r in rows if r["fold"] is None and r["steps"] == 1}
    arm = headline_of(imbalance, {arm for arm, _, _ in scores})
    if arm is None:
        return None
    pairs = [((arm, ratio, seed), (PAIRS[arm], 0.0, seed)) for seed in dict.fromkeys(seed for _, _, seed in scores)]
    if any(key not in scores for pair in pairs for key in pair):  # the folder is that of another study
        return None
    return [scores[ours] - scores[theirs] for ours, theirs in pairs]


def second_stage(study: Study, cells: Sequence[Cell]) -> list[Cell]:
    """Cells of further seeds, setting by setting; none of a setting whose first stage is not finished.

    Args:
        study: with the half width that is wanted, ``until``.
        cells: of the first stage.
    """
    if study.until is None:
        return []
    found: list[Cell] = []
    for setting in dict.fromkeys(cell.setting for cell in cells):
        alike = [cell for cell in cells if cell.setting == setting]
        facts = [study.facts(cell) for cell in alike]
        if not all("rows" in one for one in facts):
            continue
        differences = headline([row for one in facts for row in one["rows"]], study.ratio)
        if differences is None:
            continue
        count = min(seeds_wanted(differences, study.until / 100), study.max_seeds) - len(differences)
        last = max(cell.seed for cell in alike)
        folds = [cell for cell in alike if cell.seed == alike[0].seed]
        found += [replace(cell, seed=last + k) for k in range(1, count + 1) for cell in folds]
    return found


def numbered(study: Study, cells: Sequence[Cell]) -> list[Cell]:
    """The cells by their numbers: those of the first stage, and behind them those of the second.

    These are in it as soon as they are all known, when the last cell of the first stage is finished. A number that
    tasks on a cluster were given keeps its meaning.
    """
    known = all("rows" in study.facts(cell) for cell in cells)
    return [*cells, *(second_stage(study, cells) if known else [])]
