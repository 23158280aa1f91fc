"""Random numbers that are a function of a key, so that nothing that happens between two draws can change them."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from datamodules.errors import InputError
from datamodules.options import Positive, check


def stream_seed(*key: int | str) -> int:
    """A 63-bit seed from a key such as (seed, rank, step): the same everywhere, unrelated for different keys."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "big") >> 1


def draw_rows(indices: Tensor, seed: int, shape: tuple[int, ...], uniform: bool = False) -> Tensor:
    """Random float32 rows (B, …) of the given shape on the CPU, row i from (seed, indices[i]) alone.

    Philox is a function of a counter under a key (Salmon et al. 2011), so a row costs the same wherever it stands.

    Args:
        indices: (B,) int64, at least 0.
        seed: at least 0.
        uniform: on [0, 1) instead of standard normal.

    Raises:
        InputError: a number below 0.
    """
    if seed < 0 or (len(indices) and int(indices.min()) < 0):
        raise InputError("latents: neither the seed nor an index may be below 0")
    out = np.empty((len(indices), *shape), dtype=np.float32)
    philox = np.random.Philox(key=np.array([seed, 0], dtype=np.uint64))
    generator, start = np.random.Generator(philox), philox.state
    draw = generator.random if uniform else generator.standard_normal
    for row, index in zip(out, indices.tolist(), strict=True):
        start["state"]["key"][1] = index  # five times as fast as a new generator for each row
        philox.state = start
        draw(dtype=np.float32, out=row)
    return torch.from_numpy(out)


def truncated(normal: Tensor, limit: float) -> Tensor:
    """Standard normal numbers squeezed into [-limit, limit], as those of a truncated normal.

    By quantiles instead of redrawing, so that each stays a function of its own number.

    Raises:
        InputError: the limit is not above 0.
    """
    check("truncation", limit, Positive)
    tail = torch.special.ndtr(torch.tensor(-limit, dtype=torch.float64))
    quantile = tail + (1 - 2 * tail) * torch.special.ndtr(normal.double().cpu())
    squeezed: Tensor = torch.special.ndtri(quantile).to(normal)
    return squeezed
