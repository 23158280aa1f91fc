import numpy as np
import pytest
import torch

from datamodules import GANDataModule, InputError
from datamodules.series.arrays import SeriesArrays, fill
from tests.data_contract import class_counts
from tests.datamodules.images.test_images import refused
from tests.datamodules.series.test_file import SeriesContract


def write(path, **arrays):
    np.savez(path, **arrays)
    return path


def values(n: int = 60, steps: int = 7, features: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, steps, features))


def padded(x: np.ndarray, length: np.ndarray) -> np.ndarray:
    """NaN from the length of each series on."""
    return np.where((np.arange(x.shape[1]) < length[:, None])[:, :, None], x, np.nan)


class TestUnivariate(SeriesContract):
    def make(self, tmp_path, **options) -> GANDataModule:
        return SeriesArrays(write(tmp_path / "a.npz", x=values()[..., 0], y=np.arange(60) % 3), **options)


class TestOwnTest(SeriesContract):
    def make(self, tmp_path, **options) -> GANDataModule:
        arrays = {"x_train": values(40), "x_test": values(20, 9, seed=1), "layout": "NTF"}
        labels = {"y_train": np.array(["u", "坐"] * 20), "y_test": np.array(["坐", "u"] * 10)}
        lengths = {"len_train": np.arange(40) % 7 + 1, "len_test": np.arange(20) % 9 + 1}
        return SeriesArrays(write(tmp_path / "a.npz", **arrays, **labels, **lengths), **options)


class TestMasked(SeriesContract):
    def make(self, tmp_path, **options) -> GANDataModule:
        x = values()
        x[::3, 2, 1] = np.nan
        return SeriesArrays(write(tmp_path / "a.npz", x=x), layout="NTF", missing="mask", **options)


