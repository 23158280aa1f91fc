"""ImageFolder: folders of pictures as a source."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from PIL import Image, ImageOps
from torch import Tensor

from datamodules.errors import InputError
from datamodules.images.blank import Look
from datamodules.images.files import Picture, Ranges, brightest, read_picture
from datamodules.images.listing import OnError, PictureFolder, match_classes, picture_folders
from datamodules.images.ranges import asked_range
from datamodules.images.schema import ImageSchema
from datamodules.images.sides import both, cropped_size
from datamodules.images.sources import ImageModule
from datamodules.rows import Table
from datamodules.schema import Batch
from datamodules.splits import Split, apart, own_splits


@dataclass(frozen=True)
class Reading:
    """How the files of a source are read.

    Args:
        schema: of the pictures.
        crop: whether each is scaled and cropped to the schema's size.
        ranges: of grey pixels that are more than bytes.
    """

    schema: ImageSchema
    crop: bool
    ranges: Ranges

    def __call__(self, file: Path) -> Picture:
        """A picture of the schema's size and channels.

        Raises:
            InputError: the file cannot be read, or, without ``crop``, is of another size.
        """
        picture = read_picture(file, self.schema.channels, self.ranges)
        image, size = picture.image, (self.schema.width, self.schema.height)
        if self.crop:
            return picture._replace(image=ImageOps.fit(image, size, Image.Resampling.LANCZOS))
        if image.size != size:
            raise InputError(f"{file}: {image.height}×{image.width}, where its header said {size[1]}×{size[0]}")
        return picture

    def encode(self, image: Image.Image) -> Tensor:
        """A picture as the networks see it, uint8 (channels, *size)."""
        schema = self.schema
        return schema.encode(np.array(image).reshape(1, schema.height, schema.width, schema.channels))[0]


class PictureFiles(Table):
    """Rows that are read from their files when a batch asks for them."""

    def __init__(self, files: Sequence[Path], fields: Batch, reading: Reading) -> None:
        super().__init__(fields, transform=reading.schema.prepare)
        self.files, self.reading = files, reading

    def __getitems__(self, rows: list[int]) -> Batch:
        index = torch.as_tensor(rows, dtype=torch.long)
        files = [self.files[row] for row in self.fields["row"][index].tolist()]
        read = [self.reading.encode(self.reading(file).image) for file in files or self.files[:1]]
        x = torch.stack(read)[: len(files)]  # (B, C, H, W), also of no rows
        return self.reading.schema.prepare({"x": x, "y": self.fields["y"][index]})

    def subset(self, rows: np.ndarray) -> PictureFiles:
        """The given rows, in the given order."""
        index = torch.from_numpy(rows)
        fields = {name: field[index] for name, field in self.fields.items()}
        return PictureFiles(self.files, fields, self.reading)


class ImageFolder(ImageModule):
    """Pictures in a folder, with a subfolder for each class, or all together where there are no classes.

    Pictures of one size are padded or scaled to what networks see, and written in their own size again. Where sizes
    differ, each is scaled until it fills that and cropped around its centre. EXIF turns are applied, and of an
    animation the first picture counts.

    Grey pictures of 16 or 32 bits or of floats are scaled to 8 bits from the range that the training pictures use,
    which is said: 4095, not 65535, is white where the largest number has 12 bits. Transparency is kept as a fourth
    channel where it varies in every picture, and otherwise laid on white.

    Folders ``train``, ``val`` and ``test``, or of other usual names (``training``, ``valid``, ``validation``, ``dev``,
    ``test_set``, …), with nothing beside them, are taken as the splits: ``train`` and one of the others must be there.
    What is missing is held out of ``train``.

    A ``metadata.csv`` in the folder, whose column ``file_name`` gives the path of each picture inside it, can say more:
    ``label_column`` is the column of the classes, wherever pictures lie, and ``group`` that of the groups.

    Args:
        path: of the folder.
        test_path: a second folder, with classes of the same names, to test on.
        on_error: ``raise`` refuses a picture that cannot be read, ``skip`` leaves it out and counts it.
        channels: 1 grey, 3 RGB, 4 RGB and alpha. By default 4 where the transparency of every picture varies, else 1
            where every picture is grey, else 3.
        in_memory: hold the pictures in memory, as bytes, instead of reading them for each batch. By default where
            they fit in a quarter of the memory that is free.
        image_size: side of the square that the networks see, or ``[height, width]``: see :class:`ImageModule`. Where
            sizes differ, by default the largest square not above the shortest side, or a rectangle where all pictures
            are wide, or all tall.
        label_column: of ``metadata.csv``, instead of folders by class.
        value_range: ``[low, high]``, the numbers that are black and white in grey pictures. Others are refused.
        kwargs: the options of :class:`ImageModule` and :class:`GANDataModule`.

    Raises:
        InputError: the folder cannot be used as it is. A picture cut short is only found by ``setup``.
    """

    def __init__(
        self,
        path: Annotated[str | Path, "folder"],
        test_path: Annotated[str | Path, "folder"] | None = None,
        on_error: OnError = "raise",
        channels: Literal[1, 3, 4] | None = None,
        in_memory: bool | None = None,
        image_size: int | tuple[int, int] | None = None,
        value_range: tuple[float, float] | None = None,
        label_column: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(image_size=image_size, **kwargs)
        self.path, self.in_memory, self.value_range = Path(path), in_memory, value_range
        asked_range(value_range)
        self._folders = picture_folders(self.path, on_error, label_column)
        if test_path is not None:
            if "test" in self._folders:
                raise InputError(f"test_path: {self.path} has a folder {self._folders['test'].path.name}: give one")
            apart(self.path, Path(test_path))
            self._folders["test"] = PictureFolder(test_path, on_error, label_column)
            match_classes(self._folders["train"], self._folders["test"])
        if len(self._folders) > 1:
            counts: dict[str, int] = {role: len(folder.files) for role, folder in self._folders.items()}
            rank_zero_info(f"{self.path}: {own_splits(counts, self.test_fraction, self.val_fraction)}")
        first = self._folders["train"]
        depth = channels or max([first.channels, *(folder.colours for folder in self._folders.values())])
        sizes = {size for folder in self._folders.values() for size in folder.sizes}
        self.crop = len(sizes) > 1
        height, width = self._crop(sizes) if self.crop else sizes.pop()
        self.schema = self._describe(height, width, depth, first.classes)

    def _crop(self, sizes: set[tuple[int, int]]) -> tuple[int, int]:
        span = " to ".join(f"{height}×{width}" for height, width in (min(sizes), max(sizes)))
        if self.fit is not None:
            raise InputError(
                f"fit: the pictures of {self.path} differ in size ({span}) and are scaled and cropped: leave fit out"
            )
        height, width = both(self.image_size) if self.image_size else cropped_size(sizes)
        rank_zero_info(
            f"{self.path}: sizes differ ({span}, height×width): each picture is scaled and cropped to {height}×{width}"
        )
        return height, width

    def load(self) -> tuple[Table, Table | None, Table | None]:
        """The pictures of ``path``, or of its ``train``, and those of its own splits; every file is read once, so that
        none fails later.
        """
        asked = asked_range(self.value_range)
        ranges = self._folders["train"].ranges(asked)
        for folder in list(self._folders.values())[1:]:
            if {header.numbers for header in folder.headers} - {"byte"} - set(ranges):
                ranges = {**folder.ranges(asked), **ranges}  # of a kind that no training picture is
        reading = Reading(self.schema, self.crop, ranges)
        tables = {split: self._rows(folder, reading, split) for split, folder in self._folders.items()}
        return tables["train"], tables.get("test"), tables.get("val")

    def groups(self) -> np.ndarray:
        """Of the column ``group`` in ``metadata.csv``, a group for each training picture."""
        return self._folders["train"].column(str(self.group), "group", "group")

    def _rows(self, folder: PictureFolder, reading: Reading, split: Split) -> Table:
        in_memory, look, bright = self._fits(len(folder.files)), Look(), [0]
        halved = {file for file, header in zip(folder.files, folder.headers, strict=True) if header.halved}

        def read(file: Path) -> tuple[Tensor, bool, bool]:
            image, laid, cut = reading(file)
            look.at(np.asarray(image))
            if file in halved:
                bright.append(brightest(image))
            # not in memory: only to see that it can be read
            return reading.encode(image) if in_memory else torch.empty(0), laid, cut

        found = folder.each(read)
        folder.keep([one is not None for one in found])
        pictures = [one for one in found if one is not None]
        folder.say_halved(max(bright))
        _say(folder, sum(laid for _, laid, _ in pictures), sum(cut for _, _, cut in pictures))
        if split == "train" and (warning := look.warning()):
            rank_zero_warn(f"{folder.path}: {warning}")
        y = torch.from_numpy(folder.y)
        if not in_memory:
            return PictureFiles(folder.files, {"row": torch.arange(len(y)), "y": y}, reading)
        x = torch.stack([x for x, _, _ in pictures])  # (N, C, H, W) uint8
        return Table({"x": x, "y": y}, transform=self.schema.prepare)

    def _fits(self, rows: int) -> bool:
        names = getattr(os, "sysconf_names", ())  # macOS and Windows do not say
        if self.in_memory is not None or "SC_AVPHYS_PAGES" not in names:
            return self.in_memory is not False
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return rows * self.schema.channels * math.prod(self.schema.size) <= free // 4


def _say(folder: PictureFolder, laid: int, cut: int) -> None:
    """What was changed in the pictures of a folder."""
    if laid:
        rank_zero_info(
            f"{folder.path}: transparent parts of {laid} of {len(folder.files)} pictures are laid on white; channels 4"
            " keeps the transparency"
        )
    if cut:
        rank_zero_warn(
            f"{folder.path}: {cut} of {len(folder.files)} pictures have pixels beyond the range of the training"
            " pictures, cut off there: set value_range"
        )
