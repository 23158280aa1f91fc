"""What a series has one value of, its length and its static attributes, as real series of each class have them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from datamodules.schema import Batch
from datamodules.series.schema import SeriesSchema

ROWS = 4096  # of each class that are kept; the oldest make room


class LengthsAndStatic(nn.Module):
    """Lengths and static attributes of the training rows last seen of each class; those of samples are drawn from them.

    So a sample's length and attributes occur together, and as often, as in its class. They lie in the checkpoint.

    Args:
        schema: of the series.
        classes: number of class ids; 1 where the model ignores them.
        rows: kept of each.
    """

    length: Tensor  # (C, R) int64
    static: Tensor  # (C, R, S)
    count: Tensor  # (C,) int64, rows seen

    def __init__(self, schema: SeriesSchema, classes: int, rows: int = ROWS) -> None:
        super().__init__()
        self.rows = rows
        self.register_buffer("length", torch.full((classes, rows), schema.length))
        self.register_buffer("static", torch.zeros(classes, rows, schema.static_width))
        self.register_buffer("count", torch.zeros(classes, dtype=torch.long))

    @torch.no_grad()
    def see(self, batch: Batch, y: Tensor) -> None:
        """Take note of real rows, of classes y (B,)."""
        y = y[: self.rows]
        member = nn.functional.one_hot(y, len(self.count))  # (B, C)
        before = (member.cumsum(0) - member).gather(1, y[:, None])[:, 0]  # of the same class in the batch, (B,)
        place = (self.count[y] + before) % self.rows
        self.length[y, place] = batch["length"][: self.rows]
        if "static" in batch:
            self.static[y, place] = batch["static"][: self.rows]
        self.count += member.sum(0)

    def draw(self, uniform: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """A frame for each of ``uniform`` (B,) in [0, 1] and class y (B,): lengths (B,) and static attributes (B, S).

        Of a class that has not been seen yet, the whole length and attributes of 0.
        """
        seen = self.count[y].clamp(max=self.rows)
        row = (uniform * seen).long().minimum(seen - 1).clamp(min=0)  # a normal number's share may round to 1
        return self.length[y, row], self.static[y, row]
