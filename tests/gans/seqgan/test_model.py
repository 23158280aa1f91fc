import copy
import itertools
import math
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.data import DataLoader

from datamodules import GANDataModule, InputError, Table, TextSchema
from datamodules.schema import step_mask
from datamodules.text.schema import END, SPECIAL, UNKNOWN
from ganaug.gans.loading import load
from ganaug.gans.seqgan.discriminator import Discriminator
from ganaug.gans.seqgan.model import SeqGAN
from ganaug.gans.seqgan.reinforce import advantages, entropy
from ganaug.gans.seqgan.rollout import Sampler, sample_sequences
from tests.gan_contract import GANContract, Stop, on_fake_gpu, trainer

LETTERS = "abcdefgh"


class Letters(GANDataModule):
    """Runs of a letter, rising by class: class 0 begins with a vowel, class 1 does not; 2 to 6 letters."""

    def __init__(self, rows: int = 40, **options) -> None:
        super().__init__(**({"batch_size": 8, "val_fraction": 0.2} | options))
        self.rows = rows
        self.schema = TextSchema(
            classes=("vowel", "other"), vocabulary=(*SPECIAL, *LETTERS), max_length=7, tokenizer="char"
        )

    def load(self) -> tuple[Table, None]:
        texts = [("a" if i % 2 == 0 else "b") + LETTERS[i % 5 : i % 5 + 1 + i % 4] for i in range(self.rows)]
        x, length = self.schema.encode(texts)
        return Table({"x": x, "length": length, "y": torch.arange(self.rows) % 2}), None


SMALL = {
    "embedding": 8,
    "hidden": 8,
    "filters": {1: 8, 2: 8, 3: 8, 9: 8},
    "d_embedding": 8,
    "mle_steps": 2,
    "discriminator_steps": 2,
    "d_steps": 2,
    "negatives": 3,
    "rollouts": 3,
    "rollout_every": 1,
}


def make(data: GANDataModule, **options) -> SeqGAN:
    return SeqGAN(data.schema, **SMALL | options)


class TestSeqGAN(GANContract):
    steps = 9

    def make(self, data: GANDataModule, **options) -> SeqGAN:
        return make(data, **options)

    def data(self, **options) -> Letters:
        return Letters(**options)


class TestTransformer(TestSeqGAN):
    def make(self, data: GANDataModule, **options) -> SeqGAN:
        return make(data, generator="transformer", heads=2, layers=1, rollout_lag=0.5, **options)


@pytest.fixture
def data() -> Letters:
    data = Letters()
    data.setup()
    return data


def batch(data: Letters) -> dict[str, Tensor]:
    return data.train.__getitems__(list(range(8)))


def changed(before: dict[str, Tensor], model: SeqGAN) -> set[str]:
    """Which of generator, discriminator, ema, roller and mle have other weights than before."""
    return {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(before[name], value)}


# ---- phases