@pytest.mark.parametrize("scaler", ["min_max", "standard", "robust"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8", "bool"])
def test_values_come_back_in_their_type(tmp_path, scaler, dtype):
    x = (values(30, features=3) * 40 + 128).clip(0, 255).astype(dtype)
    module = SeriesArrays(write(tmp_path / "a.npz", x=np.moveaxis(x, 1, 2)), layout="NFT", scaler=scaler)
    schema = module.schema
    assert (schema.columns, schema.dtypes, schema.length, schema.fixed) == (("x0", "x1", "x2"), (dtype,) * 3, 7, True)
    frame = schema.frame(np.arange(30), module.load()[0].fields)
    found = frame[["x0", "x1", "x2"]].to_numpy().reshape(30, 7, 3)
    assert set(map(str, frame.dtypes[["x0", "x1", "x2"]])) == {dtype}
    if dtype.startswith("float"):
        np.testing.assert_allclose(found, x, rtol=1e-6, atol=1e-4)
    else:
        np.testing.assert_array_equal(found, x)


def test_the_layout_is_asked_for_and_may_lie_in_the_file(tmp_path):
    x = values(12, 5, 5)
    file = write(tmp_path / "a.npz", x=x)
    refused(lambda: SeriesArrays(file), f"{file}: x has shape (12, 5, 5)", "set layout to NTF", "NFT")
    refused(lambda: SeriesArrays(file, layout="TNF"), "layout must be NTF or NFT or null, not 'TNF'")
    for layout in ("NTF", "NFT"):
        wanted = x if layout == "NTF" else x.transpose(0, 2, 1)
        inside = write(tmp_path / "b.npz", x=x, layout=layout)
        for module in (SeriesArrays(file, layout=layout), SeriesArrays(inside)):
            np.testing.assert_allclose(module.schema.decode(module.load()[0].fields["x"]), wanted, atol=1e-5)


@pytest.mark.parametrize("name", [None, "lengths", "length", "len"])
def test_lengths_are_given_or_seen(tmp_path, name):
    length = np.arange(12) % 5 + 1
    x = padded(values(12, 5), length)
    file = write(tmp_path / "a.npz", x=x, layout="NTF", **({} if name is None else {name: length}))
    module = SeriesArrays(file)
    fields = module.load()[0].fields
    assert fields["length"].tolist() == length.tolist()
    assert not module.schema.fixed
    inside = np.arange(5) < length[:, None]
    np.testing.assert_allclose(module.schema.decode(fields["x"])[inside], x[inside], atol=1e-6)
    assert fields["x"][~torch.from_numpy(inside)].abs().max() == 0


def test_names_in_the_file(tmp_path):
    file = write(
        tmp_path / "a.npz",
        x=values(6),
        layout="NTF",
        columns=["a", "温度"],
        y=[2, 0, 2, 0, 0, 2],
        classes=["p", "q", "r"],
    )
    module = SeriesArrays(file)
    assert (module.schema.columns, module.schema.classes) == (("a", "温度"), ("p", "q", "r"))
    module.setup()
    assert class_counts(module)[1] == 0
    univariate = SeriesArrays(write(tmp_path / "b.npz", x=values(6)[..., 0], y=[-1, 1] * 3))
    assert (univariate.schema.columns, univariate.schema.classes) == (("value",), ("-1", "1"))


def test_missing_values_are_filled_or_masked(tmp_path):
    x = np.arange(24.0).reshape(2, 4, 3)
    holes = x.copy()
    holes[0, 1, 0] = holes[1, 0, 2] = holes[1, 3, 1] = np.nan
    file = write(tmp_path / "a.npz", x=holes, layout="NTF")
    refused(lambda: SeriesArrays(file), f"{file}: x, row 0, step 1, column x0: no value")
    wanted = x.copy()
    wanted[1, 0, 2], wanted[1, 3, 1] = x[1, 1, 2], x[1, 2, 1]
    for missing in ("interpolate", "mask"):
        fields = (module := SeriesArrays(file, missing=missing)).load()[0].fields
        np.testing.assert_allclose(module.schema.decode(fields["x"]), wanted, atol=1e-5)
        assert ("observed" in fields) == (missing == "mask")
    np.testing.assert_array_equal(fields["observed"], ~np.isnan(holes))


def test_filling_is_linear_in_time():
    nan = np.nan
    column = np.array([[nan], [0.0], [nan], [9.0], [5.0], [nan]])
    seen = fill(column, np.array([0, 4, 6]), "mask", lambda row, _: str(row), np.array([0, 1, 2, 4, 0, 1]))
    assert column.ravel().tolist() == [0, 0, 3, 9, 5, 5]
    assert seen.ravel().tolist() == [False, True, False, True, True, False]


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"z": values()}, ["no array x, nor x_train: the file holds z"]),
        ({"x": values()[:, 0, 0]}, ["x has shape (60,): series are"]),
        ({"x": values(0)}, ["there are no series in it"]),
        ({"x": np.full((3, 4), "a")}, ["x holds text: arrays of series are numbers; columns of words", ".csv"]),
        ({"x": np.full((3, 4), None)}, ["x holds Python objects", "words are read from tables, such as a .csv"]),
        ({"x": values(3), "layout": "NHWC"}, ["layout must be NTF or NFT, not 'NHWC'"]),
        ({"x": values(3), "layout": "NTF", "columns": ["a"]}, ["columns holds 1 names for 2 columns"]),
        ({"x": values(3), "layout": "NTF", "columns": ["a", "a"]}, ["columns names a twice"]),
        ({"x": values(3), "layout": "NTF", "lengths": [1, 0, 2]}, ["series in row 1 of x has length 0: at least 1"]),
        ({"x": values(3), "layout": "NTF", "lengths": [1, 8, 2]}, ["series in row 1 of x has length 8", "at most 7"]),
        ({"x": values(3), "layout": "NTF", "lengths": [1, 2]}, ["lengths is int64 of shape (2,)", "each of 3 series"]),
        ({"x": values(3), "layout": "NTF", "len": [1.0, 2.0, 3.0]}, ["len is float64"]),
        ({"x": np.where(np.arange(3)[:, None] == 1, np.nan, np.ones((3, 4)))}, ["row 1 of x has length 0"]),
        ({"x": np.where(np.arange(4) == 2, np.inf, np.ones((3, 4)))}, ["x, row 0, step 2, column value: inf"]),
        ({"x": values(3)[..., 0], "y": [1, 2]}, ["x has 3 rows and y has shape (2,)"]),
        ({"x": values(3)[..., 0], "y": [1, 2.5, 3]}, ["y has 2.5 in row 1"]),
        (
            {"x_train": values(3)[..., 0], "x_test": values(2)[..., 0], "y_train": [0, 1, 1], "y_test": [0, 2]},
            ["the class 2 is in y_test and not in y_train"],
        ),
        (
            {"x_train": values(3), "x_test": values(3, features=3), "layout": "NTF"},
            ["x_train and x_test hold 2 and 3 columns"],
        ),
        (
            {"x_train": np.ones((2, 3)), "x_test": np.array([[1.0, np.nan, 2], [1, 2, 3]])},
            ["x_test, row 0, step 1, column value: no value"],
        ),
    ],
)
def test_bad_input_is_one_line_with_its_place(tmp_path, arrays, expected):
    file = write(tmp_path / "a.npz", **arrays)
    assert refused(lambda: SeriesArrays(file), *expected).startswith(str(file))


