"""A GRU layer, or several of one size side by side, that trains on a CPU in half or a third of the library's time.

There small layers are bound by the number of their operations and by what autograd keeps of each. Here the backward
pass is written out, and all that does not wait for another step is one operation over all steps: the input's share of
the gates, the factors of the gradient, the gradients of the weights. What is left of a step is five operations forwards
and three backwards. Inside, tensors are (T, R, H, B), so that gates lie in blocks however narrow the layer is.
Layers in waves, layer l at step w − l so that all share their operations, were tried: a third as many operations, no
faster on 2 cores, since matrix products and σ are what is left. On a GPU cuDNN's layers are used.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


def gru(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
) -> Tensor:
    """All states of R independent one-layer GRUs of the same size, each on its own batch, from 0 on.

    Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder" (arXiv 1406.1078), section 2.3, in the
    form and with the parameters of ``torch.nn.GRU``: gates in the order reset, update, new; the reset gate after the
    matrix product. Everything has a first gradient. Computed in the type of the weights, under autocast too.

    A step sees those before it alone. So what lies beyond a series' end changes nothing before it, but must be finite.

    Args:
        x: (R, B, T, I), T ≥ 1.
        weight_ih: (R, 3H, I).
        weight_hh: (R, 3H, H).
        bias_ih: (R, 3H).
        bias_hh: (R, 3H).

    Returns:
        (R, B, T, H), a view of (T, R, H, B), which costs the next layer nothing to read.

    Raises:
        RuntimeError: in the backward pass, where a gradient of the gradient is asked for (``create_graph=True``).
    """
    return cast(Tensor, _GRU.apply(x.to(weight_hh.dtype), weight_ih, weight_hh, bias_ih, bias_hh))


class _GRU(torch.autograd.Function):
    """With gates r, z and n: n = tanh(a + r m), h' = n + z (h − n), where a is the input's share and m the state's.

    As tanh(v) = 2 σ(2v) − 1, and σ is several times as fast on a CPU, the loop runs on s = (n + 1) / 2 = σ(2a + r 2m)
    and g = (h + 1) / 2, with g' = s + z (g − s). The weights absorb the rest.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor) -> Tensor:
        """See :func:`gru`."""
        with torch.autocast(x.device.type, enabled=False):
            (repeats, batch, steps, _), hidden = x.shape, weight_hh.shape[2]
            old, new = slice(0, 2 * hidden), slice(2 * hidden, None)
            twice = weight_hh.new_ones(3 * hidden, 1)
            twice[new] = 2
            by_input, by_state = twice * weight_ih, 2 * twice * weight_hh
            bias = twice * bias_ih[..., None]  # (R, 3H, 1)
            offset = twice * (bias_hh - weight_hh.sum(2))[..., None]
            bias[:, old] += offset[:, old]
            inputs = x.permute(2, 0, 3, 1).reshape(steps * repeats, -1, batch)  # (T · R, I, B)
            gates = torch.baddbmm(bias.repeat(steps, 1, 1), by_input.repeat(steps, 1, 1), inputs)
            gates = gates.view(steps, repeats, 3 * hidden, batch)  # r, z and first a, then m
            s = gates[:, :, new].clone()
            gates[:, :, new] = offset[:, new]
            states = gates.new_empty(steps + 1, repeats, hidden, batch)
            states[0] = 0.5
            blocks = (gates, gates[:, :, old], *gates.chunk(3, 2), s)
            g, *following = states.unbind()
            for every, r_z, r, z, m, new_, out in zip(*(block.unbind() for block in blocks), following, strict=True):
                every.baddbmm_(by_state, g)
                r_z.sigmoid_()
                new_.addcmul_(r, m).sigmoid_()
                g = torch.lerp(new_, g, z, out=out)
            ctx.save_for_backward(inputs, by_input, by_state, twice, gates, s, states)
            return torch.add(states.new_tensor(-1), states[1:], alpha=2).permute(1, 3, 0, 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """A gate's gradient is that of the state it makes, times a factor that is known of all steps beforehand."""
        if torch.is_grad_enabled():
            raise RuntimeError("gru has no second gradient: no create_graph=True")
        inputs, by_input, by_state, twice, gates, s, states = ctx.saved_tensors
        needs = ctx.needs_input_grad
        with torch.autocast(grad.device.type, enabled=False):
            steps, repeats, hidden, batch = s.shape
            r, z, m = gates.chunk(3, 2)
            factors, of_gates = torch.empty_like(gates), torch.empty_like(gates)
            by_r, by_z, by_m = factors.chunk(3, 2)
            by_s = torch.addcmul(s, s, s, value=-1)
            by_s.addcmul_(by_s, z, value=-1)  # s (1 − s) (1 − z)
            torch.mul(by_s, r, out=by_m)
            torch.mul(by_m, m, out=by_r).addcmul_(by_r, r, value=-1)
            torch.sub(states[:-1], s, out=by_z).mul_(z).addcmul_(by_z, z, value=-1)
            # Of each g what the caller gave, to which the loop adds what comes from the step after.
            of_states = torch.empty_like(states)
            of_states[0] = 0
            torch.mul(grad.permute(2, 0, 3, 1), 2, out=of_states[1:])
            back = by_state.mT
            blocks = (part.view(steps, repeats, 3, hidden, batch) for part in (factors, of_gates))
            rows = zip(*blocks, of_gates, z, of_states[:-1], of_states[1:], strict=True)
            for factor, product, all_, keep, before, after in reversed(list(rows)):
                torch.mul(factor, after[:, None], out=product)
                before.addcmul_(after, keep).baddbmm_(back, all_)
            weight_ih = weight_hh = bias_ih = bias_hh = of_x = None
            if needs[2] or needs[4]:
                bias = of_gates.sum((0, 3))[..., None]
                bias_hh = (twice * bias)[..., 0]
                weight_hh = _by_weight(of_gates, states[:-1]).mul_(2).sub_(bias).mul_(twice)
            torch.mul(by_s, of_states[1:], out=of_gates[:, :, 2 * hidden :])  # a is added without the reset gate
            if needs[1] or needs[3]:
                bias_ih = twice[:, 0] * of_gates.sum((0, 3))
                weight_ih = _by_weight(of_gates, inputs.view(steps, repeats, -1, batch)).mul_(twice)
            if needs[0]:
                of_x = torch.bmm(by_input.mT.repeat(steps, 1, 1), of_gates.flatten(0, 1))
                of_x = of_x.view(steps, repeats, -1, batch).permute(1, 3, 0, 2)
            return of_x, weight_ih, weight_hh, bias_ih, bias_hh


def _by_weight(a: Tensor, b: Tensor) -> Tensor:
    """Σ over T and B of a (T, R, J, B) times b (T, R, K, B): (R, J, K)."""
    return torch.bmm(a.flatten(0, 1), b.flatten(0, 1).mT).view(*a.shape[:3], -1).sum(0)
