"""The same picture from Dask workers: same bytes, no pixel through the client, and a killed worker's blocks made by another."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster

import rsgeo
from rsgeo.errors import InputError, OutputError
from rsgeo.geo import raster_read
from rsgeo.runtime import Progress, Runtime
from rsgeo.synthesis.job import JobDir

BOUNDS = {"bounds": (500_000, 5_100_000, 507_000, 5_104_200), "aoi_crs": "EPSG:32633", "crs": "EPSG:32633", "prompt": "forest", "seed": 3}


@pytest.fixture(scope="module")
def here(make: Callable[..., rsgeo.Result], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hash of the pixels made in this process."""
    path = tmp_path_factory.mktemp("here") / "out.tif"
    make(path, **BOUNDS, runtime=Runtime(sidecar=False))
    return raster_read.pixels_sha256(path)


@pytest.mark.parametrize("workers", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_workers_make_the_same_pixels(make: Callable[..., rsgeo.Result], here: str, tmp_path: Path, workers: int) -> None:
    steps: list[Progress] = []
    make(tmp_path / "out.tif", **BOUNDS, runtime=Runtime(sidecar=False, workers=workers, progress=steps.append))
    assert raster_read.pixels_sha256(tmp_path / "out.tif") == here
    assert [path.name for path in tmp_path.iterdir()] == ["out.tif"]
    done = [step for step in steps if step.stage == "synthesis"]
    assert done[-1].done == done[-1].total > 0


def test_a_killed_worker_is_replaced(make: Callable[..., rsgeo.Result], here: str, tmp_path: Path) -> None:
    out = tmp_path / "out.tif"
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster, Client(cluster) as client:
        killed = threading.Event()

        def kill(step: Progress) -> None:
            if step.stage == "synthesis" and not killed.is_set():
                pid = next(iter(client.run(os.getpid).values()))
                os.kill(pid, signal.SIGKILL)
                killed.set()

        make(out, **BOUNDS, runtime=Runtime(sidecar=False, dask=cluster.scheduler_address, progress=kill))
        assert killed.is_set()
    assert raster_read.pixels_sha256(out) == here


def test_a_scheduler_that_does_not_answer_is_one_sentence(make: Callable[..., rsgeo.Result], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:9; start one"):
        make(tmp_path / "out.tif", **BOUNDS, runtime=Runtime(dask="tcp://127.0.0.1:9"))
    assert not (tmp_path / "out.tif").exists()


def test_a_worker_that_does_not_see_the_job_says_so(tmp_path: Path) -> None:
    from rsgeo.tasks.making import make_block

    with pytest.raises(OutputError, match="let all workers see that folder under the same path"):
        make_block(str(tmp_path / "gone"), "0", 0, 0, 0)


def test_descriptions_go_out_and_numbers_come_back(make: Callable[..., rsgeo.Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    came: list[tuple[type, ...]] = []
    submit, note = Client.submit, JobDir.note

    def watched_submit(self: Client, work: Any, *arguments: Any, **options: Any) -> Any:
        sent.append(len(pickle.dumps((work, arguments, options))))
        return submit(self, work, *arguments, **options)

    def watched_note(self: JobDir, block: Any, *numbers: Any) -> None:
        came.append(tuple(map(type, numbers)))
        note(self, block, *numbers)

    monkeypatch.setattr(Client, "submit", watched_submit)
    monkeypatch.setattr(JobDir, "note", watched_note)
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, silence_logs=50) as cluster:
        make(tmp_path / "out.tif", **BOUNDS, runtime=Runtime(sidecar=False, dask=cluster.scheduler_address))
    assert max(sent) < 2000 and set(came) == {(int, int)} and len(sent) == len(came) > 5
