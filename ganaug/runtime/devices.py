"""The device that an accelerator means: its generator, and what there is room for on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from datamodules.errors import InputError
from datamodules.schema import Batch

Accelerator = Literal["auto", "cpu", "gpu", "cuda", "mps"]
SHARE = 8  # rows may fill one part in so many of a GPU's free memory


def device_of(accelerator: str) -> torch.device:
    """The device that ``auto``, ``cpu``, ``cuda``, ``mps``, or ``gpu`` for what there is of the two, means here.

    Raises:
        InputError: there is none such.
    """
    if accelerator == "cpu":
        return torch.device("cpu")
    found = torch.accelerator.current_accelerator(check_available=True)
    if found is None and accelerator == "auto":
        return torch.device("cpu")
    if found is None or accelerator not in ("auto", "gpu", found.type):
        raise InputError(f"accelerator {accelerator!r} is not to be had here: use 'auto' or 'cpu'")
    return found


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies in bfloat16, which else takes many times as long as float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))  # the last is ARM's


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Torch's global generators of the CPU and of an NVIDIA GPU begin at the seed, and are put back at the end.

    Those of other GPUs are left alone, which ``torch.manual_seed`` and a plain ``fork_rng`` do not.
    """
    device = torch.device(device)
    gpu = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(gpu):
        torch.default_generator.manual_seed(seed)
        for one in gpu:
            with torch.cuda.device(one):
                torch.cuda.manual_seed(seed)
        yield


def placed(rows: Batch, device: torch.device) -> Batch:
    """Rows to take batches from: on an NVIDIA GPU where they fit well into its free memory, else where they were."""
    if (
        device.type != "cuda"
        or sum(field.nbytes for field in rows.values()) * SHARE > torch.cuda.mem_get_info(device)[0]
    ):
        return rows
    return {name: field.to(device) for name, field in rows.items()}
