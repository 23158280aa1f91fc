"""TextFile: sentences of files as rows of tokens, with the vocabulary of the training rows."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from datamodules.base import GANDataModule
from datamodules.errors import InputError
from datamodules.labels import LABEL, renumbered
from datamodules.options import LARGEST, Count, Within, in_range
from datamodules.rows import Table
from datamodules.splits import apart
from datamodules.text.reading import TEXT, TextSource
from datamodules.text.schema import BLANK, SPECIAL, UNKNOWN, TextSchema, Tokenizer, build_vocabulary, split

LEAST_BPE = 258  # bytes and the two special tokens
UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]{4}")  # more Chinese or Japanese letters than most words have
MUCH, LONG = 4, 300  # times as long as most, and tokens, from which a sentence is worth a word


class TextFile(GANDataModule):
    """Sentences from a file, or from a folder of samples.

    - ``.txt``: a sentence a line, no labels.
    - ``.jsonl``: a JSON object a line.
    - ``.csv``, ``.tsv``: with a header; quotes around what holds commas or tabs, quotes or line breaks. Columns that
      semicolons separate are read, and that is said.
    - ``.xlsx``, the first sheet, and ``.parquet``.
    - a folder: ``samples.jsonl``, ``samples.csv`` or ``samples.txt``, whichever is found first, or a ``.txt`` for each
      class, named after it. Its ``manifest.json`` gives the classes their names and order.

    Text in UTF-8, unless ``encoding`` says otherwise, with any line ends. Runs of white space become one space. The
    vocabulary is that of the training rows; what validation and test rows have beyond it is unknown, and counted.

    Args:
        path: of the file or folder.
        test_path: of a second one to test on, with classes of the same names.
        text_column: the column of the sentences.
        label_column: the column of the labels, strings or whole numbers. Where it is left out and no row has a
            ``label``, there are no classes.
        tokenizer: ``word``: words and punctuation marks; ``char``: characters, as for Chinese; ``bpe``: pieces of
            words, learned from the training rows.
        vocabulary_size: most tokens of ``bpe``.
        min_count: tokens of ``word`` and ``char`` that occur less often are unknown.
        max_length: sentences of more tokens are left out, and counted. By default that of the longest.
        lowercase: put all in lower case.
        skip_empty: leave out empty lines and sentences, and count them, instead of refusing them.
        encoding: of the files, such as ``cp1252``; by default UTF-8, or UTF-16 where a file begins with its mark.
        kwargs: the options of :class:`GANDataModule`.

    Raises:
        InputError: a file cannot be read as this says.
    """

    schema: TextSchema

    def __init__(
        self,
        path: str | Path,
        test_path: str | Path | None = None,
        text_column: str = TEXT,
        label_column: str = LABEL,
        tokenizer: Tokenizer = "word",
        vocabulary_size: int = 4000,
        min_count: Count = 1,
        max_length: Annotated[int, Within(1, LARGEST - 1)] | None = None,
        lowercase: bool = False,
        skip_empty: bool = False,
        encoding: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if tokenizer == "bpe":
            in_range("vocabulary_size", vocabulary_size, LEAST_BPE, 10**6)
        self._sources = [
            TextSource(file, text_column, label_column, "skip" if skip_empty else "raise", encoding, group)
            for file, group in ((path, self.group), (test_path, None))
            if file is not None
        ]
        if test_path is not None:
            apart(Path(path), Path(test_path))
            _match_classes(*self._sources)
        first, before = self._sources[0], [len(source.texts) for source in self._sources]
        if tokenizer != "bpe" and max_length is not None:  # first, lest the vocabulary hold words that never occur
            plain = TextSchema(**BLANK, lowercase=lowercase)
            for source in self._sources:
                _leave_out(source, [len(split(plain.normalise(text), tokenizer)) for text in source.texts], max_length)
        self.schema = TextSchema(classes=first.classes, **BLANK, tokenizer=tokenizer, lowercase=lowercase)
        self._learn(vocabulary_size, min_count)
        # Pieces of words are known, and with them how long sentences are, when the rows to learn them from are. What is
        # left out then changes those rows, so it begins anew until none is too long.
        while tokenizer == "bpe" and max_length is not None:
            counts = [[len(self.schema.ids(text)) for text in source.texts] for source in self._sources]
            if max(map(max, counts)) <= max_length:
                break
            for source, tokens in zip(self._sources, counts, strict=True):
                _leave_out(source, tokens, max_length)
            self._learn(vocabulary_size, min_count)
        for source, count in zip(self._sources, before, strict=True):
            _say_left_out(source, count, max_length)
        self._ids = [[self.schema.ids(text) for text in source.texts] for source in self._sources]
        longest = max_length or max(len(ids) for rows in self._ids for ids in rows)
        self.schema = replace(self.schema, max_length=longest + 1)
        if tokenizer == "word":
            _report_unspaced(first)
        if max_length is None:
            _report_longest(self._sources, [list(map(len, rows)) for rows in self._ids])
        for source, rows in zip(self._sources, self._ids, strict=True):
            _report_unknown(source, rows)

    def _learn(self, size: int, min_count: int) -> None:
        """Split, and take the vocabulary from the training rows."""
        source, schema = self._sources[0], self.schema
        self._parts = None
        train, _, _ = self.partition(source.y, len(self._sources) > 1)
        texts = [schema.normalise(source.texts[row]) for row in train]
        vocabulary, bpe = build_vocabulary(texts, schema.tokenizer, min_count, size)
        if len(vocabulary) == len(SPECIAL):
            raise InputError(
                f"{source.path}: no token occurs {min_count} times in the training rows: choose a smaller min_count"
            )
        self.schema = replace(schema, vocabulary=tuple(vocabulary), bpe=bpe)

    def groups(self) -> np.ndarray | None:
        """Of the column ``group``, a group for each row of ``path``."""
        return self._sources[0].groups

    def load(self) -> tuple[Table, Table | None]:
        """``x`` int64 (N, T), ``length`` and ``y`` int64 (N,): the rows of ``path``, and those of ``test_path``."""
        tables = []
        for source, ids in zip(self._sources, self._ids, strict=True):
            x, length = self.schema.pad(ids)
            tables.append(Table({"x": x, "length": length, "y": torch.from_numpy(source.y)}))
        return tables[0], tables[1] if len(tables) > 1 else None


def _match_classes(train: TextSource, test: TextSource) -> None:
    """Give the test sentences the class ids of the training sentences."""
    if train.classes and not test.classes:
        raise InputError(f"{test.path}: no labels, but {train.path} has them: label both or neither")
    if train.classes or test.classes:
        y = renumbered(test.y, test.classes, train.classes, test.path, train.path)
        test.y, test.classes = y, train.classes


def _leave_out(source: TextSource, counts: list[int], max_length: int) -> None:
    """Forget sentences of more tokens.

    Raises:
        InputError: none is left, or none of a class.
    """
    good = np.flatnonzero(np.array(counts) <= max_length)
    lost = np.setdiff1d(source.y, source.y[good])
    if len(lost):
        whose = f" of class {source.classes[lost[0]]}" if source.classes else ""
        raise InputError(f"{source.path}: every sentence{whose} has more than {max_length} tokens: raise max_length")
    source.keep(good)


def _say_left_out(source: TextSource, before: int, max_length: int | None) -> None:
    """Say how many of the sentences that there were have been left out."""
    if dropped := before - len(source.texts):
        rank_zero_warn(
            f"{source.path}: {dropped} of {before} sentences left out: they have more than {max_length} tokens"
        )


def _report_unspaced(source: TextSource) -> None:
    """Hint at ``char`` where lines have no spaces to tell words by, as in Chinese, Japanese and Thai."""
    whole = sum(len(text.split()) == 1 for text in source.texts)
    pieces = [piece for text in source.texts for piece in text.split()]
    long = [piece for piece in pieces if UNSPACED.match(piece)]
    if len(long) * 2 > len(pieces) and whole * 2 <= len(source.texts):
        rank_zero_info(
            f"{source.path}: spaces divide the text into pieces like {long[0][:20]!r}, each of which the tokenizer word"
            " takes for a word: use tokenizer char"
        )
    if whole * 2 > len(source.texts):
        rank_zero_info(
            f"{source.path}: {whole} of {len(source.texts)} sentences have no space in them, and the tokenizer word"
            " takes what no space divides for a word: use tokenizer char"
        )


def _report_longest(sources: list[TextSource], counts: list[list[int]]) -> None:
    """Say what it costs where a few sentences are much longer than the rest."""
    every = np.concatenate(counts)
    usual, longest = int(np.percentile(every, 99, method="higher")), int(every.max())
    if longest > MUCH * usual or (longest > LONG and longest > 1.5 * usual):
        places = [place for source in sources for place in source.places]
        rank_zero_info(
            f"{places[int(every.argmax())]}: the longest sentence has {longest} tokens, 99 % have at most {usual};"
            f" every batch is padded to it, about {longest / usual:.0f} times the work: max_length {usual} leaves out"
            f" {np.count_nonzero(every > usual)} of {len(every)} sentences"
        )


def _report_unknown(source: TextSource, rows: list[list[int]]) -> None:
    counts = np.array([row.count(UNKNOWN) for row in rows])
    total = sum(map(len, rows))
    if counts.any():
        rank_zero_info(
            f"{source.path}: {counts.sum()} of {total} tokens ({counts.sum() / total:.2%}) are not in the vocabulary,"
            f" in {np.count_nonzero(counts)} of {len(rows)} sentences"
        )
