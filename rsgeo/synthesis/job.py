"""A job directory: finished blocks on disk with a journal, so that the same command goes on after a kill or a power cut.

``job.json`` holds the request, its hash and how the run was made; ``journal.jsonl`` one line a finished block, written after the block is
safe on disk; ``blocks/<stage>/<row>_<col>.npy`` the blocks. A torn last line, a block without a line, of another size or of another
checksum counts as not made: blocks are pure functions of the request, so making one again is harmless.

The job of several worlds holds a job for each, ``worlds/<number>``, and no blocks of its own.
"""

from __future__ import annotations

import errno
import io
import os
import platform
import shutil
import uuid
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from rsgeo.errors import NoSpaceError, OutputError
from rsgeo.geo.atomic import made, making
from rsgeo.request import Request, sha256_text
from rsgeo.synthesis.blocks import Block

_HEADER, _JOURNAL, _LOCK, _BLOCKS, _SCRATCH, _WORLDS = "job.json", "journal.jsonl", "lock", "blocks", "scratch", "worlds"


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = 1
    sha256: str
    request: dict[str, Any]
    how: dict[str, Any]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = 1
    stage: int
    row: int
    col: int
    bytes: int
    crc32: int

    @property
    def block(self) -> Block:
        return Block(self.stage, self.row, self.col)


def folder_of(out: Path) -> Path:
    """The job directory of an output: beside it, named after it."""
    return out.with_name(out.name + ".job")


