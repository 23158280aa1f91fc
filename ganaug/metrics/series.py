"""How alike two sets of series are in what can be counted without training: pure functions on x (N, T, F).

Each set is ``x`` float (N, T, F) with ``length`` int64 (N,) in 1 … T; what lies beyond a length never counts, whatever
it is. The two sets may differ in N and T. Computed in float64. The floor of each distance is not 0 but what two sets of
real series of the same sizes have: call it on those to know.

Every function refuses what has no answer with an :class:`~datamodules.errors.InputError`, a ``ValueError`` that names
the set: no series, other shapes, lengths out of range, NaN or infinity within a length, sets of different features.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from datamodules.errors import InputError
from datamodules.schema import step_mask

CONSTANT = torch.finfo(torch.float32).eps  # a deviation below this share of the largest value is rounding


def inside(x: Tensor, length: Tensor, name: str = "series") -> Tensor:
    """Which steps of a set count, bool (N, T).

    Args:
        x: (N, T, F).
        length: (N,).
        name: what an error calls the set.

    Raises:
        InputError: shapes that do not fit, no series, a length out of range, NaN or infinity within one.
    """
    if x.ndim != 3 or not x.is_floating_point() or not x.numel():
        raise InputError(f"{name} should be numbers (series, steps, features), not {x.dtype} {tuple(x.shape)}")
    if length.shape != x.shape[:1] or length.is_floating_point():
        raise InputError(
            f"{name}: {len(x)} series want as many whole lengths, not {length.dtype} {tuple(length.shape)}"
        )
    if length.min() < 1 or length.max() > x.shape[1]:
        bad = int(((length < 1) | (length > x.shape[1])).nonzero()[0])
        raise InputError(f"{name}: series {bad} has length {int(length[bad])}, which is not within 1 … {x.shape[1]}")
    counts = step_mask(length.to(x.device), x.shape[1])
    bad_steps = counts & ~x.isfinite().all(2)
    if bad_steps.any():
        row, step = bad_steps.nonzero()[0].tolist()
        raise InputError(f"{name}: NaN or infinity in series {row} at step {step}")
    return counts


def same_features(real: Tensor, synthetic: Tensor) -> None:
    """Refuse sets (…, F) of different F."""
    if real.shape[-1] != synthetic.shape[-1]:
        raise InputError(f"the sets have {real.shape[-1]} and {synthetic.shape[-1]} features: they should be the same")


# ---- between features ------------------------------------------------------------------------------------------------


def correlation(x: Tensor, length: Tensor) -> Tensor:
    """Pearson's correlation of each pair of features at the same step, over all steps of all series at once.

    A feature that is constant has correlation 0 with the others.

    Returns:
        float64 (F, F) in [-1, 1], on the CPU; 1 on the diagonal.
    """
    values = x[inside(x, length)].double().cpu()  # (M, F)
    centred = values - values.mean(0)
    norm = centred.norm(dim=0)
    changes = norm > CONSTANT * values.abs().amax(0) * math.sqrt(len(values))
    unit = torch.where(changes, centred / norm, 0.0)
    matrix = (unit.T @ unit).clamp(-1, 1)
    return matrix.fill_diagonal_(1)


def correlation_distance(
    real: Tensor,
    real_length: Tensor,
    synthetic: Tensor,
    synthetic_length: Tensor,
    reduction: Literal["published", "mean"] = "published",
) -> float:
    """How far the features' correlations with each other are from the real ones.

    ``published`` is ``⅒ Σ |ρᵢⱼ(real) − ρᵢⱼ(synthetic)|`` over all pairs of features i < j, each counted once, with
    :func:`correlation` ρ: the correlational score of Yuan and Qiao 2024, "Diffusion-TS" (arXiv 2403.01742), appendix,
    after Liao et al. 2020, "Conditional Sig-Wasserstein GANs" (arXiv 2006.05421). The formula there sums over i and j,
    the code over i ≥ j, where i = j adds nothing; the figures are the code's (TimeGAN: Sines 0.045, Stocks 0.063,
    Energy 4.010). They are means over five draws of a fifth of the series, with replacement, so that they hold more
    noise than this, which takes all; and the code's ρ is smaller by 1/M of itself, for M steps, as it mixes variances.

    It grows with the square of the number of features. ``mean`` is over the pairs and does not.

    Returns:
        At least 0: ``mean`` at most 2, ``published`` at most F (F − 1) / 10; 0 where there is one feature.
    """
    _checked(real, real_length, synthetic, synthetic_length)
    apart = (correlation(real, real_length) - correlation(synthetic, synthetic_length)).abs()
    pairs = apart[tuple(torch.tril_indices(len(apart), len(apart), -1))]
    return float(pairs.sum()) / (10 if reduction == "published" else max(1, len(pairs)))


# ---- from step to step -----------------------------------------------------------------------------------------------


def autocorrelation(x: Tensor, length: Tensor, lags: int) -> Tensor:
    """The autocorrelation function of each feature: of each series by itself, and the mean of these.

    With L steps of mean m it is Σ (xₜ − m)(xₜ₊ₖ − m) over t < L − k, divided by Σ (xₜ − m)² (Box and Jenkins 1976,
    section 2.1.5): pulled towards 0 at large lags, and alike for sets whose lengths are alike. Constant series count
    as 0. A series of k steps or fewer does not count at lag k.

    Args:
        x, length: the set.
        lags: the largest lag, below the longest length.

    Returns:
        float64 (lags + 1, F) in [-1, 1], on the CPU: row k is lag k, row 0 is 1.
    """
    longest = int(length.max())
    x = x[:, :longest]  # sums are rounded otherwise where there is more behind
    counts = inside(x, length)
    if not 0 <= lags < longest:
        raise InputError(f"no autocorrelation at lag {lags}: the longest series has {longest} steps")
    steps = length.to(x.device)[:, None]
    values = torch.where(counts[..., None], x.double(), 0.0)
    centred = torch.where(counts[..., None], values - values.sum(1, keepdim=True) / steps[..., None], 0.0)
    power = centred.square().sum(1)  # (N, F)
    changes = power > (CONSTANT * values.abs().amax(1)).square() * steps
    curve = torch.ones(lags + 1, x.shape[2], dtype=torch.float64)
    for lag in range(1, lags + 1):
        product = (centred[:, :-lag] * centred[:, lag:]).sum(1)
        each = torch.where(changes, product / power, 0.0)
        curve[lag] = each[steps[:, 0] > lag].mean(0)
    return curve


def autocorrelation_distance(
    real: Tensor, real_length: Tensor, synthetic: Tensor, synthetic_length: Tensor, lags: int | None = None
) -> float:
    """Mean over features and lags of how far the :func:`autocorrelation` is from the real one.

    Args:
        real, real_length, synthetic, synthetic_length: the sets.
        lags: from 1 to this one; by default to half the longest length of the set whose longest is shorter.

    Returns:
        In [0, 2].
    """
    _checked(real, real_length, synthetic, synthetic_length)
    if lags is None:
        lags = max(1, min(int(real_length.max()), int(synthetic_length.max())) // 2)
    if lags < 1:
        raise InputError(f"autocorrelation_distance needs a lag of at least 1, not {lags}")
    apart = autocorrelation(real, real_length, lags) - autocorrelation(synthetic, synthetic_length, lags)
    return float(apart[1:].abs().mean())


# ---- of each feature -------------------------------------------------------------------------------------------------


def marginal_distance(
    real: Tensor, real_length: Tensor, synthetic: Tensor, synthetic_length: Tensor, differences: bool = False
) -> float:
    """Wasserstein-1 distance between the values of each feature, whatever their step; the mean over the features.

    In units of the real values' standard deviation, so that features of any scale count alike; a feature that is
    constant in the real set is measured as it is. Of series of different lengths each step counts alike.

    Args:
        real, real_length, synthetic, synthetic_length: the sets.
        differences: of the changes from each step to the next instead of the values.

    Returns:
        At least 0. Values that are all off by one standard deviation make 1.
    """
    _checked(real, real_length, synthetic, synthetic_length)
    a, b = (
        _values(real, real_length, differences, "real"),
        _values(synthetic, synthetic_length, differences, "synthetic"),
    )
    total = 0.0
    for column in range(a.shape[1]):
        deviation = float(a[:, column].std(correction=0))
        unit = deviation if deviation > CONSTANT * float(a[:, column].abs().max()) else 1.0
        total += float(wasserstein_distance(a[:, column].numpy(), b[:, column].numpy())) / unit
    return total / a.shape[1]


def _values(x: Tensor, length: Tensor, differences: bool, name: str) -> Tensor:
    """All that counts of a set, float64 (M, F), on the CPU."""
    counts = inside(x, length, name)
    if not differences:
        return x[counts].double().cpu()
    if not counts[:, 1:].any():
        raise InputError(f"{name}: no series has two steps, so that nothing changes from step to step")
    x = x.double()
    return (x[:, 1:] - x[:, :-1])[counts[:, 1:]].cpu()


def _checked(real: Tensor, real_length: Tensor, synthetic: Tensor, synthetic_length: Tensor) -> None:
    inside(real, real_length, "real")
    inside(synthetic, synthetic_length, "synthetic")
    same_features(real, synthetic)


# ---- of words --------------------------------------------------------------------------------------------------------


def frequency_distance(
    real: Tensor, real_length: Tensor, synthetic: Tensor, synthetic_length: Tensor, steps: int = 1
) -> float:
    """How far the frequencies of words, or of words that follow one another, are from the real ones.

    Total variation distance: half the sum of the differences.

    Args:
        real, synthetic: (N, T, W), 1 for the word at a step and 0 for the others.
        real_length, synthetic_length: (N,) steps that count.
        steps: 1 for words, 2 for pairs of a word and the next.

    Returns:
        In [0, 1].
    """
    _checked(real, real_length, synthetic, synthetic_length)
    shares = [_shares(x, length, steps) for x, length in ((real, real_length), (synthetic, synthetic_length))]
    return float(0.5 * (shares[0] - shares[1]).abs().sum())


def _shares(x: Tensor, length: Tensor, steps: int) -> Tensor:
    """Frequencies of words (W,), or of pairs (W, W)."""
    counts = inside(x, length)  # (N, T)
    x = torch.where(counts[..., None], x.double(), 0.0)
    found = x.sum((0, 1)) if steps == 1 else torch.einsum("nta,ntb->ab", x[:, :-1], x[:, 1:])
    share: Tensor = found / found.sum().clamp(min=1)
    return share
