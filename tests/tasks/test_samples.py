"""Several worlds in one run: each is the world of its seed, and their bands say what they are in every file and on every way to it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray
from click.testing import CliRunner
from PIL import Image
from rio_cogeo import cog_validate

import rsgeo
from rsgeo.cli import main
from rsgeo.errors import CancelledError, InputError, OutputError, TooLargeError
from rsgeo.geo import grid, provenance, raster, raster_read
from rsgeo.request import Ask, GridRecord, ModelRecord, PhaseRecord, Request, Sampler, SamplesRecord, Synthesis
from rsgeo.runtime import Progress, Runtime
from rsgeo.synthesis import blocks
from rsgeo.tasks import plan
from rsgeo.tasks.extend import extend
from rsgeo.tasks.resolve import resolve

Make = Callable[..., rsgeo.Result]

STATISTICS = ("mean red", "mean green", "mean blue", "deviation red", "deviation green", "deviation blue")
ALL = tuple(f"sample {number} {colour}" for number in range(3) for colour in ("red", "green", "blue"))
COUNT, SEED, CRS = 3, 5, "EPSG:32633"


@pytest.fixture(scope="module")
def singles(make: Make) -> np.ndarray:
    """(world, colour, y, x): each world alone."""
    return np.stack([make(seed=SEED + number).pixels for number in range(COUNT)])


def expected(singles: np.ndarray, write_as: str) -> np.ndarray:
    if write_as == "all":
        return singles.reshape(-1, *singles.shape[2:])
    return np.rint(np.concatenate([singles.mean(axis=0), singles.std(axis=0, ddof=1, dtype=np.float64)])).astype(np.uint8)


@pytest.fixture(scope="module")
def file(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samples") / "samples.tif"
    make(path, seed=SEED, samples=COUNT, runtime=Runtime(preview=path.with_suffix(".png")))
    return path


class TestTheBands:
    @pytest.mark.parametrize(("write_as", "names"), [("statistics", STATISTICS), ("all", ALL)])
    def test_are_those_of_the_single_worlds(self, make: Make, singles: np.ndarray, write_as: str, names: tuple[str, ...]) -> None:
        result = make(seed=SEED, samples=COUNT, samples_as=write_as)
        assert result.bands == names
        assert result.pixels is not None and result.pixels.dtype == np.uint8
        np.testing.assert_array_equal(result.pixels, expected(singles, write_as))
        assert (singles[0] != singles[1]).mean() > 0.3

    def test_of_one_world_are_its_colours(self, make: Make) -> None:
        assert make().bands == ("red", "green", "blue")

    def test_do_not_depend_on_the_area(self, make: Make) -> None:
        west, east = (500_000, 5_100_000, 500_600, 5_100_400), (500_300, 5_100_000, 500_900, 5_100_400)
        one, other = (make(bounds=box, aoi_crs=CRS, crs=CRS, samples=2) for box in (west, east))
        np.testing.assert_array_equal(one.pixels[:, :, 30:], other.pixels[:, :, :30])

    def test_are_made_in_one_run_with_one_progress(self, make: Make) -> None:
        steps: list[Progress] = []
        make(seed=SEED, samples=COUNT, runtime=Runtime(progress=steps.append))
        assert sum(step.stage == "load" for step in steps) == 2
        made = [step for step in steps if step.stage == "synthesis"]
        assert [step.done for step in made] == sorted(step.done for step in made)
        assert made[-1].done == made[-1].total == {step.total for step in made}.pop()

    @pytest.mark.parametrize("ask", [{}, {"samples": 4}, {"samples": 4, "samples_as": "all"}])
    def test_are_planned(self, area: Path, ask: dict[str, Any]) -> None:
        one, planned = (plan.plan(resolve(Ask(aoi=area, **asked))) for asked in ({}, ask))
        worlds = ask.get("samples", 1)
        assert planned.evaluations == worlds * one.evaluations and planned.cost == one.cost
        names = resolve(Ask(aoi=area, **ask)).request.bands
        assert planned.output_bytes == (len(names) + 1) * planned.width * planned.height
        assert one.memory_bytes <= planned.memory_bytes <= worlds * one.memory_bytes


class TestTheFile:
    def test_holds_them_with_their_names(self, file: Path, singles: np.ndarray) -> None:
        with rasterio.open(file) as dataset:
            assert dataset.descriptions == tuple(f"synthetic {name}" for name in STATISTICS)
            assert [band.name for band in dataset.colorinterp] == ["red", "green", "blue", *["undefined"] * 3]
            assert dataset.dtypes == ("uint8",) * 6 and dataset.scales == (1.0,) * 6 and dataset.nodata is None
            assert all(dataset.tags(band)["SYNTHETIC"] == "YES" for band in dataset.indexes)
            np.testing.assert_array_equal(dataset.read(), expected(singles, "statistics"))
            assert not dataset.dataset_mask().all()
        with rioxarray.open_rasterio(file) as array:
            assert array.attrs["long_name"] == tuple(f"synthetic {name}" for name in STATISTICS)

    def test_is_a_strict_cog(self, file: Path, make: Make, tmp_path: Path) -> None:
        make(tmp_path / "all.tif", samples=6, samples_as="all")
        for path in (file, tmp_path / "all.tif"):
            valid, errors, cautions = cog_validate(path, strict=True)
            assert valid and not errors and not cautions

    def test_has_its_mean_as_preview(self, file: Path, singles: np.ndarray) -> None:
        seen = np.asarray(Image.open(file.with_suffix(".png")))
        np.testing.assert_array_equal(np.moveaxis(seen[..., :3], -1, 0), expected(singles, "statistics")[:3])

    def test_is_told_beside_it_and_by_info(self, file: Path) -> None:
        item = json.loads(file.with_suffix(".stac.json").read_text())
        assert [band["name"] for band in item["assets"]["image"]["bands"]] == list(STATISTICS)
        assert item["properties"]["rsgeo:samples"] == COUNT and item["properties"]["rsgeo:seed"] == SEED
        sentence = "Mean and standard deviation (of the sample, n - 1), in grey levels, of 3 worlds (seeds 5 to 7)."
        assert sentence in item["properties"]["processing:lineage"] and sentence in file.with_suffix(".qmd").read_text()
        found = rsgeo.describe(file)
        assert found.bands == 6 and found.synthetic == "ALL" and found.band_names[3] == "synthetic deviation red"
        said = CliRunner().invoke(main, ["info", str(file)]).output
        assert "6 bands" in said and "synthetic deviation blue" in said

    def test_is_verified_and_made_again(self, file: Path, tmp_path: Path) -> None:
        found = rsgeo.verify(file, regenerate=True)
        assert found.good and found.max_difference == 0
        with rasterio.open(file) as dataset, rasterio.open(tmp_path / "cut.tif", "w", **{**dataset.profile, "count": 3}) as cut:
            cut.write(dataset.read([1, 2, 3]))
            cut.update_tags(**dataset.tags())
        with pytest.raises(InputError, match="cannot be compared pixel by pixel"):
            rsgeo.verify(tmp_path / "cut.tif", regenerate=True)

    def test_gives_one_of_its_worlds_alone(self, file: Path, make: Make, singles: np.ndarray) -> None:
        alone = make(from_file=file, samples=1, seed=SEED + 2)
        assert alone.request.samples is None
        np.testing.assert_array_equal(alone.pixels, singles[2])
        again = make(from_file=file, samples_as="all")
        np.testing.assert_array_equal(again.pixels, expected(singles, "all"))

    def test_goes_on_over_more_ground(self, make: Make, tmp_path: Path) -> None:
        old, more, both = ((500_000, 5_100_000, east, 5_100_300) for east in (500_300, 500_600, 500_600))
        place = {"aoi_crs": CRS, "crs": CRS, "prompt": "forest", "samples": 2}
        make(tmp_path / "old.tif", bounds=old, **place)
        extend(tmp_path / "old.tif", Ask(bounds=more, aoi_crs=CRS), tmp_path / "new.tif")
        with rasterio.open(tmp_path / "new.tif") as dataset:
            assert dataset.descriptions[5] == "synthetic deviation blue"
            np.testing.assert_array_equal(dataset.read(), make(bounds=both, **place).pixels)


# 420 x 60 px in several blocks, side by side.
WIDE = {"bounds": (500_000, 5_100_000, 504_200, 5_100_600), "aoi_crs": CRS, "crs": CRS, "prompt": "forest"}
QUIET = Runtime(sidecar=False, reproducible=True)


@pytest.fixture(scope="module")
def whole(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "out.tif"
    make(path, **WIDE, samples=2, runtime=QUIET)
    return path


@pytest.fixture
def any_area_is_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_SMALL", 0)


def stop_after(share: float, **options: Any) -> Runtime:
    """A runtime that is told to stop when ``share`` of the work is done."""
    state = {"done": 0.0}

    def note(step: Progress) -> None:
        if step.stage == "synthesis":
            state["done"] = step.done / step.total

    return Runtime(sidecar=False, reproducible=True, progress=note, cancelled=lambda: state["done"] >= share, **options)


@pytest.mark.usefixtures("any_area_is_a_job")
def test_an_interrupted_job_goes_on_and_gives_the_same_file(make: Make, whole: Path, tmp_path: Path) -> None:
    out, steps = tmp_path / "out.tif", []
    for share in (0.1, 0.5):
        with pytest.raises(CancelledError, match=r"out\.tif\.job, and the same command goes on"):
            make(out, **WIDE, samples=2, runtime=stop_after(share))
        assert [path.name for path in tmp_path.iterdir()] == ["out.tif.job"]
    make(out, **WIDE, samples=2, runtime=Runtime(sidecar=False, reproducible=True, progress=steps.append))
    first = next(step for step in steps if step.stage == "synthesis")
    assert first.done > 0.3 * first.total
    assert [path.name for path in tmp_path.iterdir()] == ["out.tif"]
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.usefixtures("any_area_is_a_job")
@pytest.mark.parametrize(("begun", "other"), [({}, {"samples": 2}), ({"samples": 2}, {}), ({"samples": 2}, {"samples": 3})])
def test_a_job_is_not_taken_for_another(make: Make, tmp_path: Path, begun: dict[str, Any], other: dict[str, Any]) -> None:
    out = tmp_path / "out.tif"
    with pytest.raises(CancelledError):
        make(out, **WIDE, **begun, runtime=stop_after(0.1))
    before = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    with pytest.raises(OutputError, match="--fresh"):
        make(out, **WIDE, **other, runtime=QUIET)
    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*")} == before
    with pytest.raises(CancelledError):
        make(out, **WIDE, **other, runtime=stop_after(0.0, fresh=True))
    assert len(list((tmp_path / "out.tif.job").glob("worlds/*"))) == other.get("samples", 0)


def test_two_workers_give_the_same_pixels(make: Make, whole: Path, tmp_path: Path) -> None:
    steps: list[Progress] = []
    make(tmp_path / "out.tif", **WIDE, samples=2, runtime=Runtime(sidecar=False, workers=2, progress=steps.append))
    assert raster_read.pixels_sha256(tmp_path / "out.tif") == raster_read.pixels_sha256(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["out.tif"]
    made = [step for step in steps if step.stage == "synthesis"]
    assert made[-1].done == made[-1].total


def test_requests_of_one_world_keep_the_hash_they_had() -> None:
    one = Request(
        task="generate",
        model=ModelRecord(name="rsgeo-mini", sha256="0" * 64),
        grid=GridRecord(crs=CRS, lattice=("10", "0", "0", "0", "-10", "0"), col=46_000, row=-507_500, width=64, height=48),
        aoi=None,
        prompt="vineyards on terraces",
        sampler=Sampler(scheduler="dpmsolver++", num_inference_steps=12, guidance_scale=4.0),
        seed=42,
        synthesis=Synthesis(plan="k1", phases=(PhaseRecord(first=0, last=12, tile=16, stride=8, shift=0),)),
    )
    assert one.sha256() == "3405141f763c9592a368f6836feb31073c5e95b7a75591449000ce93bfa0ecf2"
    several = one.model_copy(update={"samples": SamplesRecord(count=2, write_as="all")})
    assert several.sha256() != one.sha256()
    assert several.worlds == (one, one.model_copy(update={"seed": 43}))
    assert Request.model_validate_json(several.canonical_json()) == several


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--samples", "1"], r"--samples must be from 2 to 64, got 1; leave it out"),
        (["--samples", "0"], r"from 2 to 64, got 0"),
        (["--samples", "65"], r"from 2 to 64, got 65"),
        (["--samples-as", "all"], r"say how many with --samples"),
        (["--samples", "2", "--seed", str(2**63 - 1)], r"from 0 to 2\^63 - 2"),
        (["--samples", "2", "--co", "COMPRESS=JPEG"], r"--co COMPRESS=JPEG cannot hold the 6 bands of several worlds"),
        (["--samples", "2", "--co", "COMPRESS=WEBP"], r"--co COMPRESS=WEBP cannot hold"),
        (["--samples", "2", "--co", "OVERVIEW_COMPRESS=JPEG"], r"--co OVERVIEW_COMPRESS=JPEG cannot hold"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(area: Path, tmp_path: Path, options: list[str], words: str) -> None:
    done = CliRunner().invoke(main, ["generate", "--aoi", str(area), *options, str(tmp_path / "out.tif")])
    assert done.exit_code == 1 and done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert re.search(words, done.stderr), done.stderr
    assert not list(tmp_path.iterdir())


def test_the_disk_is_asked_for_every_band_and_world(area: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    geobox = grid.geobox(resolve(Ask(aoi=area)).request.grid)
    asked = {}
    monkeypatch.setattr(raster.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 0}))
    for samples in (None, 4):
        with pytest.raises(TooLargeError, match="free disk") as caught:
            rsgeo.generate(tmp_path / "out.tif", aoi=area, samples=samples, samples_as=samples and "all")
        asked[samples] = str(caught.value)
    pixels = raster.raw_bytes(geobox, 1)
    assert f"{2 * 3 * pixels / 1e6:.1f} MB" in asked[None]
    assert f"{(2 * 12 + 12) * pixels / 1e6:.1f} MB" in asked[4]


def test_private_files_say_how_many_worlds_they_are_of(make: Make, tmp_path: Path) -> None:
    make(tmp_path / "out.tif", samples=2, runtime=Runtime(private=True, sidecar=False))
    stored = provenance.read_request(tmp_path / "out.tif", allow_private=True)
    assert stored.is_private and stored.request.samples is not None and stored.request.samples.count == 2
    assert rsgeo.verify(tmp_path / "out.tif").good
