"""Superres on real Sentinel-2 pixels: the grid, what the model sees, the mask and the report are right to the pixel, whatever the model paints."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import safe_product
from click.testing import CliRunner
from rasterio.windows import Window

import rsgeo
from rsgeo.cli import main
from rsgeo.errors import AreaError, InputError, ModelError, RsgeoWarning
from rsgeo.geo import grid, provenance
from rsgeo.hub import catalog
from rsgeo.request import Ask
from rsgeo.tasks import references, report
from rsgeo.tasks.resolve import Resolved
from rsgeo.tasks.superres import resolve_superres
from rsgeo.worker import tasks as worker_tasks

RASTERS = Path(__file__).parents[1] / "data" / "rasters"
SLOVENIA = RASTERS / "series" / "S2_L1C_slovenia_20150711T100008.tif"
L2A = RASTERS / "sentinel2" / "S2L2A_38D_378R_2_3_cut.tif"
RGB = RASTERS / "sentinel2" / "S2RGB_38D_378R_2_3.tif"
QUICK = {"gsd": "2.5", "num_inference_steps": 1, "guidance_scale": 1.0, "model": "test-superres"}

pytestmark = pytest.mark.usefixtures("condition_models_at_hand")


def cut(path: Path, to: Path, row: int = 20, col: int = 30, size: int = 16, hole: bool = False) -> Path:
    """A square of a real raster with its STAC item if it has one; with ``hole`` four of its pixels are no data."""
    with rasterio.open(path) as dataset:
        window = Window(col, row, size, size)
        profile = {"driver": "GTiff", "width": size, "height": size, "count": dataset.count, "dtype": dataset.dtypes[0], "crs": dataset.crs}
        pixels, transform = dataset.read(window=window), dataset.window_transform(window)
        if hole:
            pixels[:, 4:6, 8:10], profile["nodata"] = 0, 0
        with rasterio.open(to / path.name, "w", transform=transform, **profile) as out:
            out.write(pixels)
            out.descriptions, out.colorinterp = dataset.descriptions, dataset.colorinterp
    if path.with_suffix(".json").exists():
        shutil.copy(path.with_suffix(".json"), to)
    return to / path.name


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """16 x 16 pixels of the thirteen bands of Level-1C."""
    return cut(SLOVENIA, tmp_path)


def stored(path: Path, *bands: int) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read(bands or None)


def seen(resolved: Resolved, scale: int, k: int, tile: int) -> tuple[np.ndarray, np.ndarray]:
    """The images over the grid from its first pixel, in windows put together: (images, bands, height, width) and the mask."""
    cells = resolved.request.grid
    assert cells.row % scale == cells.col % scale == 0
    level = SimpleNamespace(scale=scale, tile=tile, conditioning_scale=Fraction(k))
    scene = rsgeo.SceneMetadata()
    at = references.seen_at(resolved.request, resolved.files, resolved.record, level, lambda xs, ys: [scene] * len(xs))
    assert at is not None
    rows, cols = (-(-side // (scale * tile)) for side in (cells.height, cells.width))
    corners = [(cells.row // scale + i * tile, cells.col // scale + j * tile) for i in range(rows) for j in range(cols)]
    found = at(corners)
    pixels, mask = ([found[i * cols + j] for j in range(cols)] for i in range(rows)), None
    lines = list(pixels)
    height, width = cells.height // k, cells.width // k
    mask = np.concatenate([np.concatenate([one.mask for one in line], axis=-1) for line in lines], axis=-2)[..., :height, :width]
    return np.concatenate([np.concatenate([one.pixels for one in line], axis=-1) for line in lines], axis=-2)[..., :height, :width], mask


def test_the_request_says_what_the_model_sees(clip: Path) -> None:
    resolved = resolve_superres([clip], Ask(**QUICK))
    request, (low_res,) = resolved.request, resolved.request.references
    with rasterio.open(clip) as dataset:
        transform, crs = dataset.transform, dataset.crs
    box = grid.geobox(request.grid)
    assert box.shape == (64, 64) and str(box.crs) == str(crs)
    assert np.allclose(box.affine[:6], (transform @ rasterio.Affine.scale(1 / 4))[:6], rtol=0, atol=1e-7)
    assert request.task == "superres" and request.aoi is None
    assert (low_res.role, low_res.name, low_res.bands, low_res.resampling) == ("low_res", clip.name, (4, 3, 2), "average")
    assert low_res.sha256 == references.sha256_of(clip) and str(clip.parent) not in request.canonical_json()
    # Reflectance from 0 to 0.275, as EuroSAT's pictures show it.
    assert low_res.stretch == ((0.0, 2750.0),) * 3
    assert low_res.date is not None and low_res.date.value == "2015-07-11T10:00:08Z"


def test_the_model_sees_exactly_the_pixels_of_the_raster(clip: Path) -> None:
    resolved = resolve_superres([clip], Ask(**QUICK))
    pixels, mask = seen(resolved, scale=4, k=4, tile=16)
    assert mask.all() and pixels.shape == (1, 3, 16, 16)
    assert np.allclose(pixels[0], np.clip(stored(clip, 4, 3, 2) / 2750, 0, 1), rtol=0, atol=1e-6)


def test_another_ratio_reads_the_images_at_the_models_own(clip: Path) -> None:
    """At 5 m, a condition of 20 m: means of two by two pixels of the raster."""
    with pytest.warns(RsgeoWarning, match="learned to make images 4 times finer, and 2 times are asked for"):
        resolved = resolve_superres([clip], Ask(**{**QUICK, "gsd": "5"}))
    assert (resolved.request.grid.width, resolved.request.grid.height) == (32, 32)
    cells = resolved.request.grid
    if cells.row % 4 or cells.col % 4:  # the condition's lattice is the world's; here it does not begin with the raster
        moved = grid.window(cells, -(cells.row % 4), -(cells.col % 4), 32, 32)
        resolved = Resolved(resolved.request.model_copy(update={"grid": moved}), resolved.record, None, files=resolved.files)
    pixels, mask = seen(resolved, scale=4, k=4, tile=8)
    with rasterio.open(SLOVENIA) as dataset:
        row, col = 20 - (cells.row % 4) // 2, 30 - (cells.col % 4) // 2
        around = dataset.read((4, 3, 2), window=Window(col, row, 16, 16))
    means = around.reshape(3, 8, 2, 8, 2).mean(axis=(2, 4)) / 2750
    inner = mask[0][1:-1, 1:-1]
    assert inner.all() and np.allclose(pixels[0][:, 1:-1, 1:-1], np.clip(means, 0, 1)[:, 1:-1, 1:-1], rtol=0, atol=1e-6)


def test_eight_bit_pictures_are_seen_as_they_are(tmp_path: Path) -> None:
    clip = cut(RGB, tmp_path)
    pixels, _ = seen(resolve_superres([clip], Ask(**QUICK)), scale=4, k=4, tile=16)
    assert np.allclose(pixels[0], stored(clip) / 255, rtol=0, atol=1e-6)


def test_told_radiometry_moves_the_stretch(clip: Path, tmp_path: Path) -> None:
    clip.with_suffix(".json").unlink()
    for radiometry, ends in (("dn", (0.0, 2750.0)), ("dn+1000", (1000.0, 3750.0)), ("reflectance", (0.0, 0.275)), ("rgb", (0.0, 255.0))):
        (low_res,) = resolve_superres([clip], Ask(**QUICK, radiometry=radiometry)).request.references
        assert low_res.stretch == (ends,) * 3


def test_a_picture_with_its_marks_report_and_mask(tmp_path: Path) -> None:
    clip, out = cut(SLOVENIA, tmp_path, hole=True), tmp_path / "fine.tif"
    result = rsgeo.superres(clip, out, **QUICK)
    with rasterio.open(out) as dataset, rasterio.open(clip) as low:
        assert dataset.crs == low.crs and dataset.shape == (64, 64) and dataset.dtypes == ("uint8",) * 3
        assert dataset.transform.almost_equals(low.transform @ rasterio.Affine.scale(1 / 4), 1e-7)
        pixels, mask, tags = dataset.read(), dataset.dataset_mask() > 0, dataset.tags()
    hole = np.zeros((64, 64), bool)
    hole[16:24, 32:40] = True
    assert np.array_equal(mask, ~hole)
    assert (tags["RSGEO_TASK"], tags["RSGEO_SYNTHETIC"]) == ("superres", "ALL")
    # The report, computed once more: blocks of the picture against the raster, stretched.
    made = pixels.astype(float).reshape(3, 16, 4, 16, 4).mean(axis=(2, 4))
    given = np.clip(stored(clip, 4, 3, 2) / 2750, 0, 1) * 255
    whole = ~hole[::4, ::4]
    rmse = np.sqrt(np.square(made - given)[:, whole].mean(axis=1))
    cosine = (made * given).sum(axis=0) / np.linalg.norm(made, axis=0) / np.linalg.norm(given, axis=0)
    angles = np.degrees(np.arccos(np.clip(cosine, -1, 1)))[whole]
    assert result.report is not None
    found = result.report["consistency"]
    assert (found["reference"], found["pixels"], found["ratio"]) == (clip.name, 252, 4)
    assert [*found["rmse"].values()] == pytest.approx(rmse, abs=1e-3)
    assert [*found["spectral_angle_deg"].values()] == pytest.approx(np.percentile(angles, [50, 95]), abs=0.2)
    assert json.loads(provenance.report_path(out).read_text()) == result.report
    item = json.loads(provenance.sidecar_paths(out)[0].read_text())
    assert item["properties"]["rsgeo:consistency"] == found


def test_an_exact_picture_is_found_to_be_consistent(clip: Path) -> None:
    """A picture of the raster's own pixels, repeated: no model in it."""
    resolved = resolve_superres([clip], Ask(**QUICK))
    grey = np.clip(stored(clip, 4, 3, 2) / 2750, 0, 1) * 255
    picture = np.rint(grey).astype(np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    measured = report.of_pixels(resolved, picture, np.ones((64, 64), bool))
    assert measured is not None
    found = measured["consistency"]
    assert (
        max(found["rmse"].values()) < 0.5
        and found["spectral_angle_deg"]["percentile_95"] < 1
        and found["shift_px"] == pytest.approx([0, 0], abs=0.02)
    )


def test_another_ratio_is_measured_on_whole_pixels(clip: Path) -> None:
    with pytest.warns(RsgeoWarning, match="as if its pixels were 4 times"):
        resolved = resolve_superres([clip], Ask(**{**QUICK, "gsd": "6"}))
    cells = resolved.request.grid
    rng = np.random.default_rng(0)
    measured = report.of_pixels(resolved, rng.integers(0, 256, (3, cells.height, cells.width), np.uint8), np.ones((cells.height, cells.width), bool))
    assert measured is not None and measured["consistency"]["pixels"] == 256 and measured["consistency"]["ratio"] == pytest.approx(5 / 3, abs=2e-3)


def test_python_command_and_replay_give_the_same_pixels(clip: Path, tmp_path: Path) -> None:
    in_memory = rsgeo.superres(clip, **QUICK)
    out = tmp_path / "command.tif"
    options = ["--gsd", "2.5", "--num-inference-steps", "1", "--guidance-scale", "1", "--model", "test-superres"]
    done = CliRunner().invoke(main, ["superres", str(clip), *options, str(out)])
    assert done.exit_code == 0, done.output
    assert "consistency" in done.output and "spectral angle" in done.output and "px right" in done.output
    assert np.array_equal(stored(out), in_memory.pixels)
    moved = tmp_path / "elsewhere" / "other name.tif"
    moved.parent.mkdir()
    shutil.copy(clip, moved)
    again = rsgeo.generate(from_file=out, references=(moved,))
    assert again.request == in_memory.request and np.array_equal(again.pixels, in_memory.pixels) and again.report == in_memory.report
    with pytest.raises(InputError, match=rf"The request was made with {clip.name}; give the same again with --reference"):
        rsgeo.generate(from_file=out)


def test_an_area_is_cut_out_of_the_raster(clip: Path, tmp_path: Path) -> None:
    with rasterio.open(clip) as dataset:
        left, bottom, _, top = dataset.bounds
        crs = dataset.crs.to_string()
    asked = {**QUICK, "bounds": (left + 41, bottom - 500, left + 83, top - 60), "aoi_crs": crs}
    resolved = resolve_superres([clip], Ask(**asked))
    whole = resolve_superres([clip], Ask(**QUICK)).request.grid
    part = resolved.request.grid
    assert part.lattice == whole.lattice
    assert (part.col - whole.col, part.row - whole.row) == (16, 24) and (part.width, part.height) == (18, 40)
    result = rsgeo.superres(clip, **asked)
    assert result.mask is not None and result.mask.all(axis=0).sum() == 17 and result.report is not None
    assert result.report["consistency"]["pixels"] == 40
    with pytest.raises(AreaError, match="lies beyond the reference"):
        resolve_superres([clip], Ask(**{**QUICK, "bounds": (0, 0, 1, 1)}))


def test_a_product_and_its_archive_give_the_same_picture(tmp_path: Path) -> None:
    product = safe_product.build(tmp_path, "L2A")
    asked = {**QUICK, "bounds": (465_300, 5_079_940, 465_420, 5_080_060), "aoi_crs": safe_product.CRS}
    results = [rsgeo.superres(path, **asked) for path in (product, safe_product.pack(product))]
    assert np.array_equal(results[0].pixels, results[1].pixels)
    assert [result.request.references[0].name for result in results] == [product.name, f"{product.stem}.zip"]
    (low_res,) = results[0].request.references
    assert low_res.bands == (4, 3, 2) and low_res.stretch == ((1000.0, 3750.0),) * 3
    out = tmp_path / "fine.tif"
    rsgeo.superres(product, out, **asked)
    assert np.array_equal(rsgeo.generate(from_file=out, references=(product,)).pixels, results[0].pixels)


@pytest.fixture
def fmow(tmp_path: Path) -> Callable[..., Resolved]:
    def resolve(path: Path, **asked: object) -> Resolved:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RsgeoWarning)
            return resolve_superres([path], Ask(**{"gsd": "5", "model": "tiny-fmow", "num_inference_steps": 1, "guidance_scale": 1.0, **asked}))

    return resolve


