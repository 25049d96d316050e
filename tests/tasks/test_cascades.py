"""A cascade over an area: the same promises as for every other model, and what it cannot do is said in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cascade_models
import numpy as np
import pytest
import rasterio

import rsgeo
from rsgeo.errors import CancelledError, InputError, ModelError, RsgeoWarning
from rsgeo.geo import provenance
from rsgeo.hub import calibration, catalog
from rsgeo.request import Ask, Request
from rsgeo.runtime import Progress, Runtime
from rsgeo.synthesis import blocks
from rsgeo.synthesis.job import JobDir
from rsgeo.tasks import generate, making, plan
from rsgeo.tasks.resolve import resolve
from rsgeo.worker.parameters import of_model

PLACE: dict[str, Any] = {"aoi_crs": "EPSG:32633", "crs": "EPSG:32633", "gsd": "1", "prompt": "a forest", "seed": 3}
BOUNDS = (500_000, 5_100_000, 500_110, 5_100_090)

pytestmark = pytest.mark.filterwarnings("ignore:.*no fixed GSD.*:rsgeo.errors.RsgeoWarning")


@pytest.fixture(scope="session")
def cascade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cascade_models.save(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def paint(cascade: Path, make: Callable[..., rsgeo.Result]) -> Callable[..., rsgeo.Result]:
    def paint(out: Path | None = None, *, bounds: tuple[int, int, int, int] = BOUNDS, runtime: Runtime | None = None, **asked: Any) -> rsgeo.Result:
        how = runtime or Runtime(batch_size=16, dtype="fp32", keep_loaded=True)
        return make(out, runtime=how, **{"model": str(cascade), **PLACE, "bounds": bounds, **asked})

    return paint


@pytest.fixture(scope="module")
def whole(cascade: Path, make: Callable[..., rsgeo.Result], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished file, not to be changed."""
    path = tmp_path_factory.mktemp("whole") / "out.tif"
    with pytest.warns(RsgeoWarning, match=r"tiny was trained on images of no fixed GSD; 1\.?\d* m is what was stated"):
        make(path, model=str(cascade), **PLACE, bounds=BOUNDS, runtime=Runtime(batch_size=16, dtype="fp32", reproducible=True))
    return path


def read(path: Path) -> Any:
    with rasterio.open(path) as dataset:
        return dataset.read()


def pixels(made: rsgeo.Result) -> Any:
    assert made.pixels is not None
    return made.pixels


