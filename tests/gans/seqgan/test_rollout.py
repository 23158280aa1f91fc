import pytest
import torch
from torch import Tensor

from datamodules.errors import InputError
from datamodules.text.schema import END, UNKNOWN
from ganaug.gans.seqgan.discriminator import Discriminator
from ganaug.gans.seqgan.rollout import Sampler, draw, mask_forbidden, prefix_values, roll_out, sample_sequences
from ganaug.networks.decoder import DECODERS, Decoder

V, T, B, N, CLASSES = 23, 7, 6, 5, 3
Y = torch.arange(B) % CLASSES


@pytest.fixture(params=sorted(DECODERS))
def decoder(request: pytest.FixtureRequest) -> Decoder:
    torch.manual_seed(0)
    network = DECODERS[request.param](V, T, CLASSES, 8, 8)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.5)
    return network


@pytest.fixture
def critic() -> Discriminator:
    torch.manual_seed(1)
    network = Discriminator(V, T, CLASSES, 6, {1: 3, 2: 4, 3: 5, 7: 2, 9: 2})
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    return network


def chance(*shape: int, seed: int = 2) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def naive_rollout(decoder: Decoder, x: Tensor, prefix: int, uniform: Tensor, ends: bool) -> Tensor:
    """One rollout of one prefix (B, T) at a time, whole rows through the network for every token."""
    x = x.clone()
    x[:, prefix:] = END
    for position in range(prefix, T):
        logits = decoder(x, Y)[:, position].detach()
        token = draw(mask_forbidden(logits, position) if ends else logits, uniform[:, position, None])[:, 0]
        if ends and position:
            token = torch.where(x[:, position - 1] == END, END, token)
        x[:, position] = token
    return x


# ---- one token


def test_draw_is_the_inverse_of_the_distribution_function() -> None:
    logits = torch.randn(4, 50, dtype=torch.float64).float()
    uniform = chance(4, 9)
    expected = torch.searchsorted(logits.double().softmax(1).cumsum(1), uniform.double(), right=True)
    assert torch.equal(draw(logits.clone(), uniform), expected)