def test_each_phase_trains_its_own_networks() -> None:
    data = Letters()
    model = make(data, rollout_lag=0.5, ema_decay=0.5)
    seen: list[set[str]] = []

    class Watch(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
            self.before = copy.deepcopy(module.state_dict())

        def on_train_batch_end(self, trainer, module, *_) -> None:
            seen.append(changed(self.before, module))

    trainer(8, Watch()).fit(model, data)
    mle, d, both = {"generator", "ema", "mle"}, {"discriminator"}, {"generator", "ema", "roller", "discriminator"}
    assert seen == [mle, mle, d, d, both, d, both, d]


def test_gradients_reach_the_network_that_a_step_is_for() -> None:
    data = Letters()
    model = make(data, mle_weight=0.0)

    class Watch(Callback):
        def on_train_start(self, trainer, module) -> None:
            for name, optimizer in zip(module.optimizer_names, trainer.optimizers, strict=True):
                optimizer.register_step_pre_hook(lambda *_, name=name: self.look(module, name))

        def look(self, module: SeqGAN, name: str) -> None:
            for network, owners in ((module.generator, ("mle", "g")), (module.discriminator, ("d",))):
                has = [p.grad is not None and bool(p.grad.any()) for p in network.parameters()]
                assert any(has) == (name in owners), name

    trainer(9, Watch()).fit(model, data)


def test_the_run_says_so_when_it_ends_before_the_adversarial_phase(recwarn: pytest.WarningsRecorder) -> None:
    data = Letters()
    trainer(3).fit(make(data), data)
    assert any("before the adversarial phase" in str(w.message) for w in recwarn)


@pytest.mark.parametrize(("steps", "by_heart"), [(162, False), (260, True)])  # 26 training rows, batches of 8
def test_the_run_says_so_when_it_would_learn_by_heart(
    steps: int, by_heart: bool, recwarn: pytest.WarningsRecorder
) -> None:
    data = Letters()
    trainer(1).fit(make(data, mle_steps=steps), data)
    said = [str(w.message) for w in recwarn if "by heart" in str(w.message)]
    assert bool(said) == by_heart
    if by_heart:
        assert "mle_steps 260: 80 passes over 26 sentences" in said[0]
        assert "about 81 would be 25 passes" in said[0]


def test_a_loader_of_the_users_own_is_not_asked_for_its_batch_size(recwarn: pytest.WarningsRecorder) -> None:
    data = Letters()
    data.setup()
    table = data.train
    loader = DataLoader(table, batch_size=None, sampler=[list(range(8))])
    trainer(1).fit(make(data, mle_steps=260), loader)
    assert not any("by heart" in str(w.message) for w in recwarn)


def test_paper_preset_is_the_official_code() -> None:
    schema = TextSchema(vocabulary=tuple(f" {i}" for i in range(5000)), max_length=20, ends=False)
    model = SeqGAN(schema, preset="paper")
    lstm = 4 * 32 * (32 + 32 + 2)  # torch has a second bias, which starts at 0
    assert sum(p.numel() for p in model.generator.parameters()) == 5000 * 32 + 32 + lstm + 33 * 5000
    widths = [c.kernel_size[1] for c in model.discriminator.convolutions]
    counts = [c.out_channels for c in model.discriminator.convolutions]
    assert widths == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20]
    assert counts == [100, 200, 200, 200, 200, 100, 100, 100, 100, 100, 160, 160]
    assert model.discriminator.dense.in_features == 1720
    assert model.phases == [("mle", 18720), ("discriminator", 23400), ("adversarial", None)]
    assert model.hp.d_steps == 2340
    assert model.ema.decay == 0
    assert (model.hp.rollouts, model.hp.rollout_lag, model.hp.reward, model.hp.baseline) == (
        16,
        0.8,
        "probability",
        "none",
    )


# ---- likelihood


def test_nll_against_a_plain_loop(data: Letters) -> None:
    model = make(data)
    rows = batch(data)
    network = model.ema.network
    for i in range(3):
        total = 0.0
        for t in range(int(rows["length"][i])):
            logits = network(rows["x"][i : i + 1], rows["y"][i : i + 1])[0, t]
            total -= float(logits.double().log_softmax(0)[rows["x"][i, t]])
        assert float(model.nll(rows)[i]) == pytest.approx(total / int(rows["length"][i]), rel=1e-5)


def test_padding_enters_no_loss(data: Letters) -> None:
    model = make(data)
    rows = batch(data)
    padding = torch.arange(7) >= rows["length"][:, None]
    assert padding.any()
    other = {**rows, "x": rows["x"].masked_fill(padding, 5)}
    assert torch.equal(model.nll(rows), model.nll(other))
    for part in (rows, other):
        model.zero_grad()
        model._token_losses(model.generator, part).sum().backward()
        part["gradient"] = model.generator.head.weight.grad.clone()
    assert torch.equal(rows["gradient"], other["gradient"])