class JobDir:
    """Blocks on disk (`rsgeo.synthesis.engine.Store`); use it in a ``with`` statement, which holds its lock.

    ``picture`` is the number of the picture's stage: its blocks stay until the job is removed, for the file is written from them.
    ``known`` is a hash of what is known beside the request. ``how`` says how the run is made (batch size, number type, versions): after
    entering it is that of the run that began the job.
    """

    def __init__(self, folder: Path, request: Request, picture: int, how: dict[str, Any], *, known: str = "", fresh: bool = False) -> None:
        self.folder, self.how = folder, how
        self.sha256 = sha256_text(request.sha256() + known)
        self._request, self._picture, self._known, self._fresh = request, picture, known, fresh
        self._lock = FileLock(folder / _LOCK)
        self._done: dict[Block, _Line] = {}

    @property
    def done(self) -> frozenset[Block]:
        return frozenset(self._done)

    @property
    def scratch(self) -> Path:
        """A folder for whoever writes the output; what a killed run left there is gone."""
        return self.folder / _SCRATCH

    def __enter__(self) -> Self:
        """Take the lock and find what is finished.

        Raises OutputError when another run holds the job, it belongs to another request, or the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
        except Timeout as error:
            raise OutputError(f"Another run is at work in {self.folder}; wait for it, or choose another name for the output.") from error
        except OSError as error:
            raise _cannot_write(self.folder, error) from error
        try:
            self._open()
        except OSError as error:
            self._lock.release()
            raise _cannot_write(self.folder, error) from error
        except OutputError:
            self._lock.release()
            raise
        return self

    def _open(self) -> None:
        if self._fresh:
            self._clear()
        header = self._header()
        if header is not None and header.sha256 != self.sha256:
            raise OutputError(
                f"{self.folder} holds unfinished work for another request; add --fresh to discard it, or choose another name for the output."
            )
        if header is None:
            made.add(self.folder)
            self._clear()
            header = _Header(sha256=self.sha256, request=self._request.model_dump(mode="json"), how=self.how)
            _write(self.folder / _HEADER, header.model_dump_json(indent=1).encode())
        self.how = header.how
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        self._done = {line.block: line for line in self._lines() if self._is_whole(line)}
        # Written anew, so that no line follows on a torn one.
        _write(self.folder / _JOURNAL, b"".join(_as_bytes(line) for line in self._done.values()))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.release()

    @contextmanager
    def worlds(self) -> Iterator[list[JobDir]]:
        """The jobs of the request's worlds, open: itself, or of several worlds one in this folder for each, made as this one is."""
        if self._request.samples is None:
            yield [self]
            return
        with ExitStack() as stack:
            inner = (
                JobDir(self.folder / _WORLDS / str(number), world, self._picture, self.how, known=self._known)
                for number, world in enumerate(self._request.worlds)
            )
            yield [stack.enter_context(world) for world in inner]

    def put(self, block: Block, array: NDArray[np.generic]) -> None:
        """Keep a block: file first, then its line.

        Raises OutputError when the disk is full or gives up; what was finished before stays.
        """
        self.note(block, *write_block(self.folder, block, array))

    def note(self, block: Block, size: int, crc32: int) -> None:
        """Write the line of a block whose file is there already. Raises OutputError as `put` does."""
        line = _Line(stage=block.stage, row=block.row, col=block.col, bytes=size, crc32=crc32)
        try:
            with (self.folder / _JOURNAL).open("ab") as journal:
                journal.write(_as_bytes(line))
                journal.flush()
                os.fsync(journal.fileno())
        except OSError as error:
            raise _cannot_write(self.folder, error) from error
        self._done[block] = line

    def get(self, block: Block) -> NDArray[np.generic]:
        return read_block(self.folder, block)

    def free(self, block: Block) -> None:
        if block.stage != self._picture:
            _path(self.folder, block).unlink(missing_ok=True)
            self._done.pop(block, None)

    def remove(self) -> None:
        """The output is in its place: remove the job."""
        self._clear()
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _clear(self) -> None:
        for name in (_HEADER, _JOURNAL):
            (self.folder / name).unlink(missing_ok=True)
        for name in (_BLOCKS, _SCRATCH, _WORLDS):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _header(self) -> _Header | None:
        try:
            return _Header.model_validate_json((self.folder / _HEADER).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def _lines(self) -> list[_Line]:
        try:
            raw = (self.folder / _JOURNAL).read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        lines = []
        for text in raw:
            try:
                lines.append(_Line.model_validate_json(text))
            except ValidationError:
                continue  # torn by the kill
        return lines

    def _is_whole(self, line: _Line) -> bool:
        try:
            data = _path(self.folder, line.block).read_bytes()
        except OSError:
            return False
        return len(data) == line.bytes and zlib.crc32(data) == line.crc32


def read_block(folder: Path, block: Block) -> NDArray[np.generic]:
    """The array of a finished block. Raises OutputError when the file was changed or taken away meanwhile."""
    try:
        array: NDArray[np.generic] = np.load(_path(folder, block), allow_pickle=False)
    except (OSError, ValueError) as error:
        raise OutputError(f"{_path(folder, block)} was changed while the job ran; start the same command again.") from error
    return array


def write_block(folder: Path, block: Block, array: NDArray[np.generic]) -> tuple[int, int]:
    """Write the file of a block and give its size and CRC-32 for the journal.

    Raises OutputError when the disk is full or gives up; what was finished before stays.
    """
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    data = buffer.getbuffer()
    try:
        _write(_path(folder, block), data)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    return len(data), zlib.crc32(data)


def read_header(folder: Path, sha256: str) -> tuple[Request, dict[str, Any]]:
    """The request of a job, and how it is made, for a worker. Raises OutputError when ``folder`` holds no job for the request of that hash."""
    words = f"A worker on {platform.node()} finds no such job in {folder}; let all workers see that folder under the same path."
    try:
        header = _Header.model_validate_json((folder / _HEADER).read_bytes())
    except (OSError, ValidationError) as error:
        raise OutputError(words) from error
    if header.sha256 != sha256:
        raise OutputError(words)
    return Request.model_validate(header.request), header.how


def _path(folder: Path, block: Block) -> Path:
    return folder / _BLOCKS / str(block.stage) / f"{block.row}_{block.col}.npy"


def _write(path: Path, data: Any) -> None:
    """Write a file whole or not at all, and have the disk keep it."""
    with making:
        path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(folder: Path, error: OSError) -> OutputError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return NoSpaceError(f"The disk is full: what is finished stays in {folder}; free space and start the same command again.")
    return OutputError(f"{folder} cannot be written ({error.strerror or error}); choose another place for the output.")


def _as_bytes(line: _Line) -> bytes:
    return line.model_dump_json().encode() + b"\n"
