"""The networks of the augmentation study: what a person would train on their data, quick to train many times."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchvision.transforms.v2.functional import center_crop

from datamodules.errors import named_once
from datamodules.images.schema import ImageSchema
from datamodules.schema import Batch, Schema
from datamodules.series.schema import SeriesSchema
from datamodules.text.schema import TextSchema
from ganaug.classifiers.image_augmentation import flipped, randaugmented, rotated, shifted
from ganaug.classifiers.inception_time import InceptionTime
from ganaug.classifiers.series_augmentation import jitter, magnitude_warped, scaled, sliced, time_warped, transformed
from ganaug.classifiers.text_augmentation import corrupted, eda, forgotten, word_counts

PRETEXTS = 4  # classes of each pretext task

Change = Callable[[Batch, Any], Batch]  # a batch, and the schema of its rows, to a batch


class Classifier(LightningModule):
    """Base of the classifiers. A subclass gives ``features``, changes, a pretext task and what its rows are.

    Args:
        schema: of the data; batches are as the schema prepares them, with ``y`` int64 (B,).
        steps: training batches, over which the learning rate rises and falls once (Smith and Topin 2018).
        learning_rate: its peak.
        weight_decay: of AdamW.
        label_smoothing: share of the probability spread over all classes, in [0, 1).
        augment: classical augmentation of every training batch: names of ``changes``, in their order; True for the
            ``usual`` ones.

    Raises:
        InputError: there is no such change.
    """

    bf16: ClassVar[bool] = True  # whether bf16 makes it faster where the hardware multiplies in it
    changes: ClassVar[dict[str, Change]]  # classical augmentation, by name
    usual: ClassVar[tuple[str, ...]]
    head: nn.Module

    def __init__(
        self,
        schema: Schema,
        steps: int,
        learning_rate: float,
        weight_decay: float,
        label_smoothing: float,
        augment: bool | Sequence[str],
    ) -> None:
        super().__init__()
        self.schema, self.steps = schema, steps
        self.chosen = self.usual if augment is True else named_once("classical", augment or (), self.changes)
        self.learning_rate, self.weight_decay, self.label_smoothing = learning_rate, weight_decay, label_smoothing

    # ---- what a subclass gives ----

    title: str  # what a results table calls it
    pretext_title: str  # and after the pretext task

    @staticmethod
    def fields(schema: Any) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Type and shape of a row's fields, as they are stored."""
        raise NotImplementedError

    def features(self, batch: Batch) -> Tensor:
        """What the last layer sees of each row, (B, d), at least 0."""
        raise NotImplementedError

    def pretext(self, batch: Batch) -> Batch:
        """Every row as each of the four classes of a task that needs no labels: a batch of 4 × B rows."""
        raise NotImplementedError

    # ---- what they share ----

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, classes)."""
        logits: Tensor = self.head(self.features(batch))
        return logits

    def augmented(self, batch: Batch) -> Batch:
        """A training batch after classical augmentation."""
        for name in self.chosen:
            batch = self.changes[name](batch, self.schema)
        return batch

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of a training batch; where rows are marked as ``synthetic``, only their labels are smoothed."""
        batch = self.augmented(batch)
        logits, y, smoothing = self(batch).float(), batch["y"], self.label_smoothing
        if "synthetic" not in batch:
            return F.cross_entropy(logits, y, label_smoothing=smoothing)
        each = [F.cross_entropy(logits, y, label_smoothing=s, reduction="none") for s in (0.0, smoothing)]
        return torch.where(batch["synthetic"], each[1], each[0]).mean()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss, logged as ``loss/train``."""
        loss = self.loss(batch)
        self.log("loss/train", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """The share of right answers, logged as ``accuracy/val``."""
        right = self(batch).argmax(1) == batch["y"]
        self.log("accuracy/val", right.float().mean(), prog_bar=True, batch_size=len(right), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW, its learning rate in one cycle over ``steps``."""
        rate = self.learning_rate
        optimizer = torch.optim.AdamW(self.parameters(), rate, weight_decay=self.weight_decay)
        total = max(20, self.steps + 1)  # with fewer it may divide by the length of an empty phase
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=total, pct_start=0.2)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