@pytest.mark.parametrize("words", [1, 2, 16, 23, 5000])
def test_draw_keeps_to_the_support_even_at_the_ends_of_the_scale(words: int) -> None:
    logits = torch.randn(3, words)
    logits[:, 1::2] = -torch.inf
    edge = torch.tensor([[0.0, 1 - 2**-24, 0.5]]).expand(3, 3)
    tokens = draw(logits.clone(), edge)
    assert logits.gather(1, tokens).isfinite().all()
    assert torch.equal(tokens[:, 0], torch.zeros(3, dtype=torch.long))
    assert (tokens[:, 1] == (words - 1) // 2 * 2).all()


def test_draw_follows_the_probabilities() -> None:
    logits = torch.randn(1, 30) * 2
    tokens = draw(logits.clone(), chance(1, 100_000))
    share = torch.bincount(tokens[0], minlength=30) / 100_000
    torch.testing.assert_close(share, logits.softmax(1)[0], rtol=0, atol=0.01)


def test_temperature_top_k_and_top_p(decoder: Decoder) -> None:
    features = torch.randn(2000, 8)[:1].expand(2000, 8)
    p = decoder.head(features[0]).softmax(0)
    order = p.argsort(descending=True)
    uniform = chance(2000, 1)

    def seen(**options: float) -> set[int]:
        return set(Sampler(False, **options)(decoder, features, uniform, 1)[:, 0].tolist())

    assert seen(temperature=1e-4) == {int(order[0])}
    assert seen(top_k=3) == set(order[:3].tolist())
    crossing = int((p[order].cumsum(0) < 0.5).sum()) + 1
    assert seen(top_p=0.5) == set(order[:crossing].tolist())
    assert seen(top_k=10**6, top_p=1.0) == seen()
    for wrong in ({"temperature": 0.0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            Sampler(False, **wrong).check()


# ---- a sequence


def test_reading_token_by_token_is_reading_at_once(decoder: Decoder) -> None:
    x = torch.randint(2, V, (B, T))
    past = sample_sequences(decoder, Y, x, keep=True)
    torch.testing.assert_close(torch.stack(past.features, 1), decoder.features(x, Y))


def test_logits_look_back_only(decoder: Decoder) -> None:
    x = torch.randint(2, V, (B, T))
    changed = x.clone()
    changed[:, 4] = (changed[:, 4] + 1) % V
    before, after = decoder(x, Y), decoder(changed, Y)
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5:], after[:, 5:])


def test_sentences_end_once_and_are_padded_with_the_end(decoder: Decoder) -> None:
    with torch.no_grad():
        decoder.head.bias[END] += 2
    x = sample_sequences(decoder, torch.arange(400) % CLASSES, chance(400, T), Sampler(True)).x
    ended = x == END
    assert ended.any()
    assert torch.equal(ended, ended.long().cummax(1).values.bool())
    assert not ended[:, 0].any()
    assert not (x == UNKNOWN).any()


@pytest.mark.parametrize("ends", [True, False])
def test_lockstep_is_what_one_rollout_at_a_time_gives(decoder: Decoder, ends: bool) -> None:
    past = sample_sequences(decoder, Y, chance(B, T), Sampler(ends), keep=True)
    prefixes = range(len(past.features))
    uniform = chance(len(prefixes), B, N, T, seed=3)
    together = roll_out(decoder, past, Y, torch.arange(B), prefixes, uniform, ends)
    rows = torch.tensor([4, 1])
    for i, prefix in enumerate(prefixes):
        for n in range(N):
            expected = naive_rollout(decoder, past.x, prefix, uniform[i, :, n], ends)
            assert torch.equal(together[i, :, n], expected)
        alone = roll_out(decoder, past, Y, rows, [prefix], uniform[i : i + 1, rows], ends)
        assert torch.equal(alone[0], together[i, rows])


@pytest.mark.parametrize("lockstep", [True, False])
@pytest.mark.parametrize("ends", [True, False])
def test_values_are_the_mean_reward_of_the_naive_rollouts(
    decoder: Decoder, critic: Discriminator, ends: bool, lockstep: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganaug.gans.seqgan.rollout.ROWS", 50)  # so that there are several parts
    past = sample_sequences(decoder, Y, chance(B, T), Sampler(ends), keep=True)
    prefixes = range(0, len(past.features), 2)
    uniform = chance(len(prefixes), B, N, T, seed=3)
    value = prefix_values(decoder, critic, torch.sigmoid, past, Y, prefixes, N, ends, uniform, lockstep)
    for i, prefix in enumerate(prefixes):
        rewards = [
            torch.sigmoid(critic(naive_rollout(decoder, past.x, prefix, uniform[i, :, n], ends), Y)) for n in range(N)
        ]
        expected = torch.stack(rewards).mean(0)
        torch.testing.assert_close(value[prefix], expected)
    torch.testing.assert_close(value[T], torch.sigmoid(critic(past.x, Y)))


def test_a_shared_prefix_changes_no_judgement(critic: Discriminator) -> None:
    x = torch.randint(V, (B, T))
    known = critic.prefixes(x)
    rows = torch.tensor([3, 0, 3])
    for start in range(T):
        longer = x[rows].clone()
        longer[:, start:] = torch.randint(V, (3, T - start))
        torch.testing.assert_close(critic.continued(known, rows, longer, Y[rows], start), critic(longer, Y[rows]))


def test_credit_goes_to_the_token_that_earned_it(decoder: Decoder) -> None:
    """A reward for one place is known exactly from there on; just before it is that token's probability."""
    place, wanted = 3, 11

    class Wants:
        def __call__(self, x: Tensor, y: Tensor) -> Tensor:
            return (x[:, place] == wanted).float()

        def prefixes(self, x: Tensor) -> list[Tensor]:
            return []

        def continued(self, prefixes, rows: Tensor, x: Tensor, y: Tensor, start: int) -> Tensor:
            return self(x, y)

    with torch.no_grad():
        decoder.head.bias[wanted] += 2.5
        decoder.head.weight.mul_(0.3)
    past = sample_sequences(decoder, Y, chance(B, T), Sampler(False), keep=True)
    value = prefix_values(decoder, Wants(), lambda logits: logits, past, Y, range(T), 4000, False)
    earned = (past.x[:, place] == wanted).float()
    assert 0 < earned.sum() < B
    for prefix in range(place + 1, T + 1):
        assert torch.equal(value[prefix], earned)
    probability = decoder(past.x, Y)[:, place].softmax(1)[:, wanted]
    torch.testing.assert_close(value[place], probability, rtol=0, atol=0.04)
