"""The pipe to the program that asks: lines in, lines out, and nothing else on it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

from rsgeo.worker.events import Event
from rsgeo.worker.messages import MOST_LINE_BYTES

_CHUNK = 2**16


class Channel:
    """Takes standard input and output for the protocol, under numbers that no other program inherits.

    What reads standard input afterwards finds it empty, and what is printed goes to standard error: a library's stray print spoils nothing, and a
    program that is started from here does not hold the pipe. ``owner_gone`` is called, in whatever thread, when nobody reads any more.
    """

    def __init__(self, owner_gone: Callable[[], object]) -> None:
        self._owner_gone = owner_gone
        self._writing = threading.Lock()
        self._in, self._out = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)

    def send(self, event: Event, *, within_s: float = -1) -> None:
        """Say something, whole; or nothing if another thread is not done with its line in time."""
        line = memoryview(event.model_dump_json().encode() + b"\n")
        if not self._writing.acquire(timeout=within_s):
            return
        try:
            while line:
                line = line[os.write(self._out, line) :]
        except OSError:
            self._owner_gone()
        finally:
            self._writing.release()

    def lines(self) -> Iterator[bytes | None]:
        """Lines as they come, until the other side closes; None stands for one that is too long to be read.

        Not by way of `sys.stdin`: a thread that waits in its buffer makes Python abort at exit.
        """
        rest, skipping = b"", False
        while chunk := os.read(self._in, _CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if not skipping:
                    yield line if len(line) < MOST_LINE_BYTES else None
                skipping = False
            if len(rest) >= MOST_LINE_BYTES:
                if not skipping:
                    yield None
                rest, skipping = b"", True
