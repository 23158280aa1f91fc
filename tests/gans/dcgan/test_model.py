import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger

from datamodules import GANDataModule, ImageSchema, InputError, Table
from datamodules.schema import Schema
from ganaug import DCGAN
from ganaug.callbacks import Previews
from ganaug.gans.dcgan.model import PRESETS
from ganaug.gans.dcgan.networks import Discriminator, Generator, stage_channels
from ganaug.gans.diffaug.adaptive import adapt
from ganaug.gans.diffaug.images import OPERATIONS
from ganaug.gans.losses import zero_centred_penalty
from ganaug.gans.randomness import draw_rows
from tests.gan_contract import GANContract, trainer

torch.set_num_threads(1)


class Squares(GANDataModule):
    """Bright squares: class 0 at the left, class 1 at the right."""

    def __init__(self, rows: int = 40, size: int = 8, channels: int = 1, labelled: bool = True, **options) -> None:
        super().__init__(**{"batch_size": 8, **options})
        self.rows, self.size = rows, size
        self.schema = ImageSchema(
            classes=("left", "right") if labelled else (),
            height=size,
            width=size,
            channels=channels,
            image_size=size,
        )

    def load(self):
        rng = np.random.default_rng(0)
        y = np.arange(self.rows) % 2
        x = rng.integers(0, 20, (self.rows, self.size, self.size, self.schema.channels), dtype=np.uint8)
        half = self.size // 2
        x[y == 0, 1:-1, :half] += 180
        x[y == 1, 1:-1, half:] += 180
        y = torch.from_numpy(y) if self.schema.labelled else torch.zeros(self.rows, dtype=torch.long)
        return Table({"x": self.schema.encode(x), "y": y}, self.schema.prepare), None


class TestDCGAN(GANContract):
    def data(self, **options) -> GANDataModule:
        return Squares(**options)

    def make(self, data: GANDataModule, **options) -> DCGAN:
        return DCGAN(data.schema, **{"width": 8, "latent_dim": 8, **options})


def make(data: Squares | None = None, **options) -> DCGAN:
    return DCGAN((data or Squares()).schema, **{"width": 8, "latent_dim": 8, **options})


# ---- architecture ----------------------------------------------------------------------------------------------------


def test_paper_preset_is_figure_1() -> None:
    model = DCGAN(ImageSchema(height=64, width=64, channels=3, image_size=64), preset="paper", latent_dim=100)
    assert model.generator.project.weight.shape == (1024 * 4 * 4, 100)
    assert [tuple(c.weight.shape) for c in model.generator.convolutions] == [
        (1024, 512, 5, 5),
        (512, 256, 5, 5),
        (256, 128, 5, 5),
        (128, 3, 5, 5),
    ]
    kinds = [type(n).__name__ for n in model.discriminator.norms]
    assert kinds == ["Identity", "BatchNorm2d", "BatchNorm2d", "BatchNorm2d"]
    assert model.discriminator.embedding is None
    weights = torch.cat([c.weight.flatten() for c in model.generator.convolutions])
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)
    z = torch.erf(torch.randn(20000, generator=torch.Generator().manual_seed(0)) / math.sqrt(2))
    assert z.abs().max() < 1
    assert z.var().item() == pytest.approx(1 / 3, rel=0.03)  # uniform on [-1, 1]


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128])
@pytest.mark.parametrize("kernel_size", [4, 5])
def test_shapes(size: int, kernel_size: int) -> None:
    generator = Generator(size, 2, 3, 8, 2, kernel_size, "normal")
    y = torch.tensor([0, 2])
    x = generator(torch.randn(2, 8), y)
    assert x.shape == (2, 2, size, size)
    assert x.abs().max() <= 1
    for norm in ("spectral", "batch", "none"):
        assert Discriminator(size, 2, 3, 2, kernel_size, norm)(x, y).shape == (2,)


def test_channels_double_inwards_up_to_eightfold() -> None:
    assert stage_channels(64, 128) == [1024, 512, 256, 128]
    assert stage_channels(128, 64) == [512, 512, 256, 128, 64]
    assert stage_channels(8, 64) == [64]


def test_the_class_changes_the_sample_and_the_verdict() -> None:
    model = make()
    trainer(2).fit(model, Squares())
    latent = model.latent(torch.arange(4), 0)
    left = model.sample(latent, torch.zeros(4, dtype=torch.long))["x"]
    right = model.sample(latent, torch.ones(4, dtype=torch.long))["x"]
    assert not torch.allclose(left, right)
    y = torch.zeros(4, dtype=torch.long)
    assert not torch.allclose(model.discriminator(left, y), model.discriminator(left, y + 1))


