"""How a model sees an image's numbers: for each band which ones it is shown as 0 and as 1."""

from __future__ import annotations

from collections.abc import Sequence

from rsgeo.errors import InputError
from rsgeo.geo.optical import BandSource, Optical
from rsgeo.geo.sentinel2 import common_name
from rsgeo.request import COLOURS, Reference

WHITE_REFLECTANCE = 0.275
"""The reflectance that is shown as white where a model sees colours: EuroSAT's pictures, which `rsgeo-mini` learned from, are digital numbers of
Level-1C from 0 to 2750 (DESIGN.md, "What is measured of Sentinel-2")."""

_WHITE_GREY = 255.0
_DIGITS = 6

# Mean and standard deviation of digital numbers over fMoW-Sentinel, with which DiffusionSat's condition of super-resolution is made.
_FMOW_SENTINEL = {
    "coastal": (1370.19151926, 633.15169573),
    "blue": (1184.3824625, 650.2842772),
    "green": (1120.77120066, 712.12507725),
    "red": (1136.26026392, 965.23119807),
    "rededge071": (1263.73947144, 948.9819932),
    "rededge075": (1645.40315151, 1108.06650639),
    "rededge078": (1846.87040806, 1258.36394548),
    "nir": (1762.59530783, 1233.1492281),
    "nir08": (1972.62420416, 1364.38688993),
    "nir09": (582.72633433, 472.37967789),
    "cirrus": (14.77112979, 14.3114637),
    "swir16": (1732.16362238, 1310.36996126),
    "swir22": (1247.91870117, 1087.6020813),
}
_FMOW_DEVIATIONS = 2.0
_FMOW_QUANTIFICATION = 10_000.0

Stretch = tuple[tuple[float, float], ...]


def names_of(bands: Sequence[str]) -> tuple[str, ...]:
    """Common names of the bands that a model's record lists ("red", "B04"). Raises InputError for a band that no image can be asked for."""
    names = [common_name(band) for band in bands]
    if None in names:
        raise InputError(f"The model sees bands of its own ({', '.join(bands)}), which no raster can be asked for; choose another model.")
    return tuple(name for name in names if name is not None)


def stretch_of(image: Optical, names: Sequence[str], radiometry: str) -> Stretch:
    """For each band, by common name, the stored numbers (low, high) that the model sees as 0 and 1.

    ``radiometry`` as `rsgeo.hub.records.Condition`: "colours" shows reflectance from 0 to `WHITE_REFLECTANCE`, and grey levels as they are;
    "fmow-sentinel2" the mean of fMoW-Sentinel -+ 2 standard deviations. Raises InputError where bands are missing, or hold grey levels and the model
    wants reflectance.
    """
    sources = image.of(names)
    if radiometry == "colours":
        return tuple((0.0, _WHITE_GREY) if source.scale is None else _stored(source, 0.0, WHITE_REFLECTANCE) for source in sources)
    if any(source.scale is None for source in sources):
        raise InputError(f"{image.path.name} holds grey levels of a picture, and the model sees reflectance; give the product (--radiometry tells).")
    return tuple(_stored(source, *_fmow_ends(name)) for source, name in zip(sources, names, strict=True))


def as_colours(reference: Reference, bands: Sequence[str], radiometry: str) -> Reference:
    """A reference of a request, whose ``bands`` and ``radiometry`` are those of the model, as one of red, green and blue in "colours"."""
    names = names_of(bands)
    places = [names.index(colour) for colour in COLOURS]
    stretch = [reference.stretch[place] for place in places]
    if radiometry != "colours":
        stretch = [_as_reflectance(ends, colour) for ends, colour in zip(stretch, COLOURS, strict=True)]
    return reference.model_copy(update={"bands": tuple(reference.bands[place] for place in places), "stretch": tuple(stretch)})


def _as_reflectance(ends: tuple[float, float], name: str) -> tuple[float, float]:
    """The stored numbers of reflectance 0 and `WHITE_REFLECTANCE`, from those of a band's statistics."""
    low, high = _fmow_ends(name)
    step = (ends[1] - ends[0]) / (high - low)
    return round(ends[0] - low * step, _DIGITS), round(ends[0] + (WHITE_REFLECTANCE - low) * step, _DIGITS)


def _fmow_ends(name: str) -> tuple[float, float]:
    """The reflectances that are shown as 0 and 1."""
    mean, deviation = _FMOW_SENTINEL[name]
    low, high = mean - _FMOW_DEVIATIONS * deviation, mean + _FMOW_DEVIATIONS * deviation
    return low / _FMOW_QUANTIFICATION, high / _FMOW_QUANTIFICATION


def _stored(source: BandSource, low: float, high: float) -> tuple[float, float]:
    """Two reflectances as the numbers that are stored for them."""
    assert source.scale is not None and source.offset is not None
    first, last = ((value - source.offset) / source.scale for value in (low, high))
    return round(first, _DIGITS), round(last, _DIGITS)
