"""R3GAN's networks (Huang et al. 2024, section 4 and appendix): residual, and without normalisation.

Pictures are (B, C, H, W), and series pictures of one row, (B, C, 1, T): convolutions are then (1, 3). So both run by
the same code, channels last, in which a CPU's convolutions and their second derivatives take half as long as
``conv1d``, which knows no such format, takes for the layers here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Places = tuple[int, int]
Layer = TypeVar("Layer", nn.Conv2d, nn.ConvTranspose2d, nn.Linear, "Pointwise")

SLOPE = 0.2
INNERMOST = 4  # places along the longest side where a network begins or ends
GAIN = math.sqrt(2 / (1 + SLOPE**2))  # He et al. 2015, eq. 15: keeps the variance through the leaky ReLU


class Shape(NamedTuple):
    """What both networks have in common.

    Args:
        widths: channels at each resolution from the innermost on; the last number is that of all further ones.
        blocks: residual blocks a resolution.
        expansion: how many times as many channels a block has inside.
        group_width: channels a group of a block's 3×3 convolution; 0 for a dense one.
        dense: whether the innermost resolution is bound to z and to the logit by a number for each channel at each
            place, and z and the condition weigh the channels of every resolution; else by a learnt basis of places
            alone, as in the paper, which takes many channels to be enough.
        stride: of G's last and D's first layer; 2 saves the resolution at which convolutions cost most.
    """

    widths: Sequence[int]
    blocks: int
    expansion: int
    group_width: int
    dense: bool = False
    stride: int = 1


def pyramid(places: Places, count: int | None = None) -> list[Places]:
    """So many resolutions, each half the next, rounded up; by default from one of at most 4 places a side on."""
    levels = [places]
    while max(levels[0]) > INNERMOST if count is None else len(levels) < count:
        height, width = levels[0]
        levels.insert(0, (-(-height // 2), -(-width // 2)))
    return levels


def strided(places: Places, stride: int) -> Places:
    """Places inside of a layer of this stride, rounded up."""
    height, width = places
    return -(-height // stride), -(-width // stride)


def normal(layer: Layer, gain: float = 1.0, fan_in: int | None = None) -> Layer:
    """The layer with its weights N(0, gain² / fan in), its biases 0."""
    weight: Tensor = layer.weight
    nn.init.normal_(weight, 0.0, gain / math.sqrt(fan_in or weight[0].numel()))
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
        shape: of the network.
        levels: resolutions of the network, by whose blocks the weights are scaled (Zhang et al. 2019, "Fixup",
            section 3).
    """

    def __init__(self, places: Places, channels: int, shape: Shape, levels: int) -> None:
        super().__init__()
        inner = channels * shape.expansion
        gain = GAIN * (shape.blocks * levels) ** (-1 / 4)  # L^(−1/(2m−2)) of m = 3 layers
        groups = inner // shape.group_width if shape.group_width else 1
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


def stages(places: Places, widths: Sequence[int], shape: Shape) -> nn.ModuleList:
    """The blocks of each resolution."""
    return nn.ModuleList(
        nn.Sequential(*(Block(places, channels, shape, len(widths)) for _ in range(shape.blocks)))
        for channels in widths
    )


class Gain(nn.Linear):
    """How much of each channel z and the condition want; at first all of each alike."""

    def __init__(self, known: int, channels: int) -> None:
        super().__init__(known, channels)
        nn.init.zeros_(self.weight)
        nn.init.ones_(self.bias)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:  # type: ignore[override]
        """x (B, channels, H, W) and z with the condition (B, known) to the same as x."""
        return x * super().forward(z)[:, :, None, None]


