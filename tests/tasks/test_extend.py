"""Extend: old pixels unchanged, new ones of the same world, whatever the lattice of the old image."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

import rsgeo
from rsgeo.cli import main
from rsgeo.errors import InputError, RsgeoWarning, TooLargeError
from rsgeo.geo import provenance
from rsgeo.request import Ask
from rsgeo.tasks.extend import extend

CRS = "EPSG:32633"
OLD, MORE, ALL = (500_000, 5_100_000, 500_500, 5_100_400), (500_300, 5_100_100, 500_900, 5_100_600), (500_000, 5_100_000, 500_900, 5_100_600)


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with rasterio.open(path) as dataset:
        return dataset.read(), dataset.dataset_mask() > 0


@pytest.fixture(scope="module")
def old(make: Callable[..., rsgeo.Result], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("old") / "old.tif"
    make(path, bounds=OLD, aoi_crs=CRS, crs=CRS, prompt="forest", seed=3)
    return path


def test_old_pixels_stay_and_new_ones_are_of_the_same_world(make: Callable[..., rsgeo.Result], old: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.tif"
    result = extend(old, Ask(bounds=MORE, aoi_crs=CRS), out)
    pixels, mask = read(out)
    assert pixels.shape == (3, 60, 90)
    assert np.array_equal(pixels[:, 20:, :50], read(old)[0])
    world = make(bounds=ALL, aoi_crs=CRS, crs=CRS, prompt="forest", seed=3)
    wanted = np.zeros((60, 90), bool)
    wanted[20:, :50] = wanted[:50, 30:] = True
    assert np.array_equal(mask, wanted)
    assert world.pixels is not None and np.array_equal(pixels, world.pixels * wanted)
    # The new file is an rsgeo file like any other.
    stored = provenance.read_request(out)
    assert stored.request == result.request and stored.sha_matches and stored.synthetic == "ALL"
    again = make(from_file=out)
    assert np.array_equal(again.pixels, pixels) and np.array_equal(again.mask, mask)


def test_a_changed_image_is_continued_as_it_is_with_a_warning(old: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.tif"
    changed.write_bytes(old.read_bytes())
    with rasterio.open(changed, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        pixels = dataset.read()
        pixels[:, 5:9, 5:9] = 255
        dataset.write(pixels)
    with pytest.warns(RsgeoWarning, match="was changed after it was written"):
        result = extend(changed, Ask(bounds=MORE, aoi_crs=CRS))
    assert result.pixels is not None and (result.pixels[:, 25:29, 5:9] == 255).all()


def test_the_grid_of_a_rotated_raster_goes_on(make: Callable[..., rsgeo.Result], tmp_path: Path) -> None:
    like = tmp_path / "like.tif"
    transform = rasterio.Affine(8.66, 5.0, 500_003, 5.0, -8.66, 5_100_001)
    with rasterio.open(like, "w", driver="GTiff", width=40, height=30, count=1, dtype="uint8", crs=CRS, transform=transform) as dataset:
        dataset.write(np.ones((1, 30, 40), np.uint8))
    make(tmp_path / "old.tif", like=like, prompt="forest")
    extend(tmp_path / "old.tif", Ask(bounds=(500_300, 5_100_000, 500_600, 5_100_200), aoi_crs=CRS), tmp_path / "new.tif")
    with rasterio.open(tmp_path / "new.tif") as new, rasterio.open(tmp_path / "old.tif") as old:
        moved = np.linalg.solve([[8.66, 5.0], [5.0, -8.66]], [old.transform.c - new.transform.c, old.transform.f - new.transform.f])
        col, row = (round(value) for value in moved)
        assert np.array_equal(new.read()[:, row : row + 30, col : col + 40], old.read())
        assert np.allclose(moved, (col, row), atol=1e-6)
        assert new.width > 40


def test_python_continues_an_image_as_the_command_does(old: Path, tmp_path: Path) -> None:
    in_memory = rsgeo.extend(old, bounds=MORE, aoi_crs=CRS)
    assert in_memory.path is None and in_memory.pixels is not None and in_memory.mask is not None
    out = tmp_path / "python.tif"
    assert rsgeo.extend(str(old), str(out), bounds=MORE, aoi_crs=CRS, runtime=rsgeo.Runtime(sidecar=False)).path == out
    done = CliRunner().invoke(main, ["extend", "--bounds", *map(str, MORE), "--aoi-crs", CRS, str(old), str(tmp_path / "command.tif")])
    assert done.exit_code == 0, done.output
    for path in (out, tmp_path / "command.tif"):
        pixels, mask = read(path)
        assert np.array_equal(pixels, in_memory.pixels) and np.array_equal(mask, in_memory.mask)


def test_what_stays_as_it_was_cannot_be_asked_for(old: Path) -> None:
    for asked in ({"prompt": "a lake"}, {"seed": 3}, {"gsd": "5"}, {"like": old}):
        with pytest.raises(InputError, match=f"{next(iter(asked))} is what it was in old.tif when that is continued; leave it out"):
            rsgeo.extend(old, bounds=MORE, aoi_crs=CRS, **asked)


def test_a_dry_run_counts_the_new_pixels_and_writes_nothing(old: Path, tmp_path: Path) -> None:
    options = ["extend", "--bounds", *map(str, MORE), "--aoi-crs", CRS, str(old)]
    code = "import sys\nfrom rsgeo.cli import main\ntry:\n    main()\nfinally:\n    print('torch' in sys.modules)"
    arguments = [sys.executable, "-c", code, *options, "--dry-run", str(tmp_path / "new.tif")]
    run = subprocess.run(arguments, capture_output=True, text=True, check=True)
    # 60 x 50 px of the new area, 20 x 30 of which are known
    assert re.search(r"^grid +90 x 60 px", run.stdout, re.MULTILINE) and re.search(r"^valid pixels +2,400$", run.stdout, re.MULTILINE)
    assert run.stdout.endswith("False\n")
    assert CliRunner().invoke(main, [*options, "--dry-run"]).output == run.stdout.removesuffix("False\n")
    assert not list(tmp_path.iterdir())
    without = CliRunner().invoke(main, options)
    assert without.exit_code == 2 and "Say where to write" in without.output


@pytest.mark.parametrize(
    "options, words",
    [
        (["--bounds", *map(str, OLD), "--aoi-crs", CRS], "nothing beyond"),
        ([], "Say where to continue"),
    ],
)
def test_what_cannot_be_continued_is_one_sentence(old: Path, tmp_path: Path, options: list[str], words: str) -> None:
    done = CliRunner().invoke(main, ["extend", *options, str(old), str(tmp_path / "new.tif")])
    assert done.exit_code == 1
    assert re.search(words, done.output), done.output
    assert not list(tmp_path.iterdir())


def test_an_area_far_from_the_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plain.tif"
    grid = {"width": 4, "height": 4, "crs": CRS, "transform": rasterio.Affine(10, 0, 0, 0, -10, 0)}
    with rasterio.open(path, "w", driver="GTiff", count=3, dtype="uint8", **grid) as dataset:
        dataset.write(np.ones((3, 4, 4), np.uint8))
    with pytest.raises(TooLargeError, match="a smaller area"):
        extend(path, Ask(bounds=MORE, aoi_crs=CRS))
