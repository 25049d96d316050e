"""Grids: the world lattice, references exactly, and the ground under them."""

from __future__ import annotations

import json
import math
import warnings
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer
from shapely.geometry import shape

from rsgeo.errors import GeoreferenceError, InputError, RsgeoWarning
from rsgeo.geo import aoi, grid
from rsgeo.request import GridRecord

DATA = Path(__file__).parents[1] / "data"


def _quiet(function: Any, *args: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RsgeoWarning)
        return function(*args, **options)


# --- coordinate systems


def test_codes_and_texts_become_one_crs_and_back() -> None:
    assert grid.crs_text(grid.parse_crs("32633")) == grid.crs_text(grid.parse_crs("epsg:32633")) == "EPSG:32633"
    assert grid.crs_text(grid.parse_crs("EPSG:9518")) == "EPSG:4326"  # the horizontal part of a compound one
    assert grid.crs_text(grid.parse_crs("ESRI:102039")) == "ESRI:102039"
    unnamed = grid.parse_crs("+proj=laea +lat_0=10 +lon_0=20 +datum=WGS84")
    assert grid.parse_crs(grid.crs_text(unnamed)) == unnamed and grid.crs_text(unnamed).startswith("PROJCRS")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("EPSG:999999", "EPSG:999999 is not a known code"),
        ("foo", "not a coordinate system"),
        ("", "not a coordinate system"),
        ("EPSG:4978", "no map coordinate system"),
        ("EPSG:5703", "no map coordinate system"),
        ("+proj=longlat +R=3396190 +no_defs", "not on the Earth"),
    ],
)
def test_what_is_no_crs_is_refused_in_a_sentence(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        grid.parse_crs(text)


@pytest.mark.parametrize(
    ("lon", "lat", "zone"),
    [
        (5.3, 60.4, 32),
        (2.9, 60, 31),
        (15.6, 78.2, 33),
        (8.9, 78, 31),
        (20.9, 78, 33),
        (33.1, 78, 37),
        (-180, 10, 1),
        (180, 10, 1),
        (179.9, 10, 60),
    ],
)
def test_utm_zones_have_the_exceptions_of_norway_and_svalbard(lon: float, lat: float, zone: int) -> None:
    assert grid.utm_zone(lon, lat) == zone


def test_the_crs_follows_the_place_and_the_width_of_an_area() -> None:
    assert grid.choose_crs(aoi.from_bounds(14, 46, 15, 47)).to_epsg() == 32633
    assert grid.choose_crs(aoi.from_bounds(14, -46, 15, -45)).to_epsg() == 32733
    assert grid.choose_crs(aoi.from_bounds(179, -18, -179, -17)).to_epsg() in (32701, 32760)
    assert grid.choose_crs(aoi.from_bounds(0, 85, 10, 86)).to_epsg() == 5041
    assert grid.choose_crs(_quiet(aoi.read, DATA / "aoi" / "am_south-pole.json")).to_epsg() == 5042
    with pytest.warns(RsgeoWarning, match="too wide"):
        wide = grid.choose_crs(aoi.from_bounds(0, 40, 30, 50))
    assert wide.coordinate_operation is not None and "Azimuthal Equal Area" in wide.coordinate_operation.method_name
    for world in (aoi.from_bounds(-180, -90, 180, 90), aoi.from_bounds(-170, -10, 170, 10)):
        with pytest.raises(InputError, match="give --crs"):
            grid.choose_crs(world)


# --- from an area to a grid


def test_edges_snap_outward_with_exact_numbers() -> None:
    record = grid.for_aoi(aoi.from_bounds(600_000, 5_100_000, 600_600.2, 5_100_300, crs="EPSG:32633"), resolution="0.3", crs="EPSG:32633")
    assert (record.col, record.row, record.width, record.height) == (2_000_000, -17_001_000, 2001, 1000)
    assert record.lattice == ("0.3", "0", "0", "0", "-0.3", "0")
    assert grid.geobox(record).affine == Affine(0.3, 0, 600_000, 0, -0.3, 5_100_300)
    again = grid.for_aoi(aoi.from_bounds(600_000, 5_100_000, 600_600.2, 5_100_300, crs="EPSG:32633"), gsd="0.30", crs="EPSG:32633")
    assert again == record


@settings(max_examples=100, deadline=None)
@given(
    size=st.sampled_from(["0.3", "0.1", "10", "7.3"]),
    x=st.floats(-1.9e7, 1.9e7),
    y=st.floats(-1.9e7, 1.9e7),
    width=st.integers(1, 50),
    height=st.integers(1, 50),
)
def test_the_edges_of_cells_are_the_cells_again_however_far_from_the_origin(size: str, x: float, y: float, width: int, height: int) -> None:
    cell = Fraction(size)
    col, row = round(Fraction(x) / cell), round(Fraction(y) / cell)
    left, top, right, bottom = (float(number * cell) for number in (col, -row, col + width, -(row + height)))
    record = grid.for_aoi(aoi.from_bounds(left, bottom, right, top, crs="EPSG:3857"), resolution=size, crs="EPSG:3857")
    assert (record.col, record.row, record.width, record.height) == (col, row, width, height)
    assert tuple(grid.geobox(record).affine)[:6] == (float(cell), 0, left, 0, -float(cell), top)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "ten", "", "1e400", "1" * 50])
