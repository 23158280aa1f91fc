"""Files of sentences, read row by row and checked: .txt, .jsonl, .csv, .tsv, .xlsx, .parquet; folders of samples."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from lightning.pytorch.utilities import rank_zero_info

from datamodules.errors import InputError, reason_of
from datamodules.files.cells import SEP_LINE, SEPARATORS, text_of
from datamodules.files.manifest import folder_names, read_manifest
from datamodules.files.table import TableFile
from datamodules.labels import LABEL, quoted, stripped, unknown
from datamodules.schema import label_ids
from datamodules.splits import SPLIT_NAMES
from datamodules.text.schema import TextSchema

ENDINGS = (".jsonl", ".csv", ".tsv", ".txt", ".xlsx", ".parquet")
TEXT = "text"


class Row(NamedTuple):
    """A sentence, its label or None where the file has none, where it stands, ``file:line``, and its group, if any."""

    text: str
    label: str | int | None
    place: str
    group: str | int | None = None


class TextSource:
    """The sentences and labels of a file, or of a folder that :func:`write_texts` wrote, checked.

    What :class:`TextFile` documents.

    Args:
        path: of the file or folder.
        text_column, label_column: of a ``.jsonl``, ``.csv`` or ``.tsv``.
        empty: ``raise`` refuses a sentence without a letter, ``skip`` counts it and goes on, ``keep`` takes it.
        encoding: of the file, as Python calls it; None for UTF-8, or UTF-16 where it begins with that mark.
        group: the column of the groups, of a ``.jsonl``, ``.csv`` or ``.tsv``.

    Attributes:
        texts: as they stand in the file.
        places: ``file:line`` of each.
        y: class ids (N,) int64, 0 without classes.
        classes: their names.
        groups: of each the name of its group, str (N,); None where that is not asked.

    Raises:
        InputError: it cannot be read as this says.
    """

    def __init__(
        self,
        path: str | Path,
        text_column: str = TEXT,
        label_column: str = LABEL,
        empty: Literal["raise", "skip", "keep"] = "raise",
        encoding: str | None = None,
        group: str | None = None,
    ) -> None:
        self.encoding, self.group = encoding, group
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
        self.groups = None if group is None else self._grouped(rows)

    def keep(self, good: np.ndarray) -> None:
        """Forget the rows that are not among these."""
        self.texts, self.places = [self.texts[i] for i in good], [self.places[i] for i in good]
        self.y = self.y[good]
        self.groups = None if self.groups is None else self.groups[good]

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
        if not self.classes:
            if len({role for name in names if (role := SPLIT_NAMES.get(name.casefold()))}) > 1:
                raise InputError(
                    f"{self.path}: {', '.join(names)} look like splits, and a .txt in a folder is a class: give them"
                    " one by one, as path and test_path"
                )
            rank_zero_info(f"{self.path}: a class for each .txt: {quoted(list(names))}")
        order = {stem: i for i, stem in enumerate(names)}
        files.sort(key=lambda file: order[file.stem])
        rows = {file: list(self._file(file)) for file in files}
        if empty := [file for file, own in rows.items() if not own]:
            raise InputError(f"{empty[0]}: a class without sentences: fill or remove it")
        return [row._replace(label=names[file.stem]) for file, own in rows.items() for row in own]

    def _file(self, file: Path) -> Iterator[Row]:
        if file.suffix.lower() in (".xlsx", ".parquet"):
            return self._cells(file)
        read = {".txt": self._txt, ".jsonl": self._jsonl, ".csv": self._table, ".tsv": self._table}.get(
            file.suffix.lower()
        )
        if read is None:
            raise InputError(
                f"{file}: {file.suffix or 'no ending'} is none of {', '.join(ENDINGS)}: rename or convert it"
            )
        return read(file, text_of(file, self.encoding))

    def _txt(self, file: Path, content: str) -> Iterator[Row]:
        if (self.text_column, self.label_column, self.group) != (TEXT, LABEL, None):
            raise InputError(f"{file}: a .txt has no columns: leave text_column, label_column and group out")
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
            yield Row(sentence, label, place, values.get(self.group) if self.group is not None else None)

    def _cells(self, file: Path) -> Iterator[Row]:
        """Rows of a table that is no text."""
        if self.encoding is not None:
            raise InputError(f"{file}: encoding is for files of text: leave it out")
        wanted = [name for name in (self.text_column, self.label_column, self.group) if name is not None]
        table = TableFile(file, words=wanted)
        self._check(str(file), table.names)
        if not table.wordy(self.text_column):
            raise InputError(f"{file}: the column {self.text_column} holds no text: name another by text_column")
        read = {name: table.words(name, empty=True).tolist() for name in wanted if name in table.names}
        for row, text in enumerate(read[self.text_column]):
            label, group = (read[name][row] if name in read else None for name in (self.label_column, self.group))
            yield Row(text, label, table.place(row), group)

    def _table(self, file: Path, content: str) -> Iterator[Row]:
        line = 1
        if above := SEP_LINE.match(content):  # Excel's own word on it, which is no row
            content, line = content[above.end() :], 2
        separator = above[1] if above else self._separator(file, content)
        options: dict[str, Any] = {"strict": True, "delimiter": separator}
        if separator == "\t" and (stray := _stray_quote(content)):
            rank_zero_info(f"{file}:{stray}: a quote that does not enclose a whole text: all are taken for letters")
            options["quoting"] = csv.QUOTE_NONE
        reader = csv.reader(io.StringIO(content, newline=""), **options)
        columns: list[str] = []
        again: list[str] = []  # places of the header in files that were joined; of one column, it may be a sentence
        first = line
        try:
            for fields in reader:
                place, line = f"{file}:{line}", reader.line_num + first
                if not columns:
                    columns = [name.strip() for name in fields]
                    self._check(place, columns)
                elif len(columns) > 1 and [name.strip("\ufeff ") for name in fields] == columns:
                    again.append(place)
                elif not fields:
                    yield Row("", None, place)
                elif len(fields) != len(columns):
                    why = f"put quotes around texts that hold {SEPARATORS[separator]}"
                    for other, name in SEPARATORS.items():
                        if other != separator and len(_fields(separator.join(fields), other)) == len(columns) > 1:
                            why = f"{name} separate the row's, {SEPARATORS[separator]} the header's: use one of them"
                    raise InputError(f"{place}: {len(fields)} fields, where the header names {len(columns)}: {why}")
                else:
                    values = dict(zip(columns, fields, strict=True))
                    group = values[self.group] if self.group is not None else None
                    yield Row(values[self.text_column], values.get(self.label_column), place, group)
        except csv.Error as error:
            raise InputError(f"{file}:{line}: no CSV ({reason_of(error)}): check the quotes from there on") from None
        if again:
            rank_zero_info(f"{file}: the header is there again {len(again)} times, first {again[0]}: left out")

    def _separator(self, file: Path, content: str) -> str:
        """What separates the columns: that of the ending, unless only another one gives the text column."""
        usual = "\t" if file.suffix.lower() == ".tsv" else ","
        if self.text_column in _fields(content, usual):
            return usual
        named = [other for other in SEPARATORS if self.text_column in _fields(content, other)]
        if len(named) == 1:
            rank_zero_info(f"{file}: the columns are separated by {SEPARATORS[named[0]]}, and are read so")
            return named[0]
        several = [other for other in SEPARATORS if len(_fields(content, other)) > 1]
        return several[0] if len(several) == 1 else usual  # only to list the columns that there are

    def _check(self, place: str, columns: list[str]) -> None:
        names = f"the columns are {', '.join(columns) or '(none)'}"
        twice = [name for name in columns if columns.count(name) > 1]
        if twice:
            raise InputError(f"{place}: the column {twice[0]} is there twice: rename one")
        if self.text_column not in columns:
            raise InputError(f"{place}: no column {self.text_column}: {names}; name one by text_column")
        if self.label_column not in columns and self.label_column != LABEL:
            raise InputError(f"{place}: no column {self.label_column}: {names}; name one by label_column")
        if self.group not in (None, *columns):
            raise InputError(f"{place}: no column {self.group}: {names}; name one by group")
        if others := [name for name in columns if name not in (self.text_column, self.label_column, self.group)]:
            hint = "" if self.label_column in columns else "; there are no labels, unless label_column names them"
            rank_zero_info(f"{place}: left out: {', '.join(others)}{hint}")

    def _unlabelled(self, place: str) -> InputError:
        return InputError(f"{place}: {self.label_column} is empty: label the row or remove it")

    def _grouped(self, rows: list[Row]) -> np.ndarray:
        """Names of the groups."""
        for row in rows:
            if isinstance(row.group, bool) or not isinstance(row.group, str | int) or row.group == "":
                raise InputError(
                    f"{row.place}: {self.group} is empty, or neither a string nor a whole number: fill it in"
                )
        names = stripped([str(row.group) for row in rows], self.path, lambda row: rows[row].place, what="group")
        return np.array(names, dtype=str)

    def _ids(self, rows: list[Row]) -> np.ndarray:
        """Class ids; the classes are those of the manifest, else numbers in numeric order, else alphabetic."""
        if all(row.label is None for row in rows) and not self.classes:
            return np.zeros(len(rows), dtype=np.int64)
        for row in rows:
            if row.label is None or (row.label == "" and "" not in self.classes):
                raise self._unlabelled(row.place)
        names = stripped([str(row.label) for row in rows], self.path, lambda row: rows[row].place, self.classes)
        if self.classes:
            known = {name: i for i, name in enumerate(self.classes)}
            for name, row in zip(names, rows, strict=True):
                if name not in known:
                    raise InputError(f"{row.place}: {unknown(name, 'manifest.json', self.classes)}")
            return np.array([known[name] for name in names], dtype=np.int64)
        ids, self.classes = label_ids(names)
        return ids


def _stray_quote(content: str) -> int:
    """The line of the first quote, in columns separated by tabs, that does not enclose a whole text; 0 for none."""
    reader = csv.reader(io.StringIO(content, newline=""), strict=True, delimiter="\t")
    line = 1
    try:
        for _ in reader:
            line = reader.line_num + 1
    except csv.Error:
        return line
    return 0


def _fields(content: str, separator: str) -> list[str]:
    """The first row of a table; empty where there is none."""
    try:
        return [name.strip() for name in next(csv.reader(io.StringIO(content, newline=""), delimiter=separator), [])]
    except csv.Error:
        return []


def _lines(content: str) -> list[str]:
    """Lines by any of the three line ends; unlike ``splitlines``, by no other character."""
    lines = content.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}.get(
        type(value), f"the number {value}"
    )
