"""Generate from AOI: a place and a wish become a synthetic image."""

from __future__ import annotations

import os
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterCrs,
    QgsProcessingParameterDateTime,
    QgsProcessingParameterDistance,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
    QgsUnitTypes,
)

from .. import layers, request
from ..installation import known_models
from .area import AreaAlgorithm
from .base import Parameters, advanced, explained, said

_INTEGER, _DOUBLE = QgsProcessingParameterNumber.Type.Integer, QgsProcessingParameterNumber.Type.Double


class Generate(AreaAlgorithm):
    """Parameters, in the order of the dialog."""

    PROMPT, NEGATIVE, GSD, DATE, CLOUD, CRS = "PROMPT", "NEGATIVE_PROMPT", "GSD", "DATE", "CLOUD", "CRS"
    MODEL, SEED, STEPS, GUIDANCE = "MODEL", "SEED", "STEPS", "GUIDANCE"

    def name(self) -> str:
        return "generate"

    def displayName(self) -> str:
        return self.tr("Generate from AOI")

    def group(self) -> str:
        return self.tr("Generate")

    def groupId(self) -> str:
        return "generate"

    def tags(self) -> list[str]:
        return ["synthetic", "diffusion", "satellite", "image", "prompt", "AOI"]

    def shortHelpString(self) -> str:
        return help_page(
            self.tr(
                "Makes a synthetic satellite image of an area: polygons of a layer (selected features only, if you say so) or an extent. "
                "The prompt says what shall be there; an attribute may say it for each polygon. "
                "The same request gives the same pixels, and neighbouring areas of one seed fit together. "
                "Size, memory and time are shown in the log before the work begins. The image is no observation and says so: "
                "in its name, its metadata and its file."
            )
        )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        prompt = QgsProcessingParameterString(self.PROMPT, self.tr("Prompt: what shall be there"), "", multiLine=True, optional=True)
        gsd = QgsProcessingParameterDistance(self.GSD, self.tr("Ground sample distance; empty: the model's own"), None, "", True, 0.1)
        gsd.setDefaultUnit(QgsUnitTypes.DistanceUnit.DistanceMeters)
        date_type = QgsProcessingParameterDateTime.Type.Date
        date = QgsProcessingParameterDateTime(self.DATE, self.tr("Date of the scene"), date_type, None, True)
        cloud = QgsProcessingParameterNumber(self.CLOUD, self.tr("Cloud cover (percent)"), _DOUBLE, None, True, 0, 100)
        crs = QgsProcessingParameterCrs(self.CRS, self.tr("CRS of the image; empty: the UTM zone of the area"), None, True)
        negative = QgsProcessingParameterString(self.NEGATIVE, self.tr("What shall not be there"), "", optional=True)
        model = QgsProcessingParameterString(self.MODEL, self.tr("Model"), request.DEFAULT_MODEL, optional=True)
        if len(known_models()) > 1:
            model.setMetadata({"widget_wrapper": {"value_hints": known_models()}})
        seed = QgsProcessingParameterNumber(self.SEED, self.tr("Seed: another number, another world"), _INTEGER, 0, True, 0)
        steps = QgsProcessingParameterNumber(self.STEPS, self.tr("Inference steps; empty: the model's own"), _INTEGER, None, True, 1, 1000)
        guidance = QgsProcessingParameterNumber(
            self.GUIDANCE, self.tr("Guidance: how strictly to follow the prompt; empty: the model's own"), _DOUBLE, None, True, 0, 100
        )
        for parameter in (
            prompt,
            *self.area_parameters(self.tr("Area: polygons")),
            self.prompt_field_parameter(),
            explained(gsd, self.tr("Size of a pixel on the ground.")),
            explained(date, self.tr("Recorded as a wish; a model that was not taught dates says so in the log.")),
            cloud,
            crs,
            advanced(negative),
            advanced(model),
            advanced(seed),
            advanced(steps),
            advanced(guidance),
        ):
            self.addParameter(parameter)
        self.add_making_parameters(self.tr("Synthetic image"))

    def asked(self, parameters: Parameters, context: QgsProcessingContext, feedback: QgsProcessingFeedback, folder: str) -> request.Fields:
        def number(name: str) -> float | None:
            return self.parameterAsDouble(parameters, name, context) if said(parameters, name) else None

        def whole(name: str) -> int | None:
            return self.parameterAsInt(parameters, name, context) if said(parameters, name) else None

        date = self.parameterAsDateTime(parameters, self.DATE, context).date() if said(parameters, self.DATE) else None
        crs = self.parameterAsCrs(parameters, self.CRS, context)
        return request.generate(
            self.area(parameters, context, feedback, folder),
            prompt=self.parameterAsString(parameters, self.PROMPT, context),
            negative_prompt=self.parameterAsString(parameters, self.NEGATIVE, context),
            by_polygon=self.by_polygon(feedback, folder),
            gsd_m=number(self.GSD),
            crs=layers.crs_text(crs) if crs.isValid() else None,
            date=date.toString("yyyy-MM-dd") if date is not None and date.isValid() else None,
            cloud_cover=number(self.CLOUD),
            seed=whole(self.SEED),
            steps=whole(self.STEPS),
            guidance=number(self.GUIDANCE),
            model=self.parameterAsString(parameters, self.MODEL, context),
        )


def help_page(text: str) -> str:
    """The text of the dialog's right side, with the picture of a result if the plugin has one."""
    picture = os.path.join(os.path.dirname(os.path.dirname(__file__)), "help", "generate.png")
    image = f'<p><img src="file:///{picture.lstrip("/")}" width="240"></p>' if os.path.isfile(picture) else ""
    return f"<p>{text}</p>{image}"