def test_without_classes_labels_do_not_matter() -> None:
    model = make(conditional=False)
    assert not model.conditional
    latent, y = model.latent(torch.arange(4), 0), torch.zeros(4, dtype=torch.long)
    assert torch.equal(model.sample(latent, y)["x"], model.sample(latent, y + 1)["x"])


# ---- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"preset": "paper", "width": 8},
        {"preset": "paper", "width": 8, "conditional": True},
        {"loss": "non_saturating", "r1": 1.0, "r1_every": 2},
        {"loss": "relativistic", "r1": 0.1, "r2": 0.1, "r1_every": 2, "discriminator_norm": "none"},
        {"loss": "least_squares", "augment": ""},
        {"loss": "wasserstein", "gradient_penalty": 10.0, "discriminator_norm": "none", "n_critic": 2},
        {"augment_probability": "ada", "ada_speed": 0.1},
        {"augment": "color", "augment_probability": 0.5, "ema_decay": 0.0},
        {"channels_last": False, "accumulate": 2, "n_critic": 2, "clip": 1.0},
    ],
    ids=lambda o: "-".join(map(str, o.values())),
)
def test_every_option_trains(options: dict) -> None:
    model = make(**options)
    before = {name: p.clone() for name, p in model.named_parameters()}
    trainer(4).fit(model, Squares())
    moved = {name.split(".")[0] for name, p in model.named_parameters() if not torch.equal(before[name], p)}
    assert moved == {"generator", "discriminator", "ema"}
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_presets_can_be_overridden_and_are_recorded() -> None:
    model = make(loss="least_squares")
    assert model.hparams.loss == "least_squares"
    assert model.hparams.ema_decay == PRESETS["scarce"]["ema_decay"]


def test_unlabelled_and_colour() -> None:
    data = Squares(labelled=False, channels=3, size=16)
    model = make(data)
    trainer(2).fit(model, data)
    assert model.sample(model.latent(torch.arange(2), 0), torch.zeros(2, dtype=torch.long))["x"].shape == (2, 3, 16, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "wasserstein", "gradient_penalty": 1.0, "discriminator_norm": "batch"}, "batch norm in D"),
        ({"r1": 1.0, "compile": True}, "differentiated twice"),
        ({"augment": "translation,flip"}, "unknown operation 'flip'"),
        ({"augment_probability": 2.0}, "augment_probability must be at most 1, not"),
        ({"lr_g": 0.0}, "lr_g must be above 0"),
        ({"lr_g": "fast"}, "lr_g must be a number or null, not 'fast'"),
        ({"n_critic": 0}, "n_critic must be at least 1"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"clip": -1.0}, "clip"),
    ],
)
def test_bad_options_get_one_line(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        make(**options)
    assert "\n" not in str(error.value)


def test_other_data_are_refused() -> None:
    class TextSchema(Schema):
        kind = "words"

    try:
        with pytest.raises(InputError, match="schema must be an ImageSchema, not a TextSchema"):
            DCGAN(TextSchema())  # type: ignore[arg-type]
    finally:
        del Schema._kinds["words"]
    with pytest.raises(InputError, match="multiples of 4 from 8 to 256, not 22×22"):
        DCGAN(ImageSchema(height=22, width=22, channels=1, image_size=22))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("compile", [False, True])
def test_on_a_gpu(precision: str, compile: bool) -> None:
    data = Squares(size=16)
    model = make(data, compile=compile, clip=1.0)
    trainer(4, accelerator="gpu", precision=precision).fit(model, data)
    model.cuda()
    x = model.sample(model.latent(torch.arange(2), 0), torch.zeros(2, dtype=torch.long))["x"]
    assert x.device.type == "cuda"
    assert torch.isfinite(x).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU; Lightning has no fp16 on a CPU")
@pytest.mark.parametrize("options", [{"clip": 1.0}, {"loss": "wasserstein", "gradient_penalty": 10.0}])
def test_fp16_scales_and_unscales(options: dict) -> None:
    """Weights move as float32 moves them: the scale of 2¹⁶ is gone before clipping and Adam."""
    moved = []
    for precision in ("16-mixed", "32-true"):
        model = make(**options)
        before = torch.cat([p.detach().flatten().clone() for p in model.discriminator.parameters()])
        trainer(1, accelerator="gpu", precision=precision).fit(model, Squares())
        moved.append(torch.cat([p.detach().flatten() for p in model.cpu().discriminator.parameters()]) - before)
    assert torch.cosine_similarity(*moved, dim=0) > 0.9
    assert moved[0].norm().item() == pytest.approx(moved[1].norm().item(), rel=0.1)


def test_spectral_norm_is_float32_under_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = torch.rand(6, 1, 16, 16) * 2 - 1, torch.arange(6) % 2
    plain = Discriminator(16, 1, 2, width=8, kernel_size=4, norm="spectral")
    mixed = Discriminator(16, 1, 2, width=8, kernel_size=4, norm="spectral")
    assert [name for name in plain.state_dict() if name.startswith("dense")] == [
        "dense.bias",
        "dense.parametrizations.weight.original",
        "dense.parametrizations.weight.0._u",
        "dense.parametrizations.weight.0._v",
    ]
    mixed.load_state_dict(plain.state_dict())
    for _ in range(3):
        plain(x, y)
        with torch.autocast("cpu", torch.bfloat16):
            mixed(x, y)
    for name, value in mixed.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, plain.state_dict()[name]), name
    plain.eval(), mixed.eval()
    for layer, other in zip((*plain.convolutions, plain.dense), (*mixed.convolutions, mixed.dense), strict=True):
        with torch.autocast("cpu", torch.bfloat16):
            weight = other.weight
        assert torch.equal(weight, layer.weight)

    products, product = [], torch.mv  # autocast makes a GPU's round, a CPU's not
    monkeypatch.setattr(torch, "mv", lambda *args: products.append(torch.is_autocast_enabled("cpu")) or product(*args))
    with torch.autocast("cpu", torch.bfloat16):
        mixed.train()(x, y)
    assert products
    assert not any(products)


