"""GANDataModule: dict batches, seeded splits, few-shot and imbalanced subsets, an order that can be resumed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Self

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from datamodules.errors import InputError
from datamodules.lightning_internals import batches_begun
from datamodules.options import BatchSize, Count, Remembering, Seed, Share, Within, hints
from datamodules.rows import Table
from datamodules.schema import Batch, Schema
from datamodules.splits import Fold, levelled, stratified_fold, stratified_split, warn_of_untested, whole_groups


class Stream(DistributedSampler[Any]):
    """An endless sequence of shuffled passes over the rows, cut into epochs; where it stands is a function of the step.

    Pass k is a permutation drawn from (seed, k). Nothing is dropped, and a data set smaller than a batch is no special
    case: a batch simply reaches into the next pass. Step s of rank r takes positions
    ``[(s * world + r) * batch_size, …)``, so ranks see different rows, and a run resumed at step s sees what the
    uninterrupted one saw. It is a ``DistributedSampler`` so that Lightning leaves it in place.

    Args:
        rows: number of rows in the data set; or the rows that make up a pass, where some are to come more than once.
        batch_size: rows per batch and process.
        steps: batches per epoch.
        step: asked at the start of each epoch: the number of batches before it. By default ``epoch * steps``, by
            ``set_epoch``.
    """

    def __init__(
        self,
        rows: int | np.ndarray,
        batch_size: int,
        steps: int,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        step: Callable[[], int] | None = None,
    ) -> None:
        self.rows = np.arange(rows) if isinstance(rows, int) else rows
        super().__init__(range(len(self.rows)), num_replicas=world, rank=rank, seed=seed)  # type: ignore[arg-type]
        self.batch_size, self.steps = batch_size, steps
        self.step = step or (lambda: self.epoch * steps)

    def __len__(self) -> int:
        return self.steps * self.batch_size

    def __iter__(self) -> Iterator[int]:
        number, count, order = -1, len(self.rows), self.rows
        first = self.step()
        for step in range(first, first + self.steps):
            position = (step * self.num_replicas + self.rank) * self.batch_size
            for p in range(position, position + self.batch_size):
                if p // count != number:
                    number = p // count
                    order = np.random.default_rng((self.seed, number)).permutation(self.rows)
                yield int(order[p % count])


class StreamLoader(DataLoader[Batch]):
    """A loader of a :class:`Stream`: tells Lightning, and every checkpoint, where it stands."""

    def state_dict(self) -> dict[str, int]:
        """The number of batches handed out."""
        return {"step": self.sampler.step()} if isinstance(self.sampler, Stream) else {}  # overfit_batches has its own

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Nothing to do: the stream asks the trainer, whose count the checkpoint restores, where it stands."""


def as_is(batch: Any) -> Any:
    """A collate function for data sets that already answer with whole batches."""
    return batch


