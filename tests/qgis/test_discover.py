"""Which Pythons are found on Linux, Windows and macOS, on trees made of text, and which one runs rsgeo."""

from __future__ import annotations

import json
import ntpath
import os
import posixpath
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rsgeo_qgis.discover import PROBE, Python, base_pythons, check_base, find_python, list_folder, parse_probe
from rsgeo_qgis.sentence import PluginError

PLUGIN = Path(__file__).resolve().parents[2] / "qgis_plugin" / "rsgeo_qgis"
HOME = "/people/eva"
ROOTS = {"LOCALAPPDATA": r"C:\Eva\Local", "APPDATA": r"C:\Eva\Roaming", "PROGRAMFILES": r"C:\Program Files", "USERPROFILE": r"C:\Eva"}
BREW = posixpath.join("/opt", "homebrew", "bin")


def tree(*files: str, windows: bool = False) -> Callable[[str], list[str]]:
    """A machine that has these files: what ``os.listdir`` would say, case not counting on Windows."""
    flavour = ntpath if windows else posixpath
    folders: dict[str, set[str]] = {}
    for file in files:
        while flavour.dirname(file) != file:
            folders.setdefault(flavour.normcase(flavour.dirname(file)), set()).add(flavour.basename(file))
            file = flavour.dirname(file)
    return lambda folder: sorted(folders.get(flavour.normcase(flavour.normpath(folder)), ()))


def python(version: str = "3.12.4", bits: int = 64, venv: bool = True, ensurepip: bool = True) -> Python:
    return Python("/usr/bin/python3", "/usr", version, bits, None, False, venv, ensurepip, "x86_64", "Linux")


def test_the_setting_goes_before_the_variable_and_that_before_path() -> None:
    machine = tree("/env/bin/rsgeo", "/env/bin/python")
    environ = {"RSGEO_PYTHON": "/b/python", "PATH": "/usr/bin:/env/bin"}
    assert find_python("/a/python", environ, "linux", machine) == "/a/python"
    assert find_python(None, environ, "linux", machine) == "/b/python"
    assert find_python(None, {"PATH": environ["PATH"]}, "linux", machine) == "/env/bin/python"
    assert find_python("", {"PATH": "/usr/bin"}, "linux", machine) is None


def test_a_setting_that_leads_nowhere_is_not_passed_over() -> None:
    assert find_python("/gone/python", {"PATH": "/env/bin"}, "linux", tree("/env/bin/rsgeo", "/env/bin/python")) == "/gone/python"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([r"C:\env\Scripts\rsgeo.exe", r"C:\env\Scripts\python.exe"], r"C:\env\Scripts\python.exe"),
        ([r"C:\Py\Scripts\RSGEO.EXE", r"C:\Py\python.exe"], r"C:\Py\python.exe"),
        ([r"C:\env\Scripts\rsgeo.exe"], None),
    ],
)
def test_on_windows_the_python_lies_beside_the_command_or_above_it(files: list[str], expected: str | None) -> None:
    environ = {"Path": ";".join([r"C:\Windows", r'"C:\env\Scripts"', "C:\\Py\\Scripts\\"])}
    found = find_python(None, environ, "win32", tree(*files, windows=True))
    assert found == expected


def test_base_pythons_on_linux() -> None:
    machine = tree(
        "/usr/bin/python3", "/usr/bin/python3.11", "/usr/bin/python3.9", "/usr/bin/python3-config", "/usr/local/bin/python3.13",
        f"{HOME}/.pyenv/versions/3.12.1/bin/python3", f"{HOME}/.local/share/uv/python/cpython-3.14.0-linux/bin/python3",
        f"{HOME}/miniforge3/bin/python3", f"{HOME}/music/bin/python3",
    )  # fmt: skip
    assert base_pythons({"HOME": HOME, "PATH": "/usr/local/bin:/usr/bin"}, "linux", machine) == [
        "/usr/local/bin/python3.13", "/usr/bin/python3", "/usr/bin/python3.11", "/usr/bin/python3.9",
        f"{HOME}/.pyenv/versions/3.12.1/bin/python3", f"{HOME}/.local/share/uv/python/cpython-3.14.0-linux/bin/python3",
        f"{HOME}/miniforge3/bin/python3",
    ]  # fmt: skip


