"""Series as another sensor writes them."""

import pytest
import torch

from datamodules.series.schema import SeriesSchema
from ganaug.shifts.series import SHIFTS

LENGTH = torch.tensor([12, 7, 1, 12, 2, 9])


def series(intervals: bool = False) -> tuple[SeriesSchema, dict[str, torch.Tensor]]:
    """Columns: perhaps the time since the step before, a curve, a word of three, true or false."""
    names = (*(["gap"] if intervals else []), "curve", "word", "on")
    extra = {"time": "t", "intervals": True} if intervals else {}
    schema = SeriesSchema(
        columns=names,
        dtypes=(*(["float64"] if intervals else []), "float64", "object", "bool"),
        offset=(0.0,) * len(names),
        scale=(1.0,) * len(names),
        categories=tuple(("u", "v", "w") if name == "word" else () for name in names),
        length=12,
        fixed=False,
        classes=("a", "b"),
        static=("age",),
        static_dtypes=("float64",),
        static_offset=(0.0,),
        static_scale=(1.0,),
        static_categories=((),),
        **extra,
    )
    torch.manual_seed(0)
    count, steps = len(LENGTH), torch.arange(12.0)
    curve = torch.sin(steps + torch.rand(count, 1))[:, :, None]
    word = torch.eye(3)[torch.randint(3, (count, 12))]
    on = torch.randint(2, (count, 12, 1)).float()
    inside = (steps < LENGTH[:, None])[:, :, None]
    x = torch.cat([*([torch.rand(count, 12, 1)] if intervals else []), curve, word, on], 2) * inside
    observed = (torch.rand(x.shape) < 0.8) * inside.float()
    return schema, {"x": x, "length": LENGTH, "y": torch.arange(count) % 2, "static": torch.rand(count, 1),
                    "observed": observed, "row": torch.arange(count)}  # fmt: skip


@pytest.mark.parametrize("name", SHIFTS)
@pytest.mark.parametrize("intervals", [False, True])
def test_rows_stay_rows(name: str, intervals: bool) -> None:
    schema, rows = series(intervals)
    before = rows["x"].clone()
    found = SHIFTS[name](rows, schema, 3)
    first = int(intervals)
    assert torch.equal(rows["x"], before)
    assert found.keys() == rows.keys()
    for field in ("length", "y", "static", "row"):
        assert torch.equal(found[field], rows[field])
    beyond = torch.arange(12) >= LENGTH[:, None]
    assert not bool(found["x"][beyond].any())
    assert not bool(found["observed"][beyond].any())
    assert set(found["observed"].unique().tolist()) <= {0.0, 1.0}
    words = found["x"][:, :, first + 1 : first + 4]
    assert torch.equal(words.sum(2), (~beyond).float()), "one word in each step"
    assert set(found["x"][:, :, -1].unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(found["x"][:, :, :first], before[:, :, :first]), "times stay"
    assert bool((found["x"][0, :, first] != before[0, :, first]).any())
    assert torch.equal(SHIFTS[name](rows, schema, 3)["x"], found["x"])
    plain = {field: rows[field] for field in ("x", "length", "y")}
    assert torch.equal(SHIFTS[name](plain, schema, 3)["x"], found["x"])


def test_a_lost_step_repeats_the_one_before_and_is_not_observed() -> None:
    schema, rows = series()
    rows["observed"] = (torch.arange(12) < LENGTH[:, None])[:, :, None].expand(rows["x"].shape).float()
    found = SHIFTS["loss"].change(rows, schema, 0.5)
    lost = (found["observed"][:, :, 0] == 0) & (torch.arange(12) < LENGTH[:, None])
    assert 5 < int(lost.sum()) < 40
    assert not bool(lost[:, 0].any())
    row, step = lost.nonzero().T
    assert torch.equal(found["x"][row, step], found["x"][row, step - 1])
    kept = ~lost
    assert torch.equal(found["x"][kept], rows["x"][kept])


def test_a_lower_rate_keeps_every_so_manieth_step_and_reads_between() -> None:
    schema, rows = series()
    found = SHIFTS["rate"].change(rows, schema, 3)["x"]
    for step in (0, 3, 6, 9, 11):
        assert torch.equal(found[0, step], rows["x"][0, step])
    between = rows["x"][0, 3, 0] + (rows["x"][0, 6, 0] - rows["x"][0, 3, 0]) / 3
    assert float(found[0, 4, 0]) == pytest.approx(float(between))
    assert torch.equal(found[0, 4, 1:], rows["x"][0, 3, 1:])


def test_drift_ends_a_deviation_away() -> None:
    schema, rows = series()
    inside = torch.arange(12) < LENGTH[:, None]
    away = (SHIFTS["drift"].change(rows, schema, 1.0)["x"] - rows["x"])[:, :, 0]
    deviation = float(rows["x"][:, :, 0][inside].std(correction=0))
    assert away[:, 0].tolist() == [0.0] * 6
    assert away[0, 11].abs().item() == pytest.approx(deviation, rel=1e-5)
    assert away[1, 6].abs().item() == pytest.approx(deviation, rel=1e-5)
