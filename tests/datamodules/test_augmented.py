import contextlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule
from PIL import Image
from torch.utils.data import Dataset
from torchvision.models import resnet18

from datamodules import AugmentedDataModule, Digits, GANDataModule, Grammar, ImageFolder, InputError, Signals, Table
from datamodules.base import Stream
from datamodules.files.manifest import write_manifest
from datamodules.images.store import write_images
from datamodules.series.store import write_series
from datamodules.store import read_samples
from datamodules.text.store import write_texts
from ganaug import DCGAN
from ganaug.classifiers.image import ImageClassifier
from ganaug.sampling.dataset import SyntheticDataset
from tests.gan_contract import Stop, trainer

WRITE = {"image": write_images, "text": write_texts, "series": write_series}


def grammar() -> GANDataModule:
    return Grammar(sentences=90, batch_size=8)


def signals() -> GANDataModule:
    return Signals(kinds=["sinusoid", "ar"], series=40, length=10, batch_size=8)


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
    assert "3 of class 1, 6 of class 9 are missing of the 80 samples asked for" in text


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
        (digits, "folder"),
        (digits, "npz"),
        (grammar, "jsonl"),
        (grammar, "txt"),
        (signals, "npz"),
        (signals, "csv"),
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


def test_class_ids_go_by_name(tmp_path: Path) -> None:
    real = digits()
    turned = replace(real.schema, classes=real.schema.classes[::-1])
    made = all_rows(samples(real, [3] * 10))
    write_images(turned, [{"index": torch.arange(30), **made, "y": 9 - made["y"]}], tmp_path / "out", "npz")
    batch = all_rows(ready(real, tmp_path / "out").train)
    assert sorted(row_ids(batch)[40:]) == sorted(row_ids(made))


def test_samples_on_the_fly_are_those_of_the_files(tmp_path: Path) -> None:
    real = digits()
    model = DCGAN(real.schema, latent_dim=8, width=4).eval()
    made = SyntheticDataset(model, per_class=2, seed=3)
    data = ready(real, made, batch_size=60, num_workers=0)
    batch = next(iter(data.train_dataloader()))
    assert sorted(row_ids(batch)) == sorted(row_ids(all_rows(real.train)) + row_ids(all_rows(data.train))[40:])
    drawn = [made[i] for i in range(20)]
    assert [int(item["y"]) for item in drawn] == list(range(10)) * 2
    for i, item in enumerate(drawn):
        torch.testing.assert_close(data.train[40 + i]["x"], item["x"], rtol=0, atol=1 / 127 + 1e-6)


class Plain(Dataset):
    """A data set of somebody else's, without ``targets`` and ``__getitems__``."""

    def __init__(self, table: Table, **changes) -> None:
        self.table, self.changes = table, changes

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, row: int) -> dict:
        item = {**self.table[row], **self.changes}
        return {name: value for name, value in item.items() if value is not None}


def test_any_data_set_of_dicts() -> None:
    real = digits()
    made = samples(real, [3] * 10)
    assert row_ids(all_rows(ready(real, Plain(made)).train)) == row_ids(all_rows(ready(real, made).train))
    assert counts(ready(real, Plain(made), per_class=2)) == [2] * 10


@pytest.mark.parametrize("in_memory", [True, False])
def test_pictures_on_a_disk(in_memory: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(20):
        file = tmp_path / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).save(file)
    real = ImageFolder(tmp_path, in_memory=in_memory, batch_size=1)
    data = ready(real, SyntheticDataset(DCGAN(real.schema, latent_dim=8, width=4), per_class=3))
    seen = list(data.train_dataloader())
    assert len(seen) == len(real.train) + 6
    assert all(batch["x"].shape == (1, 1, 16, 16) for batch in seen)


# ---- order ----


def test_the_order_is_that_of_a_stream() -> None:
    real = digits()
    data = ready(real, samples(real, [2] * 10), seed=5, batch_size=16)
    loader = data.train_dataloader()
    seen = [i for batch in loader for i in row_ids(batch)]
    rows = row_ids(all_rows(data.train))
    assert seen == [rows[i] for i in Stream(60, 16, 3, seed=5)]
    assert len(loader) == 3


def test_both_kinds_share_a_batch_and_worker_processes_change_nothing() -> None:
    real = digits()
    made = samples(real, [4] * 10)
    alone, helped = (ready(real, made, num_workers=n) for n in (0, 1))
    mine = set(row_ids(all_rows(real.train)))
    for a, b in zip(alone.train_dataloader(), helped.train_dataloader(), strict=True):
        assert row_ids(a) == row_ids(b)
        assert 0 < len(mine & set(row_ids(a))) < 8


