"""What this machine is good at is measured once, kept, and used."""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import rsgeo
from rsgeo.errors import RsgeoWarning
from rsgeo.geo import provenance
from rsgeo.hub import calibration, catalog
from rsgeo.hub.calibration import Calibration, Pace
from rsgeo.runtime import Progress, Runtime
from rsgeo.tasks import making

RECORD = catalog.find(catalog.DEFAULT_MODEL)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RSGEO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def kept(dtype: str = "bfloat16", batch_size: int = 8, **other: object) -> Calibration:
    """A calibration that no measurement on this machine would give."""
    import torch

    paces = tuple(Pace(dtype=name, batch_size=batch_size, seconds=0.01) for name in calibration.DTYPES)
    known = Calibration(
        model_sha256=catalog.model_sha256(RECORD), device="cpu", device_name=calibration._cpu_name(), threads=torch.get_num_threads(),
        start_seconds=1.0, dtype=dtype, batch_size=batch_size, paces=paces,
    )  # fmt: skip
    return known.model_copy(update=other)


def test_a_measurement_picks_the_faster_number_type_and_knows_its_pace() -> None:
    known = calibration.measure(RECORD, "cpu", start_seconds=1.5)
    fp32, bf16 = (known.pace(dtype, RECORD.defaults.batch_size) for dtype in calibration.DTYPES)
    assert fp32 is not None and bf16 is not None
    assert known.dtype == ("bfloat16" if bf16.seconds * 1.15 <= fp32.seconds else "float32")
    assert 1e-4 < min(fp32.seconds, bf16.seconds) < 1
    assert known.batch_size in (16, 32, 64)
    assert known.model_sha256 == catalog.model_sha256(RECORD) and known.start_seconds == 1.5


def test_starting_a_process_with_the_model_takes_its_time_and_no_python_none(monkeypatch: pytest.MonkeyPatch) -> None:
    # Python alone starts in hundredths of a second, torch does not.
    assert 0.5 < making._start_seconds(RECORD, "cpu") < 120
    monkeypatch.setattr(sys, "executable", "/there/is/none")
    assert making._start_seconds(RECORD, "cpu") == 0


def test_a_run_that_was_held_up_does_not_spoil_the_pace() -> None:
    trial = object.__new__(calibration._Trial)
    trial.batch_size, trial.device_bytes, trial.on_gpu, trial.times = 4, 0, True, [9.0]
    assert not trial.over  # a GPU's first run is its start
    trial.times += [0.4, 0.4, 5.0, 0.4]
    trial.evaluations = 8
    assert trial.over and trial.pace("float32").seconds == pytest.approx(0.4 / 8)


def test_the_first_run_measures_and_later_ones_do_as_it_found(make: Callable[..., rsgeo.Result], cache: Path) -> None:
    stages: list[str] = []

    def note(step: Progress) -> None:
        stages.append(step.stage)

    first = make(runtime=Runtime(progress=note))
    assert "calibrate" in stages and len(list(cache.rglob("*.json"))) == 1
    stages.clear()
    second = make(runtime=Runtime(progress=note))
    assert "calibrate" not in stages
    assert [run.run[name] for run in (first, second) for name in ("dtype", "batch_size")] == 2 * [first.run["dtype"], first.run["batch_size"]]


@pytest.mark.parametrize("dtype, batch_size", [("bfloat16", 8), ("float32", 4)])
def test_what_was_picked_runs_and_stands_in_the_marks(dtype: str, batch_size: int, make: Callable[..., rsgeo.Result], tmp_path: Path) -> None:
    calibration.keep(kept(dtype, batch_size))
    make(tmp_path / "out.tif", runtime=Runtime(sidecar=False))
    facts = provenance.read_request(tmp_path / "out.tif").run
    assert (facts["dtype"], facts["batch_size"]) == (dtype, batch_size)


def test_a_file_made_again_runs_as_it_did_whatever_is_picked_here(make: Callable[..., rsgeo.Result], tmp_path: Path) -> None:
    calibration.keep(kept("bfloat16", 8))
    first, again, other = (tmp_path / name for name in ("first.tif", "again.tif", "other.tif"))
    make(first, runtime=Runtime(sidecar=False))
    calibration.keep(kept("float32", 16))
    make(again, from_file=first, runtime=Runtime(sidecar=False))
    make(other, from_file=first, runtime=Runtime(sidecar=False, dtype="fp32"))
    facts = [provenance.read_request(path).run for path in (first, again, other)]
    assert [(run["dtype"], run["batch_size"]) for run in facts] == [("bfloat16", 8), ("bfloat16", 8), ("float32", 8)]
    assert facts[0]["pixels_sha256"] == facts[1]["pixels_sha256"]
    assert rsgeo.verify(first, regenerate=True).good


def test_the_one_kept_last_counts_where_threads_are_not_known() -> None:
    calibration.keep(kept(threads=1, dtype="float32"))
    time.sleep(0.02)
    calibration.keep(kept(threads=7))
    newest = calibration.find(RECORD)
    older = calibration.find(RECORD, "cpu", 1)
    assert newest is not None and newest.threads == 7
    assert older is not None and older.dtype == "float32"
    assert calibration.find(RECORD, "cuda") is None
    assert calibration.find(RECORD, "cpu", 3) is None


def test_what_another_kind_of_machine_found_does_not_count() -> None:
    calibration.keep(kept(device_name="some other CPU"))
    assert calibration.find(RECORD) is None


def test_a_damaged_file_is_ignored_with_a_warning(cache: Path) -> None:
    calibration.keep(kept())
    (path,) = cache.rglob("*.json")
    path.write_text(path.read_text()[:50])
    with pytest.warns(RsgeoWarning, match="is damaged and is ignored"):
        assert calibration.find(RECORD) is None


def test_a_file_of_an_older_version_is_measured_again_without_a_word(make: Callable[..., rsgeo.Result], cache: Path) -> None:
    calibration.keep(kept())
    (path,) = cache.rglob("*.json")
    old = json.loads(path.read_text())
    old.update(schema_version=1, load_seconds=old.pop("start_seconds"))
    path.write_text(json.dumps(old))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RsgeoWarning)
        assert calibration.find(RECORD) is None
        make()
    assert json.loads(path.read_text())["schema_version"] == 2 and calibration.find(RECORD) is not None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written_is_a_warning(cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o500)
    with pytest.warns(RsgeoWarning, match="RSGEO_CACHE"):
        calibration.keep(kept())


def test_a_cache_folder_that_is_a_file_is_a_warning(cache: Path) -> None:
    cache.write_text("")
    with pytest.warns(RsgeoWarning, match="RSGEO_CACHE names another folder"):
        calibration.keep(kept())


def test_half_precision_of_a_gpu_is_not_taken_over_on_a_cpu(make: Callable[..., rsgeo.Result]) -> None:
    from rsgeo.request import Ask
    from rsgeo.tasks.resolve import resolve

    calibration.keep(kept())
    resolved = resolve(Ask(bounds=(14.5, 46.0, 14.507, 46.005)))
    made = {"device": "cuda", "dtype": "float16", "batch_size": 4}
    with pytest.warns(RsgeoWarning, match="fp16 on cuda"):
        chosen = making.settings(Runtime(device="cpu"), replace(resolved, made=made))
    assert (chosen.dtype, chosen.batch_size) == ("bfloat16", 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert making.settings(Runtime(device="cpu", dtype="fp32"), replace(resolved, made=made)).dtype == "float32"
