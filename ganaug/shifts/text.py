"""Sentences as people type them: slips of the keyboard, words left out, words exchanged, words nobody knows.

Slips are of Belinkov and Bisk 2018, "Synthetic and Natural Noise Both Break Neural Machine Translation", arXiv
1711.02173, section 3.2.
"""

from __future__ import annotations

import random

import torch

from datamodules.schema import Batch
from datamodules.text.schema import UNKNOWN, TextSchema
from ganaug.classifiers.text_augmentation import deleted, forgotten, swapped, word_counts
from ganaug.shifts.shift import Shift


def mistyped(batch: Batch, schema: TextSchema, share: float) -> Batch:
    """Each word of three letters or more with a slip, with this probability; what no longer fits into a row is cut."""
    chance = random.Random(int(torch.randint(2**31, ())))
    texts = [
        " ".join(slip(word, chance) if chance.random() < share else word for word in text.split(" "))
        for text in schema.decode(batch["x"])
    ]
    most = max(1, schema.max_length - 1)
    x, length = schema.pad([schema.ids(text)[:most] or [UNKNOWN] for text in texts])
    return {**batch, "x": x, "length": length}


def slip(word: str, chance: random.Random) -> str:
    """Two neighbouring letters exchanged, a letter left out, or one typed twice."""
    letters = [k for k, letter in enumerate(word[:-1]) if letter.isalpha()]
    if len(letters) < 2:
        return word
    k = chance.choice(letters)
    return chance.choice(
        (word[:k] + word[k + 1] + word[k] + word[k + 2 :], word[:k] + word[k + 1 :], word[: k + 1] + word[k:])
    )


def shortened(batch: Batch, schema: TextSchema, share: float) -> Batch:
    """Each word left out with this probability, but for the last that is left."""
    x, words = deleted(batch["x"], word_counts(batch["x"], batch["length"], schema.ends), share)
    return {**batch, "x": x, "length": (words + 1).clamp(max=x.shape[1])}


def exchanged(batch: Batch, schema: TextSchema, share: float) -> Batch:
    """Two words exchanged, as often as this share of the words."""
    words = word_counts(batch["x"], batch["length"], schema.ends)
    return {**batch, "x": swapped(batch["x"], words, share)[0]}


def unknown(batch: Batch, schema: TextSchema, share: float) -> Batch:
    """Each word replaced by the token for what is unknown, with this probability."""
    words = word_counts(batch["x"], batch["length"], schema.ends)
    return {**batch, "x": forgotten(batch["x"], words, share)}


ORDER = {"swap": Shift(exchanged, (0.1, 0.2, 0.4))}  # all that rows without an end and an unknown token allow
SHIFTS = {
    "typos": Shift(mistyped, (0.1, 0.2, 0.4)),
    "drop": Shift(shortened, (0.1, 0.2, 0.4)),
    **ORDER,
    "unknown": Shift(unknown, (0.1, 0.2, 0.4)),
}
