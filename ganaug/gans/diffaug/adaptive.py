"""Adaptive augmentation (Karras et al. 2020, arXiv 2006.06676, section 3.1): as much as D's overfitting calls for."""

from __future__ import annotations

from torch import Tensor


def adapt(probability: Tensor, lean: Tensor, target: float, change: float) -> None:
    """Move a probability, in place and without asking a GPU for a number, towards where D leans as much as it should.

    Args:
        probability: scalar in [0, 1].
        lean: E[sign(D(real))] of a batch, r_t in the paper, in [-1, 1]; one for each process.
        target: of the lean.
        change: by which the probability goes up where D leans more, and else down.
    """
    probability.add_((lean.mean() - target).sign() * change).clamp_(0, 1)
