"""One run of a Processing algorithm: a worker of its own, what it says to the feedback, and nothing left when it is stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qgis.core import QgsProcessingException, QgsProcessingFeedback
from qgis.PyQt.QtCore import QCoreApplication, QTemporaryDir

from . import report, request
from .installation import launch
from .layers import LayerError
from .leftovers import Leftovers
from .process import Worker
from .protocol import Cancelled, Event, WorkerError


def tr(text: str) -> str:
    return QCoreApplication.translate("Running", text)


@contextmanager
def run_folder() -> Iterator[str]:
    """An empty folder for one run, gone with it. Raises LayerError if none can be made."""
    folder = QTemporaryDir()
    if not folder.isValid():
        raise LayerError(tr("No temporary folder can be made: {}.").format(folder.errorString()))
    try:
        yield folder.path()
    finally:
        folder.remove()


@contextmanager
def told(feedback: QgsProcessingFeedback) -> Iterator[None]:
    """What goes wrong inside becomes the one error that Processing shows; details go to its log."""
    try:
        yield
    except WorkerError as error:
        if error.details:
            feedback.pushConsoleInfo(error.details)
        raise QgsProcessingException(str(error)) from error
    except LayerError as error:
        raise QgsProcessingException(str(error)) from error
    except Cancelled as error:
        # An exception and not an empty result, so that scripts notice.
        raise QgsProcessingException(tr("Cancelled; nothing is written.")) from error


def ask(folder: str, feedback: QgsProcessingFeedback, op: str, **fields: Any) -> Event:
    """One question to a worker of its own, with what its hello said added. Raises WorkerError, Cancelled."""
    start = launch(folder)
    with Worker(start) as worker:
        answer = worker.call(op, Listener(feedback), feedback.isCanceled, **fields)
        return {**worker.hello, **answer, "interpreter": start.python}


def make(folder: str, feedback: QgsProcessingFeedback, asked: dict[str, Any], output: str, device: str, write_request: bool = False) -> Event:
    """Plan, say what it will cost, then run: the file is at ``output``, and its request beside it if wished.

    Raises WorkerError and Cancelled; then there is no image, nor a part of one.
    """
    start, listen, left = launch(folder), Listener(feedback), Leftovers(output)
    try:
        with Worker(start) as worker:
            how = request.runtime(device)
            planned = worker.call("plan", listen, feedback.isCanceled, request=asked, **how)
            feedback.pushInfo(tr("rsgeo {} in {}").format(worker.hello.get("rsgeo", "?"), start.python))
            for line in report.plan_lines(planned):
                feedback.pushInfo(line)
            done = worker.call("run", listen, feedback.isCanceled, request=asked, output=output, **how)
            if write_request:
                worker.call("request", listen, feedback.isCanceled, request=asked, output=request.request_path(output))
    except Cancelled:
        left.remove(job=True)
        raise
    except WorkerError:
        # What was finished stays for the same run to go on from.
        left.remove(job=False)
        raise
    return done


class Listener:
    """Progress and log lines of a worker, to a feedback."""

    def __init__(self, feedback: QgsProcessingFeedback) -> None:
        self._feedback = feedback
        self._way = report.Way()
        self._warned: set[str] = set()

    def __call__(self, event: Event) -> None:
        kind = event.get("event")
        if kind == "progress":
            # In QGIS 3.22 each text adds a line to the log: one a stage is enough.
            if self._way.step(event):
                self._feedback.setProgressText(report.stage_words(event))
            self._feedback.setProgress(self._way.percent)
        elif kind == "log":
            self._log(str(event.get("level")), str(event.get("message", "")))

    def _log(self, level: str, message: str) -> None:
        if level != "warning":
            self._feedback.pushInfo(message)
        elif message not in self._warned:
            # Plan and run say the same ones.
            self._warned.add(message)
            self._feedback.pushWarning(message)
