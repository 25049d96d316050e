"""The plugin on the path of these tests, and workers that fail as they are told to."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PLUGIN = ROOT / "qgis_plugin"

for _path in (str(PLUGIN), str(HERE)):
    if _path not in sys.path:
        sys.path.insert(0, _path)


@pytest.fixture
def fake_python(tmp_path: Path) -> Callable[..., str]:
    """Makes an "interpreter" whose rsgeo is the fake worker: ``fake_python("hang", "--steps", "9")``."""

    def make(mode: str = "ok", *arguments: str) -> str:
        path = tmp_path / f"python-{mode}"
        words = ["/usr/bin/python3", str(HERE / "fake_worker.py"), "--mode", mode, *arguments]
        path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    return make
