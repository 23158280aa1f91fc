"""Sentences as files: written, and read back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn

from datamodules.errors import InputError
from datamodules.files.manifest import folder_names, make_folder, replacing
from datamodules.labels import LABEL
from datamodules.schema import Batch
from datamodules.store import Store, own_ids
from datamodules.text.reading import TEXT, TextSource
from datamodules.text.schema import END, TextSchema


def write_texts(
    schema: TextSchema, shards: Iterable[Batch], out: Path, format: Literal["jsonl", "txt", "csv"] = "jsonl"
) -> None:
    """Write sentences in the order of their indices, in UTF-8; every file appears whole or not at all.

    Args:
        schema: of the model that made them.
        shards: any number of batches of ``index`` int64 (n,), ``x`` int64 (n, T) and ``y`` (n,); of an index that comes
            again the last counts.
        out: folder to write in, made where it is missing.
        format: ``jsonl`` writes ``samples.jsonl``, an object a line with ``text`` and, where there are classes,
            ``label``; ``csv`` writes ``samples.csv`` with the same columns; ``txt`` writes ``samples.txt``, a sentence
            a line, and where there are classes a ``.txt`` for each.

    Raises:
        InputError: a sentence with a line break is to be a line, or ``out`` cannot be a folder.
    """
    if format not in ("jsonl", "txt", "csv"):
        raise InputError(f"format must be jsonl, txt or csv, not {format}")
    make_folder(out)
    samples: dict[int, tuple[str, int]] = {}
    for batch in shards:
        rows = zip(batch["index"].tolist(), schema.decode(batch["x"]), batch["y"].tolist(), strict=True)
        samples.update((i, (text, c)) for i, text, c in rows)
    ordered = [samples[i] for i in sorted(samples)]
    if format == "txt":
        return _write_txt(schema, ordered, out)
    table = [{TEXT: text, **({LABEL: schema.class_name(c)} if schema.labelled else {})} for text, c in ordered]
    content = io.StringIO(newline="")
    if format == "jsonl":
        content.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in table)
    else:
        writer = csv.DictWriter(content, [TEXT, LABEL] if schema.labelled else [TEXT])
        writer.writeheader()
        writer.writerows(table)
    with replacing(out / f"samples.{format}") as file:
        file.write(content.getvalue().encode())


def _write_txt(schema: TextSchema, samples: Sequence[tuple[str, int]], out: Path) -> None:
    broken = [text for text, _ in samples if "\n" in text or "\r" in text]
    if broken:
        raise InputError(f"{broken[0][:40]!r} has a line break, and a .txt is a sentence a line: choose jsonl or csv")
    for c, name in enumerate(folder_names(schema.classes) or ["samples"]):
        lines = [text for text, y in samples if y == c]
        if lines or not schema.labelled:
            with replacing(out / f"{name}.txt") as file:
                file.write("".join(f"{line}\n" for line in lines).encode())


def read_texts(path: str | Path) -> tuple[list[str], np.ndarray | None, tuple[str, ...]]:
    """Read what :func:`write_texts` wrote, or any file or folder that :class:`TextFile` reads.

    Args:
        path: of the file or folder, with the columns ``text`` and ``label``.

    Returns:
        Sentences as they stand there, empty ones too; class ids int64 (N,) or None where there are no labels; the
        classes' names.

    Raises:
        InputError: there is nothing there that can be read.
    """
    source = TextSource(path, empty="keep")
    return source.texts, source.y if source.classes else None, source.classes


def read_text_rows(path: Path, schema: TextSchema) -> tuple[Batch, bool]:
    """See :func:`datamodules.store.read_samples`."""
    texts, y, classes = read_texts(path)
    blank = [END] * (1 if schema.ends else schema.max_length)  # holds the place, so that errors count every sentence
    try:
        ids = [schema.ids(text) for text in texts]
        most = schema.max_length
        if schema.tokenizer == "bpe" and (long := sum(len(tokens) > most for tokens in ids)):
            # What a sample has begun and not ended, such as the bytes of a letter, is read as more tokens.
            rank_zero_warn(f"{path}: {long} of {len(texts)} samples have more than the {most} tokens of the data: cut")
            ids = [tokens[:most] for tokens in ids]
        x, length = schema.pad([tokens or blank for tokens in ids])
    except InputError as error:
        raise InputError(f"{path}: {error}, as in the data") from None
    rows = {
        "x": x,
        "length": length,
        "y": own_ids(path, schema, y, classes, len(texts)),
    }
    full = torch.tensor([bool(tokens) for tokens in ids])
    if not full.all():
        rank_zero_warn(f"{path}: {int((~full).sum())} of {len(texts)} samples have no token: left out")
    return {name: field[full] for name, field in rows.items()}, y is not None


class TextStore(Store):
    """Files of sentences."""

    kind = "text"
    formats = ("jsonl", "csv", "txt")
    write = staticmethod(write_texts)
    read = staticmethod(read_text_rows)
