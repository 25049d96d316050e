"""Super-resolve: a raster becomes a finer picture on its own grid, subdivided."""

from __future__ import annotations

import os
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
)

from .. import layers, request
from .base import Parameters, explained, said
from .seeing import SeeingAlgorithm

_DOUBLE = QgsProcessingParameterNumber.Type.Double


class SuperResolve(SeeingAlgorithm):
    """A raster layer, or a Sentinel-2 product, in; one finer image out."""

    INPUT, PRODUCT, GSD = "INPUT", "PRODUCT", "GSD"

    def name(self) -> str:
        return "superres"

    def displayName(self) -> str:
        return self.tr("Super-resolve")

    def group(self) -> str:
        return self.tr("Enhance")

    def groupId(self) -> str:
        return "enhance"

    def tags(self) -> list[str]:
        return ["synthetic", "superresolution", "finer", "upscale", "sentinel-2", "satellite"]

    def shortHelpString(self) -> str:
        return self.tr(
            "Makes a raster finer: Sentinel-2 as it is delivered (a .SAFE folder's MTD_MSIL1C.xml or MTD_MSIL2A.xml, or the ZIP), other rasters with "
            "named bands, or red, green and blue pictures become a picture of smaller pixels on the same grid. The detail is invented: it is "
            "plausible, and not measured. How well the picture agrees with the raster is written beside it (NAME.report.json)."
        )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        gsd = QgsProcessingParameterNumber(self.GSD, self.tr("Ground sample distance of the result (m)"), _DOUBLE, 2.5, False, 0.1)
        product = QgsProcessingParameterFile(self.PRODUCT, self.tr("Or a Sentinel-2 product: its MTD_MSIL*.xml, or the ZIP"), optional=True)
        for parameter in (
            QgsProcessingParameterRasterLayer(self.INPUT, self.tr("Raster"), None, True),
            product,
            explained(gsd, self.tr("A whole part of the raster's pixels keeps the grids nested: 2.5 m of 10 m.")),
            *self.area_parameters(self.tr("Area to cut out: polygons; empty: all")),
            *self.seeing_parameters(),
        ):
            self.addParameter(parameter)
        self.add_making_parameters(self.tr("Finer image"))

    def checkParameterValues(self, parameters: Parameters, context: QgsProcessingContext) -> tuple[bool, str]:
        if said(parameters, self.INPUT) == said(parameters, self.PRODUCT):
            return False, self.tr("Give a raster or a Sentinel-2 product.")
        return super().checkParameterValues(parameters, context)

    def prepareAlgorithm(self, parameters: Parameters, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> bool:
        self._raster = None
        if said(parameters, self.INPUT):
            raster = self.parameterAsRasterLayer(parameters, self.INPUT, context)
            if raster is None:
                raise QgsProcessingException(self.invalidRasterError(parameters, self.INPUT))
            self._raster = layers.RasterSource.of(raster)
        return super().prepareAlgorithm(parameters, context, feedback)

    def asked(self, parameters: Parameters, context: QgsProcessingContext, feedback: QgsProcessingFeedback, folder: str) -> request.Fields:
        path = self._raster.path() if self._raster is not None else os.path.abspath(self.parameterAsFile(parameters, self.PRODUCT, context))
        area = self.area(parameters, context, feedback, folder) if self.has_area(parameters) else None
        return request.superres([path], self.parameterAsDouble(parameters, self.GSD, context), area, **self.seen(parameters, context))
