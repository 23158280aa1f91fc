"""What real and synthetic series should have in common: moments, correlations, autocorrelations. Masked, in float32."""

from __future__ import annotations

import torch
from torch import Tensor


def mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Mean of what counts.

    Args:
        values: (B, T, …).
        weight: broadcast over the values, 1 for what counts and 0 for what does not; None where everything does.
    """
    if weight is None:
        return values.mean()
    weight = weight.expand_as(values)
    return (values * weight).sum() / weight.sum().clamp(min=1)


def root(values: Tensor) -> Tensor:
    """√, whose slope at 0 is large and not infinite."""
    return (values + 1e-12).sqrt()


def moment_loss(real: Tensor, fake: Tensor, weight: Tensor | None) -> Tensor:
    """Mean |Δ mean| + mean |Δ deviation|, each of the batch at every step and feature (official code, G_loss_V).

    Args:
        real, fake: (B, T, F).
        weight: (B, T, 1), the same series lengths for both; None where all have T steps.
    """
    parts = [_moments(part.float(), weight) for part in (real, fake)]  # ((T, F), (T, F)) each
    there = None if weight is None else (weight.sum(0) > 0).float()  # (T, 1)
    (mean_real, std_real), (mean_fake, std_fake) = parts
    return mean((mean_real - mean_fake).abs(), there) + mean((std_real - std_fake).abs(), there)


def _moments(x: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    if weight is None:
        return x.mean(0), (x.var(0, unbiased=False) + 1e-6).sqrt()
    count = weight.sum(0).clamp(min=1)  # (T, 1)
    middle = (x * weight).sum(0) / count
    variance = ((x - middle).square() * weight).sum(0) / count
    return middle, (variance + 1e-6).sqrt()


def standardised(x: Tensor, weight: Tensor | None) -> Tensor:
    """x (B, T, F) less each feature's mean, over its deviation; 0 where it does not count."""
    x = x.float()
    count = x.shape[0] * x.shape[1] if weight is None else weight.sum().clamp(min=1)
    weighted = x if weight is None else x * weight
    centred = x - weighted.sum((0, 1)) / count
    centred = centred if weight is None else centred * weight
    return centred / (centred.square().sum((0, 1)) / count + 1e-6).sqrt()


def correlation_loss(real: Tensor, fake: Tensor, weight: Tensor | None) -> Tensor:
    """Mean |Δ| of the correlations between features at the same step, over the pairs; 0 for a single feature.

    Args:
        real, fake, weight: see :func:`moment_loss`.
    """
    features = real.shape[2]
    if features == 1:
        return fake.new_zeros(())
    count = real.shape[0] * real.shape[1] if weight is None else weight.sum().clamp(min=1)

    def correlations(x: Tensor) -> Tensor:
        flat = standardised(x, weight).flatten(0, 1)  # (B · T, F)
        return flat.T @ flat / count

    difference = correlations(real) - correlations(fake)
    return difference.abs().sum() / (features * (features - 1))


def autocorrelation_loss(real: Tensor, fake: Tensor, weight: Tensor | None) -> Tensor:
    """Mean |Δ| of the autocorrelations of each feature at lags of 1, 2, 4, … steps, up to half of T; 0 for T = 1.

    Args:
        real, fake, weight: see :func:`moment_loss`.
    """
    steps = real.shape[1]
    lags = [2**k for k in range(steps.bit_length()) if 2**k <= max(1, steps // 2) and 2**k < steps]
    if not lags:
        return fake.new_zeros(())
    series = [standardised(part, weight) for part in (real, fake)]

    def at(x: Tensor, lag: int) -> Tensor:
        product = x[:, lag:] * x[:, :-lag]
        count = product.shape[0] * product.shape[1] if weight is None else weight[:, lag:].sum().clamp(min=1)
        return product.sum((0, 1)) / count  # (F,)

    return torch.stack([(at(series[0], lag) - at(series[1], lag)).abs().mean() for lag in lags]).mean()
