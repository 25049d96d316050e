"""What may be asked of a model, for programs that make a form of it."""

from __future__ import annotations

from typing import get_args

from rsgeo.hub import catalog
from rsgeo.hub.catalog import CatalogRecord
from rsgeo.request import MOST_SAMPLES, Ask
from rsgeo.runtime import Device, DType
from rsgeo.worker.events import ModelDescription, Parameter

RUNTIME = (
    Parameter(name="device", type="choice", default="auto", choices=get_args(Device)),
    Parameter(name="dtype", type="choice", default="auto", choices=get_args(DType)),
    Parameter(name="batch_size", type="integer", minimum=1, maximum=1024),
)


def of_model(record: CatalogRecord) -> ModelDescription:
    """A model with the fields of an ask that it heeds. Its GSDs are what it was trained on, not a limit."""
    from rsgeo.synthesis.phases import PLANS  # numpy has to wait until hello is said

    usual = record.defaults
    sound = catalog.is_sound(record) is not False
    return ModelDescription(
        name=record.name,
        title=record.title,
        licence=record.licence,
        tasks=record.tasks,
        default_for=record.default_for,
        weights="present" if sound else "changed",
        gsd_native=record.gsd_native,
        gsd_min=record.gsd_min,
        gsd_max=record.gsd_max,
        trained_fields=record.trained_fields,
        trained_region=record.trained_region,
        trained_region_name=record.trained_region_name,
        parameters=(
            Parameter(name="prompt", type="text", default=""),
            *((Parameter(name="negative_prompt", type="text", default=""),) if record.family == "latent" else ()),
            Parameter(name="gsd", type="number", default=record.gsd_native, unit="m"),
            Parameter(name="date", type="text"),
            Parameter(name="cloud_cover", type="number", minimum=0, maximum=100, unit="%"),
            Parameter(name="seed", type="integer", default=0, minimum=0, maximum=2**63 - 1),
            Parameter(name="samples", type="integer", minimum=2, maximum=MOST_SAMPLES),
            Parameter(name="samples_as", type="choice", default="statistics", choices=("statistics", "all")),
            Parameter(
                name="num_inference_steps",
                type="integer",
                default=usual.num_inference_steps,
                minimum=1,
                maximum=record.schedule.most_steps,
            ),
            Parameter(name="guidance_scale", type="number", default=usual.guidance_scale, minimum=0, maximum=100),
            Parameter(name="scheduler", type="choice", default=usual.scheduler, choices=record.schedule.schedulers),
            Parameter(name="plan", type="choice", default="default", choices=tuple(PLANS)),
            Parameter(name="max_pixels", type="integer", default=Ask.max_pixels, minimum=1),
        ),
    )
