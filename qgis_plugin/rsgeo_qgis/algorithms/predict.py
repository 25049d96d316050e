"""Predict at date: a series of dated rasters, painted at another date."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterDateTime,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)

from .. import layers, request
from .base import Parameters, explained, said
from .seeing import SeeingAlgorithm


class Predict(SeeingAlgorithm):
    """Rasters and a date in, one image out."""

    SERIES, DATES, DATE, TRUTH = "SERIES", "DATES", "DATE", "TRUTH"

    def name(self) -> str:
        return "predict"

    def displayName(self) -> str:
        return self.tr("Predict at date")

    def group(self) -> str:
        return self.tr("Time")

    def groupId(self) -> str:
        return "time"

    def tags(self) -> list[str]:
        return ["synthetic", "series", "time", "change", "satellite"]

    def shortHelpString(self) -> str:
        return self.tr(
            "Paints the place of several dated rasters as it may look at another date, on the grid of the finest of them. It needs a model of "
            "series, which is not part of rsgeo: rsgeo models list names those that can be fetched. It is a picture and no forecast: with a raster "
            "of that date its error is shown beside those of plain guesses (copies, a line in time, the mean)."
        )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        date = QgsProcessingParameterDateTime(self.DATE, self.tr("Date to paint"), QgsProcessingParameterDateTime.Type.Date)
        dates = QgsProcessingParameterString(self.DATES, self.tr("Dates of the rasters between commas; empty: as they say"), "", optional=True)
        for parameter in (
            QgsProcessingParameterMultipleLayers(self.SERIES, self.tr("Dated rasters"), QgsProcessing.SourceType.TypeRaster),
            date,
            explained(dates, self.tr("YYYY-MM-DD for each raster, in their order.")),
            QgsProcessingParameterRasterLayer(self.TRUTH, self.tr("Raster of that date, to compare with"), None, True),
            *self.area_parameters(self.tr("Area to cut out: polygons; empty: all")),
            *self.seeing_parameters(),
        ):
            self.addParameter(parameter)
        self.add_making_parameters(self.tr("Image at that date"))

    def prepareAlgorithm(self, parameters: Parameters, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> bool:
        series = self.parameterAsLayerList(parameters, self.SERIES, context)
        if not series:
            raise QgsProcessingException(self.tr("Give the rasters of the series."))
        self._series = [layers.RasterSource.of(raster) for raster in series]
        self._truth = None
        if said(parameters, self.TRUTH):
            truth = self.parameterAsRasterLayer(parameters, self.TRUTH, context)
            if truth is None:
                raise QgsProcessingException(self.invalidRasterError(parameters, self.TRUTH))
            self._truth = layers.RasterSource.of(truth)
        return super().prepareAlgorithm(parameters, context, feedback)

    def asked(self, parameters: Parameters, context: QgsProcessingContext, feedback: QgsProcessingFeedback, folder: str) -> request.Fields:
        date = self.parameterAsDateTime(parameters, self.DATE, context).date().toString("yyyy-MM-dd")
        area = self.area(parameters, context, feedback, folder) if self.has_area(parameters) else None
        return request.predict(
            [raster.path() for raster in self._series],
            date,
            area,
            dates=self.parameterAsString(parameters, self.DATES, context),
            truth=None if self._truth is None else self._truth.path(),
            **self.seen(parameters, context),
        )
