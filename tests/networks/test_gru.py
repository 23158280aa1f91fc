"""The GRU against torch's own, one network for each repeat, and its gradients against finite differences."""

import pytest
import torch
from torch import Tensor, nn

from ganaug.networks.gru import gru

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def networks(repeats: int, inputs: int, hidden: int, dtype: torch.dtype) -> tuple[list[nn.GRU], list[Tensor]]:
    """Torch's networks, and their parameters side by side."""
    torch.manual_seed(0)
    known = [nn.GRU(inputs, hidden, batch_first=True, dtype=dtype) for _ in range(repeats)]
    side_by_side = [torch.stack([getattr(net, f"{name}_l0").detach() for net in known]) for name in NAMES]
    return known, [p.requires_grad_() for p in side_by_side]


@pytest.mark.parametrize(
    ("repeats", "batch", "steps", "inputs", "hidden"),
    [(1, 5, 7, 3, 4), (3, 6, 5, 2, 3), (2, 1, 1, 1, 1), (1, 9, 4, 6, 1)],
)
def test_states_and_gradients_are_those_of_torch(repeats, batch, steps, inputs, hidden):
    known, parameters = networks(repeats, inputs, hidden, torch.float64)
    x = torch.randn(repeats, batch, steps, inputs, dtype=torch.float64, requires_grad=True)
    out = gru(x, *parameters)
    assert out.shape == (repeats, batch, steps, hidden)
    towards = torch.randn_like(out)
    gradients = torch.autograd.grad(out, [x, *parameters], towards)
    for r, net in enumerate(known):
        own = x[r].detach().requires_grad_()
        expected, _ = net(own)
        torch.testing.assert_close(out[r], expected)
        known_gradients = torch.autograd.grad(expected, [own, *net.parameters()], towards[r])
        for mine, theirs in zip(gradients, known_gradients, strict=True):
            torch.testing.assert_close(mine[r], theirs.view_as(mine[r]))


@pytest.mark.parametrize("repeats", [1, 2])
def test_gradients_are_those_of_finite_differences(repeats):
    _, parameters = networks(repeats, 2, 3, torch.float64)
    x = torch.randn(repeats, 3, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gru, (x, *parameters))


def test_layers_stack():
    torch.manual_seed(0)
    net = nn.GRU(5, 8, 3, batch_first=True)
    x = torch.randn(1, 7, 6, 5)
    ours, theirs = x.clone().requires_grad_(), x[0].clone().requires_grad_()
    out = ours
    for layer in range(3):
        out = gru(out, *(getattr(net, f"{name}_l{layer}")[None] for name in NAMES))
    expected, _ = net(theirs)
    torch.testing.assert_close(out[0], expected, rtol=1e-5, atol=1e-6)
    towards = torch.randn_like(expected)
    known = torch.autograd.grad(expected, [theirs, *net.parameters()], towards)
    mine = torch.autograd.grad(out[0], [ours, *net.parameters()], towards)
    for a, b in zip(mine, known, strict=True):
        torch.testing.assert_close(a.view_as(b), b, rtol=1e-4, atol=1e-5)


def test_repeats_know_nothing_of_each_other():
    _, parameters = networks(3, 4, 5, torch.float32)
    x = torch.randn(3, 8, 6, 4)
    gradients = torch.autograd.grad(gru(x, *parameters).square().sum(), parameters)
    for r in range(3):
        alone = [p[r : r + 1].detach().requires_grad_() for p in parameters]
        for mine, own in zip(
            gradients, torch.autograd.grad(gru(x[r : r + 1], *alone).square().sum(), alone), strict=True
        ):
            torch.testing.assert_close(mine[r : r + 1], own)
    (by_first,) = torch.autograd.grad(gru(x, *parameters)[0].sum(), parameters[:1])
    assert by_first[0].abs().min() > 0
    assert not by_first[1:].any()


def test_steps_to_come_change_nothing():
    _, parameters = networks(2, 3, 4, torch.float32)
    x = torch.randn(2, 5, 9, 3)
    changed = x.clone()
    changed[:, :, 6:] = 1e6
    assert torch.equal(gru(x, *parameters)[:, :, :6], gru(changed, *parameters)[:, :, :6])
    first, second = (torch.autograd.grad(gru(v, *parameters)[:, :, :6].sum(), parameters) for v in (x, changed))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)


def test_any_size_of_input_stays_finite_and_in_range():
    _, parameters = networks(1, 3, 4, torch.float32)
    x = (1e6 * torch.randn(1, 5, 9, 3)).requires_grad_()
    out = gru(x, *parameters)
    assert out.abs().max() <= 1
    assert all(g.isfinite().all() for g in torch.autograd.grad(out.sum(), [x, *parameters]))


@pytest.mark.parametrize("wanted", range(5))
def test_any_one_gradient_alone(wanted):
    _, parameters = networks(2, 3, 4, torch.float32)
    everything = [torch.randn(2, 5, 6, 3), *(p.detach() for p in parameters)]
    leaves = [v.clone().requires_grad_() for v in everything]
    all_ = torch.autograd.grad(gru(*leaves).sum(), leaves)
    everything[wanted].requires_grad_()
    (alone,) = torch.autograd.grad(gru(*everything).sum(), everything[wanted])
    assert alone.any()
    assert torch.equal(alone, all_[wanted])


def test_input_laid_out_in_any_way():
    _, parameters = networks(2, 3, 4, torch.float32)
    x = torch.randn(2, 5, 6, 3)
    turned = x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0)
    assert not turned.is_contiguous()
    assert torch.equal(gru(turned, *parameters), gru(x, *parameters))
    ones = torch.autograd.grad(gru(x, *parameters).sum(), parameters)  # a gradient without strides of its own
    full = torch.autograd.grad(gru(x, *parameters), parameters, torch.ones(2, 5, 6, 4))
    for a, b in zip(ones, full, strict=True):
        assert torch.equal(a, b)


def test_under_autocast_it_computes_in_the_type_of_its_weights():
    _, parameters = networks(1, 3, 4, torch.float32)
    x = torch.randn(1, 5, 6, 3).bfloat16()
    expected = gru(x.float(), *parameters)
    known = torch.autograd.grad(expected.sum(), parameters)
    with torch.autocast("cpu", torch.bfloat16):
        out = gru(x, *parameters)
        gradients = torch.autograd.grad(out.sum(), parameters)
    assert out.dtype == torch.float32
    assert torch.equal(out, expected)
    for a, b in zip(gradients, known, strict=True):
        assert torch.equal(a, b)


def test_a_second_gradient_is_refused():
    _, parameters = networks(1, 2, 3, torch.float32)
    x = torch.randn(1, 4, 5, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="no second gradient"):
        torch.autograd.grad(gru(x, *parameters).sum(), x, create_graph=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_on_a_gpu():
    _, parameters = networks(2, 3, 4, torch.float64)
    x = torch.randn(2, 5, 6, 3, dtype=torch.float64)
    there = [p.detach().cuda().requires_grad_() for p in parameters]
    torch.testing.assert_close(gru(x.cuda(), *there).cpu(), gru(x, *parameters))
    known = torch.autograd.grad(gru(x, *parameters).sum(), parameters)
    for a, b in zip(torch.autograd.grad(gru(x.cuda(), *there).sum(), there), known, strict=True):
        torch.testing.assert_close(a.cpu(), b)
