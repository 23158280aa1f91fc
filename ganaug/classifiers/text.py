"""A convolutional network for sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datamodules.schema import Batch, step_mask
from datamodules.text.schema import TextSchema
from ganaug.classifiers.base import PRETEXTS, Classifier, Fields
from ganaug.classifiers.text_augmentation import corrupted, eda, forgotten, word_counts


def forgetful(batch: Batch, schema: TextSchema) -> Batch:
    """Words forgotten, where there is a token for what is unknown."""
    words = word_counts(batch["x"], batch["length"], schema.ends)
    return {**batch, "x": forgotten(batch["x"], words)} if schema.ends else batch


class TextClassifier(Classifier):
    """TextCNN: convolutions of several widths over word vectors, each channel's maximum over the sentence.

    Kim 2014, "Convolutional Neural Networks for Sentence Classification", arXiv 1408.5882, section 2, with vectors
    learnt from the rows. Batches are ``x`` int64 (B, T), ``length`` int64 (B,) and ``y`` int64 (B,); what stands beyond
    a sentence's length is never looked at.

    Classical augmentation swaps, deletes and inserts words (EDA); on request it forgets one in ten: see
    :mod:`ganaug.classifiers.text_augmentation`, which says what each gave. The pretext task is to tell what
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
    def usual(schema: TextSchema) -> tuple[str, ...]:
        """EDA."""
        return ("eda",)

    @staticmethod
    def fields(schema: TextSchema) -> Fields:
        """Token ids and their number."""
        return {"x": (torch.int64, (schema.max_length,)), "length": (torch.int64, ())}

    def features(self, batch: Batch) -> Tensor:
        """(B, widths × channels), at least 0."""
        longest = int(batch["length"].max())
        x = batch["x"][:, :longest]
        inside = step_mask(batch["length"], longest)  # (B, longest)
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
