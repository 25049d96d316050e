"""Scene metadata as numbers: DiffusionSat's table, and the properties of rsgeo's own features."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rsgeo import encoding
from rsgeo.errors import InputError
from rsgeo.scene import DateValue, SceneMetadata, Value

TABLE = json.loads((Path(__file__).parents[1] / "data" / "diffusionsat" / "data" / "metadata_normalize.json").read_text())["rows"]

LONS = st.floats(-180, 180, exclude_max=True)
LATS = st.floats(-90, 90)
GSDS = st.floats(0.01, 10_000)
CLOUDS = st.floats(0, 100)
DAYS = st.dates(date(1980, 1, 1), date(2099, 12, 31))


def scene(
    lon: float | None = None,
    lat: float | None = None,
    gsd: float | None = None,
    day: date | str | None = None,
    cloud: float | None = None,
) -> SceneMetadata:
    def value(number: float | None) -> Value | None:
        return None if number is None else Value(value=number, source="test")

    when = None if day is None else DateValue(value=str(day), precision="month" if len(str(day)) == 7 else "day", source="test")
    return SceneMetadata(lon=value(lon), lat=value(lat), gsd=value(gsd), date=when, cloud_cover_percent=value(cloud))


def blocks(one: SceneMetadata) -> dict[str, NDArray[Any]]:
    ends = np.cumsum(list(encoding.RSGEO_FIELDS.values()))
    return dict(zip(encoding.RSGEO_FIELDS, np.split(encoding.rsgeo(one), ends[:-1]), strict=True))


def physical(row: dict[str, Any]) -> SceneMetadata:
    """The scene that a row of the table speaks of: there the offsets are in, cloud cover is a fraction, and zeros are unknown."""
    lon, lat, gsd, cloud, year, month, day = row["raw_offset"]
    if not any(row["raw_offset"]):
        return SceneMetadata()
    when = None if (year, month, day) == (0, 0, 0) else date(round(year) + 1980, round(month), round(day))
    return scene(lon - 180, lat - 90, gsd, when, cloud * 100)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row["name"])
def test_diffusionsat_table(row: dict[str, Any]) -> None:
    np.testing.assert_allclose(encoding.diffusionsat(physical(row)), row["normalized"], rtol=1e-6, atol=1e-4)


def test_diffusionsat_unknown_is_zero_field_by_field() -> None:
    known = encoding.diffusionsat(scene(10, 50, 10, "2020-07-23", 20))
    assert (known != 0).all()
    for name, index in {"lon": 0, "lat": 1, "gsd": 2, "cloud": 3}.items():
        values: dict[str, Any] = {"lon": 10, "lat": 50, "gsd": 10, "day": "2020-07-23", "cloud": 20, name: None}
        part = encoding.diffusionsat(scene(**values))
        assert part[index] == 0
        assert (np.delete(part, index) == np.delete(known, index)).all()
    assert (encoding.diffusionsat(scene(10, 50, 10, None, 20))[4:] == 0).all()


def test_month_is_its_fifteenth() -> None:
    assert (encoding.diffusionsat(scene(day="2020-07")) == encoding.diffusionsat(scene(day="2020-07-15"))).all()


def test_batch_and_unknown() -> None:
    scenes = [scene(10, 50, 10), SceneMetadata()]
    assert encoding.encode(scenes, "sinusoid").shape == (2, 7)
    assert encoding.encode(scenes, "rsgeo").shape == (2, sum(encoding.RSGEO_FIELDS.values()))
    assert encoding.encode(scenes, "rsgeo").dtype == np.float32
    assert (encoding.unknown(3, "sinusoid") == np.zeros((3, 7))).all()
    assert np.isnan(encoding.unknown(3, "rsgeo")).all()


@given(LONS, LATS, GSDS, DAYS, CLOUDS)
def test_rsgeo_known_is_finite_and_small(lon: float, lat: float, gsd: float, day: date, cloud: float) -> None:
    features = encoding.rsgeo(scene(lon, lat, gsd, day, cloud))
    assert (np.abs(features) <= 2.0).all()


@given(st.sets(st.sampled_from(["place", "gsd", "date", "cloud_cover"])))
def test_rsgeo_unknown_is_nan_in_its_own_field_only(known: set[str]) -> None:
    one = scene(
        lon=12 if "place" in known else None,
        lat=48 if "place" in known else None,
        gsd=10 if "gsd" in known else None,
        day="2021-03-01" if "date" in known else None,
        cloud=5 if "cloud_cover" in known else None,
    )
    for name, block in blocks(one).items():
        assert np.isnan(block).all() if name not in known else np.isfinite(block).all()


def test_rsgeo_half_a_place_is_no_place() -> None:
    assert np.isnan(blocks(scene(lon=12))["place"]).all()
    assert np.isnan(blocks(scene(lat=48))["place"]).all()


@given(LATS, st.floats(0, 1e-4))
def test_rsgeo_place_does_not_jump_at_180_degrees(lat: float, step: float) -> None:
    east, west = (blocks(scene(lon, lat))["place"] for lon in (180 - 1e-9 - step, -180 + step))
    # the highest octave turns by 16 pi an Earth radius: two points 2e-4 degrees apart differ by less than 2e-4
    np.testing.assert_allclose(east, west, atol=3e-4)


@given(LONS, LONS, st.sampled_from([-90.0, 90.0]))
def test_rsgeo_pole_has_no_longitude(one: float, other: float, lat: float) -> None:
    np.testing.assert_allclose(blocks(scene(one, lat))["place"], blocks(scene(other, lat))["place"], atol=1e-6)


@given(DAYS)
def test_rsgeo_date_moves_a_little_each_day(day: date) -> None:
    today, tomorrow = (blocks(scene(day=when))["date"] for when in (day, day + timedelta(days=1)))
    assert 0 < np.abs(today - tomorrow).max() < 2 * np.pi / 365 + 1e-6


@given(GSDS, GSDS)
def test_rsgeo_tells_gsds_apart(one: float, other: float) -> None:
    first, second = (blocks(scene(gsd=metres))["gsd"] for metres in (one, other))
    assert np.abs(first - second).max() >= 0.06 * min(1.0, abs(np.log2(one / other))) - 1e-5


@pytest.mark.parametrize("gsd", [0.0, -10.0])
def test_rsgeo_refuses_a_gsd_that_is_none(gsd: float) -> None:
    with pytest.raises(InputError, match="positive"):
        encoding.rsgeo(scene(gsd=gsd))


def test_explain_names_the_fields() -> None:
    one = scene(0, 0, 10)
    assert encoding.explain(one, "sinusoid") == dict(zip(encoding.DIFFUSIONSAT_FIELDS, [500, 500, 10000, 0, 0, 0, 0], strict=True))
    explained = encoding.explain(one, "rsgeo")
    assert explained["date"] is None and explained["cloud_cover"] is None
    assert len(explained["place"]) == encoding.RSGEO_FIELDS["place"]
