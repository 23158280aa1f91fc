"""SeqGAN's discriminator (Yu et al. 2017, section 3.4): a CNN over tokens, which can go on from a shared prefix."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Discriminator(nn.Module):
    """A CNN over the tokens with max-over-time pooling and a highway layer (section 3.4 and appendix B) to a logit.

    With classes, plus ⟨embedding of y, features⟩ (projection, Miyato and Koyama 2018, eq. 3).

    Args:
        words: size of the vocabulary, V.
        length: T.
        num_classes: 1 for no classes.
        embedding: of a token.
        filters: how many of each width.
    """

    def __init__(self, words: int, length: int, num_classes: int, embedding: int, filters: Mapping[int, int]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, embedding)
        # 2-d and channels_last, as whose memory (B, T, E) already lies: twice as fast on a CPU as Conv1d
        self.convolutions = nn.ModuleList(
            nn.Conv2d(embedding, count, (1, width)) for width, count in sorted(filters.items()) if width <= length
        )
        self.convolutions.to(memory_format=torch.channels_last)
        width = sum(cast(int, convolution.out_channels) for convolution in self.convolutions)
        self.gate, self.transform = nn.Linear(width, width), nn.Linear(width, width)
        self.dense = nn.Linear(width, 1)
        self.label = nn.Embedding(num_classes, width) if num_classes > 1 else None
        nn.init.uniform_(self.embedding.weight, -1.0, 1.0)
        for module in (*self.convolutions, self.dense):
            nn.init.trunc_normal_(module.weight, 0.0, 0.1, -0.2, 0.2)
            nn.init.constant_(module.bias, 0.1)
        for module in (self.gate, self.transform):  # as in the official code, where gates are open at first
            bound = math.sqrt(3 / width)  # of weights and bias: both by Glorot and Bengio 2010, eq. 16
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.uniform_(module.bias, -bound, bound)
        if self.label is not None:
            nn.init.zeros_(self.label.weight)

    def forward(self, x: Tensor, y: Tensor, dropout: float = 0.0) -> Tensor:
        """Token ids x (B, T), classes y (B,) to logits (B,)."""
        inputs = self._inputs(x)
        return self.judge([convolution(inputs).amax((2, 3)) for convolution in self.convolutions], y, dropout)

    def judge(self, pooled: list[Tensor], y: Tensor, dropout: float = 0.0) -> Tensor:
        """The largest answer of each filter, (B, its count) for each width, and classes y (B,), to logits (B,)."""
        features = F.relu(torch.cat(pooled, 1))  # (B, F); relu of the maximum is the maximum of the relu
        gate = torch.sigmoid(self.gate(features))
        features = F.dropout(torch.lerp(features, F.relu(self.transform(features)), gate), dropout)
        logit: Tensor = self.dense(features).squeeze(1)
        if self.label is not None:
            logit = logit + (self.label(y) * features).sum(1)
        return logit

    def prefixes(self, x: Tensor) -> list[Tensor]:
        """For each width w the running maximum over time of x (B, T), (B, count, T − w + 1): a rollout shares it."""
        inputs = self._inputs(x)
        return [convolution(inputs)[:, :, 0].cummax(2).values for convolution in self.convolutions]

    def continued(self, prefixes: list[Tensor], rows: Tensor, x: Tensor, y: Tensor, start: int) -> Tensor:
        """Logits (R,) of x (R, T), whose first ``start`` tokens are those of the given rows (R,) of ``prefixes``."""
        inputs = self._inputs(x)
        pooled = []
        for convolution, known in zip(self.convolutions, prefixes, strict=True):
            width = cast(tuple[int, int], convolution.kernel_size)[1]
            new = convolution(inputs[..., max(0, start - width + 1) :]).amax((2, 3))
            pooled.append(torch.maximum(new, known[:, :, start - width][rows]) if start >= width else new)
        return self.judge(pooled, y)

    def _inputs(self, x: Tensor) -> Tensor:
        """Token ids (B, T) to (B, E, 1, T)."""
        inputs: Tensor = self.embedding(x).transpose(1, 2)[:, :, None]
        return inputs
