"""`verify`: a file against its own marks, and against a new run of its request."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.io import DatasetWriter
from rasterio.shutil import copy as gdal_copy

import rsgeo
from rsgeo.errors import InputError, RsgeoWarning

Make = Callable[..., rsgeo.Result]
RASTERS = Path(__file__).resolve().parents[1] / "data" / "rasters"


@pytest.fixture
def file(picture: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copy(picture, tmp_path / "file.tif"))


def change(path: Path) -> DatasetWriter:
    return rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES")


def change_one_pixel(path: Path) -> None:
    with change(path) as dataset:
        pixels = dataset.read()
        row, column = np.argwhere(dataset.dataset_mask() > 0)[7]
        pixels[1, row, column] ^= 2
        dataset.write(pixels)


def test_a_file_as_it_was_written_is_good(picture: Path) -> None:
    found = rsgeo.verify(picture)
    assert found.good and found.request_intact and found.pixels_intact
    assert found.synthetic == "ALL"
    assert found.max_difference is None


def test_a_file_as_it_was_written_is_made_again_equal(picture: Path) -> None:
    found = rsgeo.verify(picture, regenerate=True)
    assert found.good
    assert (found.max_difference, found.differing_pixels) == (0, 0)


@pytest.mark.filterwarnings("ignore::rsgeo.errors.RsgeoWarning")
def test_a_file_on_a_rotated_grid_without_area_is_made_again_equal(make: Make, tmp_path: Path) -> None:
    make(tmp_path / "out.tif", like=RASTERS / "transforms" / "2d_test.tif", runtime=rsgeo.Runtime(sidecar=False))
    assert rsgeo.verify(tmp_path / "out.tif", regenerate=True).max_difference == 0


def test_one_changed_pixel_is_seen(file: Path) -> None:
    change_one_pixel(file)
    found = rsgeo.verify(file, regenerate=True)
    assert not found.good
    assert found.pixels_intact is False and found.request_intact
    assert (found.max_difference, found.differing_pixels) == (2, 1)


def test_a_changed_mask_is_seen(file: Path) -> None:
    with change(file) as dataset:
        mask = dataset.dataset_mask()
        mask[tuple(np.argwhere(mask == 0)[0])] = 255
        dataset.write_mask(mask)
    found = rsgeo.verify(file, regenerate=True)
    assert found.pixels_intact is False
    assert (found.max_difference, found.differing_pixels) == (255, 1)


def test_an_edited_request_is_seen(file: Path) -> None:
    with change(file) as dataset:
        request = json.loads(dataset.tags()["RSGEO_REQUEST"])
        dataset.update_tags(RSGEO_REQUEST=json.dumps({**request, "prompt": "a bare mountain"}))
    with pytest.warns(RsgeoWarning, match="edited"):
        found = rsgeo.verify(file)
    assert not found.good
    assert found.pixels_intact and not found.request_intact


def test_a_file_rewritten_with_other_compression_is_still_good(file: Path, tmp_path: Path) -> None:
    gdal_copy(file, tmp_path / "rewritten.tif", driver="GTiff", COMPRESS="LZW", COPY_SRC_MDD="YES")
    assert rsgeo.verify(tmp_path / "rewritten.tif").good


def test_a_part_of_a_file_is_not_good_and_cannot_be_compared(file: Path, tmp_path: Path) -> None:
    with rasterio.open(file) as whole, rasterio.open(tmp_path / "part.tif", "w", **{**whole.profile, "width": 32, "height": 32}) as part:
        part.update_tags(**whole.tags())
        part.write(whole.read(window=((0, 32), (0, 32))))
    assert rsgeo.verify(tmp_path / "part.tif").pixels_intact is False
    with pytest.raises(InputError, match="cut, resampled or converted"):
        rsgeo.verify(tmp_path / "part.tif", regenerate=True)


def test_lossy_compression_is_told_as_a_difference(make: Make, tmp_path: Path) -> None:
    runtime = rsgeo.Runtime(creation_options={"COMPRESS": "JPEG", "QUALITY": "75"})
    make(tmp_path / "lossy.tif", runtime=runtime)
    found = rsgeo.verify(tmp_path / "lossy.tif", regenerate=True)
    assert found.pixels_intact
    assert found.max_difference and 0 < found.max_difference < 80


def test_a_private_file_is_good_but_cannot_be_made_again(make: Make, tmp_path: Path) -> None:
    make(tmp_path / "private.tif", prompt="a garden", runtime=rsgeo.Runtime(private=True))
    assert rsgeo.verify(tmp_path / "private.tif").good
    with pytest.raises(InputError, match="--private"):
        rsgeo.verify(tmp_path / "private.tif", regenerate=True)


def test_a_file_of_somebody_else_is_refused() -> None:
    with pytest.raises(InputError, match="no rsgeo request"):
        rsgeo.verify(RASTERS / "crs" / "small-rgb-tile.tif")
