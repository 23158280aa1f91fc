"""Training that has left the finite numbers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from lightning.pytorch import Trainer
from torch import Tensor


class DivergedError(RuntimeError):
    """Training left the finite numbers. The message is one line; the last good checkpoint is untouched."""


def refuse_divergence(losses: Mapping[str, Tensor], step: int, trainer: Trainer) -> None:
    """Stop all processes where a loss of one is not finite.

    Raises:
        DivergedError: naming it.
    """
    finite = torch.stack([torch.isfinite(loss).all() for loss in losses.values()])
    if trainer.strategy.reduce_boolean_decision(bool(finite.all())):
        return
    odd = [f"{name} became {float(loss)}" for name, loss in losses.items() if not bool(torch.isfinite(loss).all())]
    raise DivergedError(
        f"{odd[0] if odd else 'a loss of another process was not finite'} at step {step}: training diverged; the last"
        " checkpoint is from before that. Lower the learning rates, set --model.clip, or use precision bf16-mixed or 32"
    )
