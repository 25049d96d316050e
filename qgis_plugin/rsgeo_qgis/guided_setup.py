"""The guided set-up of rsgeo as plain data: where it goes, where it comes from, how much room it takes, and which commands make it.

Nothing here runs a command or asks a network; ``installer.py`` runs the steps, each in a Python outside QGIS.
"""

from __future__ import annotations

import json
import ntpath
import os
import posixpath
import re
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Union

from .discover import Lister, Python, version_numbers
from .env import is_below, qgis_roots
from .sentence import PluginError

JOURNAL = "rsgeo-setup.json"  # in the folder of a set-up: how far it came; also the sign that the folder is one
MEGABYTE = 2**20

# Measured on Linux: 94 wheels with PyTorch for the CPU, 366 MB, hold 1236 MB and become 1656 MB, byte code and pip included.
_INSTALLED_PER_CONTENT = 1.3
_ENVIRONMENT_BYTES = 40 * MEGABYTE
# The least that a bundle becomes: itself, its wheels, and what they hold: twice as much where it is mostly libraries for CUDA (2.8 to 5.4 GB).
_SPACE_PER_BUNDLE = 4.0
_LONGEST_FOLDER_ON_WINDOWS = 100  # the longest path within PyTorch and the limit of 260 leave no more


@dataclass(frozen=True)
class WheelFolder:
    """A folder of wheels on this machine, of rsgeo and all that it needs: no network is used."""

    path: str


@dataclass(frozen=True)
class Bundle:
    """A zip file of such wheels, as a path or an http(s) address, with the SHA-256 that it must have (64 hexadecimal digits)."""

    location: str
    sha256: str


Source = Union[WheelFolder, Bundle]  # noqa: UP007 - evaluated, by QGIS's Python 3.9 too


@dataclass(frozen=True)
class Step:
    """One command of a set-up. ``again_from``: the number of the step from which it is done again when it was begun and not finished."""

    name: str
    program: str
    arguments: tuple[str, ...]
    again_from: int


@dataclass(frozen=True)
class Plan:
    """A set-up: its folder, its steps, the Python that comes out, the folder where pip finds wheels, and what may go when all is done."""

    folder: str
    steps: tuple[Step, ...]
    python: str
    wheels: str
    leftovers: tuple[str, ...]


@dataclass(frozen=True)
class Sizes:
    """Bytes: ``packed`` as the wheels or the bundle lie there, ``installed`` that the environment will take."""

    packed: int
    installed: int


def bundle(location: str, sha256: str) -> Bundle:
    """The bundle that a user means by a path or an address and its SHA-256, typed or pasted.

    Raises:
        PluginError: it is a bare name, no zip file, or the SHA-256 is none.
    """
    location, digest = location.strip(), sha256.strip().lower()
    address = re.match(r"https?://[^/]+/", location) is not None
    if not address and not (posixpath.isabs(location) or ntpath.isabs(location)):
        raise PluginError("{location!r} is neither a whole path nor an http(s) address; nothing is installed by its name alone.", location=location)
    if not location.split("?")[0].lower().endswith(".zip"):
        raise PluginError("{location} is no zip file; give a zip file of the wheels of rsgeo and all that it needs.", location=location)
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise PluginError("{text!r} is no SHA-256 (64 digits from 0 to 9 and a to f); copy it from where the file comes from.", text=digest)
    return Bundle(location, digest)


def default_folder(environ: Mapping[str, str], platform: str) -> str:
    """Where a set-up goes unless the user says otherwise: among the user's own program data."""
    if platform == "win32":
        values = {name.upper(): value for name, value in environ.items()}
        return ntpath.join(values.get("LOCALAPPDATA") or ntpath.join(values["USERPROFILE"], "AppData", "Local"), "rsgeo")
    if platform == "darwin":
        return posixpath.join(environ["HOME"], "Library", "Application Support", "rsgeo")
    return posixpath.join(environ.get("XDG_DATA_HOME") or posixpath.join(environ["HOME"], ".local", "share"), "rsgeo")


