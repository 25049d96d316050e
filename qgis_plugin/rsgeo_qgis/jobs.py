"""The dock's work: one thing after the other on a warm worker, in the main thread, told by signals."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from qgis.PyQt.QtCore import QObject, QTemporaryDir, pyqtSignal

from . import report
from .installation import launch
from .process import WarmWorker
from .protocol import Cancelled, Event, WorkerError


@dataclass(frozen=True)
class Job:
    """One thing to ask, and what is to be done with its answer. ``fields`` are those of the operation; ``title`` is for people."""

    op: str
    title: str
    fields: dict[str, Any]
    done: Callable[[Event], None] = field(default=lambda answer: None)


class Jobs(QObject):
    """A queue. ``began`` gives a title, ``progressed`` per cent and words, ``warned`` a sentence, ``failed`` an error and ends all that waits."""

    began = pyqtSignal(str)
    progressed = pyqtSignal(float, str)
    warned = pyqtSignal(str)
    failed = pyqtSignal(object)
    idle = pyqtSignal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._folder = QTemporaryDir()
        self._waiting: deque[Job] = deque()
        self._job: Job | None = None
        self._way = report.Way()
        self._worker = WarmWorker(self)
        self._worker.said.connect(self._hear)
        self._worker.answered.connect(self._answered)
        self._worker.failed.connect(self._fail)

    @property
    def busy(self) -> bool:
        return self._job is not None

    def add(self, jobs: Iterable[Job]) -> None:
        """Put jobs at the end; they begin now if nothing else is under way."""
        self._waiting.extend(jobs)
        if not self.busy:
            self._next()

    def cancel(self) -> None:
        """Forget what waits, and stop what is under way; ``failed`` says when it has stopped."""
        self._waiting.clear()
        self._worker.cancel()

    def stop(self) -> None:
        """End the worker: for unloading."""
        self._waiting.clear()
        self._job = None
        self._worker.stop()
        self._folder.remove()

    def _next(self) -> None:
        if not self._waiting:
            self._job = None
            self.idle.emit()
            return
        self._job, self._way = self._waiting.popleft(), report.Way()
        self.began.emit(self._job.title)
        try:
            self._worker.ask(launch(self._folder.path()), self._job.op, **self._job.fields)
        except WorkerError as error:
            self._fail(error)

    def _hear(self, event: Event) -> None:
        if event.get("event") == "progress":
            self._way.step(event)
            self.progressed.emit(self._way.percent, report.stage_words(event))
        elif event.get("event") == "log" and event.get("level") == "warning":
            self.warned.emit(str(event.get("message", "")))

    def _answered(self, answer: Event) -> None:
        job = self._job
        if job is not None:
            job.done(answer)
        self._next()

    def _fail(self, error: WorkerError | Cancelled) -> None:
        self._waiting.clear()
        self._job = None
        self.failed.emit(error)
        self.idle.emit()
