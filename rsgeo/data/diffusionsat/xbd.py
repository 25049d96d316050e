"""xBD: the same place before and after a natural disaster."""

from __future__ import annotations

import random
from typing import Literal

import shapely

from rsgeo.data.diffusionsat import pictures
from rsgeo.data.diffusionsat.example import Example, Sample, View, chooser, member, name, number, resized_gsd, scene
from rsgeo.errors import InputError
from rsgeo.scene import SceneMetadata

DROP = 0.1
SOURCE = "xbd"
When = Literal["pre", "post"]


def xbd(
    sample: Sample,
    side: int,
    draw: random.Random,
    *,
    task: Literal["past", "future", "random"] = "random",
    drop: float = DROP,
) -> Example:
    """The picture before (``past``) or after the disaster from the other: ``pre-input.npy``, ``pre-metadata.json`` and the same of ``post``.

    The caption says "fmow", as in training. The place is that of the first building on either date, unknown where there is none.
    """
    when: When = draw.choice(("pre", "post")) if task == "random" else ("pre" if task == "past" else "post")
    other: When = "post" if when == "pre" else "pre"
    keep = chooser(draw, drop)
    disaster = member(sample, f"{when}-metadata.json", "metadata", "disaster_type")
    moment = "before" if when == "pre" else "after"
    return Example(
        f"a{keep(' fmow')} satellite image{keep(f' {moment} being affected by a {disaster} natural disaster')}",
        _scene(sample, when, side),
        pictures.target(pictures.array_of(sample, f"{when}-input.npy"), side),
        (View(pictures.condition(pictures.array_of(sample, f"{other}-input.npy"), side), _scene(sample, other, side)),),
    )


def _scene(sample: Sample, when: When, side: int) -> SceneMetadata:
    height, width, _ = pictures.array_of(sample, f"{when}-input.npy").shape
    metadata = f"{when}-metadata.json"
    return scene(
        SOURCE,
        gsd=resized_gsd(number(sample, metadata, "metadata", "gsd"), height, width, side),
        place=_place(sample, when),
        day=str(member(sample, metadata, "metadata", "capture_date")),
    )


def _place(sample: Sample, when: When) -> tuple[float, float] | None:
    dates = (when, "post" if when == "pre" else "pre")
    buildings = next((found for one in dates if (found := member(sample, f"{one}-metadata.json", "features", "lng_lat"))), None)
    if buildings is None:
        return None
    try:
        centre = shapely.from_wkt(buildings[0]["wkt"]).centroid
        return float(centre.x), float(centre.y)
    except (KeyError, TypeError, shapely.errors.ShapelyError) as error:
        raise InputError(f"The sample {name(sample)} has a building that is no polygon in WKT.") from error
