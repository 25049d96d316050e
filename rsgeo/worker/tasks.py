"""The tasks that a worker can be asked for. A new one is a kind of `Asked`, a function and an entry in `TASKS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from rsgeo.errors import InputError
from rsgeo.request import Ask, Request
from rsgeo.worker.messages import Around, Asked, PartOfFile, in_words

if TYPE_CHECKING:
    from rsgeo.tasks.resolve import Resolved


@dataclass(frozen=True)
class Task:
    """``asked`` is what is said for the task; ``resolve`` makes of it what is planned and run."""

    asked: type[Asked]
    resolve: Callable[[Any], Resolved]


class AskedExtension(Asked):
    """``existing`` is the raster that is continued."""

    existing: str


class AskedInpainting(Asked):
    """``raster`` is what is made anew where the ask's mask says so."""

    raster: str


class AskedSuperres(Asked):
    """``references``: a raster or Sentinel-2 product, the first of which is refined."""

    references: tuple[str, ...] = Field(min_length=1)


class AskedPrediction(Asked):
    """``references`` is the series; ``truth`` an image of the date that is asked for, to compare with."""

    references: tuple[str, ...] = Field(min_length=1)
    truth: str | None = None


def _generate(asked: Asked) -> Resolved:
    from rsgeo.tasks.resolve import resolve

    return resolve(_ask(asked))


def _extend(asked: AskedExtension) -> Resolved:
    from rsgeo.tasks.extend import resolve_extension

    return resolve_extension(Path(asked.existing), _ask(asked))


def _inpaint(asked: AskedInpainting) -> Resolved:
    from rsgeo.tasks.inpaint import resolve_inpainting

    return resolve_inpainting(Path(asked.raster), _ask(asked))


def _superres(asked: AskedSuperres) -> Resolved:
    from rsgeo.tasks.superres import resolve_superres

    return resolve_superres(asked.references, _ask(asked))


def _predict(asked: AskedPrediction) -> Resolved:
    from rsgeo.tasks.predict import resolve_prediction

    return resolve_prediction(asked.references, _ask(asked), truth=asked.truth)


TASKS = {
    "generate": Task(Asked, _generate),
    "extend": Task(AskedExtension, _extend),
    "inpaint": Task(AskedInpainting, _inpaint),
    "superres": Task(AskedSuperres, _superres),
    "predict": Task(AskedPrediction, _predict),
}


def resolve(request: Mapping[str, Any], part: Around | None = None) -> Resolved:
    """What was asked for, or stands in a complete request, resolved; of ``part`` only. Raises RsgeoError."""
    from rsgeo.tasks.crop import crop
    from rsgeo.tasks.resolve import resolve as resolve_ask

    try:
        if "ask" not in request and "grid" in request:
            resolved = resolve_ask(Ask(request_file=Request.model_validate(request)))
        else:
            said = dict(request)
            task = TASKS.get(str(said.pop("task", None)))
            if task is None:
                raise InputError(f"There is no task {request.get('task')!r}; there is {', '.join(TASKS)}.")
            resolved = task.resolve(task.asked.model_validate(said))
    except ValidationError as error:
        raise InputError(in_words(error)) from error
    return resolved if part is None else crop(resolved, part.x, part.y, part.crs, part.size)


def _ask(asked: Asked) -> Ask:
    from rsgeo.geo import aoi

    said = {field.name: getattr(asked.ask, field.name) for field in fields(Ask)}
    layer = said["prompt_layer"]
    if isinstance(layer, PartOfFile):
        said["prompt_layer"] = aoi.read(layer.path, layer=layer.layer)
    return Ask(**said)