def test_nll_at_a_temperature_is_that_of_the_sharpened_model(data: Letters) -> None:
    model = make(data)
    rows = batch(data)
    logits = model.ema.network(rows["x"], rows["y"])
    each = -(logits / 0.5).log_softmax(2).gather(2, rows["x"][..., None])[..., 0]
    inside = torch.arange(7) < rows["length"][:, None]
    expected = (each * inside).sum(1) / rows["length"]
    torch.testing.assert_close(model.nll(rows, temperature=0.5), expected)
    assert not torch.allclose(model.nll(rows), expected)
    with pytest.raises(InputError, match="temperature"):
        model.nll(rows, temperature=0.0)


# ---- what D sees, and what it rewards


def shown(model: SeqGAN, data: Letters) -> list[Tensor]:
    """All that D is shown in the adversarial phase: real, negatives, sequences that are played and rollouts."""
    seen: list[Tensor] = []
    model.discriminator.embedding.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    trainer(8).fit(model, data)
    return seen


def test_real_fake_and_rollouts_are_padded_alike() -> None:
    data = Letters()
    model = make(data)
    seen = torch.cat([x for x in shown(model, data) if x.shape[1] == 7])
    assert len(seen) > 200
    ended = seen == END
    assert torch.equal(ended, ended.long().cummax(1).values.bool())
    x, _ = model.schema.pad(model.schema.sequences(seen))
    assert torch.equal(x, seen)


def test_dropout_is_off_where_d_rewards_and_on_where_it_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Letters()
    model = make(data, d_dropout=0.5)
    rates: list[float] = []
    judge = model.discriminator.judge

    def note(pooled, y, dropout=0.0):
        rates.append(dropout)
        return judge(pooled, y, dropout)

    monkeypatch.setattr(model.discriminator, "judge", note)
    model.train()
    torch.manual_seed(3)
    first = model.play(torch.zeros(8, dtype=torch.long), 0)
    assert set(rates) == {0.0}
    torch.manual_seed(3)
    assert all(torch.equal(a, b) for a, b in zip(first, model.play(torch.zeros(8, dtype=torch.long), 0), strict=True))
    rates.clear()
    trainer(4).fit(model, data)
    assert set(rates) == {0.5}


def test_negatives_are_drawn_in_sets_and_shown_so_many_times() -> None:
    data = Letters()
    model = make(data, negatives=2, negative_epochs=2, mle_steps=1, discriminator_steps=9)
    fakes: list[Tensor] = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer, module, *_) -> None:
            if trainer.global_step > 1:
                fakes.append(module.negatives[0].clone())

    trainer(9, Watch()).fit(model, data)
    assert all(len(x) == 16 for x in fakes)
    same = [torch.equal(a, b) for a, b in itertools.pairwise(fakes)]
    assert same == [True, True, True, False, True, True, True]


# ---- advantages


def value_table() -> Tensor:
    """(T + 1, B) = (8, 4)."""
    return torch.rand(8, 4, generator=torch.Generator().manual_seed(0))


def real_of(*lengths: int) -> Tensor:
    return torch.arange(7) < torch.tensor(lengths)[:, None]


def test_advantage_is_the_value_after_the_token() -> None:
    value, real = value_table(), real_of(7, 3, 5, 1)
    assert torch.equal(advantages(value, real), value[1:].T * real)


def test_difference_is_what_the_token_has_changed() -> None:
    value, real = value_table(), real_of(7, 7, 7, 7)
    advantage = advantages(value, real, baseline="difference")
    torch.testing.assert_close(advantage, (value[1:] - value[:-1]).T)
    torch.testing.assert_close(advantage.sum(1), value[-1] - value[0])


def test_batch_baseline_leaves_one_out() -> None:
    value, real = value_table(), real_of(7, 7, 7, 7)
    advantage = advantages(value, real, baseline="batch")
    for i in range(4):
        others = value[1:, [j for j in range(4) if j != i]].mean(1)
        torch.testing.assert_close(advantage[i], value[1:, i] - others)


