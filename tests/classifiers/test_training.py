"""The classifiers: good enough to judge with, the same for the same seed, and without a trace in the process."""

import copy
import string

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader

from datamodules import ImageSchema, InputError, Schema, Table, TextSchema
from datamodules.base import as_is
from datamodules.rows import stored_rows
from datamodules.schema import Batch
from datamodules.series.schema import SeriesSchema
from datamodules.text.schema import SPECIAL, UNKNOWN
from ganaug.classifiers.base import Classifier
from ganaug.classifiers.image import Block, ImageClassifier
from ganaug.classifiers.text import TextClassifier
from ganaug.classifiers.text_augmentation import corrupted, forgotten
from ganaug.classifiers.training import ClassifierFeatures, fit_classifier, fit_features
from ganaug.kind import kind_of

torch.set_num_threads(1)

CPU = {"accelerator": "cpu"}


def squares(classes: int = 10, channels: int = 1, size: int = 8) -> ImageSchema:
    names = tuple(map(str, range(classes)))
    return ImageSchema(classes=names, height=size, width=size, channels=channels, image_size=size)


def letters(classes: int = 2, length: int = 9, ends: bool = True) -> TextSchema:
    return TextSchema(
        classes=tuple(map(str, range(classes))),
        vocabulary=(*(SPECIAL if ends else ()), *string.ascii_lowercase),
        max_length=length,
        tokenizer="char",
        ends=ends,
    )


@pytest.fixture(scope="module")
def digits() -> Batch:
    data = load_digits()
    x = torch.from_numpy((data.images * 255 / 16).round().astype("uint8"))[:, None]
    return {"x": x, "y": torch.from_numpy(data.target).long()}


def few(n: int, channels: int = 1, size: int = 8) -> Batch:
    rng = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8, generator=rng)
    return {"x": x, "y": torch.arange(n) % 10}


def words(n: int, schema: TextSchema) -> Batch:
    """Random letters; the order of an "a" and a "b" among them is the class."""
    rng = torch.Generator().manual_seed(0)
    full = schema.max_length
    sequences = []
    for row in range(n):
        length = int(torch.randint(4, full, (1,), generator=rng)) if schema.ends else full
        first = 2 * schema.ends
        tokens = torch.randint(first + 2, first + 26, (length,), generator=rng)
        place = int(torch.randint(length - 1, (1,), generator=rng))
        tokens[place : place + 2] = torch.tensor([first, first + 1] if row % 2 else [first + 1, first])
        sequences.append(tokens.tolist())
    x, length = schema.pad(sequences)
    return {"x": x, "length": length, "y": torch.arange(n) % 2}


def some(rows: Batch, index: torch.Tensor | slice) -> Batch:
    return {name: field[index] for name, field in rows.items()}


def weights(model: Classifier) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_it_learns_the_digits(digits):
    shuffled = some(digits, torch.randperm(1797, generator=torch.Generator().manual_seed(0)))
    train, test = some(shuffled, slice(1437)), some(shuffled, slice(1437, None))
    features = fit_features(squares(), train, steps=120, **CPU)
    assert features.accuracy(test) > 0.97
    assert features.name == "classifier-resnet32-on-real-train"
    out = features(test)
    assert (out.shape, out.dtype, out.requires_grad) == ((360, 128), torch.float32, False)
    small = ClassifierFeatures(features.model, "same", batch_size=7)
    torch.testing.assert_close(small(test), out, rtol=1e-4, atol=1e-4)
    assert features.predict(test).shape == (360,)


@pytest.mark.parametrize("ends", [True, False])
def test_it_learns_the_order_of_two_letters(ends):
    schema = letters(ends=ends)
    rows = words(1200, schema)
    train, test = some(rows, slice(1000)), some(rows, slice(1000, None))
    features = fit_features(schema, train, steps=150, augment=True, **CPU)
    assert features.accuracy(test) > 0.9
    assert features.name == "textcnn-on-real-train"
    out = features(test)
    assert (out.shape, out.dtype, out.requires_grad) == ((200, 256), torch.float32, False)
    small = ClassifierFeatures(features.model, "same", batch_size=7)
    torch.testing.assert_close(small(test), out, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("pretext", [False, True])
@pytest.mark.parametrize("kind", ["image", "text"])
def test_same_seed_same_weights_and_no_trace(digits, kind, augment, pretext):
    schema, rows, small = squares(), some(digits, slice(50)), {"width": 8}
    if kind == "text":
        schema, small = letters(), {"channels": 8}
        rows = words(50, schema)
    options = {"steps": 3, "batch_size": 16, "augment": augment, "pretext": pretext, **small, **CPU}
    before = torch.get_rng_state()
    first = fit_classifier(schema, rows, **options)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(5)
    with torch.inference_mode():  # where a callback of a running Trainer finds itself
        again = fit_classifier(schema, rows, **options)
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(fit_classifier(schema, rows, seed=1, **options)))
    assert not first.training


