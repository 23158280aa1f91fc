"""Pictures as a worse camera takes them: noise, blur, contrast, another place, a turn.

Noise, blur and contrast are of Hendrycks and Dietterich 2019, arXiv 1903.12261, section 3.1, at strengths about those
of their CIFAR-10-C; places and turns of Mu and Gilmer 2019, "MNIST-C: A Robustness Benchmark for Computer Vision",
arXiv 1906.02337.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from datamodules.images.schema import ImageSchema
from datamodules.schema import Batch
from ganaug.shifts.shift import Shift

PART = 256  # pictures at a time, since as floats they are large
WAYS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]


def noisy(x: Tensor, sigma: float) -> Tensor:
    """Normal noise of deviation ``sigma``, where black is 0 and white is 1."""
    noise = F.gaussian_noise(F.to_dtype(x, torch.float32, scale=True), sigma=sigma)
    made: Tensor = F.to_dtype(noise, torch.uint8, scale=True)
    return made


def blurred(x: Tensor, share: float) -> Tensor:
    """By a Gaussian whose deviation is a share of the shorter side."""
    sigma = share * min(x.shape[2:])
    height, width = (2 * min(math.ceil(3 * sigma), side - 1) + 1 for side in x.shape[2:])
    made: Tensor = F.gaussian_blur(x, [width, height], [sigma, sigma])
    return made


def faded(x: Tensor, contrast: float) -> Tensor:
    """Only so much of the contrast left, in every channel by itself."""
    made: Tensor = F.adjust_contrast(x.flatten(0, 1)[:, None], contrast)
    return made.view_as(x)


def moved(x: Tensor, share: float) -> Tensor:
    """By a share of each side, one of eight ways; what moves in repeats the edge."""
    down, right = (max(1, round(share * side)) for side in x.shape[2:])
    wide = F.pad(x, [right, down], padding_mode="edge")
    way = torch.randint(len(WAYS), (len(x),))
    for number, (v, h) in enumerate(WAYS):
        x[way == number] = F.crop(wide[way == number], down * (1 + v), right * (1 + h), *x.shape[2:])
    return x


def turned(x: Tensor, degrees: float) -> Tensor:
    """By so many degrees, left or right; what moves in repeats the edge."""
    wide = F.pad(x, [max(x.shape[2:]) // 4 + 1], padding_mode="edge")
    left = torch.rand(len(x)) < 0.5
    for chosen, angle in ((left, degrees), (~left, -degrees)):
        if bool(chosen.any()):
            turn = F.rotate(wide[chosen], angle, InterpolationMode.BILINEAR)
            x[chosen] = F.center_crop(turn, list(x.shape[2:]))
    return x


def inside(change: Callable[[Tensor, float], Tensor]) -> Callable[[Batch, ImageSchema, float], Batch]:
    """A change of uint8 (N, C, H, W), made to the pictures without the black that they are padded with."""

    def changed(batch: Batch, schema: ImageSchema, strength: float) -> Batch:
        x = batch["x"].clone()
        height, width = (schema.height, schema.width) if schema.fit == "pad" else schema.size
        top, left = (schema.size[0] - height) // 2, (schema.size[1] - width) // 2
        for part in torch.split(x[:, :, top : top + height, left : left + width], PART):
            part.copy_(change(part.clone(), strength))
        return {**batch, "x": x}

    return changed


SHIFTS = {
    "noise": Shift(inside(noisy), (0.04, 0.08, 0.16)),
    "blur": Shift(inside(blurred), (0.02, 0.035, 0.05)),
    "contrast": Shift(inside(faded), (0.75, 0.5, 0.25)),
    "translate": Shift(inside(moved), (1 / 16, 1 / 8, 3 / 16)),
    "rotate": Shift(inside(turned), (10.0, 20.0, 30.0)),
}
