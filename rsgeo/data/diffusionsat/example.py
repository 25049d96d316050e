"""What every adapter takes and gives, and how it reads a sample."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rsgeo.errors import InputError
from rsgeo.scene import DateValue, SceneMetadata, Value

Sample = Mapping[str, Any]
"""The decoded members of one sample of a shard by name (``metadata.json``, ``input.npy``, ...), and its name under ``__key__``."""


@dataclass(frozen=True)
class View:
    """A picture that conditions another, (bands, side, side) float32 in [0, 1], and what is known of it."""

    image: NDArray[np.float32]
    scene: SceneMetadata


@dataclass(frozen=True)
class Example:
    """One example for training or evaluation: the picture is (3, side, side) float32 in [-1, 1], ``conditions`` the views that it follows from.

    The GSD of each scene is that of the picture as resized, as the networks were told it.
    """

    caption: str
    scene: SceneMetadata
    image: NDArray[np.float32]
    conditions: tuple[View, ...] = ()


class Adapter(Protocol):
    """A sample becomes an example of ``side`` pixels; ``draw`` decides which optional parts of the caption stay, in the order of the text.

    With ``random.Random(n)`` the choices are those of the original after ``random.seed(n)``. What an adapter takes beyond this has a default, or
    is bound by ``functools.partial``. Raises InputError, which names the sample and the member at fault.
    """

    def __call__(self, sample: Sample, side: int, draw: random.Random) -> Example: ...


def member(sample: Sample, *path: str | int) -> Any:
    """What lies at ``path`` in a sample. Raises InputError if there is nothing."""
    found: Any = sample
    for step in path:
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError) as error:
            raise InputError(f"The sample {name(sample)} has no {'/'.join(map(str, path))}; give a sample of the published layout.") from error
    return found


def number(sample: Sample, *path: str | int) -> float:
    """The finite number at ``path`` in a sample. Raises InputError if there is none."""
    found = member(sample, *path)
    if isinstance(found, bool) or not isinstance(found, int | float | np.number) or not math.isfinite(found):
        raise InputError(f"The sample {name(sample)} has {found!r} for {'/'.join(map(str, path))}, which is no number.")
    return float(found)


def name(sample: Sample) -> str:
    """The sample's name, for messages."""
    return str(sample.get("__key__", "(unnamed)"))


def scene(
    source: str,
    *,
    gsd: float,
    place: tuple[float, float] | None = None,
    day: str | None = None,
    cloud_cover_percent: float | None = None,
) -> SceneMetadata:
    """A scene whose values all come from ``source``; ``place`` is lon, lat in degrees, ``day`` an ISO date or a time that starts with one.

    Raises:
        InputError: the place is not on the Earth, or the date none of the calendar.
    """

    def value(of: float) -> Value:
        return Value(value=of, source=source)

    if place is not None and not (-180 <= place[0] <= 180 and -90 <= place[1] <= 90):
        raise InputError(f"A {source} sample lies at lon {place[0]:g}, lat {place[1]:g}, which is not on the Earth.")
    return SceneMetadata(
        lon=None if place is None else value(place[0]),
        lat=None if place is None else value(place[1]),
        gsd=value(gsd),
        date=None if day is None else DateValue(value=_day(day, source), precision="day", source=source),
        cloud_cover_percent=None if cloud_cover_percent is None else value(cloud_cover_percent),
    )


def resized_gsd(gsd: float, height: int, width: int, side: int) -> float:
    """The GSD after the shorter side has become ``side`` pixels."""
    return gsd * min(height, width) / side


def chooser(draw: random.Random, drop: float) -> Callable[[str], str]:
    """A function that keeps a part of a caption, or drops it with the probability ``drop``: one draw for each part, kept or not."""
    return lambda part: part if draw.random() > drop else ""


def metadata_in_words(caption: str, scene: SceneMetadata) -> str:
    """A caption that says GSD, place and date too, as the original's text-only variant (option ``--text_metadata``) was told them.

    Longitude and latitude are shifted by 180 and 90 and printed in full as the float32 they were; unknown ones are 0.0.
    """

    def single(value: Value | None, shift: float = 0.0) -> float:
        return 0.0 if value is None else float(np.float32(value.value + shift))

    place = f"{single(scene.lon, 180.0)}, {single(scene.lat, 90.0)}"
    text = f"{caption} at a resolution of {round(single(scene.gsd), 5)}. The longitude, latitude is {place}. "
    if scene.date is None:
        return text
    day = date.fromisoformat(scene.date.value[:10])
    return f"{text}The date is {float(day.year)}, {float(day.month)}, {float(day.day)}"


def _day(text: str, source: str) -> str:
    try:
        return date.fromisoformat(text[:10]).isoformat()
    except ValueError as error:
        raise InputError(f"A {source} sample has the date {text!r}, which is none; it starts as YYYY-MM-DD.") from error
