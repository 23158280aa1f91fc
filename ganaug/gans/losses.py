"""Adversarial losses and gradient penalties, of logits of any shape; and what keeps every loss in float32."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, NamedTuple, ParamSpec

import torch
import torch.nn.functional as F
from torch import Tensor

LossName = Literal["non_saturating", "least_squares", "hinge", "wasserstein", "relativistic"]
P = ParamSpec("P")


def in_float32(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """The loss, of which the first argument is a tensor, without autocast and with its tensors in float32.

    Autocast would take its matrix products in 16 bits: sums lose their digits, and in fp16 end at 65,504.
    """

    def exact(value: Any) -> Any:
        return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value

    @wraps(loss)
    def computed(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        first: Any = args[0]
        with torch.autocast(first.device.type, enabled=False):
            return loss(*map(exact, args), **{name: exact(value) for name, value in kwargs.items()})

    return computed


class Loss(NamedTuple):
    """A pair of losses for the two players.

    Args:
        discriminator: (logits of real, logits of fake) to a scalar.
        generator: logits of fake, and where it is ``paired`` those of real, to a scalar.
        paired: whether the generator's needs a real sample beside each, whose logits need no gradient.
        boundary: between logits that say real and those that say fake; None where only which of two is higher means
            anything.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[..., Tensor]
    paired: bool = False
    boundary: float | None = 0.0


def _relativistic(better: Tensor, worse: Tensor) -> Tensor:
    return F.softplus(worse.float() - better.float()).mean()


LOSSES: dict[LossName, Loss] = {
    # Goodfellow et al. 2014, section 3: −log σ(D(x)) − log(1 − σ(D(G(z)))), and −log σ(D(G(z))) for the generator
    "non_saturating": Loss(
        lambda real, fake: F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean(),
        lambda fake, _=None: F.softplus(-fake.float()).mean(),
    ),
    # Mao et al. 2017, eq. 9, labels 0 and 1
    "least_squares": Loss(
        lambda real, fake: 0.5 * ((real.float() - 1).square().mean() + fake.float().square().mean()),
        lambda fake, _=None: 0.5 * (fake.float() - 1).square().mean(),
        boundary=0.5,
    ),
    # Lim and Ye 2017; Miyato et al. 2018, eqs. 16 and 17
    "hinge": Loss(
        lambda real, fake: F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean(),
        lambda fake, _=None: -fake.float().mean(),
    ),
    # Arjovsky et al. 2017, eqs. 2 and 3; to be used with gradient_penalty
    "wasserstein": Loss(
        lambda real, fake: fake.float().mean() - real.float().mean(),
        lambda fake, _=None: -fake.float().mean(),
        boundary=None,
    ),
    # Jolicoeur-Martineau 2018, section 4.2; Huang et al. 2024 (R3GAN): which of a pair is the real one. To be
    # used with the penalties of both sides, without which it need not converge.
    "relativistic": Loss(_relativistic, _relativistic, paired=True, boundary=None),
}


def gradient_penalty(judge: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """E[(‖∇D(x̂)‖₂ − 1)²], x̂ uniform on the lines from real to fake (Gulrajani et al. 2017, eq. 3).

    Args:
        judge: samples (B, …) to logits (B,).
        real, fake: (B, …) of the same shape.
    """
    real, fake = real.detach().float(), fake.detach().float()
    share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    between = torch.lerp(real, fake, share).requires_grad_()
    penalty: Tensor = (_input_gradient(judge, between).norm(dim=1) - 1).square().mean()
    return penalty


def zero_centred_penalty(judge: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """½ E[‖∇D(x)‖²]: R1 on real samples, R2 on synthetic ones (Mescheder et al. 2018, eq. 9, without its γ).

    Args:
        judge: samples (B, …) to logits (B,).
        x: (B, …).
    """
    return 0.5 * _input_gradient(judge, x.detach().float().requires_grad_()).square().sum(1).mean()


def squared_slope(logits: Tensor, x: Tensor) -> Tensor:
    """‖∇D(x)‖² of each row, (B,), twice differentiable: for a penalty on logits that are needed anyway.

    Args:
        logits: (B,), of x alone by row, computed in float32.
        x: (B, …), which needs a gradient.
    """
    gradient: Tensor = torch.autograd.grad(logits.sum(), x, create_graph=True)[0]
    return gradient.flatten(1).square().sum(1)


def _input_gradient(judge: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):  # double backward wants the range of float32
        gradient: Tensor = torch.autograd.grad(judge(x).sum(), x, create_graph=True)[0]
    rows: Tensor = gradient.flatten(1)
    return rows  # (B, …) to (B, d)
