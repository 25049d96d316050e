"""Scene metadata: what rsgeo knows of a raster or an area before any model is asked."""

from __future__ import annotations

import html
import json
import os
from typing import Any

from qgis.core import (
    QgsFeatureRequest,
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputString,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterRasterLayer,
)

from .. import layers
from ..running import ask, run_folder, told
from .area import AS_THEY_ARE
from .base import Parameters, RsgeoAlgorithm, said


class SceneMetadata(RsgeoAlgorithm):
    """A raster or an area in, numbers out."""

    INPUT, AOI, OUTPUT = "INPUT", "AOI", "OUTPUT"

    def name(self) -> str:
        return "scenemetadata"

    def displayName(self) -> str:
        return self.tr("Scene metadata")

    def group(self) -> str:
        return self.tr("Tools")

    def groupId(self) -> str:
        return "tools"

    def tags(self) -> list[str]:
        return ["GSD", "date", "cloud cover", "STAC", "info"]

    def shortHelpString(self) -> str:
        return self.tr(
            "Place, ground sample distance, date and cloud cover of a raster file or an area, each with where it comes from, "
            "as rsgeo derives them. A raster that rsgeo made says so."
        )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        polygons = [QgsProcessing.SourceType.TypeVectorPolygon]
        self.addParameter(QgsProcessingParameterRasterLayer(self.INPUT, self.tr("Raster"), None, True))
        self.addParameter(QgsProcessingParameterFeatureSource(self.AOI, self.tr("Area, instead of a raster"), polygons, optional=True))
        filters = self.tr("JSON files (*.json);;HTML files (*.html)")
        self.addParameter(QgsProcessingParameterFileDestination(self.OUTPUT, self.tr("Metadata"), filters, None, True))
        for name in ("LON", "LAT", "GSD", "DATE", "CRS"):
            self.addOutput(QgsProcessingOutputString(name, name))

    def checkParameterValues(self, parameters: Parameters, context: QgsProcessingContext) -> tuple[bool, str]:
        if said(parameters, self.INPUT) == said(parameters, self.AOI):
            return False, self.tr("Give a raster or a polygon layer, one of the two.")
        return super().checkParameterValues(parameters, context)

    def prepareAlgorithm(self, parameters: Parameters, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> bool:
        self._raster = layers.RasterSource.of(self.parameterAsRasterLayer(parameters, self.INPUT, context))
        self._source = self.parameterAsSource(parameters, self.AOI, context) if said(parameters, self.AOI) else None
        return True

    def processAlgorithm(self, parameters: Parameters, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> dict[str, Any]:
        with told(feedback), run_folder() as folder:
            if said(parameters, self.INPUT):
                found = ask(folder, feedback, "info", path=self._raster.path())
            elif self._source is None:
                raise QgsProcessingException(self.invalidSourceError(parameters, self.AOI))
            else:
                path = os.path.join(folder, "area.gpkg")
                features = self._source.getFeatures(QgsFeatureRequest(), AS_THEY_ARE)
                layers.write_area(features, self._source.wkbType(), self._source.sourceCrs(), path, feedback.isCanceled)
                found = ask(folder, feedback, "info", path=path, layer=layers.AOI_LAYER)
        facts = found.get("metadata", {})
        for warning in facts.get("warnings", ()):
            feedback.pushWarning(str(warning))
        for name, value in facts.items():
            feedback.pushInfo(f"{name}: {_plain(value)}")
        output = self.parameterAsFileOutput(parameters, self.OUTPUT, context)
        if output:
            _write(facts, output)
        return {
            self.OUTPUT: output,
            "LON": _plain(facts.get("center_lon", facts.get("centroid_lon"))),
            "LAT": _plain(facts.get("center_lat", facts.get("centroid_lat"))),
            "GSD": _plain(facts.get("gsd_m", facts.get("stated_gsd_m"))),
            "DATE": _plain((facts.get("date") or {}).get("value")),
            "CRS": _plain(facts.get("crs")),
        }


def _plain(value: Any) -> str:
    """A value for people; nothing where it is unknown."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _write(facts: dict[str, Any], path: str) -> None:
    if path.lower().endswith((".html", ".htm")):
        rows = "".join(f"<tr><th align=left>{html.escape(name)}</th><td>{html.escape(_plain(value))}</td></tr>\n" for name, value in facts.items())
        text = f"<!doctype html><meta charset=utf-8><table>\n{rows}</table>\n"
    else:
        text = json.dumps(facts, ensure_ascii=False, indent=2) + "\n"
    try:
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise QgsProcessingException(f"{path} cannot be written ({error.strerror}); choose another place.") from error
