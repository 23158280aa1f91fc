"""What a ``metadata.csv`` says of the pictures of a folder: the groups that they belong to."""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np

from datamodules.errors import InputError
from datamodules.files.table import TableFile
from datamodules.images.listing import PictureFolder

NAME = "metadata.csv"  # this name and FILE are those of the datasets library's ImageFolder
FILE = "file_name"


def picture_groups(folder: PictureFolder, column: str) -> np.ndarray:
    """The group of each picture of the folder, str (N,), by a column of its ``metadata.csv``.

    Args:
        folder: with its ``metadata.csv``, whose column ``file_name`` gives paths inside the folder.
        column: that names the groups.

    Raises:
        InputError: there is no such file or column, a picture is not in it or is in it twice, or a cell is empty.
    """
    path = folder.path / NAME
    wanted = [file.relative_to(folder.path).as_posix() for file in folder.files]
    if not path.is_file():
        raise InputError(
            f"group: no file {path}: write one with the columns {FILE}, such as {wanted[0]}, and {column}"
        )
    table = TableFile(path, words={FILE, column})
    table.require(FILE, "group")
    table.require(column, "group")
    rows: dict[str, int] = {}
    for row, written in enumerate(table.words(FILE)):
        name = PurePosixPath(written.strip().replace("\\", "/")).as_posix()
        if name in rows:
            raise InputError(f"{table.place(row, FILE)}: {name} is there twice: remove one of the rows")
        rows[name] = row
    missing = [name for name in wanted if name not in rows]
    if missing:
        raise InputError(f"{path}: no row of {len(missing)} of {len(wanted)} pictures, the first {missing[0]}: add it")
    groups: np.ndarray = table.words(column)[[rows[name] for name in wanted]].astype(str)
    return groups
