"""The section of benchmark.py that is about how soon the command line answers."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Any

ANSWERS = {"--help": 0, "fitt": 2}  # words after ganaug, and the status that they end with


def seconds(words: list[str], status: int) -> float:
    """Of a process of Python's, from its start to its end."""
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, *words], capture_output=True)
    taken = time.perf_counter() - begun
    assert done.returncode == status, done.stderr
    return taken


def section_start(pairs: int) -> list[dict[str, Any]]:
    """Help, and a wrong subcommand, to ``import torch``, which neither needs; in turns."""
    rows = []
    for word, status in ANSWERS.items():
        turns = [
            (seconds(["-c", "import torch"], 0), seconds(["-m", "ganaug.cli", word], status)) for _ in range(pairs)
        ]
        torch, ours = (statistics.median(column) for column in zip(*turns, strict=True))
        rows.append(
            {
                "": f"ganaug {word}",
                "import torch [s]": torch,
                "answer [s]": ours,
                "answer to import": statistics.median(b / a for a, b in turns),
            }
        )
    return rows
