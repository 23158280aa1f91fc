"""R3GAN's networks (Huang et al. 2024, section 4 and appendix): residual, and without normalisation.

Pictures are (B, C, H, W), and series pictures of one row, (B, C, 1, T): convolutions are then (1, 3). So both run by
the same code, channels last, in which a CPU's convolutions and their second derivatives take half as long as
``conv1d``, which knows no such format, takes for the layers here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Places = tuple[int, int]
Layer = TypeVar("Layer", nn.Conv2d, nn.Linear, "Pointwise")

SLOPE = 0.2
INNERMOST = 4  # places along the longest side where a network begins or ends
GAIN = math.sqrt(2 / (1 + SLOPE**2))  # He et al. 2015, eq. 15: keeps the variance through the leaky ReLU


def pyramid(places: Places, count: int | None = None) -> list[Places]:
    """So many resolutions, each half the next, rounded up; by default from one of at most 4 places a side on."""
    levels = [places]
    while max(levels[0]) > INNERMOST if count is None else len(levels) < count:
        height, width = levels[0]
        levels.insert(0, (-(-height // 2), -(-width // 2)))
    return levels


def normal(layer: Layer, gain: float = 1.0) -> Layer:
    """The layer with its weights N(0, gain² / fan in), its biases 0."""
    weight: Tensor = layer.weight
    nn.init.normal_(weight, 0.0, gain / math.sqrt(weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Pointwise(nn.Linear):
    """A 1×1 convolution, as a matrix product: two thirds of its time on a CPU, second derivatives included.

    Args:
        before, after: channels.
        gain: of its initial weights.
        active: whether it has a bias and a leaky ReLU follows.
    """

    def __init__(self, before: int, after: int, gain: float = 1.0, active: bool = False) -> None:
        super().__init__(before, after, bias=active)
        self.active = active
        normal(self, gain)

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) to (B, after, H, W)."""
        x = super().forward(x.permute(0, 2, 3, 1))
        if self.active:  # in place: on a CPU half of the time goes into such passes over memory
            x = F.leaky_relu_(x, SLOPE)
        return x.permute(0, 3, 1, 2)


def upsampled(x: Tensor, places: Places) -> Tensor:
    """Linear interpolation to so many places."""
    return F.interpolate(x, places, mode="bilinear")


def downsampled(x: Tensor) -> Tensor:
    """Means of two by two places, or of two where there is one row; a last odd one stays as it is."""
    height, width = x.shape[2:]
    return F.avg_pool2d(x, (min(2, height), min(2, width)), ceil_mode=True, count_include_pad=False)


