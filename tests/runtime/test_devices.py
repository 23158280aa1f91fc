"""Which device is used, whose generators are seeded, and where rows lie."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from datamodules import Digits
from datamodules.errors import InputError
from ganaug.classifiers.training import fit_classifier
from ganaug.runtime.devices import SHARE, device_of, placed, seeded
from ganaug.sampling.resample import GANSampler
from ganaug.study.learners import Module
from tests.classifiers.test_training import squares
from tests.commands.test_augment import Linear
from tests.sampling.test_resample import PICTURES, pictures

gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]


def test_the_accelerator_names_the_device() -> None:
    found = torch.accelerator.current_accelerator(check_available=True)
    assert device_of("cpu") == torch.device("cpu")
    assert device_of("auto") == (found or torch.device("cpu"))
    for name in ("cuda", "mps", "gpu", "tpu"):
        if found is None or name not in ("gpu", found.type):
            with pytest.raises(InputError, match=f"accelerator '{name}' is not to be had here"):
                device_of(name)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=gpu)])
def test_chance_is_the_seeds_within_and_as_it_was_afterwards(device: str) -> None:
    def drawn() -> list[torch.Tensor]:
        return [torch.rand(4), F.dropout(torch.ones(64, device=device))]

    torch.manual_seed(5)
    expected = drawn()
    torch.manual_seed(5)
    seen = []
    for seed in (1, 1, 2):
        with seeded(seed, device):
            seen.append(drawn())
    assert all(map(torch.equal, seen[0], seen[1]))
    assert not any(map(torch.equal, seen[0], seen[2]))
    assert all(map(torch.equal, drawn(), expected))


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> list:
    """The devices of every ``fork_rng``, None for all."""
    given, plain = [], torch.random.fork_rng
    monkeypatch.setattr(
        torch.random, "fork_rng", lambda devices=None, **o: given.append(devices) or plain(devices, **o)
    )
    return given


def somebodys() -> tuple[Callable, Digits]:
    """What trains a module of somebody's own on digits."""
    data = Digits(image_size=8, per_class=4)
    data.setup()
    return lambda accelerator: Module(Linear, accelerator).learn(data.schema, data.train.fields, 2, 0, False), data


def test_training_for_others_touches_no_gpu_but_its_own(forked: list) -> None:
    somebodys()[0]("cpu")
    GANSampler(**PICTURES).fit_resample(*pictures())
    assert forked
    assert all(devices == [] for devices in forked)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_what_was_trained_on_a_gpu_answers_there() -> None:
    sampler = GANSampler(**PICTURES | {"accelerator": "cuda"})
    rows, labels = pictures()
    assert len(sampler.fit_resample(rows, labels)[0]) > len(rows)
    assert sampler.model_.device.type == "cuda"
    learn, data = somebodys()
    before = torch.cuda.memory_allocated()
    predict = learn("cuda")
    assert torch.cuda.memory_allocated() > before
    assert predict(data.test.fields).device.type == "cpu"


def test_rows_stay_on_the_cpu_for_a_cpu() -> None:
    rows = {"x": torch.zeros(4, 2), "y": torch.zeros(4)}
    assert placed(rows, torch.device("cpu")) is rows


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_rows_lie_on_a_gpu_where_they_fit_and_it_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"x": torch.randint(0, 256, (64, 1, 8, 8), dtype=torch.uint8), "y": torch.arange(64) % 2}
    device = torch.device("cuda")
    assert {field.device.type for field in placed(rows, device).values()} == {"cuda"}
    weights = []
    for share in (SHARE, 2**60):
        monkeypatch.setattr("ganaug.runtime.devices.SHARE", share)
        model = fit_classifier(squares(2), rows, steps=3, accelerator="cuda", augment=True)
        weights.append(model.state_dict())
    assert placed(rows, device) is rows
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight)