def test_rollouts_every_few_tokens_share_a_value() -> None:
    value, real = value_table(), real_of(7, 7, 7, 7)
    ends = [3, 3, 3, 6, 6, 6, 7]
    starts = [0, 0, 0, 3, 3, 3, 6]
    advantage = advantages(value, real, every=3, baseline="difference")
    torch.testing.assert_close(advantage, (value[ends] - value[starts]).T)


def test_ranks_are_sorted() -> None:
    value, real = value_table(), real_of(7, 7, 7, 7)
    advantage = advantages(value, real, rescale="rank")
    for t in range(7):
        best_first = value[t + 1].argsort(descending=True)
        expected = [1 / (1 + math.exp(-12 * (0.5 - rank / 4))) for rank in (1, 2, 3, 4)]
        torch.testing.assert_close(advantage[best_first, t], torch.tensor(expected))


def test_whitened_advantages_count_real_tokens_only() -> None:
    real = real_of(7, 3, 5, 1)
    advantage = advantages(value_table(), real, whiten=True)
    assert advantage[real].mean().item() == pytest.approx(0, abs=1e-6)
    assert advantage[real].std(correction=0).item() == pytest.approx(1, abs=1e-5)
    assert not advantage[~real].any()


def test_entropy_is_that_of_the_distribution_over_real_tokens() -> None:
    logits = torch.randn(4, 7, 5, generator=torch.Generator().manual_seed(0))
    logits[..., 2] = -torch.inf  # a token that is never drawn
    real = real_of(7, 3, 5, 1)
    expected = torch.distributions.Categorical(logits=logits[..., [0, 1, 3, 4]]).entropy()[real].mean()
    torch.testing.assert_close(entropy(logits.log_softmax(2), real), expected)


