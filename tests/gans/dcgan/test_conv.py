import pytest
import torch
import torch.nn.functional as F
from torch import nn

import ganaug.gans.dcgan.conv
from ganaug.gans.dcgan.conv import Double, Halve, convolve
from tests.gan_contract import trainer
from tests.gans.dcgan.test_model import Squares, make


@pytest.fixture(autouse=True)
def _everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(ganaug.gans.dcgan.conv, "MATMUL_FROM", 0)


@pytest.mark.parametrize("k", [4, 5])
@pytest.mark.parametrize("side", [8, 16])
def test_equals_the_library(k: int, side: int) -> None:
    large, small = torch.randn(2, 3, side, side), torch.randn(2, 5, side // 2, side // 2)
    weight, padding = torch.randn(5, 3, k, k), (k - 1) // 2
    for function, library, x in (
        (Halve, lambda x, w: F.conv2d(x, w, None, 2, padding), large),
        (Double, lambda x, w: F.conv_transpose2d(x, w, None, 2, padding, k % 2), small),
    ):
        ours, theirs = [(x.clone().requires_grad_(), weight.clone().requires_grad_()) for _ in range(2)]
        out, expected = function.apply(*ours), library(*theirs)
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)
        towards = torch.randn_like(out)
        for mine, known in zip(
            torch.autograd.grad(out, ours, towards), torch.autograd.grad(expected, theirs, towards), strict=True
        ):
            torch.testing.assert_close(mine, known, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("k", [4, 5])
def test_differentiable_twice(k: int) -> None:
    """For R1 and WGAN-GP."""
    weight = torch.randn(2, 2, k, k, dtype=torch.float64, requires_grad=True)
    large = torch.randn(1, 2, 8, 8, dtype=torch.float64, requires_grad=True)
    small = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    for function, x in ((Halve.apply, large), (Double.apply, small)):
        assert torch.autograd.gradcheck(function, (x, weight), fast_mode=True)
        assert torch.autograd.gradgradcheck(function, (x, weight), fast_mode=True)


def test_layers_under_autocast() -> None:
    for layer, x in (
        (nn.Conv2d(3, 4, 4, 2, 1), torch.randn(2, 3, 8, 8)),
        (nn.ConvTranspose2d(3, 4, 5, 2, 2, 1), torch.randn(2, 3, 4, 4)),
    ):
        with torch.autocast("cpu", torch.bfloat16):
            out = convolve(layer, x)
        assert out.dtype == torch.bfloat16
        torch.testing.assert_close(out.float(), layer(x), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("options", [{}, {"preset": "paper"}, {"r1": 1.0, "r1_every": 1}])
def test_a_network_trains_as_it_does_without(options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same first step, up to the rounding of bf16: weights move by the learning rate's size at most."""
    models = []
    for threshold in (0, 2**40):
        monkeypatch.setattr(ganaug.gans.dcgan.conv, "MATMUL_FROM", threshold)
        data = Squares(size=16)
        models.append(make(data, **{"width": 8, **options}))
        trainer(1, precision="bf16-mixed").fit(models[-1], data)
    moved = same = 0
    start = make(data, **{"width": 8, **options})
    for a, b, before in zip(*(m.parameters() for m in (*models, start)), strict=True):
        step_a, step_b = (a - before).flatten(), (b - before).flatten()
        moved += (step_a * step_a).sum().item()
        same += (step_a * step_b).sum().item()
    assert moved > 0
    assert same / moved > 0.9
