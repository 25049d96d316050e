"""From a file to its scene: which tie to the Earth counts, which metadata is believed, and what is never taken."""

from __future__ import annotations

import json
import math
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.control import GroundControlPoint
from rasterio.errors import NotGeoreferencedWarning

from rsgeo.errors import GeoreferenceError, InputError, RsgeoWarning
from rsgeo.geo import aoi as areas
from rsgeo.geo import measure, products
from rsgeo.geo.derive import derive, georeference, scene_of_aoi, scene_of_raster, scene_of_stac
from rsgeo.geo.info import RasterInfo, describe
from rsgeo.geo.products import Source
from rsgeo.geo.raster_open import open_raster

SHIPPED = Path(__file__).parents[1] / "data" / "rasters"
LANDSAT = "LC08_L2SP_005009_20150710_20200908_02_T2"
UTM = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500000, 0, -10, 5094000)}
RPC_KEYS = [f"{name}_{part}" for part in ("OFF", "SCALE") for name in ("LINE", "SAMP", "LAT", "LONG", "HEIGHT")]
RPC_LISTS = [f"{name}_{part}_COEFF" for name in ("LINE", "SAMP") for part in ("NUM", "DEN")]


def write(path: Path, tags: dict[str, str] | None = None, **profile: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        raster = rasterio.open(path, "w", driver="GTiff", width=8, height=6, count=1, dtype="uint8", **profile)
    with raster:
        raster.write(np.ones((1, 6, 8), np.uint8))
        raster.update_tags(**(tags or {}))
    return path


def info_of(path: Path) -> RasterInfo:
    info = describe(path)
    assert isinstance(info, RasterInfo)
    return info


# Georeference (R1 to R6)


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 360), st.floats(0.1, 1000), st.floats(0.2, 5), st.sampled_from([1, -1]), st.floats(-80, 80), st.floats(-179, 179))
def test_gsd_is_the_side_of_a_square_of_the_pixels_area(angle: float, size: float, ratio: float, flip: int, lat: float, lon: float) -> None:
    """In an equal-area CRS the pixel's area is the transform's determinant, turned, stretched or south-up."""
    crs = f"+proj=laea +lat_0={round(lat)} +lon_0={round(lon)} +datum=WGS84"
    transform = Affine.translation(1234, -987) @ Affine.rotation(angle) @ Affine.scale(size, flip * size * ratio)
    ground = measure.ground_at(measure.from_transform(crs, transform), 7, 5)
    assert ground.gsd_m == pytest.approx(math.sqrt(abs(transform.determinant)), rel=1e-4)
    assert ground.anisotropy == pytest.approx(max(ratio, 1 / ratio), rel=1e-3)
    assert -180 <= ground.lon < 180


@pytest.mark.parametrize(("lat", "metres"), [(0, 9.96), (30, 8.65), (45, 7.07), (60, 5.01), (70, 3.43)])
def test_web_mercator_pixels_shrink_with_latitude(lat: float, metres: float) -> None:
    x, y = Transformer.from_crs(4326, 3857, always_xy=True).transform(10, lat)
    ground = measure.ground_at(measure.from_transform("EPSG:3857", Affine(10, 0, x, 0, -10, y)), 0, 0)
    assert ground.gsd_m == pytest.approx(metres, abs=0.01)
    assert ground.lat == pytest.approx(lat)


def test_bounds_across_the_antimeridian_round_a_pole_and_round_the_world() -> None:
    def bounds(crs: str, transform: Affine, width: int, height: int) -> tuple[float, ...]:
        box = measure.bounds_lonlat(measure.from_transform(crs, transform), width, height)
        assert box is not None
        return box.as_tuple()

    west, south, east, north = bounds("EPSG:32660", Affine(1000, 0, 700000, 0, -1000, 5700000), 100, 100)
    assert west == pytest.approx(179.8, abs=0.1)
    assert east == pytest.approx(-178.7, abs=0.1)
    assert south > 50
    assert north < 52
    assert bounds("EPSG:3031", Affine(1000, 0, -50000, 0, -1000, 50000), 100, 100) == pytest.approx((-180, -90, 180, -89.35), abs=0.01)
    assert bounds("EPSG:3413", Affine(1000, 0, -50000, 0, -1000, 50000), 100, 100) == pytest.approx((-180, 89.35, 180, 90), abs=0.01)
    assert bounds("EPSG:4326", Affine(1, 0, 0, 0, -1, 90), 360, 180) == (-180, -90, 180, 90)
    assert bounds("EPSG:4326", Affine(1, 0, 170, 0, -1, 10), 20, 10) == (170, 0, -170, 10)
    assert bounds("EPSG:4326", Affine(1, 0, 170, 0, -1, 10), 10, 10) == (170, 0, 180, 10)
    assert bounds("EPSG:4326", Affine(1, 0, 190, 0, -1, 10), 10, 10) == (-170, 0, -160, 10)


