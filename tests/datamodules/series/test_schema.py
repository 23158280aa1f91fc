import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from datamodules import Schema
from datamodules.series.base import SeriesModule, SeriesRows, fit_scaler
from datamodules.series.schema import SeriesSchema
from tests.datamodules.images.test_images import refused

SKLEARN = {"min_max": MinMaxScaler, "standard": StandardScaler, "robust": RobustScaler}


def schema(**options) -> SeriesSchema:
    known = {"columns": ("a", "b"), "dtypes": ("float64", "int16"), "offset": (1.0, -2.0), "scale": (4.0, 10.0)}
    return SeriesSchema(**known | {"length": 3} | options)


class Rows(SeriesModule):
    """A source of given rows."""

    def __init__(self, rows, test=None, columns=("a", "b"), fields=None, **options):
        super().__init__(**options)
        self.describe(rows, test, columns, **(fields or {}))


def rows(n=40, steps=5, seed=0, **fields) -> SeriesRows:
    values = np.random.default_rng(seed).normal(size=(n, steps, 2)) * (3, 200) + (5, -7)
    known = {"values": values, "length": np.full(n, steps), "y": np.zeros(n, dtype=np.int64)}
    return SeriesRows(**known | fields)


# ---- scalers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaler", ["min_max", "standard", "robust"])
def test_scalers_are_those_of_scikit_learn(scaler):
    values = np.random.default_rng(0).gamma(2.0, size=(500, 3)) * (1, 1e6, 1e-6) + (0, 1e3, -5)
    offset, scale = fit_scaler(values, scaler, ["a", "b", "c"])
    np.testing.assert_allclose((values - offset) / scale, SKLEARN[scaler]().fit_transform(values), rtol=1e-6, atol=1e-9)
    holes = np.concatenate([values, np.full((7, 3), np.nan)])
    assert fit_scaler(holes, scaler, ["a", "b", "c"]) == (offset, scale)


@pytest.mark.parametrize("scaler", ["min_max", "standard", "robust"])
@pytest.mark.parametrize("value", [0.0, 1e9, 0.1, -3.3])
def test_constant_columns_become_0_and_come_back(scaler, value):
    offset, scale = fit_scaler(np.full((33, 1), value), scaler, ["a"])
    assert scale == (1.0,)
    described = schema(columns=("a",), dtypes=("float64",), offset=offset, scale=scale)
    x = described.encode(np.full((1, 3, 1), value), np.array([3]))
    assert x.abs().max() <= abs(value) * 1e-15
    np.testing.assert_allclose(described.decode(x), value, rtol=1e-15)


def test_columns_that_hardly_ever_change_are_scaled_by_their_deviation():
    values = np.array([[0.0]] * 90 + [[1.0]] * 10)
    assert fit_scaler(values, "robust", ["a"]) == ((0.0,), (pytest.approx(0.3),))


# ---- encode and decode -----------------------------------------------------------------------------------------------


def test_encode_is_the_formula_and_0_beyond_the_length():
    values = np.array([[[1.0, -2], [5, 8], [np.nan, np.inf]]])
    x = schema().encode(values, np.array([2]))
    assert x.tolist() == [[[0, 0], [1, 1], [0, 0]]]
    assert x.dtype == torch.float32
    np.testing.assert_array_equal(schema().decode(x)[0, :2], values[0, :2])


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("uint8", 0, 255), ("int16", -(2**15), 2**15 - 1), ("bool", 0, 1), ("int64", None, None)]
)
def test_integers_are_rounded_and_stay_in_their_range(dtype, low, high):
    described = schema(columns=("a",), dtypes=(dtype,), offset=(0.0,), scale=(1.0,))
    found = described.decode(torch.tensor([[[0.4], [0.6], [-1e30], [1e30]]]))[0, :, 0]
    assert found[:2].tolist() == [0, 1]
    cast = found.astype(dtype)  # without overflow
    assert cast[2] <= 0 < cast[3]
    if low is not None:
        # The greatest float below the limit, not the limit: of 64 bits the limit itself has no float.
        assert int(cast[2]) == low
        assert int(cast[3]) in (high, high - 1)


def test_attributes_are_numbers_in_the_unit_interval_or_one_of_many():
    described = schema(
        static=("age", "town", "on"),
        static_dtypes=("int64", "object", "bool"),
        static_offset=(20.0, 0.0, 0.0),
        static_scale=(40.0, 1.0, 1.0),
        static_categories=((), ("p", "q"), ()),
    )
    values = [np.array([20, 50]), np.array(["q", "p"], dtype=object), np.array([True, False])]
    static = described.encode_static(values)
    assert static.tolist() == [[0, 0, 1, 1], [0.75, 1, 0, 0]]
    assert described.static_width == 4
    found = described.decode_static(static + 0.01)
    assert [column.tolist() for column in found] == [column.tolist() for column in values]
    assert [str(column.dtype) for column in found] == ["int64", "object", "bool"]
    refused(
        lambda: described.encode_static([values[0], np.array(["q", "z"]), values[2]]), "town 'z' is not one of 'p', 'q'"
    )


