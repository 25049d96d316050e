"""Predict: a series of dated rasters of one place, painted at another date."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rsgeo.errors import InputError, RsgeoWarning
from rsgeo.geo import nested
from rsgeo.geo.series import day_of
from rsgeo.hub import catalog
from rsgeo.request import Ask, GridRecord
from rsgeo.runtime import Result, Runtime
from rsgeo.scene import DateValue
from rsgeo.tasks import conditioned
from rsgeo.tasks.conditioned import Given
from rsgeo.tasks.generate import run
from rsgeo.tasks.resolve import Resolved, area_of, checked, request_of

_SAME_GSD_DIGITS = 3


def predict(
    references: Sequence[str | Path], ask: Ask, out: str | Path | None = None, runtime: Runtime | None = None, *, truth: str | Path | None = None
) -> Result:
    """The place of ``references``, each of its date, at ``ask.date``: red, green and blue on the grid of the finest of them.

    With ``truth``, an image of that date, `Result.report` says how far the prediction is from it, and how far copies, a line in time and the mean of
    the series are. Raises what `resolve_prediction` and `rsgeo.tasks.generate.run` raise.
    """
    return run(resolve_prediction(references, ask, truth=truth), None if out is None else Path(out), runtime or Runtime())


def resolve_prediction(paths: Sequence[str | Path], ask: Ask, *, truth: str | Path | None = None) -> Resolved:
    """The request for a series at another date. The images keep the order in which they are given, for models may heed it.

    Raises:
        InputError: an image cannot be read, lacks bands or a date, or shows nothing of the area; or no date is asked for.
        GeoreferenceError: an image has no grid.
        ModelError: no model at hand does this.
    """
    conditioned.check_asked(ask, conditioned.WISHES, "predict")
    record = catalog.for_task("predict", ask.model)
    scene = conditioned.scene_of(ask)
    if scene.date is None:
        raise InputError("Say which date to paint: --date YYYY-MM-DD.")
    condition = conditioned.condition_of(record)
    images = conditioned.given(paths, ask, condition)
    _check_dates(images)
    if len(images) != condition.images:
        warnings.warn(
            f"{record.name} learned from {condition.images} images at a time and sees {len(images)} here; what it was not shown it may do badly.",
            RsgeoWarning,
            stacklevel=3,
        )
    area = area_of(ask, None)
    cells = conditioned.cut_to_area(_grid(images, scene.date, ask), area)
    references = conditioned.references_of(images, "series", record, cells, scene)
    request = request_of(ask, None, record, cells, area, task="predict", scene=scene, references=references)
    resolved = checked(request, record, ask, files={one.sha256: one.image.path for one in images})
    if truth is None:
        return resolved
    # Of the truth only the date is not that of the ask; told numbers and bands are those of the references.
    (known,) = conditioned.given([truth], replace(ask, reference_dates=()), condition)
    (record_of_truth,) = conditioned.references_of([known], "series", record, cells, scene)
    if known.date is not None and known.date.value[:10] != scene.date.value[:10]:
        words = f"{known.image.name} is of {known.date.value[:10]}, and {scene.date.value} is asked for; the error is that of another date."
        warnings.warn(words, RsgeoWarning, stacklevel=3)
    return replace(resolved, truth=(record_of_truth, known.image.path))


def _check_dates(images: Sequence[Given]) -> None:
    unknown = [one.image.name for one in images if one.date is None]
    if unknown:
        raise InputError(f"{', '.join(unknown)} does not say when it was taken; give --reference-date for each reference, in their order.")


def _grid(images: Sequence[Given], date: DateValue, ask: Ask) -> GridRecord:
    """The grid of the finest image, of several that of the nearest date; with a finer GSD its lattice subdivided."""

    def rank(one: Given) -> tuple[float, float]:
        assert one.date is not None
        return round(one.gsd_m, _SAME_GSD_DIGITS), abs(day_of(one.date) - day_of(date))

    cells = min(images, key=rank).cells
    return cells if ask.gsd is None else nested.subdivided(cells, ask.gsd)[0]