@given(st.floats(-1e6, 1e6))
def test_every_meridian_has_one_name(lon: float) -> None:
    wrapped = measure.wrap_lon(lon)
    assert -180 <= wrapped < 180
    assert math.isclose((wrapped - lon + 180) % 360, 180, abs_tol=1e-6)


def test_few_control_points_make_an_affine(tmp_path: Path) -> None:
    corners = [(0, 0), (0, 8), (6, 0), (6, 8)]
    gcps = [GroundControlPoint(row, col, 15 + col / 1000, 46 - row / 1000) for row, col in corners]
    path = write(tmp_path / "a.tif")
    with rasterio.open(path, "r+") as raster:
        raster.gcps = (gcps, rasterio.crs.CRS.from_epsg(4326))
    info = info_of(path)
    assert (info.georeference, info.crs, info.gcp_crs) == ("gcp_affine", None, "EPSG:4326")
    assert (info.center_lon, info.center_lat) == pytest.approx((15.004, 45.997))


@pytest.mark.parametrize(("count", "slope"), [(4, 0), (4, 1), (12, 0), (12, 1)])
def test_control_points_in_one_place_or_on_one_line_are_no_place(count: int, slope: int, tmp_path: Path) -> None:
    gcps = [GroundControlPoint(slope * i, slope * i, 15 + slope * i / 100, 46) for i in range(count)]
    path = write(tmp_path / "a.tif")
    with rasterio.open(path, "r+") as raster:
        raster.gcps = (gcps, rasterio.crs.CRS.from_epsg(4326))
    info = info_of(path)
    assert info.center_lon is None
    assert info.warnings


def test_an_identity_transform_is_no_place(tmp_path: Path) -> None:
    info = info_of(write(tmp_path / "a.tif", crs="EPSG:4326"))
    assert (info.georeference, info.crs, info.center_lon, info.bbox_lonlat) == ("none", "EPSG:4326", None, None)


def test_a_local_system_is_no_place_and_said_so(tmp_path: Path) -> None:
    local = 'LOCAL_CS["my field",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'
    info = info_of(write(tmp_path / "a.tif", crs=rasterio.crs.CRS.from_wkt(local), transform=UTM["transform"]))
    assert (info.georeference, info.center_lon) == ("none", None)
    assert "The image's place is unknown" in " ".join(info.warnings)


def test_another_planet_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", crs=rasterio.crs.CRS.from_proj4("+proj=eqc +R=3396190 +units=m"), transform=UTM["transform"])
    with pytest.raises(GeoreferenceError, match="not on the Earth"):
        scene_of_raster(path)


def test_a_centre_off_the_earth_is_unknown_not_an_error(tmp_path: Path) -> None:
    info = info_of(write(tmp_path / "a.tif", crs="+proj=geos +h=35785831 +lon_0=140.7", transform=Affine(1000, 0, 7e6, 0, -1000, 7e6)))
    assert (info.georeference, info.center_lon, info.gsd_m, info.bbox_lonlat) == ("transform", None, None, None)
    assert "not on the Earth" in " ".join(info.warnings)


def test_a_transform_far_from_the_rpc_is_kept_with_a_warning() -> None:
    path = SHIPPED / "gcp_rpc" / "dataset_namespace_metadata.tif"
    with open_raster(path) as dataset, pytest.warns(RsgeoWarning, match="The RPC put the image at 12.5635, 41.8900"):
        assert georeference(dataset).kind == "transform"


