"""Inpaint: make some pixels of a raster anew, such as those under clouds."""

from __future__ import annotations

import os
from typing import Any

from qgis.core import (
    QgsFeatureRequest,
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)

from .. import layers, request
from .area import AS_THEY_ARE
from .base import Parameters, advanced, explained, said
from .making import MakingAlgorithm

_INTEGER = QgsProcessingParameterNumber.Type.Integer


class Inpaint(MakingAlgorithm):
    """A raster and what marks its pixels in, the raster with those made anew out."""

    INPUT, POLYGONS, MASK, MASK_VALUES, NODATA = "INPUT", "POLYGONS", "MASK", "MASK_VALUES", "NODATA"
    PROMPT, MODEL, SEED, STEPS = "PROMPT", "MODEL", "SEED", "STEPS"

    def name(self) -> str:
        return "inpaint"

    def displayName(self) -> str:
        return self.tr("Inpaint")

    def group(self) -> str:
        return self.tr("Enhance")

    def groupId(self) -> str:
        return "enhance"

    def tags(self) -> list[str]:
        return ["synthetic", "clouds", "gap", "fill", "mask", "inpaint", "scenario", "satellite"]

    def shortHelpString(self) -> str:
        return self.tr(
            "Makes some pixels of a raster anew: those under polygons, those that a mask raster marks, or those without data. All others stay "
            "bit for bit, with their number type, and one band more says which pixels were generated (1) or observed (0). Red, green and blue are "
            "made; other bands become nodata there. What was under a cloud is not known: the result is an illustration, and marked as partly "
            "synthetic."
        )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        polygons = [QgsProcessing.SourceType.TypeVectorPolygon]
        values = QgsProcessingParameterString(self.MASK_VALUES, self.tr("Which numbers of the mask; empty: all but 0"), "", optional=True)
        prompt = QgsProcessingParameterString(self.PROMPT, self.tr("Prompt: what shall be there"), "", multiLine=True, optional=True)
        for parameter in (
            QgsProcessingParameterRasterLayer(self.INPUT, self.tr("Raster")),
            QgsProcessingParameterFeatureSource(self.POLYGONS, self.tr("What to make anew: polygons"), polygons, optional=True),
            QgsProcessingParameterRasterLayer(self.MASK, self.tr("Or a mask raster, in any grid and CRS"), None, True),
            explained(values, self.tr("Such as 3,8,9,10 of a Sentinel-2 scene classification: shadow and clouds.")),
            QgsProcessingParameterBoolean(self.NODATA, self.tr("Or the pixels without data"), False, True),
            prompt,
            advanced(QgsProcessingParameterString(self.MODEL, self.tr("Model; empty: the best for this"), "", optional=True)),
            advanced(QgsProcessingParameterNumber(self.SEED, self.tr("Seed: another number, another world"), _INTEGER, 0, True, 0)),
            advanced(QgsProcessingParameterNumber(self.STEPS, self.tr("Inference steps; empty: the model's own"), _INTEGER, None, True, 1, 1000)),
        ):
            self.addParameter(parameter)
        self.add_making_parameters(self.tr("Inpainted image"))

    def checkParameterValues(self, parameters: Parameters, context: QgsProcessingContext) -> tuple[bool, str]:
        given = [said(parameters, self.POLYGONS), said(parameters, self.MASK), self.parameterAsBoolean(parameters, self.NODATA, context)]
        if sum(given) != 1:
            return False, self.tr("Say what to make anew by one of the three: polygons, a mask raster, or the pixels without data.")
        if said(parameters, self.MASK_VALUES) and not said(parameters, self.MASK):
            return False, self.tr("Numbers belong to a mask raster; give one.")
        if request.whole_numbers(self.parameterAsString(parameters, self.MASK_VALUES, context)) is None:
            return False, self.tr("The numbers of the mask are whole ones between commas, such as 3,8,9.")
        return super().checkParameterValues(parameters, context)

    def prepareAlgorithm(self, parameters: Parameters, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> bool:
        # Layers belong to the main thread; what is taken of them here can be read in any other.
        raster = self.parameterAsRasterLayer(parameters, self.INPUT, context)
        if raster is None:
            raise QgsProcessingException(self.invalidRasterError(parameters, self.INPUT))
        mask = self.parameterAsRasterLayer(parameters, self.MASK, context) if said(parameters, self.MASK) else None
        if said(parameters, self.MASK) and mask is None:
            raise QgsProcessingException(self.invalidRasterError(parameters, self.MASK))
        self._raster, self._mask = layers.RasterSource.of(raster), None if mask is None else layers.RasterSource.of(mask)
        self._source = self.parameterAsSource(parameters, self.POLYGONS, context) if said(parameters, self.POLYGONS) else None
        if said(parameters, self.POLYGONS) and self._source is None:
            raise QgsProcessingException(self.invalidSourceError(parameters, self.POLYGONS))
        return True

    def asked(self, parameters: Parameters, context: QgsProcessingContext, feedback: QgsProcessingFeedback, folder: str) -> request.Fields:
        def whole(name: str) -> int | None:
            return self.parameterAsInt(parameters, name, context) if said(parameters, name) else None

        return request.inpaint(
            self._raster.path(),
            self._marked(parameters, context, feedback, folder),
            prompt=self.parameterAsString(parameters, self.PROMPT, context),
            seed=whole(self.SEED),
            steps=whole(self.STEPS),
            model=self.parameterAsString(parameters, self.MODEL, context),
        )

    def _marked(self, parameters: Parameters, context: QgsProcessingContext, feedback: QgsProcessingFeedback, folder: str) -> request.Fields:
        """What is made anew, for a request. Raises LayerError, Cancelled."""
        if self._mask is not None:
            return request.mask_raster(self._mask.path(), self.parameterAsString(parameters, self.MASK_VALUES, context))
        if self._source is None:
            return request.mask_nodata()
        path = os.path.join(folder, "area.gpkg")
        features = self._source.getFeatures(QgsFeatureRequest(), AS_THEY_ARE)
        layers.write_area(features, self._source.wkbType(), self._source.sourceCrs(), path, feedback.isCanceled)
        return request.mask_area(path, layers.AOI_LAYER)
