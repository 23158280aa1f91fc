"""Who may see the samples, and who the checkpoint: whether either gives away which rows were trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.feature_extraction.text import HashingVectorizer
from torch import Tensor

from datamodules.rows import Table, chosen, some_rows
from datamodules.schema import Batch, Schema
from ganaug.gans.base import GAN
from ganaug.kind import kind_of
from ganaug.metrics.distance import MOST_ROWS
from ganaug.metrics.membership import LEAST, density_ratio, nearness, told_apart

CONFIDENCE = 0.95  # that the intervals of all attacks hold together
ATTACKS = {  # what an attacker has, and what a sentence calls the attack
    "nearest_sample": ("samples", "the distance to the nearest sample"),
    "density_ratio": ("samples", "the density of samples over that of unseen rows"),
    "discriminator": ("checkpoint", "D's logit"),
}


def membership(
    schema: Schema, *, train: Batch, val: Batch, test: Batch, synthetic: Batch, model: GAN | None = None, seed: int = 0
) -> dict[str, Any]:
    """Two attackers, who has the samples and who has the checkpoint, guess which real rows were trained on.

    They guess among as many training as test rows of each class: where a class is rare in training alone, it would tell
    them apart. Distances are taken in :func:`plain_features`, of rows that are :meth:`~ganaug.kind.Kind.alike`: else
    words that are not in a vocabulary of the training sentences would tell all others, by samples that know nothing.

    Args:
        schema: of the rows.
        train, val, test: real rows as they are stored. Nobody was trained on ``val``: with 10 of them, they are the
            reference of the density ratio, and whatever tells them from test rows is no leak: the control.
        synthetic: samples, at least 1.
        model: whose D is asked, on whichever device; without one, there is but the attacker who has samples.
        seed: of the choice of rows, where there are more than 10,000 or than can be paired.

    Returns:
        ``sentence``; and, with 10 rows of either sort to guess among, ``rows``, how many of either they are,
        ``reference``, how many validation rows, and ``attacks``: for each what
        :func:`~ganaug.metrics.membership.told_apart` says, and the same of validation and test rows as ``control``.
        Intervals are those of all attacks together (Bonferroni): with 95 % all of them hold, so also that of the
        strongest.
    """
    train, val, test = kind_of(schema).alike(schema, seed, train, val, test)
    train, val, test, synthetic = (some_rows(part, MOST_ROWS, seed) for part in (train, val, test, synthetic))
    inside, outside = pairs(train["y"], test["y"], seed)
    unseen, beside = pairs(val["y"], test["y"], seed)
    if len(inside) < LEAST:
        known = f"{len(inside)} training and test rows of the same classes"
        return {"sentence": f"Membership: attacks need {LEAST} rows of either sort to guess among, there are {known}."}
    scores = attacked(schema, train, val, test, synthetic, model)
    confidence = 1 - (1 - CONFIDENCE) / len(scores)
    attacks: dict[str, Any] = {}
    for name, (of_train, of_test, of_val) in scores.items():
        attacks[name] = told_apart(of_train[inside], of_test[outside], confidence)
        if len(unseen) >= LEAST:
            attacks[name]["control"] = told_apart(of_val[unseen], of_test[beside], confidence)
    said = sentence(len(inside), len(val["y"]), attacks)
    return {"sentence": said, "rows": len(inside), "reference": len(val["y"]), "attacks": attacks}


def attacked(
    schema: Schema, train: Batch, val: Batch, test: Batch, synthetic: Batch, model: GAN | None
) -> dict[str, list[Tensor]]:
    """Scores of the training, test and validation rows, by the name of the attack."""
    *real, made = plain_features(schema, train, test, val, synthetic)
    reference = real[2]
    scores = {"nearest_sample": [nearness(rows, made) if len(rows) else rows[:, 0] for rows in real]}
    if len(reference) >= LEAST:
        scores["density_ratio"] = [density_ratio(rows, made, reference) for rows in (*real[:2], None)]
    if model is not None:
        scores["discriminator"] = [logits(model, rows) for rows in (train, test, val)]
    return scores


def plain_features(schema: Schema, *parts: Batch) -> list[Tensor]:
    """Rows as they are, float32 (N, d) of each part: seen by no network, which would have to learn from some of them.

    Of pictures the pixels, of large ones means; of series the values, attributes and what was observed; of sentences
    how often two to four characters follow each other, hashed into 2,048 numbers (fitted on nothing) and scaled to
    length 1.
    """
    compared = kind_of(schema).compared
    more = [name for name in ("static", "observed") if all(name in part for part in parts)]
    counts = HashingVectorizer(analyzer="char", ngram_range=(2, 4), n_features=2**11, dtype=np.float32)
    found = []
    for part in parts:
        rows = compared(schema, part)
        values = rows if isinstance(rows, np.ndarray) else counts.transform(rows or [""]).toarray()[: len(rows)]
        fields = [torch.from_numpy(values), *(part[name].flatten(1) for name in more)]
        found.append(torch.cat([field.float().cpu() for field in fields], dim=1))
    return found


def logits(model: GAN, rows: Batch) -> Tensor:
    """D's logits (N,) of N rows as they are stored: LOGAN, Hayes et al. 2019, arXiv 1705.07663, the white-box attack.

    D is taught to take training rows for real, and may come to know them by heart.
    """
    found = [model.logits(batch).cpu() for batch in Table(rows, model.schema.prepare).batches()]
    return torch.cat([torch.empty(0), *found])


def pairs(a: Tensor, b: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Numbers of rows of classes a (N,) and of b (M,), the same number of each class, chosen by the seed."""
    first, second = [torch.empty(0, dtype=torch.int64)], [torch.empty(0, dtype=torch.int64)]
    for c in torch.unique(a).tolist():
        of_a, of_b = (a == c).nonzero()[:, 0], (b == c).nonzero()[:, 0]
        count = min(len(of_a), len(of_b))
        first.append(of_a[chosen(len(of_a), count, seed)])
        second.append(of_b[chosen(len(of_b), count, seed)])
    return torch.cat(first), torch.cat(second)


