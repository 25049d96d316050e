"""A run that is stopped, by whatever means, leaves nothing that looks like a result."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from worker_client import LONG, Client, generate, names

LARGE = {"bounds": [500_000, 5_100_000, 516_000, 5_116_000], "aoi_crs": "EPSG:32633", "crs": "EPSG:32633"}
"""1600 x 1600 px: computed in a job directory."""


@pytest.fixture(params=["small", pytest.param("large", marks=pytest.mark.slow)])
def long(request: pytest.FixtureRequest, area: str) -> dict[str, Any]:
    """What takes far longer than any test: made in memory, and in a job directory."""
    return generate(**LONG, aoi=area) if request.param == "small" else generate(**LARGE)


def under_way(client: Client, request: dict[str, Any], out: Path, **runtime: Any) -> None:
    """Have a run begun, and wait until pixels are being computed."""
    client.tell("run", id="7", request=request, output=str(out), runtime=runtime)
    client.event("progress", stage="sample")


def test_a_cancelled_run_ends_the_process_and_leaves_no_file(start: Callable[..., Client], long: dict[str, Any], tmp_path: Path) -> None:
    client = start().greet()
    under_way(client, long, tmp_path / "out.tif")
    begun = time.monotonic()
    client.tell("cancel", id="7")
    assert client.end("7")["event"] == "cancelled"
    assert client.ended_within(1) and time.monotonic() - begun < 1
    assert client.process.returncode == 0 and names(tmp_path) == []
    assert client.stderr == ""


def test_a_run_is_cancelled_while_the_model_is_loaded_or_before_it_began(start: Callable[..., Client], area: str, tmp_path: Path) -> None:
    client = start().greet()
    client.tell("describe", id="1")
    client.tell("run", id="7", request=generate(**LONG, aoi=area), output=str(tmp_path / "out.tif"))
    client.tell("cancel", id="7")
    assert client.end("7")["event"] == "cancelled"
    assert client.ended_within(2) and names(tmp_path) == []


def test_a_warm_worker_stays_and_makes_the_next_picture(start: Callable[..., Client], long: dict[str, Any], area: str, tmp_path: Path) -> None:
    client = start().greet()
    under_way(client, long, tmp_path / "out.tif", on_cancel="stay")
    client.tell("cancel", id="7")
    client.tell("cancel", id="nobody asked for this")
    assert client.end("7")["event"] == "cancelled"
    assert names(tmp_path) == []
    client.tell("run", id="8", request=long, output=str(tmp_path / "out.tif"), runtime={"on_cancel": "stay"})
    client.tell("cancel", id="8")
    assert client.end("8")["event"] == "cancelled"
    client.good("run", "9", request=generate(aoi=area), output=str(tmp_path / "out.tif"))
    assert names(tmp_path) == ["out.qmd", "out.stac.json", "out.tif"]


def test_an_older_file_outlives_the_run_that_was_to_replace_it(start: Callable[..., Client], long: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out.tif"
    out.write_text("older")
    client = start().greet()
    under_way(client, long, out, overwrite=True)
    client.tell("cancel", id="7")
    assert client.ended_within(2)
    assert names(tmp_path) == ["out.tif"] and out.read_text() == "older"


def test_without_its_owner_a_worker_ends_and_leaves_no_file(start: Callable[..., Client], long: dict[str, Any], tmp_path: Path) -> None:
    client = start().greet()
    under_way(client, long, tmp_path / "out.tif")
    client.close()
    assert client.ended_within(2)
    assert names(tmp_path) == []


def test_a_finished_picture_outlives_its_worker(start: Callable[..., Client], area: str, tmp_path: Path) -> None:
    client = start().greet()
    client.good("run", request=generate(aoi=area), output=str(tmp_path / "out.tif"))
    client.tell("cancel", id="1")
    client.close()
    assert client.ended_within(2)
    assert names(tmp_path) == ["out.qmd", "out.stac.json", "out.tif"]


@pytest.mark.slow
def test_work_that_was_there_before_the_run_outlives_it(start: Callable[..., Client], tmp_path: Path) -> None:
    client = start().greet()
    under_way(client, generate(**LARGE), tmp_path / "out.tif")
    client.hear(lambda event: any((tmp_path / "out.tif.job" / "blocks").glob("*/*.npy")))
    client.process.send_signal(signal.SIGKILL)
    client.process.wait()
    assert names(tmp_path) == ["out.tif.job"]
    client = start().greet()
    under_way(client, generate(**LARGE), tmp_path / "out.tif")
    client.tell("cancel", id="7")
    assert client.end("7")["event"] == "cancelled" and client.ended_within(1)
    assert names(tmp_path) == ["out.tif.job"] and any((tmp_path / "out.tif.job" / "blocks").glob("*/*.npy"))


def test_an_interrupt_from_a_terminal_is_left_to_the_owner(start: Callable[..., Client], area: str, tmp_path: Path) -> None:
    client = start().greet()
    under_way(client, generate(**LONG, aoi=area), tmp_path / "out.tif")
    client.process.send_signal(signal.SIGINT)
    client.event("progress", id="7")
    client.tell("cancel", id="7")
    assert client.end("7")["event"] == "cancelled"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="without /proc it is not seen who runs")
def test_what_measures_a_new_machine_ends_with_the_worker(start: Callable[..., Client], area: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("RSGEO_CACHE", str(tmp_path / "cache"))
    client = start().greet()
    client.tell("run", id="7", request=generate(aoi=area), output=str(tmp_path / "out.tif"))
    client.event("log", level="info")
    until = time.monotonic() + 60
    while not (children := children_of(client.process.pid)) and time.monotonic() < until:
        time.sleep(0.1)
    assert children
    client.close()
    assert client.ended_within(2)
    until = time.monotonic() + 5
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert names(tmp_path) in (["cache"], [])


def children_of(pid: int) -> list[int]:
    """The processes that one has started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            found.append(int(status.parent.name))
    return found


def test_a_killed_worker_leaves_no_finished_file(start: Callable[..., Client], long: dict[str, Any], tmp_path: Path) -> None:
    client = start().greet()
    under_way(client, long, tmp_path / "out.tif")
    os.kill(client.process.pid, signal.SIGKILL)
    client.process.wait()
    assert not (tmp_path / "out.tif").exists() and not (tmp_path / "out.stac.json").exists()
