"""``Classifier``: base of what a person would train on their data, quick to train many times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from datamodules.errors import named_once
from datamodules.schema import Batch, Schema

PRETEXTS = 4  # classes of each pretext task

Change = Callable[[Batch, Any], Batch]  # a batch, and the schema of its rows, to a batch
Fields = dict[str, tuple[torch.dtype, tuple[int, ...]]]  # types, and shapes of one row, by name


class Classifier(LightningModule):
    """Base of the classifiers. A subclass gives ``features``, changes, a pretext task and what its rows are.

    Args:
        schema: of the data; batches are as the schema prepares them, with ``y`` int64 (B,).
        steps: training batches, over which the learning rate rises and falls once (Smith and Topin 2018); further
            ones are trained at its last, which is next to nothing: give a ``Trainer`` as many.
        learning_rate: its peak.
        weight_decay: of AdamW.
        label_smoothing: share of the probability spread over all classes, in [0, 1).
        augment: classical augmentation of every training batch: names of ``changes``, in their order; True for the
            ``usual`` ones.

    Raises:
        InputError: there is no such change.
    """

    bf16: ClassVar[bool] = True  # whether bf16 makes it faster where the hardware multiplies in it
    changes: ClassVar[dict[str, Change]]  # classical augmentation, by name
    head: nn.Module

    def __init__(
        self,
        schema: Schema,
        steps: int,
        learning_rate: float,
        weight_decay: float,
        label_smoothing: float,
        augment: bool | Sequence[str],
    ) -> None:
        super().__init__()
        self.schema, self.steps = schema, steps
        self.chosen = self.chosen_changes(schema, augment)
        self.learning_rate, self.weight_decay, self.label_smoothing = learning_rate, weight_decay, label_smoothing

    @classmethod
    def chosen_changes(cls, schema: Any, augment: bool | Sequence[str]) -> tuple[str, ...]:
        """The names of ``changes`` that are meant: True for the ``usual`` ones.

        Raises:
            InputError: there is no such change, or it cannot be made to such rows.
        """
        return cls.usual(schema) if augment is True else tuple(named_once("classical", augment or (), cls.changes))

    # ---- what a subclass gives ----

    title: str  # what a results table calls it
    pretext_title: str  # and after the pretext task

    @staticmethod
    def usual(schema: Any) -> tuple[str, ...]:
        """Those of ``changes`` that such rows are augmented by, unless others are named."""
        raise NotImplementedError

    @staticmethod
    def fields(schema: Any) -> Fields:
        """Type and shape of a row's fields, as they are stored."""
        raise NotImplementedError

    def features(self, batch: Batch) -> Tensor:
        """What the last layer sees of each row, (B, d), at least 0."""
        raise NotImplementedError

    def pretext(self, batch: Batch) -> Batch:
        """Every row as each of the four classes of a task that needs no labels: a batch of 4 × B rows."""
        raise NotImplementedError

    # ---- what they share ----

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, classes)."""
        logits: Tensor = self.head(self.features(batch))
        return logits

    def augmented(self, batch: Batch) -> Batch:
        """A training batch after classical augmentation."""
        for name in self.chosen:
            batch = self.changes[name](batch, self.schema)
        return batch

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of a training batch; where rows are marked as ``synthetic``, only their labels are smoothed."""
        batch = self.augmented(batch)
        logits, y, smoothing = self(batch).float(), batch["y"], self.label_smoothing
        if not smoothing or "synthetic" not in batch:
            return F.cross_entropy(logits, y, label_smoothing=smoothing)
        each = [F.cross_entropy(logits, y, label_smoothing=s, reduction="none") for s in (0.0, smoothing)]
        return torch.where(batch["synthetic"], each[1], each[0]).mean()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss, logged as ``loss/train``."""
        loss = self.loss(batch)
        self.log("loss/train", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """The share of right answers, logged as ``accuracy/val``."""
        right = self(batch).argmax(1) == batch["y"]
        self.log("accuracy/val", right.float().mean(), prog_bar=True, batch_size=len(right), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW, its learning rate in one cycle over ``steps``."""
        rate = self.learning_rate
        optimizer = torch.optim.AdamW(self.parameters(), rate, weight_decay=self.weight_decay)
        total = max(20, self.steps + 1)  # with fewer it may divide by the length of an empty phase
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=total, pct_start=0.2)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Go on in the cycle, as long as it lasts."""
        if scheduler.last_epoch + 1 < scheduler.total_steps:
            scheduler.step()
