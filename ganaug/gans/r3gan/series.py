"""Series as R3GAN sees them: values in units of their deviations and, for the discriminator, changes from step to step.

Of values alone a discriminator learns levels and how columns go together, and not how slow columns move; of changes
alone the other way round (experiments/README.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.schema import Batch, step_mask
from datamodules.series.schema import SeriesSchema
from ganaug.gans.diffaug.policy import operations_of
from ganaug.gans.diffaug.series import OPERATIONS, Seen, augment
from ganaug.gans.lengths import LengthsAndStatic
from ganaug.gans.r3gan.networks import Places
from ganaug.gans.r3gan.view import View, one_hot

SMALL = 1e-6
MARGIN = 1e-3  # of means from 0 and 1


class Units(torch.nn.Module):
    """Mean and deviation of each channel in the training rows, and the size of its changes in these units."""

    mean: Tensor  # (C, 1)
    deviation: Tensor
    change: Tensor  # root of the mean square
    count: Tensor  # of rows that they were learnt from

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("mean", "deviation", "change"):
            self.register_buffer(name, torch.zeros(channels, 1) if name == "mean" else torch.ones(channels, 1))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))


class SeriesView(View):
    """See :class:`~ganaug.gans.r3gan.view.View`.

    A series that is shorter than the longest is 0 beyond its end, for both sides alike, and the discriminator is shown
    where that is; the generator too, which makes a series for its length. Values that are missing in a real series are
    not looked at in the generated one beside it either. Words are a softmax over their features.

    Args:
        schema: of the series.
        classes: that the networks are told; 1 for none.
        policy: of augmentation, see :mod:`ganaug.gans.diffaug.series`.
        static: whether attributes are a ``condition`` or generated along, as channels that do not change.
        changes: size of the changes from step to step beside values in what the discriminator sees.
    """

    numeric: Tensor  # bool (C, 1), and so are these
    worded: Tensor
    limited: Tensor

    def __init__(
        self,
        schema: SeriesSchema,
        classes: int,
        policy: str,
        static: Literal["condition", "generate"],
        changes: float,
    ) -> None:
        super().__init__()
        self.schema, self.classes, self.changes = schema, classes, changes
        self.policy = operations_of(policy, OPERATIONS)
        self.places = (1, schema.length)
        self.told = schema.static_width if static == "condition" else 0
        self.extra = schema.static_width if static == "generate" else 0
        self.width = (classes if classes > 1 else 0) + self.told
        self.channels = schema.features + self.extra
        self.masked = not schema.fixed or any(name in self.policy for name in ("shift", "cutout"))
        self.inputs = 0 if schema.fixed else 1
        self.seen_channels = self.channels * (2 if changes else 1) + self.masked
        self.units = Units(self.channels)
        self.frames = None if schema.fixed and not self.told else LengthsAndStatic(schema, classes)
        parts = [len(each) or 1 for each in schema.static_categories] if self.extra else []
        self.parts = [*schema.widths, *parts]  # channels of each column and attribute
        # For each channel: whether it is one of a column's words, a number between 0 and 1 (which attributes are), and
        # a number that augmentation may scale and move (which attributes and intervals are not).
        worded = [count > 1 for count in self.parts for _ in range(count)]
        measured = [k < schema.features for k in range(self.channels)]
        limited = [not word and (schema.bounded or not own) for word, own in zip(worded, measured, strict=True)]
        numeric = [not word and own for word, own in zip(worded, measured, strict=True)]
        if schema.intervals:
            numeric[0] = False
        for name, flags in (("worded", worded), ("limited", limited), ("numeric", numeric)):
            self.register_buffer(name, torch.tensor(flags)[:, None], persistent=False)
        self.any_worded, self.any_limited = any(worded), any(limited)
        self.units.mean.masked_fill_(self.limited, 0.5)  # until they are learnt
        self.units.deviation.masked_fill_(self.limited, 0.25)

    # ---- units ----

    def forget(self) -> None:
        """See :class:`~ganaug.gans.r3gan.view.View`."""
        self.units.count.zero_()
        if self.frames is not None:
            self.frames.count.zero_()

    @torch.no_grad()
    def learn(self, batches: Iterable[Batch]) -> None:
        """Mean, deviation and changes of what was measured in the training rows."""
        units = self.units
        if units.count > 0:
            return
        sums = torch.zeros(5, self.channels, dtype=torch.float64)  # n, Σx, Σx², m, ΣΔ²
        rows = 0
        for batch in batches:
            batch = {name: field.cpu() for name, field in batch.items()}
            x, known = self._raw(batch).double(), self._known(batch).double()
            both = known[:, :, 1:] * known[:, :, :-1]
            sums += torch.stack(
                [
                    known.sum((0, 2)),
                    (x * known).sum((0, 2)),
                    (x.square() * known).sum((0, 2)),
                    both.sum((0, 2)),
                    (x.diff().square() * both).sum((0, 2)),
                ]
            )
            rows += len(x)
        n, total, squares, m, changes = sums
        mean = total / n.clamp(min=1)
        deviation = (squares / n.clamp(min=1) - mean.square()).clamp(min=0).sqrt()
        constant = deviation < SMALL
        words = self.worded[:, 0].cpu()
        mean, deviation = mean.where(~words, 0.5), deviation.where(~words, 0.5)  # to -1 and 1
        change = (changes / m.clamp(min=1)).sqrt() / deviation.where(deviation > SMALL, 1.0)
        units.mean.copy_(mean[:, None])
        units.deviation.copy_(deviation.where(~constant | words, 0.0)[:, None])
        units.change.copy_(change[:, None])
        units.count.fill_(rows)

    def _raw(self, batch: Batch) -> Tensor:
        """Measurements, and attributes that are generated along: (B, C, T)."""
        x = batch["x"].transpose(1, 2)
        if not self.extra:
            return x
        return torch.cat([x, batch["static"][:, :, None].expand(-1, -1, x.shape[2])], dim=1)

    def _known(self, batch: Batch) -> Tensor:
        """What was measured, 1 or 0: (B, C, T)."""
        steps = batch["x"].shape[1]
        known = step_mask(batch["length"], steps).float()[:, None].expand(-1, self.channels, -1)
        if "observed" in batch:
            known = known * F.pad(batch["observed"], (0, self.extra), value=1.0).transpose(1, 2)
        return known

    def see(self, batch: Batch) -> None:
        """Lengths and attributes, for samples."""
        if self.frames is not None:
            self.frames.see(batch, batch["y"])

    # ---- rows ----

    def condition(self, batch: Batch) -> Tensor | None:
        """The class, one of many, and attributes."""
        parts = [*one_hot(batch["y"], self.classes), *([batch["static"]] if self.told else [])]
        return torch.cat(parts, dim=1) if parts else None

    def rows(self, batch: Batch) -> Tensor:
        """Values in units of their deviations; a constant column is 0."""
        deviation = self.units.deviation
        return (self._raw(batch) - self.units.mean) / deviation.where(deviation > 0, torch.inf)

    def given(self, batch: Batch, places: Places) -> Tensor | None:
        """Which steps there are."""
        return step_mask(batch["length"], places[1]).float()[:, None, None] if self.inputs else None

    def made(self, raw: Tensor, batch: Batch) -> Tensor:
        """Numbers in their range, words as shares, attributes as means, constants and first intervals as they are."""
        x = raw[:, :, 0]  # (B, C, T)
        if self.any_limited:
            x = torch.where(self.limited, self._within(x), x)
        if self.any_worded:
            parts = torch.split(x, self.parts, dim=1)
            x = torch.cat([2 * part.softmax(1) - 1 if part.shape[1] > 1 else part for part in parts], dim=1)
        mask = step_mask(batch["length"], x.shape[2]).to(x)[:, None]
        if self.extra:
            mean = (x[:, -self.extra :] * mask).sum(2, keepdim=True) / mask.sum(2, keepdim=True)
            x = torch.cat([x[:, : -self.extra], mean.expand(-1, -1, x.shape[2])], dim=1)
        x = x * (self.units.deviation > 0)
        if self.schema.intervals:  # the first interval is 0
            first = -self.units.mean[0] / self.units.deviation[0].clamp(min=SMALL)
            x = torch.cat([torch.cat([first.expand(len(x), 1, 1), x[:, :1, 1:]], dim=2), x[:, 1:]], dim=1)
        return x * mask

    def _within(self, x: Tensor) -> Tensor:
        """Numbers in units of their deviation, bent by a sigmoid so that their values stay between 0 and 1."""
        mean, deviation = self.units.mean.clamp(MARGIN, 1 - MARGIN), self.units.deviation
        slope = deviation / (mean * (1 - mean))  # near the mean it changes nothing
        values = torch.sigmoid(torch.logit(mean) + slope * x)
        return (values - self.units.mean) / deviation.clamp(min=SMALL)

    def seen(self, rows: Tensor, batch: Batch, probability: float | Tensor) -> Tensor:
        """Values, changes, and which steps there are to see."""
        x, known = augment(Seen(rows, self._known(batch)), self.numeric, self.policy, probability)
        parts = [x * known]
        if self.changes:
            unit = self.changes / self.units.change.where(self.units.change > SMALL, torch.inf)
            parts.append(F.pad(x.diff() * known[:, :, 1:] * known[:, :, :-1] * unit, (1, 0)))
        if self.masked:
            parts.append(known.amax(1, keepdim=True))
        return torch.cat(parts, dim=1)[:, :, None]

    def augmented(self, batch: Batch) -> Batch | None:
        """See :class:`~ganaug.gans.r3gan.view.View`."""
        if not self.policy:
            return None
        x, known = augment(Seen(self.rows(batch), self._known(batch)), self.numeric, self.policy)
        x = ((x * self.units.deviation + self.units.mean) * known)[:, : self.schema.features]
        return {**batch, "x": x.transpose(1, 2).contiguous()}

    # ---- samples ----

    def frame(self, uniform: Tensor, labels: Tensor) -> Batch:
        """``y``; ``length`` and ``static`` as real series of the class have them."""
        length = torch.full_like(labels, self.schema.length)
        batch = {"y": labels, "length": length}
        if self.schema.static:
            batch["static"] = uniform.new_zeros(len(labels), self.schema.static_width)
        if self.frames is not None:
            batch["length"], static = self.frames.draw(uniform, labels)
            if self.schema.static:
                batch["static"] = static
        return batch

    def batch(self, rows: Tensor, frame: Batch) -> Batch:
        """``x`` (B, T, F), 0 beyond the length, and what a series has one value of."""
        mask = step_mask(frame["length"], rows.shape[2])[:, :, None]
        values = (rows * self.units.deviation + self.units.mean).transpose(1, 2)
        batch = {**frame, "x": self.schema.settled(values[:, :, : self.schema.features]) * mask}
        if self.extra:
            batch["static"] = values[:, 0, self.schema.features :]
        return batch
