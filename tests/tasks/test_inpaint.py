"""Inpaint and extend real rasters: observed pixels stay bit for bit, whatever they are stored as, and the file says which were made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from PIL import Image
from rasterio.enums import ColorInterp

import rsgeo
from rsgeo.cli import main
from rsgeo.errors import AreaError, InputError, OutputError, RsgeoWarning
from rsgeo.evaluate.borders import made_edge
from rsgeo.geo import provenance
from rsgeo.request import Ask
from rsgeo.tasks.inpaint import resolve_inpainting
from rsgeo.tasks.plan import plan

CRS = "EPSG:32633"
DATA = Path(__file__).parents[1] / "data"
QUICK = {"num_inference_steps": 2, "guidance_scale": 1.0}
NORTH_UP = rasterio.Affine(10, 0, 500_003, 0, -10, 5_100_001)
TURNED = rasterio.Affine(8.66, 5.0, 500_003, 5.0, -8.66, 5_100_001)
SOUTH_UP = rasterio.Affine(10, 0, 500_003, 0, 10, 5_100_001)
RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)

Make = Callable[..., Path]


@pytest.fixture
def raster(tmp_path: Path) -> Make:
    """Writes a raster of 40 x 30 pixels, a pattern with a dark corner."""

    def write(name: str = "raster.tif", dtype: str = "uint16", count: int = 3, *, transform: rasterio.Affine = NORTH_UP, **more: Any) -> Path:
        y, x = np.mgrid[:30, :40]
        rng = np.random.default_rng(0)
        pattern = 1200 + 500 * np.sin(x / 6) + 400 * np.cos(y / 5) + rng.normal(0, 60, (count, 30, 40)) + 100 * np.arange(count)[:, None, None]
        scale = {"uint8": 1 / 12, "float32": 1e-4}.get(dtype, 1)
        colours, names = more.pop("colours", None), more.pop("names", None)
        scales, offsets, mask = more.pop("scales", None), more.pop("offsets", None), more.pop("mask", None)
        profile = {"width": 40, "height": 30, "count": count, "dtype": dtype, "crs": CRS, "transform": transform, **more}
        with rasterio.open(tmp_path / name, "w", driver="GTiff", **profile) as dataset:
            if colours:
                dataset.colorinterp = colours
            pixels = (pattern * scale).astype(dtype)
            if more.get("nodata") is not None:
                pixels[:, :4, :4] = more["nodata"]
            if colours and ColorInterp.alpha in colours:
                pixels[3] = np.where((y < 5) & (x < 9), 0, 255)
            dataset.write(pixels)
            if names:
                dataset.descriptions = names
            if scales:
                dataset.scales, dataset.offsets = scales, offsets
            if mask is not None:
                dataset.write_mask(mask)
        return tmp_path / name

    return write


@pytest.fixture
def clouds(tmp_path: Path) -> Make:
    """Writes a mask raster, by default on the grid of `raster`, of the numbers 0, 3 and 9."""

    def write(transform: rasterio.Affine = NORTH_UP, crs: str = CRS, shape: tuple[int, int] = (30, 40)) -> Path:
        pixels = np.zeros((1, *shape), np.uint8)
        height, width = shape
        pixels[0, height // 3 : height * 2 // 3, width // 4 : width // 2], pixels[0, :3, width * 3 // 4 :] = 9, 3
        with rasterio.open(
            tmp_path / "clouds.tif", "w", driver="GTiff", width=width, height=height, count=1, dtype="uint8", crs=crs, transform=transform
        ) as dataset:
            dataset.write(pixels)
        return tmp_path / "clouds.tif"

    return write


def numbers(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


KINDS = {
    "bytes": {"dtype": "uint8", "colours": RGB},
    "reflectance": {
        "dtype": "uint16", "count": 5, "nodata": 0, "names": ("B02", "B03", "B04", "B08", "B11"), "scales": (1e-4,) * 5, "offsets": (-0.1,) * 5,
    },
    "signed, turned": {"dtype": "int16", "nodata": -999, "transform": TURNED, "names": ("red", "green", "blue")},
    "floats, south up": {"dtype": "float32", "nodata": float("nan"), "transform": SOUTH_UP, "names": ("green", "red", "blue")},
    "alpha": {"dtype": "uint8", "count": 4, "colours": (*RGB, ColorInterp.alpha)},
    "mask": {"dtype": "uint16", "names": ("red", "green", "blue"), "mask": np.tri(30, 40, 30, dtype=bool)},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::rsgeo.errors.RsgeoWarning")
def test_unmasked_pixels_come_back_bit_for_bit(raster: Make, clouds: Make, tmp_path: Path, kind: str) -> None:
    source, out = raster(**KINDS[kind]), tmp_path / "out.tif"
    mask = clouds(KINDS[kind].get("transform", NORTH_UP))
    result = rsgeo.inpaint(source, out, mask=mask, seed=3, **QUICK)
    marked = numbers(mask)[0] != 0
    with rasterio.open(source) as before, rasterio.open(out) as after:
        old, new, count = before.read(), after.read(), before.count
        assert (after.crs, after.transform, after.shape, after.dtypes[0]) == (before.crs, before.transform, before.shape, before.dtypes[0])
        assert new[:count, ~marked].tobytes() == old[:, ~marked].tobytes()
        for fact in ("descriptions", "colorinterp", "scales", "offsets", "units"):
            assert getattr(after, fact)[:count] == getattr(before, fact), fact
        assert str(after.nodata) == str(before.nodata)
        assert after.count == count + 1 and after.descriptions[-1] == "generated (1) or observed (0)"
        data = before.dataset_mask() > 0
        assert np.array_equal(after.dataset_mask() > 0, data | marked)
        assert np.array_equal(new[-1] == 1, marked)
        tags, bands = after.tags(), result.request.references[0].bands
        assert (tags["RSGEO_SYNTHETIC"], tags["RSGEO_TASK"]) == ("PART", "inpaint")
        assert tags["RSGEO_DIGITAL_SOURCE_TYPE"].endswith("/compositeWithTrainedAlgorithmicMedia")
        assert [after.tags(band).get("SYNTHETIC") for band in range(1, count + 2)] == ["PART" if n in bands else None for n in range(1, count + 2)]
    low, high = result.request.references[0].stretch[0]
    made = new[[band - 1 for band in bands]][:, marked].astype(float)
    assert low - 1 <= made.min() and made.max() <= high + 1 and made.std() > 0.02 * (high - low)
    if kind == "reflectance":
        assert bands == (3, 2, 1) and not new[3:5, marked].any()
    if kind == "alpha":
        assert (new[3, marked] == 255).all()
    # Memory and file are the same picture.
    again = rsgeo.inpaint(source, mask=mask, seed=3, **QUICK)
    assert again.pixels is not None and again.pixels.tobytes() == new.tobytes() and len(again.bands) == count + 1


def test_a_file_is_made_again_from_the_very_same_references(raster: Make, clouds: Make, tmp_path: Path) -> None:
    source, mask, out = raster(names=("red", "green", "blue")), clouds(), tmp_path / "out.tif"
    rsgeo.inpaint(source, out, mask=mask, mask_values=(9,), prompt="forest", seed=4, **QUICK)
    stored = provenance.read_request(out)
    assert stored.sha_matches and stored.synthetic == "PART"
    (reference,) = stored.request.references
    assert (reference.role, reference.name, reference.mask.name, reference.mask.values) == ("known", "raster.tif", "clouds.tif", (9,))
    assert str(tmp_path) not in stored.request.canonical_json()
    moved = [path.rename(path.with_name(f"moved_{path.name}")) for path in (source, mask)]
    again = rsgeo.generate(tmp_path / "again.tif", from_file=out, references=(moved[1], moved[0]))
    assert again.request == stored.request and numbers(tmp_path / "again.tif").tobytes() == numbers(out).tobytes()
    found = rsgeo.verify(out, regenerate=True, references=moved)
    assert found.good and found.max_difference == 0
    with pytest.raises(InputError, match="give the same again with --reference"):
        rsgeo.generate(from_file=out, references=[moved[0]])
    with pytest.raises(InputError, match="leave out the options that name another"):
        rsgeo.generate(from_file=out, references=moved, bounds=(14, 46, 15, 47))
    with rasterio.open(moved[0], "r+") as dataset:
        dataset.write(dataset.read() + 1)
    with pytest.raises(InputError, match="or was changed since"):
        rsgeo.verify(out, regenerate=True, references=moved)


def test_masks_may_lie_on_other_grids_and_be_areas(raster: Make, clouds: Make) -> None:
    source = raster(names=("red", "green", "blue"), nodata=0)
    coarse = clouds(rasterio.Affine(20, 0, 499_953, 0, -20, 5_100_051), shape=(20, 25))
    made = rsgeo.inpaint(source, mask=coarse, **QUICK).pixels[-1] == 1
    y, x = np.mgrid[:30, :40]
    row, col = ((axis * 10 + 55) // 20 for axis in (y, x))
    assert np.array_equal(made, numbers(coarse)[0][row, col] != 0)
    west, north = 500_103, 5_099_901
    ring = [[west, north], [west + 100, north], [west + 100, north - 100], [west, north - 100], [west, north]]
    square = {"type": "Polygon", "coordinates": [ring]}
    area = rsgeo.inpaint(source, mask=square, aoi_crs=CRS, **QUICK)
    assert np.array_equal(np.argwhere(area.pixels[-1] == 1)[[0, -1]], [[10, 10], [19, 19]])
    gaps = rsgeo.inpaint(source, mask="nodata", **QUICK)
    assert np.array_equal(np.argwhere(gaps.pixels[-1] == 1)[[0, -1]], [[0, 0], [3, 3]]) and gaps.mask.all() and gaps.pixels[:3].min() > 0


@pytest.mark.parametrize("mask", ["raster", "nodata"])
def test_a_mask_grows_by_metres(raster: Make, clouds: Make, mask: str) -> None:
    path = raster(nodata=0)
    marks = clouds() if mask == "raster" else "nodata"
    plain, wide = (resolve_inpainting(path, Ask(mask=marks, buffer_m=metres, **QUICK)).request.references[0].mask for metres in (None, 32.0))
    assert plain is not None and wide is not None and (plain.grow_px, wide.grow_px) == (0, 3)
    made = [rsgeo.inpaint(path, mask=marks, buffer_m=metres, **QUICK).pixels[-1] == 1 for metres in (None, 32.0)]
    assert (made[1] & ~made[0]).any() and not (made[0] & ~made[1]).any()
    with pytest.raises(InputError, match="--buffer 9000 is 900 pixels of the raster"):
        resolve_inpainting(path, Ask(mask=marks, buffer_m=9000.0, **QUICK))


def test_only_windows_that_reach_masked_pixels_run(raster: Make) -> None:
    from rsgeo.tasks import making

    source = raster()
    west, north = 500_003, 5_100_001
    ring = [[west, north], [west + 10, north], [west + 10, north - 10], [west, north - 10], [west, north]]
    corner = {"type": "Polygon", "coordinates": [ring]}
    with pytest.warns(RsgeoWarning, match="does not say which bands are red"):
        resolved = resolve_inpainting(source, Ask(mask=corner, aoi_crs=CRS, **QUICK))
    assert len(making.graph(resolved).stages[-1].windows) <= 4


def test_a_plan_counts_all_bands_of_the_raster_wherever_it_has_data(raster: Make, clouds: Make) -> None:
    source, mask = raster(names=("red", "green", "blue", "nir"), count=4, nodata=0), clouds()
    asked = resolve_inpainting(source, Ask(mask=mask, **QUICK))
    planned, made = plan(asked), rsgeo.inpaint(source, mask=mask, **QUICK)
    assert planned.output_bytes == made.pixels.nbytes + made.mask.size == (5 * 2 + 1) * 40 * 30
    assert planned.valid_pixels == (made.pixels[-1] == 1).sum() < 40 * 30


def test_what_lies_round_the_mask_decides_what_is_made(raster: Make, clouds: Make, tmp_path: Path) -> None:
    source, mask = raster(names=("red", "green", "blue")), clouds()
    one = rsgeo.inpaint(source, mask=mask, **QUICK).pixels
    other = tmp_path / "other.tif"
    with rasterio.open(source) as dataset:
        profile, pixels = dataset.profile, dataset.read()
    with rasterio.open(other, "w", **profile) as dataset:
        dataset.write(pixels[:, ::-1])
        dataset.descriptions = ("red", "green", "blue")
    assert not np.array_equal(one[:3, 10:20, 10:20], rsgeo.inpaint(other, mask=mask, **QUICK).pixels[:3, 10:20, 10:20])


def test_a_controlnet_sees_the_given_pixels_and_makes_one_world(raster: Make, condition_models_at_hand: Path) -> None:
    source = raster(names=("red", "green", "blue"), nodata=0)
    model, runtime = {"model": "test-inpaint", **QUICK}, rsgeo.Runtime(keep_loaded=True, batch_size=8, dtype="fp32")

    def extended(west: int, east: int, **other: Any) -> tuple[np.ndarray, int, int]:
        bounds = (west, 5_099_600, east, 5_099_950)
        result = rsgeo.extend(source, bounds=bounds, aoi_crs=CRS, runtime=runtime, **{**model, **other})
        place = result.geobox.affine
        return result.pixels, round((place.f - 5_100_001) / -10), round((place.c - 500_003) / 10)

    # Two areas beyond the raster agree where they overlap, as does a preview of the one.
    one, row_1, col_1 = extended(500_200, 500_600)
    two, row_2, col_2 = extended(500_350, 500_800)
    assert (row_1, col_1, row_2, col_2) == (0, 0, 0, 0)
    height, width = (min(sides) for sides in zip(one.shape[1:], two.shape[1:], strict=True))
    both = (one[3, :height, :width] == 1) & (two[3, :height, :width] == 1)
    assert both.sum() > 300 and np.array_equal(one[:3, :height, :width][:, both], two[:3, :height, :width][:, both])
    plain, _, _ = extended(500_200, 500_600, model="rsgeo-mini")
    assert not np.array_equal(plain[:3], one[:3]) and np.array_equal(plain[:3, :30, :40], one[:3, :30, :40])


def test_no_edge_shows_round_what_is_made_in_a_real_picture(tmp_path: Path) -> None:
    """The gradient across it is at most 1.15 times those beside it, whatever blocks of the codec the mask cuts."""
    tiles = [np.asarray(Image.open(DATA / "eurosat" / f"{name}.webp").convert("RGB")) for name in ("Highway_775", "Residential_878", "Pasture_48")]
    rows = [np.concatenate([tiles[first], tiles[second]], axis=1) for first, second in ((0, 1), (2, 0))]
    old = np.concatenate(rows).transpose(2, 0, 1)
    y, x = np.mgrid[:128, :128]
    hole = (y - 61) ** 2 + (x - 66) ** 2 < 27**2
    shape = {
        "driver": "GTiff",
        "width": 128,
        "height": 128,
        "dtype": "uint8",
        "crs": CRS,
        "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_100_000),
    }
    with rasterio.open(tmp_path / "old.tif", "w", count=3, photometric="RGB", **shape) as dataset:
        dataset.write(old)
    with rasterio.open(tmp_path / "hole.tif", "w", count=1, **shape) as dataset:
        dataset.write(hole[None].astype(np.uint8))
    for model in ("rsgeo-mini-inpaint", "rsgeo-mini"):
        new = rsgeo.inpaint(tmp_path / "old.tif", mask=tmp_path / "hole.tif", model=model).pixels[:3]
        assert np.array_equal(new[:, ~hole], old[:, ~hole])
        assert made_edge(new, hole)[0] < 1.15, model
    assert made_edge(np.where(hole, old[:, ::-1, ::-1], old), hole)[0] > 1.5, "another picture pasted in shows"


def test_several_worlds_of_what_might_be_there(raster: Make, clouds: Make) -> None:
    source, mask = raster(names=("red", "green", "blue"), nodata=0), clouds()
    marked, old = numbers(mask)[0] != 0, numbers(source)
    every = rsgeo.inpaint(source, mask=mask, samples=2, samples_as="all", seed=5, **QUICK)
    assert every.bands[:4] == ("sample 0 red", "sample 0 green", "sample 0 blue", "sample 1 red") and len(every.bands) == 7
    alone = rsgeo.inpaint(source, mask=mask, seed=6, **QUICK)
    assert np.array_equal(every.pixels[3:6], alone.pixels[:3]) and np.array_equal(every.pixels[:3, ~marked], old[:, ~marked])
    both = rsgeo.inpaint(source, mask=mask, samples=2, seed=5, **QUICK)
    assert both.bands[3:] == ("deviation red", "deviation green", "deviation blue", "generated (1) or observed (0)")
    assert np.array_equal(both.pixels[:3, ~marked], old[:, ~marked]) and not both.pixels[3:6, ~marked].any()
    low, high = both.request.references[0].stretch[0]
    grey = (high - low) / 255
    pair = every.pixels[:6].reshape(2, 3, 30, 40)[..., marked].astype(float)
    assert np.abs(both.pixels[:3, marked] - pair.mean(axis=0)).max() <= grey + 1
    assert np.abs(both.pixels[3:6, marked] - pair.std(axis=0, ddof=1)).max() <= 2 * grey + 1


@pytest.mark.parametrize(
    ("kind", "ask", "words"),
    [
        ({"count": 4, "names": ("red", "green", "blue", "nir")}, {}, r"cannot be made \(nir\) and no nodata value"),
        ({"count": 1}, {}, "has 1 band; red, green and blue are needed"),
        ({"count": 3}, {"bands": (1, 2, 9)}, "three of 1 to 3"),
        ({"count": 3}, {"mask_values": (77,)}, r"marks no pixel of raster\.tif"),
        ({"count": 3}, {"mask": None}, "Say what to make anew"),
        ({"count": 3}, {"mask": "nodata"}, "marks no pixel"),
        ({"count": 3}, {"mask": "nodata", "mask_values": (1,)}, "numbers of a raster"),
        ({"count": 3}, {"gsd": "5"}, "leave out --gsd"),
        ({"count": 3}, {"layer": "clouds"}, "from a vector file"),
        ({"count": 3, "dtype": "complex64"}, {}, "complex numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore::rsgeo.errors.RsgeoWarning")
def test_what_cannot_be_is_one_sentence(raster: Make, clouds: Make, tmp_path: Path, kind: dict[str, Any], ask: dict[str, Any], words: str) -> None:
    with pytest.raises((InputError, AreaError), match=words) as caught:
        rsgeo.inpaint(raster(**kind), tmp_path / "out.tif", **{"mask": clouds(), **QUICK, **ask})
    assert str(caught.value).count(". ") == 0 and not (tmp_path / "out.tif").exists()


def test_what_was_synthetic_before_stays_synthetic_as_a_whole(picture: Path, area: Path, tmp_path: Path) -> None:
    with pytest.warns(RsgeoWarning, match="is synthetic itself"):
        result = rsgeo.inpaint(picture, tmp_path / "out.tif", mask="nodata", **QUICK)
    assert provenance.read_request(tmp_path / "out.tif").synthetic == "ALL" and result.bands[-1] == "made anew (1) or kept (0)"
    old, new = numbers(picture), numbers(tmp_path / "out.tif")
    kept = new[3] == 0
    assert 0.3 < kept.mean() < 0.9 and np.array_equal(new[:3, kept], old[:, kept])


def test_the_preview_shows_the_colours(raster: Make, clouds: Make, tmp_path: Path) -> None:
    path, out, shown = raster(count=4, dtype="int16", names=("B08", "B04", "B03", "B02"), nodata=-9999), tmp_path / "out.tif", tmp_path / "shown.png"
    with pytest.warns(RsgeoWarning, match="B08"):
        rsgeo.inpaint(path, out, mask=clouds(), runtime=rsgeo.Runtime(preview=shown), **QUICK)
    with rasterio.open(out) as dataset:
        red = dataset.read(2)
    rgba = np.asarray(Image.open(shown))
    assert rgba.shape == (30, 40, 4) and (rgba[:4, :4, 3] == 0).all() and (rgba[4:, :, 3] == 255).all()
    known = red != -9999
    assert np.corrcoef(rgba[..., 0][known], np.clip(red[known], *np.percentile(red[known], (2, 98))))[0, 1] > 0.98


def test_the_raster_itself_is_never_overwritten(raster: Make, clouds: Make) -> None:
    source = raster(names=("red", "green", "blue"))
    for path in (source, clouds()):
        with pytest.raises(OutputError, match="is read for the picture"):
            rsgeo.inpaint(source, path, mask=clouds(), runtime=rsgeo.Runtime(overwrite=True), **QUICK)
    with pytest.raises(InputError, match="would change pixels"):
        lossy = rsgeo.Runtime(creation_options={"COMPRESS": "JPEG"})
        rsgeo.inpaint(source, source.with_name("out.tif"), mask=clouds(), runtime=lossy, **QUICK)


@pytest.mark.parametrize("transform", [NORTH_UP, TURNED, SOUTH_UP], ids=["north up", "turned", "south up"])
def test_a_real_raster_goes_on_beyond_its_edge(raster: Make, tmp_path: Path, transform: rasterio.Affine) -> None:
    source, out = raster(names=("red", "green", "blue"), nodata=0, transform=transform, scales=(1e-4,) * 3, offsets=(0.0,) * 3), tmp_path / "out.tif"
    x, y = transform @ (45, 15) if hasattr(transform, "__matmul__") else transform * (45, 15)
    result = rsgeo.extend(source, out, bounds=(x - 200, y - 200, x + 200, y + 200), aoi_crs=CRS, prompt="fields", **QUICK)
    old = numbers(source)
    with rasterio.open(out) as dataset:
        new, col, row = dataset.read(), *(round(value) for value in ~dataset.transform * (transform.c, transform.f))
        assert (dataset.scales, dataset.dtypes[0], dataset.nodata) == ((1e-4, 1e-4, 1e-4, 1.0), "uint16", 0)
        assert np.allclose(dataset.transform * (col, row), (transform.c, transform.f), atol=1e-6)
    inside, there = new[:, row : row + 30, col : col + 40], (old != 0).all(axis=0)
    assert inside[:3, there].tobytes() == old[:, there].tobytes() and not inside[3, there].any()
    generated = new[3] == 1
    assert generated.sum() > 400 and (new[:3, generated] > 0).all()
    assert result.request.task == "extend" and result.request.references[0].mask is None
    # Partly synthetic now, it goes on once more, and what was made before stays marked.
    twice = rsgeo.extend(out, bounds=(x - 200, y - 200, x + 300, y + 200), aoi_crs=CRS, **QUICK)
    with rasterio.open(out) as dataset:
        shift = [round(value) for value in ~rasterio.Affine(*twice.geobox.affine[:6]) * (dataset.transform.c, dataset.transform.f)]
    part = twice.pixels[:, shift[1] : shift[1] + new.shape[1], shift[0] : shift[0] + new.shape[2]]
    valid = (new[:3] != 0).all(axis=0)
    assert twice.pixels.shape[0] == 4 and np.array_equal(part[:, valid], new[:, valid]) and (twice.pixels[3] == 1).sum() > generated.sum()


def test_a_real_raster_goes_on_in_several_worlds(raster: Make) -> None:
    source = raster(names=("red", "green", "blue"), nodata=0)
    ask = {"bounds": (500_003, 5_099_601, 500_703, 5_100_001), "aoi_crs": CRS, **QUICK}
    every = rsgeo.extend(source, samples=2, samples_as="all", seed=5, **ask)
    made, old = every.pixels[-1] == 1, numbers(source)
    assert 0.3 < made.mean() < 0.9 and every.pixels.shape[0] == 7
    there = (old != 0).all(axis=0)
    assert all(np.array_equal(every.pixels[first : first + 3, :30, :40][:, there], old[:, there]) for first in (0, 3))
    alone = rsgeo.extend(source, seed=6, **ask)
    assert np.array_equal(every.pixels[3:6], alone.pixels[:3]) and not np.array_equal(every.pixels[:3, made], alone.pixels[:3, made])


def test_the_command_line_says_what_it_keeps(raster: Make, clouds: Make, tmp_path: Path) -> None:
    source, mask, out = raster(names=("red", "green", "blue")), clouds(), tmp_path / "out.tif"
    quick = ["--num-inference-steps", "2", "--guidance-scale", "1"]
    told = CliRunner().invoke(main, ["inpaint", str(source), str(out), "--mask", str(mask), "--mask-values", "3,9", *quick])
    assert told.exit_code == 0, told.output
    assert "PARTLY SYNTHETIC" in told.output and "raster.tif, where clouds.tif is 3, 9; bands 1, 2, 3 seen from" in told.output
    item = json.loads((tmp_path / "out.stac.json").read_text())
    assert item["properties"]["rsgeo:synthetic"] == "PART" and item["assets"]["image"]["data_type"] == "uint16"
    assert item["assets"]["image"]["bands"][-1] == {"name": "generated (1) or observed (0)"}
    told = CliRunner().invoke(main, ["verify", str(out), "--regenerate", "--reference", str(source), "--reference", str(mask)])
    assert told.exit_code == 0 and "made again  equal" in told.output, told.output
    bounds = ["--bounds", "500303", "5099801", "500503", "5100001", "--aoi-crs", CRS]
    told = CliRunner().invoke(main, ["extend", str(source), str(tmp_path / "wide.tif"), *bounds, *quick])
    assert told.exit_code == 0 and "raster.tif, from its pixels, which stay bit for bit" in told.output, told.output
    for words in (["--mask-values", "x"], ["--bands", "a,b,c"]):
        assert CliRunner().invoke(main, ["inpaint", str(source), str(out), "--mask", str(mask), *words]).exit_code == 2
