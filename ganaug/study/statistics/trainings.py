"""The rows of a setting, found by what was trained; and which of several trainings the held-out rows prefer.

A row is one training of a classifier: ``arm``, ``ratio`` of samples to real rows, ``seed``, ``fold`` (None for the
whole training split, examined on test rows; else examined on the held-out rows of that fold), ``steps`` (a multiple of
the classifier's steps), ``per_class``, ``imbalance``, ``rarest``, and scores: :data:`METRICS`, ``shift:<name>``,
``loss`` and, where the data have validation rows, ``validation`` and ``validation_loss`` of whole splits.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Sequence
from typing import Any

import numpy as np

from datamodules.errors import InputError
from ganaug.study.statistics.choice import choose

Row = dict[str, Any]
Option = tuple[str, float]  # an arm and a ratio
METRICS = {"accuracy": "accuracy", "macro_f1": "macro-F1", "rare_recall": "recall of the rarest class"}
SHIFT = "shift:"
# An arm with samples and the same without: what the question is about, the hardest to beat under imbalance first.
PAIRS = {
    "classical_oversampled_gan": "classical_oversampled",
    "classical_gan": "classical",
    "oversampled_gan": "oversampled",
    "gan": "real",
}
PLACEBO = {"classical_gan": "classical_placebo", "gan": "placebo"}  # real rows drawn again in the place of samples
WITHOUT = ("real", "oversampled", "smote", "classical", "classical_oversampled")


class Trainings:
    """All rows of one setting.

    Args:
        rows: of the study, of which those of the setting are taken.
        setting: imbalance and rows a class.
        selection: what ratios are chosen by, ``folds`` or ``validation``; None for nothing.

    Raises:
        InputError: two rows of the same training.
    """

    def __init__(self, rows: Iterable[Row], setting: tuple[str, int | None], selection: str | None) -> None:
        self.selection = selection
        self.imbalance, self.per_class = setting
        self.metric = "macro_f1" if self.imbalance else "accuracy"
        self.found: dict[tuple[str, float, int], dict[tuple[int, int | None], Row]] = {}
        for row in rows:
            if setting_of(row) != setting:
                continue
            those = self.found.setdefault((row["arm"], ratio_of(row), row.get("steps") or 1), {})
            if (row["seed"], row.get("fold")) in those:
                what = "" if row.get("fold") is None else f", fold {row['fold']}"
                raise InputError(
                    f"two rows of {name(row)}, seed {row['seed']}{what}, arm {row['arm']}, ratio {ratio_of(row):g}"
                )
            those[row["seed"], row.get("fold")] = row
        self.seeds = sorted({seed for those in self.found.values() for seed, _ in those})

    def whole(self, arm: str, ratio: float) -> dict[int, Row]:
        """By seed, the row of the whole training split."""
        those = self.found.get((arm, ratio, 1), {})
        return {seed: those[seed, None] for seed in self.seeds if (seed, None) in those}

    def ratios(self, arm: str) -> list[float]:
        """That the arm was trained at, in rising order."""
        return sorted({ratio for one, ratio, _ in self.found if one == arm})

    def judged(self, arm: str, ratio: float, steps: int = 1) -> dict[tuple[int, int | None], float]:
        """By seed and fold, the score on the rows that choose; fold None: validation."""
        those = self.found.get((arm, ratio, steps), {})
        metric = self.metric if self.selection == "folds" else "validation"
        chooses = {key: row for key, row in those.items() if (key[1] is not None) == (self.selection == "folds")}
        scores = {key: value_of(row, metric) for key, row in chooses.items()}
        return {key: score for key, score in scores.items() if score is not None}

    def gains(self, option: Option, other: Option, steps: tuple[int, int] = (1, 1)) -> list[float]:
        """For each seed, how far an option is above another on the same held-out rows; NaN where neither was judged."""
        ours, theirs = self.judged(*option, steps[0]), self.judged(*other, steps[1])
        both = [[ours[key] - theirs[key] for key in ours if key in theirs and key[0] == seed] for seed in self.seeds]
        return [float(np.mean(values)) if values else math.nan for values in both]

    def test_gains(self, option: Option, other: Option) -> list[float]:
        """For each seed that has both, how far an option is above another on test rows."""
        return list(paired(self.whole(*option), self.whole(*other), self.metric).values())

    def chosen(self, options: Sequence[Option]) -> dict[int, Option]:
        """For each seed the option that is preferred by the folds of the other seeds, or by its own validation rows.

        Args:
            options: the first is what gains are taken to; of equal ones the earliest is chosen.
        """
        if self.selection == "folds":
            values = np.array([self.gains(option, options[0]) for option in options]).T
            picked = choose(values)
            return {seed: options[k] for seed, k in zip(self.seeds, picked.tolist(), strict=True) if k >= 0}
        found: dict[int, Option] = {}
        for seed in self.seeds if self.selection else ():
            rows = [(option, row) for option in options if (row := self.whole(*option).get(seed))]
            tried = [(v, -(value_of(row, "validation_loss") or 0.0), option) for option, row in rows
                     if (v := value_of(row, "validation")) is not None]  # fmt: skip
            if tried:
                found[seed] = max(tried, key=lambda one: one[:2])[2]
        return found


def headline_of(imbalance: str, arms: Container[str]) -> str | None:
    """The arm with samples that a setting is judged by: the first that was run, with the same without samples.

    Under imbalance that is the first of :data:`PAIRS`; else classical_gan, then gan.
    """
    order = PAIRS if imbalance else ("classical_gan", "gan", *PAIRS)
    return next((arm for arm in order if arm in arms and PAIRS[arm] in arms), None)


def check(row: Row, number: int) -> None:
    """Refuse a row that lacks what it is known by, or has a score that is no share."""
    for field in ("arm", "seed", "accuracy"):
        if field not in row:
            raise InputError(f"row {number} has no {field}")
    for metric in row:
        if metric in METRICS or metric.startswith(SHIFT):
            value = value_of(row, metric)
            if value is not None and not 0 <= value <= 1:
                raise InputError(f"row {number}: {metric} is {value:g}, where a share from 0 to 1 is wanted")


def value_of(row: Row, metric: str) -> float | None:
    """A score, None for NaN too."""
    value = row.get(metric)
    return None if value is None or math.isnan(value) else float(value)


def paired(rows: dict[int, Row], others: dict[int, Row], metric: str) -> dict[int, float]:
    """Differences of the seeds that have both, in order."""
    both = {s: (value_of(rows[s], metric), value_of(others[s], metric)) for s in sorted(rows) if s in others}
    return {s: a - b for s, (a, b) in both.items() if a is not None and b is not None}


def ratio_of(row: Row) -> float:
    """Samples to each real row; 0 where the row says nothing."""
    return float(row.get("ratio") or 0.0)


def setting_of(row: Row) -> tuple[str, int | None]:
    """Imbalance and rows a class."""
    return row.get("imbalance") or "", row.get("per_class")


def selection_of(rows: Sequence[Row]) -> str | None:
    """What ratios are chosen by: ``folds``, ``validation``, or None where the rows hold neither."""
    if any(row.get("fold") is not None for row in rows):
        return "folds"
    return "validation" if any(value_of(row, "validation") is not None for row in rows) else None


def name(row: Row) -> str:
    """A setting's name: ``20 a class``, ``imbalance 8:0.05``, both, or ``all rows``."""
    parts = [] if row.get("per_class") is None else [f"{row['per_class']} a class"]
    parts += [f"imbalance {row['imbalance']}"] if row.get("imbalance") else []
    return ", ".join(parts) or "all rows"
