"""`rsgeo plan`: what an area would cost, before any work."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from shapely.geometry import box, shape

import rsgeo as package
from rsgeo.cli import main
from rsgeo.geo import provenance
from rsgeo.hub import catalog
from rsgeo.request import Ask
from rsgeo.runtime import Progress, Runtime
from rsgeo.tasks import plan as tasks
from rsgeo.tasks.resolve import resolve

PLACE = ("--bounds", "461000", "5090000", "464000", "5092000", "--aoi-crs", "EPSG:32633", "--crs", "EPSG:32633")
QUICK = ("--num-inference-steps", "3")


@pytest.fixture(autouse=True)
def nothing_known_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSGEO_CACHE", str(tmp_path / "cache"))


def plan(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["plan", *PLACE, *QUICK, *arguments])


def facts(*arguments: str) -> dict[str, object]:
    result = plan("--json", *arguments)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_evaluations_are_those_that_a_run_makes() -> None:
    seen: list[Progress] = []
    package.generate(
        bounds=(461000, 5090000, 464000, 5092000),
        aoi_crs="EPSG:32633",
        crs="EPSG:32633",
        num_inference_steps=3,
        runtime=Runtime(progress=seen.append),
    )
    last = [step for step in seen if step.stage == "synthesis"][-1]
    assert facts()["evaluations"] == last.done == last.total


def test_time_is_unknown_until_it_was_measured_and_then_grows_with_the_work() -> None:
    before = facts()
    assert before["seconds"] is None and before["machine"] is None
    assert "unknown" in plan().stdout
    measured = facts("--calibrate")
    assert isinstance(measured["seconds"], float) and "threads" in str(measured["machine"])
    assert facts()["seconds"] == measured["seconds"]
    few, more, most = (float(str(facts("--num-inference-steps", steps)["seconds"])) for steps in ("3", "103", "203"))
    assert few == measured["seconds"] and more - few == pytest.approx(most - more, rel=0.2)
    assert few - 3 * (most - few) / 200 > 0.5  # what does not grow with the steps: the start of the process
    assert "about" in plan().stdout and "unknown" not in plan().stdout.split("time")[1]


def test_no_torch_is_needed() -> None:
    code = "import sys\nfrom rsgeo.cli import main\ntry:\n    main()\nfinally:\n    print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code, "plan", *PLACE, "--max-memory", "4"], capture_output=True, text=True, check=True)
    assert "evaluations" in run.stdout and run.stdout.endswith("False\n")


def test_every_window_is_drawn_once_and_lies_where_it_runs() -> None:
    numbers, drawn = facts(), json.loads(plan("--geojson").stdout)
    phases = Counter(feature["properties"]["phase"] for feature in drawn["features"])
    assert [phases[number] for number in sorted(phases)] == numbers["windows"]
    area = box(14.496, 45.963, 14.535, 45.981)
    assert all(shape(feature["geometry"]).distance(area) < 0.02 for feature in drawn["features"])
    first = drawn["features"][0]
    assert first["properties"]["last_step"] > first["properties"]["first_step"] >= 0


@pytest.mark.parametrize(
    "option, value, words",
    [("--max-memory", "0.1", "GB of memory"), ("--max-hours", "1e-6", "hours"), ("--max-pixels", "100", "--max-pixels")],
)
def test_what_is_beyond_the_budget_is_refused(option: str, value: str, words: str, tmp_path: Path) -> None:
    assert plan("--calibrate").exit_code == 0
    planned = plan(option, value)
    made = CliRunner().invoke(main, ["generate", *PLACE, *QUICK, option, value, str(tmp_path / "out.tif")])
    for result in (planned, made):
        assert result.exit_code == 1
        (said,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
        assert words in said and said.endswith(".")
    assert not (tmp_path / "out.tif").exists()


def test_hours_cannot_be_promised_where_no_time_is_known() -> None:
    result = plan("--max-hours", "5")
    assert result.exit_code == 1 and "--calibrate" in result.stderr


def test_a_budget_that_suffices_lets_the_run_pass(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["generate", *PLACE, *QUICK, "--max-hours", "5", "--max-memory", "8", "--quiet", str(tmp_path / "out.tif")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out.tif").is_file()


def test_another_plan_costs_less_and_both_costs_are_said(tmp_path: Path) -> None:
    default, economy, preview = (facts("--plan", name) for name in ("default", "economy", "preview"))
    assert facts() == default
    assert [found["steady_cost"] for found in (default, economy, preview)] == [pytest.approx((16 / n) ** 2) for n in (12, 13, 12)]
    assert len(list(preview["windows"])) == 1 and default["cost"] > preview["cost"]
    said = plan("--plan", "economy").stdout
    assert f"{economy['cost']:.2f} charged to this area, 1.51 inside" in said and "k2-economy" in said


def test_a_file_made_again_keeps_its_plan(tmp_path: Path) -> None:
    def generate(*arguments: str) -> str:
        out = tmp_path / "out.tif"
        result = CliRunner().invoke(main, ["generate", *arguments, "--quiet", "--overwrite", str(out)])
        assert result.exit_code == 0, result.output
        return provenance.read_request(out).request.synthesis.plan

    assert generate(*PLACE, *QUICK, "--plan", "economy") == "k2-economy"
    kept = tmp_path / "kept.tif"
    (tmp_path / "out.tif").rename(kept)
    assert generate("--from", str(kept), "--num-inference-steps", "2") == "k2-economy"
    assert generate("--from", str(kept), "--plan", "preview") == "k1-preview"


def test_an_unknown_plan_lists_those_there_are() -> None:
    result = plan("--plan", "cheap")
    assert result.exit_code == 1 and "default, economy, preview" in result.stderr


def test_the_plans_of_the_embedded_model_cost_what_is_promised() -> None:
    record = catalog.find("rsgeo-mini")
    side = 8 * record.tile * record.scale
    default, economy = (
        resolve(Ask(bounds=(500000, 5400000, 500000 + 10 * side, 5400000 + 10 * side), aoi_crs="EPSG:32632", crs="EPSG:32632", plan=name))
        for name in ("default", "economy")
    )
    assert tasks.plan(default).steady_cost <= 1.8
    # at whole cells, wherever they lie on the lattice
    for row, col in product(range(0, 13 * record.scale, 3 * record.scale), repeat=2):
        cells = economy.request.grid.model_copy(update={"row": row, "col": col, "width": side, "height": side})
        moved = replace(economy, request=economy.request.model_copy(update={"grid": cells, "aoi": None}), aoi=None)
        assert tasks.plan(moved).cost <= 2.1, (row, col)


def test_json_and_geojson_at_once_is_a_usage_error() -> None:
    assert plan("--json", "--geojson").exit_code == 2