def check_folder(folder: str, plugin_folder: str, profile_folder: str, qgis_prefix: str, platform: str, names_in: Lister) -> None:
    """Whether a set-up may go into ``folder``: a new or empty one, or one where a set-up began, and none of QGIS's.

    Raises:
        PluginError: it may not.
    """
    flavour = _flavour(platform)
    if not flavour.isabs(folder):
        raise PluginError("{folder!r} is no whole path; choose a folder.", folder=folder)
    if any(is_below(folder, own, platform) for own in [plugin_folder, profile_folder, *qgis_roots(qgis_prefix, platform)]):
        raise PluginError("{folder} belongs to QGIS, and is replaced or removed with it; choose another folder.", folder=folder)
    if platform == "win32" and len(folder) > _LONGEST_FOLDER_ON_WINDOWS:
        raise PluginError("{folder} is too long for what Windows allows in it; choose a folder nearer to the drive's root.", folder=folder)
    names = names_in(folder)
    if names and JOURNAL not in names:
        raise PluginError("{folder} holds other files; choose a new or empty folder.", folder=folder)


def interpreter(folder: str, platform: str) -> str:
    """The Python of the environment that a set-up in ``folder`` makes."""
    flavour = _flavour(platform)
    return str(flavour.join(folder, "python", "Scripts", "python.exe") if platform == "win32" else flavour.join(folder, "python", "bin", "python"))


def plan(source: Source, python: str, folder: str, script: str, platform: str) -> Plan:
    """A set-up of ``folder``. ``python`` makes the environment, ``script`` is the path of ``outside.py``.

    pip never sees an index: it finds its wheels in one folder, or fails.
    """
    join = _flavour(platform).join
    environment, installed = join(folder, "python"), interpreter(folder, platform)
    found: list[Step] = []
    wheels, leftovers = source.path if isinstance(source, WheelFolder) else join(folder, "wheels"), ()
    if isinstance(source, Bundle):
        fetched = join(folder, "rsgeo.zip")
        leftovers = (fetched, wheels)
        found.append(Step("obtain", python, (script, "obtain", source.location, source.sha256, fetched, str(_SPACE_PER_BUNDLE)), 0))
        found.append(Step("unpack", python, (script, "unpack", fetched, wheels), 1))
    first = len(found)
    found.append(Step("environment", python, ("-m", "venv", "--clear", environment), first))
    # A pip that was stopped leaves packages that it can neither use nor remove: the environment is made anew.
    found.append(Step("install", installed, ("-m", "pip", *_pip_arguments(wheels)), first))
    found.append(Step("verify", installed, ("-m", "rsgeo", "doctor"), len(found)))
    return Plan(folder, tuple(found), installed, wheels, leftovers)


def _pip_arguments(wheels: str) -> tuple[str, ...]:
    quiet = ("--isolated", "--disable-pip-version-check", "--no-input")
    return (*quiet, "install", "--no-index", "--find-links", wheels, "--only-binary", ":all:", "--progress-bar", "off", "rsgeo")


def commands(planned: Plan, platform: str) -> str:
    """The steps as lines to type into a terminal."""
    return "\n".join(" ".join(_quoted(word, platform) for word in (step.program, *step.arguments)) for step in planned.steps)


def _quoted(word: str, platform: str) -> str:
    if re.fullmatch(r"[\w@%+=:,./\\-]+", word):
        return word
    return f'"{word}"' if platform == "win32" else "'" + word.replace("'", "'\"'\"'") + "'"


def journal(planned: Plan, begun: int) -> str:
    """The text of the journal when step ``begun`` begins; the number of steps when all are done."""
    return json.dumps({"begun": begun, "steps": _command_lines(planned)}, indent=1)


def begun(planned: Plan, text: str) -> int | None:
    """The step that was begun and not finished, by the journal's text; None where there is no journal, one of another set-up, or all is done."""
    try:
        kept = json.loads(text or "null")
    except ValueError:
        return None  # cut off while it was written
    if not isinstance(kept, dict) or kept.get("steps") != _command_lines(planned):
        return None
    return kept["begun"] if kept["begun"] < len(planned.steps) else None


def resume_at(planned: Plan, text: str) -> int:
    """The step to begin with by the journal's text: the first, or the one from which what was begun is done again."""
    number = begun(planned, text)
    return 0 if number is None else planned.steps[number].again_from


def _command_lines(planned: Plan) -> list[list[str]]:
    return [[step.program, *step.arguments] for step in planned.steps]


