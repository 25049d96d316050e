"""A large area is a job: interrupted, it goes on where it stopped, and ends in the same file."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import rsgeo
from rsgeo.errors import CancelledError, OutputError, RsgeoWarning
from rsgeo.geo import raster_read
from rsgeo.runtime import Progress, Runtime
from rsgeo.synthesis import blocks

# 500 x 420 px.
BOUNDS = {"bounds": (500_000, 5_100_000, 505_000, 5_104_200), "aoi_crs": "EPSG:32633", "crs": "EPSG:32633", "prompt": "forest", "seed": 3}


@pytest.fixture(autouse=True)
def any_area_is_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_SMALL", 0)


@pytest.fixture(scope="module")
def whole(make: Callable[..., rsgeo.Result], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "out.tif"
    make(path, **BOUNDS, runtime=Runtime(sidecar=False, reproducible=True))
    assert [file.name for file in path.parent.iterdir()] == ["out.tif"]
    return path


def stop_after(share: float, **options: Any) -> Runtime:
    """A runtime that is told to stop when ``share`` of the work is done."""
    state = {"done": 0.0}

    def note(step: Progress) -> None:
        if step.stage == "synthesis":
            state["done"] = step.done / step.total

    return Runtime(sidecar=False, reproducible=True, progress=note, cancelled=lambda: state["done"] >= share, **options)


def test_an_interrupted_run_goes_on_and_gives_the_same_file(make: Callable[..., rsgeo.Result], whole: Path, tmp_path: Path) -> None:
    out, steps = tmp_path / "out.tif", []
    for share in (0.3, 0.7):
        with pytest.raises(CancelledError, match=r"out\.tif\.job, and the same command goes on"):
            make(out, **BOUNDS, runtime=stop_after(share))
        assert [path.name for path in tmp_path.iterdir()] == ["out.tif.job"]
    make(out, **BOUNDS, runtime=Runtime(sidecar=False, reproducible=True, progress=steps.append))
    first = next(step for step in steps if step.stage == "synthesis")
    assert first.done > 0.4 * first.total
    assert [path.name for path in tmp_path.iterdir()] == ["out.tif"]
    assert raster_read.pixels_sha256(out) == raster_read.pixels_sha256(whole)
    assert out.read_bytes() == whole.read_bytes()


def test_the_work_of_another_request_is_kept_until_fresh_is_said(make: Callable[..., rsgeo.Result], tmp_path: Path) -> None:
    out = tmp_path / "out.tif"
    with pytest.raises(CancelledError):
        make(out, **BOUNDS, runtime=stop_after(0.2))
    other = {**BOUNDS, "seed": 4}
    with pytest.raises(OutputError, match="--fresh"):
        make(out, **other, runtime=stop_after(0.1))
    with pytest.raises(CancelledError):
        make(out, **other, runtime=replace(stop_after(0.1), fresh=True))


def test_a_job_keeps_the_batch_size_it_began_with(make: Callable[..., rsgeo.Result], tmp_path: Path) -> None:
    out = tmp_path / "out.tif"
    with pytest.raises(CancelledError):
        make(out, **BOUNDS, runtime=stop_after(0.2, batch_size=8))
    with pytest.warns(RsgeoWarning, match="batch_size 8; so has this one"), pytest.raises(CancelledError):
        make(out, **BOUNDS, runtime=stop_after(0.3, batch_size=4))
    with warnings.catch_warnings(), pytest.raises(CancelledError):
        warnings.simplefilter("error", RsgeoWarning)
        make(out, **BOUNDS, runtime=stop_after(0.4))
