"""Texas housing: parcels near Houston in aerial pictures and Sentinel-2 of 2016 and 2018, with the year each house was built."""

from __future__ import annotations

import random
from typing import Literal

from rsgeo.data.diffusionsat import pictures
from rsgeo.data.diffusionsat.example import Example, Sample, View, chooser, member, name, number, resized_gsd, scene
from rsgeo.errors import InputError
from rsgeo.scene import SceneMetadata

DROP = 0.5
SOURCE = "texas"
METADATA = "tif.metadata.json"
TARGETS = {"past": "tif.rgb-2016.npy", "future": "tif.rgb-2018.npy"}


def texas(
    sample: Sample,
    side: int,
    draw: random.Random,
    *,
    task: Literal["past", "future", "random"] = "random",
    conditions: int = 3,
    drop: float = DROP,
) -> Example:
    """One of the aerial pictures (``past`` is the earlier one) from the first ``conditions`` of the others by name.

    A future picture follows so from the aerial one of 2016 and Sentinel-2 of 2016 and 2018. The caption says "satlas" and has two blanks after
    "houses", as in training.
    """
    images = sorted(key for key in sample if key.endswith(".npy"))
    aerial = [key for key in images if "rgb" in key]
    if not aerial:
        raise InputError(f"The sample {name(sample)} has no aerial picture (tif.rgb-....npy).")
    target = draw.choice(aerial) if task == "random" else TARGETS[task]
    seen = [key for key in images if key != target][:conditions]
    return Example(
        _caption(sample, draw, drop),
        _scene(sample, target, side),
        pictures.target(pictures.array_of(sample, target), side),
        tuple(View(pictures.condition(pictures.array_of(sample, key), side), _scene(sample, key, side)) for key in seen),
    )


def _caption(sample: Sample, draw: random.Random, drop: float) -> str:
    keep = chooser(draw, drop)
    built, acres = int(number(sample, METADATA, "eff.year.built")), member(sample, METADATA, "acres")
    return f"a{keep(' satlas')} satellite image{keep(' of houses ')}{keep(f' built in {built}')}{keep(f' covering {acres} acres')}"


def _scene(sample: Sample, key: str, side: int) -> SceneMetadata:
    height, width, _ = pictures.array_of(sample, key).shape
    return scene(
        SOURCE,
        gsd=resized_gsd(10.0 if "sentinel" in key else 1.0, height, width, side),
        place=(number(sample, METADATA, "parcel.lon"), number(sample, METADATA, "parcel.lat")),
        day="2016-09-11" if "2016" in key else "2018-11-20",
    )
