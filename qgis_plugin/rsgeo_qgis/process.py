"""The worker's process: `Worker` is polled in the thread that made it, `WarmWorker` lives in the main thread and speaks by signals."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qgis.PyQt.QtCore import QObject, QProcess, QProcessEnvironment, QTimer, pyqtSignal

from . import protocol
from .protocol import Cancelled, Event, WorkerError

HELLO_WITHIN_S = 20.0
POLL_MS = 100
STDERR_LINES = 40
HEARTBEAT_WITHIN_S = 30.0

# The ladder of a cancelled run: what is waited for the worker's own end, then for its end without an owner, then for the kill.
CANCEL_S, OWNER_GONE_S, KILL_S = 2.0, 1.0, 1.0
WARM_CANCEL_S = 10.0
# A worker that has done its work is asked to go; Python and torch take a moment for it.
SHUTDOWN_S = 3.0


@dataclass(frozen=True)
class Launch:
    """How to start a worker: an interpreter, its whole environment, the folder to start in, and who asks in which language."""

    python: str
    environment: Mapping[str, str]
    folder: str
    client: str
    locale: str

    def process(self, parent: QObject | None = None) -> QProcess:
        """A process, not started yet, on an object that must be kept: with it goes the worker."""
        process = QProcess(parent)
        environment = QProcessEnvironment()
        for name, value in self.environment.items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        process.setWorkingDirectory(self.folder)
        process.setProgram(self.python)
        process.setArguments(["-u", "-m", "rsgeo", "worker"])
        return process


class _Tail:
    """The last lines of a stream."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=STDERR_LINES)
        self._rest = ""

    def add(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data.decode("utf-8", "replace")).split("\n")
        self._lines.extend(line.rstrip() for line in lines)

    def __str__(self) -> str:
        return "\n".join([*self._lines, *([self._rest] if self._rest else [])])


def _not_started(python: str, reason: str) -> WorkerError:
    return WorkerError("no_python", f"{python} cannot be started: {reason}.", "Choose another Python in the settings.")


