"""What a killed worker leaves is removed, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from rsgeo_qgis.leftovers import Leftovers


@pytest.mark.parametrize("job", [True, False])
def test_only_what_this_run_left_is_removed(tmp_path: Path, job: bool) -> None:
    name = "a rather long name [of an image], longer than is shown.tif"
    output = tmp_path / name
    keep = [tmp_path / f".{name[:32]}.before.part", tmp_path / "other.tif", output, tmp_path / ".other.tif.1.part"]
    for path in keep:
        path.write_bytes(b"")
    left = Leftovers(str(output))
    (tmp_path / f".{name[:32]}.1.part").write_bytes(b"")
    (tmp_path / f".{name[:32]}.2.part").mkdir()
    (tmp_path / f".{name[:32]}.2.part" / "part.tif").write_bytes(b"")
    work = tmp_path / f"{name}.job"
    work.mkdir()
    left.remove(job=job)
    assert set(tmp_path.iterdir()) == {*keep, *([] if job else [work])}


def test_finished_work_from_before_stays(tmp_path: Path) -> None:
    work = tmp_path / "a.tif.job"
    work.mkdir()
    Leftovers(str(tmp_path / "a.tif")).remove(job=True)
    assert work.is_dir()
