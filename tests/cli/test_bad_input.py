"""Bad input: one clear sentence, exit code 1 (click's usage errors 2), no traceback, nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result

from rsgeo.cli import main

SQUARE = {"type": "Polygon", "coordinates": [[[14.5, 46.0], [14.503, 46.0], [14.503, 46.002], [14.5, 46.002], [14.5, 46.0]]]}
CONTINENT = {"type": "Polygon", "coordinates": [[[-10, 36], [30, 36], [30, 60], [-10, 60], [-10, 36]]]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a few bad files in it."""
    monkeypatch.chdir(tmp_path)
    files = {
        "square.geojson": SQUARE,
        "empty.geojson": {"type": "FeatureCollection", "features": []},
        "swapped.geojson": {"type": "Polygon", "coordinates": [[[46.0, 114.5], [46.0, 114.6], [46.1, 114.6], [46.1, 114.5], [46.0, 114.5]]]},
        "flat.geojson": {"type": "Polygon", "coordinates": [[[14.5, 46.0], [14.6, 46.0], [14.5, 46.0], [14.5, 46.0]]]},
        "line.geojson": {"type": "LineString", "coordinates": [[14.5, 46.0], [14.6, 46.1]]},
        "continent.geojson": CONTINENT,
    }
    for name, value in files.items():
        (tmp_path / name).write_text(json.dumps(value))
    (tmp_path / "words.geojson").write_text("this is no JSON {")
    (tmp_path / "there.tif").write_bytes(b"II*\0 not really an image")
    (tmp_path / "link.vrt").write_text("<VRTDataset rasterXSize='1' rasterYSize='1'></VRTDataset>")
    (tmp_path / "link.tif").write_text("<VRTDataset rasterXSize='1' rasterYSize='1'></VRTDataset>")
    with rasterio.open(tmp_path / "nowhere.tif", "w", driver="GTiff", width=8, height=8, count=1, dtype="uint8") as raster:
        raster.write(np.ones((1, 8, 8), np.uint8))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["generate", *arguments], catch_exceptions=True)


CASES = {
    "missing file": (["--aoi", "none.geojson", "out.tif"], "There is no file"),
    "not JSON": (["--aoi", "words.geojson", "out.tif"], "JSON"),
    "empty collection": (["--aoi", "empty.geojson", "out.tif"], "feature"),
    "unknown CRS": (["--aoi", "square.geojson", "--crs", "EPSG:999999", "out.tif"], "EPSG:999999"),
    "another planet": (["--aoi", "square.geojson", "--crs", "IAU_2015:49900", "out.tif"], ""),
    "lat, lon swapped": (["--aoi", "swapped.geojson", "out.tif"], "lat, lon"),
    "zero area": (["--aoi", "flat.geojson", "out.tif"], ""),
    "a line": (["--aoi", "line.geojson", "out.tif"], "--buffer"),
    "a continent at 1 m": (["--aoi", "continent.geojson", "--gsd", "1", "out.tif"], "--max-pixels"),
    "output exists": (["--aoi", "square.geojson", "there.tif"], "--overwrite"),
    "output folder missing": (["--aoi", "square.geojson", "none/out.tif"], "folder"),
    "output is no GeoTIFF": (["--aoi", "square.geojson", "out.jpg"], ".tif"),
    "raster without georeference": (["--like", "nowhere.tif", "out.tif"], "says nothing about where it lies"),
    "damaged raster": (["--like", "there.tif", "out.tif"], "damaged"),
    "a VRT": (["--like", "link.vrt", "out.tif"], "not an image"),
    "a VRT in disguise": (["--like", "link.tif", "out.tif"], "not an image"),
    "a URL": (["--like", "https://example.org/a.tif", "out.tif"], "not a file on this computer"),
    "a URL as area": (["--aoi", "https://example.org/a.geojson", "out.tif"], ""),
    "a /vsi path": (["--like", "/vsicurl/https://example.org/a.tif", "out.tif"], "not a file on this computer"),
    "a date that is none": (["--aoi", "square.geojson", "--date", "2021-02-30", "out.tif"], "2021-02-30"),
    "NaN as cloud cover": (["--aoi", "square.geojson", "--cloud-cover", "nan", "out.tif"], "0 to 100"),
    "NaN as GSD": (["--aoi", "square.geojson", "--gsd", "nan", "out.tif"], "--gsd"),
    "NaN as bounds": (["--bounds", "nan", "46", "14.6", "46.1", "out.tif"], ""),
    "NaN as guidance": (["--aoi", "square.geojson", "--guidance-scale", "nan", "out.tif"], "--guidance-scale"),
    "NaN as buffer": (["--aoi", "line.geojson", "--buffer", "nan", "out.tif"], ""),
    "negative GSD": (["--aoi", "square.geojson", "--gsd", "-10", "out.tif"], "--gsd"),
    "no steps": (["--aoi", "square.geojson", "--num-inference-steps", "0", "out.tif"], "--num-inference-steps"),
    "unknown model": (["--aoi", "square.geojson", "--model", "rsgeo-mimi", "out.tif"], "rsgeo-mini"),
    "unknown scheduler": (["--aoi", "square.geojson", "--scheduler", "magic", "out.tif"], "ddim"),
    "unknown creation option": (["--aoi", "square.geojson", "--co", "COMPRES=JPEG", "out.tif"], "COMPRES"),
    "no place": (["out.tif"], "--aoi"),
    "two places": (["--aoi", "square.geojson", "--bounds", "1", "2", "3", "4", "out.tif"], "not both"),
    "a file that is not rsgeo's": (["--from", "nowhere.tif", "out.tif"], "no rsgeo request"),
    "a seed that is none": (["--aoi", "square.geojson", "--seed", "-1", "out.tif"], "--seed"),
    "preview folder missing": (["--aoi", "square.geojson", "--preview", "none/p.png", "out.tif"], "folder"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_sentence_and_writes_nothing(case: str, folder: Path) -> None:
    arguments, words = CASES[case]
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    result = run(*arguments)
    said = [line for line in result.stderr.splitlines() if not line.startswith("Warning: ")]
    assert result.exit_code == 1, result.output
    assert len(said) == 1 and said[0].startswith("Error: ") and said[0].endswith((".", "?")), result.stderr
    assert words in said[0]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "arguments", [["--aoi", "square.geojson"], ["--nonsense", "out.tif"], ["--aoi", "square.geojson", "--seed", "many", "out.tif"]], ids=str
)
def test_usage_errors_exit_with_2(arguments: list[str], folder: Path) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert not (folder / "out.tif").exists()


def test_a_gsd_outside_the_models_range_is_a_warning(folder: Path) -> None:
    result = run("--aoi", "continent.geojson", "--gsd", "5000", "--crs", "EPSG:3035", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "Warning: The GSD of" in result.stderr
