"""Check rsgeo installation: which Python runs rsgeo, and what it has."""

from __future__ import annotations

import json
from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingFeedback, QgsProcessingOutputString

from .. import diagnostics
from ..installation import remember_models
from ..running import ask, run_folder, told
from .base import Parameters, RsgeoAlgorithm


class CheckInstallation(RsgeoAlgorithm):
    """Nothing in, a report out that can be copied into an issue."""

    def name(self) -> str:
        return "checkinstallation"

    def displayName(self) -> str:
        return self.tr("Check rsgeo installation")

    def group(self) -> str:
        return self.tr("Tools")

    def groupId(self) -> str:
        return "tools"

    def shortHelpString(self) -> str:
        return self.tr("Starts the Python that runs rsgeo and says its version, models, devices and free memory. Nothing is changed.")

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        for name, text in (("PYTHON", self.tr("Python")), ("VERSION", self.tr("rsgeo")), ("REPORT", self.tr("Report (JSON)"))):
            self.addOutput(QgsProcessingOutputString(name, text))

    def processAlgorithm(self, parameters: Parameters, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> dict[str, Any]:
        with told(feedback), run_folder() as folder:
            found = ask(folder, feedback, "describe")
        facts = {name: value for name, value in found.items() if name not in ("event", "id", "pid")}
        remember_models(found)
        feedback.pushInfo(self.tr("Python: {} ({})").format(found["interpreter"], found.get("python", "")))
        feedback.pushInfo(self.tr("rsgeo: {}").format(found.get("rsgeo", "")))
        for model in diagnostics.models(found):
            feedback.pushInfo(self.tr("Model: {}").format(model))
        for device in diagnostics.devices(found):
            feedback.pushInfo(self.tr("Device: {}").format(device))
        return {
            "PYTHON": found["interpreter"],
            "VERSION": str(found.get("rsgeo", "")),
            "REPORT": json.dumps(facts, ensure_ascii=False, sort_keys=True),
        }
