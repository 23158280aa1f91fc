"""The classifiers: good enough to judge with, the same for the same seed, and without a trace in the process."""

import pytest
import torch
from lightning.pytorch import Trainer
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader

from datamodules.base import Table, as_is
from datamodules.errors import InputError
from ganaug.downstream import ClassifierFeatures, ImageClassifier, fit_classifier, image_features, shifted


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    x = torch.from_numpy((data.images * 255 / 16).round().astype("uint8"))[:, None]
    y = torch.from_numpy(data.target).long()
    return x, y


def few(n: int, channels: int = 1, size: int = 8) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8, generator=rng)


def weights(model: ImageClassifier) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_it_learns_the_digits(digits):
    x, y = digits
    rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    train, test = rows[:1437], rows[1437:]
    features = image_features(x[train], y[train], 10, labelled=True, steps=120, accelerator="cpu")
    assert features.accuracy(x[test], y[test]) > 0.97
    assert features.name == "classifier-resnet32-on-real-train"
    out = features(x[test])
    assert (out.shape, out.dtype, out.requires_grad) == ((360, 128), torch.float32, False)
    small = ClassifierFeatures(features.model, "same", batch_size=7)
    torch.testing.assert_close(small(x[test]), out, rtol=1e-4, atol=1e-4)
    assert features.predict(x[test]).shape == (360,)


@pytest.mark.parametrize("augment", [False, True])
def test_same_seed_same_weights_and_no_trace(digits, augment):
    x, y = digits[0][:50], digits[1][:50]
    options = {"steps": 3, "batch_size": 16, "width": 8, "augment": augment, "accelerator": "cpu"}
    before = torch.get_rng_state()
    first = fit_classifier(x, y, 10, **options)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(5)
    with torch.inference_mode():  # where a callback of a running Trainer finds itself
        again = fit_classifier(x, y, 10, **options)
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(fit_classifier(x, y, 10, seed=1, **options)))
    assert not first.training


@pytest.mark.parametrize(("labelled", "y"), [(False, torch.arange(10)), (True, torch.zeros(10, dtype=torch.long))])
def test_without_labels_it_learns_rotations(labelled, y):
    gradient = torch.linspace(0, 255, 8).byte().expand(10, 1, 8, 8)  # brighter to the right: any rotation is plain
    features = image_features(gradient, y, 10, labelled=labelled, steps=40, batch_size=16, width=8, accelerator="cpu")
    assert features.name == "rotation-resnet8-on-real-train"
    assert not features.labelled
    assert features(gradient).shape == (10, 32)
    assert [int(features.predict(gradient.rot90(turns, (2, 3)))[0]) for turns in range(4)] == [0, 1, 2, 3]


@pytest.mark.parametrize(("n", "channels", "size"), [(1, 1, 8), (2, 3, 17), (10, 4, 28), (3, 1, 128)])
@pytest.mark.parametrize("labelled", [True, False])
def test_any_size_and_few_rows(n, channels, size, labelled):
    x, y = few(n, channels, size), torch.arange(n) % 2
    features = image_features(x, y, 2, labelled, steps=2, batch_size=8, width=8, accelerator="cpu")
    assert features(x).isfinite().all()


def test_float32_is_a_choice():
    x, y = few(10), torch.arange(10)
    model = fit_classifier(x, y, 10, steps=2, batch_size=8, width=8, precision="32-true", accelerator="cpu")
    assert weights(model).isfinite().all()


def test_shifted_moves_pictures_whole():
    x = torch.full((64, 1, 16, 16), -1.0)
    x[:, :, 8, 8] = 1
    moved = shifted(x)
    place = (moved[:, 0] == 1).nonzero()[:, 1:] - 8
    assert moved.shape == x.shape
    assert len(place) == 64
    assert (int(place.min()), int(place.max())) == (-2, 2)
    assert (moved.sum((1, 2, 3)) == x[0].sum()).all()


def test_a_trainer_can_train_it_too(digits, tmp_path):
    x, y = digits
    table = Table({"x": x[:64], "y": y[:64]}, lambda batch: {**batch, "x": batch["x"] / 127.5 - 1})
    loader = DataLoader(table, batch_size=16, collate_fn=as_is)
    model = ImageClassifier(10, 1, 8, steps=4, width=8)
    trainer = Trainer(
        accelerator="cpu",
        max_steps=4,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        num_sanity_val_steps=0,
    )
    trainer.fit(model, loader, loader)
    assert trainer.global_step == 4
    assert "accuracy/val" in trainer.callback_metrics


def test_what_it_refuses():
    x, y = few(4), torch.arange(4)
    for bad_x, bad_y in ((x.float(), y), (x[:, :, :5], y), (x, y[:2]), (x[:0], y[:0]), (x[0], y)):
        with pytest.raises(InputError, match="uint8"):
            fit_classifier(bad_x, bad_y, 4)
    with pytest.raises(InputError, match="0 to 3, but there are 3 classes"):
        fit_classifier(x, y, 3)
    with pytest.raises(InputError, match="accelerator"):
        fit_classifier(x, y, 4, accelerator="abacus")