@pytest.mark.parametrize(("labelled", "y"), [(False, torch.arange(10)), (True, torch.zeros(10, dtype=torch.long))])
def test_without_labels_it_learns_rotations(labelled, y):
    gradient = torch.linspace(0, 255, 8).byte().expand(10, 1, 8, 8)  # brighter to the right: any rotation is plain
    schema = squares(10 if labelled else 0)
    features = fit_features(schema, {"x": gradient, "y": y}, steps=40, batch_size=16, width=8, **CPU)
    assert features.name == "rotation-resnet8-on-real-train"
    assert not features.labelled
    assert features({"x": gradient, "y": y}).shape == (10, 32)
    turned = [{"x": gradient.rot90(turns, (2, 3)), "y": y} for turns in range(4)]
    assert [int(features.predict(rows)[0]) for rows in turned] == [0, 1, 2, 3]


def test_without_labels_it_learns_corruptions():
    schema = letters(classes=0)
    rng = torch.Generator().manual_seed(1)
    ascending = [sorted((2 + torch.randperm(26, generator=rng)[:8]).tolist()) for _ in range(300)]
    x, length = schema.pad(ascending)
    features = fit_features(schema, {"x": x, "length": length, "y": torch.zeros(300).long()}, steps=250, **CPU)
    assert features.name == "corruption-textcnn-on-real-train"
    assert not features.labelled
    torch.manual_seed(0)
    done = corrupted(x, length - 1)
    for task, sentences in enumerate(done):  # some are left as they were by chance
        told = features.predict({"x": sentences, "length": length, "y": length})
        assert (told == task).double().mean() > 0.6


@pytest.mark.parametrize(("n", "channels", "size"), [(1, 1, 8), (2, 3, 17), (10, 4, 28), (3, 1, 128)])
@pytest.mark.parametrize("classes", [0, 10])
def test_any_size_and_few_rows(n, channels, size, classes):
    rows = few(n, channels, size)
    features = fit_features(squares(classes, channels, size), rows, steps=2, batch_size=8, width=8, **CPU)
    assert features(rows).isfinite().all()


@pytest.mark.parametrize(("n", "length"), [(1, 1), (1, 2), (2, 4), (3, 30)])
@pytest.mark.parametrize("classes", [0, 2])
@pytest.mark.parametrize("ends", [True, False])
def test_any_length_and_few_sentences(n, length, classes, ends):
    schema = letters(classes, length, ends)
    x, lengths = schema.pad([[3] * (length if row or not ends else 1) for row in range(n)])
    rows = {"x": x, "length": lengths, "y": torch.arange(n) % 2}
    features = fit_features(schema, rows, steps=2, batch_size=8, channels=8, augment=True, **CPU)
    assert features(rows).isfinite().all()


def test_float32_is_a_choice():
    model = fit_classifier(squares(), few(10), steps=2, batch_size=8, width=8, precision="32-true", **CPU)
    assert weights(model).isfinite().all()


def test_rows_come_back_as_they_were_stored(digits):
    stored = stored_rows(squares(), Table(digits, squares().prepare))
    assert stored.keys() == digits.keys()
    assert all(torch.equal(stored[name], digits[name]) for name in digits)
    rows = words(5, letters())
    assert all(torch.equal(field, rows[name]) for name, field in stored_rows(letters(), Table(rows)).items())


# ---- networks and what is done to their batches ----


def test_changes_are_made_as_they_are_named(monkeypatch):
    schema, seen = letters(), []
    for name in ("forget", "eda"):
        change = lambda batch, given, name=name: seen.append((name, given)) or batch  # noqa: E731
        monkeypatch.setitem(TextClassifier.changes, name, change)
    batch = words(4, schema)
    for augment, names in ((True, ["eda"]), (["eda", "forget"], ["eda", "forget"]), ((), []), (False, [])):
        seen.clear()
        TextClassifier(schema, augment=augment).loss(batch)
        assert seen == [(name, schema) for name in names]
    with pytest.raises(InputError, match="classical: there is no 'shift'; known are forget, eda"):
        TextClassifier(schema, augment=["shift"])


