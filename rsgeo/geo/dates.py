"""Dates out of text and file names: what was written, how exact it is, and never more.

All results are `DateValue`: ``YYYY-MM`` (month), ``YYYY-MM-DD`` (day) or ``YYYY-MM-DDTHH:MM:SS[.ffffff]Z`` (second, UTC).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta, timezone

from rsgeo.errors import InputError, RsgeoWarning
from rsgeo.scene import DateValue

TIFF_TAG_SOURCE = "tiff tag (may be file time)"

_ISO = re.compile(r"(\d{4})-(\d\d)(?:-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s*(?:([Zz])|([+-])(\d\d):?(\d\d))?)?)?", re.ASCII)
_TIFF6 = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)", re.ASCII)

# Programs that write the moment of saving, or of mosaicking, where others write the moment of acquisition.
_EDITORS = re.compile(
    r"adobe|photoshop|lightroom|gimp|magick|paint|corel|affinity|capture one|irfanview|acdsee|darktable|"
    r"metashape|photoscan|agisoft|pix4d|opendronemap|\bodm\b|webodm|dronedeploy|orthovista|inpho|mosaic|"
    r"arcgis|esri|erdas|imagine|envi\b|qgis|gdal|global mapper|geomatica|rsgeo",
    re.IGNORECASE,
)


def from_iso(text: str, source: str) -> DateValue | None:
    """A month, day or time in ISO 8601 (a blank may stand for the T; no zone means UTC; digits past microseconds are cut).

    None if the text is no such date, or a day the calendar does not have.
    """
    match = _ISO.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, _, sign, zone_hours, zone_minutes = match.groups()
    try:
        if day is None:
            date(int(year), int(month), 1)
            return DateValue(value=f"{year}-{month}", precision="month", source=source)
        if hour is None:
            return DateValue(value=date(int(year), int(month), int(day)).isoformat(), precision="day", source=source)
        zone: timezone = UTC
        if sign is not None:
            offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
            zone = timezone(offset if sign == "+" else -offset)
        micros = int((fraction or "0")[:6].ljust(6, "0"))
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), micros, tzinfo=zone)
        return from_moment(moment, source)
    except (ValueError, OverflowError):
        return None


def from_moment(moment: datetime, source: str) -> DateValue:
    """A time with a zone, to the second or finer where it is finer."""
    utc = moment.astimezone(UTC).replace(tzinfo=None)
    spec = "seconds" if not utc.microsecond else "milliseconds" if utc.microsecond % 1000 == 0 else "microseconds"
    return DateValue(value=utc.isoformat(timespec=spec) + "Z", precision="second", source=source)


def to_moment(value: DateValue) -> datetime:
    """The moment a `DateValue` stands for, in UTC: the time, midnight of the day, or midnight of day 15 of the month (R14)."""
    text = value.value + "-15" if value.precision == "month" else value.value
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def requested_date(text: str) -> DateValue:
    """The date a user typed: ``YYYY-MM``, ``YYYY-MM-DD`` or an ISO time; source "option".

    Raises InputError for anything else, also for days the calendar does not have.
    """
    value = from_iso(text, "option")
    if value is None:
        shown = text if len(text) <= 40 else text[:37] + "..."
        raise InputError(f'"{shown}" is not a date; write YYYY-MM-DD, YYYY-MM or YYYY-MM-DDTHH:MM:SSZ.')
    return value


def from_span(start: str, end: str, source: str) -> DateValue | None:
    """The middle of two ISO times at most one day apart (R9.2): a time if they are within a minute, else the day.

    None if they are further apart, out of order or no times.
    """
    first, last = from_iso(start, source), from_iso(end, source)
    if first is None or last is None or "month" in (first.precision, last.precision):
        return None
    begin = to_moment(first)
    span = to_moment(last) - begin
    if not timedelta(0) <= span <= timedelta(days=1):
        return None
    middle = from_moment(begin + span / 2, source)
    exact = span <= timedelta(minutes=1) and first.precision == last.precision == "second"
    return middle if exact else _cut(middle, "day")


def from_tiff_tag(text: str | None, software: str | None) -> DateValue | None:
    """``TIFFTAG_DATETIME`` if it may be the acquisition (R11): in TIFF 6 form, and not written by an editor or mosaicker."""
    match = _TIFF6.fullmatch((text or "").strip("\0 "))
    if match is None or _EDITORS.search(software or ""):
        return None
    year, month, day, hour, minute, second = match.groups()
    return from_iso(f"{year}-{month}-{day}T{hour}:{minute}:{second}Z", TIFF_TAG_SOURCE)


def from_product_name(name: str) -> DateValue | None:
    """The sensing date in a product's file name, or a full time stamp in any name (R13).

    Two different time stamps in a name no pattern knows are unknown, with an RsgeoWarning that names both.
    """
    for pattern, read in _PRODUCT_NAMES:
        match = pattern.search(name)
        if match is not None and (value := read(*match.groups())) is not None:
            return value
    return _only_one(name, (_compact(match) for match in _TIME_STAMP.findall(name)))


def from_lone_date(name: str) -> DateValue | None:
    """A lone valid YYYYMMDD in a file name, or YYYYMM at its start (USGS orthoimages; month only).

    Two different dates are unknown, with an RsgeoWarning that names both.
    """
    days = [value for match in _LONE_DATE.findall(name) if (value := _compact(match)) is not None]
    if days:
        return _only_one(name, days)
    match = _LEADING_MONTH.match(name)
    return _plausible(f"{match[1][:4]}-{match[1][4:]}") if match else None


def earlier(tag: DateValue | None, named: DateValue | None) -> DateValue | None:
    """Of a TIFF tag and a lone date in the file name, the earlier day: a file is not made before its picture is taken (R11).

    Warns where they differ.
    """
    if tag is None or named is None:
        return tag or named
    tag_day = tag.value[: len(named.value)]
    if tag_day == named.value:
        return tag
    chosen = min((tag, named), key=lambda value: value.value[: len(named.value)])
    warnings.warn(
        f"The file name says {named.value} and TIFFTAG_DATETIME says {tag.value}; {chosen.value} is taken, the earlier one.",
        RsgeoWarning,
        stacklevel=2,
    )
    return chosen


def first_known(candidates: Iterable[DateValue | None]) -> DateValue | None:
    """The first candidate with a day; a later one only adds the time within that UTC day (R9). A month counts only if nothing has a day."""
    month: DateValue | None = None
    day: DateValue | None = None
    for value in candidates:
        if value is None:
            continue
        if value.precision == "month":
            month = month or value
        elif day is None:
            day = value
        elif value.precision == "second" and value.value[:10] == day.value:
            day = value.model_copy(update={"source": f"{value.source} (day from {day.source})"})
        if day is not None and day.precision == "second":
            return day
    return day or month


def _cut(value: DateValue, precision: str) -> DateValue:
    length = {"month": 7, "day": 10}[precision]
    return DateValue.model_validate({"value": value.value[:length], "precision": precision, "source": value.source})


def _plausible(text: str) -> DateValue | None:
    """Digits in a name are a date only within the age of photography from above."""
    value = from_iso(text, "filename")
    return value if value is not None and "1900" <= value.value[:4] < "2100" else None


def _compact(digits: str) -> DateValue | None:
    """YYYYMMDD, YYYYMMDDhhmmss or YYYYMMDDThhmmss."""
    digits = digits.replace("T", "")
    day = f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}"
    return _plausible(day if len(digits) == 8 else f"{day}T{digits[8:10]}:{digits[10:12]}:{digits[12:14]}Z")


def _day_of_year(year: str, day: str) -> DateValue | None:
    try:
        return _plausible(datetime.strptime(f"{year}{day}", "%Y%j").date().isoformat())
    except ValueError:
        return None


def _only_one(name: str, found: Iterable[DateValue | None]) -> DateValue | None:
    values = list(dict.fromkeys(value for value in found if value is not None))
    if len(values) > 1:
        named = " and ".join(value.value for value in values)
        sentence = f"The file name {name} holds {named}; which is the date of acquisition is unknown, give --date."
        warnings.warn(sentence, RsgeoWarning, stacklevel=3)
        return None
    return values[0] if values else None


_TIME_STAMP = re.compile(r"(?<!\d)(\d{8}T\d{6})(?!\d)", re.ASCII)
_LONE_DATE = re.compile(r"(?<!\d)(\d{8})(?!\d)", re.ASCII)
_LEADING_MONTH = re.compile(r"(\d{6})_", re.ASCII)

_Read = Callable[..., DateValue | None]
_PRODUCT_NAMES: tuple[tuple[re.Pattern[str], _Read], ...] = tuple(
    (re.compile(pattern, re.ASCII), read)
    for pattern, read in (
        (r"S2[ABC]_MSIL(?:1C|2A)_(\d{8}T\d{6})_", _compact),
        (r"T\d{2}[A-Z]{3}_(\d{8}T\d{6})_", _compact),
        (r"S1[ABC]_\w\w_\w{4}_\w{4}_(\d{8}T\d{6})_", _compact),
        (r"L[COTEM]\d{2}_L\w{3}_\d{6}_(\d{8})_\d{8}_", _compact),
        (r"L[COTEM]\d\d{6}(\d{4})(\d{3})[A-Z]{3}\d\d", _day_of_year),
        (r"^m_\d{7}_[ns][ew]_\d\d_\w+?_(\d{8})", _compact),
        (r"\.A(\d{4})(\d{3})\.", _day_of_year),
        (r"^(\d{8})_(\d{6})_", lambda day, time: _compact(day + time)),
        (r"AST_L1T_\d{3}(\d\d)(\d\d)(\d{4})(\d{6})_", lambda month, day, year, time: _compact(year + month + day + time)),
    )
)
