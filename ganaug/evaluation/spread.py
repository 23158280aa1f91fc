"""How far the samples of a class are apart: whether a generator has collapsed within classes."""

from __future__ import annotations

from typing import Any

import torch

from datamodules.rows import some_rows
from datamodules.schema import Batch, Schema
from ganaug.evaluation.membership import plain_features
from ganaug.metrics.distance import MOST_ROWS, distance_within

CLOSE = 0.5  # of what training rows are apart: samples that are closer are pointed out


def class_spread(
    schema: Schema, *, train: Batch, test: Batch, synthetic: Batch, labelled: bool, seed: int = 0
) -> dict[str, Any]:
    """Mean distance between two samples of a class, over that between two training rows of it.

    Class fidelity, CAS and precision are high where all samples of a class are one and the same. Odena et al. 2017,
    "Conditional Image Synthesis with Auxiliary Classifier GANs", section 4.2, ask so of pictures, by their structural
    similarity; here distances are Euclidean, in :func:`~ganaug.evaluation.membership.plain_features`, so that one
    score does for all kinds of data. What is no more than noise counts as a difference, too: read it beside precision.

    Args:
        schema: of the rows.
        train, test, synthetic: rows as they are stored.
        labelled: whether samples have classes; else all rows are taken for one class.
        seed: of the choice of rows, where there are more than 10,000 of a part.

    Returns:
        ``to_train`` and ``floor``, of samples and of test rows the mean over classes, near 1 where they are as far
        apart as training rows; ``by_class``, that of samples by the name of the class; ``rows``, how many samples.
        Nothing where no class has two training rows that differ, two test rows and two samples.
    """
    parts = [some_rows(rows, MOST_ROWS, seed) for rows in (train, test, synthetic)]
    real, unseen, made = (
        distance_within(features, rows["y"] if labelled else torch.zeros_like(rows["y"]))
        for features, rows in zip(plain_features(schema, *parts), parts, strict=True)
    )
    compared = [c for c, distance in real.items() if distance > 0 and c in unseen and c in made]
    if not compared:
        return {}
    names = schema.classes if labelled and schema.classes else ("all",)
    ratios = {names[c]: made[c] / real[c] for c in compared}
    return {
        "to_train": sum(ratios.values()) / len(ratios),
        "floor": sum(unseen[c] / real[c] for c in compared) / len(compared),
        "by_class": ratios,
        "rows": len(parts[2]["y"]),
    }


def spread_lines(found: dict[str, Any]) -> list[str]:
    """Lines of ``evaluate``'s table: the score, and a sentence where samples of a class are alike."""
    if not found:
        return []
    line = f"{'class spread':24}{found['to_train']:>10.4f}{found['floor']:>10.4f}"
    return [line, *([said] if (said := alike(found["by_class"])) else [])]


def alike(by_class: dict[str, float]) -> str | None:
    """One sentence on the classes whose samples are alike, the most alike first; None where there are none."""
    close = sorted((ratio, name) for name, ratio in by_class.items() if ratio < CLOSE)
    if not close:
        return None
    said = ", ".join(f"{name} {ratio:.2f}" for ratio, name in close[:5])
    more = f" and {len(close) - 5} more" if len(close) > 5 else ""
    return (
        f"Samples of a class are alike, less than half as far apart as training rows: {said}{more} (1 is as far)."
        " Where the model has an option augment, D can see its rows changed by it; more rows help, too."
    )
