"""Filters keep and drop what a closed form, or a plant, says they should; and touch nothing else."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import Tensor

from datamodules import ImageSchema, InputError, TextSchema
from datamodules.schema import Batch
from datamodules.text.schema import SPECIAL
from ganaug import DCGAN, SeqGAN
from ganaug.classifiers.training import ClassifierFeatures, fit_features
from ganaug.sampling.filters import FILTERS, agreeing, filter_samples, original, rejection_sampled, within

torch.set_num_threads(1)

ALL = list(FILTERS)


def normal(n: int, mean: float = 0.0, width: int = 1, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return mean + torch.randn(n, width, generator=rng)


def zeros(n: int) -> Tensor:
    return torch.zeros(n, dtype=torch.long)


def contents(x: Tensor) -> list[bytes]:
    return [row.tobytes() for row in x.numpy()]


# ---- the discriminator -----------------------------------------------------------------------------------------------


def test_calibration_finds_the_log_ratio_in_logits_of_another_scale() -> None:
    # Of N(1, 1) against N(-1, 1) the log ratio at x is 2x; what a hinge loss might leave is 6x + 5.
    real, made = 6 * normal(20_000, 1)[:, 0] + 5, 6 * normal(20_000, -1, seed=1)[:, 0] + 5
    figures = rejection_sampled(made, zeros(20_000), real, zeros(20_000))[1]
    assert figures["slope"] == pytest.approx(1 / 3, rel=0.03)
    assert figures["real"] == pytest.approx(11, abs=0.2)
    assert figures["synthetic"] == pytest.approx(-1, abs=0.2)


def test_samples_are_kept_with_the_probability_of_the_paper() -> None:
    made, real = normal(40, -1)[:, 0].repeat_interleave(2000), normal(60, 1)[:, 0]
    keep, figures = rejection_sampled(made, zeros(len(made)), real, zeros(60))
    ratio = figures["slope"] * made.double().numpy()
    below = ratio - ratio.max()
    surplus = below - np.log(1 - np.exp(below - 1e-8))
    wanted = expit(surplus - np.quantile(surplus, 0.5))[::2000]
    assert np.abs(keep.double().view(40, 2000).mean(1).numpy() - wanted).max() < 0.05  # 4.5 deviations at a half
    assert wanted.min() < 0.1
    assert wanted.max() > 0.99


def test_the_right_component_of_a_mixture_is_kept() -> None:
    right, wrong = normal(1000, 2)[:, 0], normal(1000, -2, seed=1)[:, 0]
    made = torch.cat([right, wrong])
    # log of N(2, 1) over the even mixture of N(2, 1) and N(-2, 1)
    keep, _ = rejection_sampled(
        -torch.log(0.5 + 0.5 * torch.exp(-4 * made)),
        zeros(2000),
        -torch.log(0.5 + 0.5 * torch.exp(-4 * normal(2000, 2, seed=2)[:, 0])),
        zeros(2000),
    )
    assert keep[:1000].double().mean() > 0.75
    assert keep[1000:].double().mean() < 0.1


def test_a_discriminator_that_tells_nothing_drops_half_at_random() -> None:
    keep, figures = rejection_sampled(torch.full((4000,), 3.0), zeros(4000), torch.full((100,), 3.0), zeros(100))
    assert keep.double().mean().item() == pytest.approx(0.5, abs=0.03)
    assert figures["slope"] == 0


def test_classes_do_not_compete() -> None:
    # One class looks more real than the other whether it is or not, and is rare among the real rows alone.
    y, real_y = (torch.arange(8000) % 10 > 1).long(), (torch.arange(8000) % 10 > 8).long()
    made, real = 2 * normal(8000, -1)[:, 0] + 30 * y, 2 * normal(8000, 1, seed=1)[:, 0] + 30 * real_y
    keep, figures = rejection_sampled(made, y, real, real_y)
    assert figures["slope"] == pytest.approx(1, rel=0.05)
    for c in (0, 1):
        assert keep[y == c].double().mean().item() == pytest.approx(0.5, abs=0.06)
    alone = rejection_sampled(made, zeros(8000), real, zeros(8000) + 1)[1]["slope"]  # no class has both
    assert alone == rejection_sampled(made, zeros(8000), real, zeros(8000))[1]["slope"]


def test_a_larger_quantile_keeps_less_and_one_sample_is_no_special_case() -> None:
    made, real = normal(1000, -1)[:, 0], normal(1000, 1)[:, 0]
    shares = [
        rejection_sampled(made, zeros(1000), real, zeros(1000), quantile=q)[0].double().mean() for q in (0.2, 0.5, 0.95)
    ]
    assert shares[0] > shares[1] > shares[2]
    assert rejection_sampled(made[:1], zeros(1), real, zeros(1000))[0].shape == (1,)


def test_logits_that_are_no_numbers_are_refused() -> None:
    for made, real, named in ((torch.nan, 1.0, "samples"), (1.0, torch.inf, "real rows")):
        with pytest.raises(InputError, match=f"logits of {named} hold NaN"):
            rejection_sampled(torch.tensor([made]), zeros(1), torch.tensor([real]), zeros(1))


# ---- agreement -------------------------------------------------------------------------------------------------------


def test_agreement_drops_exactly_the_mislabelled() -> None:
    y = torch.arange(30) % 3
    logits = torch.eye(3)[y] * 2.0
    asked = y.clone()
    asked[[4, 17, 29]] = (asked[[4, 17, 29]] + 1) % 3
    keep, figures = agreeing(logits, asked)
    assert (~keep).nonzero()[:, 0].tolist() == [4, 17, 29]
    assert figures == {"disagreed": 3}


def test_agreement_refuses_labels_that_the_judge_cannot_know() -> None:
    with pytest.raises(InputError, match="run from 0 to 5, the judge knows 3"):
        agreeing(torch.zeros(2, 3), torch.tensor([0, 5]))


# ---- duplicates ------------------------------------------------------------------------------------------------------


def test_planted_copies_go_and_one_fresh_row_in_a_hundred() -> None:
    train, fresh = normal(2000, width=4), normal(2000, width=4, seed=1)
    planted = torch.cat([train[:10], train[10:20] + 1e-4, fresh, fresh[:5]])
    keep, figures = original(planted, contents(planted), train, contents(train))
    assert not keep[:20].any()
    assert not keep[-5:].any()
    assert (figures["copies"], figures["repeats"]) == (10, int(keep[20:25].sum()))
    lost = 1 - keep[20:2020].double().mean().item()
    assert 0.004 < lost < 0.02
    apart = torch.cdist(train, train).fill_diagonal_(torch.inf).min(1).values
    assert figures["distance"] == pytest.approx(float(apart.quantile(0.01)), rel=1e-4)
    assert int(keep.sum()) == len(keep) - figures["copies"] - figures["near"] - figures["repeats"]


def test_unseen_rows_show_how_near_is_near() -> None:
    train, unseen, fresh = (normal(2000, width=4, seed=seed) * (1 + 2 * (seed > 0)) for seed in (0, 1, 2))
    named = contents(fresh)
    alone = original(fresh, named, train, contents(train))[1]
    keep, figures = original(fresh, named, train, contents(train), unseen)
    assert figures["distance"] > alone["distance"]
    assert 0.004 < 1 - keep.double().mean().item() < 0.02
    wanted = torch.cdist(unseen, train).min(1).values.quantile(0.01)
    assert figures["distance"] == pytest.approx(float(wanted), rel=1e-4)


def test_the_first_of_equal_samples_stays() -> None:
    x = torch.tensor([[1.0], [2.0], [1.0], [1.0], [2.0]])
    keep, figures = original(x, contents(x), torch.tensor([[9.0]]), [b""])
    assert keep.tolist() == [True, True, False, False, False]
    assert figures == {"copies": 0, "near": 0, "repeats": 3, "distance": 0.0}


# ---- density ---------------------------------------------------------------------------------------------------------


def test_planted_outliers_go() -> None:
    train, fresh = normal(500, width=3), normal(300, width=3, seed=1)
    made = torch.cat([fresh, fresh[:20] + 50])
    keep, figures = within(made, zeros(320), train, zeros(500), k=5)
    assert not keep[300:].any()
    assert keep[:300].double().mean() > 0.9
    radius = torch.cdist(train, train).sort(1).values[:, 5]
    assert torch.equal(keep, (torch.cdist(made, train) <= radius).any(1))
    assert figures == {"widened": 1.0, "unjudged": 0}


def test_balls_are_widened_until_they_hold_unseen_rows() -> None:
    train, unseen, fresh = (normal(400, width=3, seed=seed) * (1 + 4 * (seed > 0)) for seed in (0, 1, 2))
    made = torch.cat([fresh, fresh[:20] + 500])
    alone = within(made, zeros(420), train, zeros(400))[0]
    keep, figures = within(made, zeros(420), train, zeros(400), unseen, zeros(400))
    assert alone.double().mean() < 0.3
    assert keep[:400].double().mean().item() == pytest.approx(0.95, abs=0.03)
    assert not keep[400:].any()
    assert figures["widened"] > 1
    again = within(unseen, zeros(400), train, zeros(400), unseen, zeros(400))[0]
    assert int(again.sum()) in (380, 381)
    inside = within(fresh / 50, zeros(400), train, zeros(400), fresh / 50, zeros(400))[1]
    assert inside["widened"] == 1  # never narrower
    elsewhere = within(made, zeros(420), train, zeros(400), unseen, zeros(400) + 1)[0]  # nothing to learn from
    assert torch.equal(elsewhere, alone)


def test_balls_are_of_the_class() -> None:
    train = torch.cat([normal(50), normal(50, 100)])
    y = torch.arange(100) // 50
    assert within(train, y, train, y)[0].all()
    assert not within(train, 1 - y, train, y)[0].any()


def test_small_classes_use_what_there_is() -> None:
    train, y = torch.tensor([[0.0], [1.0], [5.0], [50.0]]), torch.tensor([0, 0, 0, 1])
    made = torch.tensor([[-4.0], [9.9], [10.1], [1000.0], [0.0]])
    # The farthest neighbours of 0, 1 and 5 are 5, 4 and 5 away: together they reach from -5 to 10.
    keep, figures = within(made, torch.tensor([0, 0, 0, 1, 2]), train, y, k=5)
    assert keep.tolist() == [True, True, False, True, True]
    assert figures["unjudged"] == 2


# ---- all together ----------------------------------------------------------------------------------------------------


def halves(n: int, seed: int) -> Batch:
    """Pictures of 8 × 8, bright at the left or at the right."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 60, (n, 1, 8, 8), dtype=np.uint8)
    y = np.arange(n) % 2
    x[y == 0, :, :, :4] += 180
    x[y == 1, :, :, 4:] += 180
    return {"x": torch.from_numpy(x), "y": torch.from_numpy(y)}


