import math

import pytest
import torch
import torch.nn.functional as F

from ganaug.gans.losses import LOSSES, gradient_penalty, zero_centred_penalty

REAL, FAKE = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([-0.5, 3.0, 0.0])


def test_non_saturating_is_binary_cross_entropy() -> None:
    loss, ones, zeros = LOSSES["non_saturating"], torch.ones(3), torch.zeros(3)
    bce = F.binary_cross_entropy_with_logits
    torch.testing.assert_close(loss.discriminator(REAL, FAKE), bce(REAL, ones) + bce(FAKE, zeros))
    torch.testing.assert_close(loss.generator(FAKE, None), bce(FAKE, ones))


def test_non_saturating_at_the_equilibrium_and_far_away() -> None:
    loss, zero = LOSSES["non_saturating"], torch.zeros(1)
    assert loss.discriminator(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert loss.generator(torch.tensor([-1e4]), None).item() == pytest.approx(
        1e4
    )  # a logarithm of a sigmoid would be inf


def test_closed_forms() -> None:
    assert LOSSES["least_squares"].discriminator(REAL, FAKE).item() == pytest.approx(
        0.5 * ((1 + 4 + 0.25) / 3 + (0.25 + 9 + 0) / 3)
    )
    assert LOSSES["least_squares"].generator(FAKE, None).item() == pytest.approx(0.5 * (2.25 + 4 + 1) / 3)
    assert LOSSES["hinge"].discriminator(REAL, FAKE).item() == pytest.approx((0 + 2 + 0.5) / 3 + (0.5 + 4 + 1) / 3)
    assert LOSSES["hinge"].generator(FAKE, None).item() == pytest.approx(-2.5 / 3)
    assert LOSSES["wasserstein"].discriminator(REAL, FAKE).item() == pytest.approx(2.5 / 3 - 1.5 / 3)
    assert LOSSES["wasserstein"].generator(FAKE, None).item() == pytest.approx(-2.5 / 3)


def test_the_relativistic_loss_asks_which_of_a_pair_is_real() -> None:
    """Pair by pair, and of differences alone: what is added to all logits changes nothing."""
    loss = LOSSES["relativistic"]
    by_hand = sum(math.log1p(math.exp(-(r - f))) for r, f in zip(REAL.tolist(), FAKE.tolist(), strict=True)) / 3
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx(by_hand)
    swapped = sum(math.log1p(math.exp(-(f - r))) for r, f in zip(REAL.tolist(), FAKE.tolist(), strict=True)) / 3
    assert loss.generator(FAKE, REAL).item() == pytest.approx(swapped)
    torch.testing.assert_close(loss.discriminator(REAL + 7, FAKE + 7), loss.discriminator(REAL, FAKE))
    assert loss.discriminator(REAL, REAL).item() == pytest.approx(math.log(2))
    assert [name for name in LOSSES if LOSSES[name].paired] == ["relativistic"]


@pytest.mark.parametrize("name", LOSSES)
def test_directions_and_precision(name: str) -> None:
    """D wants real up and fake down, G wants fake up; half-precision logits give a float32 loss."""
    real, fake = (x.clone().requires_grad_() for x in (torch.full((4,), 0.3), torch.full((4,), 0.2)))
    LOSSES[name].discriminator(real, fake).backward()
    assert (real.grad < 0).all()
    assert (fake.grad > 0).all()
    fake.grad = None
    LOSSES[name].generator(fake, real.detach()).backward()
    assert (fake.grad < 0).all()
    half = REAL.bfloat16(), FAKE.bfloat16()
    assert LOSSES[name].discriminator(*half).dtype == LOSSES[name].generator(half[1], half[0]).dtype == torch.float32


def test_gradient_penalty_of_a_linear_judge() -> None:
    """∇ of ⟨w, x⟩ is w everywhere, so the penalty is (‖w‖ − 1)²."""
    w = torch.randn(2, 3, 3, requires_grad=True)
    real, fake = torch.randn(5, 2, 3, 3), torch.randn(5, 2, 3, 3)
    penalty = gradient_penalty(lambda x: (x * w).sum((1, 2, 3)), real, fake)
    torch.testing.assert_close(penalty, (w.norm() - 1) ** 2)
    penalty.backward()
    torch.testing.assert_close(w.grad, 2 * (w.norm() - 1).detach() * (w / w.norm()).detach())


def test_gradient_penalty_lies_between_real_and_fake() -> None:
    seen: list[torch.Tensor] = []
    real, fake = torch.zeros(2000, 1), torch.ones(2000, 1)
    gradient_penalty(lambda x: seen.append(x.detach()) or x.square().sum(1), real, fake)
    assert seen[0].min() >= 0
    assert seen[0].max() <= 1
    assert seen[0].mean().item() == pytest.approx(0.5, abs=0.03)
    assert len(seen[0].unique()) > 1900  # a share for each sample


def test_r1_of_a_quadratic_judge() -> None:
    """∇ of a‖x‖²/2 is a·x, so ½E‖∇‖² is a²E‖x‖²/2, and its derivative in a is aE‖x‖²."""
    a, x = torch.tensor(3.0, requires_grad=True), torch.randn(6, 4)
    penalty = zero_centred_penalty(lambda x: 0.5 * a * x.square().sum(1), x)
    torch.testing.assert_close(penalty, 0.5 * 9 * x.square().sum(1).mean())
    penalty.backward()
    torch.testing.assert_close(a.grad, 3 * x.square().sum(1).mean())
