"""`import rsgeo`, its help and `rsgeo info` stay light: they load neither torch nor dask."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

import rsgeo

ROOT = Path(__file__).resolve().parents[1]

PROBE = """
import atexit, sys
HEAVY = {"torch", "diffusers", "transformers", "accelerate", "peft", "dask", "distributed", "qgis"}
atexit.register(lambda: print("HEAVY:", *sorted(HEAVY & sys.modules.keys()), file=sys.stderr))
"""


def loaded_by(code: str, *arguments: str) -> str:
    """The heavy packages that a fresh interpreter has loaded after ``code``; it has to end well."""
    run = subprocess.run([sys.executable, "-c", PROBE + code, *arguments], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stderr.rpartition("HEAVY:")[2].strip()


def command(*arguments: str) -> str:
    return loaded_by("from rsgeo.cli import main; main()", *arguments)


def test_importing_rsgeo_is_light() -> None:
    assert loaded_by("import rsgeo; rsgeo.Ask, rsgeo.Request, rsgeo.Runtime, rsgeo.Result, rsgeo.SceneMetadata") == ""


def test_the_worker_says_hello_before_anything_heavy_is_loaded() -> None:
    # What it is asked for without torch: tests/worker.
    assert loaded_by("import rsgeo.worker.serve, sys; assert not {'rasterio', 'geopandas', 'numpy'} & sys.modules.keys()") == ""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["generate", "--help"], ["sample", "--help"], ["info", "--help"]], ids=" ".join)
def test_help_is_light(arguments: list[str]) -> None:
    assert command(*arguments) == ""


@pytest.mark.parametrize("arguments", [["list"], ["show", "rsgeo-mini"], ["show", "diffusionsat-texas"], ["fetch", "--help"]], ids=" ".join)
def test_looking_at_models_is_light(arguments: list[str]) -> None:
    assert command("models", *arguments) == ""


def test_info_on_an_area_is_light() -> None:
    assert command("info", str(ROOT / "examples" / "field.geojson")) == ""
    assert command("info", str(ROOT / "examples" / "field.geojson"), "--for-model", "diffusionsat-512") == ""


def test_info_on_a_raster_is_light(tmp_path: Path) -> None:
    path = tmp_path / "raster.tif"
    grid = {"width": 8, "height": 8, "crs": "EPSG:32631", "transform": rasterio.Affine(10, 0, 700000, 0, -10, 5550000)}
    with rasterio.open(path, "w", driver="GTiff", count=3, dtype="uint8", **grid) as raster:
        raster.write(np.ones((3, 8, 8), np.uint8))
    assert command("info", str(path)) == ""


def test_grid_is_light() -> None:
    # odc-geo loads dask by itself where that is installed.
    assert command("grid", "--aoi", str(ROOT / "examples" / "field.geojson")) in ("", "dask")


@pytest.mark.parametrize("name", rsgeo.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(rsgeo, name) is not None
    assert name in dir(rsgeo)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = rsgeo.no_such_name
