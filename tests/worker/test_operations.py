"""What a worker gives for what it is asked: the same as the command line, in every pixel."""

from __future__ import annotations

import errno
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from rasterio.windows import Window
from shapely.geometry import Polygon, box
from worker_client import RING, Client, generate, names

from rsgeo.cli import main
from rsgeo.errors import NoSpaceError, OutputError
from rsgeo.request import Request
from rsgeo.worker import faults

RASTERS = Path(__file__).parents[1] / "data" / "rasters"
COUNTING = """
import sys
import rsgeo.hub.load as module
load = module.load_pipeline
def counted(*arguments, **options):
    print("LOADED")
    return load(*arguments, **options)
module.load_pipeline = counted
sys.argv = ["rsgeo", "worker"]
from rsgeo.cli import main
main()
"""


def cli(*arguments: str | Path) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def quick() -> list[str]:
    return ["--num-inference-steps", "2", "--guidance-scale", "1"]


def pixels(path: str | Path, window: Window | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Bands and mask."""
    with rasterio.open(path) as dataset:
        return dataset.read(window=window), dataset.dataset_mask(window=window)


def same(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> None:
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GeoPackage as a program writes it: the selected area, and all polygons with their prompts."""
    path = tmp_path_factory.mktemp("layers") / "run.gpkg"
    geopandas.GeoDataFrame(geometry=[Polygon(RING)], crs=4326).to_file(path, layer="aoi")
    west, east = box(14.49, 45.99, 14.503, 46.01), box(14.503, 45.99, 14.51, 46.01)
    geopandas.GeoDataFrame({"use": ["a forest", "a lake"]}, geometry=[west, east], crs=4326).to_file(path, layer="prompts")
    return path


class TestPictures:
    def test_pixels_are_those_of_the_command_line(self, worker: Client, area: str, tmp_path: Path) -> None:
        out = tmp_path / "Übung 1" / "out.tif"
        out.parent.mkdir()
        made = worker.good("run", request=generate(aoi=area, prompt="a wood", seed=5), output=str(out), runtime={"preview": str(tmp_path / "p.png")})
        cli("generate", "--aoi", area, "--prompt", "a wood", "--seed", "5", *quick(), tmp_path / "cli.tif")
        same(pixels(out), pixels(tmp_path / "cli.tif"))
        assert names(out.parent) == ["out.qmd", "out.stac.json", "out.tif"]
        assert [file["role"] for file in made["outputs"]] == ["image", "stac", "qmd", "preview"]
        for file in made["outputs"]:
            assert hashlib.sha256(Path(file["path"]).read_bytes()).hexdigest() == file["sha256"]
        assert made["seed"] == 5 and made["licence"] == "Apache-2.0" and made["run"]["dtype"]
        assert made["metadata"] == json.loads(cli("info", "--json", out)) and made["metadata"]["synthetic"] == "ALL"
        with rasterio.open(out) as dataset:
            assert made["request"] == json.loads(dataset.tags()["RSGEO_REQUEST"])

    def test_an_area_is_a_layer_or_text_in_any_coordinate_system(self, worker: Client, area: str, layers: Path, tmp_path: Path) -> None:
        worker.good("run", request=generate(aoi=area), output=str(tmp_path / "file.tif"))
        worker.good("run", request=generate(aoi=str(layers), layer="aoi"), output=str(tmp_path / "layer.tif"))
        text = generate(aoi=Polygon(RING).wkt, aoi_crs="EPSG:4326")
        assert worker.good("run", request=text, output=str(tmp_path / "text.tif"))["warnings"] == []
        for name in ("layer", "text"):
            same(pixels(tmp_path / f"{name}.tif"), pixels(tmp_path / "file.tif"))
        moved = geopandas.GeoSeries([Polygon(RING)], crs=4326).to_crs(3035)
        cells = worker.good("plan", request=generate(aoi=moved[0].wkt, aoi_crs=moved.crs.to_wkt()))["grid"]
        assert (cells["width"], cells["height"], cells["crs"]) == (55, 57, "EPSG:32633")

    def test_prompts_by_polygon_come_from_a_layer_of_their_own(self, worker: Client, area: str, layers: Path, tmp_path: Path) -> None:
        ask = {"aoi": str(layers), "layer": "aoi", "prompt_field": "use", "prompt_layer": {"path": str(layers), "layer": "prompts"}}
        made = worker.good("run", request=generate(ask), output=str(tmp_path / "out.tif"))
        assert [region["prompt"] for region in made["request"]["regions"]] == ["a forest", "a lake"]
        alone = tmp_path / "prompts.gpkg"
        geopandas.read_file(layers, layer="prompts").to_file(alone)
        cli("generate", "--aoi", area, "--prompt-field", "use", "--prompt-layer", alone, *quick(), tmp_path / "cli.tif")
        same(pixels(tmp_path / "out.tif"), pixels(tmp_path / "cli.tif"))

    @pytest.mark.slow
    def test_two_runs_load_the_model_once_and_another_number_type_anew(self, start: Callable[..., Client], area: str, tmp_path: Path) -> None:
        client, loads = start("-u", "-c", COUNTING).greet(), []
        request = generate(aoi=area)
        for number, dtype in enumerate(("fp32", "fp32", "bf16", "fp32")):
            made = client.good("run", request=request, output=str(tmp_path / f"{number}.tif"), runtime={"dtype": dtype, "on_cancel": "stay"})
            assert made["run"]["dtype"] == {"fp32": "float32", "bf16": "bfloat16"}[dtype]
            loads.append(b"".join(client._stderr).count(b"LOADED"))
        first, second, third, fourth = loads
        assert (second - first, third - first, fourth - first) == (0, 1, 2)
        same(pixels(tmp_path / "0.tif"), pixels(tmp_path / "1.tif"))
        same(pixels(tmp_path / "0.tif"), pixels(tmp_path / "3.tif"))

    def test_an_image_is_extended(self, worker: Client, area: str, tmp_path: Path) -> None:
        worker.good("run", request=generate(aoi=area), output=str(tmp_path / "old.tif"), runtime={"sidecar": False})
        asked = {"task": "extend", "existing": str(tmp_path / "old.tif"), "ask": {"aoi": area, "buffer_m": 100}}
        made = worker.good("run", request=asked, output=str(tmp_path / "new.tif"), runtime={"sidecar": False})
        cli("extend", tmp_path / "old.tif", "--aoi", area, "--buffer", "100", tmp_path / "cli.tif")
        same(pixels(tmp_path / "new.tif"), pixels(tmp_path / "cli.tif"))
        assert names(tmp_path)[1:] == ["cli.stac.json", "cli.tif", "new.tif", "old.tif"]
        assert made["metadata"]["width"] > 70

    def test_a_raster_is_inpainted(self, worker: Client, tmp_path: Path) -> None:
        scene, classes = (Path(__file__).parents[2] / "examples" / name for name in ("cloudy.tif", "cloudy_classes.tif"))
        quick = {"num_inference_steps": 2, "guidance_scale": 1}
        asked = {"task": "inpaint", "raster": str(scene), "ask": {"mask": str(classes), "mask_values": [3, 8, 9, 10], **quick}}
        made = worker.good("run", request=asked, output=str(tmp_path / "out.tif"), runtime={"sidecar": False})
        options = ["--mask", classes, "--mask-values", "3,8,9,10", "--num-inference-steps", "2", "--guidance-scale", "1"]
        cli("inpaint", scene, *options, tmp_path / "cli.tif")
        with rasterio.open(tmp_path / "out.tif") as mine, rasterio.open(tmp_path / "cli.tif") as theirs:
            here, there = mine.read().astype(int), theirs.read().astype(int)
        # The two may run in batches of other sizes, which may move a made pixel by one grey level of what the model sees.
        low, high = made["request"]["references"][0]["stretch"][0]
        kept = here[-1] == 0
        assert np.array_equal(here[-1], there[-1]) and np.array_equal(here[:, kept], there[:, kept]) and len(here) == 5
        assert np.abs(here - there).max() <= (high - low) / 255 + 1
        assert made["request"]["references"][0]["name"] == "cloudy.tif" and made["metadata"]["synthetic"] == "PART"
        assert any("B08" in warning for warning in made["warnings"])

    def test_warnings_are_told_at_once_and_again_at_the_end(self, worker: Client, area: str) -> None:
        before = len(worker.heard)
        planned = worker.good("plan", request=generate(aoi=area, date="2021-07-01", cloud_cover=30))
        logs = [event["message"] for event in worker.heard[before:] if event["event"] == "log" and event["level"] == "warning"]
        assert logs == planned["warnings"] and len(logs) == 2 and "not taught a date" in logs[0]

    def test_progress_grows_through_the_stages(self, worker: Client, area: str, tmp_path: Path) -> None:
        before = len(worker.heard)
        worker.good("run", request=generate(aoi=area, num_inference_steps=12), output=str(tmp_path / "out.tif"))
        steps = [event for event in worker.heard[before:] if event["event"] == "progress"]
        assert list(dict.fromkeys(step["stage"] for step in steps)) == ["load", "sample", "write"]
        assert all(step["id"] == "1" and 0 <= step["done"] <= step["total"] for step in steps)
        sampled = [step for step in steps if step["stage"] == "sample"]
        assert sampled[-1]["done"] == sampled[-1]["total"] and [step["done"] for step in sampled] == sorted(step["done"] for step in sampled)


def slanted() -> dict[str, Any]:
    """What is asked for a slanted area of 400 x 320 px."""
    ring = [(500_000, 5_100_000), (504_000, 5_100_300), (503_500, 5_103_200), (500_700, 5_103_110)]
    return generate(aoi=Polygon(ring).wkt, aoi_crs="EPSG:32633", crs="EPSG:32633", prompt="fields", seed=9)


@pytest.fixture(scope="module")
def whole(worker: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The picture of all of it."""
    out = tmp_path_factory.mktemp("whole") / "whole.tif"
    worker.good("run", request=slanted(), output=str(out))
    return out


class TestPreview:
    @pytest.mark.parametrize("point", [(502_004, 5_101_600), (500_900, 5_100_700), (503_300, 5_102_900)], ids=["middle", "lower left", "upper right"])
    def test_it_is_that_part_of_the_whole(self, worker: Client, whole: Path, tmp_path: Path, point: tuple[float, float]) -> None:
        out = tmp_path / "part.tif"
        preview = {"x": point[0], "y": point[1], "crs": "EPSG:32633", "size": 128}
        worker.good("run", request=slanted(), output=str(out), preview=preview)
        with rasterio.open(out) as part, rasterio.open(whole) as full:
            (row, col), (at_row, at_col) = full.index(*part.xy(0, 0)), full.index(*point)
            window = Window(col, row, part.width, part.height)
            assert part.crs == full.crs and part.transform == full.window_transform(window)
            assert row <= at_row < row + part.height and col <= at_col < col + part.width
            assert part.shape == (min(at_row + 64, full.height) - row, min(at_col + 64, full.width) - col)
        same(pixels(out), pixels(whole, window))
        assert pixels(out)[1].any()

    def test_the_point_has_a_coordinate_system_of_its_own(self, worker: Client, whole: Path) -> None:
        preview = {"x": 15.026, "y": 46.066, "crs": "EPSG:4326"}
        planned = worker.good("plan", request=slanted(), preview=preview)
        assert (planned["grid"]["width"], planned["grid"]["height"]) == (256, 256)
        assert planned["grid"]["lon"] == pytest.approx(15.026, abs=2e-4) and planned["grid"]["lat"] == pytest.approx(46.066, abs=2e-4)
        with rasterio.open(whole) as full:
            assert planned["grid"]["crs"] == "EPSG:32633" and full.width > 256

    def test_a_grid_may_be_turned(self, worker: Client) -> None:
        like = RASTERS / "transforms" / "au-3577-rotated.tif"
        centre = worker.good("info", path=str(like))["metadata"]
        preview = {"x": centre["center_lon"], "y": centre["center_lat"], "crs": "EPSG:4326", "size": 20}
        cells = worker.good("plan", request=generate(like=str(like)), preview=preview)["grid"]
        assert (cells["width"], cells["height"]) == (20, 20)
        pixel = centre["gsd_m"] / 111_000
        assert (cells["lon"], cells["lat"]) == pytest.approx((centre["center_lon"], centre["center_lat"]), abs=pixel)

    @pytest.mark.parametrize("place", [{"x": 0.0, "y": 0.0, "crs": "EPSG:4326"}, {"x": 1e30, "y": 1e30, "crs": "EPSG:4326"}])
    def test_a_point_far_away_is_an_error(self, worker: Client, place: dict[str, Any]) -> None:
        error = worker.ask("plan", request=slanted(), preview=place)
        assert error["code"] == "aoi_invalid" and "too far" in error["message"]

    def test_of_an_extension_the_old_pixels_stay(self, worker: Client, area: str, tmp_path: Path) -> None:
        worker.good("run", request=generate(aoi=area), output=str(tmp_path / "old.tif"))
        asked = {"task": "extend", "existing": str(tmp_path / "old.tif"), "ask": {"aoi": area, "buffer_m": 300}}
        worker.good("run", request=asked, output=str(tmp_path / "new.tif"))
        preview = {"x": 14.5, "y": 46.0, "crs": "EPSG:4326", "size": 40}
        worker.good("run", request=asked, output=str(tmp_path / "part.tif"), preview=preview)
        with rasterio.open(tmp_path / "part.tif") as part, rasterio.open(tmp_path / "new.tif") as full:
            row, col = full.index(*part.xy(0, 0))
        same(pixels(tmp_path / "part.tif"), pixels(tmp_path / "new.tif", Window(col, row, 40, 40)))


class TestFacts:
    def test_a_plan_is_that_of_the_command_line(self, worker: Client, area: str) -> None:
        planned = worker.good("plan", request=generate(aoi=area, gsd=7.5, prompt="a wood"))
        assert planned["plan"] == json.loads(cli("plan", "--json", "--aoi", area, "--gsd", "7.5", "--prompt", "a wood", *quick()))
        request = Request.model_validate(planned["request"])
        assert (request.prompt, request.grid.width) == ("a wood", planned["grid"]["width"])
        assert planned["grid"]["gsd_m"] == pytest.approx(7.5, rel=1e-2)

    def test_a_request_that_would_fill_a_line_is_left_out_of_answers_and_written(self, worker: Client, area: str, tmp_path: Path) -> None:
        asked = generate(aoi=area, prompt="x" * 600_000)
        assert worker.good("plan", request=asked)["request"] is None
        assert worker.good("request", request=asked, output=str(tmp_path / "r.json"))["request"] is None
        assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["prompt"] == "x" * 600_000

    def test_a_request_in_a_file_makes_the_same_pixels_at_the_command_line(self, worker: Client, area: str, tmp_path: Path) -> None:
        asked = generate(aoi=area, prompt="a lake", seed=12)
        made = worker.good("run", request=asked, output=str(tmp_path / "out.tif"))
        file = tmp_path / "out.request.json"
        assert worker.good("request", request=asked, output=str(file))["request"] == made["request"]
        cli("generate", "--request", file, tmp_path / "again.tif")
        same(pixels(tmp_path / "again.tif"), pixels(tmp_path / "out.tif"))
        # A program keeps the complete request of a run and has it written, or made again, later.
        written = worker.good("request", request=made["request"], output=str(file))
        assert written["outputs"] == [{"role": "request", "path": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}]
        assert json.loads(file.read_text(encoding="utf-8")) == made["request"]
        worker.good("run", request=made["request"], output=str(tmp_path / "third.tif"))
        same(pixels(tmp_path / "third.tif"), pixels(tmp_path / "out.tif"))

    def test_a_file_tells_what_rsgeo_info_prints(self, worker: Client, area: str, layers: Path) -> None:
        raster = RASTERS / "crs" / "small-rgb-tile.tif"
        for path, fields in ((area, {}), (str(raster), {}), (str(layers), {"layer": "aoi"})):
            options = [word for name, value in fields.items() for word in (f"--{name}", value)]
            assert worker.good("info", path=path, **fields)["metadata"] == json.loads(cli("info", "--json", path, *options))

    def test_the_worker_describes_what_it_has(self, worker: Client) -> None:
        found = worker.good("describe")
        assert found["tasks"] == ["generate", "extend", "inpaint", "superres", "predict"] and found["python"] == sys.executable
        assert found["devices"][0]["kind"] == "cpu" and found["versions"]["torch"]
        mini = next(model for model in found["models"] if model["name"] == "rsgeo-mini")
        assert mini["tasks"] == ["generate", "inpaint", "extend"] and mini["default_for"] == ["generate"]
        assert mini["weights"] == "present" and (mini["gsd_min"], mini["gsd_native"], mini["gsd_max"]) == (0.6, 10.0, 20.0)
        steps = next(parameter for parameter in mini["parameters"] if parameter["name"] == "num_inference_steps")
        assert (steps["default"], steps["minimum"], steps["maximum"]) == (12, 1, 1000)
        assert {parameter["name"] for parameter in found["runtime"]} == {"device", "dtype", "batch_size"}


class TestErrors:
    @pytest.mark.parametrize(
        "code, words, asked",
        [
            ("aoi_invalid", "Say where", {}),
            ("aoi_invalid", "no area", {"aoi": "POLYGON ((1 1, 2 2, 1 1, 1 1))", "aoi_crs": "EPSG:4326"}),
            ("aoi_invalid", "not valid WKT", {"aoi": "POLYGON ((1 1", "aoi_crs": "EPSG:4326"}),
            ("crs_unsupported", "EPSG:123456", {"bounds": [14.5, 46, 14.51, 46.01], "crs": "EPSG:123456"}),
            ("no_reference", "where it lies", {"like": str(RASTERS / "transforms" / "float_nocrs_southup.tif")}),
            ("aoi_too_large", "--max-pixels", {"bounds": [0, 40, 10, 50], "crs": "EPSG:3035"}),
            ("weights_missing", "rsgeo-mini", {"bounds": [14.5, 46, 14.51, 46.01], "model": "rsgeo-maxi"}),
            ("bad_request", "colour", {"bounds": [14.5, 46, 14.51, 46.01], "colour": "red"}),
            ("bad_request", "seed", {"bounds": [14.5, 46, 14.51, 46.01], "seed": 1.5}),
            ("bad_request", "percentage", {"bounds": [14.5, 46, 14.51, 46.01], "cloud_cover": 300}),
        ],
    )
    def test_what_is_asked_wrong_has_a_code_a_sentence_and_a_hint(self, worker: Client, code: str, words: str, asked: dict[str, Any]) -> None:
        error = worker.ask("plan", request=generate(**asked))
        assert (error["event"], error["code"]) == ("error", code)
        assert words in error["message"] and error["message"].endswith(".") and error["hint"].endswith(".")

    def test_an_unknown_task_or_version_is_a_bad_request(self, worker: Client, area: str) -> None:
        for request in ({"task": "dream"}, {}, {**generate(aoi=area), "schema_version": 2}, {"grid": {}}):
            assert worker.ask("plan", request=request)["code"] == "bad_request"

    def test_a_place_that_cannot_be_written_is_told_before_any_work(self, worker: Client, area: str, tmp_path: Path) -> None:
        (tmp_path / "there.tif").write_text("mine")
        for name, words in (("there.tif", "exists"), ("no folder/out.tif", "does not exist"), ("out.png", ".tif")):
            error = worker.ask("run", request=generate(aoi=area), output=str(tmp_path / name))
            assert error["code"] == "write_failed" and words in error["message"]
        assert (tmp_path / "there.tif").read_text() == "mine" and names(tmp_path) == ["there.tif"]
        assert worker.ask("request", request=generate(aoi=area), output=str(tmp_path / "no folder" / "r.json"))["code"] == "write_failed"

    def test_a_device_that_is_not_there(self, worker: Client, area: str, tmp_path: Path) -> None:
        kinds = [device["kind"] for device in worker.good("describe")["devices"]]
        missing = next(kind for kind in ("mps", "cuda") if kind not in kinds)
        error = worker.ask("run", request=generate(aoi=area), output=str(tmp_path / "out.tif"), runtime={"device": missing})
        assert error["code"] == "device_unavailable" and missing in error["message"]

    def test_every_code_of_an_error_has_a_hint(self) -> None:
        def caused(error: Exception, cause: Exception) -> Exception:
            error.__cause__ = cause
            return error

        full = OSError(errno.ENOSPC, "No space left on device")
        for code, failure in (
            ("out_of_memory", MemoryError()),
            ("out_of_memory", RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")),
            ("no_space", full),
            ("no_space", caused(OutputError("a.tif cannot be written."), full)),
            ("no_space", NoSpaceError("The disk is full.")),
            ("torch_missing", ModuleNotFoundError("No module named 'torch'", name="torch")),
            ("internal", ZeroDivisionError("division by zero")),
        ):
            error = faults.error("1", failure)
            assert error.code == code and error.message.endswith(".") and error.hint == faults.HINTS[code]
