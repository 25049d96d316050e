"""`rsgeo info` against independently computed truth, over every real raster, product and STAC item at hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from rsgeo.errors import GeoreferenceError, InputError
from rsgeo.geo.derive import scene_of_raster, scene_of_stac
from rsgeo.geo.info import AreaInfo, RasterInfo, describe

SHIPPED = Path(__file__).parents[1] / "data" / "rasters"
LONLAT = "gcp_tps", "rpc_at_height_off"


def table(kind: str) -> list[Any]:
    """(file, truth) of the shipped files, and of all others where the larger collection is there."""
    found = {}
    roots = [SHIPPED]
    if shared := os.environ.get("RSGEO_SHARED_DATA"):
        roots.append(Path(shared) / "geotiffs")
        for name, series in json.loads((Path(shared) / "series" / "expected.json").read_text())["series"].items():
            if kind == "rasters":
                found |= {f"series/{file}": (Path(shared) / "series" / name / file, truth) for file, truth in series["files"].items()}
    for root in roots:
        found |= {name: (root / name, truth) for name, truth in json.loads((root / "expected.json").read_text())[kind].items()}
    return [pytest.param(path, truth, id=name) for name, (path, truth) in found.items()]


def same_lon(a: float, b: float, tolerance: float) -> bool:
    return abs((a - b + 180) % 360 - 180) <= tolerance


@pytest.mark.parametrize(("path", "truth"), table("rasters"))
def test_info_agrees_with_the_truth(path: Path, truth: dict[str, Any]) -> None:
    georeference = truth.get("georeference", "transform")
    if georeference == "not_earth":
        with pytest.raises(GeoreferenceError, match="not on the Earth"):
            describe(path)
        return
    info = json.loads(describe(path).to_json())

    assert info["path"] == path.name
    assert info["kind"] == "raster"
    assert info["georeference"] == georeference
    assert info["synthetic"] is None
    for name in ("width", "height", "bands", "dtype", "nodata", "driver", "band_names", "colorinterp"):
        assert info[name] == truth.get(name, info[name]), name
    if truth["crs"] is None or not truth["crs"].startswith("custom"):
        assert info["crs"] == truth["crs"]
    else:
        assert '["' in info["crs"]

    if truth.get("center_lon") is None:
        assert info["center_lon"] is info["center_lat"] is info["gsd_m"] is info["bbox_lonlat"] is None
    else:
        # One pixel for control points and RPC, as the makers of the truth suggest; 1e-6 degree otherwise.
        tolerance = truth["gsd_m"] / 111_000 if georeference in LONLAT else 1e-6
        relative = 0.03 if georeference in LONLAT else 1e-4
        assert same_lon(info["center_lon"], truth["center_lon"], tolerance)
        assert info["center_lat"] == pytest.approx(truth["center_lat"], abs=tolerance)
        for name in ("gsd_m", "gsd_col_m", "gsd_row_m"):
            assert info[name] == pytest.approx(truth[name], rel=relative), name
        if truth.get("bbox_lonlat"):
            assert info["bbox_lonlat"] == pytest.approx(truth["bbox_lonlat"], abs=2e-6)
            assert info["crosses_antimeridian"] == truth.get("crosses_antimeridian", False)
        anisotropy = max(truth["gsd_col_m"], truth["gsd_row_m"]) / min(truth["gsd_col_m"], truth["gsd_row_m"])
        assert any("not square" in sentence for sentence in info["warnings"]) == (anisotropy > 1.05)

    date = truth["date"] and (truth["date"]["value"], truth["date"]["precision"])
    assert (info["date"] and (info["date"]["value"], info["date"]["precision"])) == date
    assert date is None or info["date"]["source"]
    cloud = truth["cloud_cover_percent"]
    cloud = cloud["value"] if isinstance(cloud, dict) else cloud
    assert (info["cloud_cover_percent"] and info["cloud_cover_percent"]["value"]) == cloud


@pytest.mark.parametrize(("path", "truth"), table("products"))
def test_sentinel2_metadata_is_read_as_text(path: Path, truth: dict[str, Any]) -> None:
    for given in (path, path.parent):
        info = describe(given)
        assert isinstance(info, AreaInfo)
        assert info.kind == "product"
        assert info.path == path.parent.name
        assert info.date is not None
        assert info.date.value == truth["PRODUCT_START_TIME"]
        assert info.cloud_cover_percent is not None
        assert info.cloud_cover_percent.value == float(truth["Cloud_Coverage_Assessment"])
        lat = [float(text) for text in truth["EXT_POS_LIST"].split()[0::2]]
        assert info.centroid_lat is not None
        assert min(lat) < info.centroid_lat < max(lat)
        assert info.crosses_antimeridian == ("antimeridian" in truth["shows"])
        assert info.warnings == ()


@pytest.mark.parametrize(("path", "truth"), table("stac"))
def test_stac_items_of_all_versions(path: Path, truth: dict[str, Any]) -> None:
    info = describe(path)
    assert isinstance(info, AreaInfo)
    assert info.kind == "stac"
    if truth["datetime"] is None:
        assert info.date is not None
        assert info.date.source == "stac:start_datetime..end_datetime"
    elif "T" in truth["datetime"]:
        assert info.date is not None
        assert datetime.fromisoformat(info.date.value) == datetime.fromisoformat(truth["datetime"])
    else:
        assert info.date is not None
        assert (info.date.value, info.date.precision) == (truth["datetime"], "day")
    assert (info.cloud_cover_percent and info.cloud_cover_percent.value) == truth["cloud_cover"]
    assert info.stated_gsd_m == truth["gsd"]
    assert info.bbox_lonlat == pytest.approx(truth["bbox"], abs=0.2)
    scene = scene_of_stac(json.loads(path.read_text()))
    assert scene.date == info.date
    assert scene.lon is not None
    assert scene.lon.value == info.centroid_lon
    assert scene.gsd is None, "the number in an item is the sensor's"


def test_scene_and_info_tell_the_same() -> None:
    path = SHIPPED / "series" / "S2_L2A_31UDS_20180416T105619.tif"
    scene, info = scene_of_raster(path), describe(path)
    assert isinstance(info, RasterInfo)
    assert scene.lon is not None
    assert scene.lat is not None
    assert scene.gsd is not None
    assert (scene.lon.value, scene.lat.value, scene.gsd.value) == (info.center_lon, info.center_lat, info.gsd_m)
    assert (scene.date, scene.cloud_cover_percent) == (info.date, info.cloud_cover_percent)
    assert scene.gsd.source == "centre of the image (transform)"


def test_an_area_is_described(tmp_path: Path) -> None:
    path = tmp_path / "field.geojson"
    path.write_text('{"type":"Polygon","coordinates":[[[14,46],[14.01,46],[14.01,46.01],[14,46.01],[14,46]]]}')
    info = json.loads(describe(path).to_json())
    assert (info["kind"], info["crs"], info["crosses_antimeridian"]) == ("aoi", "EPSG:4326", False)
    assert info["area_km2"] == pytest.approx(0.861, abs=0.002)
    assert (info["centroid_lon"], info["centroid_lat"]) == pytest.approx((14.005, 46.005), abs=1e-4)
    assert info["bbox_lonlat"] == [14, 46, 14.01, 46.01]
    assert info["date"] is None


def test_warnings_of_an_area_end_in_the_result(tmp_path: Path) -> None:
    path = tmp_path / "bowtie.geojson"
    path.write_text('{"type":"Polygon","coordinates":[[[0,0],[2,2],[2,0],[0,2],[0,0]]]}')
    assert describe(path).warnings


def test_lines_are_no_area(tmp_path: Path) -> None:
    path = tmp_path / "line.geojson"
    path.write_text('{"type":"LineString","coordinates":[[14,46],[15,46]]}')
    with pytest.raises(InputError, match="--buffer"):
        describe(path)
    assert describe(path, buffer_m=100).crs


def test_near_infrared_called_alpha_is_said_to_be_data() -> None:
    assert "Band 4 is called alpha" in " ".join(describe(SHIPPED / "naip" / "m_3211605_ne_11_060_20200415.tif").warnings)


def test_georeference_of_control_points_says_how_exact_it_is() -> None:
    info = describe(SHIPPED / "gcp_rpc" / "au-gcp.tif")
    assert isinstance(info, RasterInfo)
    assert (info.crs, info.gcp_crs) == (None, "EPSG:4326")
    assert info.georeference_note == "24 ground control points, thin-plate spline"


@pytest.mark.parametrize("name", ["no-such-file.tif", "no-such-folder.SAFE", "x" * 300 + ".tif", "https://example.com/a.tif", "/vsimem/a.tif"])
def test_what_is_not_there_is_one_sentence(name: str) -> None:
    with pytest.raises(InputError, match=r"^[^\n]+\.$"):
        describe(name)


def test_a_folder_without_metadata_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder"):
        describe(tmp_path)


def test_damaged_xml_is_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "S2A_MSIL1C_20200717T221941_R029_T01LAC_20200717T234135.SAFE"
    folder.mkdir()
    (folder / "MTD_MSIL1C.xml").write_text("<a><b></a>")
    with pytest.raises(InputError, match="not valid XML"):
        describe(folder)
    (folder / "MTD_MSIL1C.xml").write_text('<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]><a>&e;</a>')
    with pytest.raises(InputError, match="entities"):
        describe(folder)


def test_no_module_of_geo_imports_torch() -> None:
    code = (
        "import importlib, pkgutil, sys, rsgeo.geo\n"
        "for module in pkgutil.iter_modules(rsgeo.geo.__path__): importlib.import_module('rsgeo.geo.' + module.name)\n"
        "sys.exit(sorted({'torch', 'diffusers', 'transformers'} & sys.modules.keys()) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
