"""What the statistics of single trainings will do, by what there is: to be deleted when those are there.

Then ``commands/augment.py`` imports ``summarise`` and ``seeds_wanted`` from ``ganaug.study.statistics``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from ganaug.study import statistics
from ganaug.study.plan import ARMS, BASE


def summarise(rows: Sequence[dict[str, Any]], ratio: float, failed: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Of whole cells, at the ratio that was fixed in advance."""
    other = [arm for arm in ARMS if arm not in BASE and "placebo" not in arm]
    taken = [
        row
        for row in rows
        if row["fold"] is None and row["steps"] == 1 and (row["arm"] in other or row["ratio"] == ratio)
    ]
    return statistics.summarise(taken, failed)


def seeds_wanted(differences: Sequence[float], half_width: float) -> int:
    """How many seeds in all make the 95 % interval as narrow as asked."""
    reach = stats.t.ppf(0.975, len(differences) - 1) * np.std(differences, ddof=1)
    return max(len(differences), math.ceil(float(reach / half_width) ** 2))
