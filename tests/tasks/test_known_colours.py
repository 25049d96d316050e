"""A raster in colours that the model was not trained with is shown to it in colours that it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import rsgeo
from rsgeo.cli import main
from rsgeo.evaluate.borders import made_edge
from rsgeo.hub import catalog
from rsgeo.request import Ask
from rsgeo.tasks.inpaint import resolve_inpainting

DATA = Path(__file__).parents[1] / "data"
SAVANNA = DATA / "rasters" / "sentinel2" / "S2RGB_38D_378R_2_3.tif"
LOOK = catalog.find("rsgeo-mini").looks[0]


def write(path: Path, pixels: np.ndarray, gsd: float = 10.0) -> Path:
    """A GeoTIFF of (bands, height, width)."""
    shape = {"count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2], "dtype": pixels.dtype}
    place = rasterio.Affine(gsd, 0, 500_000, 0, -gsd, 5_100_000)
    rgb = {"photometric": "RGB"} if len(pixels) == 3 else {}
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:32633", transform=place, **shape, **rgb) as dataset:
        dataset.write(pixels)
    return path


def stretch_of(path: Path, hole: Path) -> tuple[tuple[float, float], ...]:
    return resolve_inpainting(path, Ask(mask=hole)).request.references[0].stretch


@pytest.fixture(scope="module")
def hole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pixels = np.zeros((1, 64, 64), np.uint8)
    pixels[0, 20:40, 25:45] = 1
    return write(tmp_path_factory.mktemp("hole") / "hole.tif", pixels)


def test_a_savanna_is_filled_with_its_own_colours(tmp_path: Path) -> None:
    """Red, blueless ground: as it is, rsgeo-mini fills it with turquoise, and the edge shows (1.4)."""
    with rasterio.open(SAVANNA) as dataset:
        old, place = dataset.read(), dataset.transform
    y, x = np.mgrid[:224, :224]
    mask = (y - 150) ** 2 + (x - 134) ** 2 < 25**2
    ring = ((y - 150) ** 2 + (x - 134) ** 2 < 35**2) & ~mask
    marks = write(tmp_path / "marks.tif", mask[None].astype(np.uint8))
    with rasterio.open(marks, "r+") as dataset:
        dataset.crs, dataset.transform = "EPSG:32736", place
    result = rsgeo.inpaint(SAVANNA, mask=marks, seed=1)
    new = result.pixels[:3]
    assert np.array_equal(new[:, ~mask], old[:, ~mask])
    assert made_edge(new, mask)[0] < 1.15
    made, beside = (new[:, part].mean(axis=1) for part in (mask, ring))
    assert np.abs((made - made.mean()) - (beside - beside.mean())).max() < 15, "another hue than that round it"
    told = CliRunner().invoke(main, ["inpaint", str(SAVANNA), "--mask", str(marks), str(tmp_path / "out.tif"), "--dry-run"])
    assert told.exit_code == 0, told.output
    assert "bands 1, 2, 3 seen from 4" in " ".join(told.output.split())


def test_colours_that_the_model_knows_stay_as_they_are(tmp_path: Path, hole: Path) -> None:
    for name in ("Highway_775", "Pasture_48"):
        tile = np.asarray(Image.open(DATA / "eurosat" / f"{name}.webp").convert("RGB")).transpose(2, 0, 1)
        assert stretch_of(write(tmp_path / "tile.tif", tile), hole) == ((0.0, 255.0),) * 3


def test_aerial_pictures_have_a_look_of_their_own(tmp_path: Path, hole: Path) -> None:
    """As blueless as UC Merced's pictures at 0.3 m often are, and EuroSAT's at 10 m never."""
    pixels = np.clip(np.random.default_rng(0).normal([[[120]], [[125]], [[100]]], 30, (3, 64, 64)), 0, 255).astype(np.uint8)
    fine = write(tmp_path / "fine.tif", pixels, gsd=0.6)
    assert stretch_of(fine, write(tmp_path / "hole.tif", np.eye(64, dtype=np.uint8)[None], gsd=0.6)) == ((0.0, 255.0),) * 3
    assert stretch_of(write(tmp_path / "coarse.tif", pixels), hole) != ((0.0, 255.0),) * 3


@settings(max_examples=25, deadline=None)
@given(
    means=st.tuples(*[st.floats(5, 250)] * 3),
    contrast=st.floats(0, 80),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
    seed=st.integers(0, 99),
)
def test_whatever_the_colours_the_model_sees_such_as_it_knows(
    tmp_path_factory: pytest.TempPathFactory, hole: Path, means: tuple[float, ...], contrast: float, dtype: str, seed: int
) -> None:
    scale = {"uint8": 1, "uint16": 40, "float32": 1e-3}[dtype]
    texture = np.random.default_rng(seed).normal(0, contrast + 1, (3, 64, 64))
    pixels = (np.clip(np.array(means)[:, None, None] + texture, 0, 255) * scale).astype(dtype)
    stretch = stretch_of(write(tmp_path_factory.mktemp("any") / "any.tif", pixels), hole)
    with rasterio.open(hole) as dataset:
        stays = dataset.read(1) == 0
    low, span = np.array(stretch).T[0], np.diff(np.array(stretch)).ravel()
    assert np.allclose(span, span[0]), "all bands are stretched alike"
    seen = (pixels[:, stays] - low[:, None]) / span[:, None]
    if len(set(stretch)) == 1:
        assert LOOK.knows(seen.mean(axis=1))
    else:
        assert np.allclose(seen.mean(axis=1), LOOK.mean, atol=0.01) and seen.std(axis=1).mean() < LOOK.deviation + 0.01
