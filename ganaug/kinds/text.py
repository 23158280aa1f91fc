"""Sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from datamodules.rows import Table
from datamodules.schema import Batch
from datamodules.text.schema import SPECIAL, UNKNOWN, TextSchema
from ganaug.classifiers import TextClassifier
from ganaug.evaluation.markup import Html, table_of
from ganaug.evaluation.text import text_scores
from ganaug.kind import Kind
from ganaug.shifts import Shift
from ganaug.shifts.text import ORDER, SHIFTS


class Sentences(Kind):
    """See :class:`~ganaug.kind.Kind`."""

    name = "text"
    classifier = TextClassifier
    gallery_note = "Beside each the training sentence nearest to it."
    scores = staticmethod(text_scores)

    @staticmethod
    def preview(schema: TextSchema, batch: Batch) -> list[tuple[str, str]]:
        """A class and a sentence in each row of a table, by class."""
        rows = zip(batch["y"].tolist(), schema.decode(batch["x"]), strict=True)
        return [(schema.class_name(y), text) for y, text in sorted(rows, key=lambda row: row[0])]

    @staticmethod
    def inputs(schema: TextSchema, rows: Batch) -> list[str]:
        """N sentences."""
        return schema.decode(rows["x"])

    @staticmethod
    def alike(schema: TextSchema, seed: int, train: Batch, *others: Batch) -> list[Batch]:
        """Words that the vocabulary does not hold are drawn from those that it would not hold without their sentence.

        It comes from the training rows, so that an unknown word would tell who is none of them. How often a word has to
        occur to be in it is what its rarest does.
        """
        x, size = train["x"], len(schema.vocabulary)
        counts = x.flatten().bincount(minlength=size)
        words = counts[len(SPECIAL) :]
        if not schema.ends or not words.any():
            return [train, *others]
        _, place, own = torch.unique(torch.arange(len(x))[:, None] * size + x, return_inverse=True, return_counts=True)
        rare = x[(counts[x] - own[place] < words[words > 0].min()) & (x >= len(SPECIAL))]
        rng = torch.Generator().manual_seed(seed)

        def filled(x: Tensor) -> Tensor:
            drawn = rare[torch.randint(len(rare), x.shape, generator=rng)] if len(rare) else x
            return torch.where(x == UNKNOWN, drawn, x)

        return [{**rows, "x": filled(rows["x"])} for rows in (train, *others)]

    @staticmethod
    def shifts(schema: TextSchema) -> Mapping[str, Shift]:
        """See :mod:`ganaug.shifts.text`."""
        return SHIFTS if schema.ends else ORDER

    @staticmethod
    def facts(schema: TextSchema, rows: Batch, splits: dict[str, Table]) -> Iterator[tuple[str, str]]:
        """See :meth:`Kind.facts`."""
        length = rows["length"].numpy() - schema.ends
        low, middle, high, most = (int(q) for q in np.quantile(length, [0, 0.5, 0.99, 1]))
        spread = f"{low} to {most} tokens, half at most {middle}, 99 % at most {high}"
        same = f"{low} token{'s' if low != 1 else ''} each"
        yield "lengths", f"{spread if low < most else same}; each row takes {schema.max_length}"
        unknown, counted = [], 0
        for name, table in splits.items():
            if len(table) and schema.ends:
                count = int((table.fields["x"] == UNKNOWN).sum())
                total = int(table.fields["length"].sum()) - len(table)
                unknown.append(f"{name} {100 * count / max(1, total):.3g} %")
                counted += count
        words = len(schema.words) - schema.ends
        beyond = f"; unknown tokens: {', '.join(unknown) if counted else 'none'}" if unknown else ""
        yield "vocabulary", f"{words:,} tokens ({schema.tokenizer}{', lower case' if schema.lowercase else ''}){beyond}"

    @staticmethod
    def gallery(schema: TextSchema, made: Batch, near: Batch, captions: Sequence[str]) -> Html:
        """See :meth:`Kind.gallery`."""
        samples, neighbours = schema.decode(made["x"]), schema.decode(near["x"])
        order = torch.argsort(made["y"], stable=True).tolist()
        head = [*(["class"] if schema.labelled else []), "sample", "nearest training sentence"]
        return table_of(head, ([*([captions[k]] if schema.labelled else []), samples[k], neighbours[k]] for k in order))
