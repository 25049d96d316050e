"""A job through a kill, a full disk and a folder that became read-only: one clear error, nothing half done, and it goes on afterwards."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rsgeo
from rsgeo.errors import CancelledError, OutputError
from rsgeo.runtime import Progress, Runtime
from rsgeo.synthesis import blocks

# 420 x 400 px, four blocks of the picture.
BOUNDS = {"bounds": (500_000, 5_100_000, 504_200, 5_104_000), "aoi_crs": "EPSG:32633", "crs": "EPSG:32633", "prompt": "forest", "seed": 3}


@pytest.fixture(autouse=True)
def any_area_is_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_SMALL", 0)


@pytest.fixture(scope="module")
def whole(make: Callable[..., rsgeo.Result], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of an undisturbed run."""
    path = tmp_path_factory.mktemp("whole") / "out.tif"
    make(path, **BOUNDS, runtime=Runtime(sidecar=False, reproducible=True))
    return path.read_bytes()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own, of 64 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("only root may mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def finish(make: Callable[..., rsgeo.Result], out: Path, whole: bytes) -> list[Progress]:
    """Run to the end, see that the file is the undisturbed one and that nothing else is left, and give the progress."""
    steps: list[Progress] = []
    make(out, **BOUNDS, runtime=Runtime(sidecar=False, reproducible=True, progress=steps.append))
    assert out.read_bytes() == whole
    assert [path.name for path in out.parent.iterdir()] == ["out.tif"]
    return [step for step in steps if step.stage == "synthesis"]


def at(stage: str, share: float, act: Callable[[], None]) -> Runtime:
    """A runtime that does something once, when ``share`` of a stage is done."""
    left = [act]

    def note(step: Progress) -> None:
        if left and step.stage == stage and step.done >= share * step.total:
            left.pop()()

    return Runtime(sidecar=False, reproducible=True, progress=note)


KILLED = """
    import os, signal, sys
    import rsgeo
    from rsgeo.runtime import Runtime
    from rsgeo.synthesis import blocks
    blocks._SMALL = 0
    out, stage, share = sys.argv[1], sys.argv[2], float(sys.argv[3])
    def note(step):
        if step.stage == stage and step.done >= share * step.total:
            os.kill(os.getpid(), signal.SIGKILL)
    runtime = Runtime(sidecar=False, reproducible=True, progress=note)
    rsgeo.generate(out, runtime=runtime, num_inference_steps=2, guidance_scale=1.0, **eval(sys.argv[4]))
"""


def test_kill_9_loses_only_the_block_at_hand(make: Callable[..., rsgeo.Result], whole: bytes, tmp_path: Path) -> None:
    out = tmp_path / "out.tif"
    for stage, share in (("synthesis", 0.6), ("write", 0.4)):
        script = [sys.executable, "-c", textwrap.dedent(KILLED), str(out), stage, str(share), repr(BOUNDS)]
        run = subprocess.run(script, capture_output=True, text=True)
        assert run.returncode == -9, run.stderr
        assert not out.exists()
    steps = finish(make, out, whole)
    assert not steps or steps[0].done > 0.1 * steps[0].total


@pytest.mark.parametrize("stage, share", [("synthesis", 0.5), ("write", 0.4), ("write", 1.0)])
def test_a_full_disk_is_one_sentence_and_the_job_goes_on_when_there_is_room(
    stage: str, share: float, make: Callable[..., rsgeo.Result], whole: bytes, disk: Path
) -> None:
    out, filler = disk / "out.tif", disk / "filler"

    def fill() -> None:
        with filler.open("wb") as file:
            try:
                while True:
                    file.write(bytes(2**16))
                    file.flush()
            except OSError:
                pass

    with pytest.raises(OutputError, match="disk is full") as caught:
        make(out, **BOUNDS, runtime=at(stage, share, fill))
    assert str(caught.value).count(".") >= 1 and "\n" not in str(caught.value)
    assert sorted(path.name for path in disk.iterdir()) == ["filler", "out.tif.job"]
    filler.unlink()
    steps = finish(make, out, whole)
    assert not steps or steps[0].done > 0.1 * steps[0].total


@pytest.mark.parametrize("stage, share", [("synthesis", 0.5), ("write", 0.4)])
def test_a_limit_on_file_sizes_is_one_sentence_too(stage: str, share: float, make: Callable[..., rsgeo.Result], whole: bytes, tmp_path: Path) -> None:
    out, (soft, hard) = tmp_path / "out.tif", resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(OutputError, match=r"disk is full|could not be written to its end"):
            make(out, **BOUNDS, runtime=at(stage, share, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["out.tif.job"]
    finish(make, out, whole)


def test_a_read_only_folder_is_one_sentence_and_the_job_goes_on_when_it_is_not(
    make: Callable[..., rsgeo.Result], whole: bytes, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()

    def allow(writing: bool) -> None:
        folder.chmod(0o700 if writing else 0o500)

    if os.geteuid() == 0:  # whom modes do not stop
        folder = request.getfixturevalue("disk")

        def allow(writing: bool) -> None:
            subprocess.run(["mount", "-o", f"remount,{'rw' if writing else 'ro'}", folder], check=True)

    out, stopped = folder / "out.tif", [False]
    with pytest.raises(CancelledError):
        make(out, **BOUNDS, runtime=Runtime(sidecar=False, reproducible=True, cancelled=lambda: stopped[0], progress=half_way(stopped)))
    allow(False)
    try:
        with pytest.raises(OutputError, match=r"is read-only; choose another place for out\.tif"):
            make(out, **BOUNDS)
        assert [path.name for path in folder.iterdir()] == ["out.tif.job"]
    finally:
        allow(True)
    steps = finish(make, out, whole)
    assert steps[0].done > 0.1 * steps[0].total


def half_way(stopped: list[bool]) -> Callable[[Progress], None]:
    """Notes in ``stopped`` when half of the evaluations are done."""

    def note(step: Progress) -> None:
        stopped[0] = stopped[0] or (step.stage == "synthesis" and step.done >= step.total / 2)

    return note
