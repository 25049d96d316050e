"""Which Pythons there are on this machine, and which of them runs rsgeo. Never QGIS's own: on Windows and macOS that is the QGIS program itself.

All functions but ``list_folder`` are pure: a machine is its environment, its platform and a function that lists a folder's names.
"""

from __future__ import annotations

import json
import ntpath
import os
import posixpath
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType

from .sentence import PluginError

MINIMUM_PYTHON = (3, 11)  # what rsgeo asks for
SETTING = "rsgeo/python"  # the user's choice, in QgsSettings
VARIABLE = "RSGEO_PYTHON"

Lister = Callable[[str], list[str]]

# One line of JSON that says what an interpreter is; it imports nothing but the standard library.
PROBE = """
import importlib.metadata as m, importlib.util as u, json, platform, struct, sys
try:
    rsgeo = m.version("rsgeo")
except m.PackageNotFoundError:
    rsgeo = None
print(json.dumps({"version": platform.python_version(), "executable": sys.executable, "prefix": sys.prefix, "bits": 8 * struct.calcsize("P"),
    "rsgeo": rsgeo, "in_environment": sys.prefix != sys.base_prefix,
    "venv": u.find_spec("venv") is not None, "ensurepip": u.find_spec("ensurepip") is not None,
    "machine": platform.machine(), "system": platform.platform()}))
"""


@dataclass(frozen=True)
class Python:
    """What an interpreter says of itself. ``prefix`` is one for all its names; ``rsgeo`` the version in it, or None; ``bits`` is 32 or 64."""

    executable: str
    prefix: str
    version: str
    bits: int
    rsgeo: str | None
    in_environment: bool
    venv: bool
    ensurepip: bool
    machine: str
    system: str


def find_python(setting: str | None, environ: Mapping[str, str], platform: str = sys.platform, names_in: Lister | None = None) -> str | None:
    """The Python that runs rsgeo: the user's setting, else RSGEO_PYTHON, else the interpreter of the ``rsgeo`` on PATH, else None.

    ``environ`` is the cleaned one (``env.child_environment``). A setting or variable is taken as it stands, even where it is wrong: it is then the
    Check that says so, and no other Python runs in its place.
    """
    return setting or environ.get(VARIABLE) or interpreter_of_command(environ, platform, names_in or list_folder)


def interpreter_of_command(environ: Mapping[str, str], platform: str, names_in: Lister) -> str | None:
    """The interpreter beside the first ``rsgeo`` on PATH, as pip and venv lay them out."""
    windows = platform == "win32"
    command = "rsgeo.exe" if windows else "rsgeo"
    for folder in path_folders(environ, platform):
        if command in _names(folder, windows, names_in):
            # A virtual environment has both in one folder; an installed Python on Windows has python.exe one above its Scripts.
            above = ntpath.dirname(folder.rstrip("\\/"))
            places = [(folder, "python.exe"), (above, "python.exe")] if windows else [(folder, "python"), (folder, "python3")]
            for place, name in places:
                if name in _names(place, windows, names_in):
                    return _flavour(platform).join(place, name)
    return None


def base_pythons(environ: Mapping[str, str], platform: str, names_in: Lister | None = None) -> list[str]:
    """Interpreters from which a virtual environment could be made, the likeliest first, none twice. Whether each is new enough, its probe says."""
    search = {"win32": _on_windows, "darwin": _on_macos}.get(platform, _on_linux)
    return list(dict.fromkeys(search(environ, names_in or list_folder)))


def _on_linux(environ: Mapping[str, str], names_in: Lister) -> Iterator[str]:
    home = environ.get("HOME", "")
    folders = [*path_folders(environ, "linux"), "/usr/local/bin", "/usr/bin"]
    yield from _in_bin_folders(folders, names_in)
    yield from _below(posixpath, home, [".pyenv/versions", ".local/share/uv/python"], "bin/python3", names_in)
    yield from _conda(posixpath, home, "bin/python3", names_in)


def _on_macos(environ: Mapping[str, str], names_in: Lister) -> Iterator[str]:
    home = environ.get("HOME", "")
    yield from _below(posixpath, "/Library/Frameworks/Python.framework", ["Versions"], "bin/python3", names_in)
    # The python3 in /usr/bin is older than rsgeo needs, and on a new machine only opens a dialog that offers the developer tools.
    folders = [posixpath.join("/opt", "homebrew", "bin"), "/usr/local/bin", *path_folders(environ, "darwin")]
    yield from _in_bin_folders([folder for folder in folders if posixpath.normpath(folder) != "/usr/bin"], names_in)
    yield from _below(posixpath, home, [".pyenv/versions", ".local/share/uv/python"], "bin/python3", names_in)
    yield from _conda(posixpath, home, "bin/python3", names_in)


