from collections import Counter

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentError, ArgumentParser
from lightning.pytorch import LightningModule, Trainer

from datamodules import Digits, GANDataModule, ImageSchema, InputError, Schema, Table
from datamodules.base import Stream, requests
from datamodules.splits import consecutive_fold, levelled, stratified_fold, stratified_split


class Numbers(GANDataModule):
    """Rows 0, 1, 2, … whose value is their number."""

    def __init__(self, labels, test=None, **options):
        super().__init__(**options)
        self.labels, self.test_rows = np.asarray(labels, dtype=np.int64), test
        classes = tuple("abcdef"[: int(self.labels.max(initial=-1)) + 1])
        self.schema = ImageSchema(classes=classes, height=8, width=8, channels=1, image_size=8)

    def load(self):
        table = Table({"x": torch.arange(len(self.labels)), "y": torch.from_numpy(self.labels)})
        return table, self.test_rows


def numbers(labels, **options) -> GANDataModule:
    module = Numbers(labels, **options)
    module.setup()
    return module


# ---- Stream ----------------------------------------------------------------------------------------------------------


def drawn(epochs=1, start_epoch=0, **options) -> list[int]:
    stream = Stream(**{"rows": 10, "batch_size": 3, "steps": 4, "seed": 0, "rank": 0, "world": 1, **options})
    order = []
    for epoch in range(start_epoch, start_epoch + epochs):
        stream.set_epoch(epoch)
        order += list(stream)
    return order


def test_every_row_comes_once_in_each_pass():
    order = drawn(epochs=5)  # 60 rows: six passes over 10
    passes = [order[i : i + 10] for i in range(0, 60, 10)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert len({tuple(one) for one in passes}) == 6


def test_ranks_share_a_pass_between_them():
    ranks = [drawn(rows=24, rank=rank, world=2) for rank in range(2)]
    assert sorted(ranks[0] + ranks[1]) == list(range(24))
    together = drawn(rows=24, steps=8)
    for rank in range(2):
        assert ranks[rank] == [row for place, row in enumerate(together) if place // 3 % 2 == rank]


@pytest.mark.parametrize(("epoch", "batch"), [(0, 0), (0, 3), (1, 2), (2, 0)])
def test_a_resumed_stream_is_the_tail_of_the_whole(epoch, batch):
    whole = drawn(epochs=4)
    step = epoch * 4 + batch
    assert drawn(step=lambda: step) == whole[step * 3 :][:12]


def test_a_batch_may_be_larger_than_the_data():
    order = drawn(rows=2, batch_size=5, steps=2)
    assert Counter(order) == {0: 5, 1: 5}


def test_a_pass_may_hold_rows_more_than_once():
    order = drawn(rows=np.array([4, 4, 7]), batch_size=3, steps=5)
    assert all(sorted(order[i : i + 3]) == [4, 4, 7] for i in range(0, 15, 3))


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([0, 1, 0, 0, 0, 0], {0: 1, 2: 1, 3: 1, 4: 1, 5: 1, 1: 5}),
        ([2, 2, 2, 0, 0], {0: 1, 1: 1, 2: 1, 3: 2, 4: 1}),  # a class without rows has none to repeat
        ([1, 0], {0: 1, 1: 1}),
        ([0], {0: 1}),
    ],
)
def test_levelled_repeats_rows_of_rare_classes_evenly(y, expected):
    rows = levelled(np.array(y))
    assert Counter(rows.tolist()) == expected
    assert (np.diff(rows) >= 0).all()


def test_epochs_differ_and_seeds_differ():
    assert drawn() == drawn()
    assert drawn() != drawn(seed=1)
    assert drawn() != drawn(start_epoch=1)


# ---- splits ----------------------------------------------------------------------------------------------------------


def test_stratified_split_takes_the_same_share_of_each_class():
    y = np.repeat([0, 1, 2], [100, 10, 1])
    keep, held = stratified_split(y, 0.2, seed=0)
    assert np.bincount(y[held], minlength=3).tolist() == [20, 2, 0]
    assert sorted([*keep, *held]) == list(range(111))
    again = stratified_split(y, 0.2, seed=0)[1]
    assert (held == again).all()
    assert (held != stratified_split(y, 0.2, seed=1)[1]).any()


