"""The trained scores on sets whose score is known, and what must not change it."""

import math

import pytest
import torch
from torch import Tensor, nn

from datamodules.errors import InputError
from ganaug.metrics.judges import JUDGES, _draw, _gru_parameters, discriminative_score, predictive_score

judges = pytest.mark.parametrize("judge", ["gru", "conv"])
Set = tuple[Tensor, Tensor]


def sines(
    count: int = 60, steps: int = 8, features: int = 4, seed: int = 0, shortest: int = 3, padding=math.nan
) -> Set:
    """Sines in [0, 1] of different lengths, with something behind them."""
    g = torch.Generator().manual_seed(seed)
    frequency, phase = (torch.rand(count, 1, features, generator=g) for _ in range(2))
    x = (1 + torch.sin(frequency * torch.arange(steps)[None, :, None] + 6 * phase)) / 2
    length = torch.randint(shortest, steps + 1, (count,), generator=g)
    return torch.where((torch.arange(steps) < length[:, None])[..., None], x, padding), length


# ---- telling apart ---------------------------------------------------------------------------------------------------


@judges
@pytest.mark.parametrize("features", [1, 4])
def test_sets_far_apart_are_told_apart(judge, features):
    x, length = sines(count=300, features=features)
    scores = discriminative_score(x, length, x - 1.5, length, judge=judge, iterations=120, hidden=8, repeats=2)
    assert scores.tolist() == [0.5, 0.5]


@judges
def test_sets_of_a_kind_are_not(judge):
    first, second = sines(count=400, seed=1), sines(count=500, seed=2)
    scores = discriminative_score(*first, *second, judge=judge, iterations=40, batch_size=32, repeats=4)
    chance = 0.5 / math.sqrt(2 * 80)  # of the accuracy on 80 series of each set
    assert scores.mean() < 2.5 * chance
    assert scores.max() < 4 * chance
    assert len(set(scores.tolist())) > 1


def test_the_conv_judge_sees_an_order_of_steps():
    """Both sets have the same values at each step, but in one of them all steps of a series agree."""
    g = torch.Generator().manual_seed(0)
    mixed = torch.randint(0, 2, (400, 12, 1), generator=g).float()
    same = torch.randint(0, 2, (400, 1, 1), generator=g).float().expand(-1, 12, -1)
    length = torch.full((400,), 12)
    assert discriminative_score(mixed, length, same, length, judge="conv", iterations=120, repeats=1).item() == 0.5


def test_what_was_held_out_was_not_trained_on():
    """Labels that only memory could tell: a network of any size is right by chance on what it did not see."""
    g = torch.Generator().manual_seed(0)
    x, y, length = torch.rand(250, 4, 3, generator=g), torch.rand(250, 4, 3, generator=g), torch.full((250,), 4)
    scores = discriminative_score(x, length, y, length, judge="conv", iterations=120, batch_size=64, repeats=3)
    assert scores.mean() < 0.15


@judges
def test_a_series_is_judged_alike_alone_and_among_longer_ones(judge, monkeypatch):
    x, length = sines(count=6, padding=0)
    begin, network = JUDGES[judge]
    parameters = [torch.randn_like(p)[None] for p in begin(4, 5, torch.Generator().manual_seed(0))]
    among = network(parameters, x[None], length[None])
    alone = [network(parameters, x[i, :n][None, None], torch.tensor([[n]]))[0] for i, n in enumerate(length.tolist())]
    torch.testing.assert_close(among[0], torch.cat(alone))


@judges
def test_autocast_around_it_changes_nothing(judge, monkeypatch):
    x, length = sines(count=6)
    begin, network = JUDGES[judge]
    seen = []
    monkeypatch.setitem(JUDGES, judge, (begin, lambda *given: seen.append(network(*given)) or seen[-1]))
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            discriminative_score(x, length, x, length, judge=judge, iterations=1, repeats=1)
    assert [logits.requires_grad for logits in seen] == [True, False, False] * 2
    assert all(torch.equal(a, b) for a, b in zip(seen[:3], seen[3:], strict=True))


# ---- predicting ------------------------------------------------------------------------------------------------------


def test_what_can_be_predicted_is():
    """The last feature is what the first was a step before, so that a network has only to pass it on."""
    x, length = sines(count=300, features=2, shortest=2)
    x[:, 1:, 1] = x[:, :-1, 0]
    guess = predictive_score(x, length, x, length, iterations=1, hidden=8, repeats=2)
    learned = predictive_score(x, length, x, length, iterations=400, hidden=8, batch_size=64, repeats=2)
    assert (learned < 0.5 * guess).all()
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(1))
    misled = predictive_score(noise, length, x, length, iterations=200, hidden=8, batch_size=64, repeats=2)
    assert (misled > 2 * learned).all()


def test_a_constant_is_learned_and_its_error_is_a_mean_over_series():
    x, length = torch.full((50, 5, 1), 0.5), torch.full((50,), 5)
    test = torch.full((4, 9, 1), 0.5)
    test[0] = 0.9  # of 4 series one is off by 0.4 at each of its steps, however few
    score = predictive_score(x, length, test, torch.tensor([2, 9, 9, 9]), iterations=300, repeats=1)
    assert score.item() == pytest.approx(0.1, abs=0.03)


