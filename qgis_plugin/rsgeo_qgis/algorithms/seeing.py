"""An algorithm whose model sees rasters: what its dialogs share."""

from __future__ import annotations

from qgis.core import QgsProcessingContext, QgsProcessingParameterDefinition, QgsProcessingParameterNumber, QgsProcessingParameterString
from qgis.PyQt.QtCore import QCoreApplication

from .. import request
from .area import AreaAlgorithm
from .base import Parameters, advanced, explained, said

RADIOMETRIES = ("dn", "dn+1000", "reflectance", "rgb")
_INTEGER = QgsProcessingParameterNumber.Type.Integer


def tr(text: str) -> str:
    return QCoreApplication.translate("Seeing", text)


class SeeingAlgorithm(AreaAlgorithm):
    """Adds prompt, what the rasters hold, and what decides how the model runs. An area is not needed: without one all of the raster is made."""

    PROMPT, BANDS, RADIOMETRY, MODEL, SEED, STEPS = "PROMPT", "BANDS", "RADIOMETRY", "MODEL", "SEED", "STEPS"
    NEEDS_AREA = False

    def seeing_parameters(self) -> list[QgsProcessingParameterDefinition]:
        bands = QgsProcessingParameterString(
            self.BANDS, tr("Names of the bands in order, such as B02,B03,B04,B08; empty: recognised"), "", optional=True
        )
        kind = QgsProcessingParameterString(
            self.RADIOMETRY, tr("What the numbers are ({}); empty: recognised").format(", ".join(RADIOMETRIES)), "", optional=True
        )
        kind.setMetadata({"widget_wrapper": {"value_hints": ["", *RADIOMETRIES]}})
        steps = QgsProcessingParameterNumber(self.STEPS, tr("Inference steps; empty: the model's own"), _INTEGER, None, True, 1, 1000)
        numbers = tr("Reflectance times 10000 (dn), that plus 1000 (Sentinel-2 since 2022), reflectance, or grey levels of a picture (rgb).")
        return [
            QgsProcessingParameterString(self.PROMPT, tr("Prompt: what shall be there"), "", multiLine=True, optional=True),
            advanced(explained(bands, tr("Write - for a band of no use."))),
            advanced(explained(kind, numbers)),
            advanced(QgsProcessingParameterString(self.MODEL, tr("Model; empty: the best for this"), "", optional=True)),
            advanced(QgsProcessingParameterNumber(self.SEED, tr("Seed: another number, another world"), _INTEGER, 0, True, 0)),
            advanced(steps),
        ]

    def seen(self, parameters: Parameters, context: QgsProcessingContext) -> request.Fields:
        """What was said of the rasters and the model, by the names that `request.superres` and `request.predict` take."""
        return {
            "prompt": self.parameterAsString(parameters, self.PROMPT, context),
            "bands": self.parameterAsString(parameters, self.BANDS, context),
            "radiometry": self.parameterAsString(parameters, self.RADIOMETRY, context) or None,
            "seed": self.parameterAsInt(parameters, self.SEED, context) if said(parameters, self.SEED) else None,
            "steps": self.parameterAsInt(parameters, self.STEPS, context) if said(parameters, self.STEPS) else None,
            "model": self.parameterAsString(parameters, self.MODEL, context),
        }

    def has_area(self, parameters: Parameters) -> bool:
        return said(parameters, self.AOI) or said(parameters, self.EXTENT)
