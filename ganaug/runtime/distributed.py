"""What several processes tell one another: gradients' means, and buffers as the first process has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

PIECE = 2**23  # numbers that travel together, 32 MB of float32: few messages, and little memory beside the gradients


def average(parameters: Iterable[nn.Parameter]) -> None:
    """Put the mean over all processes in the place of each gradient.

    A parameter without a gradient is left out, and must be without one in every process.
    """
    for piece in _pieces(p.grad for p in parameters if p.grad is not None):
        flat = torch.cat([gradient.flatten() for gradient in piece])
        dist.all_reduce(flat)
        parts = torch.split(flat.div_(dist.get_world_size()), [gradient.numel() for gradient in piece])
        for gradient, part in zip(piece, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


def _pieces(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """The gradients in order, together until they pass ``PIECE`` numbers."""
    piece: list[Tensor] = []
    for gradient in gradients:
        piece.append(gradient)
        if sum(part.numel() for part in piece) >= PIECE:
            yield piece
            piece = []
    if piece:
        yield piece


def broadcast_buffers(module: nn.Module) -> None:
    """Give every process the buffers of the first: running statistics follow the rows that a process has seen."""
    for buffer in module.buffers():
        dist.broadcast(buffer, src=0)


class Question:
    """A whole number of every process, of which all are told the largest, one call later.

    So that nobody waits: the messages travel while the next batch is worked on, and between CPUs, so that no GPU has to
    be asked for a number. All processes must make it, and ask it, together.
    """

    def __init__(self) -> None:
        self._group = cast(dist.ProcessGroup, dist.new_group(backend="gloo"))
        self._number = torch.zeros(1, dtype=torch.long)
        self._work: dist.Work | None = None

    def largest(self, number: int) -> int:
        """The largest number that a process gave the last time; 0 the first time.

        Args:
            number: of this process, at least 0.
        """
        before = 0
        if self._work is not None:
            self._work.wait()
            before = int(self._number)
        self._number.fill_(number)
        self._work = dist.all_reduce(self._number, dist.ReduceOp.MAX, group=self._group, async_op=True)
        return before