def wheels_in(folder: str, names_in: Lister) -> list[str]:
    """The paths of the wheels in a folder.

    Raises:
        PluginError: none of them is rsgeo's.
    """
    names = sorted(name for name in names_in(folder) if name.endswith(".whl"))
    if not any(name.startswith("rsgeo-") for name in names):
        raise PluginError("{folder} holds no wheel of rsgeo (rsgeo-*.whl); choose the folder with it and all that it needs.", folder=folder)
    return [os.path.join(folder, name) for name in names]


def check_wheels(names: Iterable[str], python: Python, platform: str) -> None:
    """Whether wheels, by their names, can go into ``python``: for each project there must be one that fits.

    Raises:
        PluginError: the wheels of a project are for another Python or another system.
    """
    fitting: dict[str, bool] = {}
    for name in names:
        project, *_, tags, abi, systems = name[: -len(".whl")].split("-")
        fits = _fits_python(tags, abi, version_numbers(python.version)) and _fits_system(systems, platform)
        fitting[project] = fitting.get(project, False) or fits
    misfits = sorted(project for project, fits in fitting.items() if not fits)
    if misfits:
        raise PluginError(
            "These wheels are not for Python {version} on this system: {projects}; choose another Python or other wheels.",
            version=python.version, projects=", ".join(misfits),
        )  # fmt: skip


def _fits_python(tags: str, abi: str, version: tuple[int, ...]) -> bool:
    for tag in tags.split("."):
        match = re.fullmatch(r"(py|cp)(\d)(\d*)", tag)
        if match and int(match[2]) == version[0]:
            minor = int(match[3] or 0)
            # What is compiled is for one minor version, but for the stable ABI (abi3), which like pure Python is for all later ones.
            compiled = match[1] == "cp" and "abi3" not in abi and abi != "none"
            if version[1] == minor if compiled else version[1] >= minor:
                return True
    return False


def _fits_system(systems: str, platform: str) -> bool:
    beginnings = {"win32": ("win",), "darwin": ("macosx",)}.get(platform, ("linux", "manylinux", "musllinux"))
    return any(system == "any" or system.startswith(beginnings) for system in systems.split("."))


def sizes(paths: Iterable[str]) -> Sizes:
    """How much the wheels at ``paths`` take and will take, by their own tables of contents.

    Raises:
        PluginError: one of them is no sound wheel.
    """
    packed, content = 0, 0
    for path in paths:
        try:
            packed += os.path.getsize(path)
            with zipfile.ZipFile(path) as wheel:
                content += sum(member.file_size for member in wheel.infolist())
        except (OSError, zipfile.BadZipFile) as error:
            raise PluginError("{path} is no sound wheel ({error}); get it again.", path=path, error=error) from error
    return Sizes(packed, int(content * _INSTALLED_PER_CONTENT) + _ENVIRONMENT_BYTES)


def sizes_of(source: Source, names_in: Lister) -> Sizes | None:
    """What a source takes and will take, as far as that can be told from here; None for an address, whose size the first step asks for.

    Raises:
        PluginError: it is not there, or no sound one.
    """
    if isinstance(source, WheelFolder):
        return sizes(wheels_in(source.path, names_in))
    if source.location.startswith(("https://", "http://")):
        return None
    if not os.path.isfile(source.location):
        raise PluginError("There is no file {path}.", path=source.location)
    packed = os.path.getsize(source.location)
    return Sizes(packed, int(packed * _SPACE_PER_BUNDLE))


def free_bytes(folder: str) -> int:
    """The free space of the disk on which ``folder`` is, or will be."""
    while not os.path.isdir(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    return shutil.disk_usage(folder).free


def check_space(needed: int, free: int) -> None:
    """Whether ``needed`` bytes fit into ``free`` ones.

    Raises:
        PluginError: they do not.
    """
    if needed > free:
        raise PluginError(
            "The set-up takes {needed} MB, and only {free} MB are free there; make room or choose a folder on another disk.",
            needed=_megabytes(needed), free=_megabytes(free),
        )  # fmt: skip


def _megabytes(count: int) -> int:
    return -(-count // MEGABYTE)


def _flavour(platform: str) -> ModuleType:
    return ntpath if platform == "win32" else posixpath