def test_only_labels_of_samples_are_smoothed():
    schema, batch = pictures()
    model = ImageClassifier(schema, label_smoothing=0.2).eval()
    plain = ImageClassifier(schema).eval()
    plain.load_state_dict(model.state_dict())
    each = [F.cross_entropy(model(batch), batch["y"], label_smoothing=s, reduction="none") for s in (0.0, 0.2)]
    synthetic = torch.arange(8) > 4
    expected = (each[0][:5].sum() + each[1][5:].sum()) / 8
    torch.testing.assert_close(model.loss({**batch, "synthetic": synthetic}), expected)
    torch.testing.assert_close(model.loss(batch), each[1].mean())
    torch.testing.assert_close(plain.loss({**batch, "synthetic": synthetic}), each[0].mean())


@pytest.mark.parametrize(("curriculum", "last"), [(0.0, 0), (0.5, 5)])
def test_a_curriculum_ends_with_real_rows(curriculum, last, monkeypatch):
    schema, seen = squares(2), []
    rows = few(12) | {"synthetic": torch.arange(12) >= 4}
    rows["y"] %= 2
    loss = ImageClassifier.loss
    monkeypatch.setattr(
        ImageClassifier, "loss", lambda self, batch: seen.append(batch["synthetic"]) or loss(self, batch)
    )
    fit_classifier(schema, rows, steps=10, batch_size=6, curriculum=curriculum, **CPU)
    assert len(seen) == 10
    assert all(made.any() for made in seen[: 10 - last])
    assert not any(made.any() for made in seen[10 - last :])
    fit_classifier(schema, rows | {"synthetic": torch.ones(12, dtype=torch.bool)}, steps=2, curriculum=0.5, **CPU)


def pictures():
    return squares(2, size=16), {"x": torch.rand(8, 1, 16, 16) * 2 - 1, "y": torch.arange(8) % 2}


def series():
    schema = SeriesSchema(
        classes=("a", "b"), columns=("v",), dtypes=("float64",), offset=(0.0,), scale=(1.0,), length=20
    )
    return schema, {"x": torch.randn(8, 20, 1).cumsum(1), "length": torch.full((8,), 20), "y": torch.arange(8) % 2}


PREPARED = {"image": pictures, "text": lambda: (letters(), words(64, letters())), "series": series}


@pytest.mark.parametrize("kind", PREPARED)
def test_every_change_leaves_a_batch_that_can_be_learnt_from(kind):
    schema, batch = PREPARED[kind]()
    network = kind_of(schema).classifier
    for name in network.changes:
        torch.manual_seed(0)
        model = network(schema, augment=[name])
        changed = model.augmented(batch)
        assert changed.keys() == batch.keys()
        kept = set(batch) - ({"y"} if name in ("mixup", "cutmix") else set())  # they mix labels too
        assert all(changed[k].shape == batch[k].shape and changed[k].dtype == batch[k].dtype for k in kept)
        assert not torch.equal(changed["x"], batch["x"])
        assert torch.isfinite(model.loss(batch))


def test_padding_never_matters():
    """What stands beyond the length changes nothing, be it other tokens or more room."""
    schema = letters()
    model = TextClassifier(schema).eval()
    rows = words(20, schema)
    beyond = torch.arange(9) >= rows["length"][:, None]
    assert beyond.any()
    other = {**rows, "x": torch.where(beyond, 7, rows["x"])}
    wider = {**rows, "x": torch.cat([rows["x"], torch.full((20, 4), 9)], 1)}
    for batch in (other, wider):
        assert torch.equal(model(rows), model(batch))
    alone = torch.cat([model(some(rows, slice(row, row + 1))) for row in range(20)])
    torch.testing.assert_close(alone, model(rows))
    shorter = {**rows, "length": rows["length"] - 1}
    assert not torch.equal(model(rows), model(shorter))


def test_forgotten_leaves_ends_and_padding():
    schema = letters()
    x, length = schema.pad([list(range(2, 9))] * 2000)
    seen = forgotten(x, length - 1)
    gone = seen == UNKNOWN
    assert gone[:, :7].double().mean().item() == pytest.approx(0.1, abs=0.02)
    assert torch.equal(seen[:, 7:], x[:, 7:])
    assert torch.equal(seen[~gone], x[~gone])


