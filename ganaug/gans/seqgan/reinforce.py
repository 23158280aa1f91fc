"""REINFORCE (Williams 1992; SeqGAN's section 3.2): what each token was worth, and the loss that follows from it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Baseline = Literal["none", "batch", "difference"]
Rescale = Literal["none", "rank"]
Reduction = Literal["sum", "mean"]


def advantages(
    value: Tensor,
    real: Tensor,
    every: int = 1,
    baseline: Baseline = "none",
    rescale: Rescale = "none",
    whiten: bool = False,
) -> Tensor:
    """What each token was worth.

    Args:
        value: (T + 1, B); row t that of the first t tokens. Every ``every``-th row and the last one count.
        real: (B, T), which tokens are no padding.
        every: tokens that share the value after the last of them.
        baseline: what is taken off: nothing, the mean of the other sequences at the same place, or the value before.
        rescale: ``rank`` replaces values by σ(12 (0.5 − rank / B)), best first (Guo et al. 2018, section 3.4).
        whiten: scale to mean 0 and deviation 1 over all tokens.

    Returns:
        (B, T), 0 on padding.
    """
    length, batch = len(value) - 1, value.shape[1]
    if rescale == "rank":
        rank = value.argsort(1, descending=True).argsort(1)  # (T + 1, B), 0 the best
        value = torch.sigmoid(12 * (0.5 - (rank + 1) / batch))
    token = torch.arange(length, device=value.device)
    after = value[((token // every + 1) * every).clamp(max=length)]  # (T, B)
    if baseline == "difference":
        after = after - value[token // every * every]
    elif baseline == "batch" and batch > 1:
        after = (after - after.mean(1, keepdim=True)) * (batch / (batch - 1))
    advantage = after.T * real  # (B, T)
    if whiten:
        count = real.sum()
        mean = advantage.sum() / count
        deviation = ((advantage - mean).square() * real).sum().div(count).sqrt()
        advantage = (advantage - mean) / deviation.clamp(min=1e-6) * real
    return advantage


def policy_loss(log_policy: Tensor, x: Tensor, real: Tensor, advantage: Tensor, reduction: Reduction) -> Tensor:
    """−Σ A log π over the tokens of sequences that the policy has written (SeqGAN, eq. 8), or its mean over tokens.

    Args:
        log_policy: (B, T, V) log-probabilities.
        x: (B, T) token ids.
        real: (B, T), which tokens are no padding.
        advantage: (B, T), 0 on padding.
        reduction: ``sum`` (official code) or ``mean``.
    """
    chosen = log_policy.gather(2, x[..., None])[..., 0].masked_fill(~real, 0.0)
    return -(chosen * advantage).sum() / (real.sum() if reduction == "mean" else 1)


def entropy(log_policy: Tensor, real: Tensor) -> Tensor:
    """Entropy of the policy in nats per token, of log-probabilities (B, T, V) where ``real`` (B, T)."""
    information = log_policy.exp() * log_policy.masked_fill(log_policy == -torch.inf, 0.0)
    return -(information.sum(2) * real).sum() / real.sum()