@pytest.mark.parametrize("fraction", [0.5, 0.9, 0.999])
def test_each_class_keeps_a_row(fraction):
    y = np.array([0, 1, 1, 2, 2, 2])
    keep, _ = stratified_split(y, fraction, seed=3)
    assert set(y[keep]) == {0, 1, 2}


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_folds_are_stratified_and_share_out_the_rows(parts):
    y = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 4], [40, 11, 2, 1]))
    folds = [stratified_fold(y, (part, parts), seed=1) for part in range(parts)]
    for keep, held in folds:
        assert sorted([*keep, *held]) == list(range(54))
        assert set(y[keep]) == {0, 1, 2, 4}, "each class keeps a row"
        assert (np.abs(np.bincount(y[held], minlength=3)[:3] - np.array([40, 11, 2]) / parts) < 1).all()
    only = int(np.flatnonzero(y == 4)[0])
    assert sorted(np.concatenate([held for _, held in folds])) == [row for row in range(54) if row != only]
    assert (folds[0][1] == stratified_fold(y, (0, parts), seed=1)[1]).all()
    assert any(not np.array_equal(folds[0][1], stratified_fold(y, (0, parts), seed=s)[1]) for s in (2, 3))


def test_folds_of_classes_smaller_than_their_number():
    y = np.repeat(np.arange(10), 2)
    folds = [stratified_fold(y, (part, 3), seed=0)[1] for part in range(3)]
    assert sorted(map(len, folds)) == [6, 7, 7]
    assert max(np.bincount(y[held]).max() for held in folds) == 1


def test_the_seed_says_which_consecutive_fold_is_the_first():
    y, order = np.zeros(30, dtype=np.int64), np.arange(30)
    firsts = {tuple(np.flatnonzero(consecutive_fold(y, order, (0, 3), seed=seed))) for seed in range(20)}
    assert len(firsts) == 3


def test_consecutive_folds_follow_each_other_in_every_class():
    y, order = np.array([0] * 6 + [1] * 3 + [2]), np.array([5, 4, 3, 2, 1, 0, 7, 8, 9, 3])
    folds = [consecutive_fold(y, order, (part, 3), seed=0) for part in range(3)]
    assert sorted(np.flatnonzero(held).tolist() for held in folds) == [[0, 1, 8], [2, 3, 7], [4, 5, 6]]


def test_a_fold_is_taken_from_the_subset_and_becomes_the_validation_rows():
    options = {"per_class": 9, "imbalance": {"b": 0.5}, "seed": 4}
    whole = numbers([0] * 40 + [1] * 40, **options)
    parts = [whole.again(fold=(part, 3)) for part in range(3)]
    for part in parts:
        part.setup()
        together = sorted([*part.train.fields["x"].tolist(), *part.val.fields["x"].tolist()])
        assert together == sorted(whole.train.fields["x"].tolist())
        assert torch.equal(part.test.fields["x"], whole.test.fields["x"])
        with pytest.raises(InputError, match="was trained with data fold"):
            part.load_state_dict({**part.state_dict(), "fold": None})
    assert sorted(row for part in parts for row in part.val.fields["x"].tolist()) == together


def test_a_fold_stands_in_for_the_sources_own_validation_rows():
    class WithValidation(Numbers):
        def load(self):
            return (*super().load(), Table({"x": torch.tensor([100]), "y": torch.tensor([0])}))

    whole = WithValidation([0, 1] * 10)
    part = whole.again(fold=(1, 2))
    whole.setup()
    part.setup()
    assert whole.val.fields["x"].tolist() == [100]
    assert sorted([*part.train.fields["x"], *part.val.fields["x"]]) == sorted(whole.train.fields["x"])


def test_no_fraction_holds_nothing_out():
    module = numbers([0] * 10, val_fraction=0, test_fraction=0)
    assert (len(module.train), len(module.val), len(module.test)) == (10, 0, 0)


def test_the_sources_own_test_rows_are_used_as_they_are():
    test = Table({"x": torch.tensor([100, 101]), "y": torch.tensor([0, 1])})
    module = numbers([0, 1] * 10, test=test)
    assert module.test is test
    assert len(module.train) + len(module.val) == 20