def test_sizes_that_are_none_are_refused(text: str) -> None:
    place = aoi.from_bounds(14, 46, 14.1, 46.1)
    for option in ("gsd", "resolution"):
        with pytest.raises(InputError, match=f"--{option}"):
            grid.for_aoi(place, **{option: text})
    with pytest.raises(InputError, match="either"):
        grid.for_aoi(place)


def test_an_area_without_a_pixel_centre_is_refused() -> None:
    with pytest.raises(InputError, match="no pixel centre"):
        grid.for_aoi(aoi.from_bounds(500_001, 5_000_001, 500_003, 5_000_003, crs="EPSG:32633"), gsd="1000")


@pytest.mark.parametrize(("lat", "units"), [(0, 10.03), (60, 19.97), (-45, 14.14)])
def test_web_mercator_units_are_not_metres(lat: int, units: float) -> None:
    with pytest.warns(RsgeoWarning, match="--resolution sets it exactly"):
        record = grid.for_aoi(aoi.from_bounds(10, lat - 0.01, 10.02, lat + 0.01), gsd="10", crs="EPSG:3857")
    assert float(record.lattice[0]) == pytest.approx(units, rel=1e-3)
    assert grid.ground(record).gsd_m == pytest.approx(10, rel=2e-3)


def test_degrees_and_feet_are_converted_and_said() -> None:
    place = aoi.from_bounds(-75.2, 39.9, -75.1, 40)
    for crs in ("EPSG:4326", "EPSG:2272"):
        with pytest.warns(RsgeoWarning, match="a pixel of"):
            assert grid.ground(grid.for_aoi(place, gsd="10", crs=crs)).gsd_m == pytest.approx(10, rel=1e-2)


@pytest.mark.parametrize(
    "name", ["am_split.json", "am_issues-174.json", "am_multi-split.json", "am_one-hole.json", "am_south-pole.json", "am_north-pole.json"]
)
def test_areas_across_the_antimeridian_and_the_poles_lie_in_one_compact_grid(name: str) -> None:
    place = _quiet(aoi.read, DATA / "aoi" / name)
    size = math.sqrt(place.area_km2) * 1000
    record = _quiet(grid.for_aoi, place, gsd=f"{size / 150:.0f}")
    assert record.width * record.height < 8 * 150**2
    box_ = grid.bounds_lonlat(record)
    assert box_.crosses_antimeridian or (box_.west, box_.east) == (-180, 180)
    footprint = shape(grid.footprint_lonlat(record))
    assert footprint.is_valid and footprint.area > 0.99 * place.lonlat.area


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_a_crs_that_tears_at_the_antimeridian_is_refused_for_what_crosses_it(crs: str) -> None:
    with pytest.raises(InputError, match="tears it apart"):
        _quiet(grid.for_aoi, aoi.from_bounds(179, -18, -179, -17), gsd="100", crs=crs)
    assert grid.for_aoi(aoi.from_bounds(179, -18, 180, -17), resolution="0.01", crs="EPSG:4326").width == 100


PLACES = st.tuples(st.floats(-179, 178), st.floats(-79, 83), st.floats(0.001, 0.5), st.floats(0.001, 0.5))
SIZES = st.sampled_from(["0.3", "0.6", "1", "10", "30", "7.3", "1000"])


