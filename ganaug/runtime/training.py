"""A Trainer that only computes, and training without words."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer

from datamodules.errors import InputError, reason_of


def plain_trainer(**options: Any) -> Trainer:
    """A Trainer with these options that logs nothing, keeps nothing and shows nothing, unless they say otherwise.

    Raises:
        InputError: it refuses an option.
    """
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    try:
        return Trainer(**dict.fromkeys(quiet, False) | options)
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise InputError(reason_of(error)) from error


@contextmanager
def without_messages() -> Iterator[None]:
    """Without what Lightning says at the start of every training, and what is said of every subset."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for said in (
                ".*does not have many workers.*",
                ".*LeafSpec.*",
                ".*`srun` command.*",
                "Checkpoint directory .* exists",
                ".* sentences left out.*",
            ):
                warnings.filterwarnings("ignore", said)
            yield
    finally:
        logger.setLevel(level)
