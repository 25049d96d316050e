"""Rasters on other grids: a pixel is the same in whatever window it is read, it lies where it belongs, and it agrees with GDAL's."""

from __future__ import annotations

import os
import time
import tracemalloc
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.enums import Resampling as GdalResampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.warp import reproject

from rsgeo.errors import GeoreferenceError, InputError
from rsgeo.geo import grid as grids
from rsgeo.geo import reference
from rsgeo.geo.warp import Resampling, WarpedRaster
from rsgeo.request import GridRecord

SHIPPED = Path(__file__).parents[1] / "data" / "rasters"
SHARED = Path(os.environ.get("RSGEO_SHARED_DATA", "missing")) / "geotiffs"
RESAMPLINGS: tuple[Resampling, ...] = get_args(Resampling)
SIDE = 90

# file, bands, CRS and resolution to read it in
REAL: dict[str, tuple[Path, tuple[int, ...], str, str]] = {
    "UTM": (SHIPPED / "sentinel2/S2RGB_38D_378R_2_3.tif", (1, 2, 3), "EPSG:3857", "11"),
    "UTM, 4 times coarser": (SHIPPED / "sentinel2/S2RGB_38D_378R_2_3.tif", (3, 1), "EPSG:32736", "43"),
    "rotated": (SHIPPED / "transforms/au-3577-rotated.tif", (1,), "EPSG:32653", "30000"),
    "south-up, geographic, nodata": (Path("south-up.tif"), (2, 1), "EPSG:32632", "120"),
    "Web Mercator": (SHIPPED / "crs/image_webp.tif", (2,), "EPSG:32620", "0.9"),
    "uint16, nodata": (SHIPPED / "series/S2_L2A_31UDS_20180416T105619.tif", (1, 2, 3), "EPSG:3035", "7"),
    "float, NaN": (SHIPPED / "sentinel2/S2A_MSIL2A_20220722T105631_N0400_R094_T31TCN_20220722T171159.tif", (4, 1), "EPSG:4326", "0.00007"),
    "near infrared called alpha": (SHIPPED / "naip/m_3211605_ne_11_060_20200415.tif", (1, 4), "EPSG:32612", "1.5"),
    "nodata 0": (SHIPPED / "crs/rgb-byte-tenth.tif", (1, 2, 3), "EPSG:4326", "0.02"),
    "over the antimeridian": (SHARED / "crs/cog_dateline.tif", (1,), "EPSG:3832", "300"),
    "polar": (SHARED / "landsat/LC08_L2SR_099120_20191129_20201016_02_T2_SR_B4.TIF", (1,), "EPSG:32655", "600"),
}


@pytest.fixture(scope="module")
def locate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """The path of a file of `REAL`; one that is not shipped is made."""
    rng = np.random.default_rng(0)
    pixels = rng.normal(0, 1, (2, 80, 80)).cumsum(axis=1).cumsum(axis=2)
    pixels[:, rng.random((80, 80)) < 0.2] = -9999
    made = tmp_path_factory.mktemp("made") / "south-up.tif"
    write(made, pixels, "EPSG:4326", Affine(1e-3, 0, 10, 0, 1e-3, 50), nodata=-9999)

    def locate(path: Path) -> Path:
        if path.name == made.name:
            return made
        if not path.exists():
            pytest.skip("a file of the larger set")
        return path

    return locate


def grid_of(crs: str, resolution: str, col: int = 0, row: int = 0, side: int = SIDE) -> GridRecord:
    return GridRecord(crs=crs, lattice=(resolution, "0", "0", "0", f"-{resolution}", "0"), col=col, row=row, width=side, height=side)


def around(path: Path, crs: str, resolution: str) -> GridRecord:
    """A grid whose middle lies on the middle of a raster's upper left quarter, so that it sticks out of most."""
    with rasterio.open(path) as dataset:
        a, b, c, d, e, f = dataset.transform[:6]
        x, y = (p * dataset.width / 4 + q * dataset.height / 4 + r for p, q, r in ((a, b, c), (d, e, f)))
        x, y = Transformer.from_crs(dataset.crs, crs, always_xy=True).transform(x, y)
    return grid_of(crs, resolution, round(x / float(resolution)) - SIDE // 2, round(-y / float(resolution)) - SIDE // 2)


def write(path: Path, pixels: np.ndarray, crs: str | None, transform: Affine, **profile: object) -> Path:
    count, height, width = pixels.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="GTiff", width=width, height=height, count=count, dtype=pixels.dtype, crs=crs, transform=transform, **profile
        ) as dataset:
            dataset.write(pixels)
    return path


