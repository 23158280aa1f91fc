import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gan_contract import Stop, trainer
from lightning.pytorch import Callback, LightningModule
from torch.utils.data import Dataset
from torchvision.models import resnet18

from datamodules import Digits, GANDataModule, Grammar, ImageArrays, InputError, Signals, Table
from datamodules.augmented import AugmentedDataModule, read_samples
from datamodules.base import Stream
from datamodules.store import write_images, write_manifest, write_series, write_texts
from ganaug import DCGAN
from ganaug.classifiers import ImageClassifier
from ganaug.synthetic import SyntheticDataset

WRITE = {"image": write_images, "text": write_texts, "series": write_series}


def digits(**options) -> GANDataModule:
    data = Digits(**({"per_class": 4, "batch_size": 8} | options))
    data.setup()
    return data


def samples(data: GANDataModule, counts: list[int]) -> Table:
    """The first test rows of each class, as samples."""
    y = data.test.fields["y"]
    chosen = torch.cat([(y == c).nonzero()[:n, 0] for c, n in enumerate(counts)])
    return data.test.subset(chosen.numpy())


def ready(*args, **options) -> AugmentedDataModule:
    data = AugmentedDataModule(*args, **options)
    data.setup()
    return data


def row_ids(batch: dict) -> list[bytes]:
    return [batch["x"][i].numpy().tobytes() + batch["y"][i].numpy().tobytes() for i in range(len(batch["y"]))]


def all_rows(data: Dataset) -> dict:
    return data.__getitems__(list(range(len(data))))


def counts(data: AugmentedDataModule) -> list[int]:
    y = all_rows(data.train)["y"][len(data.real.train) :]
    return y.bincount(minlength=data.schema.num_classes).tolist()


def message(*args, **options) -> str:
    with pytest.raises(InputError) as error:
        ready(*args, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# ---- which rows ----


def test_training_rows_are_the_real_ones_then_the_samples() -> None:
    real = digits()
    made = samples(real, [5] * 10)
    train = ready(real, made).train
    assert len(train) == 40 + 50
    expected = row_ids(all_rows(real.train)) + row_ids(all_rows(made))
    assert row_ids(all_rows(train)) == expected
    mixed = train.__getitems__([60, 3, 41, 0])  # in the order asked for
    assert row_ids(mixed) == [expected[i] for i in (60, 3, 41, 0)]
    assert row_ids({name: field[None] for name, field in train[89].items()}) == [expected[89]]


def test_counts() -> None:
    real = digits(per_class=10, imbalance={3: 0.2, "7": 0.5})  # 2 and 5 rows
    made = samples(real, [20] * 10)
    have = np.array([10, 10, 10, 2, 10, 10, 10, 5, 10, 10])
    assert counts(ready(real, made)) == [20] * 10
    assert counts(ready(real, made, per_class=4)) == [4] * 10
    assert counts(ready(real, made, ratio=1.5)) == [15, 15, 15, 3, 15, 15, 15, 8, 15, 15]
    assert counts(ready(real, made, ratio=0)) == [0] * 10
    assert counts(ready(real, made, balance=True)) == (10 - have).tolist()
    assert counts(ready(real, made, balance=True, ratio=0.5)) == (15 - have).tolist()
    assert counts(ready(real, made, balance=True, per_class=1)) == (11 - have).tolist()


def test_a_smaller_ratio_takes_some_of_the_same_samples() -> None:
    real = digits()
    made = samples(real, [20] * 10)
    few, many = (row_ids(all_rows(ready(real, made, per_class=n).train))[40:] for n in (2, 5))
    assert set(few) < set(many)


def test_too_few_samples_are_counted_by_class() -> None:
    real = digits()
    made = samples(real, [8, 5, 8, 8, 8, 8, 8, 8, 8, 2])
    text = message(real, made, ratio=2)
    assert "of 80 samples asked for are missing 3 of class 1, 6 of class 9" in text


def test_validation_and_test_are_the_real_ones() -> None:
    real = digits()
    data = ready(real, samples(real, [2] * 10))
    for ours, theirs in (
        (data.val_dataloader(), real.val_dataloader()),
        (data.test_dataloader(), real.test_dataloader()),
    ):
        for a, b in zip(ours, theirs, strict=True):
            assert a.keys() == b.keys()
            assert all(torch.equal(a[name], b[name]) for name in a)


# ---- from files ----


@pytest.mark.parametrize(
    ("make", "format"),
    [
        (lambda: ImageArraysOf(), "folder"),
        (lambda: ImageArraysOf(), "npz"),
        (lambda: Grammar(sentences=90), "jsonl"),
        (lambda: Grammar(sentences=90), "txt"),
        (lambda: Signals(kinds=["sinusoid", "ar"], series=40, length=10), "npz"),
        (lambda: Signals(kinds=["sinusoid", "ar"], series=40, length=10), "csv"),
    ],
)
def test_files_come_back_as_the_rows_that_were_written(make, format: str, tmp_path: Path) -> None:
    real = make()
    real.setup()
    made = all_rows(real.test)
    index = torch.arange(len(real.test))
    WRITE[real.schema.kind](real.schema, [{"index": index, **made}], tmp_path / "out", format)
    write_manifest(tmp_path / "out", {"schema": real.schema.to_dict()})
    data = ready(real, tmp_path / "out")
    batch = all_rows(data.train)
    assert batch.keys() == next(iter(real.val_dataloader())).keys()
    assert len(batch["y"]) == len(real.train) + len(made["y"])
    read = {name: field[len(real.train) :] for name, field in batch.items()}
    order, back = made["y"].argsort(stable=True), read["y"].argsort(stable=True)  # folders and .txt go by class
    assert torch.equal(read["y"][back], made["y"][order])
    torch.testing.assert_close(read["x"][back], made["x"][order], rtol=0, atol=1e-5)
    if real.schema.kind == "series":
        assert set(read["row"].tolist()) == {-1}
    if "length" in made:
        assert torch.equal(read["length"][back], made["length"][order])


def ImageArraysOf() -> GANDataModule:
    path = Path(__file__).parent / "x.npz"
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8), np.array(["cat", "dog"])[np.arange(60) % 2]
    raise NotImplementedError(path, x, y)
