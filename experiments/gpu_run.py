"""What every section of gpu_check.py is told, and rows that say how they went."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

CUDA = torch.cuda.is_available()
THREADS = 1  # beside a GPU one is enough, and on a CPU two sections run side by side
NO_GPU = "not run: needs a GPU"
HERE = Path(__file__).parent
Row = dict[str, Any]


@dataclass
class Run:
    """What a section is told.

    Args:
        out: folder for its files.
        data: folder with data sets.
        tiny: whether the smallest sizes will do.
        end: on the monotonic clock, when it is killed.
    """

    out: Path
    data: Path | None
    tiny: bool
    end: float

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()


def attempt(row: Row, work: Callable[[], Row]) -> Row:
    """The row with what the work gives, or with why it failed, so that the rows after it still come."""
    begun = time.monotonic()
    try:
        row = row | work()
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        row = row | {"status": f"failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    return row | {"seconds": round(time.monotonic() - begun, 1)}
