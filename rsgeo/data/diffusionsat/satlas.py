"""Satlas: stacks of dated NAIP pictures with labels of many tasks."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsgeo.data.diffusionsat import pictures
from rsgeo.data.diffusionsat.example import Example, Sample, chooser, member, name, number, resized_gsd, scene
from rsgeo.data.diffusionsat.vocabularies import vocabularies, words
from rsgeo.errors import InputError

DROP = 0.5
SOURCE = "satlas"
ZOOM = 17
POSITION_DROP = 0.33


def satlas(sample: Sample, side: int, draw: random.Random, *, drop: float = DROP) -> Example:
    """The anchor picture (or, without one, any) of ``rgb.npy`` (time, height, width, 3) with ``info.json`` and ``targets.json``.

    ``targets.json`` takes the place of the original's pickle: ``labels`` and ``boxes`` (x, y, x, y), or ``im``, or ``label``, by the task's kind, and
    perhaps ``scale_factor``. The place is read from the key as the original did, pixels of Web Mercator at zoom 17 divided by the picture's side, so
    that the same key lies elsewhere at another side; published weights saw it so.
    """
    stack = np.asarray(member(sample, "rgb.npy"))
    if stack.ndim != 4:
        raise InputError(f"rgb.npy of the sample {name(sample)} is {stack.shape}; it must be (time, height, width, 3).")
    names = [str(one) for one in member(sample, "info.json", "image_names")]
    if not 0 < len(names) <= len(stack):
        raise InputError(f"The sample {name(sample)} names {len(names)} pictures and holds {len(stack)}; each needs its picture.")
    caption = _caption(sample, stack.shape[1], draw, drop)
    anchors = [index for index, one in enumerate(names) if "anchor" in one]
    index = anchors[0] if anchors else draw.randrange(len(names))
    array = pictures.array_of({**sample, "rgb.npy": stack[len(stack) - len(names) + index]}, "rgb.npy")
    height, width, _ = array.shape
    shrunk = max(number(sample, "targets.json", "scale_factor"), 0.01) if "scale_factor" in member(sample, "targets.json") else 1.0
    day = names[index].split("_")[-1]
    of = scene(SOURCE, gsd=resized_gsd(1.0, height, width, side) / shrunk, place=_place(sample, side), day=day)
    return Example(caption, of, pictures.target(array, side))


def _place(sample: Sample, side: int) -> tuple[float, float]:
    parts = name(sample).split("_")
    try:
        x, y = (int(part) / side / 2**ZOOM for part in parts[1:3])
    except ValueError as error:
        raise InputError(f"The sample {name(sample)} does not tell its place; the second and third part of its key are pixels.") from error
    return x * 360.0 - 180.0, math.degrees(math.atan(math.sinh(math.pi * (1.0 - 2.0 * y))))


def _caption(sample: Sample, height: int, draw: random.Random, drop: float) -> str:
    task = str(member(sample, "info.json", "task_name"))
    if task not in vocabularies()["satlas_tasks"]:
        raise InputError(f"The sample {name(sample)} is of the task {task!r}, which Satlas does not have.")
    kind, classes = (vocabularies()["satlas_tasks"][task][key] for key in ("type", "categories"))
    try:
        if kind in ("detect", "instance"):
            items = _objects(sample, classes, height, by_position=draw.random() > POSITION_DROP)
        elif kind == "classification":
            items = _kinds(member(sample, "targets.json", "label"), classes, task)
        else:
            items = _shares(np.asarray(member(sample, "targets.json", "im")), kind, classes, task)
    except (IndexError, TypeError, ValueError) as error:
        raise InputError(f"The sample {name(sample)} has labels that are none of the task {task!r}.") from error
    return f"a{chooser(draw, drop)(' satlas')} satellite image of {', '.join(items)}"


def _objects(sample: Sample, classes: list[str], height: int, *, by_position: bool) -> list[str]:
    """Objects counted, all together or in each quarter of the picture; a quarter is named after the last of its classes only."""
    labels, boxes = (member(sample, "targets.json", key) for key in ("labels", "boxes"))
    if not by_position:
        return _counted(labels, classes)
    quarters: dict[str, list[int]] = {quarter: [] for quarter in ("top left", "top right", "bottom right", "bottom left")}
    for label, (left, top, right, bottom) in zip(labels, boxes, strict=True):
        # Both axes against the height: Satlas' pictures are square.
        across = "left" if (left + right) / 2 < height / 2 else "right"
        quarters[f"{'top' if (top + bottom) / 2 < height / 2 else 'bottom'} {across}"].append(label)
    items = []
    for quarter, inside in quarters.items():
        if counted := _counted(inside, classes):
            items += [*counted[:-1], f"{counted[-1]} in the {quarter}"]
    return items


def _counted(labels: Iterable[int], classes: list[str]) -> list[str]:
    found, counts = np.unique(np.asarray(list(labels), dtype=np.int64), return_counts=True)
    return [f"{count} {words(classes[label])}{'s' if count > 1 else ''}" for label, count in zip(found, counts, strict=True)]


def _kinds(labels: Iterable[int], classes: list[str], task: str) -> list[str]:
    """The classes that hold of the whole picture; for the type of a park nothing follows but the blank."""
    noun = {"park_sport": "recreational facility", "park_type": ""}.get(task, " ".join(task.split("_")[:-1]))
    return [f"a {words(classes[label])} {noun}" for label in labels]


def _shares(image: NDArray[Any], kind: str, classes: list[str], task: str) -> list[str]:
    """How much of the picture each class, or each value, covers, in percent."""
    if kind == "bin_segment":
        # The first class of any such task is called a road: so the captions of training said.
        found = [(index, np.count_nonzero(mask > 0)) for index, mask in enumerate(image)]
        return [f"{round(100 * count / image[0].size, 2)}% {words(classes[index]) if index else 'road'}" for index, count in found if count]
    values, counts = np.unique(image[image != 0], return_counts=True)
    if kind == "segment":
        return [f"{round(100 * count / image.size)}% {words(classes[value])}" for value, count in zip(values, counts, strict=True)]
    return [
        f"{round(100 * count / image.size, 2)}% area has {round(value / 255 * 100, 4)}% {words(task)}"
        for value, count in zip(values, counts, strict=True)
    ]
