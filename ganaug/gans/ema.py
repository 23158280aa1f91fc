"""The exponential moving average of a network's weights, which is what samples are drawn from."""

from __future__ import annotations

import copy

import torch
from torch import nn


class EMA(nn.Module):
    """Average of a network's parameters over its steps; buffers (running statistics) are copied as they are.

    A submodule of the model like any other, so that checkpoints hold it. (Lightning's ``EMAWeightAveraging`` averages
    the whole module, the discriminator too, and counts optimiser steps of which a GAN has several a batch.)

    Args:
        network: what to average; it is copied.
        decay: weight of the past. Early on it is held at (1 + step) / (10 + step), so that the average forgets the
            initial weights. 0 follows the network exactly.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards ``network``, after its update number ``step``, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - decay)
        for mine, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)
