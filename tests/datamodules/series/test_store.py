import builtins
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from datamodules.files.manifest import write_manifest
from datamodules.series.arrays import SeriesArrays
from datamodules.series.file import SeriesFile
from datamodules.series.schema import SeriesSchema
from datamodules.series.store import read_series, write_series
from tests.datamodules.images.test_images import refused

CLASSES = ("猫", "b,c", "")
FORMATS = ("csv", "parquet", "npz")


def schema(**options) -> SeriesSchema:
    known = {
        "classes": CLASSES,
        "columns": ("温度", "count", "flag"),
        "dtypes": ("float32", "int64", "bool"),
        "offset": (-3.0, 100.0, 0.0),
        "scale": (7.0, 1000.0, 1.0),
        "length": 6,
        "fixed": False,
        "time": "when",
        "start": "2020-01-31T00:00:00",
        "frequency": "10min",
        "static": ("age", "town"),
        "static_dtypes": ("int64", "object"),
        "static_offset": (20.0, 0.0),
        "static_scale": (50.0, 1.0),
        "static_categories": ((), ("NA", "京都")),
    }
    return SeriesSchema(**known | options)


def samples(described: SeriesSchema, n: int = 12, seed: int = 0) -> dict[str, torch.Tensor]:
    """What a model gives: any float, of which a schema makes values that its types can hold."""
    draw = torch.Generator().manual_seed(seed)
    batch = {
        "index": torch.arange(n),
        "x": torch.rand(n, described.length, described.features, generator=draw),
        "length": torch.arange(n) % (1 if described.fixed else described.length) + 1,
        "y": torch.arange(n) % described.num_classes,
    }
    if described.fixed:
        batch["length"] = torch.full((n,), described.length)
    batch["x"][torch.arange(described.length) >= batch["length"][:, None]] = 0
    if described.static:
        batch["static"] = torch.rand(n, described.static_width, generator=draw)
    return batch


