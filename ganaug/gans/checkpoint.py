"""Checkpoint files: written whole or not at all; read, checked and put into a model as plain values and tensors."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from packaging.version import InvalidVersion, Version
from torch import Tensor, nn

from datamodules.errors import InputError
from datamodules.files.manifest import make_folder, replacing

FORMAT = 1  # of the checkpoint; raised when an older file can no longer be read
PARTS: dict[str, type] = {  # of a checkpoint, where it has them
    "state_dict": dict,
    "hyper_parameters": dict,
    "global_step": int,
    "epoch": int,
    "loops": dict,
    "callbacks": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
}


class Unfit(Exception):
    """What is wrong with a checkpoint, in a few words."""


# ---- writing ----


def serialised(content: Any) -> memoryview:
    """What ``torch.save`` writes; in memory, since straight to a full disk it raises an error that does not say so."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getbuffer()


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints appear under their name whole or not at all, and are read with one-line errors.

    Lightning's own writes to the machine's temporary folder and moves; across file systems a move is a copy, which a
    full disk or a kill leaves half done. Here the temporary file lies beside its target.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write, flush to the disk, rename."""
        if "://" in str(path):  # object storage has no half-written objects
            return super().save_checkpoint(checkpoint, path, storage_options)
        make_folder(Path(path).parent)
        with replacing(Path(path)) as file:
            file.write(serialised(checkpoint))
            file.flush()
            os.fsync(file.fileno())

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        """See :func:`read_checkpoint`."""
        return read_checkpoint(path)


# ---- reading ----


def trained_on(checkpoint: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a checkpoint says of its data, seed and rows, by the name of their class."""
    own = {name: part for name, part in checkpoint.items() if name not in PARTS and isinstance(part, dict)}
    return {name: part for name, part in own.items() if {"seed", "rows"} <= part.keys()}


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint of ours as plain values and tensors on the CPU; nothing in it is executed.

    The checksums in the file are compared first, which torch does not do: of 1.25 GB (DCGAN's preset paper at 128
    pixels with its optimisers) that takes 1.5 s on one core, and ``torch.load`` another 1.6 s.

    Raises:
        InputError: no such file, damaged, not a checkpoint, not one of ours, or of another format.
    """
    path = Path(path)
    if not path.is_file():
        inside = sorted(path.glob("**/checkpoints/last.ckpt"), key=lambda p: p.stat().st_mtime) if path.is_dir() else []
        newest = f", of whose runs the last wrote {inside[-1]}" if inside else ""
        raise InputError(f"no checkpoint at {path}" + (f": that is a folder{newest}" if path.is_dir() else ""))
    try:
        with zipfile.ZipFile(path) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise Unfit("it is compressed")
            if archive.testzip() is not None:
                raise Unfit("a checksum is wrong")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch names a truncated zip, a pickle with code and an empty file in a dozen ways
        reason = str(error) if isinstance(error, Unfit) else type(error).__name__
        raise InputError(f"{path} cannot be read as a checkpoint: truncated, damaged, or not one ({reason})") from None
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("ganaug"), dict):
        raise InputError(f"{path} is a checkpoint, but not one that ganaug wrote")
    if checkpoint["ganaug"].get("format") != FORMAT:
        raise InputError(
            f"{path} has checkpoint format {checkpoint['ganaug'].get('format')!r:.40}, this version reads {FORMAT}:"
            " use the version of ganaug that wrote it"
        )
    try:
        _check_parts(checkpoint)
    except Unfit as error:
        raise InputError(f"{path} is a checkpoint that cannot be used: {error}") from None
    return checkpoint


def _check_parts(checkpoint: dict[str, Any]) -> None:
    """Refuse parts that are missing or of another type, and weights that are no numbers."""
    ours = checkpoint["ganaug"]
    if not isinstance(ours.get("model"), str) or not isinstance(ours.get("schema"), dict):
        raise Unfit("it does not say of what class and data it is")
    if "state_dict" not in checkpoint:
        raise Unfit("it has no weights")
    checkpoint.setdefault("hyper_parameters", {})  # of a class that has none
    for name, kind in PARTS.items():
        if name in checkpoint and (not isinstance(checkpoint[name], kind) or isinstance(checkpoint[name], bool)):
            raise Unfit(f"its {name} is a {type(checkpoint[name]).__name__}")
    if checkpoint.get("global_step", 0) < 0:
        raise Unfit(f"its global_step is {checkpoint['global_step']}")
    if not all(isinstance(name, str) for name in checkpoint["hyper_parameters"]):
        raise Unfit("its options have no names")
    for part in (checkpoint["hyper_parameters"], ours["schema"], ours.get("arguments", {})):
        if not isinstance(part, dict) or not plain(part):
            raise Unfit("its options or its schema are no plain values by name")
    unsaved, reasons = ours.get("unsaved", []), ours.get("reasons", {})
    if not isinstance(unsaved, list) or not isinstance(reasons, dict) or not all(isinstance(n, str) for n in unsaved):
        raise Unfit("it does not say which of its options it could not hold")
    try:
        Version(checkpoint.get("pytorch-lightning_version", "0"))
    except (InvalidVersion, TypeError):
        raise Unfit("it does not say which version of Lightning wrote it") from None
    for part, weights in (("state_dict", checkpoint["state_dict"]), ("gradients", ours.setdefault("gradients", {}))):
        if not isinstance(weights, dict):
            raise Unfit(f"its {part} is a {type(weights).__name__}")
        for name, weight in weights.items():
            if not isinstance(name, str) or not isinstance(weight, Tensor) or weight.layout != torch.strided:
                raise Unfit(f"{name!r:.80} in its {part} is no array of numbers")
            if not bool(torch.isfinite(weight).all()):
                raise Unfit(f"{name} in its {part} holds NaN or infinity")


def plain(value: Any) -> bool:
    """Whether a value is text, a number, true, false, null, or a list or mapping of such."""
    if isinstance(value, dict):
        return all(isinstance(key, str | int) and plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(plain, value))
    return value is None or isinstance(value, str | int | float)


# ---- into a model ----


def match(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a checkpoint as those of a model lie in memory.

    Args:
        weights: of the checkpoint.
        own: of the model; their values do not count, so they may lie on the meta device.

    Raises:
        Unfit: a weight is missing or unknown, or of another shape or type than the model's.
    """
    for name in (*own, *weights):
        if name not in weights or name not in own:
            raise Unfit(f"{name} is {'missing' if name not in weights else 'unknown'}")
    laid: dict[str, Tensor] = {}
    for name, like in own.items():
        weight = weights[name]
        if weight.shape != like.shape:
            raise Unfit(f"{name} is {tuple(weight.shape)} and should be {tuple(like.shape)}")
        finer = like.is_floating_point() and weight.is_floating_point() and weight.element_size() < like.element_size()
        if weight.dtype != like.dtype and not finer:
            raise Unfit(f"{name} is of {weight.dtype} and should be of {like.dtype}")
        if weight.dtype != like.dtype or weight.stride() != like.stride():
            weight = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype).copy_(weight)
        laid[name] = weight
    return laid


def fill(model: nn.Module, weights: Mapping[str, Tensor]) -> bool:
    """Give a model that was built on the meta device its weights; False where it needs more than them.

    Some need to be built in earnest: those with tensors that no checkpoint holds, or that are in two places at once.

    Raises:
        Unfit: see :func:`match`.
    """
    model.load_state_dict(match(weights, model.state_dict()), assign=True)
    tensors = [*model.parameters(), *model.buffers()]
    names = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    return len(names) == len(tensors) and not any(tensor.is_meta for tensor in tensors)