class Block(nn.Module):
    """x + 1×1 ∘ activation ∘ 3×3 (in groups) ∘ activation ∘ 1×1 of x; the last begins at zero.

    Args:
        places: of a whole row.
        channels: of x.
        expansion: how many times as many there are inside.
        group_width: channels a group of the 3×3 convolution; 0 for a dense one.
        blocks: of the whole network, by which the weights are scaled (Zhang et al. 2019, "Fixup", section 3).
    """

    def __init__(self, places: Places, channels: int, expansion: int, group_width: int, blocks: int) -> None:
        super().__init__()
        inner, gain = channels * expansion, GAIN * blocks ** (-1 / 4)  # L^(−1/(2m−2)) of m = 3 layers
        groups = inner // group_width if group_width else 1
        kernel = (min(3, places[0]), min(3, places[1]))
        self.layers = nn.Sequential(
            Pointwise(channels, inner, gain, active=True),
            normal(nn.Conv2d(inner, inner, kernel, padding="same", groups=groups), gain),
            nn.LeakyReLU(SLOPE, inplace=True),
            Pointwise(inner, channels, 0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, …) to the same."""
        changed: Tensor = x + self.layers(x)
        return changed


def stage(places: Places, channels: int, blocks: int, levels: int, expansion: int, group_width: int) -> nn.Sequential:
    """The blocks of one resolution out of ``levels``."""
    return nn.Sequential(*(Block(places, channels, expansion, group_width, blocks * levels) for _ in range(blocks)))


class Input(nn.Module):
    """What comes in at every place, noise and masks, as much of it as z and the condition say; at first nothing.

    A sine wants less noise than a random walk.
    """

    def __init__(self, inputs: int, channels: int, known: int) -> None:
        super().__init__()
        self.layer, self.gain = Pointwise(inputs, channels, 0.0), nn.Linear(known, channels)
        nn.init.zeros_(self.gain.weight)
        nn.init.ones_(self.gain.bias)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x (B, inputs, H, W) and z with the condition (B, known) to (B, channels, H, W)."""
        made: Tensor = self.layer(x) * self.gain(z)[:, :, None, None]
        return made


class Generator(nn.Module):
    """From a learnt basis of the innermost resolution, times a linear map of z and the condition, outwards.

    Args:
        places: of the outermost resolution.
        channels: of the output.
        latent_dim: length of z.
        inputs: channels of what is given beside z at every place, noise and masks; 0 for nothing.
        condition: length of the condition; 0 for none.
        widths: channels at each resolution from the innermost on; the last number is that of all further ones.
        blocks: residual blocks a resolution.
        expansion, group_width: see :class:`Block`.
    """

    def __init__(
        self,
        places: Places,
        channels: int,
        latent_dim: int,
        inputs: int,
        condition: int,
        widths: Sequence[int],
        blocks: int,
        expansion: int,
        group_width: int,
    ) -> None:
        super().__init__()
        self.pyramid = pyramid(places)
        width = each_width(widths, len(self.pyramid))
        self.basis = nn.Parameter(torch.randn(width[0], *self.pyramid[0]))
        self.embedding = normal(nn.Linear(condition, latent_dim, bias=False)) if condition else None
        known = latent_dim * (2 if condition else 1)
        self.project = normal(nn.Linear(known, width[0], bias=False))
        self.transitions = nn.ModuleList(transition(*pair) for pair in pairwise(width))
        self.inputs = nn.ModuleList(Input(inputs, c, known) for c in width) if inputs else None
        self.stages = nn.ModuleList(stage(places, c, blocks, len(width), expansion, group_width) for c in width)
        self.out = Pointwise(width[-1], channels)

    def forward(
        self,
        z: Tensor,
        condition: Tensor | None = None,
        inputs: Sequence[Tensor] = (),
        places: Sequence[Places] = (),
    ) -> Tensor:
        """To (B, channels, …).

        Args:
            z: (B, latent_dim) standard normal.
            condition: (B, condition).
            inputs: (B, inputs, H, W) for each resolution, from the innermost on.
            places: of each resolution; by default those that the network was made for. More than these continue its
                basis by reflection.
        """
        if self.embedding is not None:
            z = torch.cat([z, self.embedding(condition)], dim=1)
        places = places or self.pyramid
        scale = self.project(z)
        x = reflected(self.basis, places[0]) * scale[:, :, None, None]
        x = x.contiguous(memory_format=torch.channels_last)
        for level, blocks in enumerate(self.stages):
            if level:
                x = upsampled(self.transitions[level - 1](x), places[level])
            if self.inputs is not None:
                x = x + self.inputs[level](inputs[level], z)
            x = blocks(x)
        made: Tensor = self.out(x)
        return made


class Discriminator(nn.Module):
    """The generator's mirror image: inwards to a weighted sum over the places of each channel, and a linear layer.

    The condition comes in as a product of its embedding with these sums (Miyato and Koyama 2018, eq. 3), beside a layer
    that all classes share.

    Args:
        channels: of what it sees.
        places, condition, widths, blocks, expansion, group_width: see :class:`Generator`.
    """

    def __init__(
        self,
        places: Places,
        channels: int,
        condition: int,
        widths: Sequence[int],
        blocks: int,
        expansion: int,
        group_width: int,
    ) -> None:
        super().__init__()
        levels = pyramid(places)
        width = each_width(widths, len(levels))[::-1]
        self.into = Pointwise(channels, width[0])
        self.stages = nn.ModuleList(stage(places, c, blocks, len(width), expansion, group_width) for c in width)
        self.transitions = nn.ModuleList(transition(*pair) for pair in pairwise(width))
        self.basis = nn.Parameter(torch.randn(width[-1], *levels[0]) / math.sqrt(math.prod(levels[0])))
        self.out = normal(nn.Linear(width[-1], 1, bias=False))
        self.embedding = nn.Linear(condition, width[-1], bias=False) if condition else None
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, 0.0, 1 / math.sqrt(width[-1]))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """x (B, channels, …) and the condition (B, condition) to logits (B,)."""
        x = self.into(x.contiguous(memory_format=torch.channels_last))
        for level, blocks in enumerate(self.stages):
            if level:
                x = self.transitions[level - 1](downsampled(x))
            x = blocks(x)
        features = (x * self.basis).flatten(2).sum(2)  # (B, width)
        logit: Tensor = self.out(features)[:, 0]
        if self.embedding is not None:
            logit = logit + (features * self.embedding(condition)).sum(1)
        return logit


def each_width(widths: Sequence[int], levels: int) -> list[int]:
    """One for each level: the last number is that of all further ones."""
    return [widths[min(level, len(widths) - 1)] for level in range(levels)]


def transition(before: int, after: int) -> nn.Module:
    """From one resolution's width to the next one's."""
    return Pointwise(before, after) if before != after else nn.Identity()


def reflected(basis: Tensor, places: Places) -> Tensor:
    """A basis (C, …) at so many places: its first ones, and beyond its own those that its mirror images give."""
    for dim, (own, wanted) in enumerate(zip(basis.shape[1:], places, strict=True), start=1):
        if own != wanted:
            k = torch.arange(wanted, device=basis.device) % (2 * own)
            basis = basis.index_select(dim, torch.minimum(k, 2 * own - 1 - k))
    return basis
