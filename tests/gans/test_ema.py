import pytest
import torch
from torch import nn

from ganaug.gans.ema import EMA


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def test_average_of_parameters_and_copy_of_buffers() -> None:
    live = network()
    ema = EMA(live, decay=0.9)
    start = {name: p.clone() for name, p in live.named_parameters()}
    with torch.no_grad():
        for p in live.parameters():
            p.add_(1)
        live[1].running_mean.fill_(7)
    ema.update(live, step=10_000)
    for name, p in ema.network.named_parameters():
        torch.testing.assert_close(p, start[name] + 0.1)
        assert not p.requires_grad
    assert ema.network[1].running_mean.eq(7).all()


def test_closed_form_over_many_steps() -> None:
    """A constant target is approached as 1 − Π decay."""
    live = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(live.weight)
    ema = EMA(live, decay=0.99)
    nn.init.ones_(live.weight)
    left = 1.0
    for step in range(200):
        ema.update(live, step)
        left *= min(0.99, (1 + step) / (10 + step))
    assert ema.network.weight.item() == pytest.approx(1 - left, abs=1e-5)


def test_no_decay_follows_exactly() -> None:
    live = network()
    ema = EMA(live, decay=0.0)
    nn.init.normal_(live[0].weight)
    ema.update(live, 5)
    assert torch.equal(ema.network[0].weight, live[0].weight)


def test_half_weights_average_in_their_own_precision_and_live_ones_stay() -> None:
    live = network().to(torch.bfloat16)
    ema = EMA(live, 0.5)
    nn.init.normal_(live[0].weight)
    before = [p.clone() for p in live.parameters()]
    ema.update(live, 100)
    assert all(torch.equal(a, b) for a, b in zip(before, live.parameters(), strict=True))
    assert {p.dtype for p in ema.network.parameters()} == {torch.bfloat16}
