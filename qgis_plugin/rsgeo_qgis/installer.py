"""Commands of a Python outside QGIS, run one after another without waiting: the guided set-up, and the question what an interpreter is."""

from __future__ import annotations

import codecs
import os
import shutil
import signal
import sys
from collections.abc import Mapping

from qgis.PyQt.QtCore import QObject, QProcess, QProcessEnvironment, QTimer, pyqtSignal

from . import discover, guided_setup
from .discover import Python
from .guided_setup import Plan
from .sentence import PluginError

PROBE_WITHIN_MS = 15_000
STOP_WITHIN_MS = 3_000

# venv and pip start programs of their own; a group of processes can be stopped as a whole.
_IN_A_GROUP = "import os, sys; os.setpgid(0, 0); os.execv(sys.argv[1], sys.argv[1:])"


def _process(parent: QObject, environment: Mapping[str, str], folder: str) -> QProcess:
    process = QProcess(parent)
    variables = QProcessEnvironment()
    for name, value in environment.items():
        variables.insert(name, value)
    process.setProcessEnvironment(variables)
    process.setWorkingDirectory(folder)
    return process


class Installer(QObject):
    """Runs the steps of a set-up in the main thread's event loop.

    ``begins`` tells a step's number, ``said`` each line that it prints; then comes one of ``done`` and ``stopped``, the latter with a
    PluginError, or with None when it was cancelled. What was finished stays: ``run`` with the same plan goes on from there.
    """

    begins = pyqtSignal(int)
    said = pyqtSignal(str)
    done = pyqtSignal()
    stopped = pyqtSignal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._process: QProcess | None = None
        self._cancelled = False

    @property
    def running(self) -> bool:
        """Whether a step runs."""
        return self._process is not None

    def begun(self, plan: Plan) -> bool:
        """Whether ``run`` would go on where this plan was stopped."""
        return guided_setup.begun(plan, _journal(plan)) is not None

    def run(self, plan: Plan, environment: Mapping[str, str]) -> None:
        """Begin, or go on where the same plan was stopped. ``environment`` is the cleaned one."""
        self._plan, self._environment, self._cancelled = plan, environment, False
        try:
            os.makedirs(plan.folder, exist_ok=True)
            self._begin(guided_setup.resume_at(plan, _journal(plan)))
        except OSError as error:
            self.stopped.emit(PluginError("{folder} cannot be written: {error}.", folder=plan.folder, error=error.strerror))

    def cancel(self) -> None:
        """Stop the step that runs, and all that it started."""
        if self._process is None:
            return
        self._cancelled, self._group = True, self._process.processId()
        if not _stop_group(self._group, force=False):
            self._process.kill()  # it has only just begun, and is no group yet
        QTimer.singleShot(STOP_WITHIN_MS, self._force)

    def close(self) -> None:
        """Stop at once, without a signal: for unloading."""
        process, self._process = self._process, None
        if process is not None:
            process.disconnect()
            if not _stop_group(process.processId(), force=True):
                process.kill()
            process.waitForFinished(STOP_WITHIN_MS)
            process.deleteLater()

    def _begin(self, number: int) -> None:
        part = os.path.join(self._plan.folder, guided_setup.JOURNAL + ".part")
        with open(part, "w", encoding="utf-8") as file:
            file.write(guided_setup.journal(self._plan, number))
        os.replace(part, os.path.join(self._plan.folder, guided_setup.JOURNAL))
        if number == len(self._plan.steps):
            for path in filter(os.path.exists, self._plan.leftovers):
                if os.path.isdir(path):
                    shutil.rmtree(path)
                else:
                    os.remove(path)
            self.done.emit()
            return
        step = self._plan.steps[number]
        if step.name == "install":
            try:
                # Only now are the wheels of a fetched bundle known by their contents.
                wheels = guided_setup.wheels_in(self._plan.wheels, discover.list_folder)
                guided_setup.check_space(guided_setup.sizes(wheels).installed, guided_setup.free_bytes(self._plan.folder))
            except PluginError as error:
                self.stopped.emit(error)
                return
        self._number, self._rest, self._last = number, "", ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.begins.emit(number)
        self.said.emit(" ".join(["$", step.program, *step.arguments]))
        process = _process(self, self._environment, self._plan.folder)
        process.setProcessChannelMode(QProcess.ProcessChannelMode.MergedChannels)
        process.readyReadStandardOutput.connect(self._read)
        process.finished.connect(self._finished)
        process.errorOccurred.connect(self._error)
        self._process = process
        if sys.platform == "win32":
            process.start(step.program, list(step.arguments))
        else:
            process.start(step.program, ["-c", _IN_A_GROUP, step.program, *step.arguments])

    def _read(self, last: bool = False) -> None:
        if self._process is None:
            return
        text = self._rest + self._decoder.decode(self._process.readAllStandardOutput().data(), last)
        *lines, self._rest = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        if last and self._rest:
            lines.append(self._rest)
        for line in lines:
            self._last = line.strip() or self._last
            self.said.emit(line)

    def _finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read(last=True)
        process, self._process = self._process, None
        if process is not None:
            process.deleteLater()
        if self._cancelled:
            _stop_group(self._group, force=True)  # what it started and did not take along
            self.stopped.emit(None)
        elif code != 0 or status != QProcess.ExitStatus.NormalExit:
            self.stopped.emit(PluginError("The set-up stopped; the last line says why: {line}", line=self._last or f"exit code {code}"))
        else:
            try:
                self._begin(self._number + 1)
            except OSError as error:
                self.stopped.emit(PluginError("{folder} cannot be written: {error}.", folder=self._plan.folder, error=error.strerror))

    def _error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and self._process is not None:
            process, self._process = self._process, None
            process.deleteLater()
            self.stopped.emit(PluginError("{path} cannot be started: {error}.", path=process.program(), error=process.errorString()))

    def _force(self) -> None:
        if self._cancelled and self._process is not None:
            _stop_group(self._group, force=True)


