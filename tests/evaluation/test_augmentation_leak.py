"""Whether augmentation shows in samples: told by a classifier that saw real rows with and without it."""

from contextlib import nullcontext

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from datamodules import Digits, Grammar, Sines
from datamodules.rows import stored_rows
from datamodules.schema import Batch
from ganaug import DCGAN, R3GAN, SeqGAN
from ganaug.evaluation import augmentation_leak as leak_module
from ganaug.evaluation.augmentation_leak import leak
from ganaug.gans.diffaug.images import augment
from tests.gan_contract import on_fake_gpu

QUICK = {"seed": 0, "steps": 60, "accelerator": "cpu"}


@pytest.fixture(scope="module")
def digits() -> Digits:
    data = Digits(image_size=8, per_class=40)
    data.setup()
    return data


@pytest.mark.parametrize("policy", ["translation", "cutout", "color"])
def test_what_was_augmented_is_told_from_what_was_not(digits: Digits, policy: str) -> None:
    model = DCGAN(digits.schema, width=8, augment=policy)
    train, test = stored_rows(digits.schema, digits.train), stored_rows(digits.schema, digits.test)
    torch.manual_seed(1)
    changed = digits.schema.stored({"x": augment(digits.schema.prepare(test)["x"], (policy,)), "y": test["y"]})
    found = leak(model, train, test, changed, **QUICK)
    assert found["unseen"] < 0.3
    assert found["samples"] > found["unseen"] + 0.4


def test_rows_go_where_the_model_is(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Sines(series=20, length=16)
    data.setup()
    model, found = R3GAN(data.schema, widths=[8], augment="scale"), []
    rows = stored_rows(data.schema, data.train)
    given = model.augmented
    monkeypatch.setattr(leak_module, "seeded", lambda seed, device: nullcontext(found.append(device.type)))
    monkeypatch.setattr(model, "augmented", lambda batch: found.append(given(batch)["x"].device.type))
    with FakeTensorMode(allow_non_fake_inputs=True):
        on_fake_gpu(model)
        assert leak(model, rows, rows, rows, **QUICK) == {}
    assert found == ["cuda", "cuda"]


@pytest.mark.parametrize("policy", ["shift", "cutout"])
def test_series_that_were_augmented_are_told_from_those_that_were_not(policy: str) -> None:
    data = Sines(series=400, length=16)
    data.setup()
    model = R3GAN(data.schema, widths=[8], augment=policy)
    model.view.learn(data.train.batches())
    train, test = stored_rows(data.schema, data.train), stored_rows(data.schema, data.test)
    torch.manual_seed(1)
    changed = model.augmented(test)
    assert changed is not None
    found = leak(model, train, test, data.schema.stored(changed), **QUICK | {"steps": 120})
    assert found["unseen"] < 0.3
    assert found["samples"] > found["unseen"] + 0.3


def test_it_leaves_the_random_state_alone_and_repeats(digits: Digits) -> None:
    model = DCGAN(digits.schema, width=8, augment="translation")
    rows = stored_rows(digits.schema, digits.train)
    state = torch.get_rng_state()
    once = leak(model, rows, rows, rows, **QUICK | {"steps": 3})
    assert torch.equal(state, torch.get_rng_state())
    assert leak(model, rows, rows, rows, **QUICK | {"steps": 3}) == once


def test_rows_are_augmented_a_few_at_a_time_and_kept_as_they_are_stored(
    digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = stored_rows(digits.schema, digits.train)
    model, counts, given = DCGAN(digits.schema, width=8), [], []
    learn = leak_module.fit_classifier

    def brighter(batch: Batch) -> Batch:
        counts.append(len(batch["x"]))
        return {"x": (batch["x"] + 2 / 255).clamp(max=1)}

    def fit(schema, rows: Batch, **options):
        given.append(rows)
        return learn(schema, rows, **options)

    monkeypatch.setattr(model, "augmented", brighter)
    monkeypatch.setattr(leak_module, "fit_classifier", fit)
    monkeypatch.setattr(leak_module, "ROWS", 100)
    leak(model, rows, rows, rows, **QUICK | {"steps": 2})
    assert max(counts) == 100
    assert sum(counts) == 4 * len(rows["y"])
    x = rows["x"].repeat(4, 1, 1, 1)
    assert given[0]["x"].dtype == torch.uint8
    assert torch.equal(given[0]["x"], torch.cat([x, x.int().add(1).clamp(max=255).to(torch.uint8)]))
    assert given[0]["y"].tolist() == [0] * len(x) + [1] * len(x)


def test_without_augmentation_there_is_nothing_to_leak(digits: Digits) -> None:
    rows = stored_rows(digits.schema, digits.train)
    assert leak(DCGAN(digits.schema, width=8, augment=""), rows, rows, rows, **QUICK) == {}
    sentences = Grammar(sentences=60)
    sentences.setup()
    words = stored_rows(sentences.schema, sentences.train)
    assert leak(SeqGAN(sentences.schema, hidden=8), words, words, words, **QUICK) == {}
