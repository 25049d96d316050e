"""Masks: the same pixel is valid in every window; sizes are told before memory is taken."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import shapely.ops
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize
from shapely.geometry import MultiPolygon, Point, box

from rsgeo.errors import RsgeoWarning, TooLargeError
from rsgeo.geo import aoi, grid

DATA = Path(__file__).parents[1] / "data" / "aoi"
UTM = "EPSG:32633"


def _whole(record: Any, place: aoi.AOI) -> Any:
    return grid.valid_mask(record, place, 0, 0, record.height, record.width)


@pytest.mark.parametrize(
    "name", ["Hawaii.json", "hourglass.geojson", "statapi_test.geojson", "svn_border.geojson", "am_one-hole.json", "am_south-pole.json"]
)
def test_masks_agree_with_gdal(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RsgeoWarning)
        place = aoi.read(DATA / name)
        record = grid.for_aoi(place, gsd=f"{place.area_km2**0.5 * 5:.3g}")
    mask = _whole(record, place)
    frame = aoi.from_geometry(place.lonlat).features
    assert frame is not None
    projected = frame.assign(geometry=shapely.segmentize(frame.geometry.array, 0.01)).set_crs(4326, allow_override=True).to_crs(record.crs)
    expected = rasterize(projected.geometry.make_valid(), out_shape=mask.shape, transform=grid.geobox(record).affine).astype(bool)
    assert (mask != expected).mean() < 2e-4
    assert mask.any() and not mask.all()


def test_a_pixel_is_valid_if_its_centre_is_inside() -> None:
    place = aoi.from_geometry(MultiPolygon([Point(500_050, 5_000_050).buffer(37), box(500_100, 5_000_000, 500_160, 5_000_030)]), crs=UTM)
    record = grid.for_aoi(place, gsd="3")
    rows, cols = np.mgrid[: record.height, : record.width]
    x, y = grid.geobox(record).affine * (cols + 0.5, rows + 0.5)
    assert (_whole(record, place) == shapely.contains_xy(place.geometry, x, y)).all()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(-20, 60), st.integers(-20, 60), st.integers(1, 60), st.integers(1, 60)),
    st.sampled_from(["1", "0.3", "7"]),
)
def test_every_window_of_a_mask_is_the_crop_of_the_whole(seed: int, window: tuple[int, int, int, int], size: str) -> None:
    points = np.random.default_rng(seed).integers(0, 80, (9, 2)) * float(size) / 2  # corners on pixel centres and edges: every tie there is
    place = aoi.from_geometry(shapely.convex_hull(shapely.MultiPoint(points + np.array([500_000, 5_000_000]))).buffer(0.1), crs=UTM)
    record = grid.for_aoi(place, resolution=size, crs=UTM)
    row0, col0, height, width = window
    whole = grid.valid_mask(record, place, -20, -20, 160, 160)
    found = grid.valid_mask(record, place, row0, col0, height, width)
    assert (found == whole[row0 + 20 : row0 + 20 + height, col0 + 20 : col0 + 20 + width]).all()
    shifted = grid.window(record, row0, col0, height, width)
    assert (_whole(shifted, place) == found).all()


def test_areas_that_tile_the_plane_tile_its_pixels() -> None:
    corner = box(500_000, 5_000_000, 500_100, 5_000_100)
    cut = shapely.LineString([(500_000, 5_000_000), (500_100, 5_000_100)])
    record = grid.for_aoi(aoi.from_geometry(corner, crs=UTM), gsd="1")
    parts = [aoi.from_geometry(part, crs=UTM) for part in shapely.get_parts(shapely.ops.split(corner, cut))]
    assert (sum(_whole(record, part).astype(int) for part in parts) == 1).all()


@pytest.mark.parametrize(
    "transform", [Affine(8, 3, 500_000, 3, -8, 5_000_200), Affine(5, 0, 500_000, 0, 5, 5_000_000), Affine(0, 6, 500_000, 6, 0, 5_000_000)]
)
def test_rotated_and_south_up_grids_are_masked_too(transform: Affine) -> None:
    place = aoi.from_geometry(Point(500_150, 5_000_150).buffer(80), crs=UTM)
    record = grid.from_transform(UTM, transform, 60, 60)
    rows, cols = np.mgrid[:60, :60]
    x, y = transform * (cols + 0.5, rows + 0.5)
    assert (_whole(record, place) == shapely.contains_xy(aoi.from_record(place.to_record()).geometry, x, y)).all()


def test_references_that_count_longitude_to_360_meet_areas_across_the_antimeridian() -> None:
    place = aoi.from_bounds(179, -18, -179, -17)
    for west in (178.0, -182.0):
        record = grid.from_transform("EPSG:4326", Affine(0.1, 0, west, 0, -0.1, -16), 40, 30)
        mask = _whole(record, place)
        assert mask[10:20, 10:30].all() and mask.sum() == 200
    assert _whole(grid.from_transform("EPSG:4326", Affine(1, 0, 0, 0, -1, 90), 360, 180), aoi.from_bounds(-180, -90, 180, 90)).all()


def test_a_utm_area_across_the_antimeridian_is_whole_in_its_neighbour_zone() -> None:
    place = aoi.from_geometry(box(650_000, 5_700_000, 800_000, 5_800_000), crs="EPSG:32660")
    assert place.crosses_antimeridian
    record = grid.for_aoi(place, gsd="500", crs="EPSG:32601")
    assert _whole(record, place).sum() * 0.25 == pytest.approx(15_000, rel=2e-2)


def test_long_straight_edges_in_degrees_stay_straight_on_the_map() -> None:
    place = aoi.from_bounds(12.2, 60, 17.8, 60.02)
    record = grid.for_aoi(place, gsd="10")
    mask = grid.valid_mask(record, place, 0, 0, record.height, record.width)
    lon, lat = grid.centres_lonlat(record, *np.meshgrid(np.arange(0, record.width, 7) + 0.5, np.arange(record.height) + 0.5))
    inside = (lat > 60) & (lat < 60.02) & (lon > 12.2) & (lon < 17.8)
    # A tenth of a pixel at most: only rows whose centres lie that close to the edge may differ.
    assert (mask[:, ::7] != inside).mean() < 2e-3


def test_a_continent_at_a_metre_is_refused_with_a_size_that_fits() -> None:
    place = aoi.from_bounds(0, 40, 30, 60)
    with pytest.warns(RsgeoWarning):
        record = grid.for_aoi(place, gsd="1")
    with pytest.raises(TooLargeError, match=r"billion pixels .*--max-pixels 400000000; use --gsd (\S+) or coarser") as refusal:
        grid.check_size(record, place, 400_000_000)
    offered = str(refusal.value).split("--gsd ")[1].split()[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RsgeoWarning)
        fitting = grid.for_aoi(place, gsd=offered)
    assert grid.check_size(fitting, place, 400_000_000) > 300_000_000


def test_far_islands_count_only_the_blocks_they_touch() -> None:
    islands = aoi.from_geometry(MultiPolygon([box(500_000, 5_000_000, 500_500, 5_000_500), box(699_000, 5_300_000, 699_500, 5_300_500)]), crs=UTM)
    record = grid.for_aoi(islands, gsd="1")
    assert record.width * record.height > 5e10
    assert grid.check_size(record, islands, 10_000_000) <= 8 * 512**2
    with pytest.raises(TooLargeError):
        grid.check_size(record, islands, 100_000)


def test_counted_blocks_are_those_with_a_valid_pixel_or_an_edge() -> None:
    place = aoi.from_geometry(Point(500_000, 5_000_000).buffer(3000), crs=UTM)
    record = grid.for_aoi(place, gsd="1")
    mask = _whole(record, place)
    blocks = [mask[row : row + 512, col : col + 512] for row in range(0, record.height, 512) for col in range(0, record.width, 512)]
    assert grid.touched_pixels(record, place) == sum(block.size for block in blocks if block.any())
    assert grid.touched_pixels(record, None) == mask.size
