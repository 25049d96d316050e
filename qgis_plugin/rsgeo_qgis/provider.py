"""The Processing provider: rsgeo in toolbox, models, batch and `qgis_process`."""

from __future__ import annotations

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .algorithms import ALL
from .algorithms.base import icon


class RsgeoProvider(QgsProcessingProvider):
    """Offers what `algorithms.ALL` lists."""

    def id(self) -> str:
        return "rsgeo"

    def name(self) -> str:
        return "rsgeo"

    def longName(self) -> str:
        return self.tr("rsgeo: synthetic satellite images")

    def icon(self) -> QIcon:
        return icon()

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        return ["tif"]  # what rsgeo writes

    def loadAlgorithms(self) -> None:
        for algorithm in ALL:
            self.addAlgorithm(algorithm())