# ---- what is said ----


def sentence(rows: int, reference: int, attacks: dict[str, Any]) -> str:
    """What whoever has the samples, or the checkpoint, can guess by the strongest attack; and how little that proves.

    Args:
        rows, reference, attacks: see :func:`membership`.
    """
    said = []
    for who in ("samples", "checkpoint"):
        own = {name: attack for name, attack in attacks.items() if ATTACKS[name][0] == who}
        if not own:
            continue
        name = max(own, key=lambda name: own[name]["auc"])
        best, control = own[name], own[name].get("control")
        finding = "" if best["interval"][0] > 0.5 else "no sign that "
        guess = f"who has the {who} can guess which rows were trained on"
        said.append(f"{finding}{guess}, {_figures(best)} by {ATTACKS[name][1]}")
        if control is not None and not control["interval"][0] <= 0.5 <= control["interval"][1]:
            said[-1] += (
                f" (by which validation and test rows differ too, {_figures(control)}, though nobody was trained on"
                " either: this measures how the splits differ as well)"
            )
    limits = [
        f"the strongest of {len(attacks)} attack{'s' if len(attacks) > 1 else ''}, intervals corrected for that",
        f"on {rows} rows of either sort",
        *(
            [f"with too few validation rows, {reference} of {LEAST}, for a density ratio and a control"]
            if reference < LEAST
            else []
        ),
    ]
    return (
        f"Membership: {'; '.join(said)}. AUC 0.5 is guessing; {', '.join(limits)}."
        " No proof of privacy: other attacks may do better."
    )


def _figures(attack: dict[str, Any]) -> str:
    low, high = attack["interval"]
    return f"AUC {attack['auc']:.2f} ({low:.2f} to {high:.2f})"


def membership_lines(found: dict[str, Any]) -> list[str]:
    """Lines of ``evaluate``'s table: the area of each attack, beside it that of the control; and the sentence."""
    lines = []
    for name, attack in found.get("attacks", {}).items():
        control = f"{attack['control']['auc']:>10.4f}" if "control" in attack else f"{'':>10}"
        lines.append(f"{'AUC ' + name.replace('_', ' '):24}{attack['auc']:>10.4f}{control}")
    return [*lines, found["sentence"]]
