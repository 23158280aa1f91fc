"""Times as people write them, and the same again in samples."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datamodules import InputError, SeriesFile

HOURS = pd.date_range("2024-03-30 01:00", periods=60, freq="h")


def module(folder: Path, times, values=None, **options) -> SeriesFile:
    values = np.arange(len(times)) % 7 + 0.25 if values is None else values
    pd.DataFrame({"when": times, "v": values}).to_csv(folder / "a.csv", index=False)
    return SeriesFile(folder / "a.csv", time_column="when", **{"window": 12, **options})


def back(made: SeriesFile, series: int = 0) -> list[str]:
    """The times of one of its rows, as samples have them."""
    rows = {name: field[series : series + 1] for name, field in made.load()[0].fields.items()}
    return made.schema.frame(np.arange(1), rows)["when"].astype(str).tolist()


def test_a_zone_is_kept_through_a_change_of_its_clocks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    local = pd.date_range("2024-03-30 20:00", periods=60, freq="h", tz="Europe/Berlin")
    with caplog.at_level("INFO"):
        made = module(tmp_path, [time.isoformat() for time in local])
    assert made.schema.zone == "Europe/Berlin"
    assert "clocks change as in Europe/Berlin" in caplog.text
    assert len(made.load()[0]) == 49  # the change is no uneven step
    found = back(made)
    assert found == [time.isoformat() for time in local[:12]]
    assert found[5:7] == ["2024-03-31T01:00:00+01:00", "2024-03-31T03:00:00+02:00"]
    new_york = pd.date_range("2024-03-09 20:00", periods=60, freq="h", tz="America/New_York")
    assert module(tmp_path, [time.isoformat() for time in new_york]).schema.zone == "America/New_York"


@pytest.mark.parametrize(
    ("ending", "zone"), [("+05:30", "+05:30"), ("-0800", "-08:00"), ("Z", "UTC"), ("+00:00", "UTC")]
)
def test_offsets_are_kept(ending: str, zone: str, tmp_path: Path) -> None:
    times = [time.strftime("%Y-%m-%dT%H:%M:%S") + ending for time in HOURS]
    made = module(tmp_path, times)
    assert made.schema.zone == zone
    assert back(made) == times[:12]


def test_offsets_of_no_zone_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    times = [
        f"{time:%Y-%m-%dT%H:%M:%S}+{(time.hour % 2):02}:15"
        for time in pd.date_range("2024-01-01", periods=40, freq="3h")
    ]
    with caplog.at_level("INFO"):
        module(tmp_path, times, irregular=True)
    assert "offsets change as in no known time zone" in caplog.text


@pytest.mark.parametrize(
    ("style", "steps"),
    [
        ("%Y%m%d", "D"), ("%Y%m", "MS"), ("%Y%m%d%H%M", "h"), ("%Y%m%d%H", "h"), ("%Y%m%d%H%M%S", "h"),
        ("%m/%d/%Y %I:%M %p", "h"), ("%d.%m.%Y %H:%M", "h"), ("%d %b %Y", "D"), ("%d-%b-%Y", "D"), ("%B %d, %Y", "D"),
        ("%-m/%-d/%Y %H:%M", "h"), ("%Y/%m/%d", "D"), ("%d.%m.%y", "D"), ("%Y-%m-%d %H:%M", "h"),
    ],
)  # fmt: skip
def test_styles_are_read_and_written(style: str, steps: str, tmp_path: Path) -> None:
    dates = pd.date_range("2024-03-30", periods=60, freq=steps)
    times = [date.strftime(style) for date in dates]
    made = module(tmp_path, times)
    assert made.schema.start == dates[0].isoformat()
    assert back(made) == times[:12]


def test_numbers_that_are_no_dates_stay_numbers(tmp_path: Path) -> None:
    for first in (20231330, 20240131 * 10, 5):  # a thirteenth month, nine digits, one
        made = module(tmp_path, np.arange(60) + first)
        assert (made.schema.start, made.schema.time_format) == (str(first), "")


def test_a_gap_is_filled_in_by_dates_and_not_by_their_digits(tmp_path: Path) -> None:
    times = [*pd.date_range("2024-01-20", periods=14).strftime("%Y%m%d")]
    values = ["100"] * 12 + ["", "150"]  # 31 January, none for 1 February, 2 February
    made = module(tmp_path, times, values, missing="interpolate", window=14, val_fraction=0.0, test_fraction=0.0)
    assert made.schema.decode(made.load()[0].fields["x"])[0, -3:, 0].tolist() == [100, 125, 150]


def test_what_is_not_read_is_shown_beside_what_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'Mo 1\. Woche' is neither a number nor a date.*; read are 2024-12-31"):
        module(tmp_path, ["Mo 1. Woche"] * 60)


@pytest.mark.parametrize("unit", ["dates", "numbers"])
def test_windows_do_not_reach_over_missing_steps(unit: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = np.r_[0:200, 272:600]
    times = pd.date_range("2024-01-01", periods=600, freq="h")[kept] if unit == "dates" else kept * 0.5
    with caplog.at_level("INFO"):
        made = module(tmp_path, times, kept)
    assert f"{tmp_path / 'a.csv'}:202, column when: steps are missing before this one: 11 of 517 windows" in caplog.text
    values = made.schema.decode(made.load()[0].fields["x"])[..., 0]
    assert (np.diff(values, axis=1) == 1).all()
    assert made.schema.frequency == ("h" if unit == "dates" else "0.5")


def test_irregular_times_keep_their_resolution(tmp_path: Path) -> None:
    passed = np.cumsum(np.random.default_rng(0).integers(80, 120, 300))
    micro = pd.Timestamp("2024-01-01") + pd.to_timedelta(passed, unit="us")
    for times in (micro, (passed * 1e-6).round(6), passed):
        made = module(tmp_path, times, irregular=True)
        assert back(made) == pd.Series(times[:12]).astype(str).tolist()
        rows = made.load()[0].fields
        rows["x"] = rows["x"] * 0
        samples = made.schema.frame(np.arange(len(rows["y"])), rows).iloc[:12]["when"]
        assert samples.nunique() == 12


def test_offsets_of_hours_alone_are_kept(tmp_path: Path) -> None:
    times = [f"{time:%Y-%m-%d %H:%M:%S}+02" for time in HOURS]
    made = module(tmp_path, times)
    assert (made.schema.zone, made.schema.start) == ("+02:00", "2024-03-30T01:00:00+02:00")
    assert back(made) == times[:12]
    half = [f"{time:%Y-%m-%d %H:%M:%S}+05:30" for time in HOURS]
    assert back(module(tmp_path, half)) == half[:12]
    zone = pd.date_range("2024-03-30 20:00", periods=60, freq="h", tz="Europe/Berlin")
    short = [f"{time:%Y-%m-%d %H:%M:%S%z}"[:-2] for time in zone]
    berlin = module(tmp_path, short)
    assert berlin.schema.zone == "Europe/Berlin"
    assert back(berlin) == short[:12]


def test_offsets_of_some_cells_alone_are_refused(tmp_path: Path) -> None:
    for odd, words in (("", "has no offset from UTC, unlike the first"), ("Z", "has an offset from UTC")):
        plain = "Z" if not odd else ""
        times = [f"{time:%Y-%m-%d %H:%M:%S}{odd if k == 5 else plain}" for k, time in enumerate(HOURS)]
        with pytest.raises(InputError, match=f"a.csv:7, column when: .*{words}"):
            module(tmp_path, times)


def test_days_of_a_test_file_are_read_as_those_of_the_first(tmp_path: Path) -> None:
    days = pd.date_range("2024-01-20", periods=60)
    first = module(tmp_path, [f"{day:%d/%m/%Y}" for day in days])
    assert first.schema.frequency == "24h"
    early = pd.DataFrame({"when": [f"{day:%d/%m/%Y}" for day in pd.date_range("2024-02-01", periods=12)], "v": 1.0})
    early.to_csv(tmp_path / "b.csv", index=False)
    made = SeriesFile(tmp_path / "a.csv", tmp_path / "b.csv", time_column="when", window=12)
    assert len(made.load()[1]) == 1


@pytest.mark.parametrize("style", ["%y/%m/%d", "%y.%m.%d", "%y-%m-%d", "%d/%m/%y", "%d.%m.%y", "%m/%d/%y %H:%M"])
@pytest.mark.parametrize("count", [28, 90, 300])
def test_two_digits_of_a_year_in_front_or_behind(
    style: str, count: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    days = pd.date_range("2024-01-01", periods=count)
    with caplog.at_level("INFO"):
        made = module(tmp_path, days.strftime(style))
    assert made.schema.start.startswith("2024-01-01")
    assert made.schema.frequency == "24h"
    assert back(made) == list(days[:12].strftime(style))
    assert ("dates with the year first: 24" in caplog.text) == style.startswith("%y")


def test_months_with_the_year_behind_are_no_days_of_years(tmp_path: Path) -> None:
    months = pd.date_range("2015-01-15", periods=40, freq="MS") + pd.Timedelta(days=14)
    made = module(tmp_path, months.strftime("%d/%m/%y"), irregular=True)
    assert made.schema.start.startswith("2015-02-15")


def test_text_finer_than_a_microsecond_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.csv:3, column when: .* is finer than a microsecond"):
        module(tmp_path, pd.date_range("2024-01-01", periods=40, freq="1500ns"))
