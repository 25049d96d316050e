"""The settings page: which Python runs rsgeo, what it says of itself, the guided set-up, and a report to copy into an issue.

``plugin.py`` keeps an ``OptionsFactory`` and hands it to ``iface.registerOptionsWidgetFactory`` in ``initGui`` and to
``iface.unregisterOptionsWidgetFactory`` in ``unload``.
"""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

from qgis.core import Qgis, QgsApplication, QgsSettings
from qgis.gui import QgsFileWidget, QgsOptionsPageWidget, QgsOptionsWidgetFactory
from qgis.PyQt.QtCore import QCoreApplication, QProcessEnvironment, QTemporaryDir
from qgis.PyQt.QtGui import QFontDatabase, QHideEvent, QIcon, QShowEvent
from qgis.PyQt.QtWidgets import QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from . import diagnostics, discover, guided_setup
from .discover import Python
from .env import child_environment
from .installation import plugin_version
from .installer import Prober
from .process import Launch, WarmWorker
from .protocol import Cancelled, WorkerError
from .sentence import PluginError
from .setup_dialog import PLUGIN_FOLDER, SetupDialog, said

PAGE = "rsgeoOptions"  # what ``iface.showOptionsDialog`` opens


def tr(text: str) -> str:
    return QCoreApplication.translate("Settings", text)


class OptionsFactory(QgsOptionsWidgetFactory):
    """Puts the page into QGIS's Settings ▸ Options."""

    def __init__(self) -> None:
        super().__init__("rsgeo", _icon())

    def icon(self) -> QIcon:
        return _icon()

    def createWidget(self, parent: QWidget | None = None) -> OptionsPage:
        return OptionsPage(parent)


