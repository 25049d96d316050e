"""What the algorithms share: their place in the toolbox, parameters that several have, and how an area or a raster is read from them."""

from __future__ import annotations

import os
from typing import Any

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
    QgsProcessingParameterString,
    QgsProperty,
    QgsVectorLayer,
    QgsVectorLayerFeatureSource,
)
from qgis.PyQt.QtCore import QCoreApplication
from qgis.PyQt.QtGui import QIcon

from .. import layers, request

Parameters = dict[str, Any]

# Invalid geometry is rsgeo's to repair and report, the same way as in a file.
AS_THEY_ARE = QgsProcessingFeatureSource.Flag.FlagSkipGeometryValidityChecks


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


class AreaAlgorithm(RsgeoAlgorithm):
    """An algorithm that takes an area: polygons of a layer, or an extent."""

    AOI, EXTENT, PROMPT_FIELD, DEVICE = "AOI", "EXTENT", "PROMPT_FIELD", "DEVICE"

    def area_parameters(self, layer_text: str) -> list[QgsProcessingParameterDefinition]:
        polygons = [QgsProcessing.SourceType.TypeVectorPolygon]
        return [
            QgsProcessingParameterFeatureSource(self.AOI, layer_text, polygons, optional=True),
            QgsProcessingParameterExtent(self.EXTENT, shared("Extent, instead of polygons"), optional=True),
        ]

    def prompt_field_parameter(self) -> QgsProcessingParameterDefinition:
        field = QgsProcessingParameterField(self.PROMPT_FIELD, shared("Attribute with a prompt for each polygon"), None, self.AOI, optional=True)
        return explained(field, shared("Each polygon of the layer, selected or not, gets what its attribute says; the prompt fills the rest."))

    def device_parameter(self) -> QgsProcessingParameterDefinition:
        device = QgsProcessingParameterString(self.DEVICE, shared("Device (auto, cpu, cuda, mps)"), "auto")
        device.setMetadata({"widget_wrapper": {"value_hints": ["auto", "cpu", "cuda", "mps"]}})
        return advanced(device)

    def checkParameterValues(self, parameters: Parameters, context: QgsProcessingContext) -> tuple[bool, str]:
        aoi, extent = said(parameters, self.AOI), said(parameters, self.EXTENT)
        if not (aoi or extent):
            return False, shared("Say where: give a polygon layer or an extent.")
        if aoi and extent:
            return False, shared("Give a polygon layer or an extent, not both.")
        if said(parameters, self.PROMPT_FIELD) and not aoi:
            return False, shared("The attribute with prompts belongs to a polygon layer; give one.")
        return super().checkParameterValues(parameters, context)

    def prepareAlgorithm(self, parameters: Parameters, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> bool:
        # Layers belong to the main thread; what is taken of them here can be read in any other.
        self._source = self.parameterAsSource(parameters, self.AOI, context) if said(parameters, self.AOI) else None
        if said(parameters, self.AOI) and self._source is None:
            raise QgsProcessingException(self.invalidSourceError(parameters, self.AOI))
        self._field = self.parameterAsFields(parameters, self.PROMPT_FIELD, context)[:1] if said(parameters, self.PROMPT_FIELD) else []
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
        layers.write_prompts(features, self._field[0], self._prompt_kind, self._prompt_crs, path, feedback.isCanceled)
        return request.prompts(path, layers.PROMPT_LAYER, layers.PROMPT_FIELD)


def said(parameters: Parameters, name: str) -> bool:
    """Whether a parameter was given: neither nothing nor an empty text."""
    return parameters.get(name) not in (None, "", [])


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


def shared(text: str) -> str:
    return QCoreApplication.translate("AreaAlgorithm", text)
