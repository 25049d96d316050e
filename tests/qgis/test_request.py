"""What the worker is asked, from what was typed."""

from __future__ import annotations

import shlex

import pytest
from rsgeo_qgis import report, request

AREA = request.area_bounds(10.0, 50.0, 10.1, 50.1, "EPSG:4326")


def test_what_was_not_said_is_not_sent() -> None:
    asked = request.generate(AREA, prompt="  ", date=None, model="")
    assert asked == {"schema_version": 1, "task": "generate", "ask": {"bounds": [10.0, 50.0, 10.1, 50.1], "aoi_crs": "EPSG:4326"}}


def test_every_field_of_an_ask_is_one_of_rsgeo() -> None:
    rsgeo_request = pytest.importorskip("rsgeo.request", reason="rsgeo is not in this Python")
    asked = request.generate(
        request.area_file("a.gpkg", "aoi"),
        prompt="fields",
        negative_prompt="towns",
        by_polygon=request.prompts("a.gpkg", "prompts", "prompt"),
        gsd_m=10.0,
        crs="EPSG:32633",
        date="2024-05-06",
        cloud_cover=0.0,
        seed=0,
        steps=4,
        guidance=1.5,
        model="rsgeo-mini",
    )["ask"]
    assert rsgeo_request.Ask(**asked).gsd == "10"
    assert asked["cloud_cover"] == 0.0 and asked["seed"] == 0  # zero was said
    assert rsgeo_request.Ask(**AREA).aoi_crs == "EPSG:4326"
    assert rsgeo_request.Ask(**request.area_wkt("POLYGON ((0 0, 1 0, 0 1, 0 0))", "EPSG:4326")).aoi.startswith("POLYGON")


def test_what_is_inpainted_and_what_its_request_needs_again() -> None:
    asked = request.inpaint("a.tif", request.mask_raster("clouds.tif", "8, 9"), prompt=" a lake ", seed=0)
    ask = {"mask": "clouds.tif", "mask_values": [8, 9], "prompt": "a lake", "seed": 0}
    assert asked == {"schema_version": 1, "task": "inpaint", "raster": "a.tif", "ask": ask}
    made = {"request": {"references": [{"role": "known", "mask": {"kind": "raster"}}]}}
    assert request.references(asked, made) == ["a.tif", "clouds.tif"]
    command = request.command_line("o.request.json", "o.tif", windows=False, references=request.references(asked, made))
    assert command == "rsgeo generate --request o.request.json --reference a.tif --reference clouds.tif o.tif"
    of_area = request.inpaint("a.tif", request.mask_area("area.gpkg", "aoi"))
    assert request.references(of_area, {"request": {"references": [{"role": "known", "mask": {"kind": "area"}}]}}) == ["a.tif"]
    assert request.references(request.extend("b.tif", AREA), {"request": {"references": [{"role": "known", "mask": None}]}}) == ["b.tif"]
    assert request.references(request.extend("b.tif", AREA), {"request": {"references": []}}) == request.references(of_area, {}) == []
    rsgeo_request = pytest.importorskip("rsgeo.request", reason="rsgeo is not in this Python")
    assert rsgeo_request.Ask(**asked["ask"]).mask == "clouds.tif" and request.inpaint("a.tif", request.mask_nodata())["ask"] == {"mask": "nodata"}


@pytest.mark.parametrize(("value", "text"), [(10.0, "10"), (0.3, "0.3"), (0.1 + 0.2, "0.3"), (1 / 3, "0.333333333333333"), (1500.0, "1500")])
def test_a_gsd_is_the_decimal_that_was_typed(value: float, text: str) -> None:
    assert request.decimal(value) == text


def test_another_seed_changes_nothing_else() -> None:
    first = request.generate(AREA, prompt="fields", seed=1)
    second = request.with_seed(first, 2)
    assert second["ask"] == {**first["ask"], "seed": 2} and first["ask"]["seed"] == 1


def test_a_command_line_survives_the_shell() -> None:
    path = "/tmp dir/it's ä/out.tif"
    command = request.command_line(request.request_path(path), path, windows=False)
    assert shlex.split(command) == ["rsgeo", "generate", "--request", "/tmp dir/it's ä/out.request.json", path]
    on_windows = request.command_line("C:\\a b\\o.request.json", "C:\\o.tif", windows=True)
    assert on_windows == 'rsgeo generate --request "C:\\a b\\o.request.json" C:\\o.tif'


def test_progress_never_goes_back() -> None:
    way = report.Way()
    seen = []
    steps = [("load", 1, 1), ("sample", 5, 10), ("load", 1, 1), ("sample", 10, 10), ("write", 0, 0), ("write", 1, 1), ("new", 1, 2)]
    for stage, done, total in steps:
        way.step({"stage": stage, "done": done, "total": total})
        seen.append(way.percent)
    assert seen == sorted(seen) and seen[-1] == 100


def test_a_plan_in_words() -> None:
    lines = report.plan_lines(
        {"plan": {"memory_bytes": 667_029_733, "file_bytes": 96_368, "seconds": None}, "grid": {"width": 640, "height": 480, "gsd_m": 10.004}}
    )
    assert lines == ["Size: 640 × 480 px of 10 m", "Memory: about 0.67 GB", "File: about 0.096 MB", "Time: unknown until the model ran here once"]
    assert [report.duration(seconds) for seconds in (12.3, 240, 7200)] == ["12 s", "4 min", "2.0 h"]


def test_rasters_that_a_model_sees_are_asked_for_as_rsgeo_does() -> None:
    fine = request.superres(["s2.tif"], 2.5, AREA, bands="B02, B03,B04", radiometry="dn+1000", seed=3)
    then = request.predict(["a.tif", "b.tif"], "2021-06-01", dates="2016-05, 2018-05-01", truth="c.tif", model="texas")
    assert fine == {
        "schema_version": 1, "task": "superres", "references": ["s2.tif"],
        "ask": {**AREA, "gsd": "2.5", "band_names": ["B02", "B03", "B04"], "radiometry": "dn+1000", "seed": 3},
    }  # fmt: skip
    assert then == {
        "schema_version": 1, "task": "predict", "references": ["a.tif", "b.tif"], "truth": "c.tif",
        "ask": {"date": "2021-06-01", "reference_dates": ["2016-05", "2018-05-01"], "model": "texas"},
    }  # fmt: skip
    tasks = pytest.importorskip("rsgeo.worker.tasks", reason="rsgeo is not in this Python")
    for asked in (fine, then):
        said = {name: value for name, value in asked.items() if name != "task"}
        assert tasks.TASKS[asked["task"]].asked.model_validate(said).references == tuple(asked["references"])


def test_what_was_seen_is_given_again_for_the_same_pixels() -> None:
    fine = request.superres(["s2.tif"], 2.5)
    assert request.references(fine, {"request": {"references": [{"role": "low_res"}]}}) == ["s2.tif"]
