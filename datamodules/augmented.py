"""AugmentedDataModule: real rows with synthetic ones beside them, for the training of any classifier."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sized
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from datamodules.base import GANDataModule, Stream, StreamLoader, as_is
from datamodules.errors import InputError
from datamodules.lightning_internals import batches_begun
from datamodules.options import BatchSize, Natural, Remembering, Seed, Weight
from datamodules.rows import Table
from datamodules.schema import Batch, Schema, step_mask
from datamodules.store import read_samples

SOURCE_ONLY = ("row", "observed")  # fields of real rows that samples need not have


class AugmentedDataModule(LightningDataModule, metaclass=Remembering):
    """Training batches of real and synthetic rows, shuffled together; validation and test are those of the real data.

    Batches are as the real module's, prepared for a network. The order is a function of (seed, step, rank), as
    :class:`~datamodules.base.Stream` says, so a resumed run sees what the uninterrupted one saw; without a Trainer tell
    the loader's ``sampler.set_epoch`` which epoch it is, or all are alike. An epoch is a pass over all rows, or
    ``steps_per_epoch`` of the real data, whose own ``balance``, which repeats rows, is not heeded.

    Without ``ratio``, ``per_class`` and ``balance`` all samples are used. Otherwise the first of each class are, so
    that those of a smaller ratio are among those of a larger one.

    Args:
        real: the real data.
        synthetic: what ``ganaug generate`` wrote, a folder or file, whose classes are matched by name; or a data set of
            rows as the real batches have them, dicts of ``x``, ``y``, …, such as ``ganaug.SyntheticDataset``. Where it
            has ``targets``, their class ids, it is not read through to count them.
        ratio: synthetic rows for each real one, class by class; 0 for none at all.
        per_class: synthetic rows of each class, instead of a ratio.
        balance: fill every class up to the size of the largest. ``ratio`` then counts from that size, and both it and
            ``per_class`` come on top.
        batch_size: rows per training batch and process; by default that of the real data.
        seed: of the order.
        as_tuple: batches are (x, y), as most classifiers expect them, in all three splits.
        num_workers: processes that prepare batches. 0 for samples that a model on a GPU makes.

    Raises:
        InputError: an option that cannot be used; and from ``setup``: samples that are not like the data, or too few.
    """

    def __init__(
        self,
        real: GANDataModule,
        synthetic: Any,
        ratio: Weight | None = None,
        per_class: Natural | None = None,
        balance: bool = False,
        batch_size: BatchSize | None = None,
        seed: Seed = 0,
        as_tuple: bool = False,
        num_workers: Natural = 0,
    ) -> None:
        super().__init__()
        if not isinstance(synthetic, str | Path) and not (
            hasattr(synthetic, "__getitem__") and isinstance(synthetic, Sized) and not isinstance(synthetic, Mapping)
        ):
            raise InputError(
                f"synthetic must be a path or a data set with a length, not {type(synthetic).__name__}:"
                " write the samples with ganaug generate, or give a SyntheticDataset"
            )
        if ratio is not None and per_class is not None:
            raise InputError("give ratio or per_class, not both")
        self.real, self.synthetic = real, synthetic
        self.ratio, self.per_class, self.balance = ratio, per_class, balance
        self.batch_size = real.batch_size if batch_size is None else batch_size
        self.seed, self.as_tuple, self.num_workers = seed, as_tuple, num_workers
        self.train: Joined
        self._ready = False

    @property
    def schema(self) -> Schema:
        """Of the real data."""
        return self.real.schema

    def prepare_data(self) -> None:
        """Whatever the real data need."""
        self.real.prepare_data()

    def setup(self, stage: str | None = None) -> None:
        """Split the real data, read the samples, and choose among them."""
        self.real.setup(stage)
        if self._ready:
            return
        if isinstance(self.synthetic, str | Path):
            rows, labelled = read_samples(Path(self.synthetic), self.schema)
            if self.schema.labelled and not labelled:
                raise InputError(f"{self.synthetic}: the samples have no labels, and the data have classes")
            samples: Dataset[Any] = Table(rows, self.schema.prepare)
            y = rows["y"]
        else:
            samples = cast(Dataset[Any], self.synthetic)
            _same_schema(samples, self.schema)
            y = class_ids(samples)
        if len(y) and not 0 <= int(y.min()) <= int(y.max()) < self.schema.num_classes:
            raise InputError(
                f"synthetic: class ids run from {int(y.min())} to {int(y.max())}, the data have"
                f" {self.schema.num_classes} classes"
            )
        chosen = self._chosen(y)
        if len(chosen):
            _alike(self.real.train.__getitems__([0]), fetched(samples, [int(chosen[0])]))
        self.train = Joined(self.real.train, samples, chosen)
        self._which = zlib.crc32(torch.stack([chosen, y[chosen]]).numpy().astype("<i8").tobytes())
        self._ready = True
        counts = y[chosen].bincount(minlength=self.schema.num_classes).tolist()
        rank_zero_info(
            f"training rows: {len(self.real.train)} real and {len(chosen)} synthetic; of these by class:"
            f" {self.schema.by_class(counts)}"
        )

    def _chosen(self, y: Tensor) -> Tensor:
        """Numbers of the samples that are used, in order, among those of class ids y (N,)."""
        if self.ratio is None and self.per_class is None and not self.balance:
            return torch.arange(len(y))
        have = self.real.train.fields["y"].bincount(minlength=self.schema.num_classes)
        size = have.max().expand_as(have) if self.balance else have
        wanted = size - have + (self.per_class or 0) + (size * (self.ratio or 0.0) + 0.5).long()
        missing = wanted - y.bincount(minlength=self.schema.num_classes)
        short = [f"{int(n)} of class {self.schema.class_name(c)}" for c, n in enumerate(missing) if n > 0]
        if short:
            more = f" and of {len(short) - 20} more classes" if len(short) > 20 else ""
            raise InputError(
                f"synthetic: {', '.join(short[:20])}{more} are missing of the {int(wanted.sum())} samples asked for:"
                " generate more, ask for fewer, or give a SyntheticDataset of the checkpoint with as many"
            )
        parts = [(y == c).nonzero()[:n, 0] for c, n in enumerate(wanted.tolist())]
        return torch.cat(parts).sort().values

    # ---- loaders -----------------------------------------------------------------------------------------------------

    def train_dataloader(self) -> DataLoader[Any]:
        """Endless shuffled passes over real and synthetic rows, cut into epochs."""
        rank, world, step = 0, 1, None
        if self.trainer is not None:
            rank, world = self.trainer.global_rank, self.trainer.world_size
            step = partial(batches_begun, self.trainer)
        steps = self.real.steps_per_epoch or max(1, len(self.train) // (self.batch_size * world))
        stream = Stream(len(self.train), self.batch_size, steps, self.seed, rank, world, step)
        return self._loader(self.train, StreamLoader, sampler=stream, batch_size=self.batch_size)

    def val_dataloader(self) -> DataLoader[Any]:
        """The real validation rows in order."""
        return self._loader(self.real.val, batch_size=max(256, self.batch_size))

    def test_dataloader(self) -> DataLoader[Any]:
        """The real test rows in order."""
        return self._loader(self.real.test, batch_size=max(256, self.batch_size))

    def _loader(self, rows: Dataset[Any], kind: type[DataLoader[Any]] = DataLoader, **options: Any) -> DataLoader[Any]:
        collate: Callable[[Any], Any] = as_pair if self.as_tuple else as_is
        return kind(
            rows,
            collate_fn=collate,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
            **options,
        )

    # ---- the loader's position, in every checkpoint ------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The number of training batches handed out, and what their order was drawn from."""
        step = batches_begun(self.trainer) if self.trainer else 0
        return {"step": step, **self._order()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse to go on with other data.

        Raises:
            InputError: the training rows or their order are not those of the interrupted run.
        """
        self.setup("fit")
        if not isinstance(state_dict, dict):
            raise InputError("the checkpoint cannot be used: what it says of the data is damaged")
        for name, here in self._order().items():
            there = state_dict.get(name, here)  # older checkpoints say less
            if name == "batch_size" and not state_dict.get("step"):  # Lightning's Tuner looks for one
                continue
            if there != here and name in ("rows", "samples"):
                raise InputError(
                    f"the checkpoint was trained on other {'real rows' if name == 'rows' else 'samples'} than this run"
                    " has, though on as many: resume with the same ones, or start a new run"
                )
            if there != here:
                what = name if name == "processes" else f"data {name}"
                raise InputError(
                    f"the checkpoint was trained with {what} {there}, this run has {here}: resume with the same"
                    " options, or start a new run"
                )

    def _order(self) -> dict[str, Any]:
        """What the rows of a step depend on, beside its number."""
        real = len(self.real.train)
        return {
            "seed": self.seed,
            "real": real,
            "synthetic": len(self.train) - real,
            "split": self.real.seed,
            "batch_size": self.batch_size,
            "processes": self.trainer.world_size if self.trainer else 1,
            "rows": self.real._order["checksum"],
            "samples": self._which,  # of which numbers and classes
        }


class Joined(Dataset[Batch]):
    """The rows of a table, then chosen rows of another data set, all with the fields of the table.

    Args:
        real: the table.
        synthetic: the other data set; an item is a dict as a row of the table, and may lack ``row``, which is then -1,
            and ``observed``, which is then 1 up to the row's length.
        chosen: (N,) numbers of its rows.
    """

    def __init__(self, real: Table, synthetic: Dataset[Any], chosen: Tensor) -> None:
        self.real, self.synthetic, self.chosen = real, synthetic, chosen
        self.names = list(real.__getitems__([0]))  # which of pictures on a disk are not those that are held

    def __len__(self) -> int:
        return len(self.real) + len(self.chosen)

    def __getitems__(self, rows: list[int]) -> Batch:
        index = torch.as_tensor(rows, dtype=torch.long)
        of_real = index < len(self.real)
        parts = []
        if of_real.any() or not len(self.chosen):
            parts.append(self.real.__getitems__(index[of_real].tolist()))
        if not of_real.all():
            numbers = self.chosen[index[~of_real] - len(self.real)].tolist()
            made = fetched(self.synthetic, numbers)
            for name, field in made.items():
                if field.is_floating_point() and not field.isfinite().all():
                    row = int((~field.isfinite()).flatten(1).any(1).nonzero()[0])
                    raise InputError(
                        f"synthetic: {name} of row {numbers[row]} has a value that is no number: leave it out"
                    )
            parts.append({name: made[name] if name in made else _filled(name, made) for name in self.names})
        place = torch.cat([of_real.nonzero(), (~of_real).nonzero()])[:, 0].argsort()
        return {name: torch.cat([part[name] for part in parts])[place] for name in parts[0]}

    def __getitem__(self, row: int) -> Batch:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        return {name: field[0] for name, field in self.__getitems__([row]).items()}


def _filled(name: str, made: Batch) -> Tensor:
    """What samples have in a field that only a source gives."""
    if name == "row":
        return torch.full_like(made["y"], -1)
    inside = step_mask(made["length"], made["x"].shape[1])
    return inside[:, :, None].expand(made["x"].shape).to(made["x"].dtype)


def fetched(rows: Dataset[Any], numbers: list[int]) -> Batch:
    """Rows of any data set of dicts as one batch: all at once, where it can."""
    at_once = getattr(rows, "__getitems__", None)
    items = at_once(numbers) if at_once is not None else [rows[number] for number in numbers]
    if not isinstance(items, Mapping):
        if not all(isinstance(item, Mapping) for item in items):
            raise InputError(
                "synthetic: the items of a data set must be dicts of x, y, … as in the real batches, not"
                f" {type(items[0]).__name__}"
            )
        items = default_collate(items)
    return cast(Batch, items)


def class_ids(rows: Dataset[Any]) -> Tensor:
    """Class ids int64 (N,) of a data set: its ``targets``, or else the ``y`` of every item, read once."""
    targets, count = getattr(rows, "targets", None), len(cast(Sized, rows))
    if targets is not None:
        ids = np.asarray(targets.cpu() if isinstance(targets, Tensor) else targets)
        if ids.shape != (count,) or ids.dtype.kind not in "iu":
            raise InputError(
                f"synthetic: its targets are {ids.dtype} {ids.shape}: give the class id, a whole number, of each of"
                f" {count} rows"
            )
        return torch.from_numpy(ids.astype(np.int64))
    parts = [fetched(rows, list(range(i, min(i + 256, count)))) for i in range(0, count, 256)]
    if any("y" not in part for part in parts):
        raise InputError("synthetic: the items of the data set have no y: give each its class id, or 0")
    if any(not isinstance(part["y"], Tensor) or part["y"].is_floating_point() for part in parts):
        raise InputError("synthetic: the y of the data set's items must be class ids, whole numbers")
    return torch.cat([part["y"].long() for part in parts]) if parts else torch.empty(0, dtype=torch.long)


def as_pair(batch: Batch) -> tuple[Tensor, Tensor]:
    """A collate function for classifiers that expect (x, y)."""
    return batch["x"], batch["y"]


# ---- samples that must be like the data ------------------------------------------------------------------------------


def _same_schema(samples: Dataset[Any], schema: Schema) -> None:
    """Refuse a data set that says it was made for other data."""
    theirs = getattr(samples, "schema", None)
    if not isinstance(theirs, Schema) or theirs == schema:
        return
    differ = ", ".join(schema.differences(theirs.to_dict()))
    raise InputError(f"synthetic: made by a model of other data, or of another split of them: their {differ} differ")


def _alike(real: Batch, made: Batch) -> None:
    """Refuse samples whose fields are not of the type and shape of a real row's."""
    for name, field in real.items():
        there = made.get(name)
        if name in SOURCE_ONLY and there is None:
            continue
        wanted = f"{name} {str(field.dtype).removeprefix('torch.')} {tuple(field.shape[1:])}"
        if there is None:
            raise InputError(f"synthetic: a real row has {wanted}, a sample has no {name}")
        if (there.dtype, there.shape[1:]) != (field.dtype, field.shape[1:]):
            found = f"{str(there.dtype).removeprefix('torch.')} {tuple(there.shape[1:])}"
            raise InputError(f"synthetic: a real row has {wanted}, a sample {found}: give samples as the batches are")
