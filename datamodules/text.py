"""Sentences from files: .txt, .jsonl, .csv, and folders that ``ganaug generate`` wrote; TextFile."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from datamodules.base import GANDataModule, Table
from datamodules.errors import InputError
from datamodules.manifest import folder_names, read_manifest
from datamodules.schema import label_ids
from datamodules.tokens import SPECIAL, UNKNOWN, TextSchema, Tokenizer, build_vocabulary, split

ENDINGS = (".jsonl", ".csv", ".txt")
TEXT, LABEL = "text", "label"
LEAST_BPE = 258  # bytes and the two special tokens


class Row(NamedTuple):
    """A sentence, its label or None where the file has none, and where it stands, ``file:line``."""

    text: str
    label: str | int | None
    place: str


class TextSource:
    """The sentences and labels of a file, or of a folder that :func:`write_texts` wrote, checked.

    What :class:`TextFile` documents.

    Args:
        path: of the file or folder.
        text_column, label_column: of a ``.jsonl`` or ``.csv``.
        empty: ``raise`` refuses a sentence without a letter, ``skip`` counts it and goes on, ``keep`` takes it.

    Attributes:
        texts: as they stand in the file.
        places: ``file:line`` of each.
        y: class ids (N,) int64, 0 without classes.
        classes: their names.

    Raises:
        InputError: it cannot be read as this says.
    """

    def __init__(
        self,
        path: str | Path,
        text_column: str = TEXT,
        label_column: str = LABEL,
        empty: Literal["raise", "skip", "keep"] = "raise",
    ) -> None:
        self.path, self.text_column, self.label_column = Path(path), text_column, label_column
        self.classes: tuple[str, ...] = ()
        if self.path.is_dir():
            rows = self._folder()
        elif self.path.exists():
            rows = list(self._file(self.path))
        else:
            raise InputError(f"no file {self.path}: check the path")
        blank = [row.place for row in rows if not row.text.strip()]
        if blank and empty == "raise":
            raise InputError(f"{blank[0]}: an empty sentence: remove the line, or set skip_empty")
        if blank and empty == "skip":
            rank_zero_info(f"{self.path}: empty sentences skipped: {len(blank)}, the first {blank[0]}")
            rows = [row for row in rows if row.text.strip()]
        if not rows:
            raise InputError(f"{self.path}: no sentences in it")
        self.texts, self.places = [row.text for row in rows], [row.place for row in rows]
        self.y = self._ids(rows)

    def keep(self, good: np.ndarray) -> None:
        """Forget the rows that are not among these."""
        self.texts, self.places = [self.texts[i] for i in good], [self.places[i] for i in good]
        self.y = self.y[good]

    def _folder(self) -> list[Row]:
        schema = (read_manifest(self.path) or {}).get("schema")
        if isinstance(schema, dict) and schema.get("kind") == TextSchema.kind:
            self.classes = tuple(str(name) for name in schema.get("classes") or ())
        for name in ("samples.jsonl", "samples.csv", *(() if self.classes else ("samples.txt",))):
            if (self.path / name).is_file():
                return list(self._file(self.path / name))
        files = [file for file in sorted(self.path.glob("*.txt")) if not file.name.startswith(".")]
        if not files:
            raise InputError(
                f"{self.path}: no samples.jsonl, samples.csv or samples.txt in it, nor a .txt for each class"
            )
        names = dict(zip(folder_names(self.classes), self.classes, strict=True)) or {f.stem: f.stem for f in files}
        unknown = [file.name for file in files if file.stem not in names]
        if unknown:
            raise InputError(f"{self.path}: manifest.json names no class for the file {unknown[0]}")
        order = {stem: i for i, stem in enumerate(names)}
        files.sort(key=lambda file: order[file.stem])
        return [row._replace(label=names[file.stem]) for file in files for row in self._file(file)]

    def _file(self, file: Path) -> Iterator[Row]:
        read = {".txt": self._txt, ".jsonl": self._jsonl, ".csv": self._csv}.get(file.suffix.lower())
        if read is None:
            raise InputError(
                f"{file}: {file.suffix or 'no ending'} is none of {', '.join(ENDINGS)}: rename or convert it"
            )
        return read(file, text_of(file))

    def _txt(self, file: Path, content: str) -> Iterator[Row]:
        if (self.text_column, self.label_column) != (TEXT, LABEL):
            raise InputError(f"{file}: a .txt has no columns: leave text_column and label_column out")
        for line, text in enumerate(_lines(content), 1):
            yield Row(text, None, f"{file}:{line}")

    def _jsonl(self, file: Path, content: str) -> Iterator[Row]:
        columns: list[str] = []
        for line, text in enumerate(_lines(content), 1):
            place = f"{file}:{line}"
            if not text.strip():
                yield Row("", None, place)
                continue
            try:
                values = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{place}: no JSON ({reason_of(error)}): one object a line is needed") from None
            if not isinstance(values, dict):
                raise InputError(f"{place}: {_kind(values)}, where an object like {{{TEXT!r}: …}} is needed")
            if not columns:
                columns = list(values)
                self._check(place, columns)
            if not isinstance(sentence := values.get(self.text_column), str):
                found = f"is {_kind(sentence)}" if self.text_column in values else "is missing"
                raise InputError(f"{place}: {self.text_column} {found}: a string is needed")
            if any("\ud800" <= letter <= "\udfff" for letter in sentence):
                raise InputError(f"{place}: {self.text_column} holds half a character (a lone surrogate): repair it")
            label = values.get(self.label_column)
            if isinstance(label, float) and label.is_integer():
                label = int(label)
            if label is not None and (isinstance(label, bool) or not isinstance(label, str | int)):
                raise InputError(f"{place}: {self.label_column} is {_kind(label)}: labels are strings or whole numbers")
            if self.label_column in columns and label is None:
                raise self._unlabelled(place)
            if self.label_column in values and self.label_column not in columns:
                raise InputError(f"{place}: has {self.label_column}, and rows before it have none: label all or none")
            yield Row(sentence, label, place)

    def _csv(self, file: Path, content: str) -> Iterator[Row]:
        reader = csv.reader(io.StringIO(content, newline=""), strict=True)
        columns: list[str] = []
        line = 1
        try:
            for fields in reader:
                place, line = f"{file}:{line}", reader.line_num + 1
                if not columns:
                    columns = [name.strip() for name in fields]
                    self._check(place, columns)
                elif not fields:
                    yield Row("", None, place)
                elif len(fields) != len(columns):
                    raise InputError(
                        f"{place}: {len(fields)} fields, where the header names {len(columns)}: put quotes around"
                        " texts that hold commas"
                    )
                else:
                    values = dict(zip(columns, fields, strict=True))
                    yield Row(values[self.text_column], values.get(self.label_column), place)
        except csv.Error as error:
            raise InputError(f"{file}:{line}: no CSV ({reason_of(error)}): check the quotes from there on") from None

    def _check(self, place: str, columns: list[str]) -> None:
        names = f"the columns are {', '.join(columns) or '(none)'}"
        twice = [name for name in columns if columns.count(name) > 1]
        if twice:
            raise InputError(f"{place}: the column {twice[0]} is there twice: rename one")
        if self.text_column not in columns:
            raise InputError(f"{place}: no column {self.text_column}: {names}; name one by text_column")
        if self.label_column not in columns and self.label_column != LABEL:
            raise InputError(f"{place}: no column {self.label_column}: {names}; name one by label_column")
        if others := [name for name in columns if name not in (self.text_column, self.label_column)]:
            hint = "" if self.label_column in columns else "; there are no labels, unless label_column names them"
            rank_zero_info(f"{place}: left out: {', '.join(others)}{hint}")

    def _unlabelled(self, place: str) -> InputError:
        return InputError(f"{place}: {self.label_column} is empty: label the row or remove it")

    def _ids(self, rows: list[Row]) -> np.ndarray:
        """Class ids; the classes are those of the manifest, else numbers in numeric order, else alphabetic."""
        if all(row.label is None for row in rows) and not self.classes:
            return np.zeros(len(rows), dtype=np.int64)
        for row in rows:
            if row.label is None or (row.label == "" and "" not in self.classes):
                raise self._unlabelled(row.place)
        names = [str(row.label) for row in rows]
        if self.classes:
            known = {name: i for i, name in enumerate(self.classes)}
            for name, row in zip(names, rows, strict=True):
                if name not in known:
                    raise InputError(f"{row.place}: the class {name} is not among those of manifest.json")
            return np.array([known[name] for name in names], dtype=np.int64)
        ids, self.classes = label_ids([int(name) for name in names] if all(map(is_whole, names)) else names)
        return ids


class TextFile(GANDataModule):
    """Sentences from a file, or from a folder of samples.

    - ``.txt``: a sentence a line, no labels.
    - ``.jsonl``: a JSON object a line.
    - ``.csv``: with a header; quotes around what holds commas, quotes or line breaks.
    - a folder: ``samples.jsonl``, ``samples.csv`` or ``samples.txt``, whichever is found first, or a ``.txt`` for each
      class, named after it. Its ``manifest.json`` gives the classes their names and order.

    All in UTF-8, with any line ends. Runs of white space become one space. The vocabulary is that of the training rows;
    what validation and test rows have beyond it is unknown, and counted.

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
        min_count: int = 1,
        max_length: int | None = None,
        lowercase: bool = False,
        skip_empty: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if tokenizer not in ("word", "char", "bpe"):
            raise InputError(f"tokenizer must be word, char or bpe, not {tokenizer}")
        least = {"min_count": (min_count, 1), "max_length": (max_length, 1)}
        if tokenizer == "bpe":
            least["vocabulary_size"] = (vocabulary_size, LEAST_BPE)
        for name, (value, bound) in least.items():
            if value is not None and value < bound:
                raise InputError(f"{name} must be at least {bound}, not {value}")
        self._sources = [
            TextSource(file, text_column, label_column, "skip" if skip_empty else "raise")
            for file in (path, test_path)
            if file is not None
        ]
        if test_path is not None:
            _match_classes(*self._sources)
        first = self._sources[0]
        if tokenizer != "bpe" and max_length is not None:  # first, lest the vocabulary hold words that never occur
            plain = TextSchema(vocabulary=(), max_length=0, lowercase=lowercase)
            for source in self._sources:
                _leave_out(source, [len(split(plain.normalise(text), tokenizer)) for text in source.texts], max_length)
        self.schema = TextSchema(
            classes=first.classes, vocabulary=(), max_length=0, tokenizer=tokenizer, lowercase=lowercase
        )
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
        self._ids = [[self.schema.ids(text) for text in source.texts] for source in self._sources]
        longest = max_length or max(len(ids) for rows in self._ids for ids in rows)
        self.schema = replace(self.schema, max_length=longest + 1)
        _report_single(first)
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

    def load(self) -> tuple[Table, Table | None]:
        """``x`` int64 (N, T), ``length`` and ``y`` int64 (N,): the rows of ``path``, and those of ``test_path``."""
        tables = []
        for source, ids in zip(self._sources, self._ids, strict=True):
            x, length = self.schema.pad(ids)
            tables.append(Table({"x": x, "length": length, "y": torch.from_numpy(source.y)}))
        return tables[0], tables[1] if len(tables) > 1 else None