def test_a_schema_survives_json():
    static = {"dtypes": ("object",), "offset": (0.0,), "scale": (1.0,), "categories": (("猫", "b"),)}
    described = schema(static=("t",), **{f"static_{field}": value for field, value in static.items()}, classes=("u",))
    assert Schema.from_dict(json.loads(json.dumps(described.to_dict()))) == described


# ---- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "frequency", "expected"),
    [
        ("0", "1", [0, 1, 2]),
        ("5", "0.5", [5.0, 5.5, 6.0]),
        ("2020-01-31", "D", pd.to_datetime(["2020-01-31", "2020-02-01", "2020-02-02"]).tolist()),
        ("2020-01-01", "MS", pd.to_datetime(["2020-01-01", "2020-02-01", "2020-03-01"]).tolist()),
    ],
)
def test_times_go_on_from_the_start(start, frequency, expected):
    times = schema(time="t", start=start, frequency=frequency).times(3)
    assert pd.Index(times).tolist() == expected


def test_a_frame_has_a_row_a_step():
    described = schema(classes=("u", "v"), id_column="who", label_column="kind")
    x = torch.zeros(2, 3, 2)
    x[0, 1] = torch.tensor([0.25, 0.16])
    batch = {"x": x, "length": torch.tensor([2, 1]), "y": torch.tensor([1, 0])}
    frame = described.frame(np.array([7, 3]), batch)
    wanted = pd.DataFrame(
        {
            "who": [7, 7, 3],
            "step": [0, 1, 0],
            "a": [1.0, 2.0, 1.0],
            "b": np.array([-2, 0, -2], dtype="int16"),
            "kind": np.array(["v", "v", "u"], dtype=object),
        }
    )
    pd.testing.assert_frame_equal(frame, wanted, check_dtype=False)
    assert str(frame["b"].dtype) == "int16"


def test_times_add_up_from_intervals_and_never_run_backwards():
    for start, unit in (("10", 1.0), ("2020-01-01", pd.Timedelta("1s"))):
        described = schema(columns=("interval", "b"), intervals=True, time="t", start=start, offset=(0.0, 0.0))
        x = torch.tensor([[[9.0, 0], [0.25, 0], [-5.0, 0], [0.5, 0]]])
        frame = described.frame(np.arange(1), {"x": x, "length": torch.tensor([4]), "y": torch.zeros(1).long()})
        zero = float(start) if start == "10" else pd.Timestamp(start)
        assert frame["t"].tolist() == [zero, zero + 1 * unit, zero + 1 * unit, zero + 3 * unit]
        assert "interval" not in frame


# ---- modules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaler", ["min_max", "standard", "robust"])
def test_scalers_see_the_training_rows_alone(scaler):
    source = rows()
    module = Rows(source, scaler=scaler)
    module.setup()
    train, val, test = module.partition(source.y, False)
    assert sorted([*train, *val, *test]) == list(range(40))
    reference = SKLEARN[scaler]().fit(source.values[train].reshape(-1, 2))
    for split, numbers in (("train", train), ("val", val), ("test", test)):
        wanted = reference.transform(source.values[numbers].reshape(-1, 2)).reshape(-1, 5, 2)
        np.testing.assert_allclose(getattr(module, split).fields["x"], wanted, atol=1e-5)


def test_what_was_filled_in_or_lies_beyond_the_end_does_not_count():
    source = rows(length=np.full(40, 3), observed=np.ones((40, 5, 2), dtype=bool))
    source.values[:, 3:] = 1e6
    source.values[:, 1, 0], source.observed[:, 1, 0] = -1e6, False
    module = Rows(source)
    assert max(map(abs, module.schema.offset + module.schema.scale)) < 2000
    fields = module.load()[0].fields
    assert fields["observed"].dtype == torch.float32
    assert fields["observed"][0].tolist() == [[1, 1], [0, 1], [1, 1], [0, 0], [0, 0]]
    source.observed[..., 1] = False
    refused(lambda: Rows(source), "the column b has no value in the training split")


def test_a_longer_test_split_lengthens_all():
    module = Rows(rows(), rows(9, steps=8, seed=1))
    module.setup()
    assert module.schema.length == 8
    assert not module.schema.fixed
    assert module.train.fields["x"].shape[1:] == module.test.fields["x"].shape[1:] == (8, 2)
    assert module.train.fields["x"][:, 5:].abs().max() == 0
    assert len(module.train) + len(module.val) == 40


def test_attributes_are_scaled_by_the_training_rows():
    age = np.arange(40) * 2
    fields = {"static": ("age",), "static_dtypes": ("int64",), "static_categories": ((),)}
    module = Rows(rows(static=[age]), fields=fields)
    module.setup()
    static = module.train.fields["static"]
    assert (static.min(), static.max()) == (0, 1)
    assert module.schema.decode_static(module.load()[0].fields["static"])[0].tolist() == age.tolist()


def test_an_unknown_scaler_is_refused():
    refused(lambda: Rows(rows(), scaler="log"), "scaler must be min_max, standard or robust, not 'log'")