@settings(max_examples=40, deadline=None)
@given(PLACES, SIZES)
def test_the_grid_covers_the_area_and_no_more_than_a_pixel_beyond(place: tuple[float, float, float, float], size: str) -> None:
    lon, lat, width, height = place
    area = aoi.from_bounds(lon, lat, lon + width, lat + height)
    zone = grid.choose_crs(area)
    try:
        record = grid.for_aoi(area, gsd=size)
    except InputError as error:
        assert "no pixel centre" in str(error)
        return
    left, bottom, right, top = shapely.transform(
        shapely.segmentize(area.geometry, 0.001), Transformer.from_crs(4326, zone, always_xy=True).transform, interleaved=False
    ).bounds
    found, pixel = grid.geobox(record).boundingbox, float(size)
    slack = 0.15 * pixel + 0.01
    assert found.left <= left + slack and found.right >= right - slack and found.bottom <= bottom + slack and found.top >= top - slack
    assert left - found.left < pixel + slack and found.right - right < pixel + slack and bottom - found.bottom < pixel + slack
    assert all((Fraction(repr(value)) / Fraction(size)).denominator == 1 for value in (round(found.left, 6), round(found.top, 6)))


@settings(max_examples=12, deadline=None)
@given(st.floats(13.1, 16.5), st.floats(40, 50), st.floats(-0.2, 0.2), SIZES)
def test_overlapping_areas_of_a_zone_share_their_cells(lon: float, lat: float, shift: float, size: str) -> None:
    one = grid.for_aoi(aoi.from_bounds(lon, lat, lon + 0.3, lat + 0.3), gsd=size, crs="EPSG:32633")
    other = grid.for_aoi(aoi.from_bounds(lon + shift, lat, lon + shift + 0.3, lat + 0.3), gsd=size, crs="EPSG:32633")
    assert (one.crs, one.lattice) == (other.crs, other.lattice)
    assert grid.window_geobox(one, other.row - one.row, other.col - one.col, other.height, other.width) == grid.geobox(other)


# --- references


@settings(max_examples=200, deadline=None)
@given(*[st.floats(-1e7, 1e7, allow_nan=False) for _ in range(6)], st.integers(1, 10**6), st.integers(1, 10**6))
def test_a_reference_keeps_its_affine_exactly(a: float, b: float, c: float, d: float, e: float, f: float, width: int, height: int) -> None:
    transform = Affine(a, b, c, d, e, f)
    if Fraction(repr(a)) * Fraction(repr(e)) == Fraction(repr(b)) * Fraction(repr(d)) or transform == Affine.identity():
        return
    record = grid.from_transform("EPSG:32633", transform, width, height)
    found = grid.geobox(record)
    assert tuple(found.affine) == tuple(transform) and found.shape == (height, width)
    assert GridRecord.model_validate_json(record.model_dump_json()) == record


@pytest.mark.parametrize("size", ["10", "0.6", "0.3", "7.3", "0.0001"])
def test_a_raster_made_for_an_area_lies_on_its_lattice_again(size: str) -> None:
    made = grid.for_aoi(aoi.from_bounds(500_003, 5_000_007, 500_107, 5_000_099, crs="EPSG:32633"), gsd=size)
    assert grid.from_transform(made.crs, grid.geobox(made).affine, made.width, made.height) == made


@pytest.mark.parametrize("path", sorted((DATA / "rasters").rglob("*.tif")), ids=lambda path: path.name)
def test_real_rasters_keep_their_grid(path: Path) -> None:
    with rasterio.open(path) as source:
        if source.crs is None or source.transform.is_identity:
            return
        try:
            record = grid.from_transform(source.crs, source.transform, source.width, source.height)
        except InputError as error:
            assert "not on the Earth" in str(error)
            return
        found = grid.geobox(record)
        assert found.affine == source.transform and found.shape == source.shape
        assert CRS(found.crs).to_2d() == CRS(source.crs).to_2d() or record.crs.count(":") == 1


