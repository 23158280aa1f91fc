"""A residual network for pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.v2.functional import center_crop

from datamodules.errors import InputError
from datamodules.images.schema import ImageSchema
from datamodules.schema import Batch
from ganaug.classifiers.base import PRETEXTS, Classifier, Fields
from ganaug.classifiers.image_augmentation import flipped, randaugmented, rotated, shifted, trivialaugmented
from ganaug.classifiers.mixing import cutmix, mixup


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut, normalised before each: He et al. 2016, arXiv 1603.05027, figure 4e.

    Batch normalisation, though batches of few data repeat their rows: its noise is what regularises the small sets
    (MNIST with 50 pictures a class: 94.8 % right, with group normalisation 92.6 %).
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(outputs), nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.stride = stride
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        h = F.relu(self.norm1(x))
        # Strided by hand: where a CPU has AVX2 alone, oneDNN's gradient of a strided 1×1 convolution of fewer than 8
        # channels, channels last, is wrong, and may crash or never end (torch 2.14).
        x = x if self.shortcut is None else self.shortcut(h[:, :, :: self.stride, :: self.stride])
        h = self.conv2(F.relu(self.norm2(self.conv1(h))))
        return x.add(h)


class ImageClassifier(Classifier):
    """A ResNet of three stages for pictures of 8 to 256 pixels.

    Strided convolutions bring larger pictures down to at most 16×16 pixels, or as many in a rectangle, before the first
    stage, so that training costs much the same at every size. Batches are ``x`` float32 (B, C, H, W) in [-1, 1] and
    ``y`` int64 (B,).

    Classical augmentation of pictures of three channels is TrivialAugment, and half of them are mirrored: name other
    changes where left and right mean something. Pictures of one channel are shifted by up to 1/8 of their sides and
    turned by up to 15 degrees, black moving in, before TrivialAugment; those of other numbers of channels, which it
    does not know, are shifted and turned alone. Flips are made on request. See
    :mod:`ganaug.classifiers.image_augmentation` and, for what mixes pictures, :mod:`ganaug.classifiers.mixing`. The
    pretext task is to tell by how many quarter turns a picture was rotated: Gidaris et al. 2018, "Unsupervised
    Representation Learning by Predicting Image Rotations", arXiv 1803.07728, section 2.

    Args:
        schema: of the pictures.
        num_classes: of the answer; by default those of the schema.
        steps, learning_rate, weight_decay, label_smoothing, augment: see :class:`Classifier`.
        width: channels of the first stage; there are 4 × width features.
    """

    changes = {
        "shift": lambda batch, _: {**batch, "x": shifted(batch["x"])},
        "rotate": lambda batch, _: {**batch, "x": rotated(batch["x"])},
        "flip": lambda batch, _: {**batch, "x": flipped(batch["x"])},
        "randaugment": lambda batch, _: {**batch, "x": randaugmented(batch["x"])},
        "trivialaugment": lambda batch, _: {**batch, "x": trivialaugmented(batch["x"])},
        "mixup": mixup,
        "cutmix": cutmix,
    }

    def __init__(
        self,
        schema: ImageSchema,
        num_classes: int | None = None,
        steps: int = 1000,
        width: int = 32,
        learning_rate: float = 1e-2,
        weight_decay: float = 0.05,
        label_smoothing: float = 0.0,
        augment: bool | Sequence[str] = False,
    ) -> None:
        super().__init__(schema, steps, learning_rate, weight_decay, label_smoothing, augment)
        self.save_hyperparameters(ignore="schema")
        self.title, self.pretext_title = f"classifier-resnet{width}", f"rotation-resnet{width}"
        halvings, sides = 0, schema.size
        while math.prod(sides) > 16 * 16:
            halvings, sides = halvings + 1, (-(-sides[0] // 2), -(-sides[1] // 2))
        stem: list[nn.Module] = [nn.Conv2d(schema.channels, width, 3, 2 if halvings else 1, 1)]
        for _ in range(halvings - 1):
            stem += [nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, 2, 1)]
        self.body = nn.Sequential(
            *stem,
            Block(width, width, 1),
            Block(width, 2 * width, 2),
            Block(2 * width, 4 * width, 2),
            nn.BatchNorm2d(4 * width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ).to(memory_format=torch.channels_last)
        self.head = nn.Linear(4 * width, num_classes or schema.num_classes)

    @staticmethod
    def usual(schema: ImageSchema) -> tuple[str, ...]:
        """TrivialAugment where it knows the channels; flips of three, elsewhere sides may mean the class."""
        by_channels = {1: ("shift", "rotate", "trivialaugment"), 3: ("trivialaugment", "flip")}
        return by_channels.get(schema.channels, ("shift", "rotate"))

    @classmethod
    def chosen_changes(cls, schema: ImageSchema, augment: bool | Sequence[str]) -> tuple[str, ...]:
        """See :class:`Classifier`; torchvision's policies know grey and RGB pictures alone."""
        chosen = super().chosen_changes(schema, augment)
        policies = [name for name in chosen if name in ("randaugment", "trivialaugment")]
        if policies and schema.channels not in (1, 3):
            raise InputError(f"classical: {policies[0]} needs pictures of 1 or 3 channels, not {schema.channels}")
        return chosen

    @staticmethod
    def fields(schema: ImageSchema) -> Fields:
        """Pictures of the size that networks see, in bytes."""
        return {"x": (torch.uint8, (schema.channels, *schema.size))}

    def features(self, batch: Batch) -> Tensor:
        """(B, 4 × width), at least 0."""
        features: Tensor = self.body(batch["x"].contiguous(memory_format=torch.channels_last))
        return features

    def pretext(self, batch: Batch) -> Batch:
        """Every picture four times, ``y`` the number of quarter turns; of one that is no square the middle."""
        side = min(batch["x"].shape[2:])
        middle = center_crop(batch["x"], [side, side])
        x = torch.cat([middle.rot90(turns, (2, 3)) for turns in range(PRETEXTS)])
        return {"x": x, "y": torch.arange(PRETEXTS, device=x.device).repeat_interleave(len(batch["x"]))}