def alpha_is_data_in(kind: str) -> bool:
    return "called alpha" in kind


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("kind", REAL)
def test_a_window_is_a_crop_of_a_large_read(kind: str, resampling: Resampling, locate: Callable[[Path], Path]) -> None:
    path, bands, crs, resolution = REAL[kind]
    path = locate(path)
    whole_grid = around(path, crs, resolution)
    whole, mask = WarpedRaster(path, whole_grid, bands, resampling).read(whole_grid.row, whole_grid.col, SIDE, SIDE)
    assert whole.dtype == np.float32 and whole.shape == (len(bands), SIDE, SIDE) and mask.shape == (SIDE, SIDE)
    assert mask.any()
    # The area that is asked for is another one; only its lattice counts.
    other = WarpedRaster(path, grid_of(crs, resolution, side=1), bands, resampling)

    @settings(max_examples=10, deadline=None)
    @given(st.integers(0, SIDE - 1), st.integers(0, SIDE - 1), st.integers(1, SIDE), st.integers(1, SIDE))
    def windows(row: int, col: int, height: int, width: int) -> None:
        pixels, there = other.read(whole_grid.row + row, whole_grid.col + col, height, width)
        height, width = min(height, SIDE - row), min(width, SIDE - col)
        assert np.array_equal(pixels[:, :height, :width], whole[:, row : row + height, col : col + width])
        assert np.array_equal(there[:height, :width], mask[row : row + height, col : col + width])

    windows()


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("kind", REAL)
def test_values_and_mask_are_gdals(kind: str, resampling: Resampling, locate: Callable[[Path], Path]) -> None:
    path, bands, crs, resolution = REAL[kind]
    path = locate(path)
    if kind.endswith("nodata") and resampling == "lanczos":
        pytest.skip("beside holes GDAL's lanczos keeps kernels that are cut")
    record = around(path, crs, resolution)
    pixels, mask = WarpedRaster(path, record, bands, resampling).read(record.row, record.col, SIDE, SIDE)
    with rasterio.open(path) as dataset:
        source = dataset.read(bands).astype(np.float32)
        if not alpha_is_data_in(kind):
            source[:, dataset.dataset_mask() == 0] = np.nan
        expected = np.full((len(bands), SIDE, SIDE), np.nan, np.float32)
        with rasterio.Env():
            reproject(
                source, expected, src_transform=dataset.transform, src_crs=dataset.crs, dst_transform=grids.geobox(record).affine, dst_crs=crs,
                src_nodata=np.nan, dst_nodata=np.nan, resampling=GdalResampling[resampling], tolerance=1e-9,
            )  # fmt: skip
    there = np.isfinite(expected).all(axis=0)
    assert (there != mask).mean() < 0.02
    spread = pixels[:, mask].std()
    difference = np.abs(expected - pixels)[:, there & mask]
    # GDAL widens its kernels by one number a chunk, and rounds pixels' places to an eighth of one.
    coarser = "coarser" in kind or kind in ("polar", "over the antimeridian", "Web Mercator")
    assert spread > 0 and difference.mean() < (0.2 if coarser else 0.05) * spread


@pytest.mark.parametrize("kind", REAL)
def test_on_its_own_grid_a_raster_comes_back_exactly(kind: str, locate: Callable[[Path], Path]) -> None:
    path, bands, _, _ = REAL[kind]
    path = locate(path)
    own = reference.grid_of(path)
    with rasterio.open(path) as dataset:
        height, width = min(dataset.height, 40), min(dataset.width, 40)
        window = rasterio.windows.Window(dataset.width - width, dataset.height - height, width, height)
        stored, there = dataset.read(bands, window=window), dataset.dataset_mask(window=window) > 0
    there &= np.isfinite(stored).all(axis=0)
    for resampling in RESAMPLINGS:
        pixels, mask = WarpedRaster(path, own, bands, resampling).read(own.row + window.row_off, own.col + window.col_off, height, width)
        assert np.array_equal(mask, there | alpha_is_data_in(kind)), resampling
        tolerance = 1e-9 if resampling == "lanczos" else 0  # the sine of a multiple of pi is not quite 0
        assert np.allclose(pixels[:, mask], stored.astype(np.float32)[:, mask], rtol=0, atol=tolerance), resampling
        assert not pixels[:, ~mask].any()


