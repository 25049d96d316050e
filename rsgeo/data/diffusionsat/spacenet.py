"""SpaceNet: pictures of cities with the outlines of their buildings, or their roads, as GeoJSON."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import numpy as np
import shapely
import shapely.geometry
from numpy.typing import NDArray
from pyproj import Geod, Transformer
from shapely.geometry.base import BaseGeometry

from rsgeo.data.diffusionsat import pictures
from rsgeo.data.diffusionsat.example import Example, Sample, chooser, member, name, resized_gsd, scene
from rsgeo.errors import InputError

DROP = 0.1
SOURCE = "spacenet"

CITIES: dict[str, tuple[tuple[float, float], str | None]] = {
    "Rio": ((-43.196388, -22.908333), None),
    "Rotterdam": ((4.462456, 51.926517), "2019-08-31"),
    "Vegas": ((-115.176468, 36.188110), "2015-10-22"),
    "Paris": ((2.349014, 48.864716), "2016-02-29"),
    "Shanghai": ((121.469170, 31.224361), "2015-06-06"),
    "Khartoum": ((32.522854, 15.508457), "2015-04-13"),
    "Moscow": ((37.618423, 55.751244), "2018-02-13"),
    "Mumbai": ((72.877426, 19.076090), "2018-01-06"),
}
"""Where a picture without features is said to lie, and the one date of each city's pictures (of Rio's it is unknown)."""

COARSE_CITIES = ("Rio", "Rotterdam")
"""Their pictures have a GSD of 0.5 m, all others 0.3 m."""

WGS84 = Geod(ellps="WGS84")


def spacenet(sample: Sample, side: int, draw: random.Random, *, drop: float = DROP) -> Example:
    """``rgb.npy``, bands first or last, with the features of ``metadata.json``; the fourth part of ``__key__`` is the city.

    Pictures that are not bytes are stretched, each band from its 2nd to its 98th percentile.
    """
    city, features = _city(sample), _features(sample)
    array = _bands_last(sample)
    height, width, _ = array.shape
    keep = chooser(draw, drop)
    items = _items(features)
    if features:
        west, south, east, north = shapely.total_bounds(features)
        place: tuple[float, float] | None = ((west + east) / 2, (south + north) / 2)
    else:
        place = CITIES[city][0] if city in CITIES else None
    if place is None:
        raise InputError(f"The sample {name(sample)} has no features and is of no city of SpaceNet ({', '.join(CITIES)}); its place is unknown.")
    return Example(
        f"a{keep(' spacenet')} satellite image{keep(f' of {items}') if items else ''}{keep(f' in {city}')}",
        scene(
            SOURCE,
            gsd=resized_gsd(0.5 if city in COARSE_CITIES else 0.3, height, width, side),
            place=place,
            day=CITIES[city][1] if city in CITIES else None,
        ),
        pictures.target(array if array.dtype == np.uint8 else pictures.stretched(array), side),
    )


def _city(sample: Sample) -> str:
    parts = name(sample).split("_")
    if len(parts) < 4:
        raise InputError(f"The sample {name(sample)} does not name its city; its key has at least four parts, of which the fourth is the city.")
    return parts[3].title()


def _features(sample: Sample) -> list[BaseGeometry]:
    metadata = member(sample, "metadata.json")
    try:
        shapes = [shapely.geometry.shape(feature["geometry"]) for feature in metadata.get("features", [])]
    except (KeyError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError) as error:
        raise InputError(f"metadata.json of the sample {name(sample)} holds a feature that is no GeoJSON geometry.") from error
    if _city(sample) == "Rotterdam":
        return [shapely.transform(shape, _utm31_to_degrees().transform, interleaved=False) for shape in shapes]
    return shapes


@cache
def _utm31_to_degrees() -> Any:
    """Rotterdam's features are in metres of UTM zone 31."""
    return Transformer.from_crs("EPSG:32631", "EPSG:4326", always_xy=True)


def _items(features: list[BaseGeometry]) -> str:
    """What the features are: their kind is that of the first."""
    if not features:
        return ""
    if "Polygon" in features[0].geom_type:
        area = sum(abs(WGS84.geometry_area_perimeter(shape)[0]) for shape in features)
        return f"{len(features)} buildings" + (f" covering an area of {round(area, 3)} squared meters" if area > 0 else "")
    length = sum(WGS84.geometry_length(shape) for shape in features)
    return f"roads of length {round(length, 3)} meters" if length > 0 else "no roads"


def _bands_last(sample: Sample) -> NDArray[Any]:
    array = np.asarray(member(sample, "rgb.npy"))
    if array.ndim == 3 and array.shape[0] == 3:
        array = np.moveaxis(array, 0, 2)
    return pictures.array_of({**sample, "rgb.npy": array}, "rgb.npy")
