"""Membership inference: which rows was a generator trained on? Scores for rows, and how well they tell them apart.

Every score is a pure function of float tensors (N, d), higher where the attacker takes a row for one that was trained
on; what is refused is said in :mod:`ganaug.metrics.distance`. Features must treat rows that were trained on and other
rows alike: those of a network taught on the training rows give their own away, whatever the samples are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor

from datamodules.errors import InputError
from ganaug.metrics.distance import nearest, neighbour_distance

LEAST = 10  # rows of either sort that an attack is judged by: with fewer, no interval that says anything
FALSE_POSITIVES = 0.01  # the rate that Carlini et al. 2022 read true positives at


def nearness(rows: Tensor, samples: Tensor) -> Tensor:
    """Minus the distance (N,) of each row to the nearest sample.

    In the spirit of Chen et al. 2020, "GAN-Leaks", arXiv 1909.03935: a generator makes best what it was trained on. In
    dense places all rows are near to samples, also of a good generator: :func:`density_ratio` allows for that.

    Args:
        rows: (N, d), N ≥ 1.
        samples: (M, d), M ≥ 1.
    """
    return -nearest(rows, samples)[0]


def density_ratio(rows: Tensor | None, samples: Tensor, reference: Tensor, k: int = 1) -> Tensor:
    """Log of the density of samples over that of the data, one a dimension: log p_G(x)/p_R(x), over d, of each row.

    DOMIAS, van Breugel et al. 2023, arXiv 2302.12580, eq. 2: where samples are denser than the data, the generator has
    overfitted. Both densities are those of the k-th nearest neighbour (Loftsgaarden and Quesenberry 1965), k / (n V
    r^d), whose ratio is (m / n) (r_R / r_G)^d: the order of rows, all that an attack needs, is that of r_R / r_G,
    whatever the dimension. The log (n / m) is left out, a constant.

    Each row is judged by all reference rows but one, which is itself where the rows are those of the reference: so rows
    that are in it and others are judged by as many.

    Args:
        rows: (N, d), N ≥ 1. None for the reference rows themselves: N = n.
        samples: (M, d), M ≥ 1.
        reference: (n, d), n ≥ 2, real rows that nobody was trained on.
        k: which neighbour, at most the samples, and at most one less than the reference rows: the first sees single
            rows that are given away, later ones estimate densities better.
    """
    k = min(k, len(samples), len(reference) - 1)
    rows = reference if rows is None else rows
    real = neighbour_distance(rows, reference, k, torch.arange(len(rows)) % len(reference))
    made = neighbour_distance(rows, samples, k)
    least = 1e-6 * float(real.median()) or 1e-300  # a row that is there twice has no distance
    return real.clamp(min=least).log() - made.clamp(min=least).log()


def told_apart(members: Tensor, others: Tensor, confidence: float = 0.95) -> dict[str, Any]:
    """How well scores tell rows that were trained on from others.

    Args:
        members: scores (N,) of rows that were trained on, N ≥ 1.
        others: scores (M,) of rows that were not, M ≥ 1.
        confidence: of the interval, above 0 and below 1.

    Returns:
        - ``auc``: the chance that a row that was trained on has the higher score of a pair, ties counted half; 0.5 is
          guessing. ``interval``: its bounds, see :func:`auc_interval`.
        - ``tpr``: where there are 100 others, the share of members that are found at a threshold which takes at most
          1 % of the others for members; 0.01 is guessing. Carlini et al. 2022, "Membership Inference Attacks From First
          Principles", arXiv 2112.03570: a few rows given away for sure are a leak that an average hides.
    """
    if not len(members) or not len(others):
        raise InputError(f"an attack is judged by rows of both sorts: there are {len(members)} and {len(others)}")
    scores = torch.cat([members, others]).double().cpu().numpy()
    if np.isnan(scores).any():
        raise InputError(f"{int(np.isnan(scores).sum())} of {len(scores)} scores of an attack are not numbers")
    truth = np.arange(len(scores)) < len(members)
    scores = np.unique(scores, return_inverse=True)[1]  # ranks: infinity is a score like others
    auc = float(roc_auc_score(truth, scores))
    found: dict[str, Any] = {"auc": auc, "interval": auc_interval(auc, len(members), len(others), confidence)}
    if len(others) * FALSE_POSITIVES >= 1:
        false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
        found["tpr"] = float(true[false <= FALSE_POSITIVES + 1e-9].max())
    return found


def auc_interval(auc: float, members: int, others: int, confidence: float = 0.95) -> list[float]:
    """Bounds of an area under the curve, in [0, 1].

    Newcombe 2006, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2",
    Statistics in Medicine 25, method 5: all areas whose own deviation, by Hanley and McNeil's formula, allows for the
    one that was seen. Unlike DeLong's and the bootstrap's, it does not shrink to a point where rows are told apart
    without a mistake, as few rows often are.

    Args:
        auc: what was seen, in [0, 1].
        members, others: rows of either sort, at least 1.
        confidence: above 0 and below 1.
    """
    quantile = float(norm.ppf((1 + confidence) / 2))
    size = (members + others) / 2 - 1

    def variance(area: float) -> float:
        return area * (1 - area) * (1 + size * ((1 - area) / (2 - area) + area / (1 + area))) / (members * others)

    def lowest(seen: float) -> float:
        if seen < 1e-6:
            return 0.0
        return float(brentq(lambda area: seen - area - quantile * math.sqrt(variance(area)), 0, seen - 1e-9))

    return [lowest(auc), 1 - lowest(1 - auc)]