@pytest.mark.parametrize("number", ["abc", "0", "1", "nan", "1e400", None])
def test_broken_rpc_leave_the_place_unknown(number: str | None, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif")
    values = dict.fromkeys(RPC_KEYS, number) | dict.fromkeys(RPC_LISTS, " ".join([number or ""] * 20)) if number else {"LINE_OFF": "1"}
    entries = "".join(f'<MDI key="{key}">{value}</MDI>' for key, value in values.items())
    (tmp_path / "a.tif.aux.xml").write_text(f'<PAMDataset><Metadata domain="RPC">{entries}</Metadata></PAMDataset>')
    info = info_of(path)
    assert (info.center_lon, info.gsd_m) == (None, None)
    assert info.warnings


# Date and cloud cover (R9 to R14)


def test_the_mtl_adds_the_time_to_the_day_of_the_stac_item(tmp_path: Path) -> None:
    path = write(tmp_path / f"{LANDSAT}_SR_B4.TIF", **UTM)
    assert info_of(path).date == products.dates.from_iso("2015-07-10", "filename")
    for name in (f"{LANDSAT}_MTL.xml", f"{LANDSAT}_SR_stac.json"):
        shutil.copy(SHIPPED / "landsat" / name, tmp_path)
    info = info_of(path)
    assert info.date is not None
    assert (info.date.value, info.date.precision) == ("2015-07-10T14:34:35.978399Z", "second")
    assert info.date.source == "MTL DATE_ACQUIRED+SCENE_CENTER_TIME (day from stac:datetime)"
    assert info.cloud_cover_percent is not None
    assert info.cloud_cover_percent.value == 54.65


@pytest.mark.parametrize("suffix", ["txt", "xml", "json"])
def test_the_mtl_in_three_dresses(suffix: str, tmp_path: Path) -> None:
    path = SHIPPED / "landsat" / f"{LANDSAT}_MTL.{suffix}"
    if suffix == "json":
        path = tmp_path / path.name
        image = {
            "DATE_ACQUIRED": "2015-07-10",
            "SCENE_CENTER_TIME": "14:34:35.9783990Z",
            "CLOUD_COVER": "54.65",
            "CLOUD_COVER_LAND": "54.67",
        }
        path.write_text(json.dumps({"LANDSAT_METADATA_FILE": {"IMAGE_ATTRIBUTES": image}}))
    facts = products.mtl_facts(path)
    assert facts.date is not None
    assert facts.date.value == "2015-07-10T14:34:35.978399Z"
    assert facts.cloud_cover_percent is not None
    assert facts.cloud_cover_percent.value == 54.65


def test_a_negative_cloud_cover_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "X_MTL.txt"
    path.write_text("GROUP = A\n  DATE_ACQUIRED = 2015-07-10\n  CLOUD_COVER = -1.00\n")
    assert products.mtl_facts(path).cloud_cover_percent is None
    assert all(products.percent(raw, "x") is None for raw in (None, "", "NaN", "-1", 100.1, "inf", True, [5], "999"))
    assert products.percent(0, "x") is not None


def test_imagery_dates_before_landsat_are_gdals_blank(tmp_path: Path) -> None:
    shutil.copy(SHIPPED / "landsat" / f"{LANDSAT}_MTL.txt", tmp_path)
    blank = {"ACQUISITIONDATETIME": "1970-01-01 00:00:00", "CLOUDCOVER": "0"}
    source = Source(tmp_path / f"{LANDSAT}_SR_B4.TIF", imagery=blank)
    assert products.maxar(source) is None
    facts = list(products.read(source))
    assert [fact.cloud_cover_percent and fact.cloud_cover_percent.value for fact in facts] == [54.65]
    good = Source(tmp_path / "a.tif", imagery={"ACQUISITIONDATETIME": "2011-05-01 13:00:00", "CLOUDCOVER": "2"})
    found = products.maxar(good)
    assert found is not None
    assert found.date is not None
    assert found.date.value == "2011-05-01T13:00:00Z"


def test_the_fgdc_text_of_naip() -> None:
    facts = products.naip(Source(SHIPPED / "naip" / "m_3008501_ne_16_1_20110815.tif"))
    assert facts is not None
    assert facts.date is not None
    assert (facts.date.value, facts.date.source) == ("2011-08-15", "FGDC Calendar_Date")


def test_planets_percentage_is_a_fraction(tmp_path: Path) -> None:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ps:EarthObservation xmlns:ps="http://schemas.planet.com/ps/v1" xmlns:eop="http://e" xmlns:opt="http://o">'
        "<eop:acquisitionDate>2017-08-31T17:27:54+00:00</eop:acquisitionDate>"
        '<opt:cloudCoverPercentage uom="percentage">0.02</opt:cloudCoverPercentage></ps:EarthObservation>'
    )
    (tmp_path / "20170831_172754_101c_3B_AnalyticMS_metadata.xml").write_text(text)
    facts = products.planet(Source(tmp_path / "20170831_172754_101c_3B_AnalyticMS_SR.tif"))
    assert facts is not None
    assert facts.date is not None
    assert facts.cloud_cover_percent is not None
    assert (facts.date.value, facts.cloud_cover_percent.value) == ("2017-08-31T17:27:54Z", 2)