def test_ranks_share_an_epoch() -> None:
    real = digits()
    made = samples(real, [4] * 10)
    ranks = []
    for rank in range(2):
        data = ready(real, made, batch_size=8)
        progress = SimpleNamespace(total=SimpleNamespace(ready=0))
        loop = SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress))
        strategy = SimpleNamespace(root_device=torch.device("cpu"))
        data.trainer = SimpleNamespace(global_rank=rank, world_size=2, fit_loop=loop, strategy=strategy)
        ranks.append([i for batch in data.train_dataloader() for i in row_ids(batch)])
    assert [len(seen) for seen in ranks] == [40, 40]
    assert sorted(ranks[0] + ranks[1]) == sorted(row_ids(all_rows(data.train)))


# ---- in training ----


class ResNet(LightningModule):
    """A classifier of the user's own, who has never heard of this package."""

    def __init__(self) -> None:
        super().__init__()
        self.network = resnet18(num_classes=10)
        self.network.conv1 = torch.nn.Conv2d(1, 64, 3, padding=1, bias=False)

    def training_step(self, batch, _) -> torch.Tensor:
        x, y = batch
        return F.cross_entropy(self.network(x), y)

    def validation_step(self, batch, _) -> None:
        x, y = batch
        self.log("accuracy", (self.network(x).argmax(1) == y).float().mean())

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 1e-3)


def test_a_classifier_of_the_users_own_trains_in_five_lines() -> None:
    real = Digits(image_size=8, per_class=10, batch_size=20)
    synthetic = SyntheticDataset(DCGAN(real.schema, latent_dim=8, width=4), per_class=10)
    data = AugmentedDataModule(real, synthetic, as_tuple=True)
    run, model = trainer(10, limit_val_batches=1.0, plugins=[]), ResNet()  # an epoch
    run.fit(model, data)
    assert run.global_step == 10
    assert 0 <= run.callback_metrics["accuracy"] <= 1
    assert 0 <= run.test(model, data, verbose=False)[0]["accuracy"] <= 1


class Seen(Callback):
    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []

    def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
        self.batches.append(row_ids(batch))


def test_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    real = digits()
    made = samples(real, [2] * 10)

    def fit(ckpt=None, *callbacks) -> tuple[ImageClassifier, list]:
        torch.manual_seed(0)
        model, seen = ImageClassifier(real.schema, width=4, steps=10), Seen()
        run = trainer(10, seen, *callbacks, plugins=[])
        with contextlib.suppress(Stop.Killed):
            run.fit(model, AugmentedDataModule(real, made, seed=2), ckpt_path=ckpt)
        return model, seen.batches

    whole, batches = fit()  # seven batches an epoch
    _, before = fit(None, Stop(4, tmp_path / "at.ckpt"))
    resumed, after = fit(tmp_path / "at.ckpt")
    assert before + after == batches
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    for name, options in {"seed 2": {"seed": 3}, "synthetic 20": {"seed": 2, "per_class": 1}}.items():
        with pytest.raises(InputError, match=f"trained with data {name}, this run has"):
            trainer(10, plugins=[]).fit(
                resumed, AugmentedDataModule(real, made, **options), ckpt_path=tmp_path / "at.ckpt"
            )


def test_other_rows_are_not_gone_on_with() -> None:
    def module(real: GANDataModule, made: list[int], **options) -> AugmentedDataModule:
        found = AugmentedDataModule(real, samples(digits(), made), **options)
        found.setup()
        return found

    as_many = [2] * 10
    unbegun = module(digits(), as_many).state_dict()
    module(digits(), as_many, batch_size=4).load_state_dict(unbegun)  # as Lightning's Tuner does, to find one
    before = {**unbegun, "step": 3}
    module(digits(), as_many).load_state_dict(before)
    with pytest.raises(InputError, match="what it says of the data is damaged"):
        module(digits(), as_many).load_state_dict("x")
    for other, expected in (
        (module(digits(), as_many, batch_size=4), "with data batch_size 8, this run has 4"),
        (module(digits(val_fraction=0.3), as_many), "on other real rows than this run has, though on as many"),
        (module(digits(), [3, 1] + [2] * 8), "on other samples than this run has, though on as many"),
    ):
        with pytest.raises(InputError, match=expected):
            other.load_state_dict(before)
        older = {name: before[name] for name in ("step", "seed", "real", "synthetic", "split")}
        other.load_state_dict(older)  # which says less


# ---- bad input ----


