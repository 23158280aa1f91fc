"""What runs elsewhere on a CPU, on a GPU. Each body is a function of the device, so that it can be tried on a CPU."""

import copy
import math
from pathlib import Path

import pytest
import torch

from datamodules import Digits, GANDataModule
from datamodules.rows import stored_rows
from ganaug.callbacks import Scores
from ganaug.classifiers.training import fit_classifier
from ganaug.gans.seqgan.discriminator import Discriminator
from ganaug.gans.seqgan.rollout import prefix_values, sample_sequences
from ganaug.networks.decoder import DECODERS
from tests.gan_contract import equal, trainer
from tests.gans.dcgan import test_model as test_dcgan
from tests.gans.seqgan import test_model as test_seqgan
from tests.gans.timegan import test_model as test_timegan

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]
PRECISIONS = ["32-true", "bf16-mixed", "16-mixed"]
DATA = {"image": test_dcgan.Squares, "text": test_seqgan.Letters, "series": test_timegan.Waves}
MAKE = {"image": test_dcgan.make, "text": test_seqgan.make, "series": test_timegan.make}
SHORT = {"image": {}, "text": {"mle_steps": 1, "discriminator_steps": 1}, "series": {"autoencoder_steps": 1}}


def accelerator(device: str) -> str:
    return "gpu" if device == "cuda" else device


def timegan_steps(device: str, precision: str, threshold: float) -> None:
    """D's threshold: 0 always lets it learn, 10⁶ never."""
    data = test_timegan.Waves()
    model = test_timegan.make(data, d_threshold=threshold)
    before = copy.deepcopy(model.discriminator.state_dict())
    trainer(9, accelerator=accelerator(device), precision=precision).fit(model, data)
    assert all(value.isfinite().all() for value in model.state_dict().values())
    after = {name: value.cpu() for name, value in model.discriminator.state_dict().items()}
    assert equal(before, after) == (threshold > 1)


def rectangle(device: str, precision: str) -> None:
    """Pictures that networks see at 16×32: trained there, and drawn as on the CPU."""
    data = Digits(image_size=(16, 32), per_class=20, batch_size=8)
    model = test_dcgan.make(data)
    trainer(4, accelerator=accelerator(device), precision=precision).fit(model, data)
    assert all(value.isfinite().all() for value in model.state_dict().values())
    latent, y = model.latent(torch.arange(4), 0), torch.arange(4)
    here = model.cpu().eval().sample(latent.cpu(), y)["x"]
    there = model.to(device).sample(latent.to(device), y.to(device))["x"].cpu()
    assert there.shape == (4, 1, 16, 32)
    torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-3)


def rollout_values(device: str, kind: str, ends: bool) -> None:
    """All prefixes in lockstep there, one at a time on the CPU: the same to rounding."""
    words, length, rows, rollouts = 23, 7, 6, 5
    torch.manual_seed(0)
    decoder = DECODERS[kind](words, length, 2, 8, 8)
    critic = Discriminator(words, length, 2, 6, {1: 3, 2: 4, 3: 5, 9: 2})
    for parameter in (*decoder.parameters(), *critic.parameters()):
        torch.nn.init.normal_(parameter, 0, 0.4)
    x, y = torch.randint(2, words, (rows, length)), torch.arange(rows) % 2
    x[0, 4:] = 0
    prefixes = range(1, length)
    uniform = torch.rand(len(prefixes), rows, rollouts, length)

    def found(where: str, lockstep: bool | None) -> torch.Tensor:
        policy, judge = copy.deepcopy(decoder).to(where).eval(), copy.deepcopy(critic).to(where).eval()
        past, labels = sample_sequences(policy, y.to(where), x.to(where), keep=True), y.to(where)
        chance = uniform.to(where)
        return prefix_values(
            policy, judge, torch.sigmoid, past, labels, prefixes, rollouts, ends, chance, lockstep
        ).cpu()

    there, here = found(device, True), found("cpu", False)
    assert here.std() > 0.01
    torch.testing.assert_close(there, here, rtol=1e-4, atol=1e-4)


def scores(device: str, kind: str) -> None:
    data: GANDataModule = DATA[kind](val_fraction=0.25)
    model = MAKE[kind](data, **SHORT[kind])
    run = trainer(
        4, Scores(steps=3), accelerator=accelerator(device), limit_val_batches=1.0, val_check_interval=4,
        check_val_every_n_epoch=None,
    )  # fmt: skip
    run.fit(model, data)
    found = {name: float(value) for name, value in run.logged_metrics.items() if name.startswith("score/")}
    assert {"score/frechet_distance", "score/kernel_distance", "score/class_fidelity"} <= found.keys()
    assert all(math.isfinite(value) for value in found.values())


def classifier_twice(device: str, kind: str) -> None:
    data = DATA[kind]()
    data.setup()
    rows = stored_rows(data.schema, data.train)

    def weights(seed: int, state: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(state)  # on every device
        model = fit_classifier(data.schema, rows, steps=8, batch_size=8, seed=seed, accelerator=device)
        assert model.device.type == device
        return {name: value.cpu() for name, value in model.state_dict().items()}

    first = weights(3, 0)
    assert equal(first, weights(3, 1))
    assert not equal(first, weights(4, 0))


def resumed(device: str, kind: str, path: Path) -> None:
    """A checkpoint of the device is loaded on a CPU, and goes on there."""
    data = DATA[kind]()
    model = MAKE[kind](data)
    first = trainer(3, accelerator=accelerator(device))
    first.fit(model, data)
    first.save_checkpoint(path, weights_only=False)
    content = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    again = MAKE[kind](data)
    again.load_state_dict(content)
    latent, y = model.latent(torch.arange(4), 0), torch.zeros(4, dtype=torch.long)
    if kind != "text":  # token ids may differ where a probability does by rounding
        here, there = again.eval().sample(latent.cpu(), y), model.eval().to(device).sample(latent.to(device), y)
        torch.testing.assert_close(there["x"].cpu(), here["x"], rtol=1e-3, atol=1e-3)
    run = trainer(5)
    run.fit(MAKE[kind](data), data, ckpt_path=path, weights_only=False)
    assert run.global_step == 5


@pytest.mark.parametrize("threshold", [0.0, 1e6], ids=["off", "on"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_timegan_steps(precision: str, threshold: float) -> None:
    timegan_steps("cuda", precision, threshold)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_rectangles(precision: str) -> None:
    rectangle("cuda", precision)


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("kind", sorted(DECODERS))
def test_rollouts_are_worth_what_they_are_on_a_cpu(kind: str, ends: bool) -> None:
    rollout_values("cuda", kind, ends)


@pytest.mark.parametrize("kind", sorted(DATA))
def test_scores(kind: str) -> None:
    scores("cuda", kind)


@pytest.mark.parametrize("kind", sorted(DATA))
def test_a_classifier_is_a_function_of_its_seed(kind: str) -> None:
    classifier_twice("cuda", kind)


@pytest.mark.parametrize("kind", sorted(DATA))
def test_a_checkpoint_goes_on_on_a_cpu(kind: str, tmp_path: Path) -> None:
    resumed("cuda", kind, tmp_path / "there.ckpt")