def test_an_image_in_a_safe_folder_has_its_products_date(tmp_path: Path) -> None:
    folder = next((SHIPPED / "sentinel2").glob("S2A*.SAFE"))
    shutil.copytree(folder, tmp_path / folder.name)
    path = write(tmp_path / folder.name / "GRANULE" / "L1C" / "IMG_DATA" / "B02.tif", **UTM)
    info = info_of(path)
    assert info.date is not None
    assert info.cloud_cover_percent is not None
    assert (info.date.value, info.cloud_cover_percent.value) == ("2020-07-17T22:19:41.024Z", 5.4828)


def test_field_clip_tags_stand_above_the_name() -> None:
    path = next((SHIPPED / "sentinel2").glob("S2A_MSIL2A*.tif"))
    scene = scene_of_raster(path)
    assert scene.date is not None
    assert scene.cloud_cover_percent is not None
    assert (scene.date.value, scene.date.source) == ("2022-07-22T11:08:08.756Z", "tag:accisition_date")
    assert (scene.cloud_cover_percent.value, scene.cloud_cover_percent.source) == (100, "tag:cloud_percent")


def item(**properties: Any) -> dict[str, Any]:
    ring = [[14, 46], [14.01, 46], [14.01, 46.01], [14, 46.01], [14, 46]]
    known = {"type": "Feature", "stac_version": "1.1.0", "stac_extensions": [], "id": "x", "bbox": [14, 46, 14.01, 46.01], "assets": {}}
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return known | {"geometry": geometry, "properties": properties, "links": [{"rel": "root", "href": "./gone.json"}]}


def test_a_stac_item_beside_is_found_by_name_or_by_asset(tmp_path: Path) -> None:
    path = write(tmp_path / "picture_b4.tif", **UTM)
    for number in range(150):
        (tmp_path / f"{number}.json").write_text(json.dumps(item(datetime="2001-01-01T00:00:00Z")))
    assert info_of(path).date is None
    named = item(datetime="2019-05-05T10:00:00Z", gsd=0.5, **{"eo:cloud_cover": 7})
    (tmp_path / "picture_item.json").write_text(json.dumps(named | {"assets": {"B4": {"href": "https://example.com/x/picture_b4.tif?a=b"}}}))
    info = info_of(path)
    assert info.date is not None
    assert info.cloud_cover_percent is not None
    assert (info.date.value, info.cloud_cover_percent.value) == ("2019-05-05T10:00:00Z", 7)
    assert "states 0.5 m, the sensor's GSD" in " ".join(info.warnings)
    assert info.gsd_m == pytest.approx(10, rel=0.01)
    (tmp_path / "picture_b4.stac.json").write_text(json.dumps(item(datetime="2020-06-06T10:00:00Z")))
    assert info_of(path).date == products.dates.from_iso("2020-06-06T10:00:00Z", "stac:datetime")


def test_a_broken_item_beside_is_ignored_with_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path / "picture_20190505.tif", **UTM)
    for text in (
        '{"stac_version": "1.0.0", ',
        json.dumps(item(datetime=5)),
        json.dumps(item(datetime="2019-05-05T10:00:00Z") | {"links": 7}),
    ):
        (tmp_path / "picture_20190505.json").write_text(text)
        info = info_of(path)
        assert info.date is not None
        assert info.date.value == "2019-05-05"
        assert "cannot be read; it is ignored" in " ".join(info.warnings)


