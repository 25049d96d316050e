"""An algorithm that makes an image: plan, run, and what becomes of the result. A subclass says what it asks for."""

from __future__ import annotations

import sys
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputFile,
    QgsProcessingOutputString,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterString,
)
from qgis.PyQt.QtCore import QCoreApplication

from .. import layers, request
from ..protocol import Event
from ..running import make, run_folder, told
from .base import Parameters, RsgeoAlgorithm, advanced


def tr(text: str) -> str:
    return QCoreApplication.translate("Making", text)


class MakingAlgorithm(RsgeoAlgorithm):
    """Adds device, output and the request beside it; carries out what `asked` gives."""

    DEVICE, WRITE_REQUEST, OUTPUT, SEED_OUTPUT, SIDECAR = "DEVICE", "WRITE_REQUEST", "OUTPUT", "USED_SEED", "SIDECAR"

    def add_making_parameters(self, output_text: str) -> None:
        """The last parameters of the dialog, and the outputs."""
        device = QgsProcessingParameterString(self.DEVICE, tr("Device (auto, cpu, cuda, mps)"), "auto")
        device.setMetadata({"widget_wrapper": {"value_hints": ["auto", "cpu", "cuda", "mps"]}})
        self.addParameter(advanced(device))
        text = tr("Write NAME.request.json beside the image, and show the command line that makes the same pixels")
        self.addParameter(advanced(QgsProcessingParameterBoolean(self.WRITE_REQUEST, text, False, True)))
        self.addParameter(QgsProcessingParameterRasterDestination(self.OUTPUT, output_text))
        self.addOutput(QgsProcessingOutputString(self.SEED_OUTPUT, tr("Seed")))
        self.addOutput(QgsProcessingOutputFile(self.SIDECAR, tr("STAC item beside the image")))

    def asked(self, parameters: Parameters, context: QgsProcessingContext, feedback: QgsProcessingFeedback, folder: str) -> request.Fields:
        """What the worker is asked for; files for it go into ``folder``. Raises LayerError, Cancelled."""
        raise NotImplementedError

    def processAlgorithm(self, parameters: Parameters, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> dict[str, Any]:
        output = self.parameterAsOutputLayer(parameters, self.OUTPUT, context)
        device = self.parameterAsString(parameters, self.DEVICE, context)
        write_request = self.parameterAsBoolean(parameters, self.WRITE_REQUEST, context)
        with told(feedback), run_folder() as folder:
            asked = self.asked(parameters, context, feedback, folder)
            result = make(folder, feedback, asked, output, device, write_request)
        if write_request:
            feedback.pushInfo(tr("The same pixels by the command line:"))
            again = request.references(asked, result)
            feedback.pushCommandInfo(request.command_line(request.request_path(output), output, sys.platform == "win32", again))
        if context.willLoadLayerOnCompletion(output):
            marker = layers.Marker(layers.Mark.of(asked, result))
            context.layerToLoadOnCompletionDetails(output).setPostProcessor(marker)
        return {self.OUTPUT: output, self.SEED_OUTPUT: str(result.get("seed", "")), self.SIDECAR: _sidecar(result)}


def _sidecar(result: Event) -> str:
    """The path of the STAC item, empty if none was written."""
    return next((str(entry["path"]) for entry in result.get("outputs", ()) if entry.get("role") == "stac"), "")
