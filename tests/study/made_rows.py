"""Rows of studies, made by hand."""

import numpy as np

BASE = [0.80, 0.82, 0.81]
UP, DOWN, SAME = [0.02, 0.021, 0.022], [-0.03, -0.031, -0.032], [0.01, -0.012, 0.001]


def rows(
    arm: str, accuracy, ratio: float = 0.0, per_class: int | None = 20, imbalance: str = "", **fields
) -> list[dict]:
    """A row a seed, of the whole training split; further fields are one for all seeds or a list."""

    def of(value, seed: int):
        return value[seed] if isinstance(value, list | tuple | np.ndarray) else value

    known = {"per_class": per_class, "imbalance": imbalance, "arm": arm, "ratio": ratio, "fold": None, "steps": 1}
    return [
        {"cell": f"n={per_class},{imbalance},seed={s}", **known, "seed": s, "accuracy": a}
        | {name: of(value, s) for name, value in fields.items()}
        for s, a in enumerate(accuracy)
    ]


def folds(arm: str, accuracy, ratio: float = 0.0, **fields) -> list[dict]:
    """A row a seed, of its fold 0."""
    return [row | {"cell": f"{row['cell']},fold=0"} for row in rows(arm, accuracy, ratio, **{"fold": 0} | fields)]


def compared(change, per_class: int | None = 20, ratio: float = 1.0, imbalance: str = "", **fields) -> list[dict]:
    """Classical augmentation, and the same with GAN samples, which change the score by so much in each seed."""
    both = []
    for arm, extra, r in (("classical", [0.0] * len(change), 0.0), ("classical_gan", change, ratio)):
        score = [b + e for b, e in zip(BASE, extra, strict=False)]
        both += rows(arm, score, r, per_class, imbalance, **({"macro_f1": score} if imbalance else {}), **fields)
    return both