def test_a_stac_item_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="not a STAC item"):
        scene_of_stac({"type": "FeatureCollection", "features": []})


def test_the_item_of_a_day() -> None:
    scene = scene_of_stac(json.loads((SHIPPED / "series" / "m_4709963_se_14_1_20090818.json").read_text()))
    assert scene.date is not None
    assert (scene.date.value, scene.date.precision) == ("2009-08-18", "day")
    assert scene.lon is not None
    assert scene.lon.value == pytest.approx(-99.1566, abs=1e-3)


def test_nothing_is_said_of_a_file_that_says_nothing(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scene = scene_of_raster(write(tmp_path / "a.tif", **UTM))
    assert scene.lon is not None
    assert scene.lon.value == pytest.approx(15.0005, abs=1e-3)
    assert scene.date is scene.cloud_cover_percent is None


def test_the_name_decides_only_where_no_product_does(tmp_path: Path) -> None:
    tags = {"TIFFTAG_DATETIME": "2021:11:11 07:17:56"}
    product = info_of(write(tmp_path / "m_3907864_sw_17_060_20210912.tif", tags, **UTM))
    assert product.date is not None
    assert (product.date.value, product.warnings) == ("2021-09-12", ())
    plain = info_of(write(tmp_path / "field_20210912.tif", tags, **UTM))
    assert plain.date is not None
    assert plain.date.value == "2021-09-12"
    assert "the earlier one" in " ".join(plain.warnings)
    alone = info_of(write(tmp_path / "field.tif", tags, **UTM))
    assert alone.date is not None
    assert (alone.date.value, alone.date.source) == ("2021-11-11T07:17:56Z", "tiff tag (may be file time)")


# rsgeo's own files (PROVENANCE.md, section 2)

MARKS = {
    "RSGEO_SYNTHETIC": "PART",
    "TIFFTAG_SOFTWARE": "rsgeo 0.1.0",
    "RSGEO_REQUESTED_DATE": "2021-07-01",
    "datetime": "2021-07-01T10:00:00Z",
}


def test_no_date_is_taken_from_a_synthetic_image(tmp_path: Path) -> None:
    path = write(tmp_path / "S2A_MSIL2A_20220722T105631_N0400_R094_T31TCN_20220722T171159.tif", MARKS, **UTM)
    path.with_suffix(".stac.json").write_text(json.dumps(item(datetime="2026-03-02T10:11:12Z", **{"eo:cloud_cover": 3})))
    info = info_of(path)
    assert (info.synthetic, info.requested_date, info.date, info.cloud_cover_percent) == ("PART", "2021-07-01", None, None)
    assert info.gsd_m == pytest.approx(10, rel=0.01)
    with open_raster(path) as dataset:
        assert derive(dataset, path).scene.date is None


def test_a_stripped_image_is_still_known_by_its_sidecar(tmp_path: Path) -> None:
    path = write(tmp_path / "out.tif", **UTM)
    marks = {"rsgeo:synthetic": "ALL", "rsgeo:requested_datetime": "2021-07-01"}
    path.with_suffix(".stac.json").write_text(json.dumps(item(datetime="2026-03-02T10:11:12Z", **marks)))
    for told in (info_of(path), describe(path.with_suffix(".stac.json"))):
        assert (told.synthetic, told.requested_date, told.date) == ("ALL", "2021-07-01", None)


def test_a_wish_without_the_mark_is_no_news(tmp_path: Path) -> None:
    assert info_of(write(tmp_path / "a.tif", {"RSGEO_REQUESTED_DATE": "2021-07-01"}, **UTM)).requested_date is None


# Areas


def test_the_scene_of_an_area_is_its_centroid() -> None:
    scene = scene_of_aoi(areas.from_bounds(170, 40, -170, 50))
    assert scene.lon is not None
    assert scene.lat is not None
    assert scene.lon.value == pytest.approx(-180, abs=1e-6)
    assert scene.lat.value == pytest.approx(45.0026, abs=1e-3)
    assert scene.gsd is scene.date is scene.cloud_cover_percent is None
