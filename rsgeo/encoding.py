"""Raw scene metadata to the numbers that each family's network is fed, in numpy (MODELS.md).

Two encodings exist. ``diffusionsat``: seven numbers of about 0 to 1000, unknown is 0 (Khanna et al. 2024, section 3.2). ``rsgeo``: a
row of features in [-1, 1] for each of four fields, unknown is NaN, which the network replaces by a vector that it learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsgeo.errors import InputError
from rsgeo.scene import DateValue, SceneMetadata

Array = NDArray[np.float32]

DIFFUSIONSAT_FIELDS = ("lon", "lat", "gsd", "cloud_cover", "year", "month", "day")
DIFFUSIONSAT_SCALE = 1000.0

PLACE_OCTAVES = 5
GSD_PERIODS = (32.0, 16.0, 8.0, 4.0, 2.0)
CLOUD_OCTAVES = 4
RSGEO_FIELDS: dict[str, int] = {
    "place": 3 + 3 * 2 * PLACE_OCTAVES,
    "gsd": 1 + 2 * len(GSD_PERIODS),
    "date": 3,
    "cloud_cover": 1 + 2 * CLOUD_OCTAVES,
}

_LEARNED = "a vector that the network learned"
UNKNOWN_READS_AS: dict[str, dict[str, str]] = {
    "sinusoid": {"place": "lon -180, lat -90", "gsd": "0 m", "date": "the year 1980, month 0, day 0", "cloud_cover": "a clear sky"},
    "rsgeo": dict.fromkeys(RSGEO_FIELDS, _LEARNED),
}
"""What an unknown field is to the network of an encoding: DiffusionSat's cannot tell it from these values."""


def day_of(value: DateValue) -> date:
    """The UTC day of a date; a month-only date is its 15th (GEOREFERENCING.md R14)."""
    text = value.value + "-15" if value.precision == "month" else value.value[:10]
    return date.fromisoformat(text)


def diffusionsat(scene: SceneMetadata) -> Array:
    """The seven numbers of DiffusionSat in the order of `DIFFUSIONSAT_FIELDS`, float32, shape (7,).

    lon, lat in degrees are shifted by 180 and 90; GSD in metres; cloud cover as a fraction; the year counts from 1980 to 2100. Unknown is 0
    after normalisation, as in training: it decodes to lon -180, lat -90, year 1980.
    """
    day = day_of(scene.date) if scene.date else None
    fractions = (
        (scene.lon.value + 180.0) / 360.0 if scene.lon else 0.0,
        (scene.lat.value + 90.0) / 180.0 if scene.lat else 0.0,
        scene.gsd.value if scene.gsd else 0.0,
        scene.cloud_cover_percent.value / 100.0 if scene.cloud_cover_percent else 0.0,
        (day.year - 1980) / 120.0 if day else 0.0,
        day.month / 12.0 if day else 0.0,
        day.day / 31.0 if day else 0.0,
    )
    return np.asarray(fractions, dtype=np.float64).astype(np.float32) * np.float32(DIFFUSIONSAT_SCALE)


def rsgeo(scene: SceneMetadata) -> Array:
    """rsgeo's own features, float32, shape (sum of `RSGEO_FIELDS`,); the features of an unknown field are NaN.

    Place: unit-sphere x, y, z and their Fourier features, so that nothing jumps at 180 degrees or at the poles; unknown unless both lon and
    lat are known. GSD: log2 of metres in Fourier features. Date: years since 2000 over 50, and the day of the year on a circle. Cloud
    cover: fraction in Fourier features.

    Raises:
        InputError: the GSD is not positive.
    """
    parts = [
        _place(scene.lon.value, scene.lat.value) if scene.lon and scene.lat else None,
        _gsd(scene.gsd.value) if scene.gsd else None,
        _date(day_of(scene.date)) if scene.date else None,
        _cloud(scene.cloud_cover_percent.value) if scene.cloud_cover_percent else None,
    ]
    rows = [np.full(width, np.nan) if part is None else np.asarray(part) for part, width in zip(parts, RSGEO_FIELDS.values(), strict=True)]
    return np.concatenate(rows).astype(np.float32)


def encode(scenes: Sequence[SceneMetadata], encoding: str) -> Array:
    """A batch of scenes as (batch, features) float32 in the encoding "sinusoid" (DiffusionSat's seven numbers) or "rsgeo"."""
    one = {"sinusoid": diffusionsat, "rsgeo": rsgeo}[encoding]
    return np.stack([one(scene) for scene in scenes])


def unknown(batch: int, encoding: str) -> Array:
    """Metadata of ``batch`` scenes of which nothing is known: the unconditional half of guidance."""
    return encode([SceneMetadata()] * batch, encoding)


def explain(scene: SceneMetadata, encoding: str) -> dict[str, Any]:
    """The encoded values by field name, for people: what the network of that encoding would see."""
    row = encode([scene], encoding)[0]
    if encoding == "sinusoid":
        return {name: float(number) for name, number in zip(DIFFUSIONSAT_FIELDS, row, strict=True)}
    ends = np.cumsum(list(RSGEO_FIELDS.values()))[:-1]
    blocks = np.split(row, ends)
    return {name: None if np.isnan(block).any() else [round(float(v), 6) for v in block] for name, block in zip(RSGEO_FIELDS, blocks, strict=True)}


def _waves(value: NDArray[np.float64], octaves: int) -> NDArray[np.float64]:
    angles = np.outer(2.0 ** np.arange(octaves), value).ravel() * np.pi
    return np.concatenate([np.sin(angles), np.cos(angles)])


def _place(lon: float, lat: float) -> NDArray[np.float64]:
    lam, phi = np.radians([lon, lat])
    xyz = np.array([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])
    return np.concatenate([xyz, _waves(xyz, PLACE_OCTAVES)])


def _gsd(metres: float) -> NDArray[np.float64]:
    if metres <= 0:
        raise InputError(f"A ground sample distance must be positive, got {metres:g} m; give metres per pixel.")
    level = np.log2(metres)
    angles = 2.0 * np.pi * level / np.array(GSD_PERIODS)
    return np.concatenate([[level / 16.0], np.sin(angles), np.cos(angles)])


def _date(day: date) -> NDArray[np.float64]:
    first = date(day.year, 1, 1)
    turn = (day - first).days / (date(day.year + 1, 1, 1) - first).days
    years = day.year + turn - 2000.0
    return np.array([years / 50.0, np.sin(2 * np.pi * turn), np.cos(2 * np.pi * turn)])


def _cloud(percent: float) -> NDArray[np.float64]:
    fraction = np.array([percent / 100.0])
    return np.concatenate([fraction, _waves(fraction, CLOUD_OCTAVES)])
