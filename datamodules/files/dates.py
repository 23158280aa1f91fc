"""Dates as a table writes them: read with the zone they are in, and written the same way."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo

import numpy as np
import pandas as pd

OFFSET = re.compile(r"(Z|[+-]\d{2}(?::?\d{2})?)$")
BEHIND_TIME = re.compile(r"\d[T ]?\d.*:\d\d(?:[.,]\d+)?\s?(?:Z|[+-]\d{2}(?::?\d{2})?)$")  # no year's end, as -0100
# Dates written as whole numbers, by their digits.
WHOLE = {6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
DAYS = (
    "%m.%d.%Y", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%y",
    "%d/%m/%y", "%m/%d/%y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%d. %B %Y", "%b %d %Y", "%b %d, %Y",
    "%B %d, %Y", "%b %Y", "%a %d %b %Y", "%a, %d %b %Y",
)  # fmt: skip
YEAR_FIRST = ("%y/%m/%d", "%y.%m.%d", "%y-%m-%d")  # with as few digits as the day and the month
HOURS = (
    "", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", "T%H:%M", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %I:%M%p", " %I %p",
    ", %H:%M", ", %H:%M:%S", ", %I:%M %p", ", %I:%M:%S %p",
)  # fmt: skip
STYLES = "2024-12-31 23:59:00, 31.12.2024 23:59, 12/31/2024 11:59 PM, 31 Dec 2024, 20241231"
# Zones that a file with such offsets most likely means; any other is found, too.
USUAL = (
    "Europe/Berlin", "Europe/London", "Europe/Helsinki", "America/New_York", "America/Chicago", "America/Denver",
    "America/Los_Angeles", "America/Sao_Paulo", "Australia/Sydney", "Pacific/Auckland",
)  # fmt: skip


@dataclass(frozen=True)
class Dates:
    """A column of dates.

    Args:
        times: microseconds since 1970 int64 (R,), in UTC where there is a zone, else as the clock showed.
        format: how they are written, as ``strftime`` has it, with ``%:z`` for an offset with a colon and, as in GNU's
            ``date``, ``%:::z`` for one of as few parts as it needs; empty for pandas' own way.
        zone: a name such as ``Europe/Berlin``, an offset such as ``+05:30``, or empty.
        said: what was found out, for a line; empty where there is nothing to say.
    """

    times: np.ndarray
    format: str = ""
    zone: str = ""
    said: str = ""


def zone_of(name: str) -> tzinfo | None:
    """The zone of a name; None of an empty one.

    Raises:
        ValueError: there is none.
    """
    if not name:
        return None
    if found := re.fullmatch(r"([+-])(\d{2}):(\d{2})", name):
        minutes = int(found[2]) * 60 + int(found[3])
        return timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes))
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, OSError):
        raise ValueError(f"no time zone {name!r}") from None


def written(dates: pd.DatetimeIndex, format: str) -> np.ndarray | pd.DatetimeIndex:
    """Dates (R,) in a format: text, or whole numbers where the format is one of these; as they are without one."""
    if not format:
        return dates if dates.tz is not None else np.asarray(dates.to_numpy())
    text = np.asarray(dates.strftime(re.sub("%:+z", "%z", format)), dtype=object)
    if short := re.search("%(:+)z", format):
        least = len(short[1]) == 3
        text = np.array([one[:-2] + ("" if least and one[-2:] == "00" else f":{one[-2:]}") for one in text], object)
    return text.astype(np.int64) if format in WHOLE.values() else text


def whole_dates(numbers: np.ndarray) -> Dates | None:
    """Whole numbers (R,) as dates, if all of them are some: YYYYMMDD, or with more or fewer parts."""
    if not len(numbers) or not (numbers == np.floor(numbers)).all() or not (numbers > 0).all():
        return None
    lengths = {len(str(int(numbers.min()))), len(str(int(numbers.max())))}
    if len(lengths) > 1 or (format := WHOLE.get(lengths.pop())) is None:
        return None
    parsed = pd.to_datetime(pd.Series(numbers.astype(np.int64).astype(str)), format=format, errors="coerce")
    if parsed.isna().any() or not parsed.dt.year.between(1900, 2100).all():
        return None
    example = f"{int(numbers[0])} is {parsed.iloc[0]:%d %B %Y}"
    return Dates(_microseconds(parsed), format, said=f"whole numbers that are dates: {example}")


def read_dates(cells: pd.Series, refuse: Callable[[np.ndarray, str], None], known: str = "") -> Dates:
    """A column of dates as text.

    Args:
        cells: text (R,), none of them empty.
        refuse: called with the cells that are wrong, bool (R,), and why; returns where none is.
        known: how they are written, as :class:`Dates` says it, of cells that may be meant in more than one way.
    """
    text = cells.astype(str).str.strip()
    behind = text.str.contains(BEHIND_TIME, regex=True).to_numpy()
    refuse(behind != behind[0], f"has {'no' if behind[0] else 'an'} offset from UTC, unlike the first time")
    offsets = _offsets(text) if behind.all() else None
    bare = text.str.replace(OFFSET, "", regex=True) if offsets is not None else text
    parsed, said = pd.to_datetime(bare, errors="coerce", format="ISO8601"), ""
    format = pd.tseries.api.guess_datetime_format(str(bare.iloc[0])) or "" if parsed.notna().all() else ""
    if parsed.isna().any():  # another way to write dates, the same for all
        others = [(one, pd.to_datetime(bare, errors="coerce", format=one)) for one in _styles(str(bare.iloc[0]))]
        others = _year_at_one_end(others, known)
        whole = [one for one in others if one[1].notna().all()]
        if len(whole) > 1 and (differs := (whole[0][1] != whole[1][1]).to_numpy()).any():
            meant = [one for one in whole if one[0] == _plain(known)]
            if not meant:
                meant = [one for one in others if one[0].startswith("%d.%m")]
                if not meant:
                    refuse(differs, "may have the day or the month first: write dates as 2024-12-31")
                said = f"dates with the day first: {text.iloc[0]} is {meant[0][1].iloc[0]:%d %B %Y}"
            others = meant
        format, parsed = max([("", parsed), *others], key=lambda one: int(one[1].notna().sum()))
        if format.startswith(YEAR_FIRST) and not known:
            said = f"dates with the year first: {text.iloc[0]} is {parsed.iloc[0]:%d %B %Y}"
    refuse(parsed.isna().to_numpy(), f"is neither a number nor a date like the others; read are {STYLES}")
    local = pd.Series(parsed)
    refuse((local != local.dt.floor("us")).to_numpy(), "is finer than a microsecond: give times as whole numbers")
    if offsets is None:
        midnight = (local == local.dt.normalize()).all()
        usual = "%Y-%m-%d" if midnight else "%Y-%m-%d %H:%M:%S"  # what pandas writes
        style = _style(format, local, text)
        return Dates(_microseconds(local), "" if style == usual else style, said=said)
    times = _microseconds(local) - offsets * 60_000_000
    zone, found = _zone(times, offsets)
    sign = text.iloc[0]
    ending = "Z" if sign.endswith("Z") else "%:z" if sign[-3] == ":" else "%z" if sign[-5] in "+-" else "%:::z"
    style = _style(format, local, bare)
    return Dates(times, style + ending if style else "", zone, "; ".join(filter(None, [said, found])))


def _microseconds(dates: pd.Series) -> np.ndarray:
    return np.asarray(dates.to_numpy().astype("datetime64[us]").astype(np.int64))


def _plain(known: str) -> str:
    """A style as :class:`Dates` says it, as ``strptime`` has it, without its offset."""
    return re.sub("%:*z$|Z$", "", known.replace("%-", "%"))


def _year_at_one_end(ways: list[tuple[str, pd.Series]], known: str) -> list[tuple[str, pd.Series]]:
    """Of ways to read dates, those that have two digits of a year in front, or those that do not.

    24/01/02 may be the second of January and the 24th. Where all dates can be read either way it is the one by which
    they lie much closer together: days of a month, and not one day of many years.
    """
    front = [way for way in ways if way[0].startswith(YEAR_FIRST)]
    rest = [way for way in ways if not way[0].startswith(YEAR_FIRST)]
    if known:
        return front if _plain(known).startswith(YEAR_FIRST) else rest
    first, last = (
        min((dates.max() - dates.min() for _, dates in part if dates.notna().all()), default=pd.Timedelta.max)
        for part in (front, rest)
    )
    return front if first < last / 4 else rest


def _styles(cell: str) -> list[str]:
    """The formats in which a cell is a date."""
    found = []
    for one in (date + time for date in (*DAYS, *YEAR_FIRST) for time in HOURS):
        try:
            datetime.strptime(cell, one)
        except ValueError:
            continue
        found.append(one)
    return found


def _style(format: str, dates: pd.Series, cells: pd.Series) -> str:
    """The format if dates written by it are the cells, else the one without zeros in front, else none."""
    if not format:
        return ""
    some = np.unique(np.linspace(0, len(dates) - 1, 500).astype(np.int64))
    sample, wanted = pd.DatetimeIndex(dates.iloc[some]), cells.iloc[some].to_numpy()
    bare = re.sub(r"%([dmHI])", r"%-\1", format)
    dates_alone = re.sub(r"%([dm])", r"%-\1", format)
    for one in (format, dates_alone, bare, format.replace(".%f", "").replace("%f", "")):
        try:
            if (np.asarray(sample.strftime(one), dtype=object) == wanted).all():
                return one
        except ValueError:  # a flag that this platform does not know
            continue
    return ""


def _offsets(cells: pd.Series) -> np.ndarray:
    """Minutes before UTC of each cell, all of which end in an offset, int64 (R,)."""
    found = cells.str.extract(OFFSET, expand=False)
    known = {one: _minutes(one) for one in found.unique()}
    return np.asarray(found.map(known), dtype=np.int64)


def _minutes(offset: str) -> int:
    if offset == "Z":
        return 0
    minutes = int(offset[1:3]) * 60 + int(offset[3:].removeprefix(":") or 0)
    return -minutes if offset[0] == "-" else minutes


def _zone(times: np.ndarray, offsets: np.ndarray) -> tuple[str, str]:
    """The zone whose clocks showed these offsets (R,) at these times (R,), and what to say of it."""
    if (offsets == offsets[0]).all():
        minutes = abs(int(offsets[0]))
        name = "UTC" if not minutes else f"{'-' if offsets[0] < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
        return name, ""
    order = np.argsort(times, kind="stable")
    changes = np.flatnonzero(np.diff(offsets[order]))
    points = order[np.unique(np.concatenate([[0, len(order) - 1], changes, changes + 1]))]
    at = pd.to_datetime(times[points], unit="us", utc=True)
    wanted = [timedelta(minutes=int(offset)) for offset in offsets[points]]
    others = sorted(name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith("Etc/"))
    for name in dict.fromkeys((*USUAL, *others)):
        zone = zoneinfo.ZoneInfo(name)
        if [moment.astimezone(zone).utcoffset() for moment in at.to_pydatetime()] == wanted:
            return name, f"clocks change as in {name}: samples do, too"
    return "UTC", "offsets change as in no known time zone: samples are in UTC"