def _journal(plan: Plan) -> str:
    path = os.path.join(plan.folder, guided_setup.JOURNAL)
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read()


def _stop_group(group: int, force: bool) -> bool:
    """Stop a step and all that it started; False where there is no such group. ``group`` is its process's id, 0 if it has ended."""
    if not group:
        return False  # to the system, 0 is the group of QGIS
    if sys.platform == "win32":
        return bool(QProcess.startDetached("taskkill", ["/PID", str(group), "/T", "/F"]))
    try:
        os.killpg(group, signal.SIGKILL if force else signal.SIGTERM)
    except ProcessLookupError:
        return False
    return True


class Prober(QObject):
    """Asks interpreters, one after another, what they are. ``found`` gives (path, Python), ``failed`` (path, PluginError), ``done`` ends it."""

    found = pyqtSignal(str, object)
    failed = pyqtSignal(str, object)
    done = pyqtSignal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._process: QProcess | None = None
        self._left: list[str] = []
        self._limit = QTimer(self)
        self._limit.setSingleShot(True)
        self._limit.timeout.connect(self._late)

    def ask(self, pythons: list[str], environment: Mapping[str, str], folder: str) -> None:
        """Ask these; those of an earlier call that were not asked yet are not asked any more. ``folder`` is an empty one to start in."""
        self.close()
        self._left, self._environment, self._folder = list(pythons), environment, folder
        self._next()

    def close(self) -> None:
        """Ask nobody any more, without a signal."""
        self._limit.stop()
        self._left = []
        process, self._process = self._process, None
        if process is not None:
            process.disconnect()
            process.kill()
            process.waitForFinished(STOP_WITHIN_MS)
            process.deleteLater()

    def _next(self) -> None:
        if not self._left:
            self.done.emit()
            return
        process = _process(self, self._environment, self._folder)
        process.finished.connect(self._finished)
        process.errorOccurred.connect(self._error)
        self._process = process
        self._limit.start(PROBE_WITHIN_MS)
        process.start(self._left.pop(0), ["-c", discover.PROBE])

    def _finished(self) -> None:
        if self._process is not None:
            try:
                python: Python | PluginError = discover.parse_probe(self._process.readAllStandardOutput().data().decode("utf-8", "replace"))
            except PluginError as error:
                python = error
            self._tell(python)

    def _error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and self._process is not None:
            path, reason = self._process.program(), self._process.errorString()
            self._tell(PluginError("{path} cannot be started: {error}.", path=path, error=reason))

    def _late(self) -> None:
        if self._process is not None:
            process, path = self._process, self._process.program()
            process.finished.disconnect(self._finished)
            process.kill()
            self._tell(PluginError("{path} did not answer within {seconds} s; choose another Python.", path=path, seconds=PROBE_WITHIN_MS // 1000))

    def _tell(self, answer: Python | PluginError) -> None:
        process, self._process = self._process, None
        self._limit.stop()
        path = process.program()
        process.deleteLater()
        self.failed.emit(path, answer) if isinstance(answer, PluginError) else self.found.emit(path, answer)
        if self._process is None:
            self._next()