def test_ten_bands_reach_diffusionsat_as_in_its_training(clip: Path, fmow: Callable[..., Resolved]) -> None:
    """Cut to bytes between the mean and 2 deviations, in the order B4 B3 B2 B5 B6 B7 B8 B8A B11 B12; GSD said to be 10, date the target's."""
    resolved = fmow(clip)
    (low_res,) = resolved.request.references
    assert low_res.bands == (4, 3, 2, 5, 6, 7, 8, 9, 12, 13)
    assert low_res.gsd is not None and low_res.gsd.value == 10 and low_res.date == resolved.request.scene.date
    pixels, _ = seen(resolved, scale=2, k=2, tile=16)
    mean = np.array([1136.26026392, 1120.77120066, 1184.3824625, 1263.73947144, 1645.40315151, 1846.87040806, 1762.59530783, 1972.62420416, 1732.16362238, 1247.91870117])  # fmt: skip  # noqa: E501
    deviation = np.array([965.23119807, 712.12507725, 650.2842772, 948.9819932, 1108.06650639, 1258.36394548, 1233.1492281, 1364.38688993, 1310.36996126, 1087.6020813])  # fmt: skip  # noqa: E501
    low, high = ((mean + sign * 2 * deviation)[:, None, None] for sign in (-1, 1))
    expected = np.floor(np.clip((stored(clip, *low_res.bands) - low) / (high - low), 0, 1) * 255) / 255
    assert np.mean(np.abs(pixels[0] - expected) > 1e-6) < 1e-3 and np.abs(pixels[0] - expected).max() < 1.01 / 255


