"""Published archives from where they lie, only when that is asked for; a broken download is gone on with where it ended."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from rsgeo._version import __version__
from rsgeo.errors import InputError, ModelError, NoSpaceError, OutputError
from rsgeo.hub import catalog, places, registry, unpack
from rsgeo.hub.records import Archive, CatalogRecord

Progress = Callable[[str, int, int | None], None]
"""Told of a stage ("download", "check"), the bytes done, and how many there are where that is known."""

_CHUNK = 2**20
_TIMEOUT_S = 60
_TRIES = 5


def fetch(name: str, *, from_file: Path | None = None, consent: Callable[[CatalogRecord], bool], progress: Progress | None = None) -> CatalogRecord:
    """Bring a published model here: download its archive, or take it ``from_file``, check it, unpack or convert it, and pin its hash.

    ``consent`` is asked before the network is used.

    Raises:
        InputError: it is here already, was published nowhere, or there is no such file.
        ModelError: no such model, no consent, a connection that does not hold, or an archive of another size or hash than the record says.
        OutputError: the folder of models cannot be written, or the disk is too small.
    """
    record = catalog.record_of(name)
    if catalog.is_at_hand(record):
        raise InputError(f"{name} is here already, in {record.folder}; rsgeo models verify {name} checks its files.")
    if record.archive is None:
        raise InputError(f"{name} was published nowhere that rsgeo knows; add it with rsgeo models add {name} PATH.")
    tell = progress or (lambda *_: None)
    if from_file is not None:
        if not from_file.is_file():
            raise InputError(f"There is no file {from_file}; give the archive {record.archive.name}.")
        return registry.move_in(_pinned(record, record.archive, from_file, tell), from_file)
    if not consent(record):
        raise ModelError(f"Nothing was fetched; agree, say --yes, or give a file that you have with --from-file {record.archive.name}.")
    part = places.models() / ".parts" / f"{name}{Path(record.archive.name).suffix}"
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{part}.lock", timeout=0):
            download(record.archive, part, tell)
            try:
                found = registry.move_in(_pinned(record, record.archive, part, tell), part)
            except ModelError:
                part.unlink()  # whatever came, it is not the archive
                raise
            part.unlink()
            return found
    except Timeout as error:
        raise InputError(f"{name} is being fetched by another process; wait for it.") from error
    except OSError as error:
        raise OutputError(
            f"{part.parent} cannot be written ({error.strerror or error}); free space, or name another place with RSGEO_HOME."
        ) from error


def download(archive: Archive, part: Path, tell: Progress) -> None:
    """Bring an archive's bytes to ``part``, after those that are there already if the server still has the same file.

    Raises:
        ModelError: the address is none of the web, the server has no such file or one of another size, or the connection breaks again and again.
        NoSpaceError: the disk is too small.
    """
    tag = part.with_suffix(".etag")
    for attempt in range(1, _TRIES + 1):
        before = part.stat().st_size if part.exists() else 0
        try:
            with _opened(archive, before, tag) as answer:
                goes_on = answer.status == http.HTTPStatus.PARTIAL_CONTENT
                done = before if goes_on else 0
                total = _total(archive, answer, done)
                _check_space(part, (total or 0) - done)
                tag.write_text(answer.headers.get("ETag") or "", encoding="utf-8")
                with part.open("ab" if goes_on else "wb") as file:
                    while chunk := answer.read(_CHUNK):
                        done += len(chunk)
                        if done > (total or unpack.LARGEST):
                            raise ModelError(f"{archive.url} sends more than it said; it is not that archive.")
                        file.write(chunk)
                        tell("download", done, total)
            if total is None or done == total:
                tag.unlink(missing_ok=True)
                return
            fault = "it ended early"
        except urllib.error.HTTPError as error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and before:
                part.unlink()  # what is here is longer than the file there
                continue
            raise ModelError(f"{archive.url} cannot be had (status {error.code} {error.reason}); look at the address in a browser.") from error
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            fault = str(getattr(error, "reason", error)) or type(error).__name__
        if attempt == _TRIES:
            here = part.stat().st_size if part.exists() else 0
            words = f"The connection to {urllib.parse.urlsplit(archive.url).hostname} does not hold ({fault}); {here / 1e6:.1f} MB are here"
            raise ModelError(f"{words}, and the same command goes on from there.")


def _opened(archive: Archive, before: int, tag: Path) -> http.client.HTTPResponse:
    _check_address(archive.url)
    headers = {"User-Agent": f"rsgeo/{__version__}"}
    if before:
        headers["Range"] = f"bytes={before}-"
        if tag.is_file() and (known := tag.read_text(encoding="utf-8")) and not known.startswith("W/"):
            headers["If-Range"] = known
    answer: http.client.HTTPResponse = urllib.request.urlopen(urllib.request.Request(archive.url, headers=headers), timeout=_TIMEOUT_S)
    _check_address(answer.url)  # it may lie elsewhere than at first
    return answer


def _check_address(url: str) -> None:
    address = urllib.parse.urlsplit(url)
    if address.scheme != "https" and not (address.scheme == "http" and address.hostname in ("127.0.0.1", "localhost", "::1")):
        raise ModelError(f"{url} is no https address; correct the record, or fetch it by other means and say --from-file.")


def _total(archive: Archive, answer: http.client.HTTPResponse, done: int) -> int | None:
    """Bytes of the whole file, as the server says; None where it does not."""
    length = answer.headers.get("Content-Length", "")
    total = done + int(length) if length.isdigit() else archive.bytes
    if total is not None and archive.bytes not in (None, total):
        raise ModelError(f"{archive.url} has {total} bytes instead of {archive.bytes}; it is not the archive that is known, and is not fetched.")
    if total is not None and total > unpack.LARGEST:
        raise ModelError(f"{archive.url} has {total / 1e9:.0f} GB, more than any model; it is not fetched.")
    return total


def _check_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < needed:
        raise NoSpaceError(f"{part.parent} has {free / 1e9:.1f} GB free, and {needed / 1e9:.1f} GB are to come; name another place with RSGEO_HOME.")


def _pinned(record: CatalogRecord, archive: Archive, file: Path, tell: Progress) -> CatalogRecord:
    """The record with size and hash of its archive, from the whole file. Raises ModelError where they differ from what was known."""
    size, done, digest = file.stat().st_size, 0, hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            tell("check", done, size)
    found = digest.hexdigest()
    if archive.bytes not in (None, size) or archive.sha256 not in (None, found):
        raise ModelError(f"{file} has SHA-256 {found} and {size} bytes, which is not the archive that is known; fetch it again.")
    return record.model_copy(update={"archive": archive.model_copy(update={"bytes": size, "sha256": found})})
