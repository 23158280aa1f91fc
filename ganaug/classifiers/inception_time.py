"""The network of the series classifier: convolutions of several widths side by side, over the real steps alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datamodules.schema import step_mask


class StepNorm(nn.BatchNorm1d):
    """Batch normalisation over the steps that count; how far series are padded does not show in mean and variance."""

    def forward(self, x: Tensor, real: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, 1, T) to the same, 0 at all but the ``real`` steps, which are numbers (n,) in [0, B × T)."""
        steps = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])  # (B × T, C)
        normal = torch.zeros_like(steps).index_copy(0, real, super().forward(steps[real]))
        return normal.view(len(x), 1, -1, x.shape[1]).permute(0, 3, 1, 2)


def convolution(inputs: int, outputs: int, width: int) -> nn.Conv2d:
    """Over (B, inputs, 1, T), zeros coming in on both sides."""
    return nn.Conv2d(inputs, outputs, (1, width), padding=(0, width // 2), bias=False)


class Inception(nn.Module):
    """A module: a bottleneck and the convolutions after it; beside them the maximum over three steps.

    Ismail Fawaz et al. 2020, "InceptionTime: Finding AlexNet for Time Series Classification", arXiv 1909.04939,
    section 3.1, figure 2.
    """

    def __init__(self, inputs: int, width: int, kernels: tuple[int, ...]) -> None:
        super().__init__()
        self.bottleneck = convolution(inputs, width, 1)
        self.convolutions = nn.ModuleList(convolution(width, width, kernel) for kernel in kernels)
        self.pooled = convolution(inputs, width, 1)
        self.norm = StepNorm((len(kernels) + 1) * width)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """(B, inputs, 1, T), 0 beyond the length, to (B, (kernels + 1) × width, 1, T), the same there."""
        narrow = self.bottleneck(x)
        # Zeros around, not the -inf of the pooling itself, so that a series ends alike with and without padding.
        strongest = F.max_pool2d(F.pad(x, (1, 1)), (1, 3), 1)
        parts = [conv(narrow) for conv in self.convolutions] + [self.pooled(strongest)]
        return F.relu(self.norm(torch.cat(parts, 1), real))


class InceptionTime(nn.Module):
    """Modules one after the other, a shortcut past all of them, and the mean over the real steps.

    Tensors have a height of 1 because only pictures come channels last, which takes a CPU two thirds of the time.

    Args:
        columns: F of the series (B, T, F).
        width: channels of each convolution.
        depth: number of modules.
        kernels: widths of the convolutions of a module, odd numbers.
    """

    def __init__(self, columns: int, width: int, depth: int, kernels: tuple[int, ...]) -> None:
        super().__init__()
        self.features = (len(kernels) + 1) * width
        self.scale = StepNorm(columns)
        self.body = nn.ModuleList(Inception(self.features if k else columns, width, kernels) for k in range(depth))
        self.shortcut = convolution(columns, self.features, 1)
        self.norm = StepNorm(self.features)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        """Series (B, T, F), whatever stands beyond their length (B,), to features (B, (kernels + 1) × width), ≥ 0."""
        real = step_mask(length, x.shape[1]).flatten().nonzero()[:, 0]
        x = self.scale(x.mT[:, :, None], real)
        h = x
        for module in self.body:
            h = module(h, real)
        h = F.relu(h + self.norm(self.shortcut(x), real))
        features: Tensor = h.sum((2, 3)) / length[:, None]
        return features
