"""Real areas against numbers computed elsewhere (tests/data/aoi/ORIGIN.md; the larger set where RSGEO_SHARED_DATA is)."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import pytest

from rsgeo.errors import InputError, RsgeoWarning
from rsgeo.geo import aoi, grid

_HERE = Path(__file__).parents[1] / "data" / "aoi"


def _cases() -> list[Any]:
    shared = Path(os.environ.get("RSGEO_SHARED_DATA", "")) / "geotiffs"
    if (shared / "expected.json").is_file():
        table, folder = json.loads((shared / "expected.json").read_text())["aois"], shared
    else:
        table, folder = json.loads((_HERE / "expected.json").read_text()), _HERE
    return [pytest.param(folder / name, truth, id=Path(name).name) for name, truth in table.items()]


def _away(lon: float, other: float) -> float:
    return abs((lon - other + 180) % 360 - 180)


@pytest.mark.parametrize(("path", "truth"), _cases())
def test_area_and_place_agree_with_numbers_computed_elsewhere(path: Path, truth: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RsgeoWarning)
        if "area_km2" not in truth:
            if "linearring" in path.name or "different-first-last" in path.name:
                assert aoi.read(path).area_km2 > 0  # closed, with a warning: test_aoi_read.py
                return
            with pytest.raises(InputError) as refusal:
                aoi.read(path)
            assert str(refusal.value).endswith(".") and "\n" not in str(refusal.value)
            return
        found = aoi.read(path, crs="EPSG:4326" if truth["crs"] is None else None)
        assert grid.crs_text(found.crs) == (truth["crs"] or "EPSG:4326").split()[0]
        assert found.area_km2 == pytest.approx(truth["area_km2"], rel=1e-3 if truth["area_km2"] < 1e6 else 1e-2)
        if truth["area_km2"] > 1.4e8:
            return  # all round the world: centroid and bounds mean nothing there
        lon, lat = found.centroid
        assert abs(lat - truth["centroid_lat"]) < 1e-3
        assert abs(lat) > 89 or _away(lon, truth["centroid_lon"]) < 1e-3
        assert found.bbox_lonlat.as_tuple() == pytest.approx(truth["bbox_lonlat"], abs=1e-6)
        assert found.crosses_antimeridian == truth["crosses_antimeridian"]
        if abs(lat) < 80 and _away(lon, round(lon / 6) * 6) > 1e-6:
            hemisphere = 32600 if lat >= 0 else 32700
            assert f"EPSG:{hemisphere + grid.utm_zone(lon, lat)}" == truth["utm_of_centroid"]


@pytest.mark.parametrize(("path", "truth"), [case for case in _cases() if "area_km2" in case.values[1]])
def test_a_stored_area_is_the_same_area_and_is_stored_the_same_again(path: Path, truth: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RsgeoWarning)
        found = aoi.read(path, crs="EPSG:4326" if truth["crs"] is None else None)
        record = found.to_record()
        assert aoi.read(path, crs="EPSG:4326" if truth["crs"] is None else None).to_record() == record
    again = aoi.from_record(record)
    assert again.to_record() == record
    assert aoi.AOI(again.geometry, again.crs).to_record() == record  # not only remembered
    assert again.geometry.is_valid
    assert again.area_km2 == pytest.approx(found.area_km2, rel=1e-6)
