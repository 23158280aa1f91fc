"""What real and synthetic series should have in common: moments, correlations, autocorrelations. Masked, in float32."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganaug.gans.losses import in_float32


def masked_mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Mean of what counts, in float32.

    Args:
        values: (B, T, …).
        weight: broadcast over the values, 1 for what counts and 0 for what does not; None where everything does.
    """
    values = values.float()  # autocast gives networks that do not see to it 16 bits
    if weight is None:
        return values.mean()
    weight = weight.expand_as(values)
    return (values * weight).sum() / weight.sum().clamp(min=1)


def safe_sqrt(values: Tensor) -> Tensor:
    """√, whose slope at 0 is large and not infinite."""
    return (values + 1e-12).sqrt()


@in_float32
def moment_loss(real: Tensor, fake: Tensor, weight: Tensor | None) -> Tensor:
    """Mean |Δ mean| + mean |Δ deviation|, each of the batch at every step and feature (official code, G_loss_V).

    Args:
        real, fake: (B, T, F).
        weight: (B, T, 1), the same series lengths for both; None where all have T steps.
    """
    parts = [_moments(part, weight) for part in (real, fake)]  # ((T, F), (T, F)) each
    there = None if weight is None else (weight.sum(0) > 0).float()  # (T, 1)
    (mean_real, std_real), (mean_fake, std_fake) = parts
    return masked_mean((mean_real - mean_fake).abs(), there) + masked_mean((std_real - std_fake).abs(), there)


