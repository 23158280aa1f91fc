"""What every data module promises, as tests: inherit DataModuleContract and override ``make``."""

import json
import warnings
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules import GANDataModule, Schema, Table


def rows(table: Table) -> dict[str, torch.Tensor]:
    """All rows of a table, as the model sees them."""
    return table.__getitems__(list(range(len(table))))


def counted(*tables: Table) -> Counter[tuple[bytes, ...]]:
    """The rows of several tables and how often each occurs, whatever their order."""
    found = Counter()
    for table in tables:
        batch = rows(table)
        found.update(tuple(batch[name][i].numpy().tobytes() for name in sorted(batch)) for i in range(len(table)))
    return found


def known(table: Table) -> Counter:
    """The rows of a table, by their number in the source where they have one: how they look depends on the others."""
    return Counter(table.fields["row"].tolist()) if "row" in table.fields else counted(table)


def class_counts(module: GANDataModule, split: str = "train") -> list[int]:
    y = getattr(module, split).fields["y"]
    return torch.bincount(y, minlength=module.schema.num_classes).tolist()


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


class DataModuleContract:
    """Override ``make``; and where a promise is another for some module, the check of that name.

    ``make`` builds a small module: at least three training rows of each class with the default options.
    """

    def make(self, tmp_path: Path, **options) -> GANDataModule:
        raise NotImplementedError

    def ready(self, tmp_path: Path, **options) -> GANDataModule:
        module = self.make(tmp_path, **options)
        module.setup()
        return module

    # ---- what a modality is ------------------------------------------------------------------------------------------

    def check_image(self, batch, schema) -> None:
        x = batch["x"]
        assert x.shape[1:] == (schema.channels, *schema.size)
        assert x.dtype == torch.float32
        assert -1 <= x.min() < x.max() <= 1
        assert x.min() < -0.5  # a picture in [0, 1] would pass the line above
        assert schema.decode(x).shape[1:] == (schema.height, schema.width, schema.channels)

    def check_text(self, batch, schema) -> None:
        x, length = batch["x"], batch["length"]
        assert x.ndim == 2
        assert x.dtype == length.dtype == torch.int64
        assert x.min() >= 0
        assert ((length >= 1) & (length <= x.shape[1])).all()

    def check_series(self, batch, schema) -> None:
        x, length = batch["x"], batch["length"]
        assert x.ndim == 3
        assert x.dtype == torch.float32
        assert torch.isfinite(x).all()
        assert length.dtype == torch.int64
        assert ((length >= 1) & (length <= x.shape[1])).all()

    # ---- the promises ------------------------------------------------------------------------------------------------

    def test_schema_comes_with_construction_and_survives_a_checkpoint(self, tmp_path):
        schema = self.make(tmp_path).schema
        assert Schema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema
        checkpoint = BytesIO()
        torch.save(schema.to_dict(), checkpoint)
        checkpoint.seek(0)
        assert Schema.from_dict(torch.load(checkpoint, weights_only=True)) == schema

    def test_batches_are_what_the_schema_says(self, tmp_path):
        module = self.ready(tmp_path, batch_size=4)
        for loader in (module.train_dataloader(), module.val_dataloader(), module.test_dataloader()):
            batch = next(iter(loader))
            y = batch["y"]
            assert y.dtype == torch.int64
            assert y.shape == (len(batch["x"]),)
            assert ((y >= 0) & (y < module.schema.num_classes)).all()
            getattr(self, f"check_{module.schema.kind}")(batch, module.schema)
        assert len(next(iter(module.train_dataloader()))["y"]) == 4
        assert len(module.train_dataloader()) == len(list(module.train_dataloader()))

    def test_labels_cover_the_classes_and_are_0_without(self, tmp_path):
        module = self.ready(tmp_path)
        if module.schema.labelled:
            assert min(class_counts(module)) >= 1
        else:
            assert set(module.train.fields["y"].tolist()) == {0}

    def test_the_seed_fixes_splits_and_order(self, tmp_path):
        first, again = (self.ready(tmp_path, batch_size=4, steps_per_epoch=5) for _ in range(2))
        other = self.ready(tmp_path, batch_size=4, steps_per_epoch=5, seed=1)
        for split in ("train", "val", "test"):
            assert_same(rows(getattr(first, split)), rows(getattr(again, split)))
        for a, b in zip(first.train_dataloader(), again.train_dataloader(), strict=True):
            assert_same(a, b)
        assert any(
            not torch.equal(a["x"], b["x"])
            for a, b in zip(first.train_dataloader(), other.train_dataloader(), strict=True)
        )

    def test_the_stage_does_not_change_the_splits(self, tmp_path):
        fitted, tested = self.make(tmp_path), self.make(tmp_path)
        fitted.setup("fit")
        tested.setup("test")
        tested.setup("fit")
        assert_same(rows(fitted.test), rows(tested.test))
        assert_same(rows(fitted.train), rows(tested.train))

    def test_splits_are_disjoint_and_together_whole(self, tmp_path):
        module = self.ready(tmp_path)
        source = [table for table in self.make(tmp_path).load() if table is not None]
        assert len(module.val)
        assert len(module.test)
        assert counted(module.train, module.val, module.test) == counted(*source)

    def test_splits_are_stratified(self, tmp_path):
        module = self.ready(tmp_path, val_fraction=0.3)
        for kept, held in zip(class_counts(module), class_counts(module, "val"), strict=True):
            assert abs(held - 0.3 * (kept + held)) <= 1

    def test_per_class_keeps_that_many_and_leaves_the_rest_whole(self, tmp_path):
        whole, few = self.ready(tmp_path), self.ready(tmp_path, per_class=2)
        assert class_counts(few) == [2] * whole.schema.num_classes
        assert counted(few.train) <= counted(whole.train)
        assert_same(rows(few.val), rows(whole.val))
        assert_same(rows(few.test), rows(whole.test))

    def test_folds_share_out_the_training_rows(self, tmp_path):
        whole = self.ready(tmp_path)
        held = []
        for part in range(3):
            module = whole.again(fold=(part, 3))
            module.setup()
            assert min(class_counts(module)) >= 1
            assert known(module.train) + known(module.val) <= known(whole.train)
            assert known(module.test) == known(whole.test)
            held.append(known(module.val))
        assert sum(held, Counter()) <= known(whole.train)

    def test_imbalance_thins_one_class(self, tmp_path):
        whole = self.ready(tmp_path)
        if not whole.schema.labelled:
            pytest.skip("no classes")
        rare = self.ready(tmp_path, imbalance={whole.schema.class_name(0): 0.4})
        before, after = class_counts(whole), class_counts(rare)
        assert after[0] == max(1, round(0.4 * before[0])) < before[0]
        assert after[1:] == before[1:]
        assert_same(rows(rare.test), rows(whole.test))

    def test_balance_shows_every_class_equally_often(self, tmp_path):
        names = self.make(tmp_path).schema.classes
        options = {"imbalance": {names[0]: 0.4}} if names else {}
        plain, balanced = (self.ready(tmp_path, batch_size=1, balance=b, **options) for b in (False, True))
        assert_same(rows(balanced.train), rows(plain.train))  # the rows are the same, and how often they come is not
        seen = list(balanced.train_dataloader())
        y = torch.cat([batch["y"] for batch in seen])
        assert torch.bincount(y).tolist() == [max(class_counts(plain))] * len(class_counts(plain))
        shown = {tuple(batch[name].numpy().tobytes() for name in sorted(batch)) for batch in seen}
        assert shown == set(counted(plain.train))

    def test_requests_repeat_the_training_classes(self, tmp_path):
        module = self.ready(tmp_path)
        batches = list(module.predict_dataloader())
        assert torch.cat([batch["index"] for batch in batches]).tolist() == list(range(len(module.train)))
        y = torch.cat([batch["y"] for batch in batches])
        np.testing.assert_array_equal(torch.bincount(y, minlength=module.schema.num_classes), class_counts(module))


class WorkersContract(DataModuleContract):
    """What a kind of data promises beside, once: rows cross from worker processes."""

    def test_worker_processes_change_nothing(self, tmp_path):
        options = {"batch_size": 4, "steps_per_epoch": 4}
        alone, helped = self.ready(tmp_path, **options), self.ready(tmp_path, **options, num_workers=2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of forking a process that has threads, and of too many workers
            for a, b in zip(alone.train_dataloader(), helped.train_dataloader(), strict=True):
                assert_same(a, b)
