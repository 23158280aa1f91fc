"""What SeqGAN asks of networks that are put in the place of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from datamodules.errors import InputError
from ganaug.gans.own import answer, made, trial
from ganaug.gans.seqgan.rollout import Critic
from ganaug.networks.decoder import Decoder, State
from ganaug.runtime.outside import path_of

MakesDecoder = Callable[[int, int, int, int, int], nn.Module]
MakesCritic = Callable[[int, int, int], nn.Module]


class DecoderNetwork(Protocol):
    """G: an ``nn.Module`` that is made from these arguments, in order, and by keyword from options of its own.

    It reads whole rows, ``forward``, and one token at a time, ``begin`` and ``advance``, and must give the same either
    way: likelihood and gradient come from the one, samples and rollouts from the other. What it gives for a row must
    not depend on the rows beside it. To derive it from :class:`~ganaug.networks.decoder.Decoder` leaves ``features``,
    ``begin``, ``advance`` and ``keep`` to write.
    """

    head: nn.Linear
    """The output layer, from what ``advance`` gives, (…, H), to logits (…, V)."""

    def __init__(self, words: int, length: int, num_classes: int, embedding: int, hidden: int) -> None:
        """Size V of the vocabulary, T, classes (1 for none), and SeqGAN's options ``embedding`` and ``hidden``.

        Where something has a place for each word, or each class, along a dimension, these come last there, so that
        ``--init_from`` can match them by name.
        """

    def forward(self, x: Tensor, y: Tensor, dropout: float = 0.0) -> Tensor:
        """Token ids x (B, T), classes y (B,) to logits (B, T, V): those at t of token t, by the tokens before alone."""
        ...

    def begin(self, rows: int) -> State:
        """The state of rows that have read nothing: a tuple of tensors, rows first, of shapes that do not change."""
        ...

    def advance(self, token: Tensor | None, position: int | Tensor, y: Tensor, state: State) -> Tensor:
        """Read ``token`` (B,), that before ``position``, None at 0; write into the state; give what ``head`` sees."""
        ...

    def keep(self, state: State) -> State:
        """The state as it is now, whatever ``advance`` does to it: copies, or itself where later tokens lie behind."""
        ...


class CriticNetwork(Protocol):
    """D: an ``nn.Module`` that is made from these arguments, in order, and by keyword from options of its own.

    What it says of a row must not depend on the rows beside it.
    Without ``prefixes`` and ``continued`` (:class:`~ganaug.gans.seqgan.rollout.Critic`) it reads every rollout from its
    beginning, also on a CPU. With an option ``d_l2`` above 0 it needs its output layer as ``dense``.
    """

    def __init__(self, words: int, length: int, num_classes: int) -> None:
        """As :class:`DecoderNetwork`."""

    def forward(self, x: Tensor, y: Tensor, dropout: float = 0.0) -> Tensor:
        """Token ids x (B, T), 0 after the end, and classes y (B,) to logits (B,), higher for more real."""
        ...


def own_decoder(make: MakesDecoder, words: int, length: int, classes: int, embedding: int, hidden: int) -> Decoder:
    """The network, tried on two rows.

    Raises:
        InputError: it does not do what :class:`DecoderNetwork` says.
    """
    network: Any = made("generator", make, DecoderNetwork, words, length, classes, embedding, hidden)
    one = f"generator {path_of(type(network))}"
    for part in ("head", "begin", "advance", "keep"):
        if not callable(getattr(network, part, None)):
            raise InputError(f"{one} has no {part}: derive it from ganaug.networks.decoder.Decoder")
    if getattr(network.head, "out_features", None) != words:
        raise InputError(f"{one}: its head must be an nn.Linear with out_features {words}, the size of the vocabulary")
    with trial("generator", network):
        x, y = torch.randint(words, (2, length)), torch.tensor([0, classes - 1])
        whole = answer("generator", network, {"x": x, "y": y, "dropout": 0.0}, (2, length, words)).float()
        state = network.begin(2)
        if not isinstance(state, tuple) or not all(isinstance(part, Tensor) and len(part) == 2 for part in state):
            raise InputError(f"{one}: begin(2) must give a tuple of tensors of 2 rows each")
        _compare(one, network, x, y, whole, state, range(min(3, length)))
        if length > 1:
            again = network.begin(2)
            network.advance(None, 0, y, again)
            kept = network.keep(again)
            network.advance((x[:, 0] + 1) % words, 1, y, again)  # another token than from what was kept
            _compare(one, network, x, y, whole, tuple(part.clone() for part in kept), range(1, 2))
    return cast(Decoder, network)


def _compare(one: str, network: Any, x: Tensor, y: Tensor, whole: Tensor, state: State, positions: range) -> None:
    """Refuse a decoder that reads single tokens otherwise than whole rows, (2, T, V)."""
    for position in positions:
        logits = network.head(network.advance(x[:, position - 1] if position else None, position, y, state)).float()
        if logits.shape != whole[:, position].shape:
            wanted, given = tuple(whole[:, position].shape), tuple(logits.shape)
            raise InputError(f"{one}: what advance gives must lead to logits {wanted}, not {given}")
        if not logits.is_meta and not torch.allclose(logits, whole[:, position], rtol=1e-3, atol=1e-3):
            raise InputError(f"{one}: advance and forward give different logits at position {position}")


def own_critic(make: MakesCritic, words: int, length: int, classes: int, d_l2: float) -> nn.Module:
    """The network, tried on two rows.

    Raises:
        InputError: it does not do what :class:`CriticNetwork` says.
    """
    network = made("discriminator", make, CriticNetwork, words, length, classes)
    if d_l2 and not isinstance(getattr(network, "dense", None), nn.Linear):
        raise InputError(f"discriminator {path_of(type(network))} has no nn.Linear dense for d_l2: set that to 0")
    with trial("discriminator", network):
        x, y = torch.randint(words, (2, length)), torch.tensor([0, classes - 1])
        whole = answer("discriminator", network, {"x": x, "y": y, "dropout": 0.0}, (2,))
        if isinstance(network, Critic) and length > 1:
            logits = network.continued(network.prefixes(x), torch.arange(2), x, y, 1)
            if not logits.is_meta and not torch.allclose(logits, whole, rtol=1e-3, atol=1e-3):
                raise InputError(f"discriminator {path_of(type(network))}: continued and forward give different logits")
    return network
