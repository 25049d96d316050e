"""The plugin as QGIS sees it: the provider always, windows only where there is a screen."""

from __future__ import annotations

import os
from typing import Any

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QCoreApplication, QTranslator

from .provider import RsgeoProvider


class Plugin:
    """Holds what must live as long as the plugin; `unload` gives all of it back."""

    def __init__(self, iface: Any) -> None:
        self._iface = iface
        self._provider: RsgeoProvider | None = None
        self._translator = _translator()

    def initProcessing(self) -> None:
        """The provider alone: what `qgis_process` calls."""
        self._provider = RsgeoProvider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:
        self.initProcessing()

    def unload(self) -> None:
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
