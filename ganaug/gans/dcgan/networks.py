"""DCGAN's networks (Radford, Metz and Chintala 2015, figure 1 and section 3), told the class where there are any."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from datamodules.images.sides import Sides, both, halvings
from ganaug.gans.dcgan.conv import convolve, rows

Norm = Literal["batch", "spectral", "none"]


def stage_channels(image_size: Sides, width: int) -> list[int]:
    """Channels at 4×4, 8×8, … up to half the picture's sides: ``width`` at the last, doubling inwards to 8 × width."""
    return [width * min(2**i, 8) for i in reversed(range(halvings(image_size)))]


def innermost(image_size: Sides) -> tuple[int, int]:
    """(height, width) where a network begins or ends: 4×4, or a small rectangle."""
    height, width = both(image_size)
    return height >> halvings(image_size), width >> halvings(image_size)


def initialise(module: nn.Module) -> None:
    """N(0, 0.02) for weights, zero biases; batch norm starts as the identity (the paper's section 4)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if isinstance(bias := getattr(module, "bias", None), Tensor):
            nn.init.zeros_(bias)


class ConditionalBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose gain and bias are looked up by class (Dumoulin et al. 2017, eq. 5); plain with one class."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(channels, affine=False)
        self.gain = nn.Parameter(torch.ones(num_classes, channels))
        self.shift = nn.Parameter(torch.zeros(num_classes, channels))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        """x (B, C, H, W), y (B,) to (B, C, H, W)."""
        one = len(self.gain) == 1
        weight, bias = (self.gain[0], self.shift[0]) if one else (None, None)
        x = F.batch_norm(x, self.running_mean, self.running_var, weight, bias, self.training, 0.1, self.eps)
        if one:
            return x
        gain, shift = self.gain[y][..., None, None], self.shift[y][..., None, None]  # (B, C, 1, 1)
        return torch.addcmul(shift.to(x.dtype), x, gain.to(x.dtype))


class SpectralNorm(parametrizations._SpectralNorm):
    """torch's own (Miyato et al. 2018, section 2.1), in float32: on a GPU autocast would iterate in 16 bits."""

    def forward(self, weight: Tensor) -> Tensor:
        """The weight over its largest singular value."""
        # A model that is only laid out, on the meta device, has no autocast.
        with torch.autocast("cpu" if weight.is_meta else weight.device.type, enabled=False):
            normalised: Tensor = super().forward(weight)
        return normalised


class Generator(nn.Module):
    """Project and reshape to 4×4, then double the sides by transposed convolutions (figure 1); output in [-1, 1].

    Pictures that are no squares begin as a small rectangle of their shape.
    """

    def __init__(
        self,
        image_size: Sides,
        channels: int,
        num_classes: int,
        latent_dim: int,
        width: int,
        kernel_size: int,
        prior: str,
    ) -> None:
        super().__init__()
        stages = stage_channels(image_size, width)
        self.prior, self.start = prior, innermost(image_size)
        self.project = nn.Linear(latent_dim, stages[0] * math.prod(self.start), bias=False)
        self.norms = nn.ModuleList(ConditionalBatchNorm2d(c, num_classes) for c in stages)
        # kernel 5 needs the output padding to double the side exactly; 4 is a multiple of the stride (no checkerboard)
        geometry: dict[str, Any] = {"kernel_size": kernel_size, "stride": 2, "padding": (kernel_size - 1) // 2}
        self.convolutions = nn.ModuleList(
            nn.ConvTranspose2d(c, following, bias=i == len(stages) - 1, output_padding=kernel_size % 2, **geometry)
            for i, (c, following) in enumerate(zip(stages, [*stages[1:], channels], strict=True))
        )
        self.apply(initialise)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """z (B, latent_dim) standard normal, y (B,) to (B, C, H, W)."""
        if self.prior == "uniform":
            z = torch.erf(z / math.sqrt(2))  # the normal's distribution function, stretched: uniform on [-1, 1]
        x = self.project(z).view(len(z), -1, *self.start)  # (B, stages[0], 4, 4)
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            x = convolve(convolution, F.relu(norm(x, y), inplace=True))
        return torch.tanh(x.float())


class Discriminator(nn.Module):
    """Strided convolutions and a dense layer to a logit; with classes, plus ⟨embedding of y, features⟩ (projection).

    The projection (Miyato and Koyama 2018, eq. 3) is of the features at all 4×4 places, not of their sum: in a network
    this shallow it is the places that tell a 6 from a 9.
    """

    def __init__(
        self, image_size: Sides, channels: int, num_classes: int, width: int, kernel_size: int, norm: Norm
    ) -> None:
        super().__init__()
        stages = stage_channels(image_size, width)[::-1]
        geometry: dict[str, Any] = {"kernel_size": kernel_size, "stride": 2, "padding": (kernel_size - 1) // 2}
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, c, bias=norm != "batch" or i == 0, **geometry)
            for i, (before, c) in enumerate(zip([channels, *stages[:-1]], stages, strict=True))
        )
        # batch norm everywhere but at the input (section 3)
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(c) if norm == "batch" and i > 0 else nn.Identity() for i, c in enumerate(stages)
        )
        features = stages[-1] * math.prod(innermost(image_size))
        self.dense = nn.Linear(features, 1)
        self.embedding = nn.Embedding(num_classes, features) if num_classes > 1 else None
        self.apply(initialise)
        if norm == "spectral":
            for layer in (*self.convolutions, self.dense, self.embedding):
                if layer is not None:
                    parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x (B, C, H, W) in [-1, 1], y (B,) to logits (B,)."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.leaky_relu(norm(convolve(convolution, x)), 0.2, inplace=True)
        features = rows(x)  # (B, 16 * stages[-1]); flattened as it lies, so that its gradient lies as it does
        weight = rows(self.dense.weight.view(1, *x.shape[1:]))
        logit = F.linear(features, weight, self.dense.bias).squeeze(1)  # (B,)
        if self.embedding is not None:
            logit = logit + (rows(self.embedding(y).view(x.shape)) * features).sum(1)
        return logit
