"""One test a row of the table of what QGIS's environment does to another Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rsgeo_qgis.env import REMOVED, child_environment, is_below

WINDOWS_PREFIX = r"C:\OSGeo4W\apps\qgis-ltr"
MAC_PREFIX = "/Applications/QGIS.app/Contents/MacOS"


TABLE = {
    *("PYTHONHOME", "PYTHONPATH", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__"),
    *("PROJ_LIB", "PROJ_DATA", "GDAL_DATA", "GDAL_DRIVER_PATH", "GDAL_PLUGIN_PATH", "GEOTIFF_CSV"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FRAMEWORK_PATH", "DYLD_FALLBACK_LIBRARY_PATH"),
    *("PYTHONSTARTUP", "PYTHONUSERBASE", "VIRTUAL_ENV"),
    *("QT_PLUGIN_PATH", "QT_QPA_PLATFORM_PLUGIN_PATH", "OSGEO4W_ROOT", "QGIS_PREFIX_PATH"),
}


@pytest.mark.parametrize("name", sorted(TABLE))
def test_what_breaks_another_python_is_taken_out(name: str) -> None:
    for platform in ("linux", "win32", "darwin"):
        assert name not in child_environment({name: "x", "HOME": "h"}, "", platform)


@pytest.mark.parametrize(
    "name", ["HOME", "TEMP", "TMPDIR", "SystemRoot", "HTTPS_PROXY", "no_proxy", "CUDA_VISIBLE_DEVICES", "HF_HOME", "SSL_CERT_FILE", "DISPLAY"]
)
def test_what_a_program_needs_stays(name: str) -> None:
    assert child_environment({name: "value"}, "/usr", "linux")[name] == "value"


@pytest.mark.parametrize("name", ["PYTHONUTF8", "PYTHONUNBUFFERED", "PYTHONNOUSERSITE", "PYTHONSAFEPATH"])
def test_text_is_utf8_unbuffered_and_only_the_interpreters_own_packages_count(name: str) -> None:
    assert child_environment({name: "0"}, "/usr", "linux")[name] == "1"


def test_on_windows_the_case_of_a_name_does_not_save_it() -> None:
    kept = child_environment({"PythonHome": "x", "Proj_Lib": "y", "SystemRoot": "z"}, WINDOWS_PREFIX, "win32")
    assert "PythonHome" not in kept and "Proj_Lib" not in kept and kept["SystemRoot"] == "z"


def test_on_linux_the_case_of_a_name_counts() -> None:
    assert child_environment({"proj_lib": "mine"}, "/usr", "linux")["proj_lib"] == "mine"


def test_on_windows_every_entry_of_path_below_qgis_is_dropped() -> None:
    qgis = [r"C:\OSGeo4W\apps\Python312\Scripts", r"c:\osgeo4w\BIN", r'"C:\OSGeo4W\apps\qt5\bin"', "C:/OSGeo4W/apps/qgis-ltr/bin"]
    path = ";".join([*qgis, r"C:\WINDOWS\system32", r"D:\OSGeo4W2\bin"])
    assert child_environment({"Path": path}, WINDOWS_PREFIX, "win32")["Path"] == r"C:\WINDOWS\system32;D:\OSGeo4W2\bin"


def test_on_windows_the_stand_alone_installers_folders_are_qgis_too() -> None:
    path = r"C:\Program Files\QGIS 3.40.6\bin;C:\Program Files\Git\cmd"
    assert child_environment({"PATH": path}, "C:/Program Files/QGIS 3.40.6/apps/qgis", "win32")["PATH"] == r"C:\Program Files\Git\cmd"


def test_on_macos_every_entry_of_path_in_the_bundle_is_dropped() -> None:
    path = f"{MAC_PREFIX}/bin:/usr/bin:/Applications/QGIS.app.old/bin"
    assert child_environment({"PATH": path}, MAC_PREFIX, "darwin")["PATH"] == "/usr/bin:/Applications/QGIS.app.old/bin"


def test_on_linux_path_stays_for_qgis_lives_in_the_systems_folders() -> None:
    assert child_environment({"PATH": "/usr/bin:/bin"}, "/usr", "linux")["PATH"] == "/usr/bin:/bin"


def test_the_environment_given_is_not_changed() -> None:
    environ = {"PYTHONHOME": "x", "PATH": "/usr/bin"}
    child_environment(environ, "/usr", "linux")
    assert environ == {"PYTHONHOME": "x", "PATH": "/usr/bin"}


def test_a_folder_is_below_another_by_whole_names() -> None:
    assert is_below("/a/b/c", "/a/b", "linux") and is_below("/a/b", "/a/b/", "linux")
    assert not is_below("/a/bc", "/a/b", "linux") and not is_below("/A/b", "/a", "linux")
    assert is_below(r"c:\QGIS\x", "C:/qgis", "win32") and is_below("/applications/qgis.app/x", "/Applications/QGIS.app", "darwin")


@pytest.mark.skipif(os.name != "posix", reason="the variables were found to break an interpreter on Linux")
def test_an_interpreter_that_qgis_would_break_works_again(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('not the one of the interpreter')")
    broken = {**os.environ, "PYTHONHOME": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", "import json, math"]
    assert subprocess.run(command, env=broken, capture_output=True).returncode != 0
    run = subprocess.run(command, cwd=tmp_path, env=child_environment(broken, "/usr", sys.platform), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_table_and_these_tests_name_the_same_variables() -> None:
    assert REMOVED == TABLE
