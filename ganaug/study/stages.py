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
from ganaug.study.statistics.trainings import PAIRS, Trainings, headline_of, setting_of


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
    setting = Trainings([row for row in rows if row["fold"] is None], setting_of(rows[0]), None)
    arm = headline_of(setting.imbalance, {arm for arm, _, _ in setting.found})
    if arm is None:
        return None
    gains = setting.test_gains((arm, ratio), (PAIRS[arm], 0.0))
    return gains if gains and len(gains) == len(setting.seeds) else None  # else the folder is that of another study


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
