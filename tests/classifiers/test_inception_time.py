"""The series classifier learns, sees nothing beyond a series' end, and its augmentations do what they say."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from datamodules import InputError
from datamodules.schema import Batch
from datamodules.series.schema import SeriesSchema
from ganaug.classifiers.base import PRETEXTS
from ganaug.classifiers.inception_time import StepNorm
from ganaug.classifiers.series import SeriesClassifier, half
from ganaug.classifiers.series_augmentation import jitter, magnitude_warped, scaled, sliced, time_warped, transformed
from ganaug.classifiers.training import fit_classifier, fit_features

torch.set_num_threads(1)

CPU = {"accelerator": "cpu"}
CHANGES = [jitter, scaled, magnitude_warped, time_warped, sliced]


def schema(classes: int = 2, columns: int = 2, length: int = 20, fixed: bool = False) -> SeriesSchema:
    return SeriesSchema(
        classes=tuple(map(str, range(classes))),
        columns=tuple(f"c{i}" for i in range(columns)),
        dtypes=("float64",) * columns,
        offset=(0.0,) * columns,
        scale=(1.0,) * columns,
        length=length,
        fixed=fixed,
    )


def humps(n: int, given: SeriesSchema) -> Batch:
    """Noise; in class 0 the first column has a short hump upwards somewhere, in class 1 downwards."""
    rng = torch.Generator().manual_seed(0)
    steps = torch.arange(given.length)
    length = torch.randint(8, given.length + 1, (n,), generator=rng)
    y = torch.arange(n) % 2
    x = 0.5 + 0.05 * torch.randn(n, given.length, given.features, generator=rng)
    centre = 2 + torch.rand(n, generator=rng) * (length - 4)
    x[:, :, 0] += (0.4 - 0.8 * y)[:, None] * torch.exp(-((steps - centre[:, None]) ** 2) / 2)
    return {"x": x * (steps < length[:, None])[:, :, None], "length": length, "y": y}


def some(rows: Batch, index: slice) -> Batch:
    return {name: field[index] for name, field in rows.items()}


def spoilt(rows: Batch, filling: float) -> Batch:
    outside = torch.arange(rows["x"].shape[1]) >= rows["length"][:, None]
    return {**rows, "x": rows["x"].masked_fill(outside[:, :, None], filling)}


def waves(n: int = 6, steps: int = 30, columns: int = 3) -> tuple[Tensor, Tensor]:
    time = torch.arange(steps)[None, :, None] / 5
    x = 0.5 + torch.sin(time + torch.arange(n)[:, None, None] + torch.arange(columns))
    length = torch.arange(n) * 5 + 5
    return x * (torch.arange(steps) < length[:, None])[:, :, None], length


# ---- the network -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("augment", [False, True])
def test_it_learns_humps(augment):
    rows = humps(500, schema())
    features = fit_features(schema(), some(rows, slice(400)), steps=50, width=4, augment=augment, **CPU)
    assert features.accuracy(some(rows, slice(400, None))) > 0.95
    assert features.name == "inceptiontime-on-real-train"
    out = features(rows)
    assert (out.shape, out.dtype, out.requires_grad) == ((500, 16), torch.float32, False)
    assert out.min() >= 0


def test_without_labels_it_learns_transformations():
    given = schema(classes=0, columns=1)
    rng = torch.Generator().manual_seed(0)
    rising = (torch.arange(20) / 20 + 0.01 * torch.randn(200, 20, generator=rng)) ** 2  # slowly, then fast
    rows = {"x": rising[:, :, None], "length": torch.full((200,), 20), "y": torch.zeros(200).long()}
    features = fit_features(given, rows, steps=60, width=4, **CPU)
    assert features.name == "transformation-inceptiontime-on-real-train"
    made = features.model.pretext(rows)
    assert features.accuracy(made) > 0.95  # the four are plain here


@pytest.mark.parametrize("filling", [float("nan"), float("inf"), 7.0])
def test_what_lies_beyond_the_end_never_shows(filling):
    rows = humps(64, schema())
    model = fit_classifier(schema(), rows, steps=4, width=8, **CPU)
    assert torch.equal(model(rows), model(spoilt(rows, filling)))
    again = fit_classifier(schema(), spoilt(rows, filling), steps=4, width=8, **CPU)
    assert torch.equal(model(rows), again(rows))


@pytest.mark.parametrize("training", [False, True])
def test_more_padding_changes_nothing(training):
    torch.manual_seed(0)
    model = SeriesClassifier(schema(length=20), width=8).train(training)
    rows = humps(32, schema())
    longer = {**rows, "x": torch.nn.functional.pad(rows["x"], (0, 0, 0, 15), value=3.0)}
    torch.testing.assert_close(model.features(rows), model.features(longer), rtol=1e-4, atol=1e-5)


def test_its_normalisation_is_that_of_the_steps_that_count():
    x = torch.randn(4, 3, 1, 7)
    mask = torch.arange(7) < torch.tensor([7, 1, 4, 2])[:, None]
    mine, theirs = StepNorm(3), torch.nn.BatchNorm1d(3)
    out = mine(x, mask.flatten().nonzero()[:, 0])[:, :, 0].mT  # (B, T, C)
    torch.testing.assert_close(out[mask], theirs(x[:, :, 0].mT[mask]))
    assert (out[~mask] == 0).all()
    torch.testing.assert_close(mine.running_var, theirs.running_var)


@pytest.mark.parametrize(("length", "columns"), [(1, 1), (2, 1), (4, 3), (150, 1)])
def test_series_of_any_length(length, columns):
    given = schema(length=length, columns=columns)
    rows = {"x": torch.rand(9, length, columns), "length": torch.arange(9) % length + 1, "y": torch.arange(9) % 2}
    for options in ({}, {"augment": True}, {"pretext": True}):
        model = fit_classifier(given, rows, steps=2, batch_size=8, width=4, **options, **CPU)
        assert model(rows).isfinite().all()


@pytest.mark.parametrize("options", [{"augment": True}, {"pretext": True}])
def test_same_seed_same_weights(options):
    rows = humps(40, schema())

    def weights(seed: int) -> Tensor:
        model = fit_classifier(schema(), rows, steps=3, batch_size=16, seed=seed, width=4, **options, **CPU)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    first = weights(0)
    torch.rand(3)
    assert torch.equal(first, weights(0))
    assert not torch.equal(first, weights(1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": torch.zeros(10, 20, 3)}, "x torch.float32"),
        ({"x": torch.zeros(10, 20, 2).double()}, "x torch.float32"),
        ({"length": torch.ones(10)}, "length torch.int64"),
        ({"y": torch.full((10,), 2)}, "labels run from 2 to 2"),
    ],
)
def test_rows_that_do_not_fit_are_refused(change, said):
    with pytest.raises(InputError, match=said):
        fit_classifier(schema(), some(humps(10, schema()), slice(10)) | change, steps=1, **CPU)


# ---- augmentation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", CHANGES)
def test_augmentations_keep_shape_and_length(change):
    x, length = waves()
    torch.manual_seed(0)
    out = change(x, length)
    assert (out.shape, out.dtype) == (x.shape, x.dtype)
    assert out.isfinite().all()
    outside = torch.arange(30) >= length[:, None]
    assert (out[outside] == 0).all()
    assert all(not torch.allclose(a[:n], b[:n], atol=1e-3) for a, b, n in zip(out, x, length, strict=True))
    torch.manual_seed(0)
    assert torch.equal(change(spoilt({"x": x, "length": length}, float("nan"))["x"], length), out)
    torch.manual_seed(1)
    assert not torch.equal(change(x, length), out)


@pytest.mark.parametrize("change", CHANGES)
def test_augmentations_of_a_single_step_and_of_constants(change):
    one = torch.tensor([[[3.0], [9.0]]])
    torch.testing.assert_close(change(one, torch.tensor([1])), torch.tensor([[[3.0], [0.0]]]))
    constant = torch.full((2, 8, 1), 5.0)
    torch.testing.assert_close(change(constant, torch.tensor([8, 8])), constant)


@pytest.mark.parametrize("change", CHANGES)
def test_augmentations_are_the_same_in_every_unit(change):
    """What a scaler does afterwards or before makes no difference."""
    x, length = waves()
    torch.manual_seed(0)
    out = change(x, length)
    torch.manual_seed(0)
    inside = (torch.arange(30) < length[:, None])[:, :, None]
    torch.testing.assert_close(change(40 * x + 7, length), (40 * out + 7) * inside, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("change", CHANGES)
def test_augmentations_leave_words_and_times_what_they_are(change):
    x, length = waves()
    words = torch.eye(3)[torch.arange(30) // 4 % 3] * (torch.arange(30) < length[:, None])[:, :, None]
    torch.manual_seed(0)
    out = change(torch.cat([x, words], 2), length, torch.tensor([True] * x.shape[2] + [False] * 3))[..., x.shape[2] :]
    assert set(out.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(out.sum(2), words.sum(2)), "one word at every step"
    if change in (jitter, scaled, magnitude_warped):
        assert torch.equal(out, words)
    irregular = replace(schema(columns=3, length=30), intervals=True)
    assert torch.equal(half(change)({"x": x, "length": length}, irregular)["x"][..., 0], x[..., 0])


def test_jitter_is_as_strong_as_it_says():
    torch.manual_seed(0)
    x = torch.sin(torch.arange(400) / 7)[None, :, None] * torch.tensor([1.0, 10.0]) + torch.zeros(50, 1, 1)
    noise = jitter(x, torch.full((50,), 400), strength=0.2) - x
    torch.testing.assert_close(noise.std((0, 1)), 0.2 * x[0].std(0), rtol=0.02, atol=0)
    assert noise.mean((0, 1)).abs().max() < 0.05


def test_scaling_is_by_one_number_a_column():
    torch.manual_seed(0)
    x = torch.rand(3000, 12, 2)
    out = scaled(x, torch.full((3000,), 12), strength=0.3)
    torch.testing.assert_close(out.mean(1), x.mean(1))
    factor = (out - x.mean(1, keepdim=True)) / (x - x.mean(1, keepdim=True))
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor), rtol=1e-2, atol=1e-2)
    first = factor.median(1).values
    assert first.mean().item() == pytest.approx(1, abs=0.02)
    assert first.std().item() == pytest.approx(0.3, rel=0.05)
    assert abs(torch.corrcoef(first.T)[0, 1].item()) < 0.1  # each column its own


def test_magnitude_is_warped_by_a_smooth_curve():
    torch.manual_seed(0)
    x = torch.ones(2000, 101, 1)
    x[:, ::2] = -1.0
    x[:, 100] = 0.0  # the mean is 0
    factor = (magnitude_warped(x, torch.full((2000,), 101)) / x)[:, :100, 0]
    assert factor.mean().item() == pytest.approx(1, abs=0.01)
    knots = factor[:, [0, 20, 40, 60, 80]]
    assert knots.std(0) == pytest.approx(torch.full((5,), 0.2), rel=0.1)
    assert torch.corrcoef(knots.T).fill_diagonal_(0).abs().max() < 0.1  # independent where the spline has its knots
    assert factor.diff(dim=1).abs().max() < 0.2  # of 0.2 between neighbours there are 20 steps
    assert factor.diff(dim=1).diff(dim=1).abs().max() < 0.03


def test_warped_time_never_runs_backwards_and_keeps_its_ends():
    torch.manual_seed(0)
    length = torch.tensor([2, 9, 30, 30])
    time = torch.arange(30.0)[None, :, None].expand(4, 30, 2).clone()
    out = time_warped(time, length, strength=0.5)  # of a ramp it gives the times themselves
    assert torch.equal(out[:, :, 0], out[:, :, 1])
    for series, n in zip(out, length.tolist(), strict=True):
        assert series[0, 0] == 0
        torch.testing.assert_close(series[n - 1, 0], torch.tensor(n - 1.0))
        assert (series[:n, 0].diff() > 0).all()
    assert (out[2] - time[2]).abs().max() > 0.5


def test_a_slice_is_a_window_stretched():
    torch.manual_seed(0)
    length = torch.randint(11, 31, (200,))
    time = torch.arange(30.0)[None, :, None].expand(200, 30, 1)
    out = sliced(time, length, share=0.8)[:, :, 0]
    first, last = out[:, 0], out.gather(1, length[:, None] - 1)[:, 0]
    torch.testing.assert_close(last - first, 0.8 * (length - 1))
    assert first.min() >= 0
    assert (last <= length - 1 + 1e-4).all()
    share = first / (0.2 * (length - 1))
    assert share.min() < 0.1
    assert share.max() > 0.9
    torch.testing.assert_close(out[:, :11].diff(dim=1), torch.full((200, 10), 0.8), rtol=1e-3, atol=1e-3)


# ---- pretext task ----------------------------------------------------------------------------------------------------


def test_what_the_pretext_task_does():
    torch.manual_seed(0)
    x, length = waves()
    same, back, down, pieces = transformed(spoilt({"x": x, "length": length}, float("nan"))["x"], length)
    assert torch.equal(same, x)
    for row, n in enumerate(length.tolist()):
        series = x[row, :n]
        assert torch.equal(back[row, :n], series.flip(0))
        torch.testing.assert_close(down[row, :n], 2 * series.mean(0) - series)
        assert not torch.equal(pieces[row, :n], series)
        assert torch.equal(pieces[row, :n].sort(0).values, series.sort(0).values)
        assert (pieces[row, :n, None] == series[None]).all(2).any(1).all()  # whole steps move
        follows = (pieces[row, :n, None] == series[None]).all(2).int().argmax(1).diff() == 1
        assert (~follows).sum() in (1, 2, 3)  # four pieces, of which two may be neighbours again
    assert all((part[torch.arange(30) >= length[:, None]] == 0).all() for part in (same, back, down, pieces))
    made = SeriesClassifier(schema(columns=3, length=30)).pretext({"x": x, "length": length})
    assert made["x"].shape == (4 * len(x), 30, 3)
    assert made["y"].tolist() == [k for k in range(PRETEXTS) for _ in range(len(x))]
    assert torch.equal(made["length"], length.repeat(4))