class TestPicture:
    def test_marks_say_what_made_it(self, whole: Path, cascade: Path) -> None:
        request = provenance.read_request(whole).request
        assert request.model.name == "tiny" and request.sampler.scheduler == "dpmsolver++"
        assert (request.sampler.start_time, request.sampler.lowres_noise_level) == (0.99, 0.2)
        assert [(level.gsd_factor, level.phases[0].tile) for level in request.synthesis.levels] == [(2, 8), (1, 16)]
        assert all(len(level.phases) == 2 for level in request.synthesis.levels)
        with rasterio.open(whole) as dataset:
            assert provenance.synthetic_state(dataset) == "ALL"
        stac = json.loads(whole.with_name("out.stac.json").read_text())
        assert stac["properties"]["gsd"] == pytest.approx(1, abs=0.01)
        painted = read(whole)
        assert painted.std() > 10 and (painted % 255 == 0).mean() < 0.9

    def test_a_window_alone_and_overlapping_areas_have_the_same_pixels(self, whole: Path, paint: Callable[..., rsgeo.Result]) -> None:
        painted = read(whole)
        west, south, east, north = BOUNDS
        alone = pixels(paint(bounds=(west + 40, south + 30, west + 57, south + 43)))
        assert np.array_equal(alone, painted[:, 90 - 43 : 90 - 30, 40:57])
        beside = pixels(paint(bounds=(west + 31, south - 20, east + 30, north - 11)))
        assert np.array_equal(beside[:, : 90 - 11, : 110 - 31], painted[:, 11:, 31:])

    def test_words_and_seeds_change_it(self, whole: Path, paint: Callable[..., rsgeo.Result]) -> None:
        assert not np.array_equal(pixels(paint(prompt="a harbour")), read(whole))
        assert not np.array_equal(pixels(paint(seed=4)), read(whole))

    def test_it_can_be_made_again_from_its_file(self, whole: Path, make: Callable[..., rsgeo.Result], tmp_path: Path, cascade: Path) -> None:
        with pytest.raises(ModelError):
            make(from_file=whole)  # the model of a folder is named after it, and there is none of that name
        again = make(from_file=whole, model=str(cascade), runtime=Runtime(batch_size=16, dtype="fp32"))
        assert np.array_equal(pixels(again), read(whole))

    def test_samples_are_the_worlds_of_the_seeds(self, whole: Path, paint: Callable[..., rsgeo.Result]) -> None:
        both = pixels(paint(samples=2, samples_as="all"))
        assert np.array_equal(both[:3], read(whole)) and np.array_equal(both[3:], pixels(paint(seed=4)))

    def test_prompts_by_polygon(self, paint: Callable[..., rsgeo.Result], whole: Path, tmp_path: Path) -> None:
        west, south, _east, north = BOUNDS
        ring = [[west, south], [west + 40, south], [west + 40, north], [west, north], [west, south]]
        features = [{"type": "Feature", "properties": {"words": "a harbour"}, "geometry": {"type": "Polygon", "coordinates": [ring]}}]
        crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
        (tmp_path / "layer.geojson").write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
        made = pixels(paint(prompt_field="words", prompt_layer=tmp_path / "layer.geojson"))
        changed = (made != read(whole)).any(axis=0)
        assert changed[:, :30].mean() > 0.4 and not changed[:, 100:].any()

    def test_the_original_sampler(self, paint: Callable[..., rsgeo.Result], whole: Path) -> None:
        asked: dict[str, Any] = {"scheduler": "ancestral", "num_inference_steps": 3}
        made = paint(**asked)
        assert made.request.sampler.start_time == 1.0
        west, south, *_ = BOUNDS
        alone = pixels(paint(bounds=(west + 40, south + 30, west + 57, south + 43), **asked))
        assert np.array_equal(alone, pixels(made)[:, 90 - 43 : 90 - 30, 40:57])


class TestWork:
    def test_an_interrupted_run_goes_on_and_gives_the_same_file(
        self, monkeypatch: pytest.MonkeyPatch, paint: Callable[..., rsgeo.Result], whole: Path, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(blocks, "_SMALL", 0)
        monkeypatch.setattr(blocks, "_SIDE_PX", 48)
        seen: list[Progress] = []

        def runtime(share: float) -> Runtime:
            return Runtime(
                batch_size=16, dtype="fp32", reproducible=True, progress=seen.append,
                cancelled=lambda: bool(seen) and seen[-1].stage == "synthesis" and seen[-1].done >= share * seen[-1].total,
            )  # fmt: skip

        for share in (0.3, 0.8):
            with pytest.raises(CancelledError, match="the same command goes on"):
                paint(tmp_path / "out.tif", runtime=runtime(share))
        paint(tmp_path / "out.tif", runtime=runtime(2.0))
        assert (tmp_path / "out.tif").read_bytes() == whole.read_bytes()
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in whole.parent.iterdir())

    def test_blocks_of_workers_are_the_same(self, monkeypatch: pytest.MonkeyPatch, cascade: Path, whole: Path, tmp_path: Path) -> None:
        monkeypatch.setattr(blocks, "_SIDE_PX", 48)
        resolved = resolve(Ask(from_file=whole, model=str(cascade)))
        pieces = making.graph(resolved)
        settings = making.settings(Runtime(batch_size=16, dtype="fp32", device="cpu"), resolved)
        with JobDir(tmp_path / "job", resolved.request, pieces.picture, settings.of_job(resolved)) as job:
            for _, _, waves in pieces.walk():
                for block in (block for wave in waves for block in wave.blocks):
                    job.note(block, *making.make_block(str(job.folder), job.sha256, block.stage, block.row, block.col))
            for block in pieces.pictures:
                row, col, height, width = pieces.pixels(block)
                assert np.array_equal(job.get(block), read(whole)[:, row : row + height, col : col + width])

    def test_the_plan_counts_both_levels(self, cascade: Path, whole: Path) -> None:
        resolved = resolve(Ask(from_file=whole, model=str(cascade)))
        planned = plan.plan(resolved)
        assert len(planned.windows) == 4 and planned.windows[0] >= planned.windows[1] and planned.windows[2] >= planned.windows[3]
        found = plan.windows(resolved)["features"]
        assert len(found) == sum(planned.windows) and {feature["properties"]["level"] for feature in found} == {0, 1}
        wide = {level: _width(next(one for one in found if one["properties"]["level"] == level)) for level in (0, 1)}
        assert wide[0] == pytest.approx(wide[1], rel=1e-3)  # a window of each level shows the same ground

    def test_a_machine_is_measured_over_both_levels(self, cascade: Path) -> None:
        known = calibration.measure(catalog.find(str(cascade)), "cpu", start_seconds=1.0)
        assert known.model_sha256 == catalog.model_sha256(catalog.find(str(cascade))) and 1e-6 < known.paces[0].seconds < 10

    def test_other_programs_are_told_what_it_heeds(self, cascade: Path) -> None:
        described = of_model(catalog.find(str(cascade)))
        parameters = {parameter.name: parameter for parameter in described.parameters}
        assert (described.gsd_native, described.gsd_min, described.gsd_max, described.tasks) == (None, None, None, ("generate",))
        assert "negative_prompt" not in parameters and parameters["scheduler"].choices == ("ancestral", "dpmsolver++", "sde-dpmsolver++")


