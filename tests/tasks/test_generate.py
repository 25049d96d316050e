"""`rsgeo.generate`: the file it writes, where its pixels lie, what they are a function of, and that nothing is left when it fails."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from pyproj import Transformer
from rasterio.features import rasterize
from rasterio.windows import Window
from rio_cogeo import cog_validate
from safetensors.torch import load_file, save_file
from shapely.geometry import shape

import rsgeo
from rsgeo.errors import CancelledError, InputError, ModelError, RsgeoWarning
from rsgeo.request import SCHEDULERS
from rsgeo.runtime import Progress

RASTERS = Path(__file__).resolve().parents[1] / "data" / "rasters"
Make = Callable[..., rsgeo.Result]


def pixels_and_mask(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with rasterio.open(path) as dataset:
        return dataset.read(), dataset.dataset_mask() > 0


def inside(area: Path, result: rsgeo.Result) -> np.ndarray:
    """The mask as GDAL rasterises the area: pixels whose centre lies in it."""
    to_grid = Transformer.from_crs("EPSG:4326", result.geobox.crs.to_wkt(), always_xy=True)
    polygon = shapely.transform(shape(json.loads(area.read_text())), to_grid.transform, interleaved=False)
    return rasterize([polygon], out_shape=result.geobox.shape, transform=result.geobox.affine).astype(bool)


class TestTheFile:
    def test_is_a_strict_cog_with_all_that_belongs_beside_it(self, picture: Path) -> None:
        valid, errors, cautions = cog_validate(picture, strict=True)
        assert valid and not errors and not cautions
        assert sorted(path.name for path in picture.parent.iterdir()) == ["picture.qmd", "picture.stac.json", "picture.tif"]

    def test_is_uint8_rgb_with_a_mask_and_no_nodata_value(self, picture: Path) -> None:
        with rasterio.open(picture) as dataset:
            assert dataset.dtypes == ("uint8",) * 3
            assert [band.name for band in dataset.colorinterp] == ["red", "green", "blue"]
            assert dataset.nodata is None
            assert not dataset.dataset_mask().all()

    def test_says_that_it_is_synthetic(self, picture: Path) -> None:
        found = rsgeo.describe(picture)
        assert found.synthetic == "ALL"
        assert found.date is None and found.cloud_cover_percent is None

    def test_names_no_folder_of_this_machine(self, picture: Path) -> None:
        for path in picture.parent.iterdir():
            assert str(picture.parent).encode() not in path.read_bytes()

    def test_equals_the_result_in_memory(self, picture: Path, make: Make) -> None:
        result = make(prompt="fields beside a river", seed=5)
        pixels, mask = pixels_and_mask(picture)
        assert result.path is None and result.pixels is not None and result.mask is not None
        assert result.pixels.dtype == np.uint8 and result.mask.dtype == np.bool_
        assert result.pixels.shape == (3, *result.geobox.shape)
        np.testing.assert_array_equal(result.pixels, pixels)
        np.testing.assert_array_equal(result.mask, mask)
        assert not result.pixels[:, ~result.mask].any()

    def test_is_valid_exactly_where_the_area_is(self, area: Path, make: Make) -> None:
        result = make()
        np.testing.assert_array_equal(result.mask, inside(area, result))

    def test_bounds_are_an_area_too(self, make: Make) -> None:
        result = make(bounds=(14.5, 46.0, 14.505, 46.003))
        assert result.mask is not None and 0.9 < result.mask.mean() <= 1
        assert result.geobox.crs.epsg == 32633
        assert rsgeo.Request.model_validate_json(result.request.canonical_json()) == result.request


@pytest.fixture(scope="module")
def plain(make: Make) -> rsgeo.Result:
    """No wish, three steps: enough for a second-order solver to differ from one of first order."""
    return make(guidance_scale=2.0, num_inference_steps=3)


class TestPixelsAreAFunctionOfTheRequest:
    def test_the_same_request_gives_the_same_bytes(self, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        written = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            make(folder / "out.tif", runtime=rsgeo.Runtime(reproducible=True, preview=folder / "out.png"))
            written.append({path.name: path.read_bytes() for path in folder.iterdir()})
        assert len(written[0]) == 4
        assert written[0] == written[1]

    @pytest.mark.parametrize(
        "other",
        [
            {"seed": 1},
            {"prompt": "an industrial area"},
            {"negative_prompt": "forest"},
            {"guidance_scale": 4.0},
            {"num_inference_steps": 4},
            {"scheduler": "ddim"},
        ],
        ids=lambda other: next(iter(other)),
    )
    def test_another_wish_gives_another_picture(self, other: dict[str, Any], plain: rsgeo.Result, make: Make) -> None:
        sampler = {"guidance_scale": 2.0, "num_inference_steps": 3}
        assert (make(**{**sampler, **other}).pixels != plain.pixels).any()

    def test_another_place_gives_another_picture(self, make: Make) -> None:
        here, there = (make(bounds=(west, 46.0, west + 0.004, 46.003), crs="EPSG:32633").pixels for west in (14.5, 14.6))
        height, width = (min(here.shape[axis], there.shape[axis]) for axis in (1, 2))
        assert (here[:, :height, :width] != there[:, :height, :width]).mean() > 0.5

    def test_another_gsd_gives_another_grid_and_picture(self, make: Make) -> None:
        fine, coarse = make(gsd="8"), make(gsd="16")
        assert fine.geobox.affine.a == 8 and coarse.geobox.affine.a == 16
        height, width = coarse.pixels.shape[1:]
        both = coarse.mask & fine.mask[:height, :width]
        assert (fine.pixels[:, :height, :width] != coarse.pixels)[:, both].mean() > 0.5

    @pytest.mark.parametrize("scheduler", SCHEDULERS)
    def test_every_scheduler_paints(self, scheduler: str, make: Make) -> None:
        result = make(scheduler=scheduler, num_inference_steps=4)
        assert result.pixels[:, result.mask].std() > 5

    def test_a_batch_size_changes_nothing_that_can_be_seen(self, make: Make) -> None:
        one, many = (make(runtime=rsgeo.Runtime(batch_size=size)).pixels.astype(int) for size in (1, 16))
        assert abs(one - many).max() <= 1

    def test_overlapping_areas_agree_where_they_overlap(self, make: Make) -> None:
        boxes = [(14.5, 46.0, 14.512, 46.006), (14.507, 46.003, 14.517, 46.01)]
        wish = {"crs": "EPSG:32633", "num_inference_steps": 4, "guidance_scale": 2.0}
        first, second = (make(bounds=box, **wish) for box in boxes)
        assert first.request.grid.lattice == second.request.grid.lattice
        here, there = common(first, second), common(second, first)
        both = first.mask[here] & second.mask[there]
        assert both.sum() > 400
        np.testing.assert_array_equal(first.pixels[:, *here][:, both], second.pixels[:, *there][:, both])

    def test_a_part_of_an_area_is_a_part_of_its_picture(self, make: Make) -> None:
        whole = make(bounds=(14.5, 46.0, 14.509, 46.006), crs="EPSG:32633")
        part = make(bounds=(14.503, 46.002, 14.5065, 46.0045), crs="EPSG:32633")
        cut = whole.pixels[:, *common(whole, part)]
        np.testing.assert_array_equal(cut[:, part.mask], part.pixels[:, part.mask])


def common(one: rsgeo.Result, other: rsgeo.Result) -> tuple[slice, slice]:
    """Rows and columns of ``one`` that ``other`` has too, both on one lattice."""
    here, there = one.request.grid, other.request.grid
    rows = slice(max(there.row - here.row, 0), min(there.row + there.height - here.row, here.height))
    columns = slice(max(there.col - here.col, 0), min(there.col + there.width - here.col, here.width))
    return rows, columns


LIKE = {
    "UTM, uint16": ("series/S2_L2A_31UDS_20180416T105619.tif", None),
    "UTM, float32": ("sentinel2/S2A_MSIL2A_20220722T105631_N0400_R094_T31TCN_20220722T171159.tif", None),
    "rotated": ("transforms/2d_test.tif", None),
    "geographic": ("crs/small-rgb-tile.tif", Window(100, 90, 40, 30)),
    "south-up": ("transforms/inverted_lat.tif", Window(380, 265, 30, 20)),
    "Web Mercator": ("crs/image_webp.tif", Window(300, 100, 50, 40)),
    "pixels not square": ("dtypes/RGBA.uint16.tif", Window(17, 23, 40, 50)),
}


def cut(name: str, window: Window | None, folder: Path) -> Path:
    """A real raster, or the pixels of it that ``window`` names, so that the test stays quick."""
    with rasterio.open(RASTERS / name) as dataset:
        if window is None:
            return RASTERS / name
        grid = {"width": window.width, "height": window.height, "crs": dataset.crs, "transform": dataset.window_transform(window)}
        with rasterio.open(folder / "cut.tif", "w", driver="GTiff", count=1, dtype=dataset.dtypes[0], **grid) as part:
            part.write(dataset.read(1, window=window), 1)
    return folder / "cut.tif"


class TestLike:
    @pytest.mark.filterwarnings("ignore::rsgeo.errors.RsgeoWarning")
    @pytest.mark.parametrize("case", LIKE)
    def test_takes_the_rasters_grid_exactly(self, case: str, make: Make, tmp_path: Path) -> None:
        reference = cut(*LIKE[case], tmp_path)
        make(tmp_path / "out.tif", like=reference)
        with rasterio.open(reference) as expected, rasterio.open(tmp_path / "out.tif") as got:
            assert got.transform == expected.transform
            assert got.crs == expected.crs
            assert got.shape == expected.shape
            assert got.dataset_mask().all()
            assert got.dtypes == ("uint8",) * 3
        assert cog_validate(tmp_path / "out.tif", strict=True)[0]

    @pytest.mark.filterwarnings("ignore::rsgeo.errors.RsgeoWarning")
    def test_with_an_area_the_grid_is_the_rasters_and_the_mask_the_areas(self, make: Make, tmp_path: Path) -> None:
        reference = RASTERS / "crs" / "image_webp.tif"
        with rasterio.open(reference) as dataset:
            west, south, east, north = dataset.window_bounds(Window(200, 150, 40, 40))
        to_lonlat = Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True)
        ring = [to_lonlat.transform(*corner) for corner in ((west, south), (east, south), (west, north), (west, south))]
        area = tmp_path / "area.geojson"
        area.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
        result = make(tmp_path / "out.tif", like=reference, aoi=area)
        pixels, mask = pixels_and_mask(tmp_path / "out.tif")
        with rasterio.open(reference) as expected, rasterio.open(tmp_path / "out.tif") as got:
            assert (got.transform, got.crs, got.shape) == (expected.transform, expected.crs, expected.shape)
        np.testing.assert_array_equal(mask, inside(area, result))
        assert 700 < mask.sum() < 900
        assert not pixels[:, ~mask].any()

    def test_a_grid_made_from_an_area_is_that_areas_world(self, picture: Path, make: Make) -> None:
        result = make(like=picture, prompt="fields beside a river", seed=5)
        pixels, mask = pixels_and_mask(picture)
        np.testing.assert_array_equal(result.pixels[:, mask], pixels[:, mask])


class TestAgain:
    def test_from_a_file_makes_the_same_pixels(self, picture: Path, make: Make, tmp_path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RsgeoWarning)
            result = make(tmp_path / "again.tif", from_file=picture)
        for again, before in zip(pixels_and_mask(tmp_path / "again.tif"), pixels_and_mask(picture), strict=True):
            np.testing.assert_array_equal(again, before)
        with rasterio.open(picture) as dataset:
            assert dataset.tags()["RSGEO_REQUEST_SHA256"] == result.request.sha256()

    def test_what_is_said_beside_it_is_recorded_in_the_new_request(self, picture: Path, make: Make, tmp_path: Path) -> None:
        result = make(tmp_path / "again.tif", from_file=picture, seed=6)
        assert result.request.seed == 6 and result.request.prompt == "fields beside a river"
        with rasterio.open(tmp_path / "again.tif") as dataset:
            assert json.loads(dataset.tags()["RSGEO_REQUEST"])["seed"] == 6
        assert (pixels_and_mask(tmp_path / "again.tif")[0] != pixels_and_mask(picture)[0]).any()

    def test_a_file_from_a_model_folder_is_made_again_with_that_folder(self, model: Path, make: Make, tmp_path: Path) -> None:
        spoil(model / "unet", "conv_out.bias", 1.01)
        first = make(tmp_path / "first.tif", model=str(model))
        again = make(from_file=tmp_path / "first.tif", model=str(model))
        assert again.request == first.request
        np.testing.assert_array_equal(again.pixels, pixels_and_mask(tmp_path / "first.tif")[0])

    def test_other_weights_are_refused_unless_asked_for(self, model: Path, make: Make, tmp_path: Path) -> None:
        spoil(model / "unet", "conv_out.bias", 1.01)
        make(tmp_path / "first.tif", model=str(model))
        with pytest.raises(ModelError, match="--model-anyway"):
            make(tmp_path / "again.tif", from_file=tmp_path / "first.tif")
        assert not (tmp_path / "again.tif").exists()
        with pytest.warns(RsgeoWarning, match="other weights"):
            make(tmp_path / "again.tif", from_file=tmp_path / "first.tif", model_anyway=True)

    def test_an_edited_request_is_used_with_a_warning(self, picture: Path, make: Make, tmp_path: Path) -> None:
        edited = Path(shutil.copy(picture, tmp_path / "edited.tif"))
        with rasterio.open(edited, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
            request = json.loads(dataset.tags()["RSGEO_REQUEST"])
            dataset.update_tags(RSGEO_REQUEST=json.dumps({**request, "seed": 9}))
        with pytest.warns(RsgeoWarning, match="edited"):
            assert make(from_file=edited).request.seed == 9

    def test_a_private_file_holds_neither_words_nor_area_and_cannot_be_made_again(self, area: Path, make: Make, tmp_path: Path) -> None:
        out, preview = tmp_path / "private.tif", tmp_path / "private.png"
        make(out, prompt="zebras", negative_prompt="okapis", runtime=rsgeo.Runtime(private=True, preview=preview))
        for path in tmp_path.iterdir():
            content = path.read_bytes()
            assert not [word for word in (b"zebras", b"okapis") if word in content], path.name
        with rasterio.open(out) as dataset:
            stored = json.loads(dataset.tags()["RSGEO_REQUEST"])
        assert stored["aoi"]["geometry"] is None and len(stored["aoi"]["sha256"]) == 64
        assert rsgeo.describe(out).synthetic == "ALL"
        with pytest.raises(InputError, match=r"--private, which removed prompt and area; it cannot be made again"):
            make(from_file=out)

    def test_a_request_in_a_file_makes_the_same_pixels(self, make: Make, tmp_path: Path) -> None:
        first = make(prompt="a lake", seed=3)
        (tmp_path / "request.json").write_text(first.request.canonical_json())
        again = make(request_file=tmp_path / "request.json")
        assert again.request == first.request
        np.testing.assert_array_equal(again.pixels, first.pixels)


class TestWhatTheModelCannotSee:
    @pytest.mark.parametrize(
        ("asked", "words"),
        [
            ({"date": "2021-07-01"}, "not taught a date"),
            ({"cloud_cover": 30.0}, "not taught cloud cover"),
        ],
        ids=["date", "cloud cover"],
    )
    def test_is_recorded_and_changes_nothing_but_says_so(self, asked: dict[str, Any], words: str, make: Make) -> None:
        with pytest.warns(RsgeoWarning, match=words):
            result = make(**asked)
        np.testing.assert_array_equal(result.pixels, make().pixels)
        scene = result.request.scene
        assert (scene.date.value if "date" in asked else scene.cloud_cover_percent.value) == next(iter(asked.values()))

    def test_a_gsd_beyond_its_range_is_painted_with_a_warning(self, make: Make) -> None:
        with pytest.warns(RsgeoWarning, match="outside of what rsgeo-mini was trained on"):
            result = make(gsd="45")
        assert result.geobox.affine.a == 45

    def test_a_place_beyond_its_region_is_painted_with_a_warning(self, make: Make) -> None:
        with pytest.warns(RsgeoWarning, match="knows places in Europe only"):
            result = make(bounds=(-58.0, -34.62, -57.996, -34.617))
        assert result.pixels.any()

    def test_a_prompt_that_is_too_long_is_cut_with_a_warning(self, make: Make) -> None:
        with pytest.warns(RsgeoWarning, match="does not see '.*windmills'"):
            result = make(prompt="a village among fields and " + "very " * 60 + "old windmills")
        assert result.pixels.any()
        assert result.request.prompt.endswith("windmills")


def spoil(folder: Path, name: str, factor: float) -> None:
    """Multiply one of a module's tensors."""
    file = folder / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights[name] = weights[name] * factor
    save_file(weights, file, metadata={"format": "pt"})


