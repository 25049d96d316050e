"""What all algorithms share."""

from __future__ import annotations

import os
from typing import Any

from qgis.core import QgsProcessingAlgorithm, QgsProcessingParameterDefinition
from qgis.PyQt.QtCore import QCoreApplication
from qgis.PyQt.QtGui import QIcon

Parameters = dict[str, Any]


class RsgeoAlgorithm(QgsProcessingAlgorithm):
    """An algorithm of the provider; a subclass gives the texts and the work."""

    def createInstance(self) -> RsgeoAlgorithm:
        return type(self)()

    def tr(self, text: str) -> str:
        return QCoreApplication.translate(type(self).__name__, text)

    def icon(self) -> QIcon:
        return icon()


def icon() -> QIcon:
    return QIcon(os.path.join(os.path.dirname(os.path.dirname(__file__)), "icon.svg"))


def advanced(parameter: QgsProcessingParameterDefinition) -> QgsProcessingParameterDefinition:
    """The parameter, folded away."""
    parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
    return parameter


def explained(parameter: QgsProcessingParameterDefinition, text: str) -> QgsProcessingParameterDefinition:
    """The parameter with its tooltip."""
    parameter.setHelp(text)
    return parameter


def said(parameters: Parameters, name: str) -> bool:
    """Whether a parameter was given: neither nothing nor an empty text."""
    return parameters.get(name) not in (None, "", [])