def test_options_reach_the_advantages(data: Letters, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list = []
    monkeypatch.setattr(
        "ganaug.gans.seqgan.training.advantages", lambda value, real, *options: seen.append(options) or real * 1.0
    )
    model = make(data, rollout_every=2, baseline="batch", rescale="rank", whiten=True)
    model.play(torch.zeros(8, dtype=torch.long), 0)
    assert seen == [(2, "batch", "rank", True)]


def test_the_advantages_are_what_the_policy_gradient_uses(data: Letters, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient of a step of G is that of −Σ A log π, padding left out."""
    data = Letters()
    model = make(data, mle_steps=0, discriminator_steps=0, mle_weight=0.0, clip=1e9, conditional=True)
    played: list = []
    play = model.play
    monkeypatch.setattr(model, "play", lambda *args: played.append(play(*args)) or played[-1])
    found: list[Tensor] = []
    before = copy.deepcopy(model.generator)

    class Watch(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
            self.y = batch["y"]

        def on_before_optimizer_step(self, trainer, module, optimizer) -> None:
            if optimizer is trainer.optimizers[1]:
                found.append(module.generator.head.weight.grad.clone())

    watch = Watch()
    trainer(1, watch).fit(model, data)
    x, advantage, _ = played[0]
    total, tokens = torch.zeros(()), 0
    for i in range(len(x)):
        for t in range(int(model.schema.lengths(x[i : i + 1]))):
            logits = before(x[i : i + 1], watch.y[i : i + 1])[0, t].clone()
            logits[UNKNOWN] = -torch.inf
            if t == 0:
                logits[END] = -torch.inf
            total = total - advantage[i, t] * logits.log_softmax(0)[x[i, t]]
            tokens += 1
    (total / tokens).backward()
    assert advantage.abs().sum() > 0
    torch.testing.assert_close(found[0], before.head.weight.grad, rtol=1e-4, atol=1e-6)


def test_controls(data: Letters) -> None:
    y = torch.zeros(8, dtype=torch.long)
    for options, expected in (({"baseline": "difference"}, 0.0), ({"baseline": "none"}, 1.0)):
        model = make(data, reward="constant", whiten=False, **options)
        x, advantage, reward = model.play(y, 0)
        real = torch.arange(7) < model.schema.lengths(x)[:, None]
        assert torch.equal(advantage, real * expected)
        assert torch.equal(reward, torch.ones(8))
    found = []
    for reward in ("probability", "shuffled"):
        model = make(data, reward=reward, whiten=False, baseline="none")
        with torch.no_grad():
            model.discriminator.dense.weight.mul_(10)
        torch.manual_seed(0)
        found.append(model.play(y, 0)[2])
    assert not torch.equal(*found)
    assert torch.equal(found[0].sort().values, found[1].sort().values)


def test_policy_gradient_climbs_a_known_reward(data: Letters) -> None:
    """With a critic that likes a letter, that letter comes to be written."""
    data = Letters()
    model = make(data, mle_steps=0, discriminator_steps=0, d_steps=1, mle_weight=0.0, lr_g=0.05, ema_decay=0.0)
    wanted = model.schema.vocabulary.index("h")

    class Likes(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = torch.nn.Linear(1, 1)

        def forward(self, x: Tensor, y: Tensor, dropout: float = 0.0) -> Tensor:
            return (x == wanted).float().mean(1) * 6 - 3 + 0 * self.dense.weight.sum()

        def prefixes(self, x: Tensor) -> list[Tensor]:
            return []

        def continued(self, prefixes, rows: Tensor, x: Tensor, y: Tensor, start: int) -> Tensor:
            return self(x, y)

    model.discriminator = Likes()
    y, uniform = torch.zeros(200, dtype=torch.long), torch.rand(200, 7, generator=torch.Generator().manual_seed(0))
    before = (sample_sequences(model.generator, y, uniform, Sampler(True)).x == wanted).float().mean()
    trainer(25).fit(model, data)
    after = (sample_sequences(model.generator, y, uniform, Sampler(True)).x == wanted).float().mean()
    assert after > before + 0.3


@pytest.mark.parametrize("accumulate", [1, 2])
def test_rollout_policy_lags(data: Letters, accumulate: int) -> None:
    model = make(Letters(), rollout_lag=0.8, mle_steps=1, discriminator_steps=0, accumulate=accumulate)
    at: list[tuple[Tensor, Tensor]] = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer, module, *_) -> None:
            weights = module.generator.head.weight, module.roller.network.head.weight
            at.append(tuple(w.detach().clone() for w in weights))

    trainer(4, Watch()).fit(model, Letters())
    torch.testing.assert_close(at[1][1], 0.8 * at[0][0] + 0.2 * at[1][0])  # it starts as what MLE has learnt
    torch.testing.assert_close(at[3][1], 0.8 * at[1][1] + 0.2 * at[3][0])
    assert torch.equal(at[1][0], at[0][0]) == (accumulate == 2), "without a step of G it stands still"
    assert not torch.equal(at[3][1], at[0][0])


def first_step(phase: str, **options) -> tuple[SeqGAN, dict[str, Tensor], list]:
    """A model as it began, the gradients of the first step of a phase, and what was played in it."""
    schedule = {"mle_steps": 0, "discriminator_steps": 0 if phase == "adversarial" else 1}
    model, found, played = make(Letters(), dropout=0.0, d_dropout=0.0, **schedule | options), [], []
    begun, play = copy.deepcopy(model), model.play

    class Watch(Callback):
        def on_before_optimizer_step(self, trainer, module, optimizer) -> None:
            found.append({name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None})

    model.play = lambda y, turn: played.append((y, *play(y, turn))) or played[-1][1:]
    trainer(1, Watch()).fit(model, Letters())
    return begun, found[0], played


@pytest.mark.parametrize("name", ["entropy_weight", "mle_weight"])
def test_what_is_added_to_the_policys_loss(name: str) -> None:
    """− weight × entropy, and + weight × the mean loss of a token of the real batch."""
    plain = {"entropy_weight": 0.0, "mle_weight": 0.0}
    _, before, _ = first_step("adversarial", **plain)
    model, after, played = first_step("adversarial", **plain | {name: 0.7})
    y, x, *_ = played[0]
    if name == "entropy_weight":
        term = -entropy(model.log_policy(x, y), step_mask(model.schema.lengths(x), x.shape[1]))
    else:
        data = Letters()
        data.setup()
        batch = next(iter(data.train_dataloader()))
        term = model._token_losses(model.generator, batch, 0.0).sum() / batch["length"].sum()
    term.backward()
    for key, parameter in model.generator.named_parameters():
        if parameter.grad is not None:
            change = after[f"generator.{key}"] - before[f"generator.{key}"]
            torch.testing.assert_close(change, 0.7 * parameter.grad, rtol=1e-3, atol=1e-6)


def test_the_penalty_on_ds_last_layer() -> None:
    """The official code's: half of the sum of squares; a quarter beside a loss that is the mean of both sides."""
    _, before, _ = first_step("discriminator", d_l2=0.0)
    model, after, _ = first_step("discriminator", d_l2=0.4)
    for part in ("weight", "bias"):
        change = after[f"discriminator.dense.{part}"] - before[f"discriminator.dense.{part}"]
        own = getattr(model.discriminator.dense, part).detach()
        torch.testing.assert_close(change, 0.4 / 2 * own, rtol=1e-3, atol=1e-6)


# ---- samples


def test_labels_steer(data: Letters) -> None:
    model = make(Letters(), mle_steps=250, lr_mle=0.02)
    trainer(250).fit(model, Letters())
    y = torch.arange(100) % 2
    texts = model.schema.decode(model.sample(model.latent(torch.arange(100), 0), y)["x"])
    assert sum(text[0] == "ab"[c] for text, c in zip(texts, y.tolist(), strict=True)) > 95


def test_sample_options(data: Letters) -> None:
    model = make(data)
    latent, y = model.latent(torch.arange(50), 0), torch.zeros(50, dtype=torch.long)
    assert latent.shape == (50, 7)
    assert 0 <= latent.min() < latent.max() < 1
    greedy = model.sample(latent, y, temperature=1e-4)["x"]
    assert (greedy == greedy[0]).all()
    assert torch.equal(model.sample(latent, y, top_k=1)["x"], greedy)
    sampled = model.sample(latent, y)
    assert torch.equal(sampled["length"], model.schema.lengths(sampled["x"]))
    with pytest.raises(InputError, match="temperature"):
        model.sample(latent, y, temperature=-1.0)


def test_unconditional_ignores_labels(data: Letters) -> None:
    model = make(data, conditional=False)
    latent = model.latent(torch.arange(20), 0)
    samples = [model.sample(latent, torch.full((20,), c))["x"] for c in (0, 1)]
    assert torch.equal(*samples)
    assert not model.conditional


@pytest.mark.parametrize(
    "options",
    [
        {"rollouts": 0},
        {"lr_g": 0.0},
        {"dropout": 1.0},
        {"mle_steps": -1},
        {"filters": {9: 8}},
        {"filters": {0: 8}},
        {"generator": "transformer", "hidden": 10, "heads": 4},
        {"clip": -1.0},
    ],
    ids=str,
)
def test_wrong_options_get_one_line(data: Letters, options: dict) -> None:
    with pytest.raises(InputError) as error:
        make(data, **options)
    assert "\n" not in str(error.value)
    named = "heads" if "heads" in options else next(iter(options))
    assert named in str(error.value)


def test_resuming_in_the_middle_of_a_set_of_negatives(tmp_path: Path) -> None:
    options = {"negatives": 4, "negative_epochs": 2, "mle_steps": 1, "discriminator_steps": 20}
    whole = make(Letters(), **options)
    trainer(9).fit(whole, Letters())
    with pytest.raises(Stop.Killed):
        trainer(9, Stop(4, tmp_path / "a.ckpt")).fit(make(Letters(), **options), Letters())
    resumed = make(Letters(), **options)
    trainer(9).fit(resumed, Letters(), ckpt_path=tmp_path / "a.ckpt")
    assert all(torch.equal(v, resumed.state_dict()[k]) for k, v in whole.state_dict().items())
    with FakeTensorMode(allow_non_fake_inputs=True):  # a checkpoint is read before the model is where it trains
        on_fake_gpu(resumed)
        resumed.on_train_start()
    assert {part.device.type for part in resumed.negatives} == {"cuda"}
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    del checkpoint["ganaug"]["negatives"]
    torch.save(checkpoint, tmp_path / "b.ckpt")
    with pytest.raises(InputError, match="the samples that D was being shown are missing"):
        trainer(9).fit(make(Letters(), **options), Letters(), ckpt_path=tmp_path / "b.ckpt")
    torch.save({**torch.load(tmp_path / "a.ckpt", weights_only=True), "Letters": [3]}, tmp_path / "c.ckpt")
    with pytest.raises(InputError, match="what it says of the data is damaged"):
        trainer(9).fit(make(Letters(), **options), Letters(), ckpt_path=tmp_path / "c.ckpt")


# ---- what maximum likelihood alone had reached


def written(model: SeqGAN, **options) -> Tensor:
    return model.sample(model.latent(torch.arange(30), 0), torch.arange(30) % 2, **options)["x"]


def test_what_likelihood_has_reached_is_kept(tmp_path: Path) -> None:
    """The average, as it was sampled from after the last step of the phase; the checkpoint holds it."""
    options = {"mle_steps": 3, "discriminator_steps": 1, "lr_mle": 0.05, "lr_g": 0.05, "ema_decay": 0.9}
    short, whole = make(Letters(), **options), make(Letters(), **options)
    trainer(3).fit(short, Letters())
    run = trainer(9)
    run.fit(whole, Letters())
    run.save_checkpoint(tmp_path / "a.ckpt")
    kept = whole.pretrained()
    rows = batch(run.datamodule)
    for temperature in (1.0, 0.5):
        assert torch.equal(written(kept, temperature=temperature), written(short, temperature=temperature))
        assert torch.equal(kept.nll(rows, temperature), short.nll(rows, temperature))
    assert not torch.equal(kept.nll(rows), whole.nll(rows))
    assert torch.equal(load(tmp_path / "a.ckpt").pretrained().nll(rows), kept.nll(rows))
    assert torch.equal(short.pretrained().nll(rows), short.nll(rows))
    assert not any(p.requires_grad for p in whole.mle.parameters())


def test_without_a_phase_of_likelihood_nothing_is_kept(data: Letters) -> None:
    assert make(data, mle_steps=0).pretrained() is None


def test_batches_of_another_size_are_judged_beside_as_many_samples() -> None:
    """Of a loader whose last batch is smaller: none of its real rows is taken for a sample."""
    data = Letters()
    data.setup()
    rows = data.train.fields["y"].shape[0]
    model = make(data, mle_steps=0, discriminator_steps=10**6, negatives=3)
    seen: list[int] = []
    model.discriminator.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    loader = DataLoader(data.train, batch_size=5, collate_fn=lambda batch: batch)
    trainer(2 * len(loader)).fit(model, loader)
    assert rows % 5
    assert seen == 2 * ([10] * (rows // 5) + [2 * (rows % 5)])


def test_gates_of_the_discriminators_highway_are_open_at_first():
    filters = {1: 100, 2: 200, 3: 200, 4: 200, 5: 200, 6: 100, 7: 100, 8: 100, 9: 100, 10: 100, 15: 160, 20: 160}
    discriminator = Discriminator(5000, 20, 1, 64, filters)
    gates: list[Tensor] = []
    discriminator.gate.register_forward_hook(lambda *given: gates.append(given[2].sigmoid()))
    discriminator(torch.randint(5000, (64, 20)), torch.zeros(64, dtype=torch.long))
    shut = (gates[0] - 0.5).abs() > 0.45
    assert float(shut.float().mean()) < 0.15  # with the convolutions' N(0, 0.1): 0.64
