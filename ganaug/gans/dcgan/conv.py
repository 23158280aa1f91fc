"""Convolutions that halve or double the side, by matrix products where those are faster than the library's own."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# In bf16 on a CPU the innermost layers of a wide network are bound by reading their weights: oneDNN sums the gradient
# picture by picture, 16 or 64 terms at a time. One matrix product over the whole batch reads them once and is up to
# four times as fast. From this many weights on; below, it costs more than it saves.
MATMUL_FROM = 2**20


def windows(x: Tensor, kernel_size: int) -> Tensor:
    """What a convolution of stride 2 that halves the side sees: x (B, C, H, W) to (B * H/2 * W/2, kernel_size² * C)."""
    x = F.pad(x, [(kernel_size - 1) // 2] * 4)
    x = x.unfold(2, kernel_size, 2).unfold(3, kernel_size, 2)  # (B, C, H/2, W/2, k, k)
    return x.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(0, 2)


def rows(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, H * W * C); nothing is copied where x is channels_last."""
    return x.permute(0, 2, 3, 1).flatten(1)


class Halve(torch.autograd.Function):
    """``conv2d(x, weight, stride=2)`` with matrix products where they beat oneDNN: not in the gradient by x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """x (B, C, H, W), weight (D, C, k, k) to (B, D, H/2, W/2)."""
        ctx.save_for_backward(x, weight)
        k = weight.shape[-1]
        if x.shape[-1] > 8:
            return F.conv2d(x, weight, None, 2, (k - 1) // 2)
        out = windows(x, k) @ rows(weight).T
        return out.view(len(x), x.shape[2] // 2, x.shape[3] // 2, -1).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """In operations that can themselves be differentiated, for R1 and WGAN-GP."""
        x, weight = ctx.saved_tensors
        by_x = Double.apply(grad, weight) if ctx.needs_input_grad[0] else None
        return by_x, weight_gradient(grad, x, weight) if ctx.needs_input_grad[1] else None


class Double(torch.autograd.Function):
    """``conv_transpose2d(x, weight, stride=2)``, the adjoint of :class:`Halve`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """x (B, D, H, W), weight (D, C, k, k) to (B, C, 2H, 2W)."""
        ctx.save_for_backward(x, weight)
        k = weight.shape[-1]
        return F.conv_transpose2d(x, weight, None, 2, (k - 1) // 2, k % 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """See :class:`Halve`."""
        x, weight = ctx.saved_tensors
        by_x = Halve.apply(grad, weight) if ctx.needs_input_grad[0] else None
        return by_x, weight_gradient(x, grad, weight) if ctx.needs_input_grad[1] else None


def weight_gradient(small: Tensor, large: Tensor, weight: Tensor) -> Tensor:
    """Gradient (D, C, k, k) of both, from what lies on the small side (B, D, H, W) and the large (B, C, 2H, 2W)."""
    d, c, k, _ = weight.shape
    product = small.permute(0, 2, 3, 1).flatten(0, 2).T @ windows(large, k)  # (D, k * k * C)
    return product.view(d, k, k, c).permute(0, 3, 1, 2)


def convolve(layer: nn.Module, x: Tensor) -> Tensor:
    """``layer(x)``, a convolution up or down, by matrix products where those are faster."""
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    up = isinstance(layer, nn.ConvTranspose2d)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    fast = (
        x.device.type == "cpu"
        and dtype == torch.bfloat16  # in float32 oneDNN is as fast
        and x.shape[-1] <= (8 if up else 16)
        and layer.in_channels * layer.out_channels * layer.kernel_size[0] ** 2 >= MATMUL_FROM
        and not torch.compiler.is_compiling()
    )
    if not fast:
        return cast(Tensor, layer(x))
    out = cast(Tensor, (Double if up else Halve).apply(x.to(dtype), layer.weight.to(dtype)))
    return out if layer.bias is None else out + layer.bias.to(dtype)[:, None, None]
