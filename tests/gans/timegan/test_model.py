import copy
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger
from scipy.stats import wasserstein_distance
from torch import Tensor, nn

from datamodules import GANDataModule, InputError
from datamodules.series.base import SeriesModule, SeriesRows
from ganaug.gans.lengths import LengthsAndStatic
from ganaug.gans.loading import load
from ganaug.gans.timegan import training
from ganaug.gans.timegan.losses import (
    _autocovariances,
    _sliced,
    autocorrelation_loss,
    change_loss,
    correlation_loss,
    masked_mean,
    moment_loss,
    sliced_loss,
)
from ganaug.gans.timegan.model import TimeGAN
from ganaug.gans.timegan.recurrent import Recurrent
from tests.gan_contract import GANContract, Stop, equal, trainer

NETWORKS = ("embedder", "recovery", "generator", "supervisor", "discriminator")


class Waves(SeriesModule):
    """Sines and cosines of two measurements, 4 to 8 steps long, with two static attributes; two classes."""

    def __init__(self, rows: int = 40, fixed: bool = False, static: bool = True, features: int = 2, **options) -> None:
        super().__init__(**({"batch_size": 8, "val_fraction": 0.2} | options))
        rng, row = np.random.default_rng(0), np.arange(rows)
        y = row % 2
        phase = rng.uniform(0, 6, (rows, 1, features)) + y[:, None, None] * math.pi / 2
        values = 10 + 5 * np.sin(phase + np.arange(8)[None, :, None])
        attributes = [rng.uniform(50, 90, rows), np.array(["red", "blue"])[(row // 2) % 2]]
        self.describe(
            SeriesRows(values, np.full(rows, 8) if fixed else 4 + row % 5, y, attributes if static else []),
            None,
            tuple(f"m{k}" for k in range(features)),
            classes=("sine", "cosine"),
            **{"static": ("weight", "colour"), "static_dtypes": ("float64", "str")} if static else {},
            **{"static_categories": ((), ("blue", "red"))} if static else {},
        )


SMALL = {"hidden": 6, "layers": 2, "autoencoder_steps": 2, "supervisor_steps": 2}


def make(data: GANDataModule, **options) -> TimeGAN:
    return TimeGAN(data.schema, **SMALL | options)


class TestTimeGAN(GANContract):
    """The default preset on series of different lengths, with static attributes as conditions."""

    steps = 9
    fake_gpu = False

    def make(self, data: GANDataModule, **options) -> TimeGAN:
        return make(data, **options)

    def data(self, **options) -> Waves:
        return Waves(**options)


class TestPaper(TestTimeGAN):
    """The paper's schedule and losses on series of one length."""

    def make(self, data: GANDataModule, **options) -> TimeGAN:
        threshold = {} if options.get("accumulate", 1) == 1 else {"d_threshold": 0.0}
        return make(data, preset="paper", **threshold | options)

    def data(self, **options) -> Waves:
        return Waves(**options, fixed=True, static=False)


class TestGenerated(TestTimeGAN):
    """LSTMs, and what skips them; static attributes generated along."""

    def make(self, data: GANDataModule, **options) -> TimeGAN:
        return make(data, cell="lstm", skip=True, static="generate", g_steps=2, **options)


def ready(**options) -> Waves:
    data = Waves(**options)
    data.setup()
    return data


def fit(model: TimeGAN, data: Waves, steps: int, *callbacks: Callback) -> TimeGAN:
    trainer(steps, *callbacks).fit(model, data)
    return model


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


class Changes(Callback):
    """Which networks each batch has changed."""

    def __init__(self) -> None:
        self.changed: list[set[str]] = []

    def on_train_batch_start(self, trainer, module, *_) -> None:
        self.before = {name: weights(getattr(module, name)) for name in NETWORKS}

    def on_train_batch_end(self, trainer, module, *_) -> None:
        now = {name: getattr(module, name).state_dict() for name in NETWORKS}
        self.changed.append({name for name in NETWORKS if not equal(self.before[name], now[name])})


# ---- the networks


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_recurrent_is_the_librarys_layers_and_a_dense_one(cell: str, skip: bool) -> None:
    torch.manual_seed(0)
    network = Recurrent(3, 2, 5, 3, cell, condition=2, skip=skip)
    x, told = torch.randn(4, 7, 3, requires_grad=True), torch.randn(4, 2)
    out = network(x, told)
    seen = torch.cat([x, told[:, None].expand(4, 7, 2)], 2)
    states = network.rnn(seen)[0]
    expected = torch.sigmoid(network.dense(torch.cat([states, seen], 2) if skip else states))
    torch.testing.assert_close(out, expected)
    parameters = [x, *network.parameters()]
    for ours, theirs in zip(
        torch.autograd.grad(out.square().sum(), parameters),
        torch.autograd.grad(expected.square().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param("cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="GPU")]),
    ],
)
def test_recurrent_is_float32_under_autocast(cell: str, device: str) -> None:
    torch.manual_seed(0)
    network, x = Recurrent(3, 2, 5, 2, cell).to(device), torch.randn(4, 7, 3, device=device)
    expected = network(x)
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast(device, dtype):
            assert torch.equal(network(x), expected)


def test_a_step_depends_on_those_before_it_alone() -> None:
    network = Recurrent(3, 2, 5, 2)
    x = torch.randn(4, 7, 3)
    other = x.clone()
    other[:, 5:] = 100.0
    assert torch.equal(network(x)[:, :5], network(other)[:, :5])
    assert not torch.equal(network(x)[:, 5:], network(other)[:, 5:])


@pytest.mark.parametrize("bounded", [True, False])
def test_skipping_embedder_and_recovery_begin_near_the_identity(bounded: bool) -> None:
    torch.manual_seed(0)
    embedder = Recurrent(3, 8, 8, 2, condition=2, skip=True)
    recovery = Recurrent(8, 3, 8, 2, skip=True, sigmoid=bounded)
    embedder.pass_through(bounded)
    recovery.pass_through()
    x = torch.rand(16, 9, 3) if bounded else torch.randn(16, 9, 3)
    back = recovery(embedder(x, torch.randn(16, 2)))
    for feature in range(3):
        pair = torch.stack([x[..., feature].flatten(), back[..., feature].flatten()])
        assert torch.corrcoef(pair)[0, 1] > 0.95
    assert (back - x).abs().mean() < (0.15 if bounded else 0.35)


def test_gates_begin_open() -> None:
    network = Recurrent(3, 2, 5, 2)
    for layer in range(2):
        bias = getattr(network.rnn, f"bias_ih_l{layer}") + getattr(network.rnn, f"bias_hh_l{layer}")
        assert bias.tolist() == [1.0] * 10 + [0.0] * 5
    lstm = Recurrent(3, 2, 5, 1, "lstm")
    assert (lstm.rnn.bias_ih_l0 + lstm.rnn.bias_hh_l0).tolist() == [0.0] * 5 + [1.0] * 5 + [0.0] * 10
    limit = math.sqrt(6 / (3 + 5 + 2 * 5))  # Glorot's, of inputs and state together to both gates
    gates = network.rnn.weight_ih_l0[:10]
    assert 0.8 * limit < gates.abs().max() <= limit


def test_the_supervisor_has_a_layer_less() -> None:
    model = TimeGAN(Waves().schema, preset="paper")
    assert [getattr(model, name).rnn.num_layers for name in NETWORKS] == [3, 3, 3, 2, 3]
    assert [getattr(model, name).rnn.hidden_size for name in NETWORKS] == [24] * 5
    assert model.supervisor.dense.out_features == 24
    assert model.discriminator.dense.out_features == 1


# ---- the losses


DISTANCES = (sliced_loss, autocorrelation_loss)
LOSSES = (
    moment_loss,
    correlation_loss,
    change_loss,
    *(partial(distance, condition=None) for distance in DISTANCES),
)


def test_moment_loss_is_the_official_one() -> None:
    real, fake = torch.rand(9, 5, 3), torch.rand(9, 5, 3)
    deviation = (real.var(0, unbiased=False) + 1e-6).sqrt() - (fake.var(0, unbiased=False) + 1e-6).sqrt()
    expected = deviation.abs().mean() + (real.mean(0) - fake.mean(0)).abs().mean()
    torch.testing.assert_close(moment_loss(real, fake, None), expected)
    torch.testing.assert_close(moment_loss(real, fake, torch.ones(9, 5, 1)), expected)


def test_losses_of_statistics_against_numpy() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(50, 8, 3).cumsum(1), torch.randn(50, 8, 3)
    a, b = (np.corrcoef(x.flatten(0, 1).double().numpy().T) for x in (real, fake))
    assert correlation_loss(real, fake, None).item() == pytest.approx(np.abs(a - b).sum() / 6, rel=1e-3)

    x, y = real.double().numpy(), fake.double().numpy()
    changes = [np.diff(part, axis=1) / np.sqrt((np.diff(x, axis=1) ** 2).mean((0, 1))) for part in (x, y)]
    expected = sum(np.abs(f(changes[0], 0) - f(changes[1], 0)).mean() for f in (np.mean, np.std))
    assert change_loss(real, fake, None).item() == pytest.approx(expected, rel=1e-3)


def test_distances_between_distributions_are_wassersteins() -> None:
    torch.manual_seed(0)
    a, b, directions = torch.randn(40, 5), torch.randn(40, 5) * 2 + 1, torch.randn(3, 5)
    unit = (directions / directions.norm(dim=1, keepdim=True)).numpy()
    expected = np.mean([wasserstein_distance(a.numpy() @ u, b.numpy() @ u) for u in unit])
    assert _sliced(a, b, directions, None).item() == pytest.approx(expected, rel=1e-4)


def test_distributions_are_compared_within_their_class() -> None:
    torch.manual_seed(0)
    told = F.one_hot(torch.arange(64) % 2, 2).float()
    real = torch.randn(64, 6, 1) * 0.1 + told[:, :1, None]
    other = real.roll(1, 0)  # the same series, under the other class
    for loss in DISTANCES:
        assert loss(real, other, None, None).item() == pytest.approx(0, abs=1e-5)
        assert loss(real, real[torch.randperm(32).mul(2).repeat_interleave(2) + torch.arange(64) % 2], None, told) < 0.1
    assert sliced_loss(real, other, None, told) > 0.5


def test_autocovariances_are_those_of_each_series() -> None:
    torch.manual_seed(0)
    x, length = torch.randn(3, 9, 2), [9, 5, 1]
    inside = (torch.arange(9) < torch.tensor(length)[:, None]).float()[:, :, None]
    found = _autocovariances(x * inside, inside).view(3, 5, 2, 2)  # series, lag, half, feature
    for row, steps in enumerate(length):
        series = x[row, :steps].double().numpy() - x[row, :steps].double().numpy().mean(0)
        for place, lag in enumerate((0, 1, 2, 3, 4)):
            products, middle = series[lag:] * series[: max(0, steps - lag)], -(-(9 - lag) // 2)
            for half, part in enumerate((products[:middle], products[middle:])):
                expected = part.mean(0) if len(part) else np.zeros(2)
                np.testing.assert_allclose(found[row, place, half], expected, atol=1e-6)


def test_a_sine_that_wavers_is_far_from_one_that_does_not() -> None:
    """Though step by step, and on average over the batch, they have the same moments and autocorrelations."""
    torch.manual_seed(0)

    def sines(frequency: Tensor) -> Tensor:
        phase = frequency.cumsum(1) + 7 * torch.rand(256, 1)
        return phase.sin()[:, :, None]

    steady, again = (sines((0.6 + 0.6 * torch.rand(256, 1)).expand(256, 48)) for _ in range(2))
    wavering = sines((0.6 + 0.6 * torch.rand(256, 12)).repeat_interleave(4, 1))
    assert autocorrelation_loss(steady, wavering, None, None) > 3 * autocorrelation_loss(steady, again, None, None)


@pytest.mark.parametrize("loss", LOSSES)
def test_what_lies_beyond_the_end_is_in_no_statistic(loss) -> None:
    torch.manual_seed(0)
    real, fake = torch.rand(6, 8, 3), torch.rand(6, 8, 3)
    inside = (torch.arange(8) < torch.tensor([3, 4, 5, 6, 7, 7])[:, None]).float()[:, :, None]
    torch.manual_seed(1)
    expected = loss(real * inside, fake * inside, inside)
    assert torch.isfinite(expected)
    noisy = [part * inside + 7 * (1 - inside) for part in (real, fake)]
    torch.manual_seed(1)
    torch.testing.assert_close(loss(*noisy, inside), expected)
    assert loss(real, real, inside).item() == pytest.approx(0, abs=1e-6)
    assert masked_mean(torch.ones(6, 8, 3) * 3, inside).item() == pytest.approx(3)


@pytest.mark.parametrize("loss", LOSSES)
def test_constants_and_single_steps_have_finite_gradients(loss) -> None:
    for shape in ((4, 6, 2), (4, 1, 1), (1, 6, 2)):
        fake = torch.full(shape, 0.5, requires_grad=True)
        value = loss(torch.full(shape, 0.5), fake, None)
        assert value == 0
        if value.requires_grad:
            assert torch.isfinite(torch.autograd.grad(value, fake)[0]).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_float32_under_autocast(loss) -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(60, 8, 3).bfloat16(), torch.randn(60, 8, 3).bfloat16() * 2
    torch.manual_seed(1)
    expected = loss(real.float(), fake.float(), None)
    for args in ((real.float(), fake.float()), (real, fake)):
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16):
            found = loss(*args, None)
        assert found.dtype == torch.float32
        assert torch.equal(found, expected)


def test_correlations_of_many_steps_are_finite_in_fp16() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(1000, 70, 2), torch.randn(1000, 70, 2)  # 70,000 steps; fp16 ends at 65,504
    expected = correlation_loss(real, fake, None)
    with torch.autocast("cpu", torch.float16):
        assert torch.equal(correlation_loss(real, fake, None), expected)


# ---- a joint step


def reference_round(model: TimeGAN, batches: list[dict[str, Tensor]], noises: list[Tensor], lr: float) -> None:
    """A joint step of the official code, written as it stands there: every network by itself, nothing shared."""
    e, r, g, s, d = (getattr(model, name) for name in NETWORKS)

    def adam(*networks: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam([p for network in networks for p in network.parameters()], lr)

    makers, coders, judge = adam(g, s), adam(e, r), adam(d)
    bce = F.binary_cross_entropy_with_logits

    def step(optimizer: torch.optim.Adam, loss: Tensor) -> None:
        for network in (e, r, g, s, d):
            network.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    for batch, z in zip(batches[:2], noises[:2], strict=True):
        x = batch["x"]
        h, e_hat = e(x), g(z)
        h_hat = s(e_hat)
        y_fake, y_fake_e = d(h_hat), d(e_hat)
        x_hat = r(h_hat)
        supervised = (h[:, 1:] - s(h)[:, :-1]).square().mean()
        v1 = ((x_hat.var(0, unbiased=False) + 1e-6).sqrt() - (x.var(0, unbiased=False) + 1e-6).sqrt()).abs().mean()
        v2 = (x_hat.mean(0) - x.mean(0)).abs().mean()
        unsupervised = bce(y_fake, torch.ones_like(y_fake)) + bce(y_fake_e, torch.ones_like(y_fake_e))
        step(makers, unsupervised + 100 * supervised.sqrt() + 100 * (v1 + v2))
        h = e(x)
        supervised = (h[:, 1:] - s(h)[:, :-1]).square().mean()
        step(coders, 10 * (r(h) - x).square().mean().sqrt() + 0.1 * supervised)
    h, e_hat = e(batches[2]["x"]), g(noises[2])
    logits = d(h), d(s(e_hat)), d(e_hat)
    loss = sum(bce(part, torch.ones_like(part) if k == 0 else torch.zeros_like(part)) for k, part in enumerate(logits))
    if loss > 0.15:
        step(judge, loss)


class Record(Callback):
    """The batches, and the noise that the generator is given in training."""

    def __init__(self) -> None:
        self.batches: list[dict[str, Tensor]] = []
        self.noise: list[Tensor] = []

    def on_train_start(self, trainer, module) -> None:
        module.generator.register_forward_pre_hook(lambda _, args: self.noise.append(args[0].detach()))

    def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
        self.batches.append(batch)


def test_a_round_equals_the_official_arrangement() -> None:
    """Shared and batched passes change nothing but rounding; weights, roots and the order are the official ones."""
    data = Waves(fixed=True, static=False)
    options = {"preset": "paper", "hidden": 8, "layers": 3, "autoencoder_steps": 0, "supervisor_steps": 0}
    model, record = TimeGAN(data.schema, **options), Record()
    twin = copy.deepcopy(model)
    fit(model, data, 3, record)
    assert len(record.noise) == 3
    reference_round(twin, record.batches, record.noise, 1e-3)
    start = TimeGAN(data.schema, **options).state_dict()
    ours, theirs = model.state_dict(), twin.state_dict()
    for name in (name for name in ours if not name.startswith("ema")):
        moved = (theirs[name] - start[name]).norm()
        assert moved > 0, name
        assert (ours[name] - theirs[name]).norm() < 0.02 * moved, name  # Adam's first steps magnify rounding


def test_every_step_is_for_its_networks_alone() -> None:
    changes = Changes()
    fit(TimeGAN(Waves().schema, preset="paper", hidden=6, autoencoder_steps=2, supervisor_steps=2), Waves(), 7, changes)
    coder, maker = {"embedder", "recovery"}, {"generator", "supervisor"}
    assert changes.changed == [coder] * 2 + [{"supervisor"}] * 2 + [coder | maker] * 2 + [{"discriminator"}]
    changes = Changes()
    fit(make(Waves(), g_steps=2), Waves(), 8, changes)
    assert changes.changed[4:] == [coder | maker, set(NETWORKS)] * 2


def test_the_generators_update_leaves_no_gradient_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[set[str], set[str]]] = []
    update = TimeGAN.update

    def noted(self, optimizer, loss, turn) -> None:
        mine = {id(p) for group in optimizer.param_groups for p in group["params"]}
        step = optimizer.step
        optimizer.step = lambda: None
        zero, optimizer.zero_grad = optimizer.zero_grad, lambda: None
        update(self, optimizer, loss, turn)
        optimizer.step, optimizer.zero_grad = step, zero
        touched = {n for n in NETWORKS for p in getattr(self, n).parameters() if p.grad is not None}
        own = {n for n in NETWORKS for p in getattr(self, n).parameters() if id(p) in mine}
        seen.append((touched, own))
        optimizer.step()
        optimizer.zero_grad()

    monkeypatch.setattr(TimeGAN, "update", noted)
    fit(make(Waves(), g_steps=1), Waves(), 6)
    assert len(seen) == 4 + 3 * 2
    assert all(touched == own for touched, own in seen)


def test_padding_is_in_no_loss() -> None:
    """Whatever lies beyond the end of real series, training and samples are the same."""

    class Noisy(Waves):
        def _encoded(self, rows):
            batch = super()._encoded(rows)
            beyond = torch.arange(batch["x"].shape[1]) >= batch["length"][:, None]
            batch["x"][beyond] = 7.0
            return batch

    clean, noisy = (fit(make(data), data, 8) for data in (Waves(), Noisy()))
    for name, value in clean.state_dict().items():
        torch.testing.assert_close(value, noisy.state_dict()[name], rtol=1e-4, atol=1e-6)


def test_what_was_not_measured_is_in_no_reconstruction() -> None:
    data = ready(fixed=True, static=False)
    batch = data.train.__getitems__([0, 1, 2])
    model = make(data)
    recovered = torch.rand_like(batch["x"])
    observed = torch.ones_like(batch["x"])
    observed[0, 3, 1] = 0
    expected = (recovered - batch["x"]).square()
    expected[0, 3, 1] = 0
    batch["observed"] = observed
    assert model._error(batch, recovered, None).item() == pytest.approx(
        expected.sum().item() / (3 * 8 * 2 - 1), rel=1e-5
    )


def test_the_discriminator_waits_below_its_threshold() -> None:
    model, data = make(Waves(), d_threshold=1e9), Waves()
    before = weights(model.discriminator)
    run = trainer(8)
    run.fit(model, data)
    assert equal(before, model.discriminator.state_dict())
    state = run.optimizers[4].state
    assert all(entry["step"] == 0 and not entry["exp_avg"].any() for entry in state.values())
    assert not equal(before, fit(make(Waves(), d_threshold=1e-9), Waves(), 8).discriminator.state_dict())


@pytest.mark.parametrize("threshold", [1e9, 1e-9])
@pytest.mark.parametrize("fused", [False, True])
def test_the_threshold_holds_whatever_precision_a_checkpoint_is_from(
    threshold: float, fused: bool, tmp_path: Path
) -> None:
    expected = fit(make(Waves(), d_threshold=threshold), Waves(), 10)
    path, stages = tmp_path / "a.ckpt", ((6, "32-true"), (8, "bf16-mixed"), (10, "32-true"))
    for steps, precision in stages:
        model, run = make(Waves(), d_threshold=threshold), trainer(steps, precision=precision)
        run.fit(model, Waves(), ckpt_path=path if path.exists() else None)
        run.save_checkpoint(path, weights_only=False)
        content = torch.load(path, weights_only=True)
        for state in content["optimizer_states"]:
            state["param_groups"][0]["fused"] = fused  # False is what a run of 16-mixed leaves
        torch.save(content, path)
    before, after = make(Waves(), d_threshold=threshold).discriminator, model.discriminator
    assert equal(before.state_dict(), after.state_dict()) == (threshold == 1e9)
    for name, weight in expected.discriminator.state_dict().items():
        torch.testing.assert_close(after.state_dict()[name], weight, rtol=0, atol=1e-3)


def test_codes_of_the_second_phase_are_looked_up() -> None:
    data, model = Waves(), make(Waves(), supervisor_steps=50)
    calls: list[int] = []
    seen: list[tuple[Tensor, Tensor]] = []

    class Watch(Callback):
        def on_train_start(self, trainer, module) -> None:
            module.embedder.register_forward_pre_hook(lambda _, args: calls.append(len(args[0])))
            codes = module._codes

            def noted(batch):
                found = codes(batch)
                number = len(calls)
                seen.append((found, module.embedder(module._channels(batch), module.condition(batch)).detach()))
                del calls[number:]
                return found

            module._codes = noted

    fit(model, data, 30, Watch())
    assert calls[:2] == [8, 8]  # the first phase
    assert calls[2:] == [len(data.train)]
    assert len(seen) == 28
    for found, computed in seen:
        torch.testing.assert_close(found, computed, rtol=1e-4, atol=1e-6)


def test_codes_that_are_too_many_are_made_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    data, models = Waves(), [make(Waves(), supervisor_steps=50) for _ in range(2)]
    fit(models[0], data, 6)
    monkeypatch.setattr("ganaug.gans.timegan.training.KNOWN", 0)
    fit(models[1], data, 6)
    assert models[1]._encoded is None
    for kept, made in zip(*(model.supervisor.parameters() for model in models), strict=True):
        torch.testing.assert_close(kept, made, rtol=1e-3, atol=1e-5)


def test_a_second_run_does_not_look_up_codes_of_the_first() -> None:
    data, model = Waves(), make(Waves(), supervisor_steps=50)
    fit(model, data, 6)
    assert model._encoded is not None
    fit(model, data, 1)
    assert model._encoded is None


def test_no_phase_steps_on_gradients_of_another() -> None:
    """Of an odd number of batches, where two make a step, one is left over."""

    class Forget(Callback):
        def on_train_batch_start(self, trainer, module, *_) -> None:
            if trainer.global_step == 6:
                left.append(any(p.grad is not None for p in module.recovery.parameters()))
                module.zero_grad()

    left: list[bool] = []
    steps = {"autoencoder_steps": 3, "supervisor_steps": 3, "accumulate": 2, "d_threshold": 0.0}
    model, other = make(Waves(), **steps), make(Waves(), **steps)
    fit(model, Waves(), 7)
    fit(other, Waves(), 7, Forget())
    assert left == [True]
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert (mine.grad is None) == (theirs.grad is None)
        assert mine.grad is None or torch.equal(mine.grad, theirs.grad)


def test_rates_fall_over_the_third_phase() -> None:
    rates: list[float] = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer, module, *_) -> None:
            rates.append(trainer.optimizers[3].param_groups[0]["lr"])

    fit(make(Waves(), decay_steps=4, lr_g=1.0), Waves(), 10, Watch())
    assert rates[:5] == [1.0] * 5
    assert rates[6] == pytest.approx(0.05 + 0.95 / 2)
    assert rates[8:] == pytest.approx([0.05, 0.05])


def test_one_feature_and_one_step() -> None:
    data = Waves(features=1)
    x = fit(make(data), data, 7).sample(*request(data, 5))["x"]
    assert x.shape == (5, 8, 1)
    assert torch.isfinite(x).all()

    class Points(Waves):
        def describe(self, rows, *args, **fields) -> None:
            super().describe(SeriesRows(rows.values[:, :1], np.ones(len(rows), int), rows.y), *args, **fields)

    points = Points(static=False, fixed=True)
    assert torch.isfinite(fit(make(points), points, 7).sample(*request(points, 5))["x"]).all()


# ---- samples


def request(data: Waves, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    model = make(data)
    return model.latent(torch.arange(count), seed), torch.arange(count) % 2


def test_lengths_and_attributes_are_those_of_the_class() -> None:
    data = ready(rows=200)
    model = fit(make(data), data, 20)
    batch = model.sample(model.latent(torch.arange(400), 0), torch.arange(400) % 2)
    rows = data.train.fields
    for c in range(2):
        real = {
            (int(n), *s.tolist()) for n, s, y in zip(rows["length"], rows["static"], rows["y"], strict=True) if y == c
        }
        drawn = {
            (int(n), *s.tolist())
            for n, s, y in zip(batch["length"], batch["static"], batch["y"], strict=True)
            if y == c
        }
        assert drawn <= real
        assert len(drawn) > 0.8 * len(real)
    beyond = torch.arange(8) >= batch["length"][:, None]
    assert not batch["x"][beyond].any()
    assert batch["x"][~beyond].min() > 0


def test_attributes_generated_along_come_back_in_their_units() -> None:
    data = Waves(rows=200)
    model = fit(make(data, static="generate", autoencoder_steps=40), data, 60)
    batch = model.sample(*request(data, 30))
    weight, colour = data.schema.decode_static(batch["static"])
    assert 45 < weight.min() <= weight.max() < 95
    assert set(colour) <= {"red", "blue"}


def test_longer_series_begin_as_the_shorter_do() -> None:
    data = Waves(fixed=True, static=False)
    model = fit(make(data), data, 6)
    index, y = torch.arange(4), torch.arange(4) % 2
    short = model.sample(model.latent(index, 1), y)
    long = model.sample(model.latent(index, 1, length=20), y, length=20)
    assert long["x"].shape == (4, 20, 2)
    assert long["length"].tolist() == [20] * 4
    torch.testing.assert_close(long["x"][:, :8], short["x"])
    with pytest.raises(InputError, match="1 to 8 steps"):
        model.sample(model.latent(index, 1), y, length=9)
    with pytest.raises(InputError, match="at least 1"):
        model.latent(index, 1, length=0)


def test_samples_come_from_the_averages() -> None:
    data = Waves()
    model = fit(make(data, ema_decay=0.9), data, 9)
    before = model.sample(*request(data, 3))["x"]
    with torch.no_grad():
        for name in NETWORKS:
            for parameter in getattr(model, name).parameters():
                parameter.zero_()
    assert torch.equal(before, model.sample(*request(data, 3))["x"])


def test_classes_are_ignored_where_they_should_be() -> None:
    data = Waves(static=False)
    model = make(data, conditional=False)
    latent = model.latent(torch.arange(4), 0)
    zeros, ones = (model.sample(latent, torch.full((4,), c))["x"] for c in (0, 1))
    assert torch.equal(zeros, ones)
    model = make(data)
    zeros, ones = (model.sample(latent, torch.full((4,), c))["x"] for c in (0, 1))
    assert not torch.equal(zeros, ones)


def test_frames_keep_the_last_rows_of_each_class() -> None:
    schema = Waves().schema
    frames = LengthsAndStatic(schema, 2, rows=3)
    uniform = torch.tensor([0.0, 0.34, 0.99])
    assert frames.draw(uniform, torch.zeros(3, dtype=torch.long))[0].tolist() == [8] * 3
    y = torch.tensor([0, 1, 0])
    batch = {"length": torch.tensor([1, 2, 3]), "static": torch.arange(9.0).view(3, 3)}
    frames.see(batch, y)
    frames.see({**batch, "length": torch.tensor([4, 5, 6])}, y)
    length, static = frames.draw(uniform, torch.zeros(3, dtype=torch.long))
    assert length.tolist() == [6, 3, 4]  # the oldest, 1, has made room
    assert static[0].tolist() == [6, 7, 8]
    assert sorted(frames.draw(torch.tensor([0.0, 0.5]), torch.ones(2, dtype=torch.long))[0].tolist()) == [2, 5]


# ---- options


@pytest.mark.parametrize(
    "options",
    [{"hidden": 0}, {"g_steps": 0}, {"lr_g": 0.0}, {"ema_decay": 1.0}, {"moment_weight": -1.0}, {"d_threshold": -1.0},
     {"autoencoder_steps": -1}, {"d_threshold": 0.1, "accumulate": 2}],
)  # fmt: skip
def test_options_out_of_range_get_one_line(options: dict) -> None:
    with pytest.raises(InputError) as error:
        make(Waves(), **options)
    assert "\n" not in str(error.value)
    assert next(iter(options)) in str(error.value)


def test_a_run_resumed_in_the_second_phase_has_the_same_codes(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    expected = fit(make(Waves()), Waves(), 4)
    with pytest.raises(Stop.Killed):
        fit(make(Waves()), Waves(), 4, Stop(3, path))
    resumed = make(Waves())
    trainer(4).fit(resumed, Waves(), ckpt_path=path)
    assert equal(expected.state_dict(), resumed.state_dict())


def test_frames_are_in_the_checkpoint(tmp_path: Path) -> None:
    data = Waves()
    model = make(data)
    run = trainer(5)
    run.fit(model, data)
    run.save_checkpoint(tmp_path / "a.ckpt", weights_only=False)
    again = load(tmp_path / "a.ckpt")
    latent, y = request(data, 20)
    assert torch.equal(again.sample(latent, y)["length"], model.sample(latent, y)["length"])
    assert len(again.sample(latent, y)["length"].unique()) > 2


def test_logits_are_those_of_the_steps_that_count() -> None:
    data = ready()
    model = make(data)
    batch = data.train.__getitems__([0, 1, 2, 3])
    codes = model.embedder(batch["x"], model.condition(batch))
    steps = model.discriminator(codes, model.condition(batch))[:, :, 0]
    expected = [steps[i, :n].mean().item() for i, n in enumerate(batch["length"])]
    assert model.logits(batch).tolist() == pytest.approx(expected, rel=1e-4)
    batch["x"][torch.arange(8) >= batch["length"][:, None]] = 9.0
    assert model.logits(batch).tolist() == pytest.approx(expected, rel=1e-4)


def test_distances_are_within_classes_and_features_are_matched(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Tensor | None] = []

    def distance(real: Tensor, made: Tensor, mask: Tensor | None, condition: Tensor | None) -> Tensor:
        told.append(condition)
        return made.sum() * 0.0

    monkeypatch.setitem(training.DISTANCES, "sliced_weight", distance)
    found: list[Tensor] = []

    for weight in (0.0, 1.0):
        data = ready(batch_size=8)
        model = make(data, autoencoder_steps=0, supervisor_steps=0, matching_weight=weight, sliced_weight=1.0)
        fit(model, data, 1)
        found.append(torch.cat([p.detach().flatten() for p in model.generator.parameters()]))
    assert all(condition is not None and len(condition) == 8 for condition in told)
    assert len(told) == 2
    assert not torch.equal(*found)


def test_averages_step_with_their_networks_under_accumulation() -> None:
    """Three steps of the first phase leave the count of the third's odd."""
    data = ready(batch_size=8)

    class Follows(Callback):
        def on_train_batch_end(self, trainer, model, *_) -> None:
            if model.phase(model.step - 1) == "joint":
                for name in ("generator", "supervisor", "recovery"):
                    ours, its = weights(model.ema[name].network), weights(getattr(model, name))
                    assert all(torch.equal(ours[key], its[key]) for key in its), (name, model.step)

    model = make(data, accumulate=2, autoencoder_steps=3, supervisor_steps=2, ema_decay=0.0)
    fit(model, data, 15, Follows())


def test_every_network_is_logged_whatever_turns_they_take(tmp_path: Path) -> None:
    data = ready(batch_size=8)
    model = make(data, autoencoder_steps=1, supervisor_steps=1, g_steps=2, d_batch="fresh")
    trainer(20, logger=CSVLogger(tmp_path, "", ""), log_every_n_steps=3).fit(model, data)
    (file,) = tmp_path.rglob("metrics.csv")
    assert {"loss/g", "loss/d", "accuracy/real", "accuracy/fake"} <= set(file.read_text().split("\n")[0].split(","))
