"""Layers in and out: areas to a GeoPackage that the worker reads, rasters to a file on disk, results to marked layers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from qgis.core import (
    NULL,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsFeature,
    QgsFields,
    QgsLayerMetadata,
    QgsMapLayer,
    QgsMultiBandColorRenderer,
    QgsProcessingContext,
    QgsProcessingFeedback,
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


@dataclass(frozen=True)
class RasterSource:
    """What a raster layer says of itself in the main thread, to be looked at in any."""

    name: str
    provider: str
    source: str

    @classmethod
    def of(cls, layer: QgsRasterLayer | None) -> RasterSource:
        return cls("", "", "") if layer is None else cls(layer.name(), layer.providerType(), layer.source())

    def path(self) -> str:
        """The file. Raises LayerError for a raster that is none (a web service, one in memory or in a database)."""
        if self.provider == "gdal":
            path = QgsProviderRegistry.instance().decodeUri("gdal", self.source).get("path") or ""
            if os.path.isfile(path):
                return path
        raise LayerError(tr("“{}” is no raster file; export it to a GeoTIFF first (Layer ▸ Save As).").format(self.name or tr("The raster")))


@dataclass(frozen=True)
class Mark:
    """What a result's layer says of it."""

    prompt: str
    model: str
    seed: int | None
    licence: str
    partly: bool = False

    @classmethod
    def of(cls, asked: dict[str, Any], result: dict[str, Any]) -> Mark:
        """From what was asked and what came of it; a very long request does not come back, then what was typed is taken."""
        made, typed = result.get("request") or {}, asked.get("ask", {})
        model = (made.get("model") or {}).get("name") or typed.get("model") or "rsgeo"
        words, licence = str(made.get("prompt") or typed.get("prompt") or ""), str(result.get("licence") or "")
        return cls(words, str(model), result.get("seed"), licence, any(one.get("role") == "known" for one in made.get("references") or ()))

    def put_on(self, layer: QgsRasterLayer) -> None:
        """Name, colours and metadata: whoever sees the layer in QGIS sees that it is synthetic."""
        name = tr("{} (partly synthetic)") if self.partly else tr("{} (synthetic)")
        layer.setName(name.format(_short(self.prompt) or self.model))
        if not self.partly:  # bands of a raster that stays are not always red, green and blue, nor bytes
            colours = QgsMultiBandColorRenderer(layer.dataProvider(), 1, 2, 3)
            # The mask of the file is offered as one more band; without it what lies outside of the area would be black.
            colours.setAlphaBand(layer.renderer().alphaBand())
            layer.setRenderer(colours)
        # The date asked for is no date of capture, so the layer has no place in time.
        layer.temporalProperties().setIsActive(False)
        # What the file's own metadata (NAME.qmd, which rsgeo writes) says stays.
        metadata = QgsLayerMetadata(layer.metadata())
        metadata.setTitle(layer.name())
        metadata.setType("dataset")
        if "ynthetic" not in metadata.abstract():
            metadata.setAbstract(self._abstract())
        if self.licence and not metadata.licenses():
            metadata.setLicenses([self.licence])
        metadata.setKeywords({**metadata.keywords(), "rsgeo": ["synthetic"]})
        metadata.setHistory([*metadata.history(), self._abstract()])
        layer.setMetadata(metadata)

    def _abstract(self) -> str:
        whole = tr("Synthetic image, made by rsgeo with the model {}; no observation, and not evidence of the state of the ground.")
        part = tr("Partly synthetic image, made by rsgeo with the model {}; its last band says where it is no observation.")
        said = (part if self.partly else whole).format(self.model)
        wish = tr("Prompt: {prompt}. Seed: {seed}.").format(prompt=self.prompt or "–", seed="–" if self.seed is None else self.seed)
        return f"{said} {wish}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _NAME_SHOWN else line[: _NAME_SHOWN - 1].rstrip() + "…"


class Marker(QgsProcessingLayerPostProcessorInterface):
    """Marks a result when Processing loads it, in the main thread. Keeps itself alive until then: QGIS does not."""

    waiting: ClassVar[set[Marker]] = set()

    def __init__(self, mark: Mark) -> None:
        super().__init__()
        self._mark = mark
        self.waiting.add(self)

    def postProcessLayer(self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> None:
        if isinstance(layer, QgsRasterLayer):
            self._mark.put_on(layer)
        self.waiting.discard(self)
