"""A generator of one's own for DCGAN: residual blocks that double the sides (Miyato et al. 2018, appendix B).

    ganaug fit --config experiments/dcgan_digits.yaml --name own_generator --import experiments.own_generator
        --model.generator experiments.own_generator.ResNet --model.generator.width 32
    ganaug generate --ckpt lightning_logs/own_generator/version_0/checkpoints/last.ckpt
        --out samples --per_class 10 --import experiments.own_generator

What is asked of such a network is said in ganaug/gans/dcgan/protocols.py.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datamodules.images.schema import ImageSchema
from ganaug.gans.dcgan.networks import ConditionalBatchNorm2d, innermost, stage_channels


class Block(nn.Module):
    """Two convolutions beside a shortcut, both at twice the sides; the class in the batch norms."""

    def __init__(self, before: int, after: int, num_classes: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ConditionalBatchNorm2d(before, num_classes), ConditionalBatchNorm2d(after, num_classes)
        self.conv1, self.conv2 = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x (B, before, H, W), y (B,) to (B, after, 2H, 2W)."""
        h = self.conv1(F.interpolate(F.relu(self.norm1(x, y)), scale_factor=2.0))
        h = self.conv2(F.relu(self.norm2(h, y)))
        return h + F.interpolate(self.shortcut(x), scale_factor=2.0)


class ResNet(nn.Module):
    """From 4×4, or a small rectangle, by a block for each doubling of the sides; ``width`` channels in the last one."""

    def __init__(self, schema: ImageSchema, latent_dim: int, num_classes: int, width: int = 64) -> None:
        super().__init__()
        stages = stage_channels(schema.image_size, width)
        self.start = innermost(schema.image_size)
        self.project = nn.Linear(latent_dim, stages[0] * math.prod(self.start))
        pairs = zip(stages, [*stages[1:], width], strict=True)
        self.blocks = nn.ModuleList(Block(before, after, num_classes) for before, after in pairs)
        self.norm = ConditionalBatchNorm2d(width, num_classes)
        self.picture = nn.Conv2d(width, schema.channels, 3, padding=1)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """z (B, latent_dim), y (B,) to (B, C, H, W) in [-1, 1]."""
        x = self.project(z).view(len(z), -1, *self.start)
        for block in self.blocks:
            x = block(x, y)
        return torch.tanh(self.picture(F.relu(self.norm(x, y))))
