"""Where: an area from a polygon layer or an extent, and prompts by polygon."""

from __future__ import annotations

import os

from qgis.core import (
    QgsFeatureRequest,
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSource,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProperty,
    QgsVectorLayer,
    QgsVectorLayerFeatureSource,
)
from qgis.PyQt.QtCore import QCoreApplication

from .. import layers, request
from .base import Parameters, explained, said
from .making import MakingAlgorithm

# Invalid geometry is rsgeo's to repair and report, the same way as in a file.
AS_THEY_ARE = QgsProcessingFeatureSource.Flag.FlagSkipGeometryValidityChecks


def tr(text: str) -> str:
    return QCoreApplication.translate("Area", text)


class AreaAlgorithm(MakingAlgorithm):
    """An algorithm that makes an image of an area: polygons of a layer, or an extent."""

    AOI, EXTENT, PROMPT_FIELD = "AOI", "EXTENT", "PROMPT_FIELD"
    NEEDS_AREA = True

    def area_parameters(self, layer_text: str) -> list[QgsProcessingParameterDefinition]:
        polygons = [QgsProcessing.SourceType.TypeVectorPolygon]
        return [
            QgsProcessingParameterFeatureSource(self.AOI, layer_text, polygons, optional=True),
            QgsProcessingParameterExtent(self.EXTENT, tr("Extent, instead of polygons"), optional=True),
        ]

    def prompt_field_parameter(self) -> QgsProcessingParameterDefinition:
        field = QgsProcessingParameterField(self.PROMPT_FIELD, tr("Attribute with a prompt for each polygon"), None, self.AOI, optional=True)
        return explained(field, tr("Each polygon of the layer, selected or not, gets what its attribute says; the prompt fills the rest."))

    def checkParameterValues(self, parameters: Parameters, context: QgsProcessingContext) -> tuple[bool, str]:
        aoi, extent = said(parameters, self.AOI), said(parameters, self.EXTENT)
        if self.NEEDS_AREA and not (aoi or extent):
            return False, tr("Say where: give a polygon layer or an extent.")
        if aoi and extent:
            return False, tr("Give a polygon layer or an extent, not both.")
        if said(parameters, self.PROMPT_FIELD) and not aoi:
            return False, tr("The attribute with prompts belongs to a polygon layer; give one.")
        return super().checkParameterValues(parameters, context)

    def prepareAlgorithm(self, parameters: Parameters, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> bool:
        # Layers belong to the main thread; what is taken of them here can be read in any other.
        self._source = self.parameterAsSource(parameters, self.AOI, context) if said(parameters, self.AOI) else None
        if said(parameters, self.AOI) and self._source is None:
            raise QgsProcessingException(self.invalidSourceError(parameters, self.AOI))
        self._field = self.parameterAsString(parameters, self.PROMPT_FIELD, context) if said(parameters, self.PROMPT_FIELD) else ""
        self._prompts = None
        if self._field:
            layer = whole_layer(self, parameters, self.AOI, context)
            self._prompts = QgsVectorLayerFeatureSource(layer)
            self._prompt_kind, self._prompt_crs = layer.wkbType(), layer.crs()
        return True

    def area(self, parameters: Parameters, context: QgsProcessingContext, feedback: QgsProcessingFeedback, folder: str) -> request.Fields:
        """Where, for a request. Raises LayerError, Cancelled."""
        if self._source is not None:
            path = os.path.join(folder, "area.gpkg")
            source = self._source
            features = source.getFeatures(QgsFeatureRequest(), AS_THEY_ARE)
            layers.write_area(features, source.wkbType(), source.sourceCrs(), path, feedback.isCanceled)
            return request.area_file(path, layers.AOI_LAYER)
        box = self.parameterAsExtent(parameters, self.EXTENT, context)
        crs = layers.crs_text(self.parameterAsExtentCrs(parameters, self.EXTENT, context))
        return request.area_bounds(box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum(), crs)

    def by_polygon(self, feedback: QgsProcessingFeedback, folder: str) -> request.Fields | None:
        """Prompts by polygon, for a request; None if none are wished. Raises LayerError, Cancelled."""
        if self._prompts is None:
            return None
        path = os.path.join(folder, "area.gpkg")
        features = self._prompts.getFeatures(QgsFeatureRequest())
        layers.write_prompts(features, self._field, self._prompt_kind, self._prompt_crs, path, feedback.isCanceled)
        return request.prompts(path, layers.PROMPT_LAYER, layers.PROMPT_FIELD)


def whole_layer(algorithm: QgsProcessingAlgorithm, parameters: Parameters, name: str, context: QgsProcessingContext) -> QgsVectorLayer:
    """The layer behind a feature source, with its filter and without its selection."""
    value = parameters[name]
    if isinstance(value, QgsProcessingFeatureSourceDefinition):
        source = value.source
        value = source.staticValue() if isinstance(source, QgsProperty) else source
    layer = algorithm.parameterAsVectorLayer({**parameters, name: value}, name, context)
    if layer is None:
        raise QgsProcessingException(algorithm.invalidSourceError(parameters, name))
    return layer
