"""Tables as people have them: two files that go together, no header, an index, an offset, a stray quote."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from datamodules import AugmentedDataModule, SeriesFile
from datamodules.series.store import write_series
from tests.datamodules.files.test_cells import lines, refused, write, written


def test_a_second_file_has_the_marks_of_the_first(tmp_path: Path) -> None:
    train = write(tmp_path / "a.csv", lines("t;v", "{k};1.2{k:02},50"))
    test = write(tmp_path / "b.csv", lines("t;v", "{k};1.2{k:02}"))
    module = SeriesFile(train, test, time_column="t", window=6)
    x = module.load()[1].fields["x"]
    np.testing.assert_allclose(module.schema.decode(x)[0, :3, 0], [1200, 1201, 1202], atol=1e-3)


def test_a_point_is_no_mark_beside_a_decimal_comma(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", lines("t;units;temp", "{k};1.2{k:02};0,{k}"))
    refused(file, "column units: '1.200' is not read as a number: set decimal or thousands", decimal=",")
    assert written(SeriesFile(file, decimal=",", thousands=".", window=6))["units"].iloc[1] == 1201


@pytest.mark.parametrize("form", ["long", "wide"])
def test_a_first_row_of_numbers_is_no_header(tmp_path: Path, form: str) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 4)).round(3)
    pd.DataFrame(rows).to_csv(tmp_path / "a.csv", index=False, header=False)
    refused(write(tmp_path / "twice.csv", "1,1,0.5\n2,2,0.7\n"), "twice.csv:1: 1, 1, 0.5 are numbers", form=form)
    refused(tmp_path / "a.csv", "a.csv:1: 0.126, -0.132, 0.64, 0.105 are numbers", "a line of names", form=form)
    for names in (range(4), [2019, 2020, 2021, 2022], ["0.0", "0.5", "1.0", "1.5"]):  # steps, years, times
        pd.DataFrame(rows, columns=names).to_csv(tmp_path / "b.csv", index=False)
        assert SeriesFile(tmp_path / "b.csv", form="wide").schema.length == 4


def test_the_columns_of_a_wide_test_file_are_those_of_the_first(tmp_path: Path) -> None:
    table = pd.DataFrame(np.arange(240.0).reshape(40, 6), columns=[f"t{k}" for k in range(6)])
    table.to_csv(tmp_path / "a.csv", index=False)
    table[table.columns[::-1]].assign(score=99).to_csv(tmp_path / "b.csv", index=False)
    module = SeriesFile(tmp_path / "a.csv", tmp_path / "b.csv", form="wide")
    train, test, _ = module.load()
    assert module.schema.length == 6
    assert torch.equal(test.fields["x"], train.fields["x"])


def test_an_index_without_a_name_is_no_measurement(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = pd.DataFrame({"v": np.arange(60) % 7 / 4})
    table[table.v > 0.3].to_parquet(tmp_path / "a.parquet")
    with caplog.at_level("INFO"):
        assert SeriesFile(tmp_path / "a.parquet", window=6).schema.columns == ("v",)
    assert "an index without a name" in caplog.text
    table.set_index(pd.date_range("2024-03-01", periods=60)).to_parquet(tmp_path / "b.parquet")
    assert SeriesFile(tmp_path / "b.parquet", window=6, time_column="index").schema.frequency == "24h"


def test_columns_of_lists_are_left_out_and_of_categories_read(tmp_path: Path) -> None:
    lists = [[1, 2]] * 60
    state = pd.Categorical(["on", "off"] * 30)
    pd.DataFrame({"v": np.arange(60.0), "more": lists, "state": state}).to_parquet(tmp_path / "a.parquet")
    assert SeriesFile(tmp_path / "a.parquet", window=6).schema.columns == ("v", "state")


def test_sheets_have_the_rows_and_names_that_people_see(tmp_path: Path) -> None:
    pd.DataFrame([[0, 1.5, None], [1, None, None]], columns=["t", "v", None]).to_excel(tmp_path / "a.xlsx", index=False)
    refused(tmp_path / "a.xlsx", "a.xlsx:3, column v: no value")
    pd.DataFrame([[0, 1.5, 2.0]], columns=["t", "v", "v"]).to_excel(tmp_path / "b.xlsx", index=False)
    refused(tmp_path / "b.xlsx", "the column v is there twice")
    pd.DataFrame([[0, 1.5, 2.0]], columns=["t", "v", None]).to_excel(tmp_path / "c.xlsx", index=False)
    refused(tmp_path / "c.xlsx", "a column has no name")


def test_spaces_around_names_ids_and_words_are_no_part_of_them(tmp_path: Path) -> None:
    content = "id, t, v,size\n" + "".join(f"a{' ' * (k % 2)},{k},{k}.5,big{' ' * (k % 3)}\n" for k in range(20))
    module = SeriesFile(
        write(tmp_path / "a.csv", content), id_column="id", time_column="t", static_columns=["size"], window=6
    )
    assert (module.schema.columns, module.schema.static_categories) == (("v",), (("big",),))
    assert len(module.load()[0]) == 15  # of one series


def test_attributes_are_numbers_or_words_in_all_rows(tmp_path: Path) -> None:
    def table(name: str, ages: list[str]) -> Path:
        rows = [f"{k},{t},{t}.5,{age}" for k, age in enumerate(ages) for t in range(3)]
        return write(tmp_path / name, "\n".join(["id,t,v,age", *rows]))

    options = {"id_column": "id", "time_column": "t", "static_columns": ["age"]}
    numbers = table("a.csv", [str(30 + k) for k in range(12)])
    assert SeriesFile(numbers, **options).schema.static_categories == ((),)
    unknown = table("b.csv", [*(str(30 + k) for k in range(11)), "?"])
    refused(unknown, "b.csv:35, column age: no number, where all others are numbers", **options)
    with pytest.raises(ValueError, match="the attribute age is of numbers in one split and of words in another"):
        SeriesFile(numbers, table("c.csv", ["old"] * 3), **options)


def test_whole_times_keep_all_digits(tmp_path: Path) -> None:
    for step in (1_000_000, 100):  # nanoseconds
        file = write(tmp_path / "a.csv", lines("t,v", f"{{k}}{step},{{v}}").replace(str(step), ""))
        times = 1711843200000000007 + step * np.arange(60)
        pd.read_csv(file).assign(t=times).to_csv(file, index=False)
        module = SeriesFile(file, time_column="t", window=6)
        assert module.schema.frequency == str(step)
        assert written(module)["t"].iloc[:6].tolist() == times[:6].tolist()


def test_times_have_no_noise_of_binary_digits(tmp_path: Path) -> None:
    module = SeriesFile(
        write(tmp_path / "a.csv", "t,v\n" + "".join(f"{k / 10},{k}\n" for k in range(60))), time_column="t", window=6
    )
    assert written(module)["t"].iloc[:5].tolist() == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_one_mark_that_is_no_value_is_none_of_a_time_or_label(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "t,v,label\n" + "".join(f"{k},{k % 5},{k // 30}\n" for k in range(60)))
    module = SeriesFile(file, time_column="t", window=6, missing_values=[0], missing="interpolate")
    assert (module.schema.start, module.schema.classes) == ("0", ("0", "1"))
    assert written(module)["v"].min() == 1


def test_words_that_say_nothing_are_empty_in_both_files(tmp_path: Path) -> None:
    content = "t,v,state\n" + "".join(f"{k},{k % 5},{('idle', 'run', 'NA')[k % 3]}\n" for k in range(60))
    file, test = (write(tmp_path / name, content) for name in ("a.csv", "b.csv"))
    module = SeriesFile(file, test, time_column="t", window=6, missing="interpolate")
    assert module.schema.categories == ((), ("idle", "run"))


def test_samples_with_numbers_for_labels_are_read_back(tmp_path: Path) -> None:
    rows = "".join(f"{k};{t};{k % 7},5;{('0,5', '1,5')[k % 2]}\n" for k in range(40) for t in range(3))
    module = SeriesFile(
        write(tmp_path / "a.csv", "id;t;v;dose\n" + rows), id_column="id", time_column="t", label_column="dose"
    )
    module.setup()
    batch = module.load()[0].fields
    write_series(module.schema, [{**batch, "index": batch["row"]}], tmp_path / "samples")
    AugmentedDataModule(module, tmp_path / "samples" / "samples.csv").setup()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("t;v;w\n" + "1;2;3\n" * 40 + "1;2\n" + "1;2;3\n" * 9, ["a.csv:42: 2 fields, where the header names 3"]),
        ('t,v,note\n0,1.5,"open\n' + "1,2,3\n" * 30000, ["a.csv:2: no CSV", "check the quotes from there on"]),
        (
            "t,v\n" + "".join(f"{k},{'#DIV/0!' if k % 2 else k / 4}\n" for k in range(40)),
            ["column v: '#DIV/0!' is not read as a number", "missing_values"],
        ),
        ("t,v\n" + "".join(f"{k},{k}\n" for k in range(9)).replace("4,4", "4,"), ["a.csv:6, column v: no value"]),
    ],
)
def test_what_is_wrong_is_said_where_it_is(tmp_path: Path, content: str, words: list[str]) -> None:
    refused(write(tmp_path / "a.csv", content), *words)


def test_attributes_may_be_all_that_has_decimal_commas(tmp_path: Path) -> None:
    rows = "".join(f"{k};{t};{t % 7};{20 + k},5\n" for k in range(20) for t in range(3))
    file = write(tmp_path / "a.csv", "id;t;v;age\n" + rows)
    module = SeriesFile(file, id_column="id", time_column="t", static_columns=["age"])
    assert (module.schema.static_categories, module.schema.static_decimals) == (((),), (1,))


def test_long_cells_and_long_tables_are_read(tmp_path: Path) -> None:
    wide = ";".join(f"c{k}" for k in range(4000)) + "\n"
    row = ";".join(f"{k},25" for k in range(4000)) + "\n"
    module = SeriesFile(write(tmp_path / "a.csv", wide + row * 200), form="wide")  # over four million letters
    assert module.schema.length == 4000
    note = write(
        tmp_path / "b.csv", "v,note\n" + "".join(f"{k},{'x' * 140_000 if k == 3 else f'y{k}'}\n" for k in range(20))
    )
    assert SeriesFile(note, window=6).schema.columns == ("v",)


def test_a_line_for_excel_names_the_separator(tmp_path: Path) -> None:
    content = lines("t;v", "{k};{v:.2f}").replace(".", ",")
    module = SeriesFile(write(tmp_path / "a.csv", "sep=;\r\n" + content), time_column="t", window=6)
    assert written(module).equals(written(SeriesFile(write(tmp_path / "b.csv", content), time_column="t", window=6)))
    refused(write(tmp_path / "c.csv", "sep=;\n" + content.replace("\n3;", "\n;3;")), "c.csv:6: 3 fields")


def test_two_bytes_a_letter_without_a_mark(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", lines("t,v", "{k},{v}"), encoding="utf-16-le")
    refused(file, "zero bytes between the others, as in UTF-16")
    assert SeriesFile(file, time_column="t", window=6, encoding="utf-16-le").schema.columns == ("v",)


def test_codes_with_zeros_in_front_are_names_in_any_file(tmp_path: Path) -> None:
    codes = [f"{k % 4:05}" for k in range(60)]
    table = pd.DataFrame({"zip": codes, "v": np.arange(60) / 4})
    table.to_parquet(tmp_path / "a.parquet")
    table.to_csv(tmp_path / "b.csv", index=False, lineterminator="\r")
    write(tmp_path / "c.csv", "v,zip\n" + "".join(f"{k / 4}, {code}\n" for k, code in enumerate(codes)))
    for name in ("a.parquet", "b.csv", "c.csv"):
        schema = SeriesFile(tmp_path / name, window=6).schema
        assert dict(zip(schema.columns, schema.categories, strict=True))["zip"] == ("00000", "00001", "00002", "00003")


def test_a_test_file_of_another_rate_is_warned_of(tmp_path: Path) -> None:
    file, slow = (write(tmp_path / f"{step}.csv", lines("t,v", "{k},{v}")) for step in (1, 60))
    pd.read_csv(slow).assign(t=60 * np.arange(60)).to_csv(slow, index=False)
    with pytest.warns(UserWarning, match="a step every 60, in .* every 1"):
        SeriesFile(file, slow, time_column="t", window=6)


def test_what_is_tested_on_is_not_trained_on(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", lines("t,v", "{k},{v}"))
    refused(file, "is", "itself, so that it would be trained on", test_path=file)
    write(tmp_path / "samples.csv", lines("t,v", "{k},{v}"))  # all that is read of the folder
    SeriesFile(tmp_path, file, time_column="t", window=6)