def _moments(x: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    if weight is None:
        return x.mean(0), (x.var(0, unbiased=False) + 1e-6).sqrt()
    count = weight.sum(0).clamp(min=1)  # (T, 1)
    middle = (x * weight).sum(0) / count
    variance = ((x - middle).square() * weight).sum(0) / count
    return middle, (variance + 1e-6).sqrt()


def standardised(x: Tensor, weight: Tensor | None) -> Tensor:
    """x (B, T, F) less each feature's mean, over its deviation; 0 where it does not count."""
    count = x.shape[0] * x.shape[1] if weight is None else weight.sum().clamp(min=1)
    weighted = x if weight is None else x * weight
    centred = x - weighted.sum((0, 1)) / count
    centred = centred if weight is None else centred * weight
    return centred / (centred.square().sum((0, 1)) / count + 1e-6).sqrt()


@in_float32
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


@in_float32
def change_loss(real: Tensor, fake: Tensor, weight: Tensor | None) -> Tensor:
    """:func:`moment_loss` of the changes from step to step, in units of their deviation in the real batch; 0 for T = 1.

    Where values range widely between series and change little within one, the moments of the values do not see how
    rough a series is.

    Args:
        real, fake, weight: see :func:`moment_loss`.
    """
    if real.shape[1] == 1:
        return fake.sum() * 0.0
    weight = None if weight is None else weight[:, 1:]
    of_real, of_fake = (part[:, 1:] - part[:, :-1] for part in (real, fake))
    scale = _size(of_real, weight)
    return moment_loss(of_real / scale, of_fake / scale, weight)


@in_float32
def sliced_loss(
    real: Tensor, fake: Tensor, weight: Tensor | None, condition: Tensor | None, slices: int = 32
) -> Tensor:
    """Distance between the distributions of whole series: mean Wasserstein-1 distance along random directions.

    Deshpande et al. 2018, "Generative Modeling using the Sliced Wasserstein Distance" (arXiv 1803.11188), section 3.
    Means and deviations leave a distribution's shape open, and each step by itself what goes with what; sorted
    projections leave neither. A quarter of the directions each is of the values, of the changes from step to step, of
    both, and of a single value or change; all in units of the real batch's deviations.

    Args:
        real, fake, weight: see :func:`moment_loss`.
        condition: (B, C) of both, so that what is compared is the distribution together with the class; or None.
        slices: directions of each of the four kinds, drawn from torch's global generator.
    """
    parts: list[list[Tensor]] = [[], []]  # of real and fake: values (B, T · F) and changes (B, (T − 1) · F)
    for order in (0, 1) if real.shape[1] > 1 else (0,):
        a, b = (part.diff(n=order, dim=1) for part in (real, fake))
        within = None if weight is None else weight[:, order:]
        centre = a.mean((0, 1)) if within is None else (a * within).sum((0, 1)) / within.sum().clamp(min=1)
        scale = _size(a - centre, within)
        for rows, part in zip((a, b), parts, strict=True):
            scaled = (rows - centre) / scale
            part.append((scaled if within is None else scaled * within).flatten(1))
    widths = [part.shape[1] for part in parts[0]]
    values = torch.arange(sum(widths), device=real.device) < widths[0]  # which coordinates are values
    directions = torch.randn(3, slices, len(values), device=real.device)
    directions[0] *= values
    directions[1] *= ~values if len(widths) > 1 else values
    directions = torch.cat([directions.flatten(0, 1), _single(slices, len(values), real.device)])
    return _sliced(torch.cat(parts[0], 1), torch.cat(parts[1], 1), directions, condition)


@in_float32
def autocorrelation_loss(
    real: Tensor, fake: Tensor, weight: Tensor | None, condition: Tensor | None, slices: int = 32
) -> Tensor:
    """:func:`sliced_loss` of how each series goes with itself: its autocovariances in either half; 0 for T = 1.

    Of the whole batch they say nothing of the single series: one whose frequency wavers has those of sines of many
    frequencies, and is none. At lags of 0, 1, 2, 3, 4, 6, 8, 12, … steps, up to half of T, about each series' own mean
    and in units of their deviations in the real batch.

    Args:
        real, fake, weight: see :func:`moment_loss`.
        condition: see :func:`sliced_loss`.
        slices: of single ones, and as many of all together.
    """
    if real.shape[1] == 1:
        return fake.sum() * 0.0
    a, b = (_autocovariances(part, weight) for part in (real, fake))
    centre, scale = a.mean(0), (a.var(0, unbiased=False) + 1e-6).sqrt()
    directions = torch.cat(
        [torch.randn(slices, a.shape[1], device=a.device), _single(slices, a.shape[1], a.device)],
    )
    return _sliced((a - centre) / scale, (b - centre) / scale, directions, condition)


def _autocovariances(x: Tensor, weight: Tensor | None) -> Tensor:
    """(B, lags · 2 · F) of x (B, T, F): of steps in the first and in the second half."""
    steps = x.shape[1]
    lags = sorted({0, *(n << k for k in range(steps.bit_length()) for n in (1, 3) if n << k <= steps // 2)})
    mask = x.new_ones(1, steps, 1) if weight is None else weight
    centred = (x - (x * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)) * mask
    found = []
    for lag in lags:
        products = centred[:, lag:] * centred[:, : steps - lag]
        halves = zip(products.chunk(2, 1), mask[:, lag:].chunk(2, 1), strict=True)
        found += [half.sum(1) / there.sum(1).clamp(min=1) for half, there in halves]
    return torch.cat(found, 1)


def _sliced(a: Tensor, b: Tensor, directions: Tensor, condition: Tensor | None) -> Tensor:
    """Mean over directions (S, D) of the Wasserstein-1 distance between projections of rows a and b (B, D)."""
    directions = F.normalize(directions, dim=1)
    # The class moves a projection by several times its spread, so that rows are mostly sorted within their class.
    shift = (
        0.0
        if condition is None
        else condition @ torch.randn(condition.shape[1], len(directions), device=condition.device).mul(4)
    )
    a, b = ((part @ directions.T + shift).sort(0).values for part in (a, b))  # (B, S)
    return (a - b).abs().mean()


def _single(count: int, width: int, device: torch.device) -> Tensor:
    """So many directions (count, width) along a coordinate each."""
    return F.one_hot(torch.randint(width, (count,), device=device), width).float()


def _size(x: Tensor, weight: Tensor | None) -> Tensor:
    """Root mean square of each feature over batch and steps, (F,), above 0."""
    if weight is None:
        return (x.square().mean((0, 1)) + 1e-8).sqrt()
    return ((x.square() * weight).sum((0, 1)) / weight.sum().clamp(min=1) + 1e-8).sqrt()