def test_the_prediction_is_that_of_a_plain_network():
    """Before training as torch's own GRU would predict it, step by step."""
    x, length = sines(count=9, features=3, shortest=2)
    score = predictive_score(x, length, x, length, iterations=1, batch_size=1, repeats=1, seed=5)
    parameters = _gru_parameters(2, 1, torch.Generator().manual_seed(5))
    net = nn.GRU(2, 1, batch_first=True)
    with torch.no_grad():
        for mine, own in zip(net.parameters(), parameters, strict=False):
            mine.copy_(own)
        errors = []
        for row, steps in zip(x, length.tolist(), strict=True):
            states, _ = net(row[None, : steps - 1, :2])
            predicted = torch.sigmoid(states[0] @ parameters[4] + parameters[5])
            errors.append((predicted - row[1:steps, 2]).abs().mean())
    assert score.item() == pytest.approx(float(torch.stack(errors).mean()), abs=2e-3)  # a step of Adam apart


def test_series_of_one_step_have_nothing_to_predict():
    x, length = sines(count=40, shortest=2)
    more, longer = torch.cat([x, x[:7]]), torch.cat([length, torch.ones(7, dtype=torch.long)])
    expected = predictive_score(x, length, x, length, iterations=5, repeats=2)
    assert torch.equal(predictive_score(more, longer, more, longer, iterations=5, repeats=2), expected)


# ---- both ------------------------------------------------------------------------------------------------------------

SCORES = {
    "gru": lambda *sets, **options: discriminative_score(*sets, **{"iterations": 12, "batch_size": 16} | options),
    "conv": lambda *sets, **options: discriminative_score(
        *sets, judge="conv", **{"iterations": 6, "batch_size": 16, "hidden": 5} | options
    ),
    "predictive": lambda *sets, **options: predictive_score(*sets, **{"iterations": 12, "batch_size": 16} | options),
}
every = pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)


@every
@pytest.mark.parametrize("features", [1, 2, 3, 5])
def test_any_number_of_features_and_sets_of_different_sizes(score, features):
    scores = score(*sines(30, features=features), *sines(41, steps=6, features=features, seed=1), repeats=3)
    assert scores.shape == (3,)
    assert scores.dtype == torch.float32
    assert scores.isfinite().all()
    assert (scores >= 0).all()


@every
def test_a_repeat_is_the_one_of_its_seed(score):
    sets = *sines(200), *sines(220, seed=1)
    together = score(*sets, repeats=3, seed=7)
    alone = torch.cat([score(*sets, repeats=1, seed=7 + r) for r in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert len(set(together.tolist())) > 1


@every
def test_what_lies_beyond_a_length_never_counts(score):
    def of(a: float, b: float) -> Tensor:
        return score(*sines(padding=a), *sines(50, steps=10, seed=1, padding=b), repeats=2)

    expected = of(0, 0)
    assert torch.equal(of(math.nan, 1e30), expected)
    assert torch.equal(of(-7, math.inf), expected)
    x, length = sines()
    longer = nn.functional.pad(x, (0, 0, 0, 5), value=3.0)
    torch.testing.assert_close(score(longer, length, *sines(50, steps=10, seed=1), repeats=2), expected)


@every
def test_the_seed_alone_decides_and_nothing_else_moves(score):
    sets = *sines(), *sines(seed=1)
    before = torch.get_rng_state()
    given = [v.clone() for v in sets]
    first = score(*sets, repeats=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(given, sets, strict=True))
    torch.rand(3)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(score(*sets, repeats=2), first)


@every
def test_what_has_no_answer_is_refused_in_a_line(score):
    x, length = full = sines(padding=0)
    broken = x.clone()
    broken[3, 1, 2] = math.nan
    for call, message in (
        (lambda: score(*full, x[..., :2], length), "4 and 2 features|2 and 4 features"),
        (lambda: score(*full, broken, length), "NaN or infinity in series 3 at step 1"),
        (lambda: score(*full, x, length + 9), "which is not within 1 … 8"),
        (lambda: score(*full, x[:0], length[:0]), "2 synthetic series|test should be numbers"),
        (lambda: score(*full, x[0], length), "should be numbers"),
        (lambda: score(*full, *full, iterations=0), "iterations must be at least 1, not 0"),
        (lambda: score(*full, *full, hidden=0), "hidden must be at least 1, not 0"),
        (lambda: score(*full, *full, batch_size=0), "batch_size must be at least 1, not 0"),
        (lambda: score(*full, *full, repeats=0), "repeats must be at least 1, not 0"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_what_one_of_them_refuses():
    x, length = sines()
    with pytest.raises(InputError, match="judge must be one of gru, conv, not 'lstm'"):
        discriminative_score(x, length, x, length, judge="lstm")
    with pytest.raises(InputError, match="at least 2 real and 2 synthetic series"):
        discriminative_score(x, length, x[:1], length[:1])
    with pytest.raises(InputError, match="test: no series has two steps"):
        predictive_score(x, length, x, torch.ones_like(length))
    assert discriminative_score(x[:2], length[:2], x[:2], length[:2], iterations=1, repeats=1).item() in (0, 0.5)


def test_a_draw_has_no_row_twice():
    g = torch.Generator().manual_seed(0)
    assert _draw(5, 9, g).sort().values.tolist() == list(range(5))
    drawn = _draw(100, 30, g)
    assert len(set(drawn.tolist())) == 30
    assert drawn.max() > 60