def test_diffusionsat_makes_a_picture_with_a_report(clip: Path, tmp_path: Path, fmow: Callable[..., Resolved]) -> None:
    from rsgeo.runtime import Runtime
    from rsgeo.tasks.generate import run

    result = run(fmow(clip), tmp_path / "fine.tif", Runtime(device="cpu", dtype="fp32", batch_size=1))
    assert result.report is not None and result.report["consistency"]["pixels"] == 256
    # The report looks at red, green and blue as they are shown, whatever the model sees.
    given = np.clip(stored(clip, 4, 3, 2) / 2750, 0, 1) * 255
    made = stored(tmp_path / "fine.tif").astype(float).reshape(3, 16, 2, 16, 2).mean(axis=(2, 4))
    assert [*result.report["consistency"]["rmse"].values()] == pytest.approx(np.sqrt(np.square(made - given).mean(axis=(1, 2))), abs=1e-2)


def test_missing_bands_are_refused_by_name_and_nothing_is_written(tmp_path: Path) -> None:
    four, out = RASTERS / "series" / "S2_L2A_31UDS_20180416T105619.tif", tmp_path / "out.tif"
    done = CliRunner().invoke(main, ["superres", str(four), "--gsd", "5", "--model", "tiny-fmow", str(out)])
    assert done.exit_code == 1 and not [*tmp_path.iterdir()]
    assert "lacks B05 (rededge071), B06 (rededge075), B07 (rededge078), B8A (nir08), B11 (swir16), B12 (swir22)" in done.output
    with pytest.raises(InputError, match="holds grey levels of a picture, and the model sees reflectance"):
        resolve_superres([SLOVENIA], Ask(gsd="5", model="tiny-fmow", radiometry="rgb"))


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"gsd": None}, InputError, "Say how fine"),
        ({"gsd": "20"}, InputError, "--gsd 20 is not finer than the reference"),
        ({"crs": "EPSG:3857"}, InputError, "crs does not go with superres"),
        ({"model": "tiny-texas"}, ModelError, "tiny-texas cannot make a raster finer"),
        ({"radiometry": "db"}, InputError, "--radiometry is one of"),
        ({"reference_dates": ("2020-01-01", "2020-01-02")}, InputError, "1 references and 2 dates"),
        ({"cloud_cover": 101.0}, InputError, "Cloud cover is a percentage"),
    ],
)
def test_what_cannot_be_is_one_sentence(clip: Path, asked: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        resolve_superres([clip], Ask(**{**QUICK, **asked}))


def test_a_second_image_needs_a_model_that_sees_two(clip: Path) -> None:
    with pytest.raises(InputError, match="test-superres sees 1 image, not 2"):
        resolve_superres([clip, SLOVENIA], Ask(**QUICK))
    with pytest.raises(InputError, match="are the same file"):
        resolve_superres([clip, clip], Ask(**QUICK))


def test_windows_at_the_edge_see_the_raster_go_on(clip: Path) -> None:
    """Models were shown whole images only: what lies beyond the raster is filled from its edge, the mask tells."""
    resolved = resolve_superres([clip], Ask(**QUICK))
    request = resolved.request.model_copy(update={"grid": grid.window(resolved.request.grid, -32, -32, 64, 64)})
    pixels, mask = seen(Resolved(request, resolved.record, None, files=resolved.files), scale=4, k=4, tile=16)
    inside = np.zeros((16, 16), bool)
    inside[8:, 8:] = True
    corner = np.clip(stored(clip, 4, 3, 2)[:, 0, 0] / 2750, 0, 1)
    assert np.array_equal(mask[0], inside) and (pixels > 0).all()
    assert np.allclose(pixels[0, :, 7, 7], corner, atol=1e-6)


def test_samples_are_measured_by_their_mean_or_each(clip: Path) -> None:
    mean, each = (rsgeo.superres(clip, **QUICK, samples=2, samples_as=how) for how in ("statistics", "all"))
    assert mean.report is not None and each.report is not None
    assert [*each.report["consistency"]] == ["sample 0", "sample 1"] and "rmse" in mean.report["consistency"]
    assert each.report["consistency"]["sample 0"] == rsgeo.superres(clip, **QUICK).report["consistency"]  # type: ignore[index]


def test_a_worker_is_asked_the_same(clip: Path) -> None:
    asked = {"task": "superres", "references": [str(clip)], "ask": dict(QUICK)}
    assert worker_tasks.resolve(asked).request == resolve_superres([clip], Ask(**QUICK)).request
    with pytest.raises(InputError, match="references"):
        worker_tasks.resolve({"task": "superres", "references": [], "ask": dict(QUICK)})


def test_nothing_is_measured_of_what_refines_nothing(make: Callable[..., rsgeo.Result]) -> None:
    assert make().report is None


def test_the_embedded_model_is_the_default_once_it_is_there() -> None:
    assert catalog.for_task("superres").name in ("test-superres", "rsgeo-mini-superres")