def test_base_pythons_on_windows() -> None:
    machine = tree(
        r"C:\Eva\Local\Programs\Python\Python311\python.exe", r"C:\Eva\Local\Programs\Python\Python313\python.exe",
        r"C:\Eva\Local\Python\pythoncore-3.14-64\python.exe", r"C:\Program Files\Python312\python.exe", r"C:\Program Files\Blender\python.exe",
        r"C:\Eva\Roaming\uv\python\cpython-3.12.9\python.exe", r"C:\Eva\Miniconda3\python.exe", r"C:\Tools\python.exe",
        r"C:\Eva\Local\Microsoft\WindowsApps\python.exe", windows=True,
    )  # fmt: skip
    environ = {**ROOTS, "Path": r"C:\Windows;C:\Eva\Local\Microsoft\WindowsApps;C:\Tools"}
    assert base_pythons(environ, "win32", machine) == [
        r"C:\Eva\Local\Programs\Python\Python313\python.exe", r"C:\Eva\Local\Programs\Python\Python311\python.exe",
        r"C:\Eva\Local\Python\pythoncore-3.14-64\python.exe", r"C:\Program Files\Python312\python.exe",
        r"C:\Eva\Roaming\uv\python\cpython-3.12.9\python.exe", r"C:\Eva\Miniconda3\python.exe", r"C:\Tools\python.exe",
    ]  # fmt: skip


def test_base_pythons_on_macos_leave_out_the_one_that_only_offers_developer_tools() -> None:
    framework = "/Library/Frameworks/Python.framework/Versions"
    machine = tree(f"{framework}/3.12/bin/python3", f"{framework}/3.13/bin/python3", f"{BREW}/python3.13", "/usr/bin/python3")
    assert base_pythons({"HOME": HOME, "PATH": f"/usr/bin:{BREW}"}, "darwin", machine) == [
        f"{framework}/3.13/bin/python3", f"{framework}/3.12/bin/python3", f"{BREW}/python3.13",
    ]  # fmt: skip


@pytest.mark.parametrize("platform", ["linux", "win32", "darwin"])
def test_a_machine_without_python_has_none(platform: str) -> None:
    assert base_pythons({}, platform, tree()) == []


def test_a_folder_that_is_not_there_has_no_names(tmp_path: Path) -> None:
    assert list_folder(str(tmp_path / "gone")) == []


def test_this_python_says_what_it_is() -> None:
    run = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    found = parse_probe("Welcome to this machine!\n" + run.stdout)
    assert found.version == ".".join(map(str, sys.version_info[:3])) and found.bits == 64 and found.venv and found.ensurepip
    assert os.path.samefile(found.executable, sys.executable)


@pytest.mark.parametrize("stdout", ["", "usage: qgis", "{}", "[1]", json.dumps({"version": "3.12"})])
def test_what_is_no_python_is_said_to_be_none(stdout: str) -> None:
    with pytest.raises(PluginError, match="does not answer as a Python does"):
        parse_probe(stdout)


def test_python_3_11_and_newer_will_do() -> None:
    for version in ["3.11.0", "3.14.2", "3.13.0rc1"]:
        check_base(python(version))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (python("3.10.14"), "3.10.14 at .* is too old for rsgeo; choose Python 3.11 or newer"),
        (python("3.9.0"), "too old"),
        (python(bits=32), "32-bit"),
        (python("3.11.2", ensurepip=False), "venv and ensurepip are missing.*python3.11-venv"),
        (python(venv=False), "cannot make virtual environments"),
    ],
)
def test_a_python_that_cannot_serve_gets_its_own_message(given: Python, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        check_base(given)


def test_the_plugin_never_starts_the_program_that_qgis_is() -> None:
    texts = {path.name: path.read_text(encoding="utf-8").replace(PROBE, "") for path in PLUGIN.rglob("*.py")}
    assert not [name for name, text in texts.items() if "sys.executable" in text]
