"""What cells of tables say: separators, decimals, types, and what is no value."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from datamodules import InputError, Schema, SeriesFile
from datamodules.files.cells import decimals_of, rounded
from datamodules.series.store import write_series
from ganaug.cli import main
from ganaug.gans.resume import compare

RNG = np.random.default_rng(0)


def write(file: Path, content: str, encoding: str = "utf-8") -> Path:
    file.write_bytes(content.encode(encoding))
    return file


def lines(header: str, row: str, count: int = 60) -> str:
    """A row for each k, with {k}, {u} between 0 and 1, and {v} about 20."""
    rows = [row.format(k=k, u=u, v=20 + 5 * u).replace("COMMA", ",") for k, u in enumerate(RNG.random(count))]
    return "\n".join([header, *rows]) + "\n"


def written(module: SeriesFile) -> pd.DataFrame:
    rows = module.load()[0].fields
    return module.schema.frame(np.arange(len(rows["y"])), rows)


def refused(file: Path, *words: str, **options) -> None:
    with pytest.raises(InputError) as error:
        SeriesFile(file, window=6, **options)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_separators_are_found_out_and_said(mark: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = lines(f"t{mark}warm, °C{mark}load", mark.join(["{k}", "{v:.2f}", "{k}.5"])).replace(".", ",")
    with caplog.at_level("INFO"):
        module = SeriesFile(write(tmp_path / "a.csv", content), time_column="t", window=6)
    assert module.schema.columns == ("warm, °C", "load")
    assert module.schema.decimals == (2, 1)
    assert "cells are separated by" in caplog.text
    assert "have a decimal comma" in caplog.text
    same = SeriesFile(tmp_path / "a.csv", time_column="t", window=6, separator=mark, decimal=",")
    assert written(same).equals(written(module))


def test_a_tsv_and_an_xlsx_are_read(tmp_path: Path) -> None:
    table = pd.DataFrame({"t": np.arange(40), "v": RNG.normal(size=40).round(2)})
    table.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    table.to_excel(tmp_path / "a.xlsx", index=False)
    one, two = (SeriesFile(tmp_path / f"a.{end}", time_column="t", window=6) for end in ("tsv", "xlsx"))
    assert written(one).equals(written(two))
    (tmp_path / "b.xlsx").write_text("no sheet")
    refused(tmp_path / "b.xlsx", "b.xlsx: not an .xlsx that can be read")


def test_a_mark_between_thousands_is_taken_out_of_nothing_else(tmp_path: Path) -> None:
    days = [f"{day:%d.%m.%Y};1.0{day.day:02},50" for day in pd.date_range("2024-03-01", periods=40)]
    dated = SeriesFile(write(tmp_path / "a.csv", "\n".join(["t;sales", *days])), time_column="t", window=6)
    assert (dated.schema.start[:10], dated.schema.frequency) == ("2024-03-01", "24h")
    assert written(dated)["sales"].iloc[0] == 1001.5
    mixed = write(tmp_path / "b.csv", lines("t;v;sales", "{k};9.{k};1.2{k:02},50"))
    refused(mixed, "column v: '9.0' is not read as a number")


def test_thousands_are_read_where_there_is_no_doubt(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", lines("t,sales", '{k},"1,2{k:02}.50"'))
    module = SeriesFile(file, time_column="t", window=6)
    assert written(module)["sales"].iloc[:3].tolist() == [1200.5, 1201.5, 1202.5]
    euro = write(tmp_path / "b.csv", lines("t;sales", "{k};1.2{k:02},50"))
    assert written(SeriesFile(euro, time_column="t", window=6)).equals(written(module))
    doubt = write(tmp_path / "c.csv", lines("t,sales", '{k},"1,2{k:02}"'))
    refused(doubt, "'1,200' may be 1200 or 1.200", "set thousands to ',' or decimal to ','")
    read = SeriesFile(doubt, time_column="t", window=6, thousands=",")
    assert (written(read)["sales"].iloc[0], read.schema.dtypes) == (1200, ("int64",))
    assert written(SeriesFile(doubt, time_column="t", window=6, decimal=","))["sales"].iloc[1] == 1.201
    both = write(tmp_path / "d.csv", lines("t;a;b", "{k};{k},25;{k}.75"))
    refused(both, "which mark has the decimals? set decimal")
    percent = write(tmp_path / "e.csv", lines("t,v,share", "{k},{v},{k}.5%"))
    refused(percent, "column share: '0.5%' is not read as a number", time_column="t")


def test_whole_numbers_and_flags_stay_what_they_are_beside_gaps(tmp_path: Path) -> None:
    content = lines("t,pulse,on,ph,site", "{k},7{k},True,7.{k:02},0.0005").replace("\n7,77,", "\n7,,")
    file = write(tmp_path / "a.csv", content.replace("\n9,79,True", "\n9,79,").replace("\n3,73,True", "\n3,73,False"))
    with pytest.warns(UserWarning, match="constant"):
        module = SeriesFile(file, time_column="t", window=6, missing="interpolate")
    assert module.schema.dtypes == ("int64", "bool", "float64", "float64")
    frame = written(module)
    assert frame["pulse"].iloc[:3].tolist() == [70, 71, 72]
    assert frame["on"].iloc[:4].tolist() == [True, True, True, False]
    samples = module.load()[0].fields
    samples["x"] = samples["x"] + 0.37
    made = module.schema.frame(np.arange(len(samples["y"])), samples)
    assert set(made["site"]) == {0.0005}
    assert (made["ph"] == made["ph"].round(2)).all()
    assert made["on"].dtype == bool


def test_codes_with_zeros_in_front_are_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = "".join(f"{k},{t},{k + t / 10},{k * 7:05},{20 + k}\n" for k in range(20) for t in range(4))
    file = write(tmp_path / "a.csv", "id,t,v,zip,age\n" + table)
    module = SeriesFile(file, id_column="id", time_column="t", static_columns=["zip", "age"])
    assert module.schema.static_dtypes == ("object", "int64")
    assert written(module)["zip"].unique().tolist()[:3] == ["00000", "00007", "00014"]
    with caplog.at_level("INFO"):  # as a measurement it would lose them
        assert SeriesFile(file, id_column="id", time_column="t").schema.columns == ("v", "age")
    assert "numbers with zeros in front are names: zip" in caplog.text
    asked = SeriesFile(file, id_column="id", time_column="t", value_columns=["zip"])
    assert written(asked)["zip"].unique().tolist()[:3] == ["00000", "00007", "00014"]


def test_headers_of_joined_files_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = (
        lines("t,v,word", '{k},{v:.1f},"a, b"', 40)
        .replace("\n20,", "\nt,v,word\n20,")
        .replace("\n30,", "\nt,v,word\n30,")
    )
    with caplog.at_level("INFO"):
        module = SeriesFile(write(tmp_path / "a.csv", content), time_column="t", window=6, value_columns=["v"])
    assert "the header is there again 2 times, first in line 22: left out" in caplog.text
    assert len(module.load()[0]) == 35
    rows = content.split("\n")
    rows[24] = "22,x,w"
    refused(write(tmp_path / "b.csv", "\n".join(rows)), "b.csv:25, column v: 'x' is no number", value_columns=["v"])


def test_own_marks_for_no_value(tmp_path: Path) -> None:
    content = lines("t,v,w", "{k},{v:.1f},{k}").replace("\n5,", "\n5,-200,5 #").replace("\n8,", "\n8,?,8 #")
    content = "\n".join(line.split(" #")[0] for line in content.split("\n"))
    file = write(tmp_path / "a.csv", content)
    module = SeriesFile(file, time_column="t", window=6, missing="mask", missing_values=[-200, "?"])
    assert module.schema.decimals[0] == 1
    assert float(module.load()[0].fields["observed"][..., 0].min()) == 0
    assert written(module)["v"].min() >= 20


def test_other_encodings_are_named(tmp_path: Path) -> None:
    content = lines("t,Größe", "{k},{v:.1f}")
    file = write(tmp_path / "a.csv", content, "cp1252")
    refused(file, "a.csv:1: not UTF-8", "encoding cp1252")
    assert SeriesFile(file, time_column="t", window=6, encoding="cp1252").schema.columns == ("Größe",)
    wide = write(tmp_path / "b.csv", content, "utf-16")
    assert SeriesFile(wide, time_column="t", window=6).schema.columns == ("Größe",)
    refused(file, "encoding: there is no 'klingon'", encoding="klingon")


def test_bounds_hold_for_samples_and_are_checked_against_the_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "a.csv", lines("t,v,w", "{k},{v:.2f},{k}"))
    for bounds, least, most in (({"v": [15, 26]}, 15, 26), ("train", 20, 25)):
        module = SeriesFile(file, time_column="t", window=6, bounds=bounds)
        rows = module.load()[0].fields
        rows["x"] = rows["x"] * 9 - 4
        values = module.schema.decode(rows["x"])[..., 0]
        assert least <= values.min() < 20.5
        assert 24.5 < values.max() <= most
    refused(file, "bounds: v has the value", "beyond [21", bounds={"v": [21, 30]}, time_column="t")
    shape = "bounds must be train or a mapping of text to [a number, a number] or null, not {'v': 3}"
    refused(file, shape, bounds={"v": 3}, time_column="t")
    with pytest.raises(SystemExit):
        main(["inspect", "--data", "SeriesFile", "--data.path", str(file), "--data.bounds", "{v: 3}"])
    assert f"--data.{shape}" in capsys.readouterr().err.replace("'3'", "3")
    refused(file, "bounds: no column 'u': the columns are v, w", bounds={"u": [0, 1]}, time_column="t")


def test_a_value_far_out_is_pointed_at(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", lines("t,v", "{k},{v:.3f}", 400).replace("\n7,", "\n7,-99999 #"))
    file.write_text("\n".join(line.split(" #")[0] for line in file.read_text().split("\n")))
    with pytest.warns(UserWarning, match=r"v: -99999 lies so far out that 99 % of the values share .*missing_values"):
        SeriesFile(file, time_column="t", window=1)


@pytest.mark.parametrize(
    ("values", "dtype", "decimals"),
    [
        ([1.0, 2.0], "float64", 0),
        ([0.1, 0.25], "float64", 2),
        ([0.1 + 0.2], "float64", -1),
        ([53.7, 1e6], "float32", 1),
        ([1 / 3], "float32", -1),
        ([np.nan], "float64", -1),
        ([1e-13, 1.0], "float64", -1),
        ([7.0], "int64", 0),
    ],
)
def test_decimals(values: list[float], dtype: str, decimals: int) -> None:
    given = np.array(values, dtype=dtype).astype(float)
    assert decimals_of(given, dtype) == decimals
    if dtype == "float64" and decimals >= 0:
        assert (rounded(given + 1e-9, decimals) == given).all()
    assert str(rounded(np.array([-1e-9]), 2)[0]) == "0.0"


def test_decimals_that_are_always_written_are_written_again(tmp_path: Path) -> None:
    lines = [
        f"{k // 8};{k % 8 / 4:.2f};{k % 4 / 2:.2f};{k % 7}.0;{k % 9 / 4};1_200.{k:02};{f'{k}.0' if k % 8 else ''};"
        f"{80 + k // 8:.2f}"
        for k in range(40)
    ]
    text = "\n".join(lines).replace(".", ",").replace("_", ".")
    (tmp_path / "a.csv").write_text("id;t;half;whole;plain;price;gap;weight\n" + text)
    module = SeriesFile(
        tmp_path / "a.csv", id_column="id", time_column="t", static_columns=["weight"], missing="interpolate",
        thousands=".", decimal=",",
    )  # fmt: skip
    written = {"t": 2, "half": 2, "whole": 1, "price": 2, "gap": 1, "weight": 2}
    assert dict(module.schema.written) == written  # of plain, 0.25 stands beside 0.5
    fields = module.load()[0].fields | {"index": torch.arange(5)}
    write_series(module.schema, [fields], tmp_path / "out")
    back = pd.read_csv(tmp_path / "out" / "samples.csv", dtype=str)
    assert list(back.iloc[2]) == ["0", "0.50", "1.00", "2.0", "0.5", "1200.02", "2.0", "80.00"]
    assert {name: set(back[name].str.partition(".")[2].str.len()) for name in written} == {
        name: {decimals} for name, decimals in written.items()
    }
    write_series(module.schema, [fields], tmp_path / "out", "parquet")
    assert pd.read_parquet(tmp_path / "out" / "samples.parquet").dtypes["half"] == np.float64


def test_cells_with_different_decimals_are_written_as_they_need(tmp_path: Path) -> None:
    # The first hundred rows alone do not settle it.
    (tmp_path / "a.csv").write_text("v,w,e\n" + "0.50,0.50,1.5e-3\n" * 120 + "0.5,0.75,2.5e-3\n" * 9)
    module = SeriesFile(tmp_path / "a.csv", window=3)
    assert module.schema.written == (("w", 2),)


def test_wide_rows_are_written_with_the_decimals_that_all_columns_share(tmp_path: Path) -> None:
    row = "0.50,1.00,1.5{}\n"
    for last, written in (("0", (("value", 2),)), ("", ())):
        (tmp_path / "a.csv").write_text(
            "a,b,c\n" + row.format(last) * 8 + "1.50,1.50,1.5\n".replace("5\n", f"5{last}\n")
        )
        assert SeriesFile(tmp_path / "a.csv", form="wide").schema.written == written


def test_a_schema_from_before_decimals_were_kept_is_read_and_gone_on_from(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("v\n" + "0.50\n1.00\n" * 20)
    schema = SeriesFile(tmp_path / "a.csv", window=3).schema
    old = schema.to_dict()
    assert old.pop("written") == [["v", 2]]
    assert Schema.from_dict(old) == schema  # the samples of both are scored against each other
    checkpoint = {"ganaug": {"schema": old}, "hyper_parameters": {}}
    assert compare(checkpoint, {}, schema, (), ()) == {}
    otherwise = {"schema": old | {"written": []}}  # as 0.5 and 1.0, which no model sees
    assert compare({"ganaug": otherwise, "hyper_parameters": {}}, {}, schema, (), ()) == {}
    with pytest.raises(InputError, match="the data's length "):
        compare({"ganaug": {"schema": old | {"length": 4}}, "hyper_parameters": {}}, {}, schema, (), ())
    with pytest.raises(InputError, match="written must be at most 12, not 99"):
        Schema.from_dict(schema.to_dict() | {"written": [["v", 99]]})


def test_dates_that_no_option_names_are_no_categories(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    days = pd.date_range("2024-01-01", periods=12).repeat(10)
    for style in ("%Y-%m-%d %H:%M", "%d.%m.%y", "%m/%d/%Y"):
        way = np.array(["on 1.1.24", "off"])[np.arange(120) % 2]
        table = {"day": days.strftime(style), "v": np.arange(120.0), "way": way}
        pd.DataFrame(table).to_csv(tmp_path / "a.csv", index=False)
        with caplog.at_level("INFO"):
            assert SeriesFile(tmp_path / "a.csv", window=6).schema.columns == ("v", "way")
        assert f"{tmp_path / 'a.csv'}: dates, left out: day; time_column names those of the steps" in caplog.text
        caplog.clear()


@pytest.mark.parametrize("end", ["csv", "xlsx", "parquet"])
@pytest.mark.parametrize(("kind", "marker"), [("float64", "-200"), ("int64", "-200.0")])
def test_a_number_for_no_value_is_known_however_it_is_written(tmp_path: Path, end: str, kind: str, marker: str) -> None:
    table = pd.DataFrame({"v": RNG.integers(2, 9, 60).astype(kind), "w": RNG.random(60)})
    table.loc[[3, 50], "v"] = -200
    if end == "csv":
        table = table.astype({"v": object}).replace({"v": {-200: marker}})
    {"csv": table.to_csv, "xlsx": table.to_excel, "parquet": table.to_parquet}[end](tmp_path / f"a.{end}", index=False)
    module = SeriesFile(tmp_path / f"a.{end}", window=6, missing="mask", missing_values=[marker])
    module.setup()
    assert module.schema.decode(module.train.fields["x"])[..., 0].min() >= 2


def test_a_blank_line_of_a_single_column_is_an_empty_cell(tmp_path: Path) -> None:
    content = "v\n" + "".join("\n" if k == 5 else "  \r\n" if k == 6 else f"{k}\n" for k in range(40)) + "\n\n"
    module = SeriesFile(write(tmp_path / "a.csv", content), window=8, stride=8, missing="mask")
    assert module._rows.values[0, :, 0].tolist() == list(range(8))
    assert module._rows.observed is not None
    assert module._rows.observed[0, :, 0].tolist() == [True] * 5 + [False] * 2 + [True]
    assert len(module._rows) == 5


def test_words_of_an_xlsx_are_those_of_a_csv(tmp_path: Path) -> None:
    table = pd.DataFrame({"id": np.arange(40) // 4, "v": RNG.random(40), "label": ["NA", "EU"] * 20})
    table["label"] = np.where(table["id"] % 2, "NA", "EU")
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_excel(tmp_path / "a.xlsx", index=False)
    for end in ("csv", "xlsx"):
        assert SeriesFile(tmp_path / f"a.{end}", id_column="id", label_column="label").schema.classes == ("EU", "NA")


def test_a_line_of_spaces_does_not_hide_the_semicolons(tmp_path: Path) -> None:
    content = lines("a;b", "{v:.2f};{k}").replace(".", ",") + "   \n"
    assert SeriesFile(write(tmp_path / "a.csv", content), window=6).schema.columns == ("a", "b")


def test_an_attribute_of_numbers_has_no_words(tmp_path: Path) -> None:
    table = pd.DataFrame({"id": np.arange(60) // 3, "v": RNG.random(60), "age": (20 + np.arange(60) // 3).astype(str)})
    table.loc[table["id"] == 4, "age"] = "NA"
    table.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match=r"a\.csv:14, column age: no number, where all others are numbers"):
        SeriesFile(tmp_path / "a.csv", id_column="id", static_columns=["age"])
    table.loc[table["id"] == 5, "age"] = "unknown"  # then they are words
    table.to_csv(tmp_path / "a.csv", index=False)
    assert "NA" in SeriesFile(tmp_path / "a.csv", id_column="id", static_columns=["age"]).schema.static_categories[0]


def test_points_that_may_divide_thousands_are_asked_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    counts = [f"{n // 1000}.{n % 1000:03}" if n >= 1000 else str(n) for n in range(970, 1030)]
    content = "t;v\n" + "".join(f"{k};{cell}\n" for k, cell in enumerate(counts))
    file = write(tmp_path / "a.csv", content)
    refused(file, "'1.000', beside '970', may be 1000 or 1.000: set thousands to '.' or decimal to '.'")
    assert written(SeriesFile(file, thousands=".", window=6, stride=6))["v"].tolist()[28:32] == [998, 999, 1000, 1001]
    assert written(SeriesFile(file, decimal=".", window=6, stride=6))["v"].tolist()[28:32] == [998, 999, 1, 1.001]
    with caplog.at_level("INFO"):  # decimals, most likely
        SeriesFile(write(tmp_path / "b.tsv", lines("t\tv", "{k}\t1.0{k:02}")), window=6)
    assert "numbers like '1.000' have a decimal point" in caplog.text
    SeriesFile(write(tmp_path / "c.tsv", lines("t\tv\tn", "{k}\t0.0{k:02}\t{k}")), window=6)  # no thousand begins so


@pytest.mark.parametrize("end", ["xlsx", "parquet"])
def test_types_stay_what_they_are_beside_gaps_in_every_format(end: str, tmp_path: Path) -> None:
    table = pd.DataFrame({"t": range(60), "n": [k % 9 for k in range(60)], "on": [k % 4 < 2 for k in range(60)]})
    table["v"] = table.n / 4
    table = table.astype({"n": object, "on": object, "v": object})
    table.loc[7, ["n", "on", "v"]] = None
    if end == "xlsx":
        table.to_excel(tmp_path / "a.xlsx", index=False)
    else:
        table.to_parquet(tmp_path / "a.parquet", index=False)
    module = SeriesFile(tmp_path / f"a.{end}", time_column="t", window=6, missing="interpolate")
    assert module.schema.dtypes == ("int64", "bool", "float64")
    assert written(module)["on"].iloc[:3].tolist() == [True, True, False]


def test_exponents_behind_a_decimal_comma(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", lines("t;v", "{k};0,{k}e-3"))
    assert written(SeriesFile(file, time_column="t", window=6))["v"].max() < 1e-3


def test_an_xlsx_of_numbers_and_texts_has_its_thousands(tmp_path: Path) -> None:
    cells = ["1,000", *range(901, 960)]
    pd.DataFrame({"t": range(60), "v": cells}).to_excel(tmp_path / "a.xlsx", index=False)
    file = tmp_path / "a.xlsx"
    assert written(SeriesFile(file, time_column="t", window=6, thousands=","))["v"].tolist()[:3] == [1000, 901, 902]


@pytest.mark.parametrize("start", [2**53, 2**64])
def test_whole_numbers_too_large_for_a_float_are_refused(start: int, tmp_path: Path) -> None:
    content = "t,v\n" + "".join(f"{k},{start + 2 * k + 1}\n" for k in range(60))
    for text in (content, content.replace(f"\n9,{start + 19}", "\n9,")):
        file = write(tmp_path / "a.csv", text)
        refused(file, "is too large to keep all digits: leave the column out", time_column="t", missing="interpolate")
    SeriesFile(write(tmp_path / "b.csv", lines("t,v", "{k},{v}e20")), time_column="t", window=6)  # no digits to lose


def test_the_steps_of_wide_rows_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(
        tmp_path / "a.csv", "age,t0,t1,t2\n" + "".join(f"4{k % 7},{k % 3},{k % 4},{k % 5}\n" for k in range(60))
    )
    odd = pytest.warns(UserWarning, match="though not named like the others: 'age': where they are none, name them")
    with caplog.at_level("INFO"), odd:
        SeriesFile(file, form="wide")
    assert "the steps are 'age', 't0', 't1', 't2', 4 columns; others by value_columns" in caplog.text


def test_many_steps_of_wide_rows_are_named_at_both_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(
        tmp_path / "a.csv",
        ",".join(f"t{t}" for t in range(30)) + "\n" + "".join(",".join([f"{k % 7}"] * 30) + "\n" for k in range(60)),
    )
    with caplog.at_level("INFO"):
        SeriesFile(file, form="wide")
    assert "the steps are 't0', 't1', 't2', …, 't28', 't29', 30 columns" in caplog.text
