"""Prompts by polygon: what is asked where, blended where polygons meet, and a function of place."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
from shapely.geometry import box

import rsgeo
from rsgeo.errors import InputError, RsgeoWarning
from rsgeo.request import Ask
from rsgeo.tasks import generate, plan
from rsgeo.tasks.regions import wishes_of
from rsgeo.tasks.resolve import resolve

# A place on the lattice of 10 m; x and y in pixels east and south of it.
X0, Y0, CRS = 500_000, 5_104_000, "EPSG:32633"


def pixels(left: int, top: int, right: int, bottom: int) -> Any:
    return box(X0 + 10 * left, Y0 - 10 * bottom, X0 + 10 * right, Y0 - 10 * top)


def bounds(left: int, top: int, right: int, bottom: int) -> dict[str, Any]:
    return {"bounds": pixels(left, top, right, bottom).bounds, "aoi_crs": CRS, "crs": CRS}


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sea in the west, forest in the east, a field where nothing is said, and a town far away; in degrees, as a GeoPackage."""
    shapes = {1: pixels(-200, -200, 100, 400), 2: pixels(100, -200, 400, 400), None: pixels(0, 200, 40, 240), 9: pixels(9000, 0, 9100, 99)}
    frame = geopandas.GeoDataFrame({"code": list(shapes), "name": ["sea", "forest", None, "town"]}, geometry=list(shapes.values()), crs=CRS)
    path = tmp_path_factory.mktemp("layer") / "zones.gpkg"
    frame.to_crs("EPSG:4326").to_file(path)
    return path


def test_the_features_within_reach_are_part_of_the_request(layer: Path) -> None:
    ask = Ask(**bounds(60, 60, 140, 120), prompt="meadow", prompt_layer=layer, prompt_field="name")
    request = resolve(ask).request
    assert [region.prompt for region in request.regions] == ["forest", "sea"]
    assert resolve(Ask(**bounds(60, 60, 140, 120), prompt="meadow")).request.regions == ()
    assert "regions" not in json.loads(resolve(Ask(**bounds(60, 60, 140, 120))).request.canonical_json())


def test_a_map_says_what_a_value_stands_for(layer: Path, tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text(json.dumps({"1": "open water", "2": "pine trees"}))
    options = {**bounds(60, 60, 140, 120), "prompt_layer": layer, "prompt_field": "code"}
    assert [r.prompt for r in resolve(Ask(**options, prompt_map=tmp_path / "map.json")).request.regions] == ["open water", "pine trees"]
    with pytest.warns(RsgeoWarning, match="says nothing of code 2, 9"):
        found = resolve(Ask(**options, prompt_map={"1": "open water"})).request.regions
    assert [region.prompt for region in found] == ["open water"]


def test_the_layer_is_the_aoi_itself_with_all_its_features(layer: Path) -> None:
    ask = Ask(aoi=layer, where="code = 1", prompt_field="name", crs=CRS)
    assert [region.prompt for region in resolve(ask).request.regions] == ["forest", "sea"]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"prompt_field": "kind"}, r"no attribute 'kind' for prompts; it has code, name"),
        ({"prompt_field": None}, "need --prompt-field"),
        ({"prompt_field": "name", "prompt_layer": None}, "give them with --prompt-layer or --aoi"),
    ],
)
def test_what_cannot_be_used_is_said(layer: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        resolve(Ask(**{**bounds(60, 60, 140, 120), "prompt_layer": layer, **options}))


def test_windows_have_one_prompt_but_at_the_border(layer: Path) -> None:
    request = resolve(Ask(**bounds(60, 60, 140, 120), prompt="meadow", prompt_layer=layer, prompt_field="name")).request
    wishes_at = wishes_of(request, 4)
    assert wishes_at is not None
    row, col = request.grid.row // 4, request.grid.col // 4  # pixel (60, 60)
    west, border, south = wishes_at([(row, col - 20), (row, col + 2), (row + 90, col)], 16, 1)
    assert [wish.prompt for wish in west] == ["sea"] and west[0].share is None
    assert [wish.prompt for wish in border] == ["forest", "sea"] or [wish.prompt for wish in border] == ["sea", "forest"]
    shares = {wish.prompt: wish.share for wish in border}
    assert np.allclose(shares["sea"] + shares["forest"], 1, atol=1e-6)
    assert (shares["sea"][:, :7] == 1).all() and (shares["sea"][:, 9:] == 0).all()  # the border is at pixel 100, cell 8 of the window
    assert [wish.prompt for wish in south] == ["meadow"]


def test_the_picture_is_a_function_of_place_and_the_plan_counts_the_prompts(layer: Path, make: Callable[..., rsgeo.Result]) -> None:
    wish = {"prompt": "meadow", "prompt_layer": layer, "prompt_field": "name"}
    here, there = make(**bounds(60, 60, 140, 120), **wish), make(**bounds(90, 80, 170, 130), **wish)
    assert here.pixels is not None and there.pixels is not None
    assert np.array_equal(here.pixels[:, 20:, 30:], there.pixels[:, :40, :50])
    plain = make(**bounds(60, 60, 140, 120), prompt="meadow")
    assert not np.array_equal(here.pixels, plain.pixels)

    counted: list[Any] = []
    quick = {**bounds(60, 60, 140, 120), "num_inference_steps": 2, "guidance_scale": 1.0}
    asked = Ask(**quick, **wish)
    planned, bare = plan.plan(resolve(asked)), plan.plan(resolve(Ask(**quick)))
    generate.generate(asked, runtime=rsgeo.Runtime(progress=counted.append))
    last = [step for step in counted if step.stage == "synthesis"][-1]
    assert planned.evaluations == last.done == last.total > bare.evaluations


def test_a_stored_request_makes_the_same_picture_again(layer: Path, make: Callable[..., rsgeo.Result], tmp_path: Path) -> None:
    first = make(tmp_path / "a.tif", **bounds(60, 60, 140, 120), prompt_layer=layer, prompt_field="name")
    again = make(tmp_path / "b.tif", from_file=tmp_path / "a.tif")
    assert first.run["pixels_sha256"] == again.run["pixels_sha256"]
    assert first.request == again.request


def test_the_land_use_example_asks_for_six_kinds_over_its_whole_area() -> None:
    examples = Path(__file__).resolve().parents[2] / "examples"
    prompts = json.loads((examples / "land_use.json").read_text())
    with warnings.catch_warnings():
        warnings.simplefilter("error", RsgeoWarning)
        asked = resolve(Ask(aoi=examples / "land_use.geojson", prompt_field="kind", prompt_map=examples / "land_use.json", gsd="20"))
    assert {region.prompt for region in asked.request.regions} == set(prompts.values()) and len(prompts) == 6
    wishes_at = wishes_of(asked.request, asked.record.scale)
    assert wishes_at is not None
    cells = asked.request.grid
    middle = (cells.row + cells.height // 2) // 4 - 8, (cells.col + cells.width // 2) // 4 - 8
    assert "" not in {wish.prompt for wish in wishes_at([middle], 16, 1)[0]}
