"""References: found by their content alone, and the same pixels in every window."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio

from rsgeo.errors import InputError, ModelError
from rsgeo.geo.stretch import shown, stored
from rsgeo.hub import catalog
from rsgeo.request import GridRecord, MaskRecord, ModelRecord, Reference, Request, Sampler
from rsgeo.scene import DateValue, SceneMetadata, Value
from rsgeo.synthesis.phases import noise_levels, plan_named
from rsgeo.tasks import references

CRS = "EPSG:32633"
GRID = GridRecord(crs=CRS, lattice=("10", "0", "0", "0", "-10", "0"), col=50_000, row=-510_000, width=200, height=150)
RECORD = catalog.find("rsgeo-mini")
STRETCH = ((100.0, 3000.0),) * 3


def write(path: Path, pixels: np.ndarray, transform: rasterio.Affine, crs: str = CRS, **more: object) -> Path:
    profile = {"count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2], "dtype": pixels.dtype, "crs": crs, "transform": transform}
    with rasterio.open(path, "w", driver="GTiff", **profile, **more) as dataset:
        dataset.write(pixels)
    return path


def request(*images: Reference, grid: GridRecord = GRID) -> Request:
    _, levels = noise_levels("linear", 0.0001, 0.015, 1000, 2)
    synthesis, sampler = plan_named("default", levels, 16, 2), Sampler(scheduler="ddim", num_inference_steps=2, guidance_scale=1)
    model = ModelRecord(name="rsgeo-mini", sha256="0")
    return Request(task="superres", model=model, grid=grid, aoi=None, prompt="", sampler=sampler, seed=0, synthesis=synthesis, references=images)


def reference(path: Path, role: str = "low_res", **more: object) -> Reference:
    return Reference(role=role, sha256=references.sha256_of(path), name=path.name, bands=(3, 2, 1), stretch=STRETCH, **more)


@pytest.fixture
def scenes() -> references.SceneAt:
    return lambda xs, ys: [
        SceneMetadata(lon=Value(value=x, source="x"), lat=Value(value=y, source="y")) for x, y in zip(xs / 10, ys / 10, strict=True)
    ]


@pytest.fixture
def images(tmp_path: Path) -> tuple[Path, Path]:
    """Two rasters that cover a part of the grid: one of 40 m on its lattice, one in degrees and turned."""
    rng = np.random.default_rng(1)
    one = write(
        tmp_path / "one.tif", rng.integers(1, 4000, (3, 30, 40)).astype(np.uint16), rasterio.Affine(40, 0, 500_400, 0, -40, 5_099_800), nodata=0
    )
    degrees = rasterio.Affine(4e-4, 1e-4, 15.002, 1e-4, -4e-4, 46.05)
    return one, write(tmp_path / "two.tif", rng.integers(1, 4000, (3, 40, 40)).astype(np.int16), degrees, "EPSG:4326", nodata=-1)


def test_windows_show_one_world_of_images_at_a_coarser_scale(images: tuple[Path, Path], scenes: references.SceneAt) -> None:
    date = DateValue(value="2020-05-01", precision="day", source="test")
    asked = request(
        reference(images[0], resampling="nearest", gsd=Value(value=10, source="test"), date=date), reference(images[1], resampling="average")
    )
    files = references.found(asked.references, images)
    level = SimpleNamespace(scale=4, tile=16, conditioning_scale=Fraction(4))
    seen_at = references.seen_at(asked, files, RECORD, level, scenes)
    assert seen_at is not None
    row, col = GRID.row // 4 + 3, GRID.col // 4 + 7
    here, right, below = seen_at([(row, col), (row, col + 5), (row + 9, col)])
    assert here.pixels.shape == (2, 3, 16, 16) and here.pixels.dtype == np.float32 and here.mask.shape == (2, 16, 16)
    assert here.pixels.min() >= 0 and here.pixels.max() <= 1 and 0.2 < here.mask.mean() < 1
    for other, mine, theirs in ((right, np.s_[..., 5:], np.s_[..., :11]), (below, np.s_[..., 9:, :], np.s_[..., :7, :])):
        assert np.array_equal(here.pixels[mine], other.pixels[theirs]) and np.array_equal(here.mask[mine], other.mask[theirs])
    # The image of 40 m lies on the lattice of the cells: its pixels are the window's.
    with rasterio.open(images[0]) as dataset:
        stored_pixels = dataset.read([3, 2, 1])
    top, left = row * 40 + 5_099_800, col * 40 - 500_400  # metres; rows of the world grow south
    expected = shown(stored_pixels[:, top // 40 : top // 40 + 16, max(left // 40, 0) : left // 40 + 16], STRETCH)
    assert np.array_equal(here.pixels[0][:, : expected.shape[1], -expected.shape[2] :], expected)
    # rsgeo-mini was taught the GSD and no date.
    assert here.scenes[0].gsd == Value(value=10, source="test") and here.scenes[0].date is None and here.scenes[1].gsd is None
    assert here.scenes[0].lon is not None and here.scenes[0].lon != right.scenes[0].lon
    with pytest.raises(ModelError, match="do not divide"):
        references.seen_at(asked, files, RECORD, SimpleNamespace(scale=4, tile=16, conditioning_scale=Fraction(3)), scenes)
    assert references.seen_at(request(), {}, RECORD, level, scenes) is None


def test_files_are_found_by_their_content(images: tuple[Path, Path], tmp_path: Path) -> None:
    asked = request(*map(reference, images))
    renamed = images[0].rename(tmp_path / "renamed.tif")
    assert references.found(asked.references, [images[1], renamed]) == {asked.references[0].sha256: renamed, asked.references[1].sha256: images[1]}
    with pytest.raises(InputError, match=r"made with two\.tif; give the same again with --reference"):
        references.found(asked.references, [renamed])
    other = write(tmp_path / "other.tif", np.ones((3, 4, 4), np.uint8), rasterio.Affine(1, 0, 0, 0, -1, 0))
    with pytest.raises(InputError, match=r"other\.tif is not what the request was made with \(one\.tif, two\.tif\)"):
        references.found(asked.references, [renamed, images[1], other])


@pytest.mark.parametrize(
    ("mask", "stays"),
    [
        (None, [[1, 1, 0], [1, 1, 1]]),
        (MaskRecord(kind="nodata"), [[1, 1, 0], [1, 1, 1]]),
        (MaskRecord(kind="nodata", grow_px=1), [[1, 0, 0], [1, 1, 0]]),
        (MaskRecord(kind="raster", values=(7,), grow_px=1), [[1, 0, 1], [0, 0, 0]]),
        (MaskRecord(kind="raster", values=(3, 7)), [[0, 1, 1], [1, 0, 1]]),
        (MaskRecord(kind="raster"), [[0, 1, 1], [0, 0, 1]]),
    ],
)
def test_a_mask_says_which_pixels_stay(tmp_path: Path, mask: MaskRecord | None, stays: list[list[int]]) -> None:
    place = rasterio.Affine(10, 0, 500_050, 0, -10, 5_100_000)
    pixels = np.full((3, 2, 3), 1550, np.uint16)
    pixels[:, 0, 2] = 0
    path = write(tmp_path / "raster.tif", pixels, place, nodata=0)
    marks = write(tmp_path / "marks.tif", np.array([[[3, 0, 0], [1, 7, 0]]], np.uint8), place)
    record = reference(path, "known", mask=mask)
    if mask is not None and mask.kind == "raster":
        record = record.model_copy(update={"mask": mask.model_copy(update={"sha256": references.sha256_of(marks), "name": marks.name})})
    asked = request(record)
    raster = references.known_raster(asked, references.found(asked.references, [path] if mask is None or mask.kind == "nodata" else [path, marks]))
    assert raster is not None
    # One pixel of world round the raster's six.
    place_ = (GRID.row - 1, GRID.col + 4, 4, 5)
    expected = np.pad(np.array(stays, np.bool_), 1)
    assert np.array_equal(raster.stays(*place_), expected)
    assert np.array_equal(raster.to_make(*place_), np.pad(np.ones((2, 3), np.bool_), 1) & ~expected)
    known = raster.known(*place_)
    data = np.pad(np.array([[1, 1, 0], [1, 1, 1]], np.bool_), 1)
    assert np.array_equal(known.mask, expected & data)
    assert np.allclose(known.pixels, np.where(known.mask, 2 * (1550 - 100) / 2900 - 1, 0))


def test_a_raster_on_another_lattice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "raster.tif", np.ones((3, 4, 4), np.uint8), rasterio.Affine(10, 0, 500_003, 0, -10, 5_100_000))
    asked = request(reference(path, "known"))
    with pytest.raises(InputError, match="does not lie on the grid"):
        references.known_raster(asked, references.found(asked.references, [path]))


@pytest.mark.parametrize(("dtype", "stretch"), [("uint8", (0, 255)), ("uint16", (120, 3755)), ("int16", (-50, 9000)), ("float32", (-0.1, 0.6))])
def test_the_stretch_has_an_inverse(dtype: str, stretch: tuple[float, float]) -> None:
    seen = np.linspace(0, 1, 256, dtype=np.float32).reshape(1, 16, 16)
    numbers = stored(seen, [stretch], dtype)
    assert numbers.dtype == dtype
    assert np.allclose(shown(numbers, [stretch]), seen, atol=0.51 / (stretch[1] - stretch[0]) if dtype != "float32" else 1e-6)
