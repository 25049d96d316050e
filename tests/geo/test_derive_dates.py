"""Dates: of names, of tags, of what users type; never more exact than they were written."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsgeo.errors import InputError, RsgeoWarning
from rsgeo.geo import dates
from rsgeo.geo.derive import parse_requested_date
from rsgeo.scene import DateValue

NAMES = [
    ("S2A_MSIL2A_20220722T105631_N0400_R094_T31TCN_20220722T171159.tif", "2022-07-22T10:56:31Z"),
    ("S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126.SAFE", "2022-04-13T15:07:59Z"),
    ("T06VVN_20190629T212529_B02_10m.tif", "2019-06-29T21:25:29Z"),
    ("S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.tif", "2021-08-09T17:39:53Z"),
    ("LC08_L2SP_005009_20150710_20200908_02_T2_SR_B4.TIF", "2015-07-10"),
    ("LC08_L2SR_099120_20191129_20201016_02_T2_SR_B4.TIF", "2019-11-29"),
    ("LC80101172015002LGN00_B4.TIF", "2015-01-02"),
    ("m_3008501_ne_16_1_20110815.tif", "2011-08-15"),
    ("m_3211605_ne_11_060_20200415.tif", "2020-04-15"),
    ("m_3907864_sw_17_060_20210912_20211111.tif", "2021-09-12"),
    ("MCD43A4.A2001055.h25v06.006.2016113010159.tif", "2001-02-24"),
    ("20170831_172754_101c_3B_AnalyticMS.tif", "2017-08-31T17:27:54Z"),
    ("AST_L1T_00305032000040446_20150409135350_78838.tif", "2000-05-03T04:04:46Z"),
    ("SkySat_20170831T195552Z_RGB.tif", "2017-08-31T19:55:52Z"),
    ("201404_13SED190110_201404_0x1500m_CL_1_mask.tif", "2014-04"),
    ("S2L1C_609U_541L_3_0.tif", None),
    ("s2a_l2a_fishbourne.tif", None),
    ("LC08_LST_crop.tif", None),
    ("cog_gcps_ovr.tif", None),
    ("dataset_tiff_datetime.tif", None),
]


@pytest.mark.parametrize(("name", "value"), NAMES)
def test_file_names(name: str, value: str | None) -> None:
    found = dates.from_product_name(name) or dates.from_lone_date(name)
    assert (found.value if found else None) == value


@pytest.mark.parametrize("name", ["field_20210230.tif", "a_123456789012.tif", "x_99990101.tif", "201413_a.tif", "20170831_999999_a.tif"])
def test_digits_that_are_no_date(name: str) -> None:
    found = dates.from_product_name(name) or dates.from_lone_date(name)
    assert found is None or found.value == "2017-08-31"


@pytest.mark.parametrize("name", ["a_20200101_20210101.tif", "a_20200101T000000_20210101T000000.tif"])
def test_two_dates_in_a_name_are_unknown_and_both_named(name: str) -> None:
    with pytest.warns(RsgeoWarning, match="2020-01-01.* and 2021-01-01"):
        assert (dates.from_product_name(name) or dates.from_lone_date(name)) is None


def test_the_same_date_twice_is_one() -> None:
    assert dates.from_lone_date("a_20200101_20200101.tif") == DateValue(value="2020-01-01", precision="day", source="filename")


@pytest.mark.parametrize(
    ("tag", "software", "accepted"),
    [
        ("2017:08:31 17:27:54", None, True),
        ("2021:04:01 06:57:06", "Sentinel-1 IPF 003.31", True),
        ("2017:09:01 11:47:27", "Adobe Photoshop CC 2015.5 (Macintosh)", False),
        ("2017:09:01 11:47:27", "Agisoft Metashape", False),
        ("2017:09:01 11:47:27", "rsgeo 0.1.0", False),
        ("2023-10-30 11:37:13", "DeltaDTM.jl v1.0", False),
        ("2017:02:30 11:47:27", None, False),
        ("0000:00:00 00:00:00", None, False),
        ("", None, False),
        (None, None, False),
    ],
)
def test_tiff_tag_counts_only_in_form_and_from_no_editor(tag: str | None, software: str | None, accepted: bool) -> None:
    found = dates.from_tiff_tag(tag, software)
    assert (found is not None) == accepted
    assert found is None or found.source == "tiff tag (may be file time)"


def test_of_tag_and_name_the_earlier_wins_with_a_warning() -> None:
    tag = dates.from_tiff_tag("2021:11:11 07:17:56", None)
    for name, value in (("a_20210912.tif", "2021-09-12"), ("a_20211212.tif", "2021-11-11T07:17:56Z")):
        with pytest.warns(RsgeoWarning, match="the earlier"):
            found = dates.earlier(tag, dates.from_lone_date(name))
        assert found is not None
        assert found.value == value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dates.earlier(tag, dates.from_lone_date("a_20211111.tif")) == tag
        assert dates.earlier(tag, dates.from_lone_date("202111_a.tif")) == tag


@pytest.mark.parametrize(
    ("text", "value", "precision"),
    [
        ("2021-07", "2021-07", "month"),
        ("2021-07-01", "2021-07-01", "day"),
        ("2020-02-29", "2020-02-29", "day"),
        ("2021-07-01T12:30", "2021-07-01T12:30:00Z", "second"),
        ("2021-07-01 12:30:05", "2021-07-01T12:30:05Z", "second"),
        ("2021-07-01T12:30:05.25Z", "2021-07-01T12:30:05.250Z", "second"),
        ("2021-07-01T00:30:00+02:00", "2021-06-30T22:30:00Z", "second"),
        ("2023-06-10T07:46:21.000000000", "2023-06-10T07:46:21Z", "second"),
        ("2015-07-10T14:34:35.9783990Z", "2015-07-10T14:34:35.978399Z", "second"),
    ],
)
def test_requested_dates(text: str, value: str, precision: str) -> None:
    assert parse_requested_date(text) == DateValue.model_validate({"value": value, "precision": precision, "source": "option"})


@pytest.mark.parametrize(
    "text",
    ["2021-02-30", "2021-13", "2021-00-01", "yesterday", "NaN", "", "2021", "20210701", "2021-7-1", "2021-07-01T25:00", "2021-07-01T",
     "x" * 500, "2021-07-01\n2021", "0000-01-01", "2021-07-01T12:00:00+99:00", "٢٠٢١-٠٧-٠١"],
)  # fmt: skip
def test_what_is_no_date_is_refused_in_one_short_sentence(text: str) -> None:
    with pytest.raises(InputError, match="is not a date; write YYYY-MM-DD") as refused:
        parse_requested_date(text)
    assert len(str(refused.value)) < 150


def test_spans() -> None:
    day = dates.from_span("2009-08-18T00:00:00Z", "2009-08-18T23:59:59Z", "s")
    assert day == DateValue(value="2009-08-18", precision="day", source="s")
    short = dates.from_span("2020-12-11T22:38:32.125Z", "2020-12-11T22:38:32.327Z", "s")
    assert short == DateValue(value="2020-12-11T22:38:32.226Z", precision="second", source="s")
    assert dates.from_span("2009-08-18T00:00:00Z", "2009-08-20T00:00:00Z", "s") is None
    assert dates.from_span("2009-08-18T00:00:00Z", "2009-08-17T00:00:00Z", "s") is None
    assert dates.from_span("2009-08", "2009-08", "s") is None


def test_the_first_day_wins_and_only_the_same_day_adds_a_time() -> None:
    def at(value: str, source: str) -> DateValue | None:
        return dates.from_iso(value, source)

    day, same, other, month = at("2015-07-10", "a"), at("2015-07-10T14:34:35Z", "b"), at("2016-07-10T14:34:35Z", "c"), at("2014-04", "d")
    found = dates.first_known([None, day, other, same])
    assert found == DateValue(value="2015-07-10T14:34:35Z", precision="second", source="b (day from a)")
    assert dates.first_known([day, other]) == day
    assert dates.first_known([month, day]) == day
    assert dates.first_known([month, None]) == month
    assert dates.first_known([]) is None


def test_a_month_stands_for_its_fifteenth() -> None:
    value = dates.from_iso("2014-04", "x")
    assert value is not None
    assert dates.to_moment(value) == datetime(2014, 4, 15, tzinfo=UTC)


@given(st.datetimes(timezones=st.timezones(), min_value=datetime(1900, 1, 2), max_value=datetime(2100, 1, 1)))
def test_every_moment_survives_its_text(moment: datetime) -> None:
    value = dates.from_moment(moment, "x")
    assert dates.to_moment(value) == moment.astimezone(UTC)
    assert dates.from_iso(value.value, "x") == value


@given(st.text())
def test_no_text_is_too_odd(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for found in (
            dates.from_iso(text, "x"),
            dates.from_product_name(text),
            dates.from_lone_date(text),
            dates.from_tiff_tag(text, text),
        ):
            assert found is None or dates.from_iso(found.value, found.source) == found