class GANDataModule(LightningDataModule, metaclass=Remembering):
    """What every data module here offers.

    - ``schema``: right after construction, without touching more of the source than it needs.
    - ``train``, ``val``, ``test``: a :class:`~datamodules.Table` each, after ``setup()``; with ``group`` also
      ``elsewhere``.
    - batches: a dict of tensors, ``x`` and ``y``, and ``length`` where rows differ in length.

    A subclass implements :meth:`load` and passes these arguments on.

    Args:
        batch_size: rows per batch and process.
        seed: of the splits, the subsets and the order. The same seed gives the same rows on every machine.
        val_fraction: share of the training rows held out for validation, class by class, where the source has no
            validation split of its own.
        test_fraction: share held out for testing, where the source has no test split of its own.
        per_class: keep this many training rows of each class (few-shot). Validation and test are left whole.
        imbalance: class to the share of its training rows that is kept, above 0 and at most 1; ``{3: 0.1}`` makes the
            class called 3 rare. Where no name is like a number, 3 is the fourth class. Validation and test are left
            whole.
        group: the column, or the array, that says where a row is from, such as a site, a patient or a year, in a source
            that has one. A share of ``test_fraction`` of these groups, rounded up, drawn by the seed, is set aside, as
            ``elsewhere``: no other split has a row of them, so that they show what is learnt of a group never seen.
        balance: show every class equally often in training: of rare ones each row comes more than once in a pass.
        steps_per_epoch: batches in what Lightning calls an epoch; by default one pass over the training rows.
        num_workers: processes that prepare batches. 0 is fastest for data in memory.
    """

    schema: Schema
    _arguments: dict[str, Any]

    def __init__(
        self,
        batch_size: BatchSize = 64,
        seed: Seed = 0,
        val_fraction: Share = 0.1,
        test_fraction: Share = 0.2,
        per_class: Count | None = None,
        imbalance: Mapping[str | int, float] | None = None,
        group: str | None = None,
        balance: bool = False,
        steps_per_epoch: Annotated[int, Within(1, 2**31)] | None = None,
        num_workers: Annotated[int, Within(0, 1024)] = 0,
        _fold: Fold | None = None,  # by `again`; the command line does not offer what begins with an underscore
    ) -> None:
        super().__init__()
        if _fold is not None and not 0 <= _fold[0] < _fold[1] > 1:
            raise InputError(f"fold must be [i, k], part i from 0 of k parts, at least 2, not {list(_fold)}")
        self.batch_size = batch_size
        self.seed = seed
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.per_class = per_class
        self.imbalance = dict(imbalance or {})
        self.group = group
        self.balance = balance
        self.steps_per_epoch = steps_per_epoch
        self.num_workers = num_workers
        self.fold = _fold
        self.train: Table
        self.val: Table
        self.test: Table
        self.elsewhere: Table | None = None
        self._apart = np.empty(0, dtype=np.int64)
        self._parts: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._ready = False

    def again(self, *, fold: Fold | None = None, **changes: Any) -> Self:
        """The same source anew with some of its options changed, such as ``seed`` or ``per_class``: split again, and
        whatever is learnt from the training rows (scalers, vocabularies) learnt again.

        Args:
            fold: (i, k) takes the i-th of k parts from the training rows, as :meth:`hold_out_fold` says, after
                ``per_class`` and ``imbalance``. It is the validation split, in the place of any other.
            changes: options by name.
        """
        if fold and "_fold" not in hints(type(self)):
            raise InputError(f"{type(self).__name__} holds out no fold: hand on its **kwargs to GANDataModule")
        return type(self)(**{**self._arguments, **changes, **({"_fold": fold} if fold else {})})

    def load(self) -> tuple[Table, Table | None] | tuple[Table, Table | None, Table | None]:
        """All rows, then the source's own test rows or None, then, where it knows of such, its own validation rows or
        None. Called once, by ``setup``.
        """
        raise NotImplementedError

    def hold_out(self, rows: np.ndarray, y: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows to keep and rows to hold out: :func:`stratified_split`, unless a source has a better reason.

        Args:
            rows: (N,) their numbers in the source.
            y: (N,) their classes.
            fraction: share to hold out.
            seed: of the choice.
        """
        keep, held = stratified_split(y, fraction, seed)
        return rows[keep], rows[held]

    def hold_out_fold(self, rows: np.ndarray, y: np.ndarray, fold: Fold, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Training rows to keep and to hold out: :func:`~datamodules.splits.stratified_fold`, unless a source knows of
        rows that belong together.

        Args:
            rows: (N,) their numbers in the source.
            y: (N,) their classes, each of which keeps at least one row.
            fold: (i, k), the i-th part of k.
            seed: of the parts.
        """
        keep, held = stratified_fold(y, fold, seed)
        return rows[keep], rows[held]

    def partition(
        self, y: np.ndarray, own_test: bool, own_val: bool = False
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numbers of the training, validation and test rows among those of classes y (N,).

        A function of the classes and the options alone, so that a source may ask before it loads. There are no test
        rows among them where the source has a test split of its own, and no validation rows where it has one of those.
        """
        if self._parts is None:
            rows, test = self._set_apart(y), np.empty(0, dtype=np.int64)
            if not own_test:
                rows, test = self.hold_out(rows, y[rows], self.test_fraction, self.seed)
            keep, val = rows, np.empty(0, dtype=np.int64)
            if not own_val:
                keep, val = self.hold_out(rows, y[rows], self.val_fraction, self.seed + 1)
            train = keep[self._chosen(y[keep])]
            if not len(train):
                raise InputError(f"{type(self).__name__}: no training rows: the source is empty")
            if self.fold:
                train, val = self.hold_out_fold(train, y[train], self.fold, self.seed)
                if not len(val):
                    few = f"{len(train)} training rows of {len(np.unique(y[train]))} classes"
                    raise InputError(
                        f"folds: of {few} none can be held out for {list(self.fold)}: have more of a class"
                    )
            self._parts = train, val, test
        return self._parts

    def groups(self) -> np.ndarray | None:
        """The name of the group of each row that :meth:`load` gives to split, str (N,); None where the source has none.

        Asked only where ``group`` is set.
        """
        return None

    def _set_apart(self, y: np.ndarray) -> np.ndarray:
        """Numbers of the rows that are not ``elsewhere``."""
        rows = np.arange(len(y))
        if self.group is None:
            return rows
        groups = self.groups()
        if groups is None:
            raise InputError(f"group: {type(self).__name__} knows of no groups: leave it out")
        away = whole_groups(groups, self.test_fraction, self.seed, self.group)
        self._apart = rows[away]
        names, of = np.unique(groups[away]).tolist(), len(np.unique(groups))
        shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        rank_zero_info(f"group {self.group}: {len(names)} of {of} are set aside whole, {away.sum()} rows: {shown}")
        kept: np.ndarray = rows[~away]
        return kept

    def setup(self, stage: str | None = None) -> None:
        """Load and split. The splits depend on ``seed`` alone, never on the stage, rank or batch size."""
        if self._ready:
            return
        rows, own_test, own_val = (*self.load(), None)[:3]
        y = _classes(rows)
        train, val, test = self.partition(y, own_test is not None, own_val is not None)
        self.train = rows.subset(train)
        self.val = rows.subset(val) if own_val is None or self.fold else own_val
        self.test = rows.subset(test) if own_test is None else own_test
        self.elsewhere = None if self.group is None else rows.subset(self._apart)
        if self.schema.labelled:
            warn_of_untested(y[train], self.test.fields["y"].numpy(), self.schema.class_name)
        self._ready = True

    def _chosen(self, y: np.ndarray) -> np.ndarray:
        """Rows kept by ``per_class`` and ``imbalance``, in the order of the source."""
        ids = self.schema.class_ids("imbalance", self.imbalance)
        share = dict(zip(ids, self.imbalance.values(), strict=True))
        for class_id, value in share.items():
            if not 0 < value <= 1:
                raise InputError(
                    f"imbalance: the share of class {self.schema.class_name(class_id)} must be above 0 and at most 1,"
                    f" not {value}"
                )
        if self.per_class is None and not share:
            return np.arange(len(y))
        rng = np.random.default_rng((self.seed, 11))
        chosen = []
        for c in range(self.schema.num_classes):
            members = rng.permutation(np.flatnonzero(y == c))
            if self.per_class is not None:
                if len(members) < self.per_class:
                    raise InputError(
                        f"per_class: {self.per_class} rows asked of class {self.schema.class_name(c)}, which has"
                        f" {len(members)} training rows: ask for fewer"
                    )
                members = members[: self.per_class]
            if c in share and len(members):
                members = members[: max(1, round(len(members) * share[c]))]
            chosen.append(members)
        kept = np.sort(np.concatenate(chosen))
        counts = np.bincount(y[kept], minlength=self.schema.num_classes)
        rank_zero_info(f"training rows by class: {self.schema.by_class(counts.tolist())}")
        return kept

    # ---- loaders -----------------------------------------------------------------------------------------------------

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled, endless in spirit: see :class:`Stream`."""
        rank, world, step = 0, 1, None
        if self.trainer is not None:
            rank, world = self.trainer.global_rank, self.trainer.world_size
            # Asked of Lightning's own count, which a checkpoint restores, so that nobody has to fast-forward.
            step = partial(batches_begun, self.trainer)
        rows = self._pass()
        steps = self.steps_per_epoch or max(1, len(rows) // (self.batch_size * world))
        stream = Stream(rows, self.batch_size, steps, self.seed, rank, world, step)
        return self._loader(self.train, StreamLoader, sampler=stream, batch_size=self.batch_size)

    def _pass(self) -> np.ndarray:
        """Training rows of one pass."""
        y = _classes(self.train)
        return levelled(y) if self.balance else np.arange(len(y))

    def val_dataloader(self) -> DataLoader[Batch]:
        """The validation rows in order."""
        return self._loader(self.val, batch_size=max(256, self.batch_size))

    def test_dataloader(self) -> DataLoader[Batch]:
        """The test rows in order."""
        return self._loader(self.test, batch_size=max(256, self.batch_size))

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Requests for as many synthetic rows as there are training rows, of the same classes."""
        return requests(self.train.fields["y"], batch_size=max(256, self.batch_size))

    def _loader(self, table: Table, kind: type[DataLoader[Batch]] = DataLoader, **options: Any) -> DataLoader[Batch]:
        return kind(
            table,
            collate_fn=as_is,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
            **options,
        )

    # ---- the loader's position, in every checkpoint ------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The number of training batches handed out, and what their order was drawn from."""
        step = batches_begun(self.trainer) if self.trainer else 0
        return {"step": step, "test_fraction": self.test_fraction, **self._order}

    @property
    def _order(self) -> dict[str, Any]:
        """What the rows of a step depend on, beside its number."""
        return {
            "seed": self.seed,
            "rows": len(self.train),
            "balance": self.balance,
            "fold": self.fold,
            # which rows
            "checksum": None if self._parts is None else zlib.crc32(self._parts[0].astype("<i8").tobytes()),
            "batch_size": self.batch_size,
            "processes": self.trainer.world_size if self.trainer else 1,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse to go on with other data.

        Raises:
            InputError: the training rows or their order are not those of the interrupted run.
        """
        self.setup("fit")
        if not isinstance(state_dict, dict):
            raise InputError("the checkpoint cannot be used: what it says of the data is damaged")
        unsaid = {"balance": False, "fold": None}
        for name, here in self._order.items():
            # Older checkpoints say less: without a word of it, nothing was balanced, and the rest is not known.
            there = state_dict.get(name, unsaid.get(name, here))
            if there != here and name == "checksum":
                other = "the checkpoint was trained on other rows of the data than this run has, though on as many"
                raise InputError(f"{other}: are the fractions, per_class and imbalance those of the training?")
            if there != here:
                what = name if name == "processes" else f"data {name}"
                raise InputError(
                    f"the checkpoint was trained with {what} {there}, this run has {here}:"
                    " resume with the same options, or start a new run without --ckpt_path"
                )


def requests(y: Tensor, batch_size: int, index: Tensor | None = None, **fields: Tensor) -> DataLoader[Batch]:
    """Loader of what to generate: ``index`` (B,) int64, which with the seed makes the latent, and ``y`` (B,) int64.

    Args:
        **fields: what else is asked for, a row each, by the name of the option of the model's ``sample``.
    """
    index = torch.arange(len(y)) if index is None else index
    return DataLoader(Table({"index": index, "y": y, **fields}), batch_size=batch_size, collate_fn=as_is)


def _classes(table: Table) -> np.ndarray:
    return table.fields["y"].numpy()
