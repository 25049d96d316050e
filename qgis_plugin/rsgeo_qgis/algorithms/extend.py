"""Extend: continue an image over more ground."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterRasterLayer,
)

from .. import layers, request
from .area import AreaAlgorithm
from .base import Parameters


class Extend(AreaAlgorithm):
    """An image and more ground in, one image out."""

    INPUT = "INPUT"

    def name(self) -> str:
        return "extend"

    def displayName(self) -> str:
        return self.tr("Extend")

    def group(self) -> str:
        return self.tr("Generate")

    def groupId(self) -> str:
        return "generate"

    def tags(self) -> list[str]:
        return ["synthetic", "outpaint", "continue", "enlarge", "satellite"]

    def shortHelpString(self) -> str:
        return self.tr(
            "Continues an image over more ground; the old pixels stay as they are. An image that rsgeo made goes on as the same world: prompt, "
            "seed, model and grid are read from it. Any other image keeps its number type and bands, and one band more says which pixels were "
            "generated (1) or observed (0). The result is one image of both areas."
        )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        for parameter in (
            QgsProcessingParameterRasterLayer(self.INPUT, self.tr("Image")),
            *self.area_parameters(self.tr("Area to continue over: polygons")),
            self.prompt_field_parameter(),
        ):
            self.addParameter(parameter)
        self.add_making_parameters(self.tr("Extended image"))

    def prepareAlgorithm(self, parameters: Parameters, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> bool:
        raster = self.parameterAsRasterLayer(parameters, self.INPUT, context)
        if raster is None:
            raise QgsProcessingException(self.invalidRasterError(parameters, self.INPUT))
        self._raster = layers.RasterSource.of(raster)
        return super().prepareAlgorithm(parameters, context, feedback)

    def asked(self, parameters: Parameters, context: QgsProcessingContext, feedback: QgsProcessingFeedback, folder: str) -> request.Fields:
        return request.extend(self._raster.path(), self.area(parameters, context, feedback, folder), self.by_polygon(feedback, folder))