def test_other_bad_input(tmp_path):
    refused(lambda: SeriesArrays(tmp_path / "none.npz"), "no file")
    (tmp_path / "a.npz").write_bytes(b"PK")
    refused(lambda: SeriesArrays(tmp_path / "a.npz"), "not a .npz file")
    file = write(tmp_path / "b.npz", x=values(9)[..., 0], y=np.zeros(9, int))
    refused(lambda: SeriesArrays(file, missing="drop"), "missing must be raise, interpolate or mask, not 'drop'")
    with pytest.warns(UserWarning, match="all series are of one class, 0"):
        SeriesArrays(file)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_the_ends_of_a_type_come_back(tmp_path, dtype):
    limits = np.iinfo(dtype)
    x = np.abs(values(30, features=1)).astype(dtype)
    exact = 2**53  # float64 has no more digits
    x[0, 0], x[0, 1] = max(limits.min, -exact), min(limits.max, exact)
    schema = SeriesArrays(write(tmp_path / "a.npz", x=x), layout="NTF").schema
    found = schema.frame(np.arange(30), {"x": schema.encode(x.astype(float), np.full(30, 7))} | rest(30))["value"]
    assert found.dtype == dtype
    assert found[:2].tolist() == x[0, :2, 0].tolist()
    if limits.bits == 64:
        x[0, 1] = limits.max
        refused(lambda: SeriesArrays(write(tmp_path / "b.npz", x=x), layout="NTF"), str(limits.max), "too large")


def rest(n: int) -> dict:
    return {"length": torch.full((n,), 7), "y": torch.zeros(n, dtype=torch.long)}


def test_splits_of_its_own_are_used_and_other_arrays_named(tmp_path, caplog):
    arrays = {"x": values(30), "x_val": values(8, seed=1), "x_test": values(10, 9, seed=2), "notes": np.arange(3)}
    with caplog.at_level("INFO"):
        module = SeriesArrays(write(tmp_path / "a.npz", **arrays), layout="NTF")
    assert "splits of its own: train 30, val 8, test 10" in caplog.text
    assert "arrays that are not read: notes" in caplog.text
    module.setup()
    assert [len(part) for part in (module.train, module.val, module.test)] == [30, 8, 10]
    assert module.schema.length == 9
    scaled = module.schema.decode(module.val.fields["x"])[:, :7]
    np.testing.assert_allclose(scaled, arrays["x_val"], rtol=1e-5, atol=1e-6)
    both = write(tmp_path / "b.npz", x=values(), x_train=values())
    refused(lambda: SeriesArrays(both, layout="NTF"), "holds x and x_train")
    only = {"y_train": np.arange(30) % 2, "y_val": np.arange(8) % 3}
    two = write(tmp_path / "c.npz", x_train=values(30), x_val=values(8), **only)
    refused(lambda: SeriesArrays(two, layout="NTF"), "the class 2 is in y_val and not in y_train")


