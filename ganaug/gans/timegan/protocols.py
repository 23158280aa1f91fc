"""What TimeGAN asks of networks that are put in the place of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from datamodules.errors import InputError
from datamodules.series.schema import SeriesSchema
from ganaug.gans.own import answer, made, trial
from ganaug.runtime.outside import path_of

MakesNetwork = Callable[[SeriesSchema, int, int, int], nn.Module]


class SeriesNetwork(Protocol):
    """Each of the five: an ``nn.Module`` that is made from these arguments, in order, and by keyword from its options.

    Where series end at different steps, what it gives for a step must depend on the steps up to it alone: what stands
    behind a series' end must not reach it. Where all are of one length, an embedder, a recovery and a discriminator may
    look both ways; the supervisor's task is the next step, which it must not see. In eval mode what it gives for a
    series is a function of what it is given of that series alone.

    ====================  =======================================  =====================================================
    option                is given                                 must give
    ====================  =======================================  =====================================================
    ``embedder``          series, (B, T, columns)                  codes (B, T, hidden) in [0, 1]
    ``recovery``          codes; it is told nothing                series; in [0, 1] where ``schema.bounded``
    ``generator``         noise uniform on [0, 1), (B, T, inputs)  codes
    ``supervisor``        codes                                    codes, each step's that of the next
    ``discriminator``     codes                                    logits (B, T, 1), higher for more real
    ====================  =======================================  =====================================================
    """

    def __init__(self, schema: SeriesSchema, inputs: int, outputs: int, condition: int) -> None:
        """``inputs`` and ``outputs`` are widths of a step, ``condition`` that of what the network is told of a series.

        What it is told are the class, a place for each, and then the static attributes; 0 where it is nothing. Where
        it stands along a dimension beside something else, it comes last there, so that ``--init_from`` can match the
        classes by name. ``schema.length`` is the T of the data; of samples T may be another.
        """

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """x (B, T, inputs), condition (B, condition), or None where it is nothing, to (B, T, outputs)."""
        ...


class Judge(SeriesNetwork, Protocol):
    """A discriminator in two parts, ``forward`` being ``out(features(x, condition))``: what ``matching_weight`` needs.

    With a ``matching_weight`` of 0 a discriminator needs neither of them.
    """

    def features(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """What the last layer sees of each step, (B, T, width)."""
        ...

    def out(self, features: Tensor) -> Tensor:
        """The last layer: features (B, T, width) to logits (B, T, 1)."""
        ...


def own_network(
    name: str, make: MakesNetwork, schema: SeriesSchema, inputs: int, outputs: int, condition: int, matched: bool
) -> nn.Module:
    """The network, tried on two rows.

    Args:
        name: of the option.
        make: its class.
        schema, inputs, outputs, condition: what it is made from.
        matched: whether its features are asked for.

    Raises:
        InputError: it does not do what :class:`SeriesNetwork` says.
    """
    network = made(name, make, SeriesNetwork, schema, inputs, outputs, condition)
    one, steps = f"{name} {path_of(type(network))}", schema.length
    if matched and not all(callable(getattr(network, method, None)) for method in ("features", "out")):
        raise InputError(f"{one} has no methods features and out, which matching_weight needs: set that to 0")
    with trial(name, network):
        x, told = torch.rand(2, steps, inputs), torch.rand(2, condition) if condition else None
        given = answer(name, network, {"x": x, "condition": told}, (2, steps, outputs))
        if matched:
            features = network.features(x, told)  # type: ignore[operator]
            answer(name, network.out, {"features": features}, (2, steps, 1))  # type: ignore[arg-type]
        if not schema.fixed and steps > 1 and not x.is_meta:
            changed = network(torch.cat([x[:, :-1], 1 - x[:, -1:]], 1), told)
            if not torch.allclose(changed[:, :-1], given[:, :-1], rtol=1e-3, atol=1e-5):
                raise InputError(f"{one}: a step depends on later ones, which of series that end before are padding")
    return network
