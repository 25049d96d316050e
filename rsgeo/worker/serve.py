"""The worker: one thread listens, one works on what was asked in turn, one says every two seconds that the process lives."""

from __future__ import annotations

import os
import platform
import queue
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

from rsgeo._version import __version__
from rsgeo.errors import CancelledError, RsgeoError, RsgeoWarning
from rsgeo.geo import atomic
from rsgeo.worker import events, faults, memory, messages, operations
from rsgeo.worker.channel import Channel
from rsgeo.worker.messages import PROTOCOL, BadMessageError, Cancel, Init, Operation, Plan, Run, Shutdown
from rsgeo.worker.operations import Job
from rsgeo.worker.tasks import TASKS

_HEARTBEAT_S = 2.0
_LAST_WORDS_S = 0.2


def serve() -> None:
    """Serve the program at the other end of standard input and output, until it says shutdown or closes."""
    # Ctrl-C in a terminal goes to all that runs there; what becomes of a run is for the owner to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Worker(Channel(owner_gone=_leave)).work()


def _leave() -> NoReturn:
    """End this process at once, whatever its threads do, and leave nothing of an unfinished run."""
    atomic.abandon()
    os._exit(0)


@dataclass(frozen=True)
class _Asked:
    """An operation that has no answer yet."""

    message: Operation
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def exits(self) -> bool:
        """Whether the process ends with it when it is cancelled."""
        return isinstance(self.message, Plan | Run) and self.message.runtime.on_cancel == "exit"


class Worker:
    """One conversation."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._queue: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._open: dict[str, _Asked] = {}
        self._ready = False

    def work(self) -> None:
        """Say hello, and do what is asked until shutdown."""
        self._channel.send(events.Hello(rsgeo=__version__, python=platform.python_version(), pid=os.getpid()))
        threading.Thread(target=self._listen, daemon=True).start()
        while (asked := self._queue.get()) is not None:
            self._end(asked, self._answer(asked))
        self._channel.send(events.Bye())

    def _answer(self, asked: _Asked) -> events.Event:
        job = Job(asked.message.id, self._channel.send, asked.stop.is_set)
        try:
            if asked.stop.is_set():
                return events.Cancelled(id=job.id)
            with _told(job):
                return operations.perform(asked.message, job)
        except CancelledError:
            atomic.remove_made()
            return events.Cancelled(id=job.id)
        except RsgeoError as failure:
            return faults.error(job.id, failure)
        except Exception as failure:
            # Whoever asked has to have an answer to everything; what it was stands in the log.
            traceback.print_exc()
            return faults.error(job.id, failure)

    def _end(self, asked: _Asked, last: events.Event) -> None:
        """Say the last word of an operation, unless the listening thread said it already."""
        if self._open.pop(asked.message.id, None) is not None:
            atomic.made.clear()  # what is there now is the user's
            self._channel.send(last)

    def _listen(self) -> None:
        for line in self._channel.lines():
            try:
                if line is None:
                    raise BadMessageError(f"A line is longer than {messages.MOST_LINE_BYTES} bytes; put large areas into a file.")
                if line.strip():
                    self._hear(messages.parse(line))
            except BadMessageError as failure:
                self._channel.send(faults.error(failure.id, failure))
        _leave()

    def _hear(self, message: messages.Told) -> None:
        match message:
            case Init():
                self._greet(message)
            case Cancel():
                self._cancel(message.id)
            case Shutdown():
                self._queue.put(None)
            case _:
                if not self._ready:
                    raise BadMessageError(f"Say init with protocol {PROTOCOL} first.", message.id)
                if message.id in self._open:
                    raise BadMessageError(f"The id {message.id} was asked for already and has no answer yet; choose another.")
                asked = self._open[message.id] = _Asked(message)
                self._queue.put(asked)

    def _greet(self, init: Init) -> None:
        if init.protocol != PROTOCOL:
            self._channel.send(faults.unsupported(init.protocol, PROTOCOL))
            return
        self._channel.send(events.Ready(operations=(*TASKS, "info")))
        if not self._ready:
            threading.Thread(target=self._live, daemon=True).start()
        self._ready = True

    def _cancel(self, id: str) -> None:
        """Cancelling what is unknown or has its answer is no fault: answers and cancels cross."""
        asked = self._open.get(id)
        if asked is None:
            return
        if not asked.exits:
            asked.stop.set()
        elif self._open.pop(id, None) is not None:
            atomic.abandon()
            self._channel.send(events.Cancelled(id=id), within_s=_LAST_WORDS_S)
            os._exit(0)

    def _live(self) -> None:
        begun = time.monotonic()
        while True:
            self._channel.send(events.Heartbeat(t=round(time.monotonic() - begun, 1), rss_mb=memory.resident_mb()))
            time.sleep(_HEARTBEAT_S)


@contextmanager
def _told(job: Job) -> Iterator[None]:
    """Sends the warnings of rsgeo to whoever asked; all others go where Python sends them."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", RsgeoWarning)
        default = warnings.showwarning

        def show(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, RsgeoWarning):
                job.warn(str(message))
            else:
                default(message, category, *rest, **more)

        warnings.showwarning = show
        yield