def test_compiled_networks_train_and_keep_their_names() -> None:
    model = make(compile=True)
    trainer(2).fit(model, Squares())
    assert model.state_dict().keys() == make().state_dict().keys()


# ---- one step --------------------------------------------------------------------------------------------------------


def test_gradients_reach_only_the_network_a_step_is_for() -> None:
    """D's weights get no gradient in G's step, and the reverse."""
    model = make()
    seen: list[tuple[str, set[str]]] = []

    def record(optimizer, loss, turn) -> None:
        model.manual_backward(loss)
        seen.append((optimizer, {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None}))
        model.zero_grad()

    model.update = record
    trainer(1).fit(model, Squares())
    assert [networks for _, networks in seen] == [{"discriminator"}, {"generator"}]


def test_n_critic_and_accumulate_space_the_steps_out() -> None:
    model = make(n_critic=2, accumulate=2)
    steps: list[tuple[int, str]] = []

    def before(optimizer) -> None:
        steps.append((model.step, "gd"[[o is optimizer for o in model.trainer.optimizers].index(True)]))

    model.on_before_optimizer_step = before
    trainer(8).fit(model, Squares())
    assert steps == [(1, "d"), (3, "d"), (3, "g"), (5, "d"), (7, "d"), (7, "g")]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_average_moves_when_g_has_stepped(accumulate: int) -> None:
    model, counted = make(Squares(), accumulate=accumulate), []
    update = model.ema.update
    model.ema.update = lambda network, count: counted.append((model.step, count)) or update(network, count)
    trainer(6).fit(model, Squares())
    assert counted == [(accumulate * (k + 1) - 1, k) for k in range(6 // accumulate)]


@pytest.mark.parametrize(
    "options", [{"r1": 0.7}, {"r1": 0.7, "r1_every": 2}, {"r2": 0.7}, {"gradient_penalty": 3.0, "loss": "wasserstein"}]
)
def test_the_discriminators_gradient_is_that_of_the_loss_and_its_penalties(
    options: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weight times the penalty on its side, times ``r1_every``; that of Gulrajani et al. here between the two."""
    monkeypatch.setattr(
        "ganaug.gans.dcgan.model.gradient_penalty",
        lambda judge, real, fake: zero_centred_penalty(judge, 0.3 * real + 0.7 * fake),  # without its own chance
    )
    data = Squares()
    model = make(data, augment="", discriminator_norm="none", **{"loss": "non_saturating"} | options)
    started = {name: value.clone() for name, value in model.discriminator.state_dict().items()}
    first: list[tuple[torch.Tensor, torch.Tensor]] = []
    found: list[dict[str, torch.Tensor]] = []

    class Watch(Callback):
        def on_before_optimizer_step(self, trainer, module, optimizer) -> None:
            own = module.discriminator.named_parameters()
            found.append({name: p.grad.clone() for name, p in own if p.grad is not None})

    forward, calls = model.discriminator.forward, []
    model.discriminator.forward = lambda x, y: calls.append((x.detach().clone(), y.clone())) or forward(x, y)
    trainer(1, Watch()).fit(model, data)
    model.discriminator.forward = forward
    first = calls[:2] if model.apart else [(x, y) for x, y in zip(*(part.chunk(2) for part in calls[0]), strict=True)]
    (real, y), (fake, _) = first
    model.discriminator.load_state_dict(started)
    model.discriminator.zero_grad()
    model.discriminator.requires_grad_(True)

    def judge(x: torch.Tensor) -> torch.Tensor:
        return model.discriminator(x, y)

    loss = model.loss.discriminator(judge(real), judge(fake))
    every = options.get("r1_every", model.hp.r1_every)
    for name, side, times in (
        ("r1", real, every), ("r2", fake, every), ("gradient_penalty", 0.3 * real + 0.7 * fake, 1),
    ):  # fmt: skip
        if options.get(name):
            loss = loss + options[name] * times * zero_centred_penalty(judge, side)
    loss.backward()
    for name, parameter in model.discriminator.named_parameters():
        torch.testing.assert_close(found[0][name], parameter.grad, rtol=1e-3, atol=1e-5)


def test_accumulated_gradients_are_the_mean() -> None:
    """Two batches of weight one half: the loss is divided by ``accumulate``."""
    model = make(accumulate=2)
    parameter = torch.nn.Parameter(torch.zeros(1))

    class Steps:
        taken = 0

        def step(self) -> None:
            self.taken += 1

        def zero_grad(self) -> None: ...

    model.manual_backward = lambda loss: loss.backward()
    steps = Steps()
    for turn, value in enumerate((1.0, 3.0)):
        model.update(steps, value * parameter.sum(), turn)
    assert steps.taken == 1
    assert parameter.grad.item() == 2.0


@pytest.mark.parametrize(
    ("loss", "real", "fake"),
    [("non_saturating", 0.1, -0.1), ("hinge", 0.1, -0.1), ("least_squares", 0.6, 0.4), ("wasserstein", 9.0, 8.0)],
)
def test_a_discriminator_is_right_on_either_side_of_its_losss_boundary(loss: str, real: float, fake: float) -> None:
    """Least squares have labels 0 and 1, and Wasserstein's critic no fixed place."""
    for logits, right in (([real, fake], 1.0), ([fake, real], 0.0)):
        model, told = make(loss=loss, augment_probability="ada", ada_target=0.0, ada_speed=0.1), []
        judge, step = model.judge, model._step_d

        def said(x, y, judge=judge, logits=logits):
            return 0 * judge(x, y) + torch.tensor(logits).repeat_interleave(len(x) // 2)

        model.judge = said

        def stepped(*given, step=step, told=told, model=model):
            model.augment_probability.fill_(0.5)
            told.append(step(*given))
            return told[-1]

        model._step_d = stepped
        trainer(1).fit(model, Squares())
        assert {float(v) for name, v in told[0].items() if name.startswith("accuracy")} == {right}
        assert (float(model.augment_probability) > 0.5) == bool(right)


def test_a_second_fit_begins_without_what_the_first_had_adapted() -> None:
    model, new = (make(augment_probability="ada", ada_target=-1.0, ada_speed=1.0) for _ in range(2))
    model.augment_probability.fill_(0.7)
    trainer(1).fit(model, Squares())
    trainer(1).fit(new, Squares())
    assert model.augment_probability.item() == new.augment_probability.item() < 0.1


def test_batches_that_lightning_would_draw_are_refused() -> None:
    with pytest.raises(InputError, match="overfit_batches: give the data a per_class instead"):
        trainer(2, overfit_batches=1).fit(make(), Squares())


def test_ada_moves_towards_its_target() -> None:
    probability, leans = torch.zeros(()), (1.0, 0.5)
    for lean, moved in zip(leans, (0.4, 0.2), strict=True):
        adapt(probability, torch.tensor(lean), target=0.6, change=moved)
    assert probability.item() == pytest.approx(0.2)
    for _ in range(3):
        adapt(probability, torch.tensor(-1.0), target=0.6, change=0.4)
    assert probability.item() == 0.0


@pytest.mark.parametrize("loss", ["hinge", "relativistic"])
@pytest.mark.parametrize(("target", "moved"), [(-1.5, 0.8), (1.5, 0.0)])
def test_ada_moves_by_the_pictures_seen(loss: str, target: float, moved: float) -> None:
    model = make(loss=loss, augment_probability="ada", ada_target=target, ada_speed=0.02)
    trainer(2).fit(model, Squares())  # two batches of 8 of 20 pictures
    assert model.augment_probability.item() == pytest.approx(moved)


def test_averaged_generator_gives_the_samples() -> None:
    model = make()
    trainer(3).fit(model, Squares())
    latent, y = model.latent(torch.arange(2), 0), torch.zeros(2, dtype=torch.long)
    before = model.sample(latent, y)["x"]
    with torch.no_grad():
        for p in model.generator.parameters():
            p.zero_()
    assert torch.equal(before, model.sample(latent, y)["x"])
    with torch.no_grad():
        for p in model.ema.parameters():
            p.zero_()
    assert not torch.equal(before, model.sample(latent, y)["x"])


def test_channels_last_changes_nothing_but_the_layout() -> None:
    models = [make(channels_last=flag) for flag in (True, False)]
    for model in models:
        trainer(2).fit(model, Squares())
    assert models[0].generator.convolutions[0].weight.is_contiguous(memory_format=torch.channels_last)
    for a, b in zip(*(m.parameters() for m in models), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


# ---- latents ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3,), (5, 2)])
@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_latents_are_numpys_philox_under_seed_and_index(shape: tuple[int, ...], seed: int) -> None:
    indices = [4, 0, 2**62, 4]
    for uniform in (False, True):
        rows = draw_rows(torch.tensor(indices), seed, shape, uniform)
        assert rows.dtype == torch.float32
        for row, index in zip(rows, indices, strict=True):
            generator = np.random.Generator(np.random.Philox(key=np.array([seed, index], dtype=np.uint64)))
            draw = generator.random if uniform else generator.standard_normal
            assert np.array_equal(row.numpy(), draw(shape, np.float32))


def test_latents_of_nothing_are_refused() -> None:
    for indices, seed in (([0, -1], 0), ([0], -1)):
        with pytest.raises(InputError, match="neither the seed nor an index may be below 0"):
            draw_rows(torch.tensor(indices), seed, (3,))


def test_truncation() -> None:
    model = make()
    seen: list[torch.Tensor] = []
    model.ema.network.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    latent, y = (
        torch.randn(500, 8, generator=torch.Generator().manual_seed(0)) * 1.5,
        torch.zeros(500, dtype=torch.long),
    )
    model.sample(latent, y, truncation=0.7)
    assert seen[0].abs().max() <= 0.7
    assert (seen[0].flatten().argsort() == latent.flatten().argsort()).float().mean() > 0.99
    model.sample(latent, y, truncation=20.0)
    torch.testing.assert_close(seen[1], latent, rtol=1e-3, atol=1e-3)
    with pytest.raises(InputError, match="truncation"):
        model.sample(latent, y, truncation=0.0)


# ---- leaks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["cutout", "translation", "color"])
def test_augmentation_does_not_leak_into_samples(policy: str) -> None:
    """D never saw a picture without it, and yet the samples have no grey holes, shifts or changes of brightness."""
    data = Squares(rows=120, size=16, batch_size=32)
    model = DCGAN(data.schema, width=16, latent_dim=8, augment=policy, lr_g=4e-4, lr_d=4e-4, ema_decay=0.9)
    trainer(500).fit(model, data)
    x = model.sample(model.latent(torch.arange(200), 0), torch.arange(200) % 2)["x"]
    real = next(data.train.batches(1000))["x"]
    leaked = OPERATIONS[policy](real)

    def grey(x: torch.Tensor) -> float:
        return (x.abs() < 0.25).float().mean().item()

    def margin(x: torch.Tensor) -> float:
        return x[:, :, 0].mean().item()

    def brightness(x: torch.Tensor) -> float:
        return x.mean((1, 2, 3)).std().item()

    measure = {"cutout": grey, "translation": margin, "color": brightness}[policy]
    assert abs(measure(x) - measure(real)) < 0.4 * abs(measure(leaked) - measure(real))


def test_validation_and_previews_draw_the_same_latents_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``best.ckpt`` compares scores of one step with those of another."""
    drawn: dict[str, list[torch.Tensor]] = {"validation_step": [], "on_train_batch_end": []}
    latent = DCGAN.latent

    def noted(self, indices: torch.Tensor, seed: int) -> torch.Tensor:
        found = latent(self, indices, seed)
        drawn[sys._getframe(1).f_code.co_name].append(found)
        return found

    monkeypatch.setattr(DCGAN, "latent", noted)
    data = Squares(val_fraction=0.2)
    logger = CSVLogger(tmp_path, "", "")
    monkeypatch.setattr(Previews, "_show", staticmethod(lambda *_: None))
    run = trainer(3, Previews(every_n_steps=1), val_check_interval=1, limit_val_batches=1, logger=logger)
    run.fit(make(data), data)
    for found in drawn.values():
        assert len(found) >= 3
        assert all(torch.equal(one, found[0]) for one in found)
