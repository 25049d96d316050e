"""Functional Map of the World: single pictures, super-resolution from Sentinel-2, and series of dates."""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping
from pathlib import Path

import shapely

from rsgeo.data.diffusionsat import pictures
from rsgeo.data.diffusionsat.example import Example, Sample, View, chooser, member, name, number, resized_gsd, scene
from rsgeo.data.diffusionsat.vocabularies import vocabularies, words
from rsgeo.errors import InputError
from rsgeo.scene import SceneMetadata, Value

DROP = 0.1
SOURCE = "fmow"
SUPERRES_GSD = 10.0

ImageId = tuple[str, int, int]
Places = Mapping[ImageId, tuple[float, float]]
"""Lon, lat of each image by category, location and image number."""


def read_places(path: Path) -> Places:
    """The centroid of each row's ``polygon`` (WKT in degrees) in a metadata CSV with ``category``, ``location_id`` and ``image_id``.

    Raises:
        InputError: the file cannot be read, lacks a column, has a polygon that is none, or names an image twice.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        ids = [(row["category"], int(row["location_id"]), int(row["image_id"])) for row in rows]
        centres = shapely.centroid(shapely.from_wkt([row["polygon"] for row in rows]))
    except (OSError, KeyError, TypeError, ValueError, csv.Error, shapely.errors.ShapelyError) as error:
        raise InputError(f"{path} is no fMoW metadata CSV with category, location_id, image_id and polygon ({error}).") from error
    places = {key: (float(centre.x), float(centre.y)) for key, centre in zip(ids, centres, strict=True)}
    if len(places) < len(ids):
        raise InputError(f"{path} names an image twice; give one row for each category, location_id and image_id.")
    return places


def fmow(sample: Sample, side: int, draw: random.Random, *, places: Places, drop: float = DROP) -> Example:
    """A picture of fMoW: ``input.npy`` with ``metadata.json`` and ``output.cls`` (or ``category.txt``)."""
    return Example(
        _caption(sample, "metadata.json", draw, drop),
        _scene(sample, "input.npy", "metadata.json", side, places),
        pictures.target(pictures.array_of(sample, "input.npy"), side),
    )


def fmow_superres(
    sample: Sample, side: int, draw: random.Random, *, places: Places, condition_side: int | None = None, drop: float = DROP
) -> Example:
    """``rgb.npy`` from the 13 bands of ``multispectral.npy``, at half the pixels unless ``condition_side`` says otherwise.

    The condition's scene is the target's, date and all, but for a GSD of 10 m whatever its pixels became: so the published weights saw it.
    """
    of_target = _scene(sample, "rgb.npy", "metadata.json", side, places)
    of_condition = of_target.model_copy(update={"gsd": Value(value=SUPERRES_GSD, source=SOURCE)})
    bands = pictures.superres_condition(pictures.array_of(sample, "multispectral.npy", bands=13), condition_side or side // 2)
    return Example(
        _caption(sample, "metadata.json", draw, drop),
        of_target,
        pictures.target(pictures.array_of(sample, "rgb.npy"), side),
        (View(bands, of_condition),),
    )


def fmow_temporal(
    sample: Sample, side: int, draw: random.Random, *, places: Places, conditions: int = 3, any_order: bool = True, drop: float = DROP
) -> Example:
    """One date of a series (``input-0.npy``, ``metadata-0.json``, ...) from ``conditions`` others.

    The dates are drawn and the first drawn is the target; of a series that is too short all are taken in order, and its first again and again. The
    caption is that of ``metadata-0.json`` whichever date is the target.
    """
    frames = frames_of(sample, conditions + 1, draw if any_order else None)
    scenes = [_scene(sample, image, metadata, side, places) for image, metadata in frames]
    arrays = [pictures.array_of(sample, image) for image, _ in frames]
    seen = tuple(View(pictures.condition(array, side), of) for array, of in zip(arrays[1:], scenes[1:], strict=True))
    return Example(_caption(sample, "metadata-0.json", draw, drop), scenes[0], pictures.target(arrays[0], side), seen)


def frames_of(sample: Sample, count: int, draw: random.Random | None) -> list[tuple[str, str]]:
    """The names of ``count`` pictures of a series and of their metadata: drawn, or without ``draw`` the first ones."""
    images = sorted(key for key in sample if key.endswith(".npy"))
    metadata = sorted(key for key in sample if key.endswith(".json"))
    if not images or len(images) != len(metadata):
        raise InputError(f"The sample {name(sample)} has {len(images)} pictures and {len(metadata)} metadata; a series needs both for each date.")
    frames = list(zip(images, metadata, strict=True))
    if len(frames) < count:
        return frames + [("input-0.npy", "metadata-0.json")] * (count - len(frames))
    return frames[:count] if draw is None else draw.sample(frames, k=count)


def _category(sample: Sample) -> str:
    if "output.cls" not in sample:
        return str(member(sample, "category.txt"))
    categories, index = vocabularies()["fmow_categories"], int(number(sample, "output.cls"))
    if not 0 <= index < len(categories):
        raise InputError(f"The sample {name(sample)} is of class {index}; fMoW has the classes 0 to {len(categories) - 1}.")
    return str(categories[index])


def _caption(sample: Sample, metadata: str, draw: random.Random, drop: float) -> str:
    code, keep = str(member(sample, metadata, "country_code")), chooser(draw, drop)
    country = vocabularies()["country_names_code3"].get(code) or vocabularies()["country_names_code2"].get(code, code)
    return f"a{keep(' fmow')} satellite image{keep(f' of a {words(_category(sample))}')}{keep(f' in {country}')}"


def _scene(sample: Sample, image: str, metadata: str, side: int, places: Places) -> SceneMetadata:
    height, width, _ = pictures.array_of(sample, image).shape
    file = str(member(sample, metadata, "img_filename"))
    parts = file.replace("_rgb", "").replace(".jpg", "").replace("_ms.tif", "").split("_")
    if len(parts) < 3 or not (parts[-2].isdecimal() and parts[-1].isdecimal()):
        raise InputError(f"The sample {name(sample)} has the img_filename {file!r}, which does not end in the numbers of a location and an image.")
    key = (_category(sample), int(parts[-2]), int(parts[-1]))
    if key not in places:
        raise InputError(
            f"The sample {name(sample)} is image {key[2]} of {key[0]} {key[1]}, which the metadata CSV lacks; give the CSV of its split."
        )
    return scene(
        SOURCE,
        gsd=resized_gsd(number(sample, metadata, "gsd"), height, width, side),
        place=places[key],
        day=str(member(sample, metadata, "timestamp")),
        cloud_cover_percent=number(sample, metadata, "cloud_cover"),
    )
