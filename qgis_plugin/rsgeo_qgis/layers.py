"""Layers in and out: areas to a GeoPackage that the worker reads, rasters to a file on disk, results to marked layers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from qgis.core import (
    NULL,
    QgsAbstractMetadataBase,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsFeature,
    QgsFields,
    QgsLayerMetadata,
    QgsMapLayer,
    QgsMultiBandColorRenderer,
    QgsProcessingLayerPostProcessorInterface,
    QgsProviderRegistry,
    QgsRasterLayer,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import QCoreApplication

from .protocol import Cancelled

Cancel = Callable[[], bool]

AOI_LAYER, PROMPT_LAYER, PROMPT_FIELD = "aoi", "prompts", "prompt"
_NAME_SHOWN = 40


class LayerError(Exception):
    """A layer that cannot be used as it is: one sentence."""


def tr(text: str) -> str:
    return QCoreApplication.translate("Layers", text)


def crs_text(crs: QgsCoordinateReferenceSystem) -> str:
    """An authority code or, where there is none that others know, WKT2. Raises LayerError for an unknown CRS."""
    if not crs.isValid():
        raise LayerError(tr("The layer has no coordinate reference system; set it in the layer's properties."))
    known = crs.authid().split(":")[0] in ("EPSG", "ESRI", "OGC", "IAU_2015", "IGNF")
    return crs.authid() if known else crs.toWkt(QgsCoordinateReferenceSystem.WktVariant.WKT2_2019)


def write_area(features: Iterable[QgsFeature], kind: QgsWkbTypes.Type, crs: QgsCoordinateReferenceSystem, path: str, cancelled: Cancel) -> None:
    """The geometries of features, as they are, to the layer `AOI_LAYER` of the GeoPackage ``path``.

    rsgeo unites and repairs them, as it does with a file. Raises LayerError if there is none, or no CRS, Cancelled.
    """
    _write(((feature, ()) for feature in features), QgsFields(), kind, crs, path, AOI_LAYER, cancelled)


def write_prompts(
    features: Iterable[QgsFeature], field: str, kind: QgsWkbTypes.Type, crs: QgsCoordinateReferenceSystem, path: str, cancelled: Cancel
) -> None:
    """Features and their attribute ``field``, as text under the name `PROMPT_FIELD`, to the layer `PROMPT_LAYER` of the GeoPackage ``path``."""
    # A field's type has another name in each version of Qt; the memory provider knows them all.
    fields = QgsVectorLayer(f"NoGeometry?field={PROMPT_FIELD}:string", "", "memory").fields()
    _write(((feature, (_text(feature[field]),)) for feature in features), fields, kind, crs, path, PROMPT_LAYER, cancelled)


def _write(
    rows: Iterable[tuple[QgsFeature, tuple[Any, ...]]],
    fields: QgsFields,
    kind: QgsWkbTypes.Type,
    crs: QgsCoordinateReferenceSystem,
    path: str,
    layer: str,
    cancelled: Cancel,
) -> None:
    crs_text(crs)
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName, options.layerName, options.fileEncoding = "GPKG", layer, "UTF-8"
    if os.path.exists(path):
        options.actionOnExistingFile = QgsVectorFileWriter.ActionOnExistingFile.CreateOrOverwriteLayer
    writer = QgsVectorFileWriter.create(path, fields, kind, crs, QgsCoordinateTransformContext(), options)
    written = 0
    for source, values in rows:
        if cancelled():
            raise Cancelled
        feature = QgsFeature(fields)
        feature.setGeometry(source.geometry())
        feature.setAttributes(list(values))
        if not writer.addFeature(feature):
            break
        written += 1
    message = writer.errorMessage()
    del writer  # closes the file
    if message:
        raise LayerError(tr("The area cannot be handed over: {}.").format(message))
    if not written:
        raise LayerError(tr("The area has no features; select some, or take the whole layer."))


def _text(value: Any) -> str | None:
    """An attribute as rsgeo reads it from a file: whole numbers without a point, nothing for NULL."""
    if value is None or value == NULL:
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def raster_path(layer: QgsRasterLayer) -> str:
    """The file of a raster layer. Raises LayerError for one that is no file (a web service, a raster in memory or in a database)."""
    if layer.providerType() == "gdal":
        path = QgsProviderRegistry.instance().decodeUri("gdal", layer.source()).get("path") or ""
        if os.path.isfile(path):
            return path
    raise LayerError(tr("“{}” is no raster file; export it to a GeoTIFF first (Layer ▸ Save As).").format(layer.name()))


def mark(layer: QgsRasterLayer, request: dict[str, Any], seed: int | None) -> None:
    """Name, colours and metadata of a result: whoever sees it in QGIS sees that it is synthetic."""
    prompt = str(request.get("prompt") or "")
    model = str((request.get("model") or {}).get("name") or "rsgeo")
    layer.setName(tr("{} (synthetic)").format(_short(prompt) or model))
    renderer = QgsMultiBandColorRenderer(layer.dataProvider(), 1, 2, 3)
    layer.setRenderer(renderer)
    # The date asked for is no date of capture, so the layer has no place in time.
    layer.temporalProperties().setIsActive(False)
    metadata = _kept_metadata(layer)
    metadata.setTitle(layer.name())
    said = tr("Synthetic image, made by rsgeo with the model {}; no observation, and not evidence of the state of the ground.").format(model)
    wish = tr("Prompt: {prompt}. Seed: {seed}.").format(prompt=prompt or "–", seed="–" if seed is None else seed)
    if "ynthetic" not in metadata.abstract():
        metadata.setAbstract(f"{said} {wish}")
    metadata.setType("dataset")
    metadata.setKeywords({**metadata.keywords(), "rsgeo": ["synthetic", "SYNTHETIC=YES"]})
    metadata.setHistory([*metadata.history(), f"{said} {wish}"])
    layer.setMetadata(metadata)


def _kept_metadata(layer: QgsMapLayer) -> QgsLayerMetadata:
    """What the file's own metadata (NAME.qmd, which rsgeo writes) says stays."""
    metadata: QgsAbstractMetadataBase = layer.metadata()
    return QgsLayerMetadata(metadata)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _NAME_SHOWN else line[: _NAME_SHOWN - 1].rstrip() + "…"


class Marker(QgsProcessingLayerPostProcessorInterface):
    """Marks a result when Processing loads it, in the main thread. Kept alive here until then: QGIS itself does not."""

    _waiting: ClassVar[set[Marker]] = set()

    def __init__(self, request: dict[str, Any], seed: int | None) -> None:
        super().__init__()
        self._request, self._seed = request, seed

    @classmethod
    def of(cls, request: dict[str, Any], seed: int | None) -> Marker:
        """A marker that lives until it was used."""
        marker = cls(request, seed)
        cls._waiting.add(marker)
        return marker

    def postProcessLayer(self, layer, context, feedback):
        if isinstance(layer, QgsRasterLayer):
            mark(layer, self._request, self._seed)
        self._waiting.discard(self)