def _width(feature: dict[str, Any]) -> float:
    xs = [x for x, _ in feature["geometry"]["coordinates"][0]]
    return max(xs) - min(xs)


class TestRefusals:
    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            ({"gsd": None}, r"tiny was trained on images of no fixed GSD; state one in metres with --gsd"),
            ({"negative_prompt": "clouds"}, "heeds no negative prompt"),
            ({"adapters": ("some.safetensors",)}, "Adapters are for latent models"),
            ({"scheduler": "ddim"}, r"no scheduler 'ddim' for a cascade such as tiny; use one of ancestral, dpmsolver\+\+"),
            ({"num_inference_steps": 1001}, "from 1 to 1000"),
        ],
    )
    def test_one_sentence(self, cascade: Path, asked: dict[str, Any], said: str) -> None:
        with pytest.raises(InputError, match=said):
            resolve(Ask(**{"model": str(cascade), **PLACE, "bounds": BOUNDS, **asked}))

    @pytest.mark.parametrize("task", ["inpaint", "extend", "superres"])
    def test_what_it_does_not_do(self, cascade: Path, task: Any) -> None:
        with pytest.raises(ModelError, match=r"tiny cannot .*rsgeo-mini.* can"):
            resolve(Ask(model=str(cascade), bounds=BOUNDS, **PLACE), task)

    def test_a_date_is_said_not_to_count(self, cascade: Path) -> None:
        with pytest.warns(RsgeoWarning, match="tiny was not taught a date"):
            resolve(Ask(model=str(cascade), bounds=BOUNDS, date="2024-06-01", **PLACE))

    def test_without_a_text_encoder_there_are_no_words(self, paint: Callable[..., rsgeo.Result], tmp_path: Path) -> None:
        mute = cascade_models.save(tmp_path / "mute", words=False)
        with pytest.raises(InputError, match=r"mute has no text encoder .*; rsgeo models convert .*mute FOLDER --text-encoder T5"):
            paint(model=str(mute))
        assert pixels(paint(model=str(mute), prompt="")).std() > 10

    def test_a_sweep_has_nothing_to_vary(self, cascade: Path) -> None:
        with pytest.raises(InputError, match="reads captions alone"):
            rsgeo.sweep(field="gsd", values=(1, 2), model=str(cascade))

    def test_a_stored_plan_of_other_levels(self, whole: Path, cascade: Path) -> None:
        stored = provenance.read_request(whole).request
        for synthesis in (
            stored.synthesis.model_copy(update={"coarser": ()}),
            stored.synthesis.model_copy(update={"coarser": (stored.synthesis.coarser[0].model_copy(update={"gsd_factor": 4}),)}),
        ):
            edited = Request.model_validate(stored.model_copy(update={"synthesis": synthesis}).model_dump())
            with pytest.raises(InputError, match="make a new request"):
                generate.generate(Ask(request_file=edited, model=str(cascade)))