class OptionsPage(QgsOptionsPageWidget):
    """The page. What is typed counts when the options are applied; a finished set-up counts at once."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(PAGE)
        system = QProcessEnvironment.systemEnvironment()
        self._environ = {name: system.value(name) for name in system.keys()}  # noqa: SIM118 - no mapping
        self._environment = child_environment(self._environ, QgsApplication.prefixPath(), sys.platform)
        self._empty_folder = QTemporaryDir()
        self._found: list[str] = []
        self._prefixes: set[str] = set()
        self._checked: Python | None = None
        self._answer: dict[str, Any] = {}
        self._error = ""
        self._search, self._check_one, self._worker = Prober(self), Prober(self), WarmWorker(self)
        self._search.found.connect(self._list)
        self._check_one.found.connect(self._probed)
        self._check_one.failed.connect(lambda _, error: self._fail(said(error)))
        self._worker.answered.connect(self._described)
        self._worker.failed.connect(self._failed)
        self._build()

    def _build(self) -> None:
        self.python = QgsFileWidget()
        self.python.setFilePath(QgsSettings().value(discover.SETTING) or "")
        found = discover.find_python(None, self._environment)
        # An empty setting is not nothing: say what it means here.
        self.python.lineEdit().setPlaceholderText(found or tr("none found; choose one, or set rsgeo up"))
        self.check = QPushButton(tr("Check"))
        self.check.clicked.connect(self.start_check)
        row = QHBoxLayout()
        row.addWidget(self.python, 1)
        row.addWidget(self.check)

        self.pythons = QTreeWidget()
        self.pythons.setHeaderLabels([tr("Python"), tr("Version"), "rsgeo"])
        self.pythons.setRootIsDecorated(False)
        self.pythons.setColumnWidth(0, 420)
        self.pythons.itemActivated.connect(self._choose)
        self.pythons.itemClicked.connect(self._choose)

        self.verdict = QLabel()
        self.verdict.setWordWrap(True)
        self.report = QPlainTextEdit()
        self.report.setReadOnly(True)
        self.report.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))

        self.set_up = QPushButton(tr("Set up rsgeo…"))
        self.set_up.clicked.connect(self.open_setup)
        self.copy = QPushButton(tr("Copy report"))
        self.copy.setToolTip(tr("Copies what stands above, for an issue: versions, devices, models, names of variables; not your home folder."))
        self.copy.clicked.connect(lambda: QgsApplication.clipboard().setText(self.report.toPlainText()))
        buttons = QHBoxLayout()
        buttons.addWidget(self.set_up)
        buttons.addWidget(self.copy)
        buttons.addStretch()

        layout = QVBoxLayout(self)
        layout.addWidget(QLabel(tr("Python that runs rsgeo (empty: RSGEO_PYTHON, or the one of the command rsgeo)")))
        layout.addLayout(row)
        layout.addWidget(QLabel(tr("Found on this machine; click one to take it")))
        layout.addWidget(self.pythons, 1)
        layout.addWidget(self.verdict)
        layout.addWidget(self.report, 2)
        layout.addLayout(buttons)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not self.pythons.topLevelItemCount():
            self._search.ask(self._candidates(), self._environment, self._empty_folder.path())
        if not self.report.toPlainText():
            self.start_check()

    def hideEvent(self, event: QHideEvent) -> None:
        self._search.close()
        self._check_one.close()
        self._worker.stop()
        super().hideEvent(event)

    def apply(self) -> None:
        QgsSettings().setValue(discover.SETTING, self.python.filePath().strip())

    def start_check(self) -> None:
        """Ask the Python in the field what it is, and its rsgeo what it can do."""
        self._worker.stop()
        self._checked, self._answer, self._error = None, {}, ""
        self.python_checked = discover.find_python(self.python.filePath().strip() or None, self._environment)
        if self.python_checked is None:
            self._fail(tr("No Python with rsgeo is known; choose one, or press “Set up rsgeo…”."))
            return
        self.verdict.setText(tr("Asking {python} …").format(python=self.python_checked))
        self._check_one.ask([self.python_checked], self._environment, self._empty_folder.path())

    def open_setup(self) -> None:
        """Open the guided set-up. The options wait behind it, for with them it would go."""
        self.setup = SetupDialog(self._environment, self)
        self.setup.ready.connect(self._set_up)
        self.setup.open()

    def _candidates(self) -> list[str]:
        own = guided_setup.interpreter(guided_setup.default_folder(self._environment, sys.platform), sys.platform)
        known = [QgsSettings().value(discover.SETTING), discover.find_python(None, self._environment), own if os.path.exists(own) else None]
        return list(dict.fromkeys([*filter(None, known), *discover.base_pythons(self._environment, sys.platform)]))

    def _list(self, path: str, python: Python) -> None:
        if python.prefix in self._prefixes:
            return  # another name of one that is in the list
        self._prefixes.add(python.prefix)
        self._found.append(f"{path} ({python.version}, rsgeo {python.rsgeo or 'none'})")
        item = QTreeWidgetItem([path, python.version, python.rsgeo or ""])
        try:
            discover.check_version(python)
        except PluginError as error:
            item.setDisabled(True)
            item.setToolTip(0, said(error))
        self.pythons.addTopLevelItem(item)

    def _choose(self, item: QTreeWidgetItem) -> None:
        if not item.isDisabled():
            self.python.setFilePath(item.text(0))
            self.start_check()

    def _probed(self, path: str, python: Python) -> None:
        self._checked = python
        try:
            discover.check_version(python)
        except PluginError as error:
            self._fail(said(error))
            return
        if python.rsgeo is None:
            self._fail(tr("{python} has no rsgeo; choose another one, or press “Set up rsgeo…”.").format(python=path))
            return
        client = f"rsgeo_qgis {plugin_version()} / QGIS {Qgis.version()}"
        try:
            self._worker.ask(Launch(path, self._environment, self._empty_folder.path(), client, QgsApplication.locale()), "describe")
        except WorkerError as error:
            self._failed(error)

    def _described(self, answer: dict[str, Any]) -> None:
        self._answer = answer
        self._worker.stop()
        devices, models = diagnostics.devices(answer), [str(model.get("name")) for model in answer.get("models", ())]
        version = self._checked.rsgeo if self._checked else ""
        words = tr("rsgeo {version} works. Devices: {devices}. Models: {models}.")
        self.verdict.setText(words.format(version=version, devices="; ".join(devices) or "–", models="; ".join(models) or "–"))
        self._show_report()

    def _failed(self, error: WorkerError | Cancelled) -> None:
        self._fail(str(error), getattr(error, "details", ""))

    def _fail(self, message: str, details: str = "") -> None:
        self._error = "\n".join(part for part in (message, details) if part)
        self.verdict.setText(message)
        self._show_report()

    def _show_report(self) -> None:
        versions = {
            "plugin": f"rsgeo_qgis {plugin_version()}",
            "QGIS": Qgis.version(),
            "QGIS's Python": platform.python_version(),
            "system": platform.platform(),
            "chosen": self.python.filePath().strip() or "nothing",
        }
        self.report.setPlainText(diagnostics.report(versions, self._environ, self._checked, self._answer, self._error, self._found))

    def _set_up(self, python: str) -> None:
        self.python.setFilePath(python)
        self.apply()
        self.start_check()


def _icon() -> QIcon:
    return QIcon(os.path.join(PLUGIN_FOLDER, "icon.svg"))
