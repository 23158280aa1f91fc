import builtins
import io

import numpy as np
import pandas as pd
import pytest
import torch
from jsonargparse import ArgumentParser

from datamodules import GANDataModule
from datamodules.files.manifest import write_manifest
from datamodules.series.file import SeriesFile
from datamodules.series.schema import SeriesSchema
from tests.data_contract import DataModuleContract, class_counts
from tests.datamodules.images.test_images import refused

LABELS = ("walk", "run", "坐")


def steps(n: int = 60, least: int = 5, most: int = 9, seed: int = 0) -> pd.DataFrame:
    """A table in long form: n series of different lengths, whose values say which series and step they are."""
    rng = np.random.default_rng(seed)
    length = rng.integers(least, most + 1, n)
    series = np.repeat(np.arange(n), length)
    step = np.concatenate([np.arange(k) for k in length])
    return pd.DataFrame(
        {
            "who": [f"s{i:03d}" for i in series],
            "t": step,
            "温度": series + step / 16,
            "count": (series * 7 + step) % 50,
            "label": [LABELS[i % 3] for i in series],
        }
    )


def write(path, content, **options):
    """The file, from a table, text or bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, pd.DataFrame):
        save = content.to_parquet if path.suffix == ".parquet" else content.to_csv
        save(path, index=False, **options)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def decoded(module: SeriesFile, table: int = 0) -> np.ndarray:
    return module.schema.decode(module.load()[table].fields["x"])


def ramp(n: int, **columns) -> pd.DataFrame:
    return pd.DataFrame({"v": np.arange(n) / 4, **columns})


# ---- the contract ----------------------------------------------------------------------------------------------------


class SeriesContract(DataModuleContract):
    """Scalers are fitted on the training rows, so that fewer are scaled in another way: rows are compared by number."""

    def test_per_class_keeps_that_many_and_leaves_the_rest_whole(self, tmp_path):
        whole, few = self.ready(tmp_path), self.ready(tmp_path, per_class=2)
        assert class_counts(few) == [2] * whole.schema.num_classes
        assert set(numbers(few, "train")) < set(numbers(whole, "train"))
        for split in ("val", "test"):
            assert numbers(few, split) == numbers(whole, split)

    def test_imbalance_thins_one_class(self, tmp_path):
        whole = self.ready(tmp_path)
        if not whole.schema.labelled:
            pytest.skip("no classes")
        rare = self.ready(tmp_path, imbalance={whole.schema.class_name(0): 0.4})
        before, after = class_counts(whole), class_counts(rare)
        assert after[0] == max(1, round(0.4 * before[0])) < before[0]
        assert after[1:] == before[1:]
        assert numbers(rare, "test") == numbers(whole, "test")


def numbers(module: GANDataModule, split: str) -> list[int]:
    return getattr(module, split).fields["row"].tolist()


class TestLong(SeriesContract):
    def make(self, tmp_path, **options) -> GANDataModule:
        file = write(tmp_path / "a.csv", steps())
        return SeriesFile(file, id_column="who", time_column="t", **options)


class TestWide(SeriesContract):
    def make(self, tmp_path, **options) -> GANDataModule:
        values = np.random.default_rng(0).normal(size=(60, 7))
        table = pd.DataFrame(values, columns=[f"h{k}" for k in range(7)]).assign(label=np.arange(60) % 3)
        return SeriesFile(write(tmp_path / "a.parquet", table), form="wide", **options)


@pytest.mark.filterwarnings("ignore:.*share steps")
class TestWindows(SeriesContract):
    def make(self, tmp_path, **options) -> GANDataModule:
        return SeriesFile(
            write(tmp_path / "a.csv", ramp(200, w=np.sin(np.arange(200)))), window=12, stride=3, **options
        )


class TestMasked(SeriesContract):
    def make(self, tmp_path, **options) -> GANDataModule:
        table = steps()
        table.loc[::5, "温度"] = np.nan
        file, test = write(tmp_path / "a.csv", table), write(tmp_path / "b.csv", steps(20, most=12, seed=1))
        return SeriesFile(file, test, id_column="who", time_column="t", missing="mask", **options)


# ---- what is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("scaler", ["min_max", "standard", "robust"])
def test_every_value_and_type_comes_back(tmp_path, ending, scaler):
    table = steps()
    table["small"] = table["count"].astype("int32")
    table["flag"] = table["count"] % 2 == 0
    table["single"] = table["温度"].astype("float32")
    shuffled = table.sort_values(["t", "who"], kind="stable")  # series need not stand one after another
    file = write(tmp_path / f"a.{ending}", shuffled)
    module = SeriesFile(file, id_column="who", time_column="t", scaler=scaler)
    schema, fields = module.schema, module.load()[0].fields
    wide = ending == "csv"  # a .csv has no types
    assert schema.columns == ("温度", "count", "small", "flag", "single")
    assert schema.dtypes == ("float64", "int64", "int64" if wide else "int32", "bool", "float64" if wide else "float32")
    assert (schema.id_column, schema.time, schema.start, schema.frequency) == ("who", "t", "0", "1")
    assert not schema.fixed

    frame = schema.frame(np.arange(60), fields)
    assert [str(frame[name].dtype) for name in schema.columns] == list(schema.dtypes)
    assert len(frame) == len(table)
    for name in ("t", "count", "small", "flag", "label"):
        assert frame[name].tolist() == table[name].tolist()
    for name in ("温度", "single"):
        np.testing.assert_allclose(frame[name], table[name], rtol=1e-6, atol=1e-5)
    assert schema.classes == tuple(sorted(LABELS))
    # All numbers of the training rows, and only those, were scaled by what they are like.
    module.setup()
    inside = torch.arange(schema.length) < module.train.fields["length"][:, None]
    seen = module.train.fields["x"][inside]
    if scaler == "min_max":
        assert seen.amin(0).tolist() == pytest.approx([0] * 5, abs=1e-6)
        assert seen.amax(0).tolist() == pytest.approx([1] * 5, abs=1e-6)
    elif scaler == "standard":
        assert seen.mean(0).tolist() == pytest.approx([0] * 5, abs=1e-5)
        assert seen.std(0, correction=0).tolist() == pytest.approx([1] * 5, abs=1e-5)


@pytest.mark.parametrize("lines", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_marks_line_ends_and_blank_lines_do_not_matter(tmp_path, lines, mark):
    content = mark + lines.join(["s,v,label", '"a",1,x', "", "a,2,x", "   ", "b,3,y", 'b,"4",y'])
    module = SeriesFile(write(tmp_path / "a.csv", content), id_column="s")
    assert decoded(module)[..., 0].tolist() == [[1, 2], [3, 4]]
    assert module.schema.classes == ("x", "y")


def test_wide_rows_are_series_in_the_order_of_the_columns(tmp_path):
    table = pd.DataFrame({"kind": ["b", "a"] * 6, "mon": range(12), "tue": range(12, 24), "wed": range(24, 36)})
    module = SeriesFile(write(tmp_path / "a.csv", table), form="wide", label_column="kind")
    assert decoded(module)[..., 0].tolist() == [[i, i + 12, i + 24] for i in range(12)]
    assert (module.schema.columns, module.schema.dtypes, module.schema.length) == (("value",), ("int64",), 3)
    assert module.load()[0].fields["y"].tolist() == [1, 0] * 6
    chosen = SeriesFile(tmp_path / "a.csv", form="wide", value_columns=["wed", "mon"])
    assert decoded(chosen)[0, :, 0].tolist() == [24, 0]
    cut = SeriesFile(tmp_path / "a.csv", form="wide", label_column="kind", window=2)
    assert decoded(cut)[:4, :, 0].tolist() == [[0, 12], [12, 24], [1, 13], [13, 25]]
    assert cut.load()[0].fields["y"].tolist() == [1, 1, 0, 0] * 6


@pytest.mark.filterwarnings("ignore:.*share steps")
def test_windows_are_all_of_the_series_at_the_stride(tmp_path):
    module = SeriesFile(write(tmp_path / "a.csv", ramp(25)), window=4, stride=3)
    expected = [[(3 * i + k) / 4 for k in range(4)] for i in range(8)]
    np.testing.assert_allclose(decoded(module)[..., 0], expected, atol=1e-6)
    assert module.schema.fixed
    table = pd.concat([ramp(5, s="a"), ramp(4, s="b")])
    module = SeriesFile(write(tmp_path / "b.csv", table), id_column="s", window=4)  # none reaches from a into b
    np.testing.assert_allclose(decoded(module)[..., 0] * 4, [[0, 1, 2, 3], [1, 2, 3, 4], [0, 1, 2, 3]], atol=1e-6)


def test_labels_that_change_are_left_out_and_counted(tmp_path, capsys, caplog):
    table = ramp(30, label=["a"] * 12 + ["b"] * 18)
    with caplog.at_level("INFO"):
        module = SeriesFile(write(tmp_path / "a.csv", table), window=4, stride=2)
    assert "1 of 14 windows hold a change of label" in caplog.text
    y = module.load()[0].fields["y"].tolist()
    assert y == [0] * 5 + [1] * 8
    assert decoded(module)[5, 0, 0] == pytest.approx(3.0)  # the window from step 12 on
    table["s"] = ["p"] * 15 + ["q"] * 15
    file = write(tmp_path / "b.csv", table)
    refused(lambda: SeriesFile(file, id_column="s"), f"{file}:14, column label", "within the series p", "set window")
    refused(lambda: SeriesFile(file, window=16, stride=14), "no window of 16 steps", "class a alone")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_spaces_around_labels_make_no_classes(tmp_path, ending, caplog):
    table = steps(20)
    table["label"] = [("ill", "ill ", "well", " well")[s % 4] for s in table["who"].str[1:].astype(int)]
    file = write(tmp_path / f"a.{ending}", table)
    with caplog.at_level("INFO"):
        assert SeriesFile(file, id_column="who").schema.classes == ("ill", "well")
    assert "labels have spaces around them, and are taken without: 'ill ', ' well'" in caplog.text
    table.loc[3, "label"] = "  "
    refused(lambda: SeriesFile(write(file, table), id_column="who"), str(file), "column label: the label is empty")


def test_words_stay_what_they_are(tmp_path):
    content = "id,v,label\n" + "".join(
        f"{i},{k},{label}\n" for i, label in (("01", "NA"), ("1", "None")) for k in (1, 2)
    )
    module = SeriesFile(write(tmp_path / "a.csv", content), id_column="id")
    assert len(module.load()[0]) == 2
    assert module.schema.classes == ("NA", "None")
    for labels, classes in (
        (["10", "9"], ("9", "10")),
        (["010", "9"], ("010", "9")),
        ([True, False], ("False", "True")),
    ):
        table = pd.DataFrame({"id": [0, 1], "v": [1.0, 2.0], "label": labels})
        for ending in ("csv", "parquet"):
            file = write(tmp_path / f"b.{ending}", pd.concat([table, table.assign(v=3.0)]))
            assert SeriesFile(file, id_column="id").schema.classes == classes
    floats = write(tmp_path / "c.parquet", pd.DataFrame({"id": [0, 1], "v": [1.0, 2.0], "label": [3.0, 1.0]}))
    assert SeriesFile(floats, id_column="id").schema.classes == ("1", "3")


def test_attributes_come_back(tmp_path):
    table = steps(30)
    number = table["who"].str[1:].astype(int)
    table = table.assign(age=number % 5 + 20, weight=number / 8, town=np.where(number % 2, "京都", "NA"))
    file = write(tmp_path / "a.csv", table)
    module = SeriesFile(file, id_column="who", time_column="t", static_columns=["age", "weight", "town"])
    schema, fields = module.schema, module.load()[0].fields
    assert (schema.static_categories, schema.static_width) == (((), (), ("NA", "京都")), 4)
    assert fields["static"].shape == (30, 4)
    age, weight, town = schema.decode_static(fields["static"])
    assert age.dtype == np.int64
    assert age.tolist() == [i % 5 + 20 for i in range(30)]
    np.testing.assert_allclose(weight, np.arange(30) / 8, atol=1e-6)
    assert town.tolist() == ["京都" if i % 2 else "NA" for i in range(30)]
    table.loc[3, "age"] = 99
    write(file, table)
    refused(
        lambda: SeriesFile(file, id_column="who", time_column="t", static_columns=["age"]),
        f"{file}:5, column age: changes within the series s000",
    )


# ---- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "start", "frequency"),
    [
        (np.arange(12) + 5, "5", "1"),
        (np.arange(12) * 0.1 + 0.3, "0.3", "0.1"),
        (1.7e9 + np.arange(12) * 0.25, "1700000000", "0.25"),
        (pd.date_range("2020-02-28", periods=12, freq="600s"), "2020-02-28T00:00:00", "10min"),
        (pd.date_range("2020-02-28 01:00", periods=12, freq="h"), "2020-02-28T01:00:00", "h"),
        (pd.date_range("2020-01-01", periods=12, freq="MS"), "2020-01-01T00:00:00", "MS"),
        (pd.date_range("2020-01-03", periods=12, freq="B"), "2020-01-03T00:00:00", "B"),
        (pd.date_range("2020-01-13", periods=12, freq="D").strftime("%d/%m/%Y"), "2020-01-13T00:00:00", "24h"),
        (pd.date_range("2020-01-13", periods=12, freq="h", tz="Asia/Tokyo"), "2020-01-13T00:00:00+09:00", "h"),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_samples_go_on_at_the_frequency_of_the_source(tmp_path, times, start, frequency, ending):
    table = pd.concat([ramp(12, when=times, s=name) for name in "ab"])
    file = write(tmp_path / f"a.{ending}", table)
    schema = SeriesFile(file, id_column="s", time_column="when").schema
    assert (schema.time, schema.start) == ("when", start)
    written = schema.times(12)
    assert schema.frequency == frequency
    if frequency in ("1", "0.1", "0.25"):
        np.testing.assert_allclose(written, times, rtol=1e-12)
    else:
        assert pd.Series(written).astype(str).tolist() == pd.Series(times).astype(str).tolist()  # as they came


def test_irregular_times_become_steps_or_are_learned(tmp_path, caplog):
    gaps = np.array([0, 60, 30, 600, 1])
    passed = np.cumsum(gaps)
    for times in (passed + 100, pd.Timestamp("2021-03-01") + pd.to_timedelta(passed, unit="s")):
        table = pd.concat([ramp(5, when=times, s=name) for name in "abc"])
        file = write(tmp_path / "a.csv", table)
        caplog.clear()
        with caplog.at_level("INFO"):
            plain = SeriesFile(file, id_column="s", time_column="when")
        assert "not all equally long" in caplog.text
        assert (plain.schema.time, plain.schema.columns) == ("", ("v",))
        module = SeriesFile(file, id_column="s", time_column="when", irregular=True)
        assert module.schema.columns == ("interval", "v")
        assert module.schema.intervals
        np.testing.assert_allclose(decoded(module)[1, :, 0], gaps, atol=1e-4)
        frame = module.schema.frame(np.arange(3), module.load()[0].fields)
        apart = (pd.Series(frame["when"][5:10].to_numpy()) - pd.Series(pd.Index(times))).abs().max()
        assert apart <= (pd.Timedelta("1ms") if isinstance(times, pd.DatetimeIndex) else 1e-3)
    cut = SeriesFile(file, id_column="s", time_column="when", irregular=True, window=3)
    np.testing.assert_allclose(decoded(cut)[:2, :, 0], [[0, 60, 30], [0, 30, 600]], atol=1e-4)


# ---- splits ----------------------------------------------------------------------------------------------------------


def starts(module: SeriesFile, split: str) -> np.ndarray:
    """Where the windows of a split begin, of series that count their steps."""
    return np.rint(module.schema.decode(getattr(module, split).fields["x"])[:, 0, 0]).astype(int)


def test_split_id_keeps_series_together(tmp_path):
    table = pd.concat([pd.DataFrame({"s": i, "v": 1000 * i + np.arange(20), "label": i % 2}) for i in range(10)])
    module = SeriesFile(write(tmp_path / "a.csv", table), id_column="s", window=5, split="id", test_fraction=0.4)
    module.setup()
    sides = [set(starts(module, split) // 1000) for split in ("train", "val", "test")]
    assert set().union(*sides) == set(range(10))
    assert sum(map(len, sides)) == 10
    assert len(sides[2]) == 4
    assert all(sides)
    assert class_counts(module, "test") == [32, 32]
    assert len(module.test) + len(module.val) + len(module.train) == 160


def test_split_time_holds_out_the_last_and_drops_what_reaches_over(tmp_path, caplog):
    table = pd.concat([pd.DataFrame({"s": i, "v": 1000 * i + np.arange(100)}) for i in range(2)])
    file = write(tmp_path / "a.csv", table)
    with caplog.at_level("INFO"):
        module = SeriesFile(file, id_column="s", window=5, split="time")
        module.setup()
    for i in range(2):
        train, val, test = (starts(module, split) - 1000 * i for split in ("train", "val", "test"))
        train, val, test = (part[(part >= 0) & (part < 100)].tolist() for part in (train, val, test))
        assert test == list(range(80, 96))
        assert val == list(range(72, 76))
        assert train == list(range(68))
    assert "8 of 192 windows reach over the cut" in caplog.text
    # What the scaler saw ends where the training steps end.
    assert module.schema.offset[0] + module.schema.scale[0] == 1071
    refused(lambda: SeriesFile(file, id_column="s", window=30, split="time"), "leaves no window of 30")
    refused(lambda: SeriesFile(file, id_column="s", split="time"), "split time needs window")
    refused(lambda: SeriesFile(file, value_columns=["v"], window=5, split="id"), "split id needs at least two series")


def test_windows_that_overlap_across_the_split_are_warned_of_once(tmp_path, recwarn):
    file = write(tmp_path / "a.csv", ramp(100))
    SeriesFile(file, window=10).setup()
    assert [str(w.message) for w in recwarn if "share steps" in str(w.message)] == [
        "18 of 18 windows that are held out share steps with windows for training, which flatters scores on them: set"
        " split to time or id, or stride to the window"
    ]
    recwarn.clear()
    SeriesFile(file, window=10, stride=10).setup()
    SeriesFile(file, window=10, split="time", val_fraction=0.2).setup()
    assert not [w for w in recwarn if "share steps" in str(w.message)]


def test_folds_of_windows_share_no_steps(tmp_path):
    """One series, whose label changes twice: a fold is a stretch of each class, cut out with what reaches into it."""
    label = np.repeat(["a", "b", "a"], 60)
    file = write(tmp_path / "a.csv", pd.DataFrame({"v": np.arange(180.0), "label": label}))
    for options in ({"split": "time", "val_fraction": 0.0}, {"split": "random", "val_fraction": 0.0}):
        module = SeriesFile(file, window=10, test_fraction=0.0, **options)
        for part in range(3):
            fold = module.again(fold=(part, 3))
            fold.setup()
            train, held = ({s + k for s in starts(fold, split) for k in range(10)} for split in ("train", "val"))
            assert held
            assert not train & held
            assert min(class_counts(fold)) >= 15
            assert class_counts(fold, "val") == [34, 17]
            # The scaler knows the training steps alone.
            ends = fold.schema.offset[0], fold.schema.offset[0] + fold.schema.scale[0]
            assert ends == (min(train), max(train))
    apart = SeriesFile(file, window=10, stride=10).again(fold=(0, 3))
    apart.setup()
    assert len(apart.val), "windows that share nothing are drawn by chance"


def test_a_class_that_a_fold_would_take_away_is_not_held_out(tmp_path):
    label = np.repeat(["a", "b"], [60, 12])
    file = write(tmp_path / "a.csv", pd.DataFrame({"v": np.arange(72.0), "label": label}))
    for part in range(3):
        module = SeriesFile(file, window=10, test_fraction=0.0, val_fraction=0.0).again(fold=(part, 3))
        module.setup()
        assert class_counts(module)[1] == 3  # any two of its windows share steps
        assert class_counts(module, "val")[1] == 0


def test_folds_of_split_id_keep_series_together(tmp_path):
    table = pd.concat([pd.DataFrame({"s": i, "v": 1000 * i + np.arange(20), "label": i % 2}) for i in range(12)])
    file = write(tmp_path / "a.csv", table.assign(label=np.where(table.s == 4, 2, table.label)))
    module = SeriesFile(file, id_column="s", window=5, split="id", test_fraction=0.0, val_fraction=0.0)
    every = []
    for part in range(3):
        fold = module.again(fold=(part, 3))
        fold.setup()
        kept, held = (set(starts(fold, split) // 1000) for split in ("train", "val"))
        assert kept | held == set(range(12))
        assert not kept & held
        every += held
    assert sorted(every) == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11], "the only series of a class is always trained on"


def test_a_test_file_is_matched(tmp_path):
    train, test = write(tmp_path / "a.csv", steps(30)), write(tmp_path / "b.csv", steps(9, most=12))
    options = {"id_column": "who", "time_column": "t"}
    module = SeriesFile(train, test, **options)
    module.setup()
    assert (len(module.test), module.schema.length) == (9, int(module.test.fields["length"].max()))
    assert module.schema.length > 9
    assert len(module.train) + len(module.val) == 30
    np.testing.assert_allclose(decoded(module, 1)[:, 0, 0], np.arange(9), atol=1e-5)
    write(test, steps(9).assign(label="jump"))
    refused(lambda: SeriesFile(train, test, **options), f"{test}:2, column label: the class 'jump' is not among")
    write(test, steps(9).drop(columns="label"))
    refused(lambda: SeriesFile(train, test, **options), f"{test}: no labels", "label both or neither")
    write(test, steps(9).drop(columns="count"))
    refused(lambda: SeriesFile(train, test, **options), f"{test}: no column count: the columns are who, t, 温度, label")


# ---- missing values --------------------------------------------------------------------------------------------------


def test_missing_values_are_filled_linearly_and_at_the_ends_by_the_nearest(tmp_path):
    content = "s,t,v,n\na,0,,1\na,1,1,2\na,2,NA,\na,4,4,5\nb,0,5,5\nb,1,6,6\nb,2,7,7\nb,3,,8\n"
    file = write(tmp_path / "a.csv", content)
    options = {"id_column": "s", "time_column": "t"}
    refused(lambda: SeriesFile(file, **options), f"{file}:2, column v: no value", "missing to interpolate or mask")
    wanted = [[[1, 1], [1, 2], [2, 3], [4, 5]], [[5, 5], [6, 6], [7, 7], [7, 8]]]
    module = SeriesFile(file, missing="interpolate", **options)
    np.testing.assert_allclose(decoded(module), wanted, atol=1e-6)
    assert "observed" not in module.load()[0].fields
    masked = SeriesFile(file, missing="mask", **options).load()[0].fields["observed"]
    assert masked.tolist() == [[[0, 1], [1, 1], [0, 0], [1, 1]], [[1, 1], [1, 1], [1, 1], [0, 1]]]
    write(file, content.replace("b,0,5", "b,0,").replace("b,1,6", "b,1,").replace("b,2,7", "b,2,"))
    refused(lambda: SeriesFile(file, missing="mask", **options), f"{file}:6, column v", "has no value in it")


def test_constant_columns_are_named_once_and_come_back(tmp_path):
    table = steps().assign(still=3.5, zero=0)
    with pytest.warns(UserWarning, match="constant.*: still, zero$") as found:
        module = SeriesFile(write(tmp_path / "a.csv", table), id_column="who", time_column="t")
    assert sum("constant" in str(w.message) for w in found) == 1
    frame = module.schema.frame(np.arange(60), module.load()[0].fields)
    assert set(frame["still"]) == {3.5}
    assert set(frame["zero"]) == {0}


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_rows_in_any_order_are_sorted_by_time_where_an_id_tells_the_series_apart(tmp_path, caplog):
    rows = [f"{name},{t},{10 * k + t},{name}x\n" for k, name in enumerate("abc") for t in range(4)]
    modules = []
    for file, order in (("a.csv", range(12)), ("b.csv", [6, 1, 11, 0, 4, 3, 9, 2, 5, 10, 7, 8])):
        path = write(tmp_path / file, "s,t,v,label\n" + "".join(rows[k] for k in order))
        with caplog.at_level("INFO"):
            modules.append(SeriesFile(path, id_column="s", time_column="t", label_column="label", test_fraction=0))
    assert "b.csv:6, column t: not in order of time: the steps of each series are sorted by it" in caplog.text
    assert "a.csv:" not in caplog.text
    for module in modules:
        module.setup()
    seen = [
        {
            modules[0].schema.class_name(int(y)): x.tolist()
            for part in (module.train, module.val)
            for x, y in zip(part.fields["x"], part.fields["y"], strict=True)
        }
        for module in modules
    ]
    assert seen[0] == seen[1]


GOOD = "s,t,v\na,0,1\na,1,2\nb,0,3\nb,1,5\n"
NAMED = {"id_column": "s", "time_column": "t"}


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        ("", {}, ["the file is empty"]),
        ("\ufeff\n\n", {}, ["the file is empty"]),
        ("s,t,v\n", {}, ["no rows in it"]),
        (GOOD.replace("3", "three"), NAMED, [":4, column v: 'three' is no number"]),
        (GOOD.replace("3", "3,4"), NAMED, [":4: 4 fields, where the header names 3"]),
        (GOOD.replace(",3", ""), NAMED, [":4: 2 fields, where the header names 3"]),
        (GOOD.replace("3", str(2**60)), NAMED, [":4, column v: '1152921504606846976' is too large to keep all digits"]),
        (GOOD.replace("3", "1e200"), NAMED, ["values as large as 1.0e+200: give them in another unit"]),
        (GOOD, {**NAMED, "value_columns": []}, ["value_columns names no column"]),
        (GOOD.replace("3", "inf"), NAMED, [":4, column v: 'inf' is no finite number"]),
        (GOOD.replace("3", ""), NAMED, [":4, column v: no value"]),
        ("\n" + GOOD.replace("3", "NaN"), NAMED, [":5, column v: no value"]),
        (GOOD.replace("a,1", "a,0"), NAMED, [":3, column t: the time is that of the step before"]),
        ("t,v\n0,1\n2,2\n1,3\n", {"time_column": "t", "window": 2}, [":4, column t: the time lies before the step"]),
        (GOOD.replace("a,1", "a,"), NAMED, [":3, column t: the cell is empty: every step needs its time"]),
        (GOOD.replace("a,1", "a,later"), NAMED, [":3, column t: 'later' is no number"]),
        (GOOD.replace("b,0", ",0"), NAMED, [":4, column s: the cell is empty"]),
        (GOOD, {**NAMED, "window": 3}, [":2: the series a has 2 steps, and window is 3"]),
        (GOOD, {"id_column": "who"}, ["no column who: the columns are s, t, v; see id_column"]),
        (GOOD, {**NAMED, "time_column": "when"}, ["no column when", "see time_column"]),
        (GOOD, {**NAMED, "value_columns": ["w"]}, ["no column w", "see value_columns"]),
        (GOOD, {**NAMED, "static_columns": ["w"]}, ["no column w", "see static_columns"]),
        (GOOD, {**NAMED, "label_column": "kind"}, ["no column kind", "see label_column"]),
        (GOOD, {**NAMED, "value_columns": ["t", "v"]}, ["the column t is to be two things"]),
        (GOOD, {}, ["one series only: set window"]),
        ("s,t\na,b\nb,c\n", {"id_column": "s"}, ["no column of numbers: the columns are s, t"]),
        (GOOD.replace("t,v", "v,v"), {"id_column": "s"}, [":1: the column 'v' is there twice"]),
        (",v\n0,1\n1,2\n", {"window": 1}, ["a column has no name"]),
        (GOOD.replace("t,v", "step,v"), {"id_column": "s"}, ["two columns step", "time_column"]),
        ("series_id,v\n0,1\n0,2\n1,3\n", {"window": 2}, ["two columns series_id", "id_column"]),
        (GOOD.replace("b,1", '"b,1'), NAMED, [":5: no CSV", "quotes"]),
        (GOOD.encode() + b"b,2,\xff\n", NAMED, [":6: not UTF-8, at byte 34"]),
        ("s,v,label\na,1,x\na,2,\nb,3,x\n", {"id_column": "s"}, [":3, column label: the cell is empty"]),
        (GOOD, {**NAMED, "irregular": True, "time_column": None}, ["name the times by time_column"]),
        (GOOD.replace(",v", ",interval"), {**NAMED, "irregular": True}, ["rename the one in the file"]),
        (GOOD, {"form": "wide", "time_column": "t"}, ["in wide form columns are steps"]),
        (GOOD, {"form": "tall"}, ["form must be long or wide, not 'tall'"]),
        (GOOD, {"split": "none"}, ["split must be random, id or time, not 'none'"]),
        (GOOD, {"missing": "no"}, ["missing must be raise, interpolate or mask, not 'no'"]),
        (GOOD, {"window": 0}, ["window must be at least 1, not 0"]),
        (GOOD, {"stride": 0}, ["stride must be at least 1, not 0"]),
        (GOOD, {"scaler": "log"}, ["scaler must be"]),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_with_its_place(tmp_path, content, options, expected):
    file = write(tmp_path / "a.csv", content)
    message = refused(lambda: SeriesFile(file, **options), *expected)
    if expected[0].startswith(":"):
        assert message.startswith(f"{file}:")


@pytest.mark.parametrize(
    ("layout", "days"), [("%d.%m.%Y", 28), ("%d/%m/%Y %H:%M", 28), ("%m/%d/%Y", 28), ("%d %B %Y", 9)]
)
def test_days_and_months_are_told_apart_by_the_whole_column(tmp_path, layout, days):
    when = [day.strftime(layout) for day in pd.date_range("2024-01-01", periods=days)]
    module = SeriesFile(write(tmp_path / "a.csv", ramp(days, when=when)), time_column="when", window=3)
    assert (module.schema.start[:10], module.schema.frequency) == ("2024-01-01", "24h")


def test_dates_with_dots_have_the_day_first(tmp_path, caplog):
    """Samples of a source whose dates go beyond the twelfth need not do so."""
    when = [day.strftime("%d.%m.%Y") for day in pd.date_range("2024-03-01", periods=9)]
    with caplog.at_level("INFO"):
        module = SeriesFile(write(tmp_path / "a.csv", ramp(9, when=when)), time_column="when", window=3)
    assert (module.schema.start[:10], module.schema.frequency) == ("2024-03-01", "24h")
    assert "column when: dates with the day first: 01.03.2024 is 01 March 2024" in caplog.text


@pytest.mark.parametrize("layout", ["%d/%m/%Y", "%m-%d-%Y"])
def test_dates_that_can_be_read_two_ways_are_refused(tmp_path, layout):
    when = [day.strftime(layout) for day in pd.date_range("2024-01-01", periods=9)]
    file = write(tmp_path / "a.csv", ramp(9, when=when))
    message = refused(lambda: SeriesFile(file, time_column="when", window=3), f"{file}:3, column when: '")
    assert message.endswith("' may have the day or the month first: write dates as 2024-12-31")


def test_dates_that_are_none_are_named(tmp_path):
    days = ["2020-01-01", "2020-01-02", "soon", "2020-01-04"]
    file = write(tmp_path / "a.csv", ramp(4, when=days))
    refused(lambda: SeriesFile(file, time_column="when", window=2), f"{file}:4, column when: 'soon' is neither")


def test_parquet_that_cannot_be_read(tmp_path, monkeypatch):
    file = write(tmp_path / "a.parquet", ramp(20))
    assert len(SeriesFile(file, window=5, stride=5).load()[0]) == 4
    bad = ramp(20)
    bad.loc[7, "v"] = np.nan
    refused(lambda: SeriesFile(write(tmp_path / "b.parquet", bad), window=5), "b.parquet, row 7, column v: no value")
    cut = write(tmp_path / "c.parquet", file.read_bytes()[:-20])
    refused(lambda: SeriesFile(cut, window=5), f"{cut}: not a .parquet that can be read")
    refused(lambda: SeriesFile(write(tmp_path / "d.parquet", b""), window=5), "not a .parquet")
    days = write(tmp_path / "e.parquet", pd.DataFrame({"v": pd.date_range("2020", periods=9)}))
    refused(lambda: SeriesFile(days, window=5, value_columns=["v"]), "the column v holds datetime64")
    refused(lambda: SeriesFile(write(tmp_path / "a.xls", "x"), window=5), ".xls is none of .csv, .tsv, .xlsx, .parquet")
    refused(lambda: SeriesFile(tmp_path / "none.csv", window=5), "no file")

    def without(name, *rest, **options):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest, **options)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(pd, "read_parquet", lambda *_, **options: __import__("pyarrow"))
    refused(lambda: SeriesFile(file, window=5), "pip install 'ganaug[parquet]'")


def test_an_index_that_pandas_wrote_is_a_column(tmp_path):
    table = steps().set_index(["who", "t"])
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    module = SeriesFile(write(tmp_path / "a.parquet", buffer.getvalue()), id_column="who", time_column="t")
    assert len(module.load()[0]) == 60


# ---- folders of samples, the command line ----------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_folder_of_samples_says_itself_what_is_what(tmp_path, ending):
    schema = SeriesSchema(
        classes=("z", "a", "unseen"),
        columns=("v", "n"),
        dtypes=("float32", "int32"),
        offset=(0.0, 0.0),
        scale=(1.0, 1.0),
        length=3,
        static=("site",),
        static_dtypes=("object",),
        static_offset=(0.0,),
        static_scale=(1.0,),
        static_categories=(("p", "q"),),
        id_column="run",
        label_column="kind",
    )
    batch = {
        "x": torch.arange(48).reshape(8, 3, 2).float(),
        "length": torch.tensor([3, 2] * 4),
        "y": torch.tensor([0, 1] * 4),
        "static": torch.eye(2).repeat(4, 1),
    }
    write(tmp_path / f"samples.{ending}", schema.frame(np.arange(8), batch))
    write_manifest(tmp_path, {"schema": schema.to_dict()})
    module = SeriesFile(tmp_path)
    for name in ("classes", "columns", "dtypes", "static", "static_categories", "id_column", "label_column", "time"):
        assert getattr(module.schema, name) == getattr(schema, name), name
    fields = module.load()[0].fields
    frame = module.schema.frame(np.arange(8), fields)
    pd.testing.assert_frame_equal(frame, schema.frame(np.arange(8), batch))
    write_manifest(tmp_path, {"schema": {**schema.to_dict(), "classes": ["z"]}})
    refused(lambda: SeriesFile(tmp_path), "the class 'a' is not among those of the data, 'z'")
    (tmp_path / f"samples.{ending}").unlink()
    refused(lambda: SeriesFile(tmp_path), "no samples.csv or samples.parquet")


def test_the_command_line_knows_every_option(tmp_path):
    file = write(tmp_path / "a.csv", steps())
    parser = ArgumentParser()
    parser.add_subclass_arguments(GANDataModule, "data")
    given = ["--data=datamodules.series.file.SeriesFile", f"--data.path={file}", "--data.id_column=who"]
    given += ["--data.time_column=t", "--data.value_columns=[温度]", "--data.scaler=robust", "--data.per_class=4"]
    module = parser.instantiate_classes(parser.parse_args(given)).data
    module.setup()
    assert (module.schema.columns, module.schema.scaler, class_counts(module)) == (("温度",), "robust", [4, 4, 4])


@pytest.mark.parametrize(("gap", "said"), [((60, 90), True), ((60, 79), False), ((85, 90), False)])
def test_a_gap_over_the_cut_is_warned_of(gap, said, tmp_path, recwarn):
    values = np.where(np.arange(100) < 60, np.arange(100) % 7, 100.0)
    values[slice(*gap)] = np.nan
    file = write(tmp_path / "a.csv", pd.DataFrame({"v": values}))
    SeriesFile(file, window=5, split="time", missing="interpolate", val_fraction=0.0).setup()
    assert any("at 1 of 1 cuts values are missing on both sides" in str(one.message) for one in recwarn) == said
