"""The guided set-up as a window: says what will be made of what and where, asks, shows every line, can be stopped and gone on with."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from qgis.core import QgsApplication
from qgis.gui import QgsFileWidget
from qgis.PyQt.QtCore import QCoreApplication, Qt, QTemporaryDir, pyqtSignal
from qgis.PyQt.QtGui import QCloseEvent, QFontDatabase
from qgis.PyQt.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from . import discover, guided_setup
from .discover import Python
from .guided_setup import Plan, Source, WheelFolder
from .installer import Installer, Prober
from .sentence import PluginError

PLUGIN_FOLDER = os.path.dirname(os.path.abspath(__file__))


def tr(text: str) -> str:
    return QCoreApplication.translate("SetupDialog", text)


def said(error: PluginError) -> str:
    """An error's sentence in the user's language."""
    return QCoreApplication.translate("PluginError", error.template).format(**error.values)


class SetupDialog(QDialog):
    """``ready`` gives the Python in which rsgeo is installed now. ``environment`` is the cleaned one, for all that is run."""

    ready = pyqtSignal(str)

    def __init__(self, environment: Mapping[str, str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._environment = environment
        self._pythons: dict[str, Python | PluginError] = {}
        self._empty_folder = QTemporaryDir()
        self._installer = Installer(self)
        self._installer.begins.connect(self._begins)
        self._installer.said.connect(self._said)
        self._installer.done.connect(self._done)
        self._installer.stopped.connect(self._stopped)
        self._prober = Prober(self)
        self._prober.found.connect(self._probed)
        self._prober.failed.connect(self._probed)
        self._prober.done.connect(self._judge)
        self._build()
        self._prober.ask(discover.base_pythons(environment, sys.platform), environment, self._empty_folder.path())

    def _build(self) -> None:
        self.setWindowTitle(tr("Set up rsgeo"))
        self.resize(760, 640)
        about = QLabel(
            tr(
                "rsgeo runs in a Python of its own, outside QGIS. This makes a virtual environment in the folder below and installs rsgeo with all "
                "that it needs into it. Nothing is done before you press “Set up”, and nothing outside that folder is changed; to undo it, remove "
                "the folder."
            )
        )
        about.setWordWrap(True)

        self.folder = QgsFileWidget()
        self.folder.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        self.folder.setFilePath(guided_setup.default_folder(self._environment, sys.platform))
        self.python = QComboBox()
        self.python.setToolTip(tr("The Python that makes the environment: 3.11 or newer, never the one of QGIS."))
        other = QPushButton(tr("Other…"))
        other.setAutoDefault(False)
        other.clicked.connect(self._other_python)
        python_row = QHBoxLayout()
        python_row.addWidget(self.python, 1)
        python_row.addWidget(other)

        self.from_folder = QRadioButton(tr("Wheels in a folder of this machine; no network is used"))
        self.from_bundle = QRadioButton(tr("A zip file of wheels, by its path or its http(s) address; its SHA-256 is checked first"))
        self.from_folder.setChecked(True)
        sources = QButtonGroup(self)
        sources.addButton(self.from_folder)
        sources.addButton(self.from_bundle)
        self.wheels = QgsFileWidget()
        self.wheels.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        self.location, self.sha256 = QLineEdit(), QLineEdit()
        self.location.setPlaceholderText("https://… / …/rsgeo-wheels.zip")
        self.sha256.setPlaceholderText(tr("64 digits, from where the file comes from"))

        self.fields = QWidget()
        form = QFormLayout(self.fields)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow(tr("Folder"), self.folder)
        form.addRow(tr("Made by"), python_row)
        form.addRow(self.from_folder)
        form.addRow(tr("Wheels"), self.wheels)
        form.addRow(self.from_bundle)
        form.addRow(tr("Zip file"), self.location)
        form.addRow("SHA-256", self.sha256)

        self.verdict = QLabel()
        self.verdict.setWordWrap(True)
        self.verdict.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.progress = QProgressBar()
        self.progress.setFormat("%v / %m")
        self.log = QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))

        buttons = QDialogButtonBox()
        self.start = buttons.addButton(tr("Set up"), QDialogButtonBox.ButtonRole.ActionRole)
        self.stop = buttons.addButton(tr("Stop"), QDialogButtonBox.ButtonRole.ActionRole)
        copy = buttons.addButton(tr("Copy commands"), QDialogButtonBox.ButtonRole.ActionRole)
        buttons.addButton(QDialogButtonBox.StandardButton.Close)
        self.start.clicked.connect(self._start)
        self.stop.clicked.connect(self._installer.cancel)
        copy.clicked.connect(self._copy)
        buttons.rejected.connect(self.reject)

        layout = QVBoxLayout(self)
        layout.addWidget(about)
        layout.addWidget(self.fields)
        layout.addWidget(self.verdict)
        layout.addWidget(self.progress)
        layout.addWidget(self.log, 1)
        layout.addWidget(buttons)

        for changed in (self.folder.fileChanged, self.wheels.fileChanged, self.location.textChanged, self.sha256.textChanged):
            changed.connect(self._judge)
        self.python.currentIndexChanged.connect(self._judge)
        sources.buttonToggled.connect(self._judge)
        self.progress.hide()
        self._judge()

    def plan(self) -> tuple[Plan, str]:
        """The set-up that the fields describe, and what it takes, in words. Raises PluginError for the first thing that does not do."""
        folder = os.path.normpath(self.folder.filePath().strip()) if self.folder.filePath().strip() else ""
        guided_setup.check_folder(
            folder, PLUGIN_FOLDER, QgsApplication.qgisSettingsDirPath(), QgsApplication.prefixPath(), sys.platform, discover.list_folder
        )
        python = self._base()
        source = self._source(python)
        plan = guided_setup.plan(source, python.executable, folder, os.path.join(PLUGIN_FOLDER, "outside.py"), sys.platform)
        free = guided_setup.free_bytes(folder)
        sizes = guided_setup.sizes_of(source, discover.list_folder)
        if sizes is None:
            size = tr("How large the file is, the server says before anything is fetched; too little room stops it there.")
            return plan, f"{size} {tr('{free} MB are free.').format(free=free // guided_setup.MEGABYTE)}"
        if not self._installer.begun(plan):  # what a stopped one has written is removed first; the installation looks again
            guided_setup.check_space(sizes.installed, free)
        words = tr("{packed} MB of files become {installed} MB in the folder; {free} MB are free.")
        return plan, words.format(**{name: size // guided_setup.MEGABYTE for name, size in [*vars(sizes).items(), ("free", free)]})

    def _base(self) -> Python:
        python = self._pythons.get(self.python.currentData() or "")
        if python is None:
            raise PluginError("No Python is found that could make an environment; install Python 3.11 or newer, or name one with “Other…”.")
        if isinstance(python, PluginError):
            raise python
        discover.check_base(python)
        return python

    def _source(self, python: Python) -> Source:
        if self.from_bundle.isChecked():
            return guided_setup.bundle(self.location.text(), self.sha256.text())
        if not self.wheels.filePath().strip():
            raise PluginError("Choose the folder of wheels.")
        source = WheelFolder(os.path.abspath(self.wheels.filePath().strip()))
        paths = guided_setup.wheels_in(source.path, discover.list_folder)
        guided_setup.check_wheels([os.path.basename(path) for path in paths], python, sys.platform)
        return source

    def _judge(self, *_: object) -> None:
        running = self._installer.running
        self.stop.setEnabled(running)
        self.fields.setEnabled(not running)
        self.wheels.setEnabled(self.from_folder.isChecked())
        self.location.setEnabled(self.from_bundle.isChecked())
        self.sha256.setEnabled(self.from_bundle.isChecked())
        if running:
            self.start.setEnabled(False)
            return
        try:
            plan, words = self.plan()
        except PluginError as error:
            self.start.setEnabled(False)
            self.verdict.setText(said(error))
            return
        self.start.setEnabled(True)
        self.start.setText(tr("Go on") if self._installer.begun(plan) else tr("Set up"))
        self.verdict.setText(words)

    def _probed(self, path: str, answer: Python | PluginError) -> None:
        chosen = self.python.currentIndex() >= 0 and self._serves(self.python.currentData())
        known = {python.prefix for python in self._pythons.values() if isinstance(python, Python)}
        if isinstance(answer, Python) and answer.prefix in known:
            return  # another name of one that is in the list
        self._pythons[path] = answer
        text = said(answer) if isinstance(answer, PluginError) else f"Python {answer.version}: {path}"
        self.python.addItem(text, path)
        if not chosen:
            self.python.setCurrentIndex(self.python.count() - 1)

    def _serves(self, path: str) -> bool:
        python = self._pythons[path]
        try:
            if isinstance(python, Python):
                discover.check_base(python)
                return True
        except PluginError:
            return False
        return False

    def _other_python(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, tr("A Python, 3.11 or newer"))
        if path:
            self.offer(path)

    def offer(self, path: str) -> None:
        """Ask a Python that the user names what it is, and take it if it will do."""
        self.python.setCurrentIndex(-1)
        self._prober.ask([path], self._environment, self._empty_folder.path())

    def _start(self) -> None:
        try:
            plan, words = self.plan()
        except PluginError as error:
            self.verdict.setText(said(error))
            return
        self._plan = plan
        self.verdict.setText(words)
        self.progress.setRange(0, len(plan.steps))
        self.progress.show()
        self._installer.run(plan, self._environment)
        self._judge()

    def _begins(self, number: int) -> None:
        self.progress.setValue(number)
        words = {
            "obtain": tr("Getting the file and checking its SHA-256"),
            "unpack": tr("Unpacking the wheels"),
            "environment": tr("Making the virtual environment"),
            "install": tr("Installing; this takes a minute or more"),
            "verify": tr("Starting rsgeo to see whether it works"),
        }
        self.verdict.setText(words[self._plan.steps[number].name])

    def _said(self, line: str) -> None:
        self.log.appendPlainText(line)

    def _done(self) -> None:
        self.progress.setValue(len(self._plan.steps))
        self._judge()
        self.verdict.setText(tr("rsgeo is set up, and works, in {python}").format(python=self._plan.python))
        self.ready.emit(self._plan.python)

    def _stopped(self, error: PluginError | None) -> None:
        self._judge()
        self.verdict.setText(tr("Stopped. What was finished stays; “Go on” begins with what was not.") if error is None else said(error))

    def _copy(self) -> None:
        try:
            plan, _ = self.plan()
        except PluginError as error:
            self.verdict.setText(said(error))
            return
        QgsApplication.clipboard().setText(guided_setup.commands(plan, sys.platform))

    def end(self) -> None:
        """Stop all that runs, at once and without a word: for unloading."""
        self._prober.close()
        self._installer.close()

    def reject(self) -> None:
        if self._installer.running:
            self.verdict.setText(tr("Press “Stop” first; what is finished stays."))
            return
        self._prober.close()
        super().reject()

    def closeEvent(self, event: QCloseEvent) -> None:
        if self._installer.running:
            event.ignore()
            self.reject()
        else:
            self._prober.close()
            super().closeEvent(event)
