"""Classical augmentation of series, and what their pretext task does to them.

Um et al. 2017, "Data Augmentation of Wearable Sensor Data for Parkinson's Disease Monitoring using Convolutional Neural
Networks", arXiv 1706.00527, section 3; Le Guennec et al. 2016, "Data Augmentation for Time Series Classification using
Convolutional Neural Networks", section 3, for slices.

Every function takes series (B, T, F), of any scale, and their ``length`` (B,), at least 1; it answers with series of
the same shape and the same lengths, 0 beyond them, whatever stood there. It draws from torch's global generator on the
CPU, for each series by itself. The strength of noise is relative to the series' own spread, and what is scaled is the
distance from a series' own mean, because where 0 lies, and what 1 is, depends on the scaler. Columns that are no
measurements, whose ``measured`` (F,) is False, such as words, are left alone; where time is warped they are read at the
nearest step, never between two.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from datamodules.schema import step_mask

ORDERS = torch.tensor([order for order in permutations(range(4)) if order != (0, 1, 2, 3)])  # (23, 4)


def inside(x: Tensor, length: Tensor) -> Tensor:
    """Which steps of series (B, T, F) count, bool (B, T, 1)."""
    return step_mask(length, x.shape[1])[:, :, None]


# ---- augmentation ----------------------------------------------------------------------------------------------------


def jitter(x: Tensor, length: Tensor, measured: Tensor | None = None, strength: float = 0.1) -> Tensor:
    """Normal noise at every step, of ``strength`` × the deviation that the column has within the series."""
    away, _ = _centred(x, length)
    deviation = (away.square().sum(1, keepdim=True) / length[:, None, None]).sqrt()
    return _written(x + strength * deviation * torch.randn(x.shape).to(x), x, length, measured)


def scaled(x: Tensor, length: Tensor, measured: Tensor | None = None, strength: float = 0.1) -> Tensor:
    """Every column's distance from its mean multiplied by one number from N(1, strength²)."""
    away, mean = _centred(x, length)
    factor = 1 + strength * torch.randn(len(x), 1, x.shape[2]).to(x)
    return _written(mean + away * factor, x, length, measured)


def magnitude_warped(
    x: Tensor, length: Tensor, measured: Tensor | None = None, strength: float = 0.2, knots: int = 4
) -> Tensor:
    """Every column's distance from its mean multiplied by a smooth curve about 1: see :func:`_curve`."""
    away, mean = _centred(x, length)
    curve = _curve(length, x.shape[1], x.shape[2], strength, knots)
    return _written(mean + away * curve, x, length, measured)


def time_warped(
    x: Tensor, length: Tensor, measured: Tensor | None = None, strength: float = 0.2, knots: int = 4
) -> Tensor:
    """Time that passes at the speed of a smooth curve about 1, the same for all columns: see :func:`_curve`.

    It never runs backwards, and the first and the last step stay where they are.
    """
    steps = inside(x, length)[:, :, 0]
    speed = _curve(length, x.shape[1], 1, strength, knots)[:, :, 0].clamp(min=0.1)
    passed = (speed[:, 1:] * steps[:, 1:]).cumsum(1)  # (B, T - 1), of which what is beyond the end repeats the end
    passed = torch.cat([torch.zeros_like(speed[:, :1]), passed], 1)
    whole = passed[:, -1:]
    return _at(x, length, passed / torch.where(whole > 0, whole, 1.0) * (length[:, None] - 1), measured)


def sliced(x: Tensor, length: Tensor, measured: Tensor | None = None, share: float = 0.9) -> Tensor:
    """A window of this share of the series, begun anywhere, stretched to the length of the whole."""
    last = (length - 1).to(x.dtype)[:, None]
    start = torch.rand(len(x), 1).to(x) * (1 - share) * last
    return _at(x, length, start + share * torch.arange(x.shape[1], device=x.device), measured)


def _centred(x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Distance from each column's mean over the real steps (B, T, F), 0 beyond them; and that mean (B, 1, F)."""
    steps = inside(x, length)
    mean = torch.where(steps, x, 0.0).sum(1, keepdim=True) / length[:, None, None]
    return torch.where(steps, x - mean, 0.0), mean


def _curve(length: Tensor, steps: int, columns: int, strength: float, knots: int) -> Tensor:
    """Cubic splines (B, steps, columns) through values of N(1, strength²) at the ends and at ``knots`` between them."""
    count = knots + 2
    spline = torch.from_numpy(CubicSpline(np.arange(count), np.eye(count)).c).float().to(length.device)
    steps_done = torch.arange(steps, device=length.device) / (length[:, None] - 1).clamp(min=1)
    place = steps_done.clamp(max=1) * (count - 1)
    segment = place.long().clamp(max=count - 2)
    rest = (place - segment)[:, :, None]
    cubic, square, line, level = (part[segment] for part in spline)  # (B, steps, count) each
    weights = ((cubic * rest + square) * rest + line) * rest + level
    values = 1 + strength * torch.randn(len(length), count, columns)
    return torch.matmul(weights, values.to(length.device))


def _written(changed: Tensor, x: Tensor, length: Tensor, measured: Tensor | None) -> Tensor:
    """The change of what is measured, the rest of x as it was, and 0 beyond the end."""
    return torch.where(inside(x, length), changed if measured is None else torch.where(measured, changed, x), 0.0)


def _at(x: Tensor, length: Tensor, place: Tensor, measured: Tensor | None) -> Tensor:
    """Series read at places (B, T) between 0 and ``length - 1``, linearly between steps."""
    last = (length - 1)[:, None]
    place = torch.minimum(place.clamp(min=0), last.to(place.dtype))
    left = place.floor().long()
    right = torch.minimum(left + 1, last)
    share = (place - left)[:, :, None].to(x.dtype)
    between = torch.lerp(_steps(x, left), _steps(x, right), share)
    return _written(between, _steps(x, place.round().long()), length, measured)


def _steps(x: Tensor, index: Tensor) -> Tensor:
    """Of each series the steps ``index`` (B, T)."""
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))


# ---- pretext task ----------------------------------------------------------------------------------------------------


def transformed(x: Tensor, length: Tensor) -> list[Tensor]:
    """Series as they are; backwards in time; upside down about their mean; as four pieces in another order.

    Three of the transformations that Saeed et al. 2019, "Multi-task Self-Supervised Learning for Human Activity
    Detection", arXiv 1907.11879, let a network recognise. A constant series stays what it is.
    """
    steps = inside(x, length)
    place, count = torch.arange(x.shape[1], device=x.device), length[:, None]
    back = torch.where(place < count, count - 1 - place, place)
    order = ORDERS[torch.randint(len(ORDERS), (len(x),))].to(x.device)
    piece = (place * 4 // count).clamp(max=4)  # (B, T), and 4 beyond the end
    rank = torch.cat([order, torch.full_like(order[:, :1], 4)], 1).gather(1, piece)
    away, mean = _centred(x, length)
    rows = [x, _steps(x, back), mean - away, _steps(x, rank.argsort(stable=True, dim=1))]
    return [torch.where(steps, row, 0.0) for row in rows]
