"""Series as another sensor writes them: noise, drift, lost steps, a lower sampling rate.

The first two and the lost values are faults as Sharma et al. 2010, "Sensor Faults: Detection Methods and Prevalence in
Real-World Datasets", ACM Transactions on Sensor Networks 6(3), find them in data of deployed sensors.

Times of steps, lengths and attributes stay, and so does the 0 beyond a series' end. Noise and drift spare what is no
measurement on a scale: words, true or false, the time since the step before.
"""

from __future__ import annotations

import torch
from torch import Tensor

from datamodules.schema import Batch, step_mask
from datamodules.series.schema import SeriesSchema
from ganaug.shifts.shift import Shift


def noisy(batch: Batch, schema: SeriesSchema, strength: float) -> Batch:
    """Normal noise of ``strength`` × the deviation that the column has over all series."""
    return _written(batch, schema, batch["x"] + strength * _deviation(batch) * torch.randn(batch["x"].shape))


def drifting(batch: Batch, schema: SeriesSchema, strength: float) -> Batch:
    """Away along a line, up or down, to ``strength`` × that deviation at the last step."""
    x, last = batch["x"], (batch["length"] - 1).clamp(min=1)
    passed = torch.arange(x.shape[1])[None, :, None] / last[:, None, None]  # (N, T, 1), 1 at the last step
    way = 2.0 * torch.randint(2, (len(x), 1, x.shape[2])) - 1
    return _written(batch, schema, x + strength * _deviation(batch) * way * passed)


def lossy(batch: Batch, schema: SeriesSchema, share: float) -> Batch:
    """Each step but the first lost with this probability, and the one before it written again."""
    kept = torch.rand(batch["x"].shape[:2]) >= share
    kept[:, 0] = True
    place = torch.where(kept, torch.arange(kept.shape[1]), 0).cummax(1).values  # (N, T)
    observed = {"observed": batch["observed"] * kept[:, :, None]} if "observed" in batch else {}
    return _written({**batch, **observed}, schema, _at(batch["x"], place), words=True)


def coarse(batch: Batch, schema: SeriesSchema, every: float) -> Batch:
    """Only every so manieth step and the last taken, and numbers read between them linearly, words as they were."""
    x, last = batch["x"], batch["length"][:, None] - 1
    place = torch.arange(x.shape[1])
    left = torch.where(place < last, place // int(every) * int(every), last)  # (N, T)
    right = torch.minimum(left + int(every), last)
    share = ((place - left) / (right - left).clamp(min=1)).clamp(max=1)[:, :, None]
    before = _at(x, left)
    between = torch.where(torch.tensor(schema.measured), torch.lerp(before, _at(x, right), share), before)
    observed = {"observed": _inside(batch, _at(batch["observed"], left))} if "observed" in batch else {}
    return _written({**batch, **observed}, schema, between, words=True)


def _deviation(batch: Batch) -> Tensor:
    """Of each column over all steps that count, (F,)."""
    return batch["x"][step_mask(batch["length"], batch["x"].shape[1])].std(0, correction=0)


def _at(x: Tensor, place: Tensor) -> Tensor:
    """Of each series (N, T, F) the steps ``place`` (N, T)."""
    return x.gather(1, place[:, :, None].expand_as(x))


def _inside(batch: Batch, x: Tensor) -> Tensor:
    return x * step_mask(batch["length"], x.shape[1])[:, :, None]


def _written(batch: Batch, schema: SeriesSchema, x: Tensor, words: bool = False) -> Batch:
    """The batch with new ``x`` in measurements, and in words where asked for; times stay, and 0 beyond the end."""
    changed = torch.ones(x.shape[2], dtype=torch.bool) if words else torch.tensor(schema.measured)
    changed[0] &= not schema.intervals
    return {**batch, "x": _inside(batch, torch.where(changed, x, batch["x"]))}


SHIFTS = {
    "noise": Shift(noisy, (0.1, 0.2, 0.4)),
    "drift": Shift(drifting, (0.25, 0.5, 1.0)),
    "loss": Shift(lossy, (0.1, 0.25, 0.5)),
    "rate": Shift(coarse, (2, 3, 4)),
}