SQUARES = ImageSchema(classes=("left", "right"), height=8, width=8, channels=1, image_size=8)
LETTERS = TextSchema(
    classes=("a", "b"), vocabulary=(*SPECIAL, *"abcdefgh"), max_length=6, tokenizer="char", lowercase=True
)


def letters(n: int, seed: int) -> Batch:
    """Four letters, among the first of the alphabet or among the others."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x, length = LETTERS.pad((rng.integers(2, 6, (n, 4)) + 4 * y[:, None]).tolist())
    return {"x": x, "length": length, "y": torch.from_numpy(y)}


class Case:
    def __init__(self, model: DCGAN | SeqGAN, train: Batch, made: Batch) -> None:
        self.model, self.train, self.made = model, train, made
        self.judge = fit_features(model.schema, train, steps=30, accelerator="cpu")

    def filter(self, *names: str, seed: int = 0, **options) -> tuple[Batch, dict]:
        given = {"synthetic": self.made, "model": self.model, "judge": self.judge, "train": self.train, **options}
        return filter_samples(names, seed=seed, **given)


@pytest.fixture(scope="module")
def pictures() -> Case:
    return Case(DCGAN(SQUARES, width=8, latent_dim=8).eval(), halves(200, 0), halves(120, 1))


@pytest.fixture(scope="module")
def sentences() -> Case:
    model = SeqGAN(LETTERS, embedding=4, hidden=8, d_embedding=4, filters={1: 4, 2: 4})
    return Case(model, letters(100, 0), letters(80, 1))


@pytest.fixture(params=["pictures", "sentences"])
def case(request: pytest.FixtureRequest) -> Case:
    return request.getfixturevalue(request.param)


def test_kept_rows_are_as_they_were_in_their_order(case: Case) -> None:
    numbered = {**case.made, "number": torch.arange(len(case.made["y"]))}
    kept, report = case.filter(*ALL, synthetic=numbered)
    number = kept["number"]
    assert 0 < len(number) < len(numbered["y"])
    assert (number.diff() > 0).all()
    for name, field in numbered.items():
        assert torch.equal(kept[name], field[number])
    assert list(report) == ALL
    left = len(numbered["y"])
    for figures in report.values():
        assert figures["in"] == left
        left -= figures["dropped"]
    assert left == len(number)


def test_filters_run_in_the_order_given(case: Case) -> None:
    twice = {name: torch.cat([field, field]) for name, field in case.made.items()}
    kept, report = case.filter("duplicates", "discriminator", synthetic=twice)
    assert list(report) == ["duplicates", "discriminator"]
    assert report["duplicates"]["dropped"] >= len(case.made["y"])
    assert report["discriminator"]["in"] <= len(case.made["y"])
    assert len(kept["y"]) > 0
    assert case.filter("discriminator", "duplicates", synthetic=twice)[1]["discriminator"]["in"] == len(twice["y"])


def test_the_same_seed_keeps_the_same_and_moves_nothing(case: Case) -> None:
    random, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    weights = {name: value.clone() for name, value in case.model.state_dict().items()}
    first, again, other = (case.filter("discriminator", seed=seed)[0]["x"] for seed in (0, 0, 1))
    case.filter(*ALL)
    assert torch.equal(first, again)
    assert first.shape != other.shape or not torch.equal(first, other)
    assert torch.equal(random, torch.get_rng_state())
    assert np.array_equal(numbers, np.random.get_state()[1])  # noqa: NPY002
    assert all(torch.equal(value, weights[name]) for name, value in case.model.state_dict().items())


def test_planted_rows_are_found_through_the_networks(case: Case) -> None:
    copies = {name: field[:10] for name, field in case.train.items()}
    kept, report = case.filter("duplicates", synthetic=copies)
    assert len(kept["y"]) == 0
    figures = report["duplicates"]
    assert [figures[name] for name in ("in", "dropped", "copies", "near", "repeats")] == [10, 10, 10, 0, 0]
    wrong = {**case.made, "y": case.made["y"].clone()}
    wrong["y"][::4] = 1 - wrong["y"][::4]
    assert case.judge.accuracy(case.made) == 1
    kept, report = case.filter("agreement", synthetic=wrong)
    assert report["agreement"]["disagreed"] == report["agreement"]["dropped"] == len(wrong["y"]) // 4
    assert torch.equal(kept["x"], torch.cat([case.made["x"][i : i + 1] for i in range(len(wrong["y"])) if i % 4]))


def test_noise_is_outside_the_manifold(pictures: Case) -> None:
    noise = {**pictures.made, "x": pictures.made["x"].roll(2, 3)}  # bright columns out of place
    share = [pictures.filter("density", synthetic=rows)[1]["density"]["dropped"] for rows in (pictures.made, noise)]
    assert share[0] < 40
    assert share[1] == len(noise["y"])


def test_logits_are_the_discriminators(pictures: Case, sentences: Case) -> None:
    for each in (pictures, sentences):
        batch = each.model.schema.prepare(each.made)
        logits = each.model.logits(batch)
        assert logits.shape == (len(batch["y"]),)
        with torch.no_grad():
            torch.testing.assert_close(logits, each.model.discriminator.eval()(batch["x"], batch["y"]))
        some = {name: field[:7] for name, field in batch.items()}
        torch.testing.assert_close(each.model.logits(some), logits[:7])
        swapped = each.model.logits({**batch, "y": 1 - batch["y"]})
        assert torch.equal(swapped, logits) == (each is sentences)  # whose table of classes starts at 0
    plain = DCGAN(SQUARES, width=8, conditional=False)
    batch = SQUARES.prepare(pictures.made)
    assert torch.equal(plain.logits(batch), plain.logits({**batch, "y": 1 - batch["y"]}))


def test_held_out_rows_calibrate_the_discriminator(pictures: Case) -> None:
    unseen = halves(50, 5)
    unseen["x"][:10] = 255 - unseen["x"][:10]  # a fifth is far from the training rows of its class
    figures = pictures.filter("discriminator", held_out=unseen)[1]["discriminator"]
    logits = pictures.model.logits(SQUARES.prepare(unseen))
    assert figures["real"] == pytest.approx(float(logits.mean()), abs=1e-5)
    assert figures["real"] != pictures.filter("discriminator")[1]["discriminator"]["real"]
    for name in ("duplicates", "density"):  # these show how far from training rows unseen ones lie
        assert pictures.filter(name, held_out=unseen)[1][name] != pictures.filter(name)[1][name]
    assert pictures.filter("density", held_out=unseen)[1]["density"]["widened"] > 1
    none = {name: field[:0] for name, field in unseen.items()}
    assert pictures.filter("discriminator", held_out=none)[1] == pictures.filter("discriminator")[1]


def test_nothing_left_is_an_answer(case: Case) -> None:
    wrong = {**case.made, "y": 1 - case.made["y"]}
    kept, report = case.filter("agreement", "density", "duplicates", "discriminator", synthetic=wrong)
    assert {name: len(field) for name, field in kept.items()} == dict.fromkeys(case.made, 0)
    assert kept["x"].dtype == case.made["x"].dtype
    for name in ("density", "duplicates", "discriminator"):
        assert report[name] == {"in": 0, "dropped": 0}


def test_no_filters_keep_everything(case: Case) -> None:
    kept, report = case.filter()
    assert report == {}
    assert all(torch.equal(kept[name], field) for name, field in case.made.items())


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_names(pictures: Case) -> None:
    with pytest.raises(InputError, match="filters: there is no 'nice'; known are discriminator, agreement, dupl"):
        pictures.filter("density", "nice")
    with pytest.raises(InputError, match="filters: give each once, not density, agreement, density"):
        pictures.filter("density", "agreement", "density")
    given = {"model": pictures.model, "judge": pictures.judge, "train": pictures.train, "seed": 0}
    assert list(filter_samples("agreement", pictures.made, **given)[1]) == ["agreement"]


def test_a_judge_without_classes_cannot_agree(pictures: Case) -> None:
    judge = ClassifierFeatures(pictures.judge.model, "rotation", labelled=False)
    with pytest.raises(InputError, match="agreement needs a classifier of at least two classes, rotation has learnt"):
        pictures.filter("agreement", judge=judge)
    pictures.filter("density", "duplicates", "discriminator", judge=judge)


def test_rows_that_are_not_as_stored(pictures: Case, sentences: Case) -> None:
    made = pictures.made
    for bad, message in (
        (SQUARES.prepare(made), r"samples as they are stored: x torch.uint8 \(N, 1, 8, 8\), not torch.float32"),
        ({**made, "x": made["x"][:, :, :4]}, r"not torch.uint8 \(120, 1, 4, 8\)"),
        ({"x": made["x"]}, r"y torch.int64 \(N\), there is none"),
    ):
        with pytest.raises(InputError, match=message):
            pictures.filter("density", synthetic=bad)
    with pytest.raises(InputError, match="training rows as they are stored"):
        pictures.filter("density", train=sentences.train)
    with pytest.raises(InputError, match="at least one training row"):
        pictures.filter("density", train={name: field[:0] for name, field in pictures.train.items()})
