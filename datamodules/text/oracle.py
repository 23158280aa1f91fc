"""Text from an LSTM of random weights, whose likelihood of any sentence is known: OracleLSTM, OracleText."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datamodules.base import GANDataModule
from datamodules.errors import InputError
from datamodules.files.archive import Archive
from datamodules.options import Seed, Size, Within
from datamodules.rows import Table
from datamodules.text.schema import TextSchema

START = 0  # the token before the first; as in SeqGAN it is a word too
CHUNK = 256  # rows at a time: of a chunk's logits there are rows × length × vocabulary


class OracleLSTM(nn.Module):
    """The oracle of SeqGAN's synthetic experiments (Yu et al. 2017, section 5.1): an LSTM drawn from N(0, 1).

    Its buffers, float32, bear the names and shapes of the arrays in a file: ``embedding`` (V, E), ``weight_ih``
    (4H, E), ``weight_hh`` (4H, H), ``bias`` (4H,), ``output_weight`` (V, H), ``output_bias`` (V,); gates in the order
    i, f, g, o.

    Args:
        vocabulary: V, the number of words.
        hidden: E and H.
        seed: of the weights.
    """

    embedding: Tensor
    weight_ih: Tensor
    weight_hh: Tensor
    bias: Tensor
    output_weight: Tensor
    output_bias: Tensor

    def __init__(self, vocabulary: int = 5000, hidden: int = 32, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        for name, shape in _shapes(vocabulary, hidden, hidden).items():
            self.register_buffer(name, torch.randn(shape, generator=generator))

    @classmethod
    def from_npz(cls, path: str | Path) -> OracleLSTM:
        """The oracle that a ``.npz`` file describes.

        Raises:
            InputError: an array is missing, is of the wrong shape or type, or holds what is no finite number.
        """
        archive = Archive(path)
        found = {name: archive.header(name) for name in _shapes(1, 1, 1)}
        embedding, recurrent = found["embedding"][0], found["weight_hh"][0]
        for name, shape in (("embedding", embedding), ("weight_hh", recurrent)):
            if len(shape) != 2 or not all(shape):
                raise InputError(f"{archive.path}: {name} has shape {shape}: it must be a matrix that is not empty")
        oracle = cls(1, 1)
        for name, wanted in _shapes(embedding[0], embedding[1], recurrent[1]).items():
            shape, dtype = found[name]
            if shape != wanted:
                raise InputError(
                    f"{archive.path}: {name} has shape {shape}, and beside embedding {embedding} and weight_hh"
                    f" {recurrent} it must be {wanted}"
                )
            if dtype.kind != "f":
                raise InputError(f"{archive.path}: {name} is {dtype}: weights must be floats")
            with np.errstate(over="ignore"):  # it is reported in the next line
                values = torch.from_numpy(archive[name].astype(np.float32))
            if not values.isfinite().all():
                raise InputError(f"{archive.path}: {name} holds a value that is no finite number in float32")
            oracle.register_buffer(name, values)
        return oracle

    @property
    def vocabulary(self) -> int:
        """V, the number of words."""
        return len(self.output_bias)

    @torch.no_grad()
    def sample(self, n: int, length: int, seed: int) -> Tensor:
        """Sentences int64 (n, length), the same for the same seed on the same device."""
        device = self.bias.device
        generator = torch.Generator(device).manual_seed(seed)
        x = torch.empty(n, length, dtype=torch.long, device=device)
        for rows in torch.split(x, CHUNK):
            word = torch.full((len(rows),), START, device=device)
            state = self._initial(len(rows))
            for step in range(length):
                state = self._step(word, *state)
                below = self._logits(state[0]).softmax(1).cumsum(1, dtype=torch.float64)  # (B, V)
                u = torch.rand(len(rows), 1, dtype=torch.float64, device=device, generator=generator)
                word = torch.searchsorted(below, u * below[:, -1:], right=True)[:, 0].clamp_(max=self.vocabulary - 1)
                rows[:, step] = word
        return x

    @torch.no_grad()
    def nll(self, x: Tensor) -> Tensor:
        """Mean negative log-likelihood of each row of ``x`` int64 (N, T), in nats a token: float32 (N,).

        Raises:
            InputError: ids that are no words of the oracle.
        """
        if x.numel() and not 0 <= int(x.min()) <= int(x.max()) < self.vocabulary:
            raise InputError(
                f"the oracle has the words 0 to {self.vocabulary - 1}, not {int(x.min())} to {int(x.max())}"
            )
        losses = []
        for rows in torch.split(x.to(self.bias.device), CHUNK):
            state, total = self._initial(len(rows)), torch.zeros(len(rows), device=self.bias.device)
            before = F.pad(rows, (1, 0), value=START)
            for step in range(rows.shape[1]):
                state = self._step(before[:, step], *state)
                total += F.cross_entropy(self._logits(state[0]), rows[:, step], reduction="none")
            losses.append(total / rows.shape[1])
        return torch.cat(losses)

    def _initial(self, rows: int) -> tuple[Tensor, Tensor]:
        zeros = self.bias.new_zeros(rows, self.weight_hh.shape[1])
        return zeros, zeros

    def _step(self, word: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """``h`` and ``c`` (B, H) after a word (B,)."""
        gates = self.embedding[word] @ self.weight_ih.T + h @ self.weight_hh.T + self.bias  # (B, 4H)
        i, f, g, o = gates.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    def _logits(self, h: Tensor) -> Tensor:
        return h @ self.output_weight.T + self.output_bias  # (B, V)


def _shapes(vocabulary: int, embedding: int, hidden: int) -> dict[str, tuple[int, ...]]:
    return {
        "embedding": (vocabulary, embedding),
        "weight_ih": (4 * hidden, embedding),
        "weight_hh": (4 * hidden, hidden),
        "bias": (4 * hidden,),
        "output_weight": (vocabulary, hidden),
        "output_bias": (vocabulary,),
    }


class OracleText(GANDataModule):
    """Sentences of one length drawn from an :class:`OracleLSTM`, which tells how likely it finds those of a model.

    Words are numbers, ``17 4023 5``; there are no classes.

    Args:
        sentences: rows in all, before the splits: of the default 14,000 they leave 10,080 to train on, about the
            paper's 10,000.
        path: ``.npz`` file of the oracle's weights, as :class:`OracleLSTM` names them; by default they are drawn.
        vocabulary: number of words: by default 5,000, as in the paper, or what the file has.
        length: words in a sentence.
        oracle_seed: of the weights, where they are drawn.
        kwargs: the options of :class:`GANDataModule`; another ``seed`` draws other sentences from the same oracle.

    Raises:
        InputError: the file cannot be used, or holds another number of words.
    """

    schema: TextSchema

    def __init__(
        self,
        sentences: Annotated[int, Within(1, 10**7)] = 14_000,
        path: str | Path | None = None,
        vocabulary: Annotated[int, Within(2, 10**6)] | None = None,
        length: Size = 20,
        oracle_seed: Seed = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.oracle = OracleLSTM(vocabulary or 5000, seed=oracle_seed) if path is None else OracleLSTM.from_npz(path)
        words = self.oracle.vocabulary
        if vocabulary not in (None, words):
            raise InputError(f"{path}: the oracle has {words} words, not {vocabulary}: leave vocabulary out")
        self.sentences = sentences
        self.schema = TextSchema(vocabulary=tuple(f" {word}" for word in range(words)), max_length=length, ends=False)

    def load(self) -> tuple[Table, None]:
        """``x`` int64 (N, T), ``length`` and ``y`` int64 (N,); there is no test split."""
        x = self.oracle.sample(self.sentences, self.schema.max_length, self.seed)
        y = torch.zeros(len(x), dtype=torch.long)
        return Table({"x": x, "length": self.schema.lengths(x), "y": y}), None

    def nll_oracle(self, x: Tensor) -> float:
        """Mean negative log-likelihood of sentences int64 (N, T) under the oracle, in nats a token."""
        return float(self.oracle.nll(x).mean())
