"""R3GAN's step: penalties, pairs, schedules, and whom the gradients reach."""

import math
from dataclasses import replace

import pytest
import torch
from lightning.pytorch import Callback, seed_everything
from torch import nn

from datamodules import Digits, GANDataModule, InputError, Sines
from datamodules.images.schema import ImageSchema
from ganaug import R3GAN
from ganaug.gans.losses import LOSSES, zero_centred_penalty
from tests.gan_contract import trainer
from tests.gans.dcgan.test_model import Squares
from tests.gans.r3gan.test_model import make
from tests.gans.timegan.test_model import Waves

torch.set_num_threads(1)


class Spy(Callback):
    """What the optimisers are given: gradients of each network, rate and β₂, before every step."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict, float, float]] = []

    def on_before_optimizer_step(self, trainer, module, optimizer) -> None:
        name = module.optimizer_names[trainer.optimizers.index(optimizer)]
        gradients = {key: p.grad.clone() for key, p in module.named_parameters() if p.grad is not None}
        group = optimizer.param_groups[0]
        self.seen.append((name, gradients, group["lr"], group["betas"][1]))


def test_gradients_reach_only_the_network_that_a_step_is_for() -> None:
    spy = Spy()
    trainer(2, spy).fit(make(Squares()), Squares())
    assert [name for name, *_ in spy.seen] == ["d", "g", "d", "g"]
    for name, gradients, *_ in spy.seen:
        network = "discriminator" if name == "d" else "generator"
        assert {key.split(".")[0] for key in gradients} == {network}


@pytest.mark.parametrize(("gamma", "every"), [(0.0, 1), (0.7, 1), (0.7, 2)])
def test_the_discriminators_gradient_is_that_of_the_loss_and_both_penalties(gamma: float, every: int) -> None:
    """γ/2 of the mean squared gradient on each side (R1 and R2), times ``penalty_every``."""
    data, spy = Squares(), Spy()
    model = make(data, gamma=gamma, penalty_every=every, augment="")
    started = {name: value.clone() for name, value in model.discriminator.state_dict().items()}
    kept = {}

    def judge(x, condition=None):
        kept.setdefault("first", (x.detach().clone(), condition.clone()))
        return forward(x, condition)

    forward, model.discriminator.forward = model.discriminator.forward, judge
    trainer(1, spy).fit(model, data)
    model.discriminator.forward = forward
    model.discriminator.load_state_dict(started)
    model.discriminator.zero_grad()
    model.discriminator.requires_grad_(True)
    (real, fake), (told, told_fake) = (each.chunk(2) for each in kept["first"])
    assert torch.equal(told, told_fake)  # pairs are of one class
    logits = model.discriminator(real, told), model.discriminator(fake, told)
    loss = LOSSES["relativistic"].discriminator(*logits)
    for side in (real, fake):
        loss = loss + gamma * every * zero_centred_penalty(lambda x: model.discriminator(x, told), side)
    loss.backward()
    for name, parameter in model.discriminator.named_parameters():
        expected = spy.seen[0][1][f"discriminator.{name}"]
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-3, atol=1e-6)


def test_the_generators_loss_is_on_what_d_sees_of_both_sides() -> None:
    """Fakes beside the real rows of the batch, both augmented, by the D that has just stepped."""
    data = Squares()
    model = make(data, augment="translation", augment_probability=1.0)
    shown: list[tuple[torch.Tensor, torch.Tensor]] = []
    judged: list[tuple[torch.Tensor, torch.Tensor]] = []
    look, forward = model._seen, model.discriminator.forward

    def seen(rows, batch):
        shown.append((rows.detach().clone(), look(rows, batch)))
        return shown[-1][1]

    def judge(x, condition=None):
        judged.append((x.detach().clone(), condition.clone()))
        return forward(x, condition)

    model._seen, model.discriminator.forward = seen, judge
    run = trainer(1, log_every_n_steps=1)
    run.fit(model, data)
    (real, _), (fake, _), (beside, real_seen), (made, fake_seen) = shown
    assert torch.equal(beside, real)
    assert torch.equal(made, fake)
    assert not torch.equal(fake_seen.detach(), made), "fakes are moved as real rows are"
    for k, side in ((-2, real_seen), (-1, fake_seen)):
        assert torch.equal(judged[k][0], side.detach())
    with torch.no_grad():
        logits_real, logits_fake = (forward(*judged[k]) for k in (-2, -1))
    expected = LOSSES["relativistic"].generator(logits_fake, logits_real)
    assert float(run.callback_metrics["loss/g"]) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_average_moves_when_g_has_stepped(accumulate: int) -> None:
    model, counted = make(Squares(), accumulate=accumulate), []
    update = model.ema.update
    model.ema.update = lambda network, count: counted.append((model.step, count)) or update(network, count)
    trainer(6).fit(model, Squares())
    assert counted == [(accumulate * (k + 1) - 1, k) for k in range(6 // accumulate)]


def test_scheduled_options_go_by_a_cosine_to_their_ends() -> None:
    spy = Spy()
    model = make(Squares(), lr=(1e-3, 1e-4), beta2=(0.9, 0.99), gamma=(2.0, 0.2), burn_in=4)
    trainer(6, spy).fit(model, Squares())
    rates = [rate for name, _, rate, _ in spy.seen if name == "g"]
    expected = [1e-4 + 9e-4 * 0.5 * (1 + math.cos(math.pi * min(1, k / 4))) for k in range(6)]
    assert rates == pytest.approx(expected)
    betas = [beta for name, *_, beta in spy.seen if name == "d"]
    assert betas[0] == pytest.approx(0.9)
    assert betas[2] == pytest.approx(0.945)
    assert betas[4:] == pytest.approx([0.99, 0.99])
    model.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress.total.completed = 2
    assert model.now("gamma") == pytest.approx(1.1)


def test_a_run_burns_in_over_all_of_its_steps_and_one_that_goes_on_keeps_them(tmp_path) -> None:
    model, data = make(Squares(), burn_in=None), Squares()
    run = trainer(4)
    run.fit(model, data)
    assert model.progress.burn_in == 4
    run.save_checkpoint(tmp_path / "four.ckpt", weights_only=False)
    longer, spy = make(Squares(), burn_in=None), Spy()
    trainer(6, spy).fit(longer, Squares(), ckpt_path=tmp_path / "four.ckpt")
    assert longer.progress.burn_in == 4
    assert [rate for _, _, rate, _ in spy.seen] == pytest.approx([longer.hp.lr[1]] * 4)
    epochs = make(Squares(), burn_in=None)
    trainer(-1, max_epochs=2).fit(epochs, data)  # of three batches
    assert epochs.progress.burn_in == 6
    endless = make(Squares(), burn_in=None)
    trainer(-1, spy, max_time={"seconds": 1}).fit(endless, data)
    assert endless.progress.burn_in == 10_000
    told = make(Squares(), burn_in=9)  # as by --allow_changes
    told.progress.load_state_dict(model.progress.state_dict())
    trainer(1).fit(told, Squares())
    assert told.progress.burn_in == told.progress.steps == 9


def test_the_half_life_of_the_average_rises_with_the_burn_in() -> None:
    seen = []

    class Average(Callback):
        def on_train_batch_end(self, trainer, module, *_) -> None:
            seen.append(module.ema.decay)

    trainer(5, Average()).fit(make(Squares(), ema_decay=0.98, burn_in=4), Squares())
    half_lives = [math.log(0.5) / math.log(decay) if decay else 0.0 for decay in seen]
    whole = math.log(0.5) / math.log(0.98)
    assert half_lives == pytest.approx([whole * 0.5 * (1 - math.cos(math.pi * k / 4)) for k in range(5)], abs=1e-6)


@pytest.mark.parametrize("every", [1, 2])
def test_penalties_are_float32_under_autocast(every: int) -> None:
    dtypes = []

    class Types(nn.Module):
        def forward(self, x):
            dtypes.append((x.requires_grad, torch.is_autocast_enabled("cpu")))
            return x

    model = make(Squares(), penalty_every=every, augment="")
    into = model.discriminator.into
    model.discriminator.into = nn.Sequential(Types(), into)
    trainer(2, precision="bf16-mixed").fit(model, Squares())
    d_steps = dtypes[0], dtypes[3]  # each batch: D once, then G with the real rows and with the fakes
    assert d_steps == ((True, False), (True, False) if every == 1 else (False, True))


def test_adaptive_augmentation_asks_how_often_pairs_are_told_apart() -> None:
    for target, expected in ((-1.5, 0.8), (1.5, 0.0)):  # always above it, never
        model = make(Squares(), augment_probability="ada", ada_target=target, ada_speed=0.02)
        trainer(2).fit(model, Squares())  # two batches of 8 of 20
        assert model.progress.probability.item() == pytest.approx(expected)


def test_units_are_learnt_from_the_training_rows_before_the_first_step() -> None:
    data = Waves(val_fraction=0.5)
    model = make(data)
    trainer(1).fit(model, data)
    assert model.view.units.count == len(data.train.fields["y"])
    x, length = data.train.fields["x"], data.train.fields["length"]
    inside = torch.arange(x.shape[1]) < length[:, None]
    assert model.view.units.mean[:2, 0].tolist() == pytest.approx(x[inside].mean(0).tolist(), abs=1e-5)


# ---- options and samples


def test_the_published_configurations() -> None:
    with torch.device("meta"):
        for preset, size, widths in (("paper_cifar10", 32, [768] * 4), ("paper_ffhq64", 64, [768] * 4 + [384])):
            schema = ImageSchema(height=size, width=size, channels=3, image_size=size)
            model = R3GAN(schema, preset=preset)
            stages = model.generator.stages
            assert [stage[0].layers[0].weight.shape[1] for stage in stages] == widths
            assert [len(stage) for stage in stages] == [2] * len(widths)
            assert stages[0][0].layers[1].weight.shape == (1536, 16, 3, 3)
            assert model.hp.lr == [2e-4, 5e-5]
    assert model.hp.burn_in * 256 == 20_000_000


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"static": "generate"}, "static: of series alone: leave it out for pictures"),
        ({"group_width": 3}, "group_width 3 does not divide the 8 channels of a block of width 8"),
        ({"widths": []}, "widths must be one number of channels or more"),
        ({"augment_probability": (0.0, 1.5)}, "augment_probability must be"),
        ({"augment": "shift"}, "unknown operation 'shift'"),
        ({"gamma": -1.0}, "gamma must be at least 0"),
        ({"lr": (0.0, 1e-3)}, "lr must be above 0"),
    ],
)
def test_what_cannot_be_meant_gets_one_line(options: dict, line: str) -> None:
    with pytest.raises(InputError, match=line):
        make(Squares(), **options)


def test_series_of_many_columns_get_wider_networks_and_larger_penalties() -> None:
    few, many = R3GAN(Sines(series=20).schema), R3GAN(Sines(series=20, features=28).schema)
    assert (few.hp.widths[0], few.hp.gamma) == (64, [0.1, 0.1])
    assert (many.hp.widths[0], many.hp.gamma) == (96, [0.56, 0.56])
    assert R3GAN(Sines(series=20).schema, gamma=0.3).hp.gamma == [0.3, 0.3]


def test_pictures_are_bent_into_their_range_but_for_the_paper_s() -> None:
    schema = Digits().schema
    ours, paper = R3GAN(schema, widths=[8]), R3GAN(schema, widths=[8], tanh=False)
    raw = torch.linspace(-3, 3, schema.channels * math.prod(schema.size)).view(1, schema.channels, *schema.size)
    assert torch.equal(ours.view.made(raw, {}), torch.tanh(raw))
    assert torch.equal(paper.view.made(raw, {}), raw)
    assert not R3GAN(schema, preset="paper_cifar10", widths=[16]).hp.tanh
    large = ImageSchema(height=64, width=64, channels=3, image_size=64)
    assert not R3GAN(large, widths=[8]).hp.tanh
    with pytest.raises(InputError, match="tanh: of pictures alone: leave it out for series"):
        R3GAN(Sines(series=20).schema, tanh=True)


def test_large_pictures_learn_slower() -> None:
    small, large = Digits().schema, replace(Digits().schema, channels=3, height=32, width=32, image_size=32)
    assert R3GAN(small).hp.lr == [1e-3, 1e-4]
    assert R3GAN(large).hp.lr == [5e-4, 5e-5]
    assert R3GAN(large, preset="paper_cifar10", widths=[16]).hp.lr == [2e-4, 5e-5]


def test_a_preset_of_pictures_is_none_for_series() -> None:
    with pytest.raises(InputError, match="preset paper_cifar10 is one of pictures: leave it out for series"):
        R3GAN(Sines().schema, preset="paper_cifar10")


@pytest.mark.parametrize("noise", [0, 2])
def test_series_of_other_lengths(noise: int) -> None:
    model = make(Waves(fixed=True, static=False), noise=noise).eval()
    y = torch.zeros(3, dtype=torch.long)
    usual = model.sample(model.latent(torch.arange(3), 0), y)["x"]
    assert usual.shape == (3, 8, 2)
    short = model.sample(model.latent(torch.arange(3), 0, length=5), y, length=5)
    assert short["length"].tolist() == [5, 5, 5]
    assert torch.equal(short["x"][:, :5], usual[:, :5])
    long = model.sample(model.latent(torch.arange(3), 0, length=20), y, length=20)
    assert long["x"].shape == (3, 20, 2)
    assert long["x"][:, -1].abs().min() > 0
    assert "seen series of at most 8 steps" in model.caution({"length": 20})
    assert model.caution({"length": 8}) == ""


def test_length_and_attributes_are_no_options_of_pictures() -> None:
    model = make(Squares())
    latent, y = model.latent(torch.arange(2), 0), torch.zeros(2, dtype=torch.long)
    with pytest.raises(InputError, match="length 5: pictures have none"):
        model.latent(torch.arange(2), 0, length=5)
    assert model.caution({"length": 50}) == ""  # it is refused, and not spoken of as steps
    with pytest.raises(InputError, match="static: this model is told no attributes"):
        model.sample(latent, y, static={"weight": 3})
    assert model.sample(latent, y, truncation=0.1)["x"].shape == (2, 1, 8, 8)
    with pytest.raises(InputError, match="truncation must be above 0"):
        model.sample(latent, y, truncation=0.0)


def test_attributes_that_are_asked_for() -> None:
    model = make(Waves()).eval()
    latent, y = model.latent(torch.arange(4), 0), torch.zeros(4, dtype=torch.long)
    asked = model.sample(latent, y, static={"colour": "red"})["static"]
    assert asked[:, 1:].tolist() == [[0.0, 1.0]] * 4


@pytest.mark.parametrize(
    "data",
    [Waves(fixed=True, batch_size=4), pytest.param(Squares(batch_size=4), marks=pytest.mark.slow)],
    ids=["series", "pictures"],
)
def test_compiled_networks_train_as_they_are(data: GANDataModule) -> None:
    """Batches with penalties and those without, which alone are compiled for D."""
    models = [make(data, compile=compile, penalty_every=2) for compile in (False, True)]
    models[1].load_state_dict(models[0].state_dict())
    for model in models:
        seed_everything(1)
        trainer(3).fit(model, data.again())
    ours, compiled = (model.state_dict() for model in models)
    assert ours.keys() == compiled.keys()
    for name in ours:
        assert torch.allclose(ours[name].float(), compiled[name].float(), atol=1e-5), name