def test_per_class_and_imbalance_together():
    module = numbers([0] * 40 + [1] * 40, per_class=10, imbalance={"b": 0.3}, test_fraction=0, val_fraction=0.1)
    assert torch.bincount(module.train.fields["y"]).tolist() == [10, 3]
    assert len(module.val) == 8


def test_a_rare_class_never_vanishes():
    module = numbers([0] * 10 + [1] * 10, imbalance={1: 0.001})
    assert torch.bincount(module.train.fields["y"])[1] == 1


def test_imbalance_may_name_a_class_by_number():
    by_name, by_number = (numbers([0, 1] * 20, imbalance={label: 0.5}) for label in ("b", 1))
    assert torch.equal(by_name.train.fields["x"], by_number.train.fields["x"])


# ---- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fold", [(3, 3), (-1, 3), (0, 1), (1, 0)])
def test_there_is_no_such_fold(fold):
    with pytest.raises(InputError, match=r"fold must be \[i, k\]"):
        numbers([0, 1] * 10).again(fold=fold)


def test_a_module_that_cannot_be_told_of_folds():
    class Fixed(Numbers):
        def __init__(self, labels, seed=0):
            super().__init__(labels, seed=seed)

    with pytest.raises(InputError, match=r"^Fixed holds out no fold: hand on its \*\*kwargs to GANDataModule$"):
        Fixed([0, 1] * 10).again(seed=1, fold=(0, 3))


def test_single_rows_cannot_be_held_out():
    with pytest.raises(InputError, match="folds: of 2 training rows of 2 classes none can be held out"):
        numbers([0, 1] * 10, per_class=1).again(fold=(0, 3)).setup()


def test_a_class_of_one_row_or_two_is_said_to_be_untested():
    with (
        pytest.warns(UserWarning, match="^classes without a row to test on, so that scores say little of them: b, d$"),
        pytest.warns(UserWarning, match="^classes with fewer than 5 rows to test on, .* of them: a 2$"),
    ):
        numbers([0] * 10 + [1] + [2] * 25 + [3, 3])


def test_a_class_of_a_single_row_is_tested_by_the_source_s_own_rows(recwarn):
    numbers([0] * 10 + [1], test=Table({"x": torch.arange(2), "y": torch.arange(2)}))
    numbers([0])  # without classes there is none to miss
    assert not [w for w in recwarn if "without a row" in str(w.message)]


def test_the_command_line_offers_no_fold():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(GANDataModule, "data")
    with pytest.raises(ArgumentError, match="'_fold' is not accepted"):
        parser.parse_args(["--data=Digits", "--data._fold=[0,3]"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"per_class": 0}, "per_class must be at least 1"),
        ({"steps_per_epoch": 0}, "steps_per_epoch must be at least 1"),
        ({"num_workers": -1}, "num_workers must be at least 0"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"val_fraction": 1.0}, "val_fraction must be at least 0 and below 1"),
        ({"test_fraction": -0.1}, "test_fraction must be at least 0 and below 1"),
        ({"per_class": 50}, "per_class: 50 rows asked of class a, which has"),
        ({"imbalance": {"z": 0.5}}, "unknown label 'z': the classes are 'a', 'b'"),
        ({"imbalance": {"b": 0.5, 1: 0.5}}, "imbalance: 'b' and 1 are the same class"),
        (
            {"imbalance": {1.0: 0.5}},
            "imbalance must be a mapping of text or a whole number to a number or null, not {1.0: 0.5}",
        ),
        ({"imbalance": {True: 0.5}}, "imbalance must be a mapping of text or a whole number"),
        ({"imbalance": {"a": 0}}, "imbalance: the share of class a must be above 0"),
        ({"imbalance": {"a": 1.5}}, "imbalance: the share of class a must be above 0 and at most 1"),
    ],
)
def test_impossible_options_get_one_line(options, message):
    with pytest.raises(InputError, match=message) as error:
        numbers([0, 1] * 10, **options)
    assert "\n" not in str(error.value)


def test_an_empty_source_is_refused():
    with pytest.raises(InputError, match="no training rows"):
        numbers([])