class Input(nn.Module):
    """What comes in at every place, noise and masks, as much of it as z and the condition say; at first nothing.

    A sine wants less noise than a random walk.
    """

    def __init__(self, inputs: int, channels: int, known: int) -> None:
        super().__init__()
        self.layer, self.gain = Pointwise(inputs, channels, 0.0), Gain(known, channels)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x (B, inputs, H, W) and z with the condition (B, known) to (B, channels, H, W)."""
        made: Tensor = self.gain(self.layer(x), z)
        return made


class Generator(nn.Module):
    """From the innermost resolution, made of z and the condition, outwards.

    Args:
        places: of the outermost resolution.
        channels: of the output.
        latent_dim: length of z.
        inputs: channels of what is given beside z at every place, noise and masks; 0 for nothing.
        condition: length of the condition; 0 for none.
        shape: of both networks.
    """

    def __init__(
        self, places: Places, channels: int, latent_dim: int, inputs: int, condition: int, shape: Shape
    ) -> None:
        super().__init__()
        self.places, self.stride = places, shape.stride
        self.pyramid = pyramid(strided(places, self.stride))
        width = each_width(shape.widths, len(self.pyramid))
        inmost = (width[0], *self.pyramid[0])
        self.basis = None if shape.dense else nn.Parameter(torch.randn(inmost))
        # Small beside z: with more of the class at first, classes are right sooner and each has less variety.
        self.embedding = normal(nn.Linear(condition, latent_dim, bias=False)) if condition else None
        known = latent_dim * (2 if condition else 1)
        self.project = normal(nn.Linear(known, math.prod(inmost) if shape.dense else width[0], bias=False))
        self.transitions = nn.ModuleList(transition(*pair) for pair in pairwise(width))
        self.inputs = nn.ModuleList(Input(inputs, c, known) for c in width) if inputs else None
        self.gains = nn.ModuleList(Gain(known, c) for c in width) if shape.dense else None
        self.stages = stages(self.pyramid[-1], width, shape)
        self.out = outwards(places, width[-1], channels, self.stride)

    def levels(self, places: Places) -> list[Places]:
        """Places at each resolution, for rows of so many."""
        return pyramid(strided(places, self.stride), len(self.pyramid))

    def forward(
        self,
        z: Tensor,
        condition: Tensor | None = None,
        inputs: Sequence[Tensor] = (),
        places: Places | None = None,
    ) -> Tensor:
        """To (B, channels, …).

        Args:
            z: (B, latent_dim) standard normal.
            condition: (B, condition).
            inputs: (B, inputs, H, W) for each resolution, from the innermost on.
            places: of the output; by default those that the network was made for. More than these continue the
                innermost resolution by reflection.
        """
        if self.embedding is not None:
            z = torch.cat([z, self.embedding(condition)], dim=1)
        height, width = places or self.places
        levels = self.levels((height, width))
        x = self.project(z)
        if self.basis is None:
            x = reflected(x.view(len(z), -1, *self.pyramid[0]), levels[0])
        else:
            x = reflected(self.basis, levels[0]) * x[:, :, None, None]
        x = x.contiguous(memory_format=torch.channels_last)
        for level, blocks in enumerate(self.stages):
            if level:
                x = upsampled(self.transitions[level - 1](x), levels[level])
            if self.gains is not None:
                x = self.gains[level](x, z)
            if self.inputs is not None:
                x = x + self.inputs[level](inputs[level], z)
            x = blocks(x)
        made: Tensor = self.out(x)
        return made[..., :height, :width]


class Discriminator(nn.Module):
    """The generator's mirror image: inwards to features, and a linear layer.

    Features are weighted sums over the places of each channel, or, if ``dense``, all channels at all places: in a
    narrow network it is the places that tell a 6 from a 9. The condition comes in as a product of its embedding with
    them (Miyato and Koyama 2018, eq. 3), beside a layer that all classes share.

    Args:
        places: of what it sees.
        channels: of what it sees.
        condition: length of the condition; 0 for none.
        shape: of both networks.
    """

    def __init__(self, places: Places, channels: int, condition: int, shape: Shape) -> None:
        super().__init__()
        levels = pyramid(strided(places, shape.stride))
        width = each_width(shape.widths, len(levels))[::-1]
        self.stride = shape.stride
        self.into = inwards(places, channels, width[0], self.stride)
        self.stages = stages(levels[-1], width, shape)
        self.transitions = nn.ModuleList(transition(*pair) for pair in pairwise(width))
        inmost = (width[-1], *levels[0])
        self.basis = None if shape.dense else nn.Parameter(torch.randn(inmost) / math.sqrt(math.prod(levels[0])))
        features = math.prod(inmost) if shape.dense else width[-1]
        self.out = normal(nn.Linear(features, 1, bias=False))
        self.embedding = nn.Linear(condition, features, bias=False) if condition else None
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, 0.0, 1 / math.sqrt(features))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """x (B, channels, …) and the condition (B, condition) to logits (B,)."""
        if self.stride > 1:  # sides that it does not divide
            height, width = x.shape[2:]
            x = F.pad(x, (0, -width % self.stride, 0, -height % self.stride if height > 1 else 0))
        x = self.into(x.contiguous(memory_format=torch.channels_last))
        for level, blocks in enumerate(self.stages):
            if level:
                x = self.transitions[level - 1](downsampled(x))
            x = blocks(x)
        features = x.flatten(1) if self.basis is None else (x * self.basis).flatten(2).sum(2)
        logit: Tensor = self.out(features)[:, 0]
        if self.embedding is not None:
            logit = logit + (features * self.embedding(condition)).sum(1)
        return logit


def inwards(places: Places, before: int, after: int, stride: int) -> nn.Module:
    """D's first layer: a 1×1 convolution, or one of twice the stride's size."""
    if stride == 1:
        return Pointwise(before, after)
    return normal(nn.Conv2d(before, after, **window(places, stride)))


def outwards(places: Places, before: int, after: int, stride: int) -> nn.Module:
    """G's last layer, the mirror image of :func:`inwards`."""
    if stride == 1:
        return Pointwise(before, after)
    seen = before * (2 if places[0] == 1 else 4)  # by a place of the output, of all that the kernel covers
    return normal(nn.ConvTranspose2d(before, after, **window(places, stride)), fan_in=seen)


def window(places: Places, stride: int) -> dict[str, Any]:
    """Kernel, stride and padding of a convolution that leaves every stride-th place; of a row in one direction."""
    flat = places[0] == 1
    sizes = {"kernel_size": 2 * stride, "stride": stride, "padding": stride // 2}
    alone = {"kernel_size": 1, "stride": 1, "padding": 0}
    return {name: (alone[name] if flat else size, size) for name, size in sizes.items()}


def each_width(widths: Sequence[int], levels: int) -> list[int]:
    """One for each level: the last number is that of all further ones."""
    return [widths[min(level, len(widths) - 1)] for level in range(levels)]


def transition(before: int, after: int) -> nn.Module:
    """From one resolution's width to the next one's."""
    return Pointwise(before, after) if before != after else nn.Identity()


def reflected(x: Tensor, places: Places) -> Tensor:
    """x (…, H, W) at so many places: its first ones, and beyond its own those that its mirror images give."""
    for dim, (own, wanted) in enumerate(zip(x.shape[-2:], places, strict=True), start=-2):
        if own != wanted:
            k = torch.arange(wanted, device=x.device) % (2 * own)
            x = x.index_select(dim, torch.minimum(k, 2 * own - 1 - k))
    return x