def _on_windows(environ: Mapping[str, str], names_in: Lister) -> Iterator[str]:
    values = {name.upper(): value for name, value in environ.items()}
    for variable, parents in [
        ("LOCALAPPDATA", ["Programs\\Python", "Python"]),  # for one user: the installer, and the install manager
        ("PROGRAMFILES", ["."]),
        ("APPDATA", ["uv\\python"]),
        ("USERPROFILE", [".pyenv\\pyenv-win\\versions"]),
    ]:
        root = values.get(variable, "")
        parents = [ntpath.normpath(parent) for parent in parents]
        pattern = re.compile(r"python\d", re.IGNORECASE) if variable == "PROGRAMFILES" else re.compile("")
        yield from _below(ntpath, root, parents, "python.exe", names_in, pattern)
    yield from _conda(ntpath, values.get("USERPROFILE", ""), "python.exe", names_in)
    for folder in path_folders(environ, "win32"):
        # The python.exe in WindowsApps opens the shop where no Python is installed.
        if "windowsapps" not in folder.lower() and "python.exe" in _names(folder, True, names_in):
            yield ntpath.join(folder, "python.exe")


def _in_bin_folders(folders: list[str], names_in: Lister) -> Iterator[str]:
    for folder in dict.fromkeys(folders):
        names = [name for name in names_in(folder) if re.fullmatch(r"python3(\.\d+)?", name)]
        # python3 is what this machine means by Python; after it the newest.
        yield from (posixpath.join(folder, name) for name in sorted(names, key=_newest_first))


def _below(
    flavour: ModuleType, root: str, parents: list[str], tail: str, names_in: Lister, pattern: re.Pattern[str] = re.compile("")
) -> Iterator[str]:
    if root:
        for parent in (flavour.normpath(flavour.join(root, parent)) for parent in parents):
            for name in sorted(filter(pattern.match, names_in(parent)), key=_newest_first):
                path = flavour.normpath(flavour.join(parent, name, tail))
                if flavour.basename(path) in names_in(flavour.dirname(path)):
                    yield path


def _conda(flavour: ModuleType, home: str, tail: str, names_in: Lister) -> Iterator[str]:
    conda = re.compile("(mini|ana|mamba)(forge|conda)3?$", re.IGNORECASE)
    return _below(flavour, home, ["."], tail, names_in, conda)


def _newest_first(name: str) -> tuple[bool, list[int]]:
    numbers = [int(number) for number in re.findall(r"\d+", name)]
    return name != "python3", [-number for number in numbers]


def path_folders(environ: Mapping[str, str], platform: str) -> list[str]:
    """The folders of PATH in their order, without empty entries."""
    windows = platform == "win32"
    value = next((value for name, value in environ.items() if (name.upper() if windows else name) == "PATH"), "")
    return [entry.strip().strip('"') for entry in value.split(";" if windows else ":") if entry.strip()]


def list_folder(folder: str) -> list[str]:
    """The names in a folder of this machine; none where there is no such folder, or none that may be read."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _names(folder: str, windows: bool, names_in: Lister) -> set[str]:
    return {name.lower() if windows else name for name in names_in(folder)}


def _flavour(platform: str) -> ModuleType:
    return ntpath if platform == "win32" else posixpath


def parse_probe(stdout: str) -> Python:
    """What ``PROBE`` printed. Lines before it (a start-up file's greeting, say) do not matter.

    Raises:
        PluginError: the last line is not what the probe prints.
    """
    lines = stdout.strip().splitlines()
    try:
        return Python(**json.loads(lines[-1]))
    except (IndexError, ValueError, TypeError) as error:
        raise PluginError("This program does not answer as a Python does; choose another one.") from error


def check_base(python: Python) -> None:
    """Whether a virtual environment for rsgeo can be made from ``python``.

    Raises:
        PluginError: it is too old or a 32-bit one, or lacks ``venv`` or ``ensurepip``.
    """
    check_version(python)
    if not (python.venv and python.ensurepip):
        minor = ".".join(python.version.split(".")[:2])
        raise PluginError(
            "Python {version} at {path} cannot make virtual environments: its parts venv and ensurepip are missing. On Debian and Ubuntu the package "
            "python{minor}-venv brings them; elsewhere choose a Python from python.org.",
            version=python.version, path=python.executable, minor=minor,
        )  # fmt: skip


def check_version(python: Python) -> None:
    """Whether rsgeo can run in ``python`` at all.

    Raises:
        PluginError: it is older than ``MINIMUM_PYTHON``, or a 32-bit one.
    """
    if version_numbers(python.version) < MINIMUM_PYTHON:
        needed = ".".join(map(str, MINIMUM_PYTHON))
        raise PluginError(
            "Python {version} at {path} is too old for rsgeo; choose Python {needed} or newer.",
            version=python.version, path=python.executable, needed=needed,
        )  # fmt: skip
    if python.bits != 64:
        raise PluginError("Python at {path} is a 32-bit one, for which there is no PyTorch; choose a 64-bit one.", path=python.executable)


def version_numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: (3, 13, 0) for "3.13.0rc1"."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()