def _match_classes(train: TextSource, test: TextSource) -> None:
    """Give the test sentences the class ids of the training sentences."""
    unknown = [name for name in test.classes if name not in train.classes]
    if unknown:
        raise InputError(f"{test.path}: the class {unknown[0]} is not among those of {train.path}")
    if train.classes and not test.classes:
        raise InputError(f"{test.path}: no labels, but {train.path} has them: label both or neither")
    if train.classes:
        ids = np.array([train.classes.index(name) for name in test.classes])
        test.y, test.classes = ids[test.y], train.classes


def _leave_out(source: TextSource, counts: list[int], max_length: int) -> None:
    """Forget sentences of more tokens, and say how many.

    Raises:
        InputError: none is left, or none of a class.
    """
    good = np.flatnonzero(np.array(counts) <= max_length)
    dropped = len(counts) - len(good)
    if not dropped:
        return
    lost = np.setdiff1d(source.y, source.y[good])
    if len(lost):
        whose = f" of class {source.classes[lost[0]]}" if source.classes else ""
        raise InputError(f"{source.path}: every sentence{whose} has more than {max_length} tokens: raise max_length")
    rank_zero_warn(
        f"{source.path}: {dropped} of {len(counts)} sentences left out: they have more than {max_length} tokens"
    )
    source.keep(good)


