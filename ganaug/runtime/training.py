"""A Trainer that only computes."""

from __future__ import annotations

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
