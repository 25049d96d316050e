"""`resolve`: what was typed becomes a complete request, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rsgeo.errors import InputError, ModelError, RsgeoError, RsgeoWarning, TooLargeError
from rsgeo.geo import grid
from rsgeo.hub import catalog
from rsgeo.request import Ask, Request
from rsgeo.tasks import generate, plan
from rsgeo.tasks.resolve import load_request, resolve

RASTERS = Path(__file__).resolve().parents[1] / "data" / "rasters"


@pytest.fixture
def stored(area: Path, tmp_path: Path) -> Path:
    """A request with nothing left at its default, in a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RsgeoWarning)
        asked = Ask(
            aoi=area,
            crs="EPSG:3035",
            gsd="12",
            date="2021-07",
            cloud_cover=20.0,
            prompt="vineyards",
            negative_prompt="water",
            seed=11,
            num_inference_steps=7,
            guidance_scale=3.0,
            scheduler="euler",
        )
        request = resolve(asked).request
    path = tmp_path / "request.json"
    path.write_text(request.canonical_json())
    return path


def again(stored: Path, **asked: Any) -> Request:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RsgeoWarning)
        return resolve(Ask(request_file=stored, **asked)).request


class TestWhatIsLeftOpen:
    def test_is_filled_from_the_catalogue(self, area: Path) -> None:
        record = catalog.find(catalog.DEFAULT_MODEL)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            request = resolve(Ask(aoi=area)).request
        assert request.model.name == record.name and request.model.sha256 == catalog.model_sha256(record)
        assert request.sampler.num_inference_steps == record.defaults.num_inference_steps
        assert request.sampler.guidance_scale == record.defaults.guidance_scale
        assert request.sampler.scheduler == record.defaults.scheduler
        assert len(request.synthesis.phases) == record.defaults.phases
        assert (request.prompt, request.negative_prompt, request.seed) == ("", "", 0)
        assert request.scene.date is None and request.scene.cloud_cover_percent is None
        assert request.grid.crs == "EPSG:32633"
        assert float(request.grid.lattice[0]) == record.gsd_native

    def test_needs_no_torch(self, area: Path) -> None:
        code = (
            "import sys; from rsgeo.request import Ask; from rsgeo.tasks.resolve import resolve; from rsgeo.tasks.plan import plan;"
            f"plan(resolve(Ask(aoi={str(area)!r}))); sys.exit('torch' in sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    @pytest.mark.parametrize("steps", [1, 2, 3, 12, 50])
    def test_phases_cover_all_steps_in_order(self, steps: int, area: Path) -> None:
        phases = resolve(Ask(aoi=area, num_inference_steps=steps)).request.synthesis.phases
        assert phases[0].first == 0 and phases[-1].last == steps
        assert all(before.last == after.first for before, after in pairwise(phases))

    def test_a_random_seed_is_drawn_and_recorded(self, area: Path) -> None:
        seeds = {resolve(Ask(aoi=area, seed="random")).request.seed for _ in range(4)}
        assert len(seeds) > 1
        assert all(0 <= seed < 2**31 for seed in seeds)

    def test_the_plan_counts_what_will_be_run(self, area: Path) -> None:
        small, large = (plan.plan(resolve(Ask(aoi=area, gsd=gsd))) for gsd in ("10", "5"))
        assert small.evaluations < large.evaluations
        assert 3.5 < large.valid_pixels / small.valid_pixels < 4.5


class TestAStoredRequest:
    def test_gives_itself(self, stored: Path) -> None:
        assert again(stored) == load_request(stored)

    @pytest.mark.parametrize(
        ("asked", "changed"),
        [
            ({"seed": 0}, {"seed"}),
            ({"prompt": ""}, {"prompt"}),
            ({"negative_prompt": ""}, {"negative_prompt"}),
            ({"guidance_scale": 0.0}, {"sampler"}),
            ({"scheduler": "unipc"}, {"sampler"}),
            ({"num_inference_steps": 9}, {"sampler", "synthesis"}),
            ({"date": "2020-01-01"}, {"scene"}),
            ({"cloud_cover": 0.0}, {"scene"}),
            ({"gsd": "15"}, {"grid"}),
            ({"crs": "EPSG:32633"}, {"grid"}),
            ({"bounds": (14.5, 46.0, 14.51, 46.01)}, {"grid", "aoi"}),
            ({"like": RASTERS / "transforms" / "2d_test.tif"}, {"grid", "aoi"}),
            ({"model": "rsgeo-mini"}, set()),
            ({"plan": "default"}, set()),
            ({"plan": "economy"}, {"synthesis"}),
        ],
        ids=lambda value: str(sorted(value)) if isinstance(value, set) else str(value),
    )
    def test_keeps_all_that_is_not_said_otherwise(self, asked: dict[str, Any], changed: set[str], stored: Path) -> None:
        before, after = load_request(stored).model_dump(), again(stored, **asked).model_dump()
        assert {name for name in before if before[name] != after[name]} == changed

    def test_keeps_its_plan_until_another_is_said(self, stored: Path) -> None:
        economy = again(stored, plan="economy")
        stored.write_text(economy.canonical_json())
        assert again(stored) == economy
        longer = again(stored, num_inference_steps=20).synthesis
        assert longer.plan == economy.synthesis.plan == "k2-economy"
        assert [phase.stride for phase in longer.phases] == [13, 13] and longer.phases[-1].last == 20
        assert again(stored, num_inference_steps=20, plan="default").synthesis.plan == "k2"

    def test_with_a_plan_of_its_own_keeps_it_for_its_own_steps_only(self, stored: Path) -> None:
        request = load_request(stored)
        own = request.model_copy(update={"synthesis": request.synthesis.model_copy(update={"plan": "by hand"})})
        stored.write_text(own.canonical_json())
        assert again(stored, seed=3).synthesis == own.synthesis
        with pytest.raises(InputError, match="--plan"):
            again(stored, num_inference_steps=20)
        assert again(stored, num_inference_steps=20, plan="economy").synthesis.plan == "k2-economy"

    def test_keeps_its_coordinate_system_at_another_gsd(self, stored: Path) -> None:
        assert again(stored, gsd="15").grid.crs == "EPSG:3035"

    def test_with_a_rasters_grid_has_no_area_to_lay_another_grid_over(self, tmp_path: Path) -> None:
        path = tmp_path / "like.json"
        like = RASTERS / "series" / "S2_L2A_31UDS_20180416T105619.tif"
        path.write_text(resolve(Ask(like=like)).request.canonical_json())
        assert again(path).aoi is None
        with pytest.raises(InputError, match="no area; give --aoi or --bounds"):
            again(path, gsd="20")

    @pytest.mark.parametrize(
        "text",
        ["", "no JSON", "[]", "{}", '{"schema_version": 99}', "null", "[" * 100_000, "\ud800".encode("utf-16-le", "surrogatepass").decode("latin-1")],
        ids=["empty", "words", "list", "nothing", "newer", "null", "deep", "bytes"],
    )
    def test_that_is_none_is_one_sentence(self, text: str, tmp_path: Path) -> None:
        path = tmp_path / "request.json"
        path.write_text(text, encoding="latin-1")
        with pytest.raises(InputError, match="is not a request of this version of rsgeo"):
            load_request(path)

    @pytest.mark.parametrize(
        ("where", "value"),
        [
            (("seed",), -1),
            (("seed",), 2**70),
            (("grid", "width"), 0),
            (("grid", "lattice"), ["many", "0", "0", "0", "-10", "0"]),
            (("grid", "lattice"), ["1e999999", "0", "0", "0", "-10", "0"]),
            (("grid", "lattice"), ["0", "0", "0", "0", "0", "0"]),
            (("grid", "lattice"), ["9" * 400, "0", "0", "0", "-10", "0"]),
            (("grid", "col"), 10**400),
            (("grid", "crs"), "EPSG:0"),
            (("aoi", "geometry"), {"type": "Polygon", "coordinates": "none"}),
            (("aoi", "geometry"), {"type": "LineString", "coordinates": [[14, 46], [15, 46]]}),
            (("aoi", "geometry"), None),
            (("sampler", "scheduler"), "magic"),
            (("sampler", "num_inference_steps"), 10**9),
            (("sampler", "guidance_scale"), 1e300),
            (("synthesis", "phases"), []),
            (("synthesis", "phases"), [{"first": 0, "last": 7, "tile": 10**9, "stride": 1, "shift": 0}]),
            (("synthesis", "phases"), [{"first": 0, "last": 7, "tile": 16, "stride": 1, "shift": 0}]),
            (("synthesis", "phases"), [{"first": 0, "last": 7, "tile": 16, "stride": 12, "shift": 10**18}]),
            (("synthesis", "phases"), [{"first": 3, "last": 7, "tile": 16, "stride": 12, "shift": 0}]),
            (("model", "name"), "../../.."),
            (("scene", "date"), {"value": "2021-02-31", "precision": "day", "source": "option"}),
            (("scene", "cloud_cover_percent"), {"value": 250, "source": "option"}),
        ],
        ids=lambda value: ".".join(value) if isinstance(value, tuple) else str(value)[:30],
    )
    def test_that_was_spoilt_never_becomes_a_picture(self, where: tuple[str, ...], value: Any, stored: Path, tmp_path: Path) -> None:
        request = json.loads(stored.read_text())
        inner = request
        for name in where[:-1]:
            inner = inner[name]
        inner[where[-1]] = value
        stored.write_text(json.dumps(request))
        with warnings.catch_warnings(), pytest.raises(RsgeoError):
            warnings.simplefilter("ignore", RsgeoWarning)
            generate.generate(Ask(request_file=stored), tmp_path / "out.tif")
        assert [path.name for path in tmp_path.iterdir()] == ["request.json"]


class TestWhatContradictsItself:
    @pytest.mark.parametrize(
        ("asked", "words"),
        [
            ({}, "Say where"),
            ({"gsd": "10", "resolution": "10"}, "--gsd .* or --resolution"),
            ({"bounds": (14.5, 46.0, 14.6, 46.1)}, "--aoi or --bounds"),
            ({"like": "raster", "gsd": "10"}, "leave out --crs, --gsd and --resolution"),
            ({"like": "raster", "crs": "EPSG:3035"}, "leave out --crs, --gsd and --resolution"),
            ({"scheduler": "heun"}, "ddim, .*unipc"),
            ({"plan": "cheap"}, "default, economy, preview"),
            ({"plan": ""}, "default, economy, preview"),
            ({"seed": 2**63}, "--seed"),
            ({"num_inference_steps": 1001}, "from 1 to 1000"),
            ({"guidance_scale": float("inf")}, "--guidance-scale"),
            ({"cloud_cover": 101.0}, "0 to 100"),
            ({"from_file": "a.tif", "request_file": "a.json"}, "--from or --request"),
        ],
        ids=str,
    )
    def test_is_refused_with_what_to_do(self, asked: dict[str, Any], words: str, area: Path) -> None:
        place: dict[str, Any] = {"aoi": area} if asked else {}
        if asked.get("like"):
            asked = {**asked, "like": RASTERS / "transforms" / "2d_test.tif"}
        with pytest.raises(InputError, match=words):
            resolve(Ask(**place, **asked))

    @pytest.mark.parametrize("asked", [{"layer": "a"}, {"where": "b = 1"}, {"buffer_m": 5.0}], ids=str)
    def test_options_of_a_file_want_a_file(self, asked: dict[str, Any]) -> None:
        with pytest.raises(InputError, match="--aoi"):
            resolve(Ask(bounds=(14.5, 46.0, 14.6, 46.1), **asked))

    def test_the_crs_of_an_area_wants_an_area(self) -> None:
        with pytest.raises(InputError, match="--aoi-crs"):
            resolve(Ask(like=RASTERS / "transforms" / "2d_test.tif", aoi_crs="EPSG:4326"))

    def test_an_unknown_model_lists_near_names(self, area: Path) -> None:
        with pytest.raises(ModelError, match="rsgeo-mini"):
            resolve(Ask(aoi=area, model="rsgeo_mni"))

    def test_too_many_pixels_are_told_with_their_number(self, area: Path) -> None:
        with pytest.raises(TooLargeError, match="--max-pixels"):
            resolve(Ask(aoi=area, max_pixels=1000))


@pytest.mark.parametrize("gsd", ["0.6", "20"])
def test_the_ends_of_the_models_range_are_in_it_wherever_the_area_lies(gsd: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RsgeoWarning)
        for west in (15.0, 17.9):  # the middle and the edge of a UTM zone, where a map metre is 0.9996 and 1.0003 m
            resolve(Ask(bounds=(west, 46.0, west + 0.002, 46.002), crs="EPSG:32633", gsd=gsd))


def test_bounds_may_be_in_another_coordinate_system(area: Path) -> None:
    request = resolve(Ask(bounds=(461000, 5094000, 461500, 5094400), aoi_crs="EPSG:32633")).request
    assert (request.grid.width, request.grid.height) == (50, 40)
    assert grid.geobox(request.grid).affine.c == 461000


def test_resolution_is_in_units_of_the_coordinate_system(area: Path) -> None:
    request = resolve(Ask(aoi=area, crs="EPSG:4326", resolution="0.0001")).request
    assert request.grid.lattice[0] == "0.0001"
    assert 69 <= request.grid.width <= 71
