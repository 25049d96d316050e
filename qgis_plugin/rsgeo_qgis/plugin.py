"""The plugin as QGIS sees it: the provider always, windows only where there is a screen."""

from __future__ import annotations

import os
from typing import Any

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QCoreApplication, Qt, QTranslator

from .algorithms.base import icon
from .provider import RsgeoProvider


def tr(text: str) -> str:
    return QCoreApplication.translate("Plugin", text)


class Plugin:
    """Holds what must live as long as the plugin; `unload` gives all of it back."""

    def __init__(self, iface: Any) -> None:
        self._iface = iface
        self._provider: RsgeoProvider | None = None
        self._options: Any = None
        self._action: Any = None
        self._dock: Any = None
        self._translator = _translator()

    def initProcessing(self) -> None:
        """The provider alone: what `qgis_process` calls."""
        self._provider = RsgeoProvider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:
        from .settings import OptionsFactory

        self.initProcessing()
        self._options = OptionsFactory()
        self._iface.registerOptionsWidgetFactory(self._options)
        # The menu makes the action: its class has another module in each version of Qt.
        self._action = self._iface.rasterMenu().addAction(icon(), tr("rsgeo: synthetic images"))
        self._action.triggered.connect(self.show_dock)
        self._iface.addToolBarIcon(self._action)

    def show_dock(self) -> None:
        """The dock, made when it is first wished for: QGIS starts without it."""
        if self._dock is None:
            from .dock import Dock

            self._dock = Dock(self._iface)
            self._iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self._dock)
        self._dock.setUserVisible(True)

    def unload(self) -> None:
        if self._dock is not None:
            self._dock.close_for_good()
            self._iface.removeDockWidget(self._dock)
            self._dock.deleteLater()
            self._dock = None
        if self._action is not None:
            self._iface.removeToolBarIcon(self._action)
            self._iface.rasterMenu().removeAction(self._action)
            self._action = None
        if self._options is not None:
            self._iface.unregisterOptionsWidgetFactory(self._options)
            self._options = None
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)
            self._provider = None
        if self._translator is not None:
            QCoreApplication.removeTranslator(self._translator)
            self._translator = None


def _translator() -> QTranslator | None:
    """The plugin's words in QGIS's language, installed; None where there are none."""
    path = os.path.join(os.path.dirname(__file__), "i18n", f"rsgeo_{QgsApplication.locale()[:2]}.qm")
    translator = QTranslator()
    if not (os.path.isfile(path) and translator.load(path)):
        return None
    QCoreApplication.installTranslator(translator)
    return translator
