"""Networks of one's own for DCGAN: residual blocks that double or halve the sides (Miyato et al. 2018, appendix B).

    ganaug fit --config experiments/dcgan_digits.yaml --name own_generator --import experiments.own_generator
        --model.generator experiments.own_generator.ResNet --model.generator.width 32
    ganaug generate --ckpt lightning_logs/own_generator/version_0/checkpoints/last.ckpt
        --out samples --per_class 10 --import experiments.own_generator

``--model.discriminator experiments.own_generator.Judge`` puts the discriminator in the place of DCGAN's, with the
generator or without it; with both, the file's ``width`` is nobody's any more: ``--model.width null``.
What is asked of such networks is said in ganaug/gans/dcgan/protocols.py.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from datamodules import ImageSchema


def halved(schema: ImageSchema) -> list[tuple[int, int]]:
    """(H, W) of a picture, and of its halves down to about 4×4: the sides at which the blocks work."""
    sides = [schema.size]
    while sides[-1][0] % 2 == sides[-1][1] % 2 == 0 and min(sides[-1]) > 4:
        sides.append((sides[-1][0] // 2, sides[-1][1] // 2))
    return sides


class ClassNorm(nn.BatchNorm2d):
    """Batch norm whose gain and shift are those of the class (Dumoulin et al. 2017)."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(channels, affine=False)
        self.gain = nn.Parameter(torch.ones(num_classes, channels))
        self.shift = nn.Parameter(torch.zeros(num_classes, channels))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x (B, C, H, W), y (B,) to (B, C, H, W)."""
        return self.gain[y][..., None, None] * super().forward(x) + self.shift[y][..., None, None]


class Doubling(nn.Module):
    """Two convolutions beside a shortcut, both at twice the sides; the class in the batch norms."""

    def __init__(self, before: int, after: int, num_classes: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ClassNorm(before, num_classes), ClassNorm(after, num_classes)
        self.conv1, self.conv2 = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x (B, before, H, W), y (B,) to (B, after, 2H, 2W)."""
        h = self.conv1(F.interpolate(F.relu(self.norm1(x, y)), scale_factor=2.0))
        h = self.conv2(F.relu(self.norm2(h, y)))
        return h + F.interpolate(self.shortcut(x), scale_factor=2.0)


class ResNet(nn.Module):
    """A generator from about 4×4, by a block for each doubling of the sides; ``width`` channels in the last one."""

    def __init__(self, schema: ImageSchema, latent_dim: int, num_classes: int, width: int = 64) -> None:
        super().__init__()
        sides = halved(schema)
        stages = [width * min(2**i, 8) for i in reversed(range(len(sides) - 1))]
        self.start = sides[-1]
        self.project = nn.Linear(latent_dim, stages[0] * self.start[0] * self.start[1])
        pairs = zip(stages, [*stages[1:], width], strict=True)
        self.blocks = nn.ModuleList(Doubling(before, after, num_classes) for before, after in pairs)
        self.norm = ClassNorm(width, num_classes)
        self.picture = nn.Conv2d(width, schema.channels, 3, padding=1)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """z (B, latent_dim), y (B,) to (B, C, H, W) in [-1, 1]."""
        x = self.project(z).view(len(z), -1, *self.start)
        for block in self.blocks:
            x = block(x, y)
        return torch.tanh(self.picture(F.relu(self.norm(x, y))))


class Halving(nn.Module):
    """Two convolutions beside a shortcut, then a mean over squares of four; spectral norm, and no batch norm."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = spectral_norm(nn.Conv2d(before, after, 3, padding=1))
        self.conv2 = spectral_norm(nn.Conv2d(after, after, 3, padding=1))
        self.shortcut = spectral_norm(nn.Conv2d(before, after, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, before, H, W) to (B, after, H/2, W/2)."""
        return F.avg_pool2d(self.conv2(F.relu(self.conv1(F.relu(x)))) + self.shortcut(x), 2)


class Judge(nn.Module):
    """A discriminator that is told the class by a projection (Miyato and Koyama 2018); it ends without a sigmoid."""

    def __init__(self, schema: ImageSchema, num_classes: int, width: int = 64) -> None:
        super().__init__()
        stages = [width * min(2**i, 8) for i in range(len(halved(schema)) - 1)]
        self.read = spectral_norm(nn.Conv2d(schema.channels, width, 3, padding=1))
        pairs = zip([width, *stages[:-1]], stages, strict=True)
        self.blocks = nn.ModuleList(Halving(before, after) for before, after in pairs)
        self.out = spectral_norm(nn.Linear(stages[-1], 1))
        self.label = spectral_norm(nn.Embedding(num_classes, stages[-1]))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x (B, C, H, W), y (B,) to logits (B,)."""
        h = self.read(x)
        for block in self.blocks:
            h = block(h)
        h = F.relu(h).mean((2, 3))
        return self.out(h)[:, 0] + (self.label(y) * h).sum(1)
