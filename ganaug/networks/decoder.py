"""Networks that write token after token, with a state that lets them go on from any prefix: LSTM and transformer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = tuple[Tensor, ...]


class Decoder(nn.Module):
    """Logits of the next token from the tokens before it and the class.

    What is read at position 0 is a vector of the class, and the class is added to every token after it. ``forward``
    reads whole rows at once; ``begin`` and ``advance`` read one token at a time and keep what a row has read in a
    state, a tuple of tensors with the rows first. Both give the same.

    Args:
        words: size of the vocabulary, V.
        length: T, the longest row.
        num_classes: 1 for no classes.
        embedding: of a token.
        hidden: width H of what the output layer sees.
    """

    def __init__(self, words: int, length: int, num_classes: int, embedding: int, hidden: int) -> None:
        super().__init__()
        self.length, self.hidden = length, hidden
        self.embedding = nn.Embedding(words, embedding)
        self.start = nn.Embedding(num_classes, embedding)
        self.label = nn.Embedding(num_classes, embedding) if num_classes > 1 else None
        self.head = nn.Linear(hidden, words)

    def read(self, x: Tensor, y: Tensor) -> Tensor:
        """Token ids x (B, T) or (B,) after position 0, and classes y (B,), to inputs (…, E)."""
        inputs: Tensor = self.embedding(x)
        if self.label is not None:
            label = self.label(y)
            inputs = inputs + (label[:, None] if x.ndim == 2 else label)
        return inputs

    def inputs(self, x: Tensor, y: Tensor) -> Tensor:
        """What positions 0 to T − 1 read, (B, T, E): the start and all tokens but the last of x (B, T)."""
        return torch.cat([self.start(y)[:, None], self.read(x[:, :-1], y)], 1)

    def features(self, x: Tensor, y: Tensor, dropout: float = 0.0) -> Tensor:
        """What the output layer sees at each position, (B, T, H); position t depends on x (B, T) before t alone."""
        raise NotImplementedError

    def forward(self, x: Tensor, y: Tensor, dropout: float = 0.0) -> Tensor:
        """Token ids x (B, T), classes y (B,) to logits (B, T, V): those at t are of token t, given the ones before."""
        logits: Tensor = self.head(self.features(x, y, dropout))
        return logits

    def begin(self, rows: int) -> State:
        """The state of rows that have read nothing."""
        raise NotImplementedError

    def advance(self, token: Tensor | None, position: int | Tensor, y: Tensor, state: State) -> Tensor:
        """Read what comes at ``position``, and give what the output layer sees there, (B, H). Without gradients.

        Args:
            token: (B,), the token at ``position - 1``; None at position 0.
            y: (B,).
            state: of the rows; changed in place.
        """
        raise NotImplementedError

    def keep(self, state: State) -> State:
        """The state as it is now, whatever ``advance`` does to it."""
        raise NotImplementedError


class LSTMDecoder(Decoder):
    """One LSTM layer (Yu et al. 2017, section 3.3, eq. 9 to 11), weights N(0, 0.1) as in its official code."""

    def __init__(self, words: int, length: int, num_classes: int, embedding: int, hidden: int) -> None:
        super().__init__(words, length, num_classes, embedding, hidden)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        for parameter in self.parameters():
            nn.init.normal_(parameter, 0.0, 0.1)
        nn.init.zeros_(cast(Tensor, self.lstm.bias_hh_l0))
        if self.label is not None:
            nn.init.zeros_(self.label.weight)

    def features(self, x: Tensor, y: Tensor, dropout: float = 0.0) -> Tensor:
        """See :class:`Decoder`; dropout on what goes in and what comes out (Zaremba et al. 2014)."""
        inputs = F.dropout(self.inputs(x, y), dropout)
        with torch.autocast(x.device.type, enabled=False):  # a recurrence gathers rounding errors
            features, _ = self.lstm(inputs.float())
        return F.dropout(features, dropout)

    def begin(self, rows: int) -> State:
        """Hidden and cell state, (B, H) each."""
        weight = self.head.weight
        return tuple(torch.zeros(rows, self.hidden, device=weight.device) for _ in range(2))

    def advance(self, token: Tensor | None, position: int | Tensor, y: Tensor, state: State) -> Tensor:
        """See :class:`Decoder`."""
        inputs = self.start(y) if token is None else self.read(token, y)
        with torch.autocast(inputs.device.type, enabled=False):
            weights = cast(list[Tensor], self.lstm.all_weights[0])
            new = torch.lstm_cell(inputs.float(), state, *weights)
        for mine, its in zip(state, new, strict=True):
            mine.copy_(its)
        return state[0]

    def keep(self, state: State) -> State:
        """A copy."""
        return tuple(part.clone() for part in state)


class Attention(nn.Module):
    """Causal self-attention (Vaswani et al. 2017, section 3.2) with a cache of keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, C) to queries, keys, values (B, heads, T, C / heads)."""
        query, key, value = self.project(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return query, key, value

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        query, key, value = self._split(x)
        mixed: Tensor = self.out(self._merge(F.scaled_dot_product_attention(query, key, value, is_causal=True)))
        return mixed

    def advance(self, x: Tensor, position: int | Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """One position, (B, 1, C) to (B, 1, C); keys and values (B, heads, T, C / heads) take it up."""
        query, key, value = self._split(x)
        if isinstance(position, Tensor):
            keys.index_copy_(2, position, key)
            values.index_copy_(2, position, value)
            seen = torch.arange(keys.shape[2], device=x.device) <= position
            context = F.scaled_dot_product_attention(query.float(), keys, values, attn_mask=seen[None])
        else:
            keys[:, :, position : position + 1], values[:, :, position : position + 1] = key, value
            past = slice(position + 1)
            context = F.scaled_dot_product_attention(query.float(), keys[:, :, past], values[:, :, past])
        mixed: Tensor = self.out(self._merge(context))
        return mixed

    @staticmethod
    def _merge(context: Tensor) -> Tensor:
        """(B, heads, T, C / heads) to (B, T, C)."""
        return context.transpose(1, 2).flatten(2)


class Block(nn.Module):
    """Attention and a feed-forward network, each normalised before and added (Radford et al. 2019, section 2.3)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, h: Tensor, dropout: float) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        h = h + F.dropout(self.attention(self.norm1(h)), dropout)
        return h + F.dropout(self.feed(self.norm2(h)), dropout)

    def advance(self, h: Tensor, position: int | Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """One position, as :meth:`Attention.advance`."""
        h = h + self.attention.advance(self.norm1(h), position, keys, values)
        added: Tensor = self.feed(self.norm2(h))
        return h + added


class TransformerDecoder(Decoder):
    """A decoder-only transformer with learnt positions and a cache of keys and values.

    Args:
        layers: number of blocks.
        heads: of each; they divide ``hidden``.
    """

    def __init__(
        self, words: int, length: int, num_classes: int, embedding: int, hidden: int, layers: int = 2, heads: int = 4
    ) -> None:
        super().__init__(words, length, num_classes, embedding, hidden)
        self.heads = heads
        self.widen = nn.Linear(embedding, hidden) if embedding != hidden else nn.Identity()
        self.position = nn.Parameter(torch.empty(length, hidden))
        self.blocks = nn.ModuleList(Block(hidden, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        nn.init.normal_(self.position, 0.0, 0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, 0.0, 0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        for name, parameter in self.named_parameters():
            if name.endswith(
                ("attention.out.weight", "feed.2.weight")
            ):  # so that the sum over the blocks keeps its size
                nn.init.normal_(parameter, 0.0, 0.02 / math.sqrt(2 * layers))

    def features(self, x: Tensor, y: Tensor, dropout: float = 0.0) -> Tensor:
        """See :class:`Decoder`; dropout on the sum of token and position, and on what each block adds."""
        h = F.dropout(self.widen(self.inputs(x, y)) + self.position[: x.shape[1]], dropout)
        for block in self.blocks:
            h = block(h, dropout)
        features: Tensor = self.norm(h)
        return features

    def begin(self, rows: int) -> State:
        """Keys and values of each block, (B, heads, T, H / heads)."""
        shape = rows, self.heads, self.length, self.hidden // self.heads
        # Not filled: ``advance`` reads no place that it has not written.
        return tuple(torch.empty(shape, device=self.position.device) for _ in range(2 * len(self.blocks)))

    def advance(self, token: Tensor | None, position: int | Tensor, y: Tensor, state: State) -> Tensor:
        """See :class:`Decoder`."""
        inputs = self.start(y) if token is None else self.read(token, y)
        h = self.widen(inputs)[:, None] + self.position[position]  # (B, 1, H)
        for i, block in enumerate(self.blocks):
            h = cast(Block, block).advance(h, position, *state[2 * i : 2 * i + 2])
        features: Tensor = self.norm(h)[:, 0]
        return features

    def keep(self, state: State) -> State:
        """The state itself: what is read later comes to lie behind what a shorter prefix looks at."""
        return state


DECODERS: dict[str, Callable[..., Decoder]] = {"lstm": LSTMDecoder, "transformer": TransformerDecoder}
