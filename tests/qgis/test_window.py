"""The zip in a real window with an empty profile (Xvfb): installed, an image generated, loaded and removed, another run cancelled.

`python -m pytest tests/qgis/test_window.py --basetemp=FOLDER` leaves the screenshot in FOLDER.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import build
import pytest

HERE = Path(__file__).resolve().parent
QGIS = shutil.which("qgis", path="/usr/bin")
XVFB, WINDOW_MANAGER = shutil.which("Xvfb", path="/usr/bin"), shutil.which("openbox", path="/usr/bin")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(QGIS is None, reason="QGIS is not installed"),
    pytest.mark.skipif(XVFB is None or WINDOW_MANAGER is None, reason="Xvfb or openbox is not installed"),
    pytest.mark.skipif(build.lrelease() is None, reason="Qt's lrelease is not here (Debian and Ubuntu: package qttools5-dev-tools)"),
]

SETTINGS = """[qgis]
checkVersion=false
[locale]
overrideFlag=true
userLocale=en_US
[PythonPlugins]
processing=true
"""


@pytest.fixture
def display() -> Iterator[str]:
    """A screen of its own: Xvfb finds a free number and tells it."""
    read, write = os.pipe()
    words = [str(XVFB), "-displayfd", str(write), "-screen", "0", "1440x900x24"]
    with subprocess.Popen(words, pass_fds=[write], stderr=subprocess.DEVNULL) as server:
        os.close(write)
        with os.fdopen(read) as told:
            name = f":{told.readline().strip()}"
        manager = subprocess.Popen([str(WINDOW_MANAGER)], env={"DISPLAY": name, "PATH": "/usr/bin:/bin"}, stderr=subprocess.DEVNULL)
        yield name
        for process in (manager, server):
            process.terminate()
            process.wait(timeout=20)


def test_the_zip_in_a_window(display: str, tmp_path: Path) -> None:
    python = os.environ.get("RSGEO_PYTHON", sys.executable)
    home, folder, profiles = tmp_path / "home", tmp_path / "out", tmp_path / "profiles"
    settings = profiles / "profiles" / "default" / "QGIS" / "QGIS3.ini"
    for path in (home, folder, settings.parent):
        path.mkdir(parents=True)
    (tmp_path / "run").mkdir(mode=0o700)
    settings.write_text(SETTINGS, encoding="utf-8")
    package = build.build(tmp_path / "dist")
    environment = {
        "DISPLAY": display, "PATH": "/usr/bin:/bin", "HOME": str(home), "XDG_RUNTIME_DIR": str(tmp_path / "run"), "LANG": "C.UTF-8",
        "RSGEO_PYTHON": python, "RSGEO_ZIP": str(package), "RSGEO_WINDOW": str(folder), "RSGEO_CACHE": os.environ["RSGEO_CACHE"],
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }  # fmt: skip
    words = [str(QGIS), "--profiles-path", str(profiles), "--noversioncheck", "--nologo", "--code", str(HERE / "in_window.py")]
    # Its end is not waited for without a limit: QGIS 3.22 was seen to hang there.
    try:
        said = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=240).stderr
    except subprocess.TimeoutExpired as late:
        said = str(late.stderr)
    assert (folder / "log.json").is_file(), said
    log = json.loads((folder / "log.json").read_text(encoding="utf-8"))
    assert "error" not in log, log["error"]
    assert log["installed"] and {"rsgeo:generate", "rsgeo:extend", "rsgeo:scenemetadata", "rsgeo:checkinstallation"} <= set(log["algorithms"])
    assert log["layers"] == ["annual crop land (synthetic)"] and log["left"] == []
    assert (folder / "image.tif").is_file() and (folder / "window.png").stat().st_size > 10_000
    assert log["files"] == []
    assert log["cancelled_after"] < 2.0  # a second, and the window's own pace
