"""Recurrent layers with a dense layer at every step: what each of TimeGAN's five networks is."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganaug.networks.gru import gru

Cell = Literal["gru", "lstm"]


class Recurrent(nn.Module):
    """Series to series of the same length, causal: step t of the output depends on steps up to t of the input.

    So what stands behind a series' end never reaches its steps, and no sequence needs to be packed.

    Args:
        inputs: width of a step.
        outputs: width of a step of the output.
        hidden: width of the recurrent layers.
        layers: how many.
        cell: ``gru`` or ``lstm``.
        condition: width of what every step is told beside its input; 0 for nothing.
        sigmoid: whether the outputs lie in (0, 1).
        skip: whether the dense layer sees a step's input beside its state. Gated states follow their input with delay:
            what is new at every step, such as noise, gets through them smoothed or not at all.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: int,
        layers: int,
        cell: Cell = "gru",
        condition: int = 0,
        sigmoid: bool = True,
        skip: bool = False,
    ) -> None:
        super().__init__()
        self.condition, self.sigmoid, self.skip = condition, sigmoid, skip
        kind = nn.GRU if cell == "gru" else nn.LSTM
        self.rnn = kind(inputs + condition, hidden, layers, batch_first=True)
        self.dense = nn.Linear(hidden + (inputs + condition if skip else 0), outputs)
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Glorot's uniform weights over input and state together, gates that begin open, as in the official code.

        There the gates' biases begin at 1 (TensorFlow's GRUCell): states are kept, and gradients reach far back, from
        the first step on.
        """
        hidden = self.rnn.hidden_size
        gates = 3 if isinstance(self.rnn, nn.GRU) else 4
        for layer in range(self.rnn.num_layers):
            weights = [getattr(self.rnn, f"weight_{part}_l{layer}") for part in ("ih", "hh")]
            fan = sum(weight.shape[1] for weight in weights)
            for gate in range(gates):
                rows = slice(gate * hidden, (gate + 1) * hidden)
                # TensorFlow keeps reset and update gate in one matrix, the candidate in another.
                together = 2 if gates == 3 and gate < 2 else gates if gates == 4 else 1
                for weight in weights:
                    weight[rows].uniform_(-1, 1).mul_(math.sqrt(6 / (fan + together * hidden)))
            bias, other = (getattr(self.rnn, f"bias_{part}_l{layer}") for part in ("ih", "hh"))
            bias.zero_()
            other.zero_()
            # GRU: reset, update, candidate; LSTM: input, forget, candidate, output, of which the forget gate is open.
            bias[slice(0, 2 * hidden) if gates == 3 else slice(hidden, 2 * hidden)] = 1.0
        nn.init.xavier_uniform_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)

    @torch.no_grad()
    def pass_through(self, bounded: bool = True) -> None:
        """Begin, but for a little that the recurrent layers add, as the identity at every step; for a ``skip`` only.

        4 (v − ½) is the tangent of logit v at ½. So values in (0, 1) come out much as they went in, and a value without
        bounds goes into (0, 1) by the logistic function, or comes out of it by its inverse.

        Args:
            bounded: whether the input lies in [0, 1].
        """
        hidden, gain = self.rnn.hidden_size, 4.0 if bounded else 1.0
        self.dense.weight[:, :hidden] *= 0.1
        one = torch.eye(self.dense.out_features, self.rnn.input_size - self.condition)
        self.dense.weight[:, hidden:] = F.pad(gain * one, (0, self.condition))
        self.dense.bias.fill_(-gain / 2 if bounded else 0.0)

    def features(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """What the dense layer sees of each step, (B, T, hidden or hidden + inputs + condition), float32.

        Args:
            x: (B, T, inputs).
            condition: (B, condition), the same at every step.
        """
        if self.condition:
            assert condition is not None
            x = torch.cat([x, condition[:, None].expand(-1, x.shape[1], -1)], dim=2)
        states = self._states(x)
        return torch.cat([states, x.float()], dim=2) if self.skip else states

    def _states(self, x: Tensor) -> Tensor:
        """Of the last recurrent layer after each step, (B, T, hidden)."""
        # In float32 everywhere: a recurrence gathers rounding errors, and these matrices are too small for bf16 to pay.
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            if x.device.type != "cpu" or not isinstance(self.rnn, nn.GRU) or torch.compiler.is_exporting():
                states: Tensor = self.rnn(x)[0]
                return states
            x = x[None]  # (1, B, T, inputs)
            for layer in range(self.rnn.num_layers):
                names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                x = gru(x, *(getattr(self.rnn, f"{name}_l{layer}")[None] for name in names))
        return x[0]

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B, T, inputs) to float32 (B, T, outputs)."""
        return self.out(self.features(x, condition))

    def out(self, features: Tensor) -> Tensor:
        """The dense layer, (B, T, what it sees) to (B, T, outputs)."""
        with torch.autocast(features.device.type, enabled=False):
            y: Tensor = self.dense(features)
        return torch.sigmoid(y) if self.sigmoid else y
