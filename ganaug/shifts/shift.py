"""``Shift``: what happens to rows between the laboratory and life, mild to strong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from datamodules.schema import Batch
from ganaug.runtime.devices import seeded


@dataclass(frozen=True)
class Shift:
    """A corruption of rows that leaves their labels right.

    As in the benchmark of Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions
    and Perturbations", arXiv 1903.12261, scores are averages over strengths, and nothing is trained on such rows.

    Args:
        change: rows as they are stored, their schema and a strength, to such rows in the same order, all fields of the
            same shape. It draws from torch's global generator on the CPU.
        strengths: mild to strong.
    """

    change: Callable[[Batch, Any, float], Batch]
    strengths: tuple[float, ...]

    def __call__(self, rows: Batch, schema: Any, seed: int) -> Batch:
        """N rows as they are stored, each at one of the strengths, at each as many, by the seed alone."""
        made = {name: field.clone() for name, field in rows.items()}
        with seeded(seed):
            level = torch.randperm(len(rows["y"])) % len(self.strengths)
            for number, strength in enumerate(self.strengths):
                index = (level == number).nonzero()[:, 0]
                if len(index):
                    changed = self.change({name: field[index] for name, field in rows.items()}, schema, strength)
                    for name, field in made.items():
                        field[index] = changed[name]
        return made