def held(described: SeriesSchema, batch) -> tuple[np.ndarray, list[np.ndarray]]:
    values = described.decode(batch["x"])
    values[np.arange(values.shape[1]) >= batch["length"].numpy()[:, None]] = 0
    return values, described.decode_static(batch["static"]) if described.static else []


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("classes", [CLASSES, ()])
@pytest.mark.parametrize("fixed", [True, False])
def test_series_are_read_back(tmp_path, format, classes, fixed):
    described = schema(classes=classes, fixed=fixed)
    batch = samples(described)
    shards = [{name: field[i::3] for name, field in batch.items()} for i in (2, 0, 1)]
    out = tmp_path / "new" / "folder"
    write_series(described, iter(shards), out, format)
    assert [file.name for file in out.iterdir()] == [f"samples.{format}"]
    write_manifest(out, {"schema": described.to_dict()})
    values, static = held(described, batch)

    for path in (out, out / f"samples.{format}"):
        rows, labelled = read_series(path, described)
        assert labelled == bool(classes)
        assert rows["length"].tolist() == batch["length"].tolist()
        assert rows["y"].tolist() == batch["y"].tolist()
        found, attributes = held(described, rows)
        np.testing.assert_allclose(found[..., 0], values[..., 0], rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(found[..., 1:], values[..., 1:])
        for column, wanted in zip(attributes, static, strict=True):
            assert column.tolist() == wanted.tolist()

    module = SeriesArrays(out / "samples.npz") if format == "npz" else SeriesFile(out)
    fields = module.load()[0].fields
    assert module.schema.columns == described.columns
    assert module.schema.dtypes == described.dtypes
    assert module.schema.classes == classes
    assert module.schema.static_categories == ((), ("NA", "京都"))
    assert module.schema.static_dtypes == ("int64", "object")
    if format != "npz":
        told = ("time", "start", "frequency", "id_column", "label_column")
        assert [getattr(module.schema, name) for name in told] == [getattr(described, name) for name in told]
    assert fields["length"].tolist() == batch["length"].tolist()
    assert fields["y"].tolist() == batch["y"].tolist()
    found, attributes = held(module.schema, fields)
    np.testing.assert_allclose(found[..., 0], values[..., 0], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found[..., 1:], values[..., 1:])
    assert [column.tolist() for column in attributes] == [column.tolist() for column in static]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("start", ["5", "2021-02-03T04:05:06"])
def test_irregular_series_are_read_back(tmp_path, format, start):
    described = schema(
        columns=("interval", "v"), dtypes=("float64", "int32"), offset=(0.0, 0.0), scale=(600.0, 99.0), length=5,
        intervals=True, start=start, static=(), static_dtypes=(), static_categories=(), static_offset=(),
        static_scale=(),
    )  # fmt: skip
    batch = samples(described)
    batch["x"][2, 1, 0] = -0.3  # a model may well say so: the step then has the time of the one before
    batch["x"][:, 0, 0] = 0.7
    write_series(described, [batch], tmp_path, format)
    rows, _ = read_series(tmp_path, described)
    wanted = batch["x"].clone()
    wanted[:, 0, 0] = wanted[2, 1, 0] = 0
    wanted[torch.arange(5) >= batch["length"][:, None]] = 0
    np.testing.assert_allclose(rows["x"][..., 0], wanted[..., 0], atol=2e-6)
    np.testing.assert_array_equal(described.decode(rows["x"])[..., 1], described.decode(wanted)[..., 1])
    if format == "csv":
        write_manifest(tmp_path, {"schema": described.to_dict()})
        module = SeriesFile(tmp_path)
        assert (module.schema.intervals, module.schema.columns) == (True, ("interval", "v"))
        assert module.schema.start == start


def test_what_is_in_the_files(tmp_path):
    described = schema(
        classes=("猫",), columns=("v", "n"), dtypes=("float64", "int32"), offset=(0.5, 0.0), scale=(2.0, 10.0),
        static=(), static_dtypes=(), static_categories=(), static_offset=(), static_scale=(), frequency="MS",
        start="2020-01-01", length=2,
    )  # fmt: skip
    shards = [
        {"index": torch.tensor([7, 3]), "x": torch.tensor([[[0.25, 0.11], [0.5, 0.29]], [[1.0, 1.0], [9.0, 9.0]]])},
        {"index": torch.tensor([7]), "x": torch.tensor([[[0.5, 0.11], [0.5, 0.29]]])},  # the last counts
    ]
    for shard, length in zip(shards, ([2, 1], [2]), strict=True):
        shard |= {"length": torch.tensor(length), "y": torch.zeros(len(length), dtype=torch.long)}
    for format in FORMATS:
        write_series(described, shards, tmp_path, format)
    assert (tmp_path / "samples.csv").read_text(encoding="utf-8") == (
        "series_id,when,v,n,label\n3,2020-01-01,2.5,10,猫\n7,2020-01-01,1.5,1,猫\n7,2020-02-01,1.5,3,猫\n"
    )
    table = pd.read_parquet(tmp_path / "samples.parquet")
    assert table["series_id"].tolist() == [3, 7, 7]
    assert str(table["n"].dtype) == "int32"
    with np.load(tmp_path / "samples.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["x"][..., 1], [[10, np.nan], [1, 3]])
        assert archive["index"].tolist() == [3, 7]
        assert archive["lengths"].tolist() == [1, 2]
        assert archive["columns"].tolist() == ["v", "n"]
        assert str(archive["layout"]) == "NTF"


def test_samples_of_fewer_classes_steps_and_labels(tmp_path):
    described = schema(static=(), static_dtypes=(), static_categories=(), static_offset=(), static_scale=())
    batch = samples(described)
    batch["y"] = torch.tensor([2, 0] * 6)
    batch["length"].clamp_(max=4)
    batch["x"] = batch["x"][:, :4]
    for format in FORMATS:
        write_series(described, [batch], tmp_path / format, format)
        rows, labelled = read_series(tmp_path / format, described)
        assert labelled
        assert rows["y"].tolist() == batch["y"].tolist()
        assert rows["x"].shape == (12, 6, 3)
        write_series(replace(described, classes=()), [batch], tmp_path / format, format)
        rows, labelled = read_series(tmp_path / format, described)
        assert not labelled
        assert rows["y"].tolist() == [0] * 12
        # The order of the data's classes, not that of the samples, gives the ids.
        write_series(described, [batch], tmp_path / format, format)
        rows, _ = read_series(tmp_path / format, replace(described, classes=CLASSES[::-1]))
        assert rows["y"].tolist() == [0, 2] * 6


@pytest.mark.parametrize("format", FORMATS)
def test_samples_that_are_not_like_the_data_get_one_line(tmp_path, format):
    described = schema()
    write_series(described, [samples(described)], tmp_path, format)
    file = str(tmp_path / f"samples.{format}")

    def read(**options):
        return lambda: read_series(tmp_path, schema(**options))

    refused(read(length=5), file, "has 6 steps, the data's longest 5")
    refused(read(classes=("猫", "")), file, "the class 'b,c' is not among those of the data, '猫', ''")
    refused(read(columns=("温度", "count", "other")), file, "other", "flag")
    more = {"columns": ("温度",), "dtypes": ("float64",), "offset": (0.0,), "scale": (1.0,)}
    if format == "npz":
        refused(read(**more), file, "the samples have the columns 温度, count, flag, the data 温度")
        one = {name: getattr(described, name)[:1] for name in vars(described) if name.startswith("static")}
        refused(read(**one), file, "the samples have the attributes age, town, the data age")
    else:
        refused(read(static=("age", "city")), file, "no column city", "static_columns")
        refused(read(time="day"), file, "no column day")
        refused(read(**more | {"columns": ("count",)}), file, "the samples have a column 温度, the data have none")


def test_what_cannot_be_written_gets_one_line(tmp_path, monkeypatch):
    described = schema()
    batch = samples(described)
    refused(lambda: write_series(described, [batch], tmp_path, "xml"), "format must be csv, parquet or npz, not xml")
    refused(lambda: write_series(described, [], tmp_path, "csv"), "no samples to write")
    (tmp_path / "file").write_text("in the way")
    refused(lambda: write_series(described, [batch], tmp_path / "file", "csv"), "cannot make the folder")

    def full(self, file, **_):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(OSError, match="No space"):
        write_series(described, [batch], tmp_path / "out", "csv")
    assert list((tmp_path / "out").iterdir()) == []

    def without(name, *rest, **options):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest, **options)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(pd.DataFrame, "to_parquet", lambda *_, **__: __import__("pyarrow"))
    refused(lambda: write_series(described, [batch], tmp_path / "out", "parquet"), "pip install 'ganaug[parquet]'")
    assert list((tmp_path / "out").iterdir()) == []


def test_samples_of_others_need_no_column_of_steps(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"id": np.repeat(np.arange(20), 6), "v": rng.random(120), "w": rng.random(120)})
    table.to_csv(tmp_path / "a.csv", index=False)
    data = SeriesFile(tmp_path / "a.csv", id_column="id")
    rows, labelled = read_series(tmp_path / "a.csv", data.schema)
    assert not labelled
    np.testing.assert_allclose(data.schema.decode(rows["x"]).reshape(120, 2), table[["v", "w"]], rtol=1e-5)
    table.assign(step=np.tile(np.arange(6), 20)).to_csv(tmp_path / "b.csv", index=False)
    assert torch.equal(read_series(tmp_path / "b.csv", data.schema)[0]["x"], rows["x"])
    refused(lambda: SeriesFile(tmp_path / "a.csv", id_column="id", time_column="step"), "no column step")


@pytest.mark.parametrize("style", ["%d/%m/%Y", "%m/%d/%Y", "%-d/%-m/%Y %H:%M", "%d-%m-%Y"])
def test_dates_of_samples_have_the_order_of_the_source_s(tmp_path, style):
    """Those of a few steps may be read two ways, where the whole source could not."""
    when = pd.date_range("2024-01-01", periods=28).strftime(style)
    pd.DataFrame({"when": when, "v": np.arange(28) % 5}).to_csv(tmp_path / "a.csv", index=False)
    described = SeriesFile(tmp_path / "a.csv", time_column="when", window=3).schema
    batch = samples(described, 4)
    write_series(described, [batch], tmp_path / "out")
    assert pd.read_csv(tmp_path / "out" / "samples.csv")["when"].tolist()[:3] == when[:3].tolist()
    rows, _ = read_series(tmp_path / "out", described)
    assert np.array_equal(described.decode(rows["x"]), described.decode(batch["x"]))
