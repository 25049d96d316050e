"""Files that appear whole or not at all, and places where they can.

What a run makes is noted in ``made``, so that another thread can end a run at once, whatever the running one is busy with (`abandon`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rsgeo.errors import OutputError

_NAME_SHOWN = 32
_REMOVE_WITHIN_S = 0.7

made: set[Path] = set()
"""Files and folders that the present run has made, parts and finished ones: none is of use to anybody before the run is complete."""

making = threading.Lock()
"""Held for the moment in which something new gets its name, and for good once all is abandoned."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden path beside ``path`` to write to; it takes the place of ``path`` when the block ends well, and is gone when not.

    Raises OutputError for whatever OSError writing or replacing brings.
    """
    part = path.with_name(f".{path.name[:_NAME_SHOWN]}.{uuid.uuid4().hex[:8]}.part")
    with making:
        made.add(part)
    try:
        yield part
        sync(part)
        place(part, path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error}); free space or choose another place.") from error
    finally:
        part.unlink(missing_ok=True)


def place(part: Path, path: Path) -> None:
    """Give a finished part its name."""
    with making:
        os.replace(part, path)
        made.add(path)


def abandon() -> None:
    """Remove whatever the present run has made, and let nothing more get a name: for a process that ends now.

    It may take 0.7 s where the thread that runs still writes.
    """
    making.acquire(timeout=_REMOVE_WITHIN_S)
    remove_made()


def remove_made() -> None:
    """Remove whatever the present run has made, tried again for a while where a file is still in use."""
    until = time.monotonic() + _REMOVE_WITHIN_S
    while left := [path for path in tuple(made) if os.path.lexists(path)]:
        for path in left:
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if time.monotonic() > until:
            return


def check_place(path: Path, *, overwrite: bool) -> None:
    """See that a file can be put at ``path``.

    Raises OutputError if its folder is missing or read-only, or something is there that is no regular file, or, without
    ``overwrite``, any file.
    """
    try:
        if not path.parent.exists():
            raise OutputError(f"The folder {path.parent} does not exist; make it first.")
        if not path.parent.is_dir():
            raise OutputError(f"{path.parent} is not a folder; choose another place for {path.name}.")
        if path.is_dir():
            raise OutputError(f"{path} is a folder; give the name of a file.")
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} is not a regular file; choose another name.")
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists; choose another name or say --overwrite.")
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}); choose another place.") from error
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"The folder {path.parent} is read-only; choose another place for {path.name}.")


def sync(path: Path) -> None:
    """Have the disk keep a file, or a folder's list of names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
