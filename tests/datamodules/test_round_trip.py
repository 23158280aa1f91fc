"""Tables made at random, like people's: what is read of them is written back cell by cell, and samples are like it."""

import warnings
import zoneinfo
from datetime import UTC, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datamodules import SeriesFile
from datamodules.series.store import write_series

CELLS = {  # how a column writes a number between 0 and 1
    "whole": lambda u: str(int(u * 1000) - 200),
    "one decimal": lambda u: f"{u * 90:.1f}",
    "three decimals": lambda u: f"{u - 0.5:.3f}",
    "flag": lambda u: str(u > 0.5),
    "constant": lambda u: "0.0005",
    "point nought": lambda u: f"{int(u * 40)}.0",
}
STYLES = [
    "",
    "%Y-%m-%dT%H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%m/%d/%Y %I:%M %p",
    "%Y%m%d%H",
    "%Y-%m-%dT%H:%M:%S%:z",
    "%d %b %Y %H:%M",
]
ZONES = [timezone(timedelta(hours=5, minutes=30)), zoneinfo.ZoneInfo("Europe/Berlin"), UTC]
STATIC = {
    "code": lambda k: f"{k * 7:05}",
    "age": lambda k: str(20 + k),
    "weight": lambda k: f"{50 + k / 4:.2f}",
    "town": lambda k: "AB"[k % 2],
}


@st.composite
def tables(draw: st.DrawFn) -> dict:
    """Cells as text, and how the file writes them."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    series, steps = draw(st.integers(12, 20)), draw(st.integers(3, 9))
    kinds = draw(st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=4))
    table = {"id": np.repeat(np.arange(series), steps).astype(str)}
    if style := draw(st.sampled_from([None, *STYLES])):
        zone = draw(st.sampled_from(ZONES)) if "%:z" in style else None
        hours = pd.date_range("2024-03-30 13:00", periods=steps, freq=draw(st.sampled_from(["h", "2h", "6h"])), tz=zone)
        times = [time.strftime(style.replace("%:z", "%z")) for time in hours]
        if "%:z" in style:
            times = [f"{time[:-2]}:{time[-2:]}" for time in times]
        table["when"] = np.tile(times, series)
    elif style == "":
        table["when"] = np.tile(pd.date_range("2024-02-27 01:00", periods=steps, freq="h").astype(str), series)
    for k, kind in enumerate(kinds):
        table[f"v{k}"] = np.array([CELLS[kind](u) for u in rng.random(series * steps)])
    static = draw(st.lists(st.sampled_from(sorted(STATIC)), max_size=3, unique=True))
    table |= {name: np.repeat([STATIC[name](k) for k in range(series)], steps) for name in static}
    if labelled := draw(st.booleans()):
        table["kind"] = np.repeat([f"class {k % 3}" for k in range(series)], steps)
    gaps = rng.random((series * steps, len(kinds))) < (0.1 if draw(st.booleans()) else 0.0)
    gaps[::steps] = False
    return {
        "table": pd.DataFrame(table), "kinds": kinds, "static": static, "labelled": labelled, "gaps": gaps,
        "separator": draw(st.sampled_from([",", ";", "\t"])), "comma": draw(st.booleans()),
    }  # fmt: skip


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=tables())
@pytest.mark.filterwarnings("ignore")
def test_cells_come_back_as_they_came(made: dict, tmp_path: Path) -> None:
    table, values = made["table"], [f"v{k}" for k in range(len(made["kinds"]))]
    source = table.copy()
    for k, name in enumerate(values):
        source.loc[made["gaps"][:, k], name] = ""
    comma = made["comma"] and made["separator"] != ","
    if comma:
        for name in (*values, *({"weight"} & set(made["static"]))):
            source[name] = source[name].str.replace(".", ",")
    source.to_csv(tmp_path / "source.csv", index=False, sep=made["separator"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constants
        module = SeriesFile(
            tmp_path / "source.csv",
            id_column="id",
            time_column="when" if "when" in table else None,
            static_columns=made["static"],
            label_column="kind" if made["labelled"] else None,
            missing="interpolate",
            decimal="," if comma else None,
        )
    schema, rows = module.schema, module.load()[0].fields
    rows["index"] = torch.arange(len(rows["y"]))
    write_series(schema, [rows], tmp_path / "out")
    back = pd.read_csv(tmp_path / "out" / "samples.csv", dtype=str, keep_default_na=False)
    columns = [name for name in table.columns if name in back.columns]
    assert columns == list(table.columns)
    for name in columns:
        there = ~made["gaps"][:, values.index(name)] if name in values else np.ones(len(table), dtype=bool)
        found, wanted = (cells[name][there].tolist() for cells in (back, table))
        assert found == wanted, name

    # Samples, whatever a model makes of them, have the same columns, types, decimals and zone when they are read back.
    rng = torch.Generator().manual_seed(0)
    samples = {**rows, "x": torch.rand(rows["x"].shape, generator=rng) * 1.2 - 0.1}
    write_series(schema, [samples], tmp_path / "made")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = SeriesFile(
            tmp_path / "made" / "samples.csv", id_column="id", time_column=schema.time or "step",
            static_columns=made["static"], label_column="kind" if made["labelled"] else None,
        ).schema  # fmt: skip
    assert (again.columns, again.dtypes, again.zone, again.time_format, again.start) == (
        schema.columns, schema.dtypes, schema.zone, schema.time_format, schema.start,
    )  # fmt: skip
    assert all(a <= b for a, b in zip(again.decimals, schema.decimals, strict=True))
    assert again.static_dtypes == schema.static_dtypes