# ---- tables, loaders, position ---------------------------------------------------------------------------------------


def test_table_gives_batches_rows_and_subsets():
    table = Table({"x": torch.arange(6), "y": torch.zeros(6)}, transform=lambda batch: {**batch, "x": batch["x"] * 10})
    assert table.__getitems__([4, 1])["x"].tolist() == [40, 10]
    assert table[3]["x"] == 30
    assert table.subset(np.array([5, 0]))[0]["x"] == 50
    assert len(table.subset(np.array([5, 0]))) == 2


def test_requests_carry_the_given_index():
    batches = list(requests(torch.tensor([0, 1, 1]), batch_size=2, index=torch.tensor([7, 8, 9])))
    assert [batch["index"].tolist() for batch in batches] == [[7, 8], [9]]
    assert [batch["y"].tolist() for batch in batches] == [[0, 1], [1]]


def test_an_epoch_is_a_pass_unless_told_otherwise():
    assert len(numbers([0] * 70, val_fraction=0, test_fraction=0).train_dataloader()) == 1
    assert len(numbers([0] * 70, val_fraction=0, test_fraction=0, batch_size=10).train_dataloader()) == 7
    module = numbers([0] * 3, val_fraction=0, test_fraction=0, batch_size=10, steps_per_epoch=4)
    assert [len(batch["y"]) for batch in module.train_dataloader()] == [10] * 4


def test_a_checkpoint_of_other_data_is_refused():
    module = numbers([0, 1] * 10)
    state = module.state_dict()
    changes = {"seed": (5, "seed 5, this run has 0"), "rows": (3, "rows 3, this"), "balance": (True, "balance True")}
    for name, (value, option) in changes.items():
        with pytest.raises(InputError, match=option) as error:
            module.load_state_dict({**state, name: value})
        assert "\n" not in str(error.value)


def test_a_checkpoint_of_as_many_other_rows_is_refused():
    module, other = (numbers([0, 1] * 40, per_class=20, **shares) for shares in ({"test_fraction": 0.3}, {}))
    state = module.state_dict()
    assert len(module.train) == len(other.train)
    module.load_state_dict(state)
    with pytest.raises(InputError, match="trained on other rows of the data than this run has, though on as many"):
        other.load_state_dict(state)
    other.load_state_dict({name: value for name, value in state.items() if name != "checksum"})  # of an earlier version


class Recorder(LightningModule):
    """Learns nothing; keeps the rows it was shown."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[int] = []

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        self.weight.grad = torch.ones_like(self.weight)
        optimizer.step()
        self.seen += batch["x"].tolist()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_checkpoint_from_before_there_was_balance_is_taken():
    module = numbers([0, 1] * 10)
    module.load_state_dict({name: value for name, value in module.state_dict().items() if name != "balance"})


def fit(tmp_path, max_steps, ckpt_path=None, save=None, **options) -> list[int]:
    recorder = Recorder()
    module = Numbers([0] * 17 + [1] * 6, batch_size=3, val_fraction=0, test_fraction=0, **options)
    trainer = Trainer(
        max_steps=max_steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(recorder, module, ckpt_path=ckpt_path, weights_only=True)
    if save:
        trainer.save_checkpoint(save)
    return recorder.seen


@pytest.mark.filterwarnings("ignore")  # Lightning doubts that such a loader can be resumed
@pytest.mark.parametrize(  # inside an epoch of 7 batches, at its end, inside the second
    ("stop", "num_workers", "balance"), [(3, 0, False), (7, 0, False), (10, 0, False), (10, 2, False), (10, 0, True)]
)
def test_a_resumed_fit_sees_the_rest_of_the_rows(tmp_path, stop, num_workers, balance):
    whole = fit(tmp_path, 18, balance=balance)
    options = {"num_workers": num_workers, "balance": balance}
    head = fit(tmp_path, stop, save=tmp_path / "stopped.ckpt", **options)
    tail = fit(tmp_path, 18, ckpt_path=tmp_path / "stopped.ckpt", **options)
    assert head + tail == whole
    assert len(whole) == 18 * 3


def test_the_schema_is_of_the_registered_kind():
    assert Schema.from_dict(Digits().schema.to_dict()) == Digits().schema