@pytest.mark.parametrize("transform", [Affine.identity(), Affine(1, 2, 0, 2, 4, 0), Affine(0, 0, 0, 0, 0, 0), Affine(float("nan"), 0, 0, 0, -1, 0)])
def test_a_transform_that_places_nothing_is_refused(transform: Affine) -> None:
    with pytest.raises(GeoreferenceError):
        grid.from_transform("EPSG:32633", transform, 10, 10)


def test_an_edited_lattice_is_refused() -> None:
    record = GridRecord(crs="EPSG:32633", lattice=("1e999999999", "0", "0", "0", "-1", "0"), col=0, row=0, width=1, height=1)
    with pytest.raises(InputError, match="edited"):
        grid.geobox(record)


# --- the ground


def test_gsd_is_a_geodesic_at_the_centre() -> None:
    record = grid.from_transform("EPSG:4326", Affine(1e-4, 0, 10, 0, -1e-4, 60.0005), 10, 10)
    found = grid.ground(record)
    assert found.gsd_col_m == pytest.approx(5.580, abs=1e-3) and found.gsd_row_m == pytest.approx(11.141, abs=1e-3)
    assert found.gsd_m == pytest.approx(math.sqrt(found.gsd_col_m * found.gsd_row_m), rel=1e-9)
    assert (found.lon, found.lat) == (pytest.approx(10.0005), pytest.approx(60))


def test_gsd_at_a_pole_is_that_of_the_map() -> None:
    for epsg in (5041, 5042):
        record = grid.from_transform(f"EPSG:{epsg}", Affine(9900, 0, 2e6 - 49500, 0, -9900, 2e6 + 49500), 10, 10)
        assert grid.ground(record).gsd_m == pytest.approx(9900 / 0.994, rel=1e-4)


def test_many_centres_agree_with_one_and_with_their_neighbours_grid() -> None:
    record = grid.for_aoi(aoi.from_bounds(14, 46, 14.1, 46.1), gsd="10")
    xs, ys = [0.5, 100, 200.5], [0.5, 300, 7]
    lon, lat = grid.centres_lonlat(record, xs, ys)
    gsd = grid.gsd_at(record, xs, ys)
    for index, (x, y) in enumerate(zip(xs, ys, strict=True)):
        single = grid.ground_at(record, x, y)
        assert (lon[index], lat[index]) == (round(single.lon, 6), round(single.lat, 6))
        assert gsd[index] == pytest.approx(single.gsd_m, rel=1e-5)
    shifted = grid.window(record, -1000, 512, 10, 10)
    assert (grid.centres_lonlat(shifted, [x - 512 for x in xs], [y + 1000 for y in ys])[0] == lon).all()
    assert (grid.gsd_at(shifted, [x - 512 for x in xs], [y + 1000 for y in ys]) == gsd).all()


def test_longitudes_stay_below_180() -> None:
    record = grid.from_transform("EPSG:4326", Affine(1, 0, 179.5, 0, -1, 0.5), 2, 1)
    assert grid.centres_lonlat(record, [0.5, 1.5], [0.5, 0.5])[0].tolist() == [-180, -179]


def test_a_place_off_the_earth_is_said() -> None:
    full_disc = "+proj=geos +h=35785831 +lon_0=0 +datum=WGS84"
    record = grid.from_transform(full_disc, Affine(100_000, 0, -5.5e6, 0, -100_000, 5.5e6), 110, 110)
    assert grid.ground(record).gsd_m == pytest.approx(100_000, rel=1e-2)
    with pytest.raises(GeoreferenceError, match="beyond the Earth"):
        grid.bounds_lonlat(record)
    with pytest.raises(GeoreferenceError, match="not on the Earth"):
        grid.ground_at(record, 0, 0)
    assert not math.isfinite(grid.gsd_at(record, [0], [0])[0])


def test_the_grid_as_geojson_lies_where_the_area_is() -> None:
    place = aoi.from_bounds(14, 46, 14.1, 46.1)
    record = grid.for_aoi(place, gsd="10")
    found = json.loads(json.dumps(grid.to_geojson(record, place)))
    outline, area = (shape(feature["geometry"]) for feature in found["features"])
    assert outline.buffer(1e-5).contains(area)
    assert abs(Geod(ellps="WGS84").geometry_area_perimeter(outline)[0]) == pytest.approx(record.width * record.height * 100, rel=1e-3)
    assert found["features"][0]["properties"]["crs"] == "EPSG:32633"