PLACED = {
    "north-up": ("EPSG:32633", Affine(10, 0, 500_000, 0, -10, 5_100_000), "EPSG:3035", "10"),
    "rotated": ("EPSG:32633", Affine(8, 6, 500_000, 6, -8, 5_100_000), "EPSG:3857", "14"),
    "south-up": ("EPSG:32633", Affine(10, 0, 500_000, 0, 10, 5_099_000), "EPSG:4326", "0.0001"),
    "sheared, coarser": ("EPSG:32633", Affine(5, 2, 500_000, 0, -5, 5_100_000), "EPSG:32632", "12"),
    "geographic": ("EPSG:4326", Affine(1e-4, 0, 14.2, 0, -1e-4, 46.5), "EPSG:32633", "8"),
    "Web Mercator": ("EPSG:3857", Affine(10, 0, 1_600_000, 0, -10, 5_800_000), "EPSG:32633", "7"),
    "antimeridian, up to 180.005": ("EPSG:4326", Affine(1e-4, 0, 179.995, 0, -1e-4, -17.0), "EPSG:32760", "9"),
    "antimeridian, from -180.005": ("EPSG:4326", Affine(1e-4, 0, -180.005, 0, -1e-4, -17.0), "EPSG:32701", "9"),
    "antimeridian, UTM": ("EPSG:32660", Affine(10, 0, 819_800, 0, -10, 1_900_000), "EPSG:4326", "0.0001"),
    "antimeridian, 0 to 360": ("EPSG:4326", Affine(0.05, 0, 175.0, 0, -0.05, 70), "EPSG:3413", "4000"),
    "pole": ("EPSG:3413", Affine(1000, 0, -50_000, 0, -1000, 50_000), "EPSG:3995", "1000"),
}


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("kind", PLACED)
def test_pixels_lie_where_they_belong(kind: str, resampling: Resampling, tmp_path: Path) -> None:
    """The raster holds the number of each pixel's column and row, so that what is read tells where it was read."""
    source, transform, crs, resolution = PLACED[kind]
    own = np.stack(np.meshgrid(np.arange(100) + 0.5, np.arange(100) + 0.5))
    path = write(tmp_path / "a.tif", own.astype(np.float32), source, transform)
    forth = Transformer.from_crs(source, crs, always_xy=True)
    a, b, c, d, e, f = transform[:6]
    x, y = forth.transform(50 * (a + b) + c, 50 * (d + e) + f)
    col, row = round(x / float(resolution)) - 20, round(-y / float(resolution)) - 20
    pixels, mask = WarpedRaster(path, grid_of(crs, resolution), (1, 2), resampling).read(row, col, 40, 40)
    x, y = np.meshgrid((np.arange(col, col + 40) + 0.5) * float(resolution), -(np.arange(row, row + 40) + 0.5) * float(resolution))
    back_x, back_y = Transformer.from_crs(crs, source, always_xy=True).transform(x, y)
    if source == "EPSG:4326":
        back_x = transform.c + (back_x - transform.c) % 360
    a, b, c, d, e, f = (~transform)[:6]
    true = np.stack([a * back_x + b * back_y + c, d * back_x + e * back_y + f])
    inside = ((true > 0) & (true < 100)).all(axis=0)
    assert inside.sum() > 300
    assert np.array_equal(mask, inside) if resampling != "average" else not (inside & ~mask).any()
    middle = ((true > 12) & (true < 88)).all(axis=0)
    tolerance = {"nearest": 0.5001, "average": 0.26}.get(resampling, 0.13)  # a kernel that is widened a little is off a little
    assert middle.sum() > 300 and np.abs(pixels - true)[:, middle].max() < tolerance


