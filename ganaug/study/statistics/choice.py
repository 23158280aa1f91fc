"""How many samples to use, chosen for each seed by the held-out folds of the other seeds.

The best of several trainings beats one by chance alone, if its own score says so: the choice and the score then share
their luck (Cawley and Talbot 2010, "On Over-fitting in Model Selection and Subsequent Selection Bias in Performance
Evaluation", JMLR 11). Here no seed's score has a part in its choice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganaug.study.statistics.intervals import Floats


def of_others(values: Any) -> Floats:
    """Mean over all other seeds; of a seed that has no others with a value, its own.

    Args:
        values: (..., seeds, options); NaN where there is none.

    Returns:
        As large; NaN where nobody has a value.
    """
    values = np.asarray(values, dtype=float)
    there = ~np.isnan(values)
    filled = np.where(there, values, 0.0)
    count = there.sum(-2, keepdims=True) - there
    total = filled.sum(-2, keepdims=True) - filled
    means: Floats = np.where(count > 0, total / np.maximum(count, 1), values)
    return means


def choose(values: Any) -> NDArray[np.int64]:
    """For each seed the option whose mean over all other seeds is the highest; of equal ones the first.

    Args:
        values: (..., seeds, options), scores on the folds of each seed, or their gains over the first option.

    Returns:
        (..., seeds), numbers of options; -1 where there is none.
    """
    means = of_others(values)
    known = ~np.isnan(means)
    # Sums in another order differ in their last bits, which must not decide between equals.
    best = np.where(known, means, -np.inf).round(12).argmax(-1)
    return np.where(known.any(-1), best, -1)
