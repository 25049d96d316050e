"""Where pixels lie on the ground and how large they are, for any way a raster is tied to the Earth.

Everything here takes a ``PixelToLonLat``: one function from pixel coordinates to WGS 84. A transform with its CRS, ground control points
and rational polynomials each make one, so that centre, GSD and bounds are written once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import CRSError, ProjError

from rsgeo.errors import GeoreferenceError

Floats = NDArray[np.float64]
PixelToLonLat = Callable[[Floats, Floats], tuple[Floats, Floats]]
"""(x, y) in pixels from the upper left corner, x to the right -> (lon, lat) in degrees WGS 84; off-Earth points come back as not finite."""

_WGS84 = Geod(ellps="WGS84")
_BORDER_POINTS_PER_SIDE = 21


@dataclass(frozen=True, slots=True)
class Ground:
    """One pixel on the ground: its place (degrees, lon in [-180, 180)) and its size in metres.

    ``gsd_col_m`` is the step from one column to the next, ``gsd_row_m`` from one row to the next, ``gsd_m`` the side of a square of
    the pixel's area.
    """

    lon: float
    lat: float
    gsd_col_m: float
    gsd_row_m: float
    gsd_m: float

    @property
    def anisotropy(self) -> float:
        """The longer step over the shorter one, 1 for square pixels."""
        return max(self.gsd_col_m, self.gsd_row_m) / min(self.gsd_col_m, self.gsd_row_m)


@dataclass(frozen=True, slots=True)
class LonLatBox:
    """(west, south, east, north) in degrees; west > east where the box crosses the antimeridian."""

    west: float
    south: float
    east: float
    north: float

    @property
    def crosses_antimeridian(self) -> bool:
        return self.west > self.east

    def as_tuple(self) -> tuple[float, float, float, float]:
        return (self.west, self.south, self.east, self.north)


class NoCoordinateSystemError(GeoreferenceError):
    """Something stands where a coordinate system belongs, and is none, or none that knows longitude and latitude."""


def earth_crs(crs: Any) -> CRS:
    """The pyproj CRS of anything pyproj reads (code, WKT, rasterio or odc CRS).

    Raises NoCoordinateSystemError if it is none, GeoreferenceError if it is one of another celestial body.
    """
    try:
        parsed = CRS.from_user_input(crs)
    except CRSError as error:
        raise NoCoordinateSystemError(f"{_short(crs)} is not a coordinate system; give a code such as EPSG:32633.") from error
    ellipsoid = parsed.ellipsoid
    # PROJ itself tells the Earth from other bodies by the size of the ellipsoid.
    if ellipsoid is not None and abs(ellipsoid.semi_major_metre / 6_371_000 - 1) > 0.01:
        raise GeoreferenceError(f'The coordinate system "{parsed.name}" is not on the Earth; rsgeo places images on the Earth only.')
    return parsed


def to_wgs84(crs: Any) -> PixelToLonLat:
    """The function (x, y) in ``crs`` -> (lon, lat) in degrees WGS 84, x being east or longitude whatever the CRS's axis order.

    Raises NoCoordinateSystemError if it has no way to longitude and latitude (a local system), GeoreferenceError if it is not on the Earth.
    """
    try:
        transformer = Transformer.from_crs(earth_crs(crs), 4326, always_xy=True)
    except (ProjError, CRSError) as error:
        raise NoCoordinateSystemError(f"{_short(crs)} cannot be carried to longitude and latitude; give --crs.") from error

    def to_lonlat(x: Floats, y: Floats) -> tuple[Floats, Floats]:
        lon, lat = transformer.transform(x, y)
        return np.asarray(lon, dtype=float), np.asarray(lat, dtype=float)

    return to_lonlat


def from_transform(crs: Any, transform: Affine) -> PixelToLonLat:
    """The pixel to lon/lat function of an affine grid: ``transform`` takes pixels into ``crs``. Raises as `to_wgs84`."""
    in_wgs84 = to_wgs84(crs)
    a, b, c, d, e, f = transform[:6]

    def to_lonlat(x: Floats, y: Floats) -> tuple[Floats, Floats]:
        return in_wgs84(a * x + b * y + c, d * x + e * y + f)

    return to_lonlat


def wrap_lon(lon: float) -> float:
    """The same meridian in [-180, 180)."""
    wrapped = (lon + 180.0) % 360.0 - 180.0
    return -180.0 if wrapped >= 180.0 else wrapped


def ground_at(to_lonlat: PixelToLonLat, x: float, y: float) -> Ground:
    """Place and ground size of the pixel centred at (x, y) pixels (GEOREFERENCING.md R1: geodesic steps of one pixel on WGS 84).

    Raises GeoreferenceError where that point is off the Earth, or the pixel has no area.
    """
    measured = pixels_on_ground(to_lonlat, np.array([x]), np.array([y]))
    lon, lat, gsd, col, row = (float(value[0]) for value in measured)
    if not (math.isfinite(lon) and math.isfinite(lat) and abs(lat) <= 90 + 1e-9):
        raise GeoreferenceError("The centre of the image is not on the Earth; check its coordinate system and transform.")
    if not gsd > 0:
        raise GeoreferenceError("The pixels of the image have no size on the ground; check its transform.")
    return Ground(wrap_lon(lon), lat, col, row, gsd)


def pixels_on_ground(to_lonlat: PixelToLonLat, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """lon, lat, gsd, gsd_col, gsd_row of pixels centred at (x, y), in degrees and metres (GEOREFERENCING.md R1); not finite off the Earth.

    The angle between columns and rows is taken at the centre: at a pole, directions at the two ends have nothing in common.
    """
    lon, lat = to_lonlat(x, y)
    left, right, top, bottom = (to_lonlat(x + dx, y + dy) for dx, dy in ((-0.5, 0.0), (0.5, 0.0), (0.0, -0.5), (0.0, 0.5)))
    col, row = np.asarray(_WGS84.inv(*left, *right)[2]), np.asarray(_WGS84.inv(*top, *bottom)[2])
    angle = np.radians(np.asarray(_WGS84.inv(lon, lat, *bottom)[0]) - np.asarray(_WGS84.inv(lon, lat, *right)[0]))
    return lon, lat, np.sqrt(col * row * np.abs(np.sin(angle))), col, row


def bounds_lonlat(to_lonlat: PixelToLonLat, width: int, height: int) -> LonLatBox | None:
    """Bounds of ``width`` x ``height`` pixels from 84 points of their border; right across the antimeridian and around a pole.

    None where part of the border is off the Earth.
    """
    steps = np.linspace(0.0, 1.0, _BORDER_POINTS_PER_SIDE, endpoint=False)
    x = np.concatenate([steps, np.ones_like(steps), 1 - steps, np.zeros_like(steps)]) * width
    y = np.concatenate([np.zeros_like(steps), steps, np.ones_like(steps), 1 - steps]) * height
    lon, lat = to_lonlat(x, y)
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return None
    around = np.unwrap(np.append(lon, lon[0]), period=360)
    south, north = float(lat.min()), float(lat.max())
    if abs(around[-1] - around[0]) > 180:
        _, inside = to_lonlat(np.array([width / 2]), np.array([height / 2]))
        return LonLatBox(-180, south, 180, 90) if inside[0] > 0 else LonLatBox(-180, -90, 180, north)
    west, east = float(around.min()), float(around.max())
    if east - west >= 360 - 1e-9:
        return LonLatBox(-180, south, 180, north)
    shift = wrap_lon(west) - west
    west, east = west + shift, east + shift
    return LonLatBox(west, south, east - 360 if east > 180 else east, north)


def _short(crs: Any) -> str:
    text = str(crs)
    return f'"{text}"' if len(text) <= 60 else f'"{text[:57]}..."'