def test_coarser_and_finer_levels_nest(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2, 48, 48)).astype(np.uint8)
    path = write(tmp_path / "a.tif", pixels, "EPSG:32633", Affine(10, 0, 480, 0, -10, -480))
    grid = grid_of("EPSG:32633", "10")
    coarse, mask = WarpedRaster(path, grid, (1, 2), "average", factor=4).read(12, 12, 12, 12)
    assert mask.all() and np.array_equal(coarse, pixels.reshape(2, 12, 4, 12, 4).mean(axis=(2, 4), dtype=np.float64).astype(np.float32))
    fine, mask = WarpedRaster(path, grid, (1, 2), "nearest", factor=Fraction(1, 3)).read(144, 144, 144, 144)
    assert mask.all() and np.array_equal(fine, pixels.repeat(3, axis=1).repeat(3, axis=2))
    for resampling in ("bilinear", "cubic", "lanczos"):
        flat, mask = WarpedRaster(path, grid, (1,), resampling, factor=8).read(6, 6, 6, 6)
        assert mask.all() and np.abs(flat.mean() - pixels[0].mean()) < 6 and flat.std() < 0.3 * pixels[0].std()
    for factor in (Fraction(2, 3), 0, -1):
        with pytest.raises(ValueError, match="do not nest"):
            WarpedRaster(path, grid, (1,), "nearest", factor=factor)


ORIGIN = Affine(10, 0, 0, 0, -10, 0)


def there(path: Path, bands: tuple[int, ...], resampling: Resampling = "nearest", side: int = 4) -> np.ndarray:
    return WarpedRaster(path, grid_of("EPSG:32633", "10"), bands, resampling).read(0, 0, side, side)[1]


def test_what_has_data_is_told_by_nodata_masks_and_alpha(tmp_path: Path) -> None:
    numbers = np.arange(1, 49).reshape(3, 4, 4)
    holes = np.ones((4, 4), bool)
    holes[1, 2] = holes[3, 0] = False

    dark = numbers.astype(np.uint8) * holes
    dark[0, 0, 0] = 0  # a dark pixel in one band only
    assert np.array_equal(there(write(tmp_path / "zero.tif", dark, "EPSG:32633", ORIGIN, nodata=0), (1, 2, 3)), holes)
    partly = numbers.astype(np.int16)
    partly[1][~holes] = -9999
    assert np.array_equal(there(write(tmp_path / "some.tif", partly, "EPSG:32633", ORIGIN, nodata=-9999), (1, 2)), holes)
    assert there(tmp_path / "some.tif", (1, 3)).all()
    nan = numbers.astype(np.float32)
    nan[2][~holes] = np.nan
    assert np.array_equal(there(write(tmp_path / "nan.tif", nan, "EPSG:32633", ORIGIN), (3, 1)), holes)
    huge = numbers.astype(np.float64)
    huge[0][~holes] = 1e300
    assert np.array_equal(there(write(tmp_path / "huge.tif", huge, "EPSG:32633", ORIGIN), (1,)), holes)

    path = write(tmp_path / "mask.tif", numbers.astype(np.uint8), "EPSG:32633", ORIGIN)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(holes)
    assert np.array_equal(there(path, (2,)), holes)
    alpha = np.concatenate([numbers, 255 * holes[None]]).astype(np.uint8)
    path = write(tmp_path / "alpha.tif", alpha, "EPSG:32633", ORIGIN, photometric="RGB", alpha="YES")
    assert np.array_equal(there(path, (1, 2, 3)), holes)
    near_infrared = np.random.default_rng(0).integers(0, 255, (4, 8, 8)).astype(np.uint8)
    near_infrared[3, 0, 0] = 0
    path = write(tmp_path / "naip.tif", near_infrared, "EPSG:32633", ORIGIN, photometric="RGB", alpha="YES")
    with rasterio.open(path) as dataset:
        assert dataset.colorinterp[3] == ColorInterp.alpha
    assert there(path, (1, 4), side=8).all()


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_pixels_without_data_leave_no_trace_in_their_neighbours(resampling: Resampling, tmp_path: Path) -> None:
    pixels = np.full((1, 12, 12), 50, np.int16)
    pixels[0, 4:7, 3:9] = -9999
    path = write(tmp_path / "a.tif", pixels, "EPSG:32633", ORIGIN, nodata=-9999)
    for factor in (1, Fraction(1, 4), 2, 3):
        side = int(16 / factor)
        found, mask = WarpedRaster(path, grid_of("EPSG:32633", "10"), (1,), resampling, factor=factor).read(0, 0, side, side)
        assert mask.any() and np.allclose(found[:, mask], 50, atol=1e-4) and not found[:, ~mask].any()
        reach = int(12 / factor)
        assert not mask[reach:].any() and not mask[:, reach:].any()


def test_far_away_there_is_nothing() -> None:
    path, bands, crs, resolution = REAL["rotated"]
    warped = WarpedRaster(path, grid_of(crs, resolution), bands, "cubic")
    for row, col in [(0, 0), (2**40, -(2**40)), (-(2**45), 3)]:
        pixels, mask = warped.read(row, col, 5, 7)
        assert pixels.shape == (1, 5, 7) and not pixels.any() and not mask.any()


