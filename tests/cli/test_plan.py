"""`rsgeo plan`: what an area would cost, before any work."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from shapely.geometry import box, shape

import rsgeo as package
from rsgeo.cli import main
from rsgeo.runtime import Progress, Runtime

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
    again, more = facts(), facts("--num-inference-steps", "30")
    assert again["seconds"] == measured["seconds"] < float(str(more["seconds"])) / 5
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


def test_json_and_geojson_at_once_is_a_usage_error() -> None:
    assert plan("--json", "--geojson").exit_code == 2
