"""What DCGAN asks of networks that are put in the place of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from datamodules.errors import InputError
from datamodules.images.schema import ImageSchema
from ganaug.gans.own import answer, made, trial

MakesGenerator = Callable[[ImageSchema, int, int], nn.Module]
MakesDiscriminator = Callable[[ImageSchema, int], nn.Module]


class GeneratorNetwork(Protocol):
    """G: an ``nn.Module`` that is made from these arguments, in order, and by keyword from options of its own.

    Samples come from a copy of it in eval mode, with averaged parameters, whose buffers follow. They are a function of
    z and y, and of each row's alone: it draws no noise of its own there, and mixes no rows. Whether pictures stay in
    [-1, 1] is tried on the untrained network alone, later it is only told of: end it with tanh.
    An example is ``ResNet`` in experiments/own_generator.py.
    """

    def __init__(self, schema: ImageSchema, latent_dim: int, num_classes: int) -> None:
        """``schema.size`` is (H, W) as networks see pictures, ``schema.channels`` C.

        ``num_classes`` is 1 where there are none, or the model is unconditional. Where something has a place for each
        class along a dimension, the classes come last there, so that ``--init_from`` can match them by name.
        """

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """z (B, latent_dim), y int64 (B,) below ``num_classes`` to (B, C, H, W) in [-1, 1].

        z is standard normal, whatever ``prior`` says, which is for DCGAN's own generator.
        """
        ...


class DiscriminatorNetwork(Protocol):
    """D: an ``nn.Module`` that is made from these arguments, in order, and by keyword from options of its own.

    It ends without a sigmoid: losses take logits. With batch norm in it, it is given real and synthetic pictures apart,
    else together. It may compare the pictures of a batch; filters and scores by what it says then depend on which are
    judged together, of which is warned. An example is ``Judge`` in experiments/own_generator.py.
    """

    def __init__(self, schema: ImageSchema, num_classes: int) -> None:
        """As :class:`GeneratorNetwork`."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x (B, C, H, W) in about [-1, 1], y int64 (B,) below ``num_classes`` to logits (B,), higher for more real."""
        ...


def own_generator(make: MakesGenerator, schema: ImageSchema, latent_dim: int, num_classes: int) -> nn.Module:
    """The network, tried on two rows.

    Raises:
        InputError: it does not do what :class:`GeneratorNetwork` says.
    """
    network = made("generator", make, GeneratorNetwork, schema, latent_dim, num_classes)
    with trial("generator", network):
        inputs = {"z": torch.randn(2, latent_dim), "y": torch.tensor([0, num_classes - 1])}
        x = answer("generator", network, inputs, (2, schema.channels, *schema.size))
        if not x.is_meta and (most := float(x.abs().max())) > 1:
            raise InputError(f"generator must give pictures in [-1, 1], not up to {most:.3g}: end it with tanh")
    return network


def own_discriminator(make: MakesDiscriminator, schema: ImageSchema, num_classes: int) -> nn.Module:
    """The network, tried on two rows.

    Raises:
        InputError: it does not do what :class:`DiscriminatorNetwork` says.
    """
    network = made("discriminator", make, DiscriminatorNetwork, schema, num_classes)
    with trial("discriminator", network):
        x = torch.rand(2, schema.channels, *schema.size) * 2 - 1
        answer("discriminator", network, {"x": x, "y": torch.tensor([0, num_classes - 1])}, (2,), mixes=True)
    return network
