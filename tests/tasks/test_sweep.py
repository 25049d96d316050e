"""Sweeps: what a dial does is measured against chance, and a dial that does nothing is said to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from PIL import Image

import rsgeo
from rsgeo.cli import main
from rsgeo.errors import RsgeoError, RsgeoWarning
from rsgeo.geo.provenance import synthetic_state
from rsgeo.runtime import Runtime
from rsgeo.tasks import sweep as task
from rsgeo.tasks.sweep import SweepAsk

QUICK: dict[str, Any] = {"num_inference_steps": 2, "guidance_scale": 1.0, "samples": 2}
FP32 = Runtime(dtype="fp32", batch_size=4)


def table(pictures: np.ndarray[Any, Any]) -> task.SweepResult:
    """The table of given pictures, (value, seed, height, width, 3)."""
    labels = [str(number) for number in range(len(pictures))]
    return task._table(SweepAsk("gsd", labels, samples=pictures.shape[1]), labels, pictures.astype(np.uint8), None)


def seeds(rng: np.random.Generator, spread: float, count: int = 8) -> np.ndarray[Any, Any]:
    """Pictures of one value whose mean colours spread by ``spread`` grey levels between seeds."""
    base = 120 + spread * rng.standard_normal((count, 1, 1, 1))
    return np.clip(base + rng.normal(0, 10, (count, 32, 32, 3)), 0, 255)


def test_a_shift_is_told_in_grey_levels_and_against_the_spread_between_seeds() -> None:
    plain = np.rint(seeds(np.random.default_rng(0), 8.0))
    found = table(np.stack([plain, plain + 20, plain + 1]))
    assert found.rows[1].colour == pytest.approx(20) and found.rows[1].picture == pytest.approx(20)
    assert found.rows[1].structure == pytest.approx(0, abs=1e-9)
    assert found.colour_floor == pytest.approx(plain.mean(axis=(1, 2)).std(axis=0, ddof=1).mean() * (2 / 8) ** 0.5)
    assert [row.verdict for row in found.rows] == ["compared with", "changes colour", "changes almost nothing"]
    assert found.verdict == "gsd changes the picture of rsgeo-mini at 1 of 2 values."


def test_a_smoother_picture_is_another_structure() -> None:
    sharp = seeds(np.random.default_rng(1), 3.0)
    smooth = (sharp + np.roll(sharp, 1, axis=1) + np.roll(sharp, 1, axis=2)) / 3
    found = table(np.stack([sharp, smooth]))
    assert found.rows[1].verdict == "changes structure" and found.rows[1].structure > 2


def test_pictures_of_other_seeds_are_alike() -> None:
    rng = np.random.default_rng(2)
    verdicts = [table(np.stack([seeds(rng, 8.0), seeds(rng, 8.0)])).rows[1].verdict for _ in range(20)]
    assert verdicts.count("draws another, alike") > 5 and "changes almost nothing" not in verdicts


def test_gsd_changes_rsgeo_mini() -> None:
    found = rsgeo.sweep("gsd", [0.6, 10], prompt="a town", runtime=FP32, samples=4, num_inference_steps=6)
    assert found.pictures.shape == (2, 3, 64, 64, 3) and found.path is None
    assert found.rows[1].verdict == "changes colour and structure" and found.rows[1].structure > 2 * found.structure_floor


@pytest.mark.parametrize(("field", "values"), [("date", ["2019-01", "2021-07-09"]), ("cloud_cover_percent", ["0", "90", "unknown"])])
def test_what_was_never_taught_changes_nothing_and_that_is_said(field: str, values: list[str]) -> None:
    with pytest.warns(RsgeoWarning, match=f"rsgeo-mini was not taught {field}"):
        found = rsgeo.sweep(field, values, runtime=FP32, **QUICK)
    assert {row.verdict for row in found.rows[1:]} == {"changes nothing"} and found.verdict == f"{field} changes nothing in rsgeo-mini."


def test_values_that_the_model_does_not_know_are_told() -> None:
    with pytest.warns(RsgeoWarning, match="knows 0.6 to 20 m; it sees 0.1 as 0.6, 50 as 20"):
        found = rsgeo.sweep("gsd", ["0.6", "0.1", "50"], runtime=FP32, **QUICK)
    assert found.rows[1].verdict == "changes nothing"
    with pytest.warns(RsgeoWarning, match="knows places in Europe only; it sees 120 as unknown"):
        rsgeo.sweep("lon", [10, 120], runtime=FP32, **QUICK)


def test_a_picture_depends_on_its_value_alone() -> None:
    there = rsgeo.sweep("lat", ["40", "60", "unknown"], runtime=FP32, **QUICK)
    back = rsgeo.sweep("lat", ["unknown", "60", "40"], runtime=FP32, **QUICK)
    np.testing.assert_array_equal(there.pictures, back.pictures[::-1])


def test_the_picture_shows_every_value_and_carries_the_marks(tmp_path: Path) -> None:
    out = tmp_path / "gsd.png"
    found = rsgeo.sweep("gsd", ["5", "10"], out, prompt="a lake\nin ümlaut", runtime=Runtime(dtype="fp32", batch_size=4, reproducible=True), **QUICK)
    with rasterio.open(out) as dataset:
        assert synthetic_state(dataset) == "ALL"
    picture = Image.open(out)
    text = picture.text  # type: ignore[attr-defined]
    assert "trainedAlgorithmicMedia" in text["XML:com.adobe.xmp"] and text["Description"].startswith("SYNTHETIC IMAGE")
    assert json.loads(text["RSGEO_SWEEP"])["values"] == ["5", "10"]
    pixels = np.asarray(picture)
    for of_value in found.pictures:
        for tile in of_value:
            large = tile.repeat(2, axis=0).repeat(2, axis=1)
            windows = np.lib.stride_tricks.sliding_window_view(pixels, large.shape)[:, :, 0]
            assert (windows[..., 0, 0, :] == large[0, 0]).all(axis=-1).any()
            spots = np.argwhere((windows[..., 0, 0, :] == large[0, 0]).all(axis=-1))
            assert any((windows[row, col] == large).all() for row, col in spots)
    again = tmp_path / "again.png"
    rsgeo.sweep("gsd", ["5", "10"], again, prompt="a lake\nin ümlaut", runtime=Runtime(dtype="fp32", batch_size=4, reproducible=True), **QUICK)
    assert again.read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"field": "colour"}, "There is no field 'colour'"),
        ({"values": ["10"]}, "from 2 to 24 values, got 1"),
        ({"values": ["10", " 10"]}, "names 10 twice"),
        ({"values": ["10", "much"]}, "'much' is no value of gsd"),
        ({"values": ["10", "nan"]}, "gsd must be from 0.001 to 100000, got nan"),
        ({"values": ["10", "0"]}, "gsd must be from"),
        ({"field": "lat", "values": ["10", "91"]}, "lat must be from -90 to 90"),
        ({"field": "date", "values": ["2020-01", "soon"]}, '"soon" is not a date'),
        ({"lat": 95.0}, "lat must be from -90 to 90"),
        ({"cloud_cover": 101.0}, "cloud_cover_percent must be from 0 to 100"),
        ({"samples": 1}, "--samples must be from 2 to 64"),
        ({"values": [str(number) for number in range(1, 21)], "samples": 64}, "are 1280 pictures; take fewer"),
        ({"seed": -1}, "--seed must be"),
        ({"num_inference_steps": 0}, "--num-inference-steps must be"),
        ({"guidance_scale": -1.0}, "--guidance-scale must be"),
        ({"model": "rsgeo-maxi"}, "There is no model or folder 'rsgeo-maxi'"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(asked: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(RsgeoError, match=message):
        rsgeo.sweep(**{"field": "gsd", "values": ["5", "10"], **QUICK, **asked}, out=tmp_path / "out.png")
    assert not list(tmp_path.iterdir())


def test_the_command_prints_the_table(tmp_path: Path) -> None:
    quick = ["--num-inference-steps", "2", "--guidance-scale", "1", "--samples", "2", "--batch-size", "4", "--dtype", "fp32"]
    out = str(tmp_path / "lon.png")
    done = CliRunner().invoke(main, ["sweep", "--field", "lon", "--values", "-10,10", *quick, out])
    assert done.exit_code == 0, done.output
    assert "by chance" in done.stdout and "compared with" in done.stdout and f"written {out}" in done.stdout
    again = CliRunner().invoke(main, ["sweep", "--field", "lon", "--values", "-10,10", *quick, out])
    assert again.exit_code == 1 and "exists" in again.output
    spoken = CliRunner().invoke(main, ["sweep", "--field", "lon", "--values", "-10,10", *quick, "--json", "--overwrite", out])
    assert [row["value"] for row in json.loads(spoken.stdout)["rows"]] == ["-10", "10"]