def test_rasters_without_a_grid_are_refused_by_name(tmp_path: Path) -> None:
    grid = grid_of("EPSG:32633", "10")
    with pytest.raises(GeoreferenceError, match=r"au-gcp\.tif has no grid of its own"):
        WarpedRaster(SHIPPED / "gcp_rpc/au-gcp.tif", grid, (1,), "nearest")
    with pytest.raises(GeoreferenceError, match=r"test_rpcs\.tif has no grid of its own"):
        WarpedRaster(SHIPPED / "gcp_rpc/test_rpcs.tif", grid, (1,), "nearest")
    with pytest.raises(GeoreferenceError, match="nothing about where it lies"):
        WarpedRaster(SHIPPED / "transforms/img-16bit_nogeoref.jp2", grid, (1,), "nearest")
    points = [GroundControlPoint(0, 0, 0, 0), GroundControlPoint(4, 0, 0, -40), GroundControlPoint(0, 4, 40, 0)]
    path = tmp_path / "gcp.tif"
    with rasterio.open(path, "w", driver="GTiff", width=4, height=4, count=1, dtype="uint8", gcps=points, crs="EPSG:32633"):
        pass
    with pytest.raises(GeoreferenceError, match="gdalwarp"):
        WarpedRaster(path, grid, (1,), "nearest")


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    grid = grid_of("EPSG:32633", "10")
    path = write(tmp_path / "a.tif", np.ones((2, 4, 4), np.uint8), "EPSG:32633", ORIGIN)
    for bands in [(3,), (0,), (1, 2, -1), ()]:
        with pytest.raises(InputError, match="has 2 bands"):
            WarpedRaster(path, grid, bands, "nearest")
    with pytest.raises(InputError, match="complex"):
        WarpedRaster(write(tmp_path / "c.tif", np.ones((1, 4, 4), np.complex64), "EPSG:32633", ORIGIN), grid, (1,), "nearest")
    vrt = tmp_path / "b.tif"
    vrt.write_text(f'<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand band="1"><SimpleSource><SourceFilename>{path}</SourceFilename>'
                   "</SimpleSource></VRTRasterBand></VRTDataset>")  # fmt: skip
    with pytest.raises(InputError, match="not an image rsgeo can read"):
        WarpedRaster(vrt, grid, (1,), "nearest")
    with pytest.raises(ValueError, match="no resampling"):
        WarpedRaster(path, grid, (1,), "mode")  # type: ignore[arg-type]
    damaged = tmp_path / "damaged.tif"
    write(damaged, np.random.default_rng(0).integers(0, 255, (1, 64, 64)).astype(np.uint8), "EPSG:32633", ORIGIN, compress="deflate")
    damaged.write_bytes(damaged.read_bytes()[:1500])
    with pytest.raises(InputError, match=r"damaged|cut off"):
        WarpedRaster(damaged, grid, (1,), "nearest").read(0, 0, 64, 64)


def sparse(path: Path, side: int, block: int, count: int = 3) -> Path:
    """A file of a few kilobytes that stands for a huge image."""
    profile = {"width": side, "height": side, "count": count, "dtype": "uint8", "crs": "EPSG:32633", "transform": ORIGIN}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, blockxsize=block, blockysize=block, sparse_ok=True, bigtiff="yes", **profile):
        pass
    return path


def test_memory_is_that_of_the_window(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="blocks too large"):
        WarpedRaster(sparse(tmp_path / "blocks.tif", 2**16, 2**14), grid_of("EPSG:32633", "10"), (1, 2, 3), "nearest")
    path = sparse(tmp_path / "huge.tif", 100_000, 512)
    begin = time.process_time()
    for resolution, resampling in (("10", "cubic"), ("330", "average"), ("13000", "nearest")):
        tracemalloc.start()
        _, mask = WarpedRaster(path, grid_of("EPSG:32633", resolution), (1, 2, 3), resampling).read(3, 5, 32, 32)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert mask.all() and peak < 200e6, (resolution, peak)
    assert time.process_time() - begin < 30
    with pytest.raises(InputError, match="more than 128 times finer"):
        WarpedRaster(path, grid_of("EPSG:32633", "1300"), (1,), "bilinear").read(0, 0, 2, 2)