def files_under(folder: Path) -> list[Path]:
    """Hidden ones too."""
    return [path for path in folder.rglob("*") if path.is_file()]


class TestNothingIsLeft:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "outputs"
        folder.mkdir()
        return folder

    def test_by_a_model_that_gives_numbers_that_are_none(self, model: Path, make: Make, folder: Path) -> None:
        spoil(model / "unet", "conv_out.bias", float("nan"))
        with pytest.raises(ModelError, match="not finite"):
            make(folder / "out.tif", model=str(model), runtime=rsgeo.Runtime(preview=folder / "out.png"))
        assert list(folder.iterdir()) == []

    def test_by_a_model_that_gives_one_colour(self, model: Path, make: Make, folder: Path) -> None:
        for name in ("basis", "mean"):
            spoil(model / "vae", name, 0.0)
        with pytest.raises(ModelError, match="one single colour"):
            make(folder / "out.tif", model=str(model), runtime=rsgeo.Runtime(preview=folder / "out.png"))
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize("stage", ["load", "synthesis", "write"])
    def test_by_an_interrupt(self, stage: str, make: Make, folder: Path) -> None:
        def interrupt(progress: Progress) -> None:
            if progress.stage == stage:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            make(folder / "out.tif", runtime=rsgeo.Runtime(progress=interrupt, preview=folder / "out.png"))
        assert list(folder.iterdir()) == []

    def test_by_an_interrupt_after_the_image_was_finished(self, make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(*_: Any) -> None:
            assert (folder / "out.stac.json").exists()
            raise KeyboardInterrupt

        monkeypatch.setattr("rsgeo.geo.preview.write_preview", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make(folder / "out.tif", runtime=rsgeo.Runtime(preview=folder / "out.png"))
        assert list(folder.iterdir()) == []

    def test_by_a_run_that_was_cancelled(self, make: Make, folder: Path) -> None:
        asked = 0

        def cancelled() -> bool:
            nonlocal asked
            asked += 1
            return asked > 1

        with pytest.raises(CancelledError):
            make(folder / "out.tif", runtime=rsgeo.Runtime(cancelled=cancelled))
        assert asked == 2
        assert list(folder.iterdir()) == []

    def test_and_an_older_file_of_that_name_stays_as_it_was(self, model: Path, make: Make, folder: Path) -> None:
        make(folder / "out.tif")
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        spoil(model / "unet", "conv_out.bias", float("nan"))
        with pytest.raises(ModelError):
            make(folder / "out.tif", model=str(model), runtime=rsgeo.Runtime(overwrite=True))
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
