"""What becomes of areas as people really write them: repairs are told, the rest is one sentence."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import geopandas
import pytest
import shapely
from shapely.geometry import LineString, Point, Polygon, box

from rsgeo.errors import InputError, RsgeoWarning
from rsgeo.geo import aoi

DATA = Path(__file__).parents[1] / "data" / "aoi"
SQUARE = {"type": "Polygon", "coordinates": [[[7, 46], [7.1, 46], [7.1, 46.1], [7, 46.1], [7, 46]]]}


def _write(folder: Path, content: Any, name: str = "a.geojson") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def _refused(path: Any, *words: str, **options: Any) -> None:
    with pytest.raises(InputError) as refusal:
        aoi.read(path, **options)
    sentence = str(refusal.value)
    assert all(word in sentence for word in words), sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("wrap", ["geometry", "feature", "collection", "stac", "sequence", "utf-8 with mark"])
def test_every_shape_of_geojson_is_the_same_area(tmp_path: Path, wrap: str) -> None:
    feature = {"type": "Feature", "properties": {"name": "a"}, "geometry": SQUARE}
    content: Any = {
        "geometry": SQUARE,
        "feature": feature,
        "collection": {"type": "FeatureCollection", "features": [feature]},
        "stac": feature | {"stac_version": "1.1.0", "id": "x", "bbox": [7, 46, 7.1, 46.1], "links": [], "assets": {}},
        "sequence": json.dumps(feature) + "\n" + json.dumps(feature) + "\n",
        "utf-8 with mark": "\ufeff" + json.dumps(feature),
    }[wrap]
    found = aoi.read(_write(tmp_path, content))
    assert found.geometry.equals(box(7, 46, 7.1, 46.1))
    assert found.name == "a"


@pytest.mark.parametrize("driver", ["GPKG", "FlatGeobuf", "ESRI Shapefile", "KML", "GeoJSON"])
def test_every_format_gives_the_same_area_and_its_attributes(tmp_path: Path, driver: str) -> None:
    suffix = {"GPKG": "gpkg", "FlatGeobuf": "fgb", "ESRI Shapefile": "shp", "KML": "kml", "GeoJSON": "geojson"}[driver]
    frame = geopandas.GeoDataFrame({"Name": ["a", "b"]}, geometry=[box(7, 46, 8, 47), box(9, 46, 10, 47)], crs=4326)
    frame.to_file(tmp_path / f"f.{suffix}", driver=driver)
    found = aoi.read(tmp_path / f"f.{suffix}")
    assert found.geometry.equals(shapely.union_all(frame.geometry.array))
    assert found.features is not None and sorted(found.features["Name"]) == ["a", "b"]
    picked = aoi.read(tmp_path / f"f.{suffix}", where="Name = 'b'")
    assert picked.geometry.equals(box(9, 46, 10, 47))
    _refused(tmp_path / f"f.{suffix}", "No feature", where="Name = 'c'")
    _refused(tmp_path / f"f.{suffix}", "--where", where="colour = 'c'")


def test_wkt_is_read_as_degrees_and_says_so(tmp_path: Path) -> None:
    with pytest.warns(RsgeoWarning, match="states no coordinate system"):
        assert aoi.read(_write(tmp_path, "POLYGON ((7 46, 8 46, 8 47, 7 46))", "a.wkt")).crs.to_epsg() == 4326
    assert aoi.read(_write(tmp_path, "SRID=32632;POLYGON Z ((5e5 5e6 1, 6e5 5e6 1, 6e5 6e6 1, 5e5 5e6 1))", "b.wkt")).crs.to_epsg() == 32632


def test_wkt_in_a_given_coordinate_system_is_taken_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = aoi.of("Polygon ((500000 5000000, 501000 5000000, 501000 5001000, 500000 5000000))", crs="EPSG:32633")
        with_heights = aoi.of("PolygonZ ((500000 5000000 7, 501000 5000000 7, 501000 5001000 7, 500000 5000000 7))", crs="EPSG:32633")
    assert plain.crs.to_epsg() == 32633 and plain.geometry.equals(with_heights.geometry)


def test_a_layer_is_picked_by_name_and_never_guessed(tmp_path: Path) -> None:
    path = tmp_path / "two.gpkg"
    for name, place in (("west", 7), ("east", 9)):
        geopandas.GeoDataFrame(geometry=[box(place, 46, place + 1, 47)], crs=4326).to_file(path, layer=name)
    assert aoi.read(path, layer="east").geometry.equals(box(9, 46, 10, 47))
    _refused(path, "several layers", "west", "east")
    _refused(path, "no layer north", "west, east", layer="north")


def test_a_kml_layer_is_one_of_its_folders() -> None:
    assert aoi.read(DATA / "KML_Samples.kml", layer="Google Campus").area_km2 < 0.1
    with pytest.warns(RsgeoWarning, match="6 lines, 4 points"):
        aoi.read(DATA / "KML_Samples.kml")


def test_a_file_without_crs_asks_for_one_and_a_stated_one_is_not_overruled(tmp_path: Path) -> None:
    path = tmp_path / "bare.fgb"
    geopandas.GeoDataFrame(geometry=[box(500_000, 5_000_000, 501_000, 5_001_000)]).to_file(path, driver="FlatGeobuf")
    _refused(path, "states no coordinate system", "--aoi-crs EPSG:4326")
    assert aoi.read(path, crs="EPSG:32633").area_km2 == pytest.approx(1, rel=1e-2)
    _refused(DATA / "statapi_test.geojson", "EPSG:32633", crs="EPSG:4326")
    assert aoi.read(DATA / "statapi_test.geojson", crs="EPSG:32633").crs.to_epsg() == 32633


def test_metres_in_plain_geojson_are_told_and_read_with_a_crs(tmp_path: Path) -> None:
    square = {"type": "Polygon", "coordinates": [[[500000, 5e6], [501000, 5e6], [501000, 5.001e6], [500000, 5.001e6], [500000, 5e6]]]}
    path = _write(tmp_path, square)
    _refused(path, "not degrees", "--aoi-crs")
    with pytest.warns(RsgeoWarning, match="is followed"):
        assert aoi.read(path, crs="EPSG:32633").area_km2 == pytest.approx(1, rel=1e-2)


def test_grads_from_paris_become_degrees_from_greenwich() -> None:
    found = aoi.from_geometry(box(1, 52, 2, 53), crs="EPSG:4807")
    assert found.crs.to_epsg() == 4326
    assert found.bbox_lonlat.west == pytest.approx(0.9 + 2.33722917, abs=1e-3)


@pytest.mark.parametrize(
    ("crs", "words"),
    [
        ({"type": "name", "properties": {"name": "EPSG:999999"}}, "EPSG:999999 is not a known code"),
        ({"type": "link", "properties": {"href": "http://localhost/crs.wkt", "type": "ogcwkt"}}, "gives no name"),
        ({"type": "name", "properties": {"name": "EPSG:4978"}}, "no map coordinate system"),
    ],
)
def test_a_crs_member_that_cannot_be_used_is_refused(tmp_path: Path, crs: Any, words: str) -> None:
    _refused(_write(tmp_path, SQUARE | {"crs": crs}), words)


def test_swapped_coordinates_are_told_where_they_can_be(tmp_path: Path) -> None:
    swapped = {"type": "Polygon", "coordinates": [[[45, 170], [46, 170], [46, 171], [45, 170]]]}
    _refused(_write(tmp_path, swapped), "lat, lon order")


def test_points_and_lines_ask_for_a_buffer_that_works(tmp_path: Path) -> None:
    _refused(DATA / "test_gpx.gpx", "1 line", "--buffer METRES")
    assert aoi.read(DATA / "test_gpx.gpx", buffer_m=10).area_km2 > 0
    for place in ((10.0, 0.0), (25.0, 78.0), (180.0, -17.0), (0.0, 90.0), (-45.0, -89.99)):
        disc = aoi.of(Point(*place), buffer_m=1000)
        assert disc.area_km2 == pytest.approx(3.1416, rel=3e-3), place
        assert abs(disc.centroid[1] - place[1]) < 1e-4
    assert aoi.of(Point(180, -17), buffer_m=1000).crosses_antimeridian
    road = aoi.of(LineString([(179.9, -17), (180.1, -17)]), buffer_m=100)
    assert road.area_km2 == pytest.approx(21.3 * 0.2 + 0.0314, rel=5e-3)
    for bad in (0, -5, float("nan"), 1e9):
        _refused(DATA / "trio.geojson", "--buffer", buffer_m=bad)


def test_repairs_are_told() -> None:
    with pytest.warns(RsgeoWarning, match="1 polygon of .*hourglass.* repaired; the area is now 24612"):
        aoi.read(DATA / "hourglass.geojson")
    for name in ("short-linearring.geojson", "different-first-last.geojson"):
        with pytest.warns(RsgeoWarning, match="not closed"):
            aoi.read(DATA / name)
    with pytest.warns(RsgeoWarning, match="1 line, 1 point; only its polygons"):
        aoi.read(DATA / "trio.geojson")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("{", "not valid JSON"),
        ('{"type": "Polygon", "coordinates": [[[NaN, 0], [1, 0], [1, 1], [NaN, 0]]]}', "NaN where a number should be"),
        ("[" * 200_000, "not valid JSON"),
        ("[1, 2]", "not GeoJSON"),
        ('{"a": 1}', "not GeoJSON"),
        ('{"type": "FeatureCollection", "features": []}', "no features"),
        ('{"type": "FeatureCollection"}', "without features"),
        ('{"type": "Feature", "properties": {}, "geometry": null}', "no geometry"),
        ('{"type": "Polygon", "coordinates": [[[1, 1], [2, 2], [3, 3], [1, 1]]]}', "no area"),
        ('{"type": "Polygon", "coordinates": [[["7", 46], [8, 46], [8, 47], [7, 46]]]}', "text where a coordinate"),
        ("POLYGON ((7 46, 8 46", "not valid WKT"),
        ("<html><body>404</body></html>", "neither KML nor GPX"),
        ("<kml><Document>", "damaged"),
        ("name,lon,lat\na,7,46\n", "not a vector file"),
        (
            '<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>/etc/hostname</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>',
            "neither KML",
        ),
    ],
)
def test_what_is_no_area_ends_in_one_sentence(tmp_path: Path, content: str, words: str) -> None:
    _refused(_write(tmp_path, content), words)


def test_paths_that_are_no_files_here_are_refused(tmp_path: Path) -> None:
    _refused(tmp_path / "none.geojson", "There is no file")
    _refused(tmp_path, "is a folder")
    for path in ("http://localhost/a.geojson", "/vsicurl/http://localhost/a.geojson", "/vsizip/a.zip", "GeoJSON:a.json"):
        _refused(path, "file")


def test_damaged_files_end_in_one_sentence(tmp_path: Path) -> None:
    for name, keep in (("curvepolygon.gpkg", 5000), ("mp_overlapping.fgb", 900), ("coutwildrnp.zip", 5000), ("KML_Samples.kml", 3000)):
        path = tmp_path / name
        path.write_bytes((DATA / name).read_bytes()[:keep])
        _refused(path, "damaged")
    _refused(DATA / "latin1.shp", "latin1.shx is missing")
    (tmp_path / "a.dbf").write_bytes(b"\x03" + bytes(40))
    _refused(tmp_path / "a.dbf", "part of a shapefile")


def _zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_archives_are_unpacked_with_care(tmp_path: Path) -> None:
    square = json.dumps(SQUARE).encode()
    assert aoi.read(_zipped(tmp_path / "one.zip", {"folder/a.geojson": square, "readme.txt": b"x"})).area_km2 > 0
    two = _zipped(tmp_path / "two.zip", {"a.geojson": square, "b.geojson": square})
    _refused(two, "several vector files", "a, b")
    assert aoi.read(two, layer="b").name == "b"
    _refused(_zipped(tmp_path / "out.zip", {"../a.geojson": square}), "outside its folder")
    _refused(_zipped(tmp_path / "abs.zip", {"/tmp/a.geojson": square}), "outside its folder")
    _refused(_zipped(tmp_path / "many.zip", {f"{number}.txt": b"" for number in range(201)}), "201 files")
    _refused(_zipped(tmp_path / "bomb.zip", {"a.geojson": b" " * 50_000_000}), "unpacks to")
    _refused(_zipped(tmp_path / "none.zip", {"readme.txt": b"x"}), "without a vector file")
    _refused(_zipped(tmp_path / "vrt.zip", {"a.geojson": b"<OGRVRTDataSource/>"}), "neither KML")
    assert not (tmp_path.parent / "a.geojson").exists()


def test_a_bbox_member_tells_which_way_a_long_edge_goes(tmp_path: Path) -> None:
    ring = {"type": "Polygon", "coordinates": [[[-170, 0], [170, 0], [170, 10], [-170, 10], [-170, 0]]]}
    with pytest.warns(RsgeoWarning, match="more than 180 degrees"):
        assert aoi.of(ring).bbox_lonlat.as_tuple() == (170, 0, -170, 10)
    assert aoi.of(ring | {"bbox": [170, 0, -170, 10]}).crosses_antimeridian
    assert aoi.of(ring | {"bbox": [-170, 0, 170, 10]}).bbox_lonlat.as_tuple() == (-170, 0, 170, 10)


def test_a_cap_wound_the_wrong_way_is_still_the_cap() -> None:
    ring = [(-135, -80), (-45, -80), (45, -80), (135, -80), (-135, -80)]
    with pytest.warns(RsgeoWarning):
        one, other = aoi.of(Polygon(ring)), aoi.of(Polygon(ring[::-1]))
    assert one.area_km2 == pytest.approx(3.9086e6, rel=1e-3) == other.area_km2


def test_bounds() -> None:
    assert aoi.from_bounds(7, 46, 8, 47).geometry.equals(box(7, 46, 8, 47))
    across = aoi.from_bounds(179, -18, -179, -17)
    assert across.bbox_lonlat.as_tuple() == (179, -18, -179, -17)
    assert across.area_km2 == pytest.approx(aoi.from_bounds(10, -18, 12, -17).area_km2, rel=1e-9)
    assert aoi.from_bounds(179, -18, 181, -17).to_record() == across.to_record()
    assert aoi.from_bounds(-170, 0, 170, 10).bbox_lonlat.as_tuple() == (-170, 0, 170, 10)
    assert aoi.from_bounds(5e5, 5e6, 5.01e5, 5.001e6, crs="EPSG:32633").crs.to_epsg() == 32633


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ((7, 46, 7, 47), "no area"),
        ((7, 47, 8, 46), "order is west, south, east, north"),
        ((8, 46, 7, 47), "order is west, south, east, north"),
        ((float("nan"), 46, 8, 47), "finite"),
        ((7, 46, float("inf"), 47), "finite"),
        ((170, 46, 180, 97), "outside longitude"),
        ((46, 170, 47, 171), "lat, lon order"),
        ((-180, 0, 350, 1), "there are only 360"),
    ],
)
def test_bounds_that_are_no_area(bounds: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        aoi.from_bounds(*bounds)


def test_anything_that_is_an_area_is_taken() -> None:
    square = box(7, 46, 8, 47)
    frame = geopandas.GeoDataFrame({"geometry_id": [1]}, geometry=[square], crs=4326)
    sources = [square, square.__geo_interface__, frame, frame.geometry, frame.rename_geometry("g"), (7, 46, 8, 47), square.wkt]
    sources += [json.dumps(square.__geo_interface__), aoi.from_bounds(7, 46, 8, 47), aoi.from_bounds(7, 46, 8, 47).to_record()]
    for source in sources:
        assert aoi.of(source).geometry.equals(shapely.segmentize(square, 0.25)), source
    assert aoi.of(frame.to_crs(32632)).crs.to_epsg() == 32632
    with pytest.raises(InputError, match="is no area"):
        aoi.of(3)


def test_a_long_outline_is_stored_shorter_and_says_so() -> None:
    disc = Point(500_000, 5_000_000).buffer(10_000, quad_segs=5000)
    found = aoi.from_geometry(disc, crs="EPSG:32633")
    with pytest.warns(RsgeoWarning, match="too long to be stored"):
        record = found.to_record()
    assert len(record.model_dump_json()) < 210_000
    assert aoi.from_record(record).area_km2 == pytest.approx(found.area_km2, rel=1e-5)


def test_a_private_record_is_no_area() -> None:
    with pytest.raises(InputError, match="--private"):
        aoi.from_record(aoi.AoiRecord(sha256="0" * 64))