def test_bad_options() -> None:
    real = digits()
    made = samples(real, [2] * 10)
    assert "ratio or per_class, not both" in message(real, made, ratio=1, per_class=1)
    assert "ratio must be at least 0, not -1" in message(real, made, ratio=-1)
    assert "ratio must be a number or null, not nan" in message(real, made, ratio=float("nan"))
    assert "per_class must be at least 0, not -2" in message(real, made, per_class=-2)
    assert "batch_size must be at least 1, not 0" in message(real, made, batch_size=0)
    assert "batch_size must be a whole number or null, not True" in message(real, made, batch_size=True)
    assert "seed must be at least 0" in message(real, made, seed=-1)
    assert "ratio must be a number or null, not '1'" in message(real, made, ratio="1")
    assert "per_class must be a whole number or null, not 2.5" in message(real, made, per_class=2.5)
    assert "a data set with a length, not dict" in message(real, {"x": 1})
    assert "real must be a GANDataModule, not a Table" in message(made, made)
    assert "synthetic must be a path or a data set with a length, not int" in message(real, 3)


def test_data_sets_that_are_not_like_the_data() -> None:
    real = digits()
    made = samples(real, [2] * 10)
    assert "a sample has no x" in message(real, Plain(made, x=None))
    assert "have no y" in message(real, Plain(made, y=None))
    flat = Plain(made, x=made[0]["x"][0])
    assert "a real row has x float32 (1, 16, 16), a sample float32 (16, 16)" in message(real, flat)
    stored = Table(made.fields)
    assert "a real row has x float32 (1, 16, 16), a sample uint8 (1, 16, 16)" in message(real, stored)
    assert "class ids run from 10 to 10, the data have 10 classes" in message(real, Plain(made, y=torch.tensor(10)))
    assert "items must be class ids, whole numbers" in message(real, Plain(made, y="three"))
    for wrong in ([1, 2], ["a"] * len(made), [0.5] * len(made)):
        told = Plain(made)
        told.targets = wrong
        assert f"give the class id, a whole number, of each of {len(made)} rows" in message(real, told)
    pairs = [(item["x"], item["y"]) for item in (made[i] for i in range(3))]
    assert "must be dicts of x, y" in message(real, pairs)
    other = SyntheticDataset(DCGAN(replace(real.schema, classes=("a", "b")), latent_dim=8, width=4), n=4)
    assert "their classes differ" in message(real, other)
    blind = SyntheticDataset(DCGAN(real.schema, latent_dim=8, width=4, conditional=False), n=4)
    assert "their classes differ" in message(real, blind)


def test_files_that_are_not_like_the_data(tmp_path: Path) -> None:
    real = digits()
    made = {"index": torch.arange(30), **all_rows(samples(real, [3] * 10))}
    write_images(replace(real.schema, classes=tuple("abcdefghij")), [made], tmp_path / "named", "npz")
    assert message(real, tmp_path / "named").endswith(
        "the class 'a' is not among those of the data, " + ", ".join(f"'{c}'" for c in range(10))
    )
    write_images(replace(real.schema, height=16, width=16), [made], tmp_path / "large", "npz")
    assert message(real, tmp_path / "large").endswith("the samples are 16×16, the data are 8×8")
    write_images(replace(real.schema, classes=()), [{**made, "y": made["y"] * 0}], tmp_path / "blind", "npz")
    assert message(real, str(tmp_path / "blind")).endswith("the samples have no labels, and the data have classes")
    assert "check the path" in message(real, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "no pictures in it" in message(real, tmp_path / "empty")


def test_sentences_that_are_not_like_the_data(tmp_path: Path) -> None:
    real = grammar()
    real.setup()
    long = "the dog eats " * 30
    file = tmp_path / "samples.jsonl"
    file.write_text(json.dumps({"text": long, "label": "report"}) + "\n")
    assert "sentence 1 has 90 tokens: there should be 1 to" in message(real, file)
    file.write_text(json.dumps({"text": "the dog sleeps .", "label": "poem"}) + "\n")
    assert message(real, file).endswith(
        "the class 'poem' is not among those of the data, 'question', 'order', 'report'"
    )
    rows = [{"text": text, "label": "report"} for text in ("the dog sleeps today .", " ")]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.warns(UserWarning, match="1 of 2 samples have no token: left out"):
        read, labelled = read_samples(file, real.schema)
    assert labelled
    assert len(read["y"]) == len(read["x"]) == 1
    assert real.schema.decode(read["x"]) == real.schema.decode(real.schema.encode([rows[0]["text"]])[0])


def test_series_of_other_columns(tmp_path: Path) -> None:
    real = signals()
    real.setup()
    made = {"index": torch.arange(len(real.test)), **all_rows(real.test)}
    write_series(replace(real.schema, columns=("speed",)), [made], tmp_path / "out", "npz")
    assert "the samples have the columns speed, the data value" in message(real, tmp_path / "out")


def test_samples_that_are_no_numbers_are_refused() -> None:
    real = digits()
    made = samples(real, [2] * 10)
    data = AugmentedDataModule(real, Plain(made, x=torch.full_like(made[0]["x"], torch.nan)))
    data.setup()
    with pytest.raises(InputError, match="synthetic: x of row 3 has a value that is no number"):
        data.train.__getitems__([0, len(real.train) + 3])