def test_arrays_of_any_byte_order_and_labels_of_numbers_in_words(tmp_path, caplog):
    x = values(30, features=1).astype(">f4")
    y = np.array([str(k % 11) for k in range(30)])
    module = SeriesArrays(write(tmp_path / "a.npz", x=x, y=y, layout=np.array([b"NTF"])))
    assert module.schema.dtypes == ("float32",)
    assert module.schema.classes == tuple(map(str, range(11)))
    long = SeriesArrays(write(tmp_path / "b.npz", x=values(30).astype(np.longdouble), layout="NTF"))
    assert long.schema.dtypes == ("float64", "float64")
    unnamed = write(tmp_path / "c.npz", x=x[..., 0], y=np.array(["a", ""] * 15))
    refused(lambda: SeriesArrays(unnamed), "y is empty in row 1")
    sizes = {"static_columns": ["size"], "static_0": np.array(["big", "big "] * 15)}
    braces = SeriesArrays(write(tmp_path / "{0.x}.npz", x=x[..., 0], **sizes))
    assert braces.schema.static_categories == (("big",),)
    blank = write(tmp_path / "{1.x}.npz", x=x[..., 0], static_columns=["size"], static_0=np.array(["big", " "] * 15))
    refused(lambda: SeriesArrays(blank), "static_0, row 1: the attribute is empty")
    with caplog.at_level("INFO"):
        SeriesArrays(write(tmp_path / "d.npz", x=x[..., 0], y=np.array(["cat", "Cat"] * 15)))
    assert "classes that may be meant as one: 'Cat' and 'cat'" in caplog.text


@pytest.mark.parametrize(
    "arrays",
    [
        {"columns": ["label", "b"], "y": np.arange(30) % 2},
        {"columns": ["step", "b"]},
        {"columns": ["series_id", "b"]},
        {"static_columns": ["label"], "static_0": np.arange(30), "y": np.arange(30) % 2},
    ],
)
def test_no_column_of_samples_is_two_things(tmp_path, arrays):
    with pytest.raises(ValueError, match=r"samples would have two columns (label|step|series_id)"):
        SeriesArrays(write(tmp_path / "a.npz", x=values(30), layout="NTF", **arrays))


def test_strings_may_be_bytes(tmp_path):
    x, site = values(), np.array(["é", "b"] * 30)
    arrays = {"static_columns": ["site"], "static_0": site, "columns": ["temp", "hum"], "y": site}
    write(tmp_path / "a.npz", x=x, **arrays)
    write(tmp_path / "b.npz", x=x, **{name: np.char.encode(np.array(words), "utf-8") for name, words in arrays.items()})
    plain, coded = (SeriesArrays(tmp_path / name, layout="NTF") for name in ("a.npz", "b.npz"))
    assert coded.schema == plain.schema
    assert coded.schema.static_categories == (("b", "é"),)


def test_test_rows_in_another_unit_are_refused(tmp_path):
    x = values()
    write(tmp_path / "a.npz", x_train=x * 1e-30, x_test=x * 1e12)
    with pytest.raises(InputError, match=r"x0: a value lies more than 1e38 times the range .*: is it in another unit"):
        SeriesArrays(tmp_path / "a.npz", layout="NTF").setup()
    write(tmp_path / "b.npz", x=np.stack([x[..., 0], x[..., 1] * 1e200], axis=2))
    with pytest.raises(InputError, match=r"^x1: values as large as .*: give them in another unit"):
        SeriesArrays(tmp_path / "b.npz", layout="NTF")