# ---- pictures --------------------------------------------------------------------------------------------------------


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

    Classical augmentation shifts every training picture by up to 1/8 of its side, black moving in; on request it also
    rotates, flips, or does what RandAugment does: see
    :mod:`ganaug.classifiers.image_augmentation`. The pretext task is to tell by how many quarter turns a picture was
    rotated: Gidaris et al. 2018, "Unsupervised Representation Learning by Predicting Image Rotations", arXiv
    1803.07728, section 2.

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
    }
    usual = ("shift",)

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
    def fields(schema: ImageSchema) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
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


# ---- sentences -------------------------------------------------------------------------------------------------------


def forgetful(batch: Batch, schema: TextSchema) -> Batch:
    """Words forgotten, where there is a token for what is unknown."""
    words = word_counts(batch["x"], batch["length"], schema.ends)
    return {**batch, "x": forgotten(batch["x"], words)} if schema.ends else batch


class TextClassifier(Classifier):
    """TextCNN: convolutions of several widths over word vectors, each channel's maximum over the sentence.

    Kim 2014, "Convolutional Neural Networks for Sentence Classification", arXiv 1408.5882, section 2, with vectors
    learnt from the rows. Batches are ``x`` int64 (B, T), ``length`` int64 (B,) and ``y`` int64 (B,); what stands beyond
    a sentence's length is never looked at.

    Classical augmentation forgets one word in ten; on request it swaps, deletes and inserts words: see
    :mod:`ganaug.classifiers.text_augmentation`, which says why not both. The pretext task is to tell what
    was done to a sentence: nothing, neighbours swapped, words replaced, halves exchanged: see
    :func:`~ganaug.classifiers.text_augmentation.corrupted`.

    Args:
        schema: of the sentences.
        num_classes: of the answer; by default those of the schema.
        steps, learning_rate, weight_decay, label_smoothing, augment: see :class:`Classifier`.
        dim: of the word vectors.
        channels: of each width; there are 4 × channels features where T ≥ 5.
        dropout: share of the features left out in training, in [0, 1).
    """

    bf16 = False
    title = "textcnn"
    pretext_title = "corruption-textcnn"
    changes = {"forget": forgetful, "eda": eda}
    usual = ("forget",)

    def __init__(
        self,
        schema: TextSchema,
        num_classes: int | None = None,
        steps: int = 1000,
        dim: int = 64,
        channels: int = 64,
        dropout: float = 0.3,
        learning_rate: float = 1e-2,
        weight_decay: float = 1.0,
        label_smoothing: float = 0.0,
        augment: bool | Sequence[str] = False,
    ) -> None:
        super().__init__(schema, steps, learning_rate, weight_decay, label_smoothing, augment)
        self.save_hyperparameters(ignore="schema")
        self.ends = schema.ends
        self.embedding = nn.Embedding(len(schema.vocabulary), dim)
        widths = [width for width in (2, 3, 4, 5) if width <= schema.max_length] or [1]
        self.convolutions = nn.ModuleList(nn.Conv1d(dim, channels, width) for width in widths)
        outputs = num_classes or schema.num_classes
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(len(widths) * channels, outputs))

    @staticmethod
    def fields(schema: TextSchema) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Token ids and their number."""
        return {"x": (torch.int64, (schema.max_length,)), "length": (torch.int64, ())}

    def features(self, batch: Batch) -> Tensor:
        """(B, widths × channels), at least 0."""
        longest = int(batch["length"].max())
        x = batch["x"][:, :longest]
        inside = torch.arange(longest, device=x.device) < batch["length"][:, None]  # (B, longest)
        words = (self.embedding(x) * inside[:, :, None]).mT  # (B, dim, longest)
        return torch.cat([self._strongest(words, inside, conv) for conv in self.convolutions], dim=1)

    @staticmethod
    def _strongest(words: Tensor, inside: Tensor, conv: Any) -> Tensor:
        """Over the windows that begin inside the sentence: one shorter than the window has them too."""
        windows = F.relu(conv(F.pad(words, (0, conv.kernel_size[0] - 1))))  # (B, channels, longest)
        return (windows * inside[:, None]).amax(2)

    def pretext(self, batch: Batch) -> Batch:
        """Every sentence four times, ``y`` what was done to it."""
        x = torch.cat(corrupted(batch["x"], self._words(batch)))
        y = torch.arange(PRETEXTS, device=x.device).repeat_interleave(len(batch["x"]))
        return {"x": x, "length": batch["length"].repeat(PRETEXTS), "y": y}

    def _words(self, batch: Batch) -> Tensor:
        """Tokens of each sentence (B,) without its end."""
        return word_counts(batch["x"], batch["length"], self.ends)


# ---- series ----------------------------------------------------------------------------------------------------------


def half(change: Callable[[Tensor, Tensor], Tensor]) -> Change:
    """The change of series (B, T, F) of some length (B,), made to half of a batch."""

    def changed(batch: Batch, _: Any) -> Batch:
        x = batch["x"]
        chosen = torch.rand(len(x), 1, 1).to(x.device) < 0.5
        return {**batch, "x": torch.where(chosen, change(x, batch["length"]), x)}

    return changed


class SeriesClassifier(Classifier):
    """A small InceptionTime: see :class:`~ganaug.classifiers.inception_time.InceptionTime`.

    Batches are ``x`` float32 (B, T, F), ``length`` int64 (B,) and ``y`` int64 (B,); what stands beyond a series' length
    is never looked at.

    Classical augmentation is of five sorts, each done to half of the series: see
    :mod:`ganaug.classifiers.series_augmentation`. The pretext task is to tell what was done to a series: nothing,
    turned backwards, turned upside down, pieces permuted: see
    :func:`~ganaug.classifiers.series_augmentation.transformed`.

    Args:
        schema: of the series.
        num_classes: of the answer; by default those of the schema.
        steps, learning_rate, weight_decay, label_smoothing, augment: see :class:`Classifier`.
        width: channels of each convolution; there are 4 × width features where T ≥ 19.
        depth: number of modules.
        kernels: widths of the convolutions, odd numbers; those longer than T are left out.
        dropout: share of the features left out in training, in [0, 1).
    """

    bf16 = False
    title = "inceptiontime"
    pretext_title = "transformation-inceptiontime"
    changes = {
        "slice": half(sliced),
        "time_warp": half(time_warped),
        "magnitude_warp": half(magnitude_warped),
        "scale": half(scaled),
        "jitter": half(jitter),
    }
    usual = tuple(changes)

    def __init__(
        self,
        schema: SeriesSchema,
        num_classes: int | None = None,
        steps: int = 1000,
        width: int = 16,
        depth: int = 2,
        kernels: tuple[int, ...] = (5, 9, 19),
        dropout: float = 0.3,
        learning_rate: float = 1e-2,
        weight_decay: float = 0.05,
        label_smoothing: float = 0.0,
        augment: bool | Sequence[str] = False,
    ) -> None:
        super().__init__(schema, steps, learning_rate, weight_decay, label_smoothing, augment)
        self.save_hyperparameters(ignore="schema")
        kernels = tuple(k for k in kernels if k <= schema.length) or (1,)
        self.body = InceptionTime(schema.features, width, depth, kernels)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.body.features, num_classes or schema.num_classes))

    @staticmethod
    def fields(schema: SeriesSchema) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Scaled numbers and the number of steps."""
        return {"x": (torch.float32, (schema.length, schema.features)), "length": (torch.int64, ())}

    def features(self, batch: Batch) -> Tensor:
        """(B, 4 × width), at least 0."""
        features: Tensor = self.body(batch["x"], batch["length"])
        return features

    def pretext(self, batch: Batch) -> Batch:
        """Every series four times, ``y`` what was done to it."""
        x = torch.cat(transformed(batch["x"], batch["length"]))
        y = torch.arange(PRETEXTS, device=x.device).repeat_interleave(len(batch["x"]))
        return {"x": x, "length": batch["length"].repeat(PRETEXTS), "y": y}


CLASSIFIERS: dict[str, type[Any]] = {"image": ImageClassifier, "text": TextClassifier, "series": SeriesClassifier}
