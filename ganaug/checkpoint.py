"""Checkpoint files: written whole or not at all, read as plain values and tensors, with errors of one line."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from datamodules.errors import InputError
from datamodules.manifest import make_folder, replacing

FORMAT = 1  # of the checkpoint; raised when an older file can no longer be read


def serialised(content: Any) -> memoryview:
    """What ``torch.save`` writes; in memory, since straight to a full disk it raises an error that does not say so."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getbuffer()


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint of ours as plain values and tensors on the CPU; nothing in it is executed.

    Raises:
        InputError: no such file, truncated, not a checkpoint, not one of ours, or of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}" + (": that is a folder" if path.is_dir() else ""))
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch names a truncated zip, a pickle with code and an empty file in a dozen ways
        raise InputError(
            f"{path} cannot be read as a checkpoint: truncated, or not one ({type(error).__name__})"
        ) from None
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("ganaug"), dict):
        raise InputError(f"{path} is a checkpoint, but not one that ganaug wrote")
    if checkpoint["ganaug"].get("format") != FORMAT:
        raise InputError(
            f"{path} has checkpoint format {checkpoint['ganaug'].get('format')}, this version reads {FORMAT}:"
            " use the version of ganaug that wrote it"
        )
    return checkpoint


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