def test_corrupted_does_what_it_says():
    schema = letters(length=12)
    sequences = [list(range(2, 2 + length)) for length in (1, 2, 3, 7, 8, 12)] * 100
    x, _ = schema.pad(sequences)
    count = torch.tensor([len(sequence) for sequence in sequences])
    same, swapped, replaced, turned = corrupted(x, count)
    assert same is x
    for rows in (swapped, replaced, turned):
        beyond = torch.arange(12) >= count[:, None]
        assert (rows[beyond] == 0).all()
        assert (rows[~beyond] >= 2).all()
    for rows in (swapped, turned):  # the same tokens in another order
        assert torch.equal(rows.sort(1).values, x.sort(1).values)
    assert ((swapped - x).abs() <= 1).all()
    for column in range(6):
        length = len(sequences[column])
        assert turned[column, :length].tolist() == (lambda s, k: s[k:] + s[:k])(sequences[column], (length + 1) // 2)
        if length > 1:
            assert (swapped != x).any(1)[column::6].double().mean() > 0.2
    assert (swapped[:, 0] != x[:, 0])[5::6].any()  # pairs begin at either token
    assert (swapped[:, 11] != x[:, 11])[5::6].any()
    assert (replaced != x)[5::6].double().mean().item() == pytest.approx(0.22, abs=0.05)


@pytest.mark.parametrize("kind", ["image", "text"])
def test_a_trainer_can_train_it_too(digits, tmp_path, kind):
    if kind == "image":
        schema, rows = squares(), some(digits, slice(64))
        model: Classifier = ImageClassifier(schema, steps=4, width=8)
    else:
        schema = letters()
        rows, model = words(64, schema), TextClassifier(schema, steps=4)
    loader = DataLoader(Table(rows, schema.prepare), batch_size=16, collate_fn=as_is)
    trainer = Trainer(
        accelerator="cpu",
        max_steps=30,  # further than the cycle of its learning rate
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        num_sanity_val_steps=0,
    )
    trainer.fit(model, loader, loader)
    assert trainer.global_step == 30
    assert trainer.optimizers[0].param_groups[0]["lr"] < 1e-6
    assert "accuracy/val" in trainer.callback_metrics


class UnheardSchema(Schema):
    kind = "unheard"


def test_what_it_refuses():
    rows, schema = few(4), squares()
    x, y = rows["x"], rows["y"]
    for bad_x, bad_y in ((x.float(), y), (x[:, :, :5], y), (x, y[:2]), (x[:0], y[:0]), (x[0], y), (x, y.float())):
        with pytest.raises(InputError, match="a classifier needs N ≥ 1 rows") as error:
            fit_classifier(schema, {"x": bad_x, "y": bad_y})
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"x torch.uint8 \(N, 1, 8, 8\), not torch.float32 \(4, 1, 8, 8\)"):
        fit_classifier(schema, {"x": x.float(), "y": y})
    with pytest.raises(InputError, match="0 to 3, but there are 3 classes"):
        fit_classifier(squares(3), rows)
    with pytest.raises(InputError, match="accelerator"):
        fit_classifier(schema, rows, accelerator="abacus")
    four = ImageSchema(classes=("a", "b"), height=8, width=8, channels=4, image_size=8)
    with pytest.raises(InputError, match="randaugment needs pictures of 1 or 3 channels, not 4"):
        ImageClassifier(four, augment=["shift", "randaugment"])
    sentences = words(4, letters())
    with pytest.raises(InputError, match=r"length torch.int64 \(N\), there is none"):
        fit_classifier(letters(), {name: sentences[name] for name in ("x", "y")})
    with pytest.raises(InputError, match=r"x torch.int64 \(N, 8\), not torch.int64 \(4, 9\)"):
        fit_classifier(letters(length=8), sentences)
    with pytest.raises(InputError, match="there is no Kind of unheard data"):
        fit_classifier(UnheardSchema(), rows)


@pytest.mark.parametrize("width", [1, 4, 8])
def test_gradients_of_a_block_are_those_in_float64(width: int) -> None:
    """Narrow ones too, where some library's kernel for the shortcut is wrong."""
    torch.manual_seed(0)
    block = Block(width, 2 * width, 2)
    exact = copy.deepcopy(block).double()
    x = torch.randn(20, width, 8, 8)
    block.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last)).square().sum().backward()
    exact(x.double()).square().sum().backward()
    for (name, ours), theirs in zip(block.named_parameters(), exact.parameters(), strict=True):
        torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-3, atol=1e-2, msg=name)