class Worker:
    """One worker for one run, asked and answered by polling: needs no event loop, and serves in any thread, which must be the one that made it.

    Use it as a context: leaving ends the process. Raises WorkerError on entering if there is no rsgeo, or one of another protocol.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._talk = protocol.Conversation(launch.client, launch.locale)
        self._process = launch.process()
        self._stderr = _Tail()
        self._asked = 0

    def __enter__(self) -> Worker:
        self._process.start()
        if not self._process.waitForStarted(int(HELLO_WITHIN_S * 1000)):
            raise _not_started(self._launch.python, self._process.errorString())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._process.state() == QProcess.ProcessState.Running:
            self._process.write(protocol.SHUTDOWN)
            self._process.waitForFinished(int(SHUTDOWN_S * 1000))
        self.close()

    @property
    def hello(self) -> Event:
        """Versions and process id, as the worker told them."""
        return self._talk.hello

    def call(self, op: str, listen: Callable[[Event], None], cancelled: Callable[[], bool], **fields: Any) -> Event:
        """Ask for something and wait for its end; ``listen`` gets all that is said on the way.

        Raises Cancelled when ``cancelled`` said so, WorkerError for all else that is no answer.
        """
        self._wait_until_ready(cancelled)
        self._asked += 1
        ident = str(self._asked)
        self._process.write(protocol.operation(op, ident, **fields))
        heard, warned = time.monotonic(), False
        while True:
            events = self._turn()
            for event in events:
                if protocol.ends(event, ident):
                    return protocol.answer_of(event)
                listen(event)
            if cancelled():
                self._cancel(ident)
                raise Cancelled
            now = time.monotonic()
            if events:
                heard, warned = now, False
            elif now - heard > HEARTBEAT_WITHIN_S and not warned:
                listen({"event": "log", "level": "warning", "message": f"rsgeo has not been heard for {HEARTBEAT_WITHIN_S:.0f} s; it may be busy."})
                warned = True

    def close(self) -> None:
        """End the process, whatever it does: it goes when its input closes, or is made to."""
        if self._process.state() == QProcess.ProcessState.NotRunning:
            return
        self._process.closeWriteChannel()
        if not self._process.waitForFinished(int(OWNER_GONE_S * 1000)):
            self._process.kill()
            self._process.waitForFinished(int(KILL_S * 1000))

    def _wait_until_ready(self, cancelled: Callable[[], bool]) -> None:
        until = time.monotonic() + HELLO_WITHIN_S
        while not self._talk.ready:
            self._turn()
            if cancelled():
                self.close()
                raise Cancelled
            if time.monotonic() > until:
                raise protocol.not_rsgeo(f"Nothing was heard within {HELLO_WITHIN_S:.0f} s.\n{self._stderr}")

    def _turn(self) -> list[Event]:
        """All that is said within a tenth of a second. Raises WorkerError if nothing more can come."""
        self._process.waitForReadyRead(POLL_MS)
        # Asked before reading: what a process said before its end is still read.
        ended = self._process.state() == QProcess.ProcessState.NotRunning
        self._stderr.add(self._process.readAllStandardError().data())
        data = self._process.readAllStandardOutput().data()
        try:
            events, answer = self._talk.receive(data)
        except WorkerError as error:
            error.details = f"{error.details}\n{self._stderr}".strip()
            raise
        if answer:
            self._process.write(answer)
        if ended and not data:
            raise self._ended()
        return events

    def _ended(self) -> WorkerError:
        if not self._talk.hello:
            return protocol.not_rsgeo(str(self._stderr))
        crashed = self._process.exitStatus() == QProcess.ExitStatus.CrashExit
        return protocol.died(self._process.exitCode(), crashed, str(self._stderr))

    def _cancel(self, ident: str) -> None:
        self._process.write(protocol.operation("cancel", ident))
        until = time.monotonic() + CANCEL_S
        while time.monotonic() < until:
            try:
                if any(protocol.ends(event, ident) for event in self._turn()):
                    break
            except WorkerError:
                # Its end, or its last words cut off: both are what was asked for.
                break
        self.close()


class WarmWorker(QObject):
    """One worker for many runs, in the main thread: the model stays loaded between them, and nothing ever waits.

    One thing is asked at a time. ``said`` passes on what is told on the way, ``answered`` the end of what was asked, ``failed`` a WorkerError
    or Cancelled instead of it. After a WorkerError of a broken process the next question starts a new one.
    """

    said = pyqtSignal(dict)
    answered = pyqtSignal(dict)
    failed = pyqtSignal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._process: QProcess | None = None
        self._talk: protocol.Conversation | None = None
        self._stderr = _Tail()
        self._asked = 0
        self._op = ""
        self._waiting = b""
        self._ladder = QTimer(self)
        self._ladder.setSingleShot(True)
        self._ladder.timeout.connect(self._next_rung)
        self._cancelling = False

    @property
    def busy(self) -> bool:
        """Whether something asked has no answer yet."""
        return bool(self._op)

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def ask(self, launch: Launch, op: str, **fields: Any) -> None:
        """Ask for something; the process is started if there is none. Raises WorkerError for a request that no message can hold."""
        self._asked += 1
        line = protocol.operation(op, str(self._asked), **fields)
        self._op, self._cancelling = op, False
        if self._process is None:
            self._waiting = line
            self._start(launch)
        elif self._talk is not None and self._talk.ready:
            self._process.write(line)
        else:
            self._waiting = line

    def cancel(self) -> None:
        """Stop what was asked: kindly, then by closing, then by force."""
        if self._process is None or not self._op or self._cancelling:
            return
        self._cancelling = True
        if self._talk is not None and self._talk.ready:
            self._process.write(protocol.operation("cancel", str(self._asked)))
            self._ladder.start(int(WARM_CANCEL_S * 1000))
        else:
            self._process.kill()

    def stop(self) -> None:
        """End the process, within some seconds, without a word to anybody: for unloading."""
        process, self._process = self._process, None
        idle = not self._op
        self._ladder.stop()
        self._op, self._talk = "", None
        if process is None:
            return
        process.disconnect()
        if idle:
            process.write(protocol.SHUTDOWN)
            process.waitForFinished(int(SHUTDOWN_S * 1000))
        process.closeWriteChannel()
        if not process.waitForFinished(int(OWNER_GONE_S * 1000)):
            process.kill()
            process.waitForFinished(int(KILL_S * 1000))
        process.deleteLater()

    def _start(self, launch: Launch) -> None:
        self._talk, self._stderr = protocol.Conversation(launch.client, launch.locale), _Tail()
        process = launch.process(self)
        process.readyReadStandardOutput.connect(self._read)
        process.readyReadStandardError.connect(self._read_stderr)
        process.finished.connect(self._finished)
        process.errorOccurred.connect(self._error)
        self._process = process
        process.start()
        self._ladder.start(int(HELLO_WITHIN_S * 1000))

    def _read_stderr(self) -> None:
        if self._process is not None:
            self._stderr.add(self._process.readAllStandardError().data())

    def _read(self) -> None:
        if self._process is None or self._talk is None:
            return
        try:
            events, answer = self._talk.receive(self._process.readAllStandardOutput().data())
        except WorkerError as error:
            self._give_up(error)
            return
        if answer:
            self._process.write(answer)
        if self._talk.ready and self._waiting:
            self._ladder.stop()
            self._process.write(self._waiting)
            self._waiting = b""
        for event in events:
            self._hear(event)

    def _hear(self, event: Event) -> None:
        if not protocol.ends(event, str(self._asked)):
            self.said.emit(event)
            return
        self._ladder.stop()
        self._op = ""
        try:
            answer = protocol.answer_of(event)
        except (WorkerError, Cancelled) as error:
            self.failed.emit(error)
            return
        self.answered.emit(answer)

    def _error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and self._process is not None:
            self._give_up(_not_started(self._process.program(), self._process.errorString()))

    def _finished(self, exit_code: int, status: QProcess.ExitStatus) -> None:
        self._read()
        self._read_stderr()
        if self._process is None:
            return
        hello = self._talk is not None and bool(self._talk.hello)
        crashed = status == QProcess.ExitStatus.CrashExit
        self._give_up(protocol.died(exit_code, crashed, str(self._stderr)) if hello else protocol.not_rsgeo(str(self._stderr)))

    def _next_rung(self) -> None:
        """Nothing was heard in time: of a start, give up; of a cancel, close, then kill."""
        if self._process is None:
            return
        if not self._cancelling:
            self._give_up(protocol.not_rsgeo(f"Nothing was heard within {HELLO_WITHIN_S:.0f} s.\n{self._stderr}"))
            return
        self._process.closeWriteChannel()
        QTimer.singleShot(int(OWNER_GONE_S * 1000), self._process.kill)

    def _give_up(self, error: WorkerError) -> None:
        """The process is of no more use; who asked is told, and a cancel got what it wanted."""
        process, self._process = self._process, None
        self._ladder.stop()
        asked, self._op, self._waiting, self._talk = self._op, "", b"", None
        if process is not None:
            process.disconnect()
            process.kill()
            process.finished.connect(process.deleteLater)
            if process.state() == QProcess.ProcessState.NotRunning:
                process.deleteLater()
        if asked:
            self.failed.emit(Cancelled() if self._cancelling else error)