def _report_single(source: TextSource) -> None:
    """Warn of classes of one sentence, which can only be trained on."""
    single = np.flatnonzero(np.bincount(source.y) == 1) if source.classes else np.empty(0, dtype=np.int64)
    if len(single):
        named = [f"{source.classes[c]} ({source.places[int(np.argmax(source.y == c))]})" for c in single[:5]]
        rank_zero_warn(
            f"labels with a single sentence, which cannot be both trained on and held out to test: {', '.join(named)}"
            + (f" and {len(single) - 5} more" if len(single) > 5 else "")
        )


def _report_unknown(source: TextSource, rows: list[list[int]]) -> None:
    counts = np.array([row.count(UNKNOWN) for row in rows])
    total = sum(map(len, rows))
    if counts.any():
        rank_zero_info(
            f"{source.path}: {counts.sum()} of {total} tokens ({counts.sum() / total:.2%}) are not in the vocabulary,"
            f" in {np.count_nonzero(counts)} of {len(rows)} sentences"
        )


def text_of(file: Path) -> str:
    """What a file holds, without a byte order mark."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from None
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{file}:{line}: not UTF-8, at byte {error.start} of the file (0x{content[error.start]:02x}):"
            " save the file in UTF-8"
        ) from None


def _lines(content: str) -> list[str]:
    """Lines by any of the three line ends; unlike ``splitlines``, by no other character."""
    lines = content.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def is_whole(name: str) -> bool:
    """Whether a label is a whole number as it is usually written."""
    try:
        return len(name) < 19 and str(int(name)) == name
    except ValueError:
        return False


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}.get(
        type(value), f"the number {value}"
    )


def reason_of(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
