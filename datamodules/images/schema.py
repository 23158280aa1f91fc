"""``ImageSchema``: how pictures of the source become what the networks see, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.images.sides import Sides, both, typed
from datamodules.options import LARGEST, in_range
from datamodules.schema import Batch, Schema


@dataclass(frozen=True, kw_only=True)
class ImageSchema(Schema):
    """Pictures: how those of the source, (height, width), become what the networks see, and back.

    Args:
        height, width: of the source's pictures, in pixels.
        channels: 1 grey, 3 RGB, 4 RGB and alpha; any number from arrays.
        image_size: side of the square that the networks see, in pixels, or its (height, width) where it is no square.
        fit: ``pad`` centres the picture on black and crops it back; ``resize`` scales both ways: by whole factors
            exactly, otherwise bilinear with antialiasing, which blurs.
    """

    kind: ClassVar[str] = "image"

    height: int
    width: int
    channels: int
    image_size: Sides
    fit: Literal["pad", "resize"] = "pad"

    def __post_init__(self) -> None:
        """See :class:`Schema`."""
        super().__post_init__()
        self.within(1, LARGEST, "height", "width", "channels")
        for side in self.size:
            in_range(f"{self.kind} schema: image_size", side, 1, LARGEST)
        height, width = self.size
        object.__setattr__(self, "image_size", height if height == width else (height, width))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of what the networks see."""
        return both(self.image_size)

    def seen_otherwise(self, there: Schema) -> str:
        """See :meth:`Schema.seen_otherwise`: at another size."""
        if not isinstance(there, ImageSchema) or there.image_size == self.image_size:
            return ""
        own, theirs = typed(self.image_size), typed(there.image_size)
        return f"its networks see pictures at {theirs}, these data are seen at {own}: set --data.image_size {theirs}"

    def _margins(self) -> tuple[int, int]:
        return (self.size[1] - self.width) // 2, (self.size[0] - self.height) // 2

    def encode(self, pictures: np.ndarray) -> Tensor:
        """uint8 (N, height, width, channels) to uint8 (N, channels, H, W), of ``size``."""
        x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2)  # (N, C, h, w)
        if (self.height, self.width) == self.size:
            return x.contiguous()
        if self.fit == "pad":
            left, top = self._margins()
            right, bottom = self.size[1] - self.width - left, self.size[0] - self.height - top
            return F.pad(x, (left, right, top, bottom))
        return _resize(x, *self.size)

    def prepare(self, batch: Batch) -> Batch:
        """``x`` from uint8 0..255, as :meth:`encode` gives it, to float32 in [-1, 1]."""
        return {**batch, "x": batch["x"].float().div_(127.5).sub_(1.0)}

    def stored(self, batch: Batch) -> Batch:
        """``x`` by :meth:`pixels`."""
        return {**batch, "x": self.pixels(batch["x"])}

    def as_written(self, rows: Batch) -> Batch:
        """``x`` in the pictures' own size and back, where the networks see another."""
        if (self.height, self.width) == self.size:
            return rows
        return {**rows, "x": self.encode(self.decode(self.prepare(rows)["x"]))}

    @staticmethod
    def pixels(x: Tensor) -> Tensor:
        """The inverse of :meth:`prepare`: float of any shape in [-1, 1] to uint8."""
        return x.float().add(1.0).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)

    def decode(self, x: Tensor) -> np.ndarray:
        """float (N, channels, H, W), of ``size``, in [-1, 1] to uint8 (N, height, width, channels)."""
        x = self.pixels(x)
        if (self.height, self.width) != self.size:
            if self.fit == "pad":
                left, top = self._margins()
                x = x[..., top : top + self.height, left : left + self.width]
            else:
                x = _resize(x, self.height, self.width)
        return x.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _resize(x: Tensor, height: int, width: int) -> Tensor:
    """uint8 (N, C, h, w) to (N, C, height, width).

    By whole factors pixels are repeated, and averaged on the way back, which undoes it exactly; otherwise bilinear.
    """
    if height % x.shape[-2] == width % x.shape[-1] == 0:
        return x.repeat_interleave(height // x.shape[-2], -2).repeat_interleave(width // x.shape[-1], -1)
    whole = x.shape[-2] % height == x.shape[-1] % width == 0
    how: dict[str, Any] = {"mode": "area"} if whole else {"mode": "bilinear", "antialias": True}
    parts = [  # in parts: float32 is four times the size of the pictures
        F.interpolate(part.float(), (height, width), **how).round_().clamp_(0, 255).to(torch.uint8)
        for part in torch.split(x, 1024)
    ]
    return torch.cat(parts) if parts else x.new_zeros(0, x.shape[1], height, width)
