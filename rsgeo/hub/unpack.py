"""Archives of models unpacked without trusting them: nothing outside of one folder, no links, no more than they declare, whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
import stat
import uuid
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from rsgeo.errors import ModelError, NoSpaceError, OutputError
from rsgeo.hub import places
from rsgeo.hub.layout import PARTS

LARGEST = 64 * 2**30
"""Bytes that an archive may unpack to: some times DiffusionSat's."""

_MOST_FILES = 10_000
_MOST_TIMES_ITS_SIZE = 100  # text shrinks to a tenth, weights hardly; a bomb to a thousandth
_SMALL = 64 * 2**20
_CHUNK = 2**20
_PICKLE = b"\x80"
_TEXTS = ("model_index.json", "meta.json", "licen", "readme", "notice")


def unpacked(archive: Path) -> Path:
    """The folder of an archive in the cache, unpacked at the first call, and again when the archive has changed.

    Raises:
        ModelError: as `unpack`.
    """
    status = archive.stat()
    key = hashlib.sha256(f"{archive}\0{status.st_size}\0{status.st_mtime_ns}".encode()).hexdigest()[:16]
    folder = places.cache() / "unpacked" / key / archive.stem
    if not folder.is_dir():
        unpack(archive, folder)
    return folder


def unpack(archive: Path, folder: Path, *, largest: int = LARGEST) -> None:
    """Unpack what of a ZIP makes a model into ``folder``, which appears when all of it is there. What training left besides is passed over.

    Raises:
        ModelError: it is no ZIP, is broken, or holds what no model's archive does: paths that lead out of it, links, more than ``largest`` bytes.
        OutputError: the folder cannot be written, or the disk is too small.
    """
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(archive) as opened:
            members = _checked(opened, archive, largest)
            _check_space(folder.parent, sum(member.file_size for member in members))
            part.mkdir()
            for member in members:
                _write(opened, member, part / member.filename)
        part.rename(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"{archive.name} is no ZIP that can be read, or is broken ({error}); fetch it again.") from error
    except OSError as error:
        if not folder.is_dir():  # else another process was faster
            raise OutputError(f"{archive.name} cannot be unpacked to {folder} ({error.strerror or error}); choose another place.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def is_checkpoint(path: Path) -> bool:
    """Whether a path is a file that ``torch.save`` may have written, told from its first bytes and its parts."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return any(PurePosixPath(name).name == "data.pkl" for name in archive.namelist())
        with path.open("rb") as file:
            return file.read(1) == _PICKLE
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def _checked(opened: zipfile.ZipFile, archive: Path, largest: int) -> list[zipfile.ZipInfo]:
    """The members to unpack; all are looked at before any is written."""
    members = opened.infolist()
    if len(members) > _MOST_FILES:
        raise ModelError(f"{archive.name} holds {len(members)} files, more than any model; it is not unpacked.")
    seen: set[str] = set()
    for member in members:
        name = member.filename
        kind = stat.S_IFMT(member.external_attr >> 16)
        fault = _fault(name) or ("a link or device" if kind not in (0, stat.S_IFREG, stat.S_IFDIR) else None)
        if name.casefold() in seen:
            fault = "the same name twice"
        if fault:
            raise ModelError(f"{archive.name} holds {fault} ({name!r}); it is no archive of a model and is not unpacked.")
        seen.add(name.casefold())
    total, packed = sum(member.file_size for member in members), archive.stat().st_size
    if total > largest or (total > _SMALL and total > _MOST_TIMES_ITS_SIZE * packed):
        raise ModelError(f"{archive.name} would unpack to {total / 1e9:.1f} GB from {packed / 1e9:.3f} GB; it is not unpacked.")
    return [member for member in members if not member.is_dir() and _is_of_a_model(PurePosixPath(member.filename))]


def _fault(name: str) -> str | None:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ":" in name:
        return "an absolute path"
    if ".." in parts or "\\" in name or "\0" in name:
        return "a path that leads out of it"
    return None


def _is_of_a_model(path: PurePosixPath) -> bool:
    return any(part in PARTS for part in path.parts[:-1]) or path.name.lower().startswith(_TEXTS)


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NoSpaceError(f"{folder} has {free / 1e9:.1f} GB free and the model needs {needed / 1e9:.1f} GB; free space or choose another place.")


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    left = member.file_size
    with opened.open(member) as source, path.open("xb") as target:
        while chunk := source.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                raise zipfile.BadZipFile(f"{member.filename} is larger than it says")
            target.write(chunk)
