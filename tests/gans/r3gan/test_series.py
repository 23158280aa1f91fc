"""What R3GAN's networks see of series: units, ends, gaps, words, attributes."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from datamodules import SeriesFile
from datamodules.schema import Batch
from datamodules.series.schema import SeriesSchema
from ganaug import R3GAN
from ganaug.gans.r3gan.series import SeriesView
from tests.gan_contract import trainer

torch.set_num_threads(1)


def schema(**fields) -> SeriesSchema:
    given = {"columns": ("a", "b"), "length": 8, "fixed": False} | fields
    count = len(given["columns"])
    return SeriesSchema(dtypes=("float64",) * count, offset=(0.0,) * count, scale=(1.0,) * count, **given)


def view(given: SeriesSchema | None = None, classes: int = 1, policy: str = "", static: str = "condition", changes=0.3):
    return SeriesView(given or schema(), classes, policy, static, changes)


def batch(rows: int = 64, features: int = 2, **fields) -> Batch:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 8, features, generator=generator) * torch.tensor([3.0, 0.1])[:features] + 5
    length = 4 + torch.arange(rows) % 5
    x = x * (torch.arange(8) < length[:, None])[:, :, None]
    return {"x": x, "length": length, "y": torch.arange(rows) % 2, **fields}


@pytest.mark.parametrize("stride", [1, 2])
def test_series_of_any_length_are_as_long_as_they_are_asked_for(stride: int) -> None:
    model = R3GAN(schema(fixed=True), widths=[8], blocks=1, stride=stride, dense=stride == 2)
    for length in range(8, 20):
        latent = model.latent(torch.arange(2), 0, length=length)
        assert model.sample(latent, torch.zeros(2, dtype=torch.long), length=length)["x"].shape == (2, length, 2)


def test_a_share_that_was_rounded_to_one_draws_the_last_row() -> None:
    one, y = view(), torch.zeros(3, dtype=torch.long)
    one.see({**batch(3), "y": y})
    length, _ = one.frames.draw(torch.tensor([0.0, 1.0]), y[:2])
    assert length.tolist() == [4, 6]
    many = one.frames.rows
    one.see({"length": torch.full((many,), 7), "y": y[:1].expand(many)})
    assert one.frames.draw(torch.ones(1), y[:1])[0].tolist() == [7]


def test_units_are_those_of_what_was_measured() -> None:
    rows, one = batch(), view()
    observed = (torch.rand(64, 8, 2, generator=torch.Generator().manual_seed(1)) < 0.8).float()
    rows["observed"] = observed * (torch.arange(8) < rows["length"][:, None])[:, :, None]
    one.learn([{name: field[part] for name, field in rows.items()} for part in (slice(0, 10), slice(10, 64))])
    x, known = rows["x"].numpy().astype(float), rows["observed"].numpy() > 0
    for c in range(2):
        values = x[:, :, c][known[:, :, c]]
        assert one.units.mean[c].item() == pytest.approx(values.mean(), rel=1e-5)
        assert one.units.deviation[c].item() == pytest.approx(values.std(), rel=1e-4)
        both = known[:, 1:, c] & known[:, :-1, c]
        changes = np.diff(x[:, :, c], axis=1)[both] / values.std()
        assert one.units.change[c].item() == pytest.approx(np.sqrt((changes**2).mean()), rel=1e-4)
    before = one.units.mean.clone()
    one.learn([batch(rows=4)])
    assert torch.equal(one.units.mean, before)  # once


def test_the_discriminator_sees_values_and_changes_of_the_steps_that_there_are() -> None:
    rows, one = batch(), view()
    one.learn([rows])
    made = one.rows(rows)
    seen = one.seen(made, rows, 1.0)
    assert seen.shape == (64, 5, 1, 8)  # two values, two changes, which steps there are
    values, changes, mask = seen[:, :2, 0], seen[:, 2:4, 0], seen[:, 4, 0]
    inside = torch.arange(8) < rows["length"][:, None]
    assert torch.equal(mask, inside.float())
    assert values.transpose(1, 2)[inside].std(0).tolist() == pytest.approx([1, 1], rel=0.01)
    assert changes[:, :, 0].eq(0).all()
    later = inside[:, 1:]
    size = changes[:, :, 1:].transpose(1, 2)[later].square().mean(0).sqrt()
    assert size.tolist() == pytest.approx([0.3, 0.3], rel=1e-4)
    torch.testing.assert_close(changes[:, :, 1:], made.diff() * later[:, None] * 0.3 / one.units.change)


@pytest.mark.parametrize("policy", ["", "shift,scale,offset,cutout"])
def test_what_lies_beyond_the_end_or_was_not_measured_is_not_seen_and_has_no_gradient(policy: str) -> None:
    rows, one = batch(), view(policy=policy)
    rows["observed"] = (torch.rand(64, 8, 2) < 0.7).float() * (torch.arange(8) < rows["length"][:, None])[:, :, None]
    one.learn([rows])

    def seen(x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(3)
        return one.seen(x, rows, 0.8)

    x = one.rows(rows).clone().requires_grad_()
    hidden = rows["observed"].transpose(1, 2) == 0
    assert torch.equal(seen(x), seen(torch.where(hidden, 100.0, x)))
    (gradient,) = torch.autograd.grad(seen(x).square().sum(), x)
    assert gradient[hidden].eq(0).all()
    assert gradient[~hidden].ne(0).any()


def test_generated_rows_are_shown_as_those_beside_them() -> None:
    """Same ends: 0 from the end on, so that there is nothing to tell them by."""
    rows, one = batch(), view()
    one.learn([rows])
    made = one.made(torch.randn(64, 2, 1, 8), rows)
    outside = torch.arange(8) >= rows["length"][:, None]
    assert made.transpose(1, 2)[outside].eq(0).all()
    given = one.given(rows, (1, 8))
    assert torch.equal(given[:, 0, 0] == 0, outside)
    assert view(schema(fixed=True)).given(rows, (1, 8)) is None


def test_numbers_of_a_bounded_schema_stay_in_its_range_and_near_the_mean_are_as_they_are() -> None:
    rows, limited = batch(), view(schema(fixed=True))
    rows["x"], rows["length"] = torch.rand(64, 8, 2) * torch.tensor([1.0, 0.01]), torch.full((64,), 8)
    limited.learn([rows])
    raw = torch.linspace(-50, 50, 64 * 16).view(64, 2, 1, 8)
    values = limited.made(raw, rows) * limited.units.deviation + limited.units.mean
    assert values.min() >= -1e-6
    assert values.max() <= 1 + 1e-6
    near = 1e-3 * torch.randn(64, 2, 1, 8)
    torch.testing.assert_close(limited.made(near, rows), near[:, :, 0], rtol=1e-2, atol=1e-5)
    free = view(schema(fixed=True, scaler="standard"))
    free.learn([rows])
    torch.testing.assert_close(free.made(raw, rows), raw[:, :, 0])


def test_words_are_shares_and_samples_have_one_of_them() -> None:
    worded = schema(columns=("a", "kind"), categories=((), ("x", "y", "z")))
    one = view(worded)
    x = torch.cat([torch.randn(64, 8, 1), torch.eye(3)[torch.randint(0, 3, (64, 8))]], dim=2)
    rows = {"x": x, "length": torch.full((64,), 8), "y": torch.zeros(64, dtype=torch.long)}
    one.learn([rows])
    assert set(one.rows(rows)[:, 1:].unique().tolist()) == {-1.0, 1.0}
    made = one.made(torch.randn(64, 4, 1, 8), rows)
    assert (made[:, 1:] + 1).div(2).sum(1).allclose(torch.ones(64, 8))
    sample = one.batch(made, {"y": rows["y"], "length": rows["length"]})["x"][:, :, 1:]
    assert sample.sum(2).eq(1).all()
    assert torch.equal(sample.argmax(2), made[:, 1:].argmax(1))


def test_attributes_that_are_generated_do_not_change_and_come_back() -> None:
    told = schema(
        static=("w", "kind"),
        static_dtypes=("float64", "str"),
        static_offset=(0.0, 0.0),
        static_scale=(1.0, 1.0),
        static_categories=((), ("p", "q")),
    )
    rows = batch(static=torch.cat([torch.rand(64, 1), torch.eye(2)[torch.arange(64) % 2]], dim=1))
    one = view(told, static="generate")
    assert one.channels == 5
    assert one.width == 0
    one.learn([rows])
    made = one.made(torch.randn(64, 5, 1, 8), rows)
    inside = (torch.arange(8) < rows["length"][:, None])[:, None].expand(-1, 3, -1)
    assert torch.where(inside, made[:, 2:], made[:, 2:, :1]).std(2).max() < 1e-6
    back = one.batch(one.rows(rows), {"y": rows["y"], "length": rows["length"]})
    torch.testing.assert_close(back["static"], rows["static"])
    torch.testing.assert_close(back["x"], rows["x"], atol=1e-5, rtol=1e-5)
    seen = one.seen(one.rows(rows), rows, 1.0)
    assert seen[:, 7:10].eq(0).all()  # attributes have no changes

    asked = view(told, classes=2)
    assert asked.width == 2 + 3
    condition = asked.condition(rows)
    assert torch.equal(condition, torch.cat([torch.eye(2)[rows["y"]], rows["static"]], dim=1))


def test_constant_columns_and_first_intervals_are_as_in_the_data() -> None:
    timed = schema(columns=("gap", "b"), intervals=True, fixed=True)
    rows = batch()
    rows["x"] = torch.stack([torch.rand(64, 8).cumsum(1), torch.full((64, 8), 0.7)], dim=2)
    rows["x"][:, 0, 0] = 0
    rows["length"] = torch.full((64,), 8)
    one = view(timed)
    one.learn([rows])
    assert math.isclose(float(one.rows(rows)[:, 1].abs().max()), 0.0)
    made = one.made(torch.randn(64, 2, 1, 8), rows)
    assert made[:, 1].eq(0).all()
    back = one.batch(made, {"y": rows["y"], "length": rows["length"]})["x"]
    assert back[:, 0, 0].abs().max() < 1e-6
    torch.testing.assert_close(back[:, :, 1], rows["x"][:, :, 1])


@pytest.mark.parametrize("static", ["condition", "generate"])
def test_a_table_with_words_gaps_attributes_and_times_of_its_own(static: str, tmp_path: Path) -> None:
    rng, rows = np.random.default_rng(0), []
    for k in range(24):
        times = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.cumsum(rng.integers(5, 900, 9)), unit="s")
        for step in range(4 + k % 6):
            pulse = round(70 + rng.normal(), 1) if rng.random() > 0.2 else ""
            mood, ward, label = ("calm", "tense", "asleep")[(k + step) % 3], "AB"[k % 2], ("ill", "well")[k // 2 % 2]
            rows.append([f"p{k}", times[step].isoformat(), pulse, mood, int(rng.integers(1, 4)), 30 + k, ward, label])
    names = ["patient", "time", "pulse", "mood", "beds", "age", "ward", "label"]
    pd.DataFrame(rows, columns=names).to_csv(tmp_path / "ward.csv", index=False)
    columns = {
        "id_column": "patient",
        "time_column": "time",
        "label_column": "label",
        "static_columns": ["age", "ward"],
    }
    data = SeriesFile(tmp_path / "ward.csv", **columns, irregular=True, missing="mask", batch_size=8)
    model = R3GAN(data.schema, widths=[8], blocks=1, static=static, augment="shift,scale,cutout")
    trainer(3).fit(model, data)
    made = model.sample(model.latent(torch.arange(6), 0), torch.arange(6) % 2)
    table = data.schema.frame(np.arange(6), {name: field.cpu() for name, field in made.items()})
    assert list(table) == names
    assert not table.isna().any(axis=None)
    assert set(table["mood"]) <= {"calm", "tense", "asleep"}
    assert set(table["ward"]) <= {"A", "B"}
    assert table["beds"].dtype.kind == "i"
    assert table["beds"].between(1, 3).all()
    for _, series in table.groupby("patient"):
        assert pd.to_datetime(series["time"]).is_monotonic_increasing
        assert series[["age", "ward", "label"]].nunique().eq(1).all()
