"""Geometries on the sphere: carried between coordinate systems, cut at the antimeridian, measured.

Edges are straight in their own coordinates (RFC 7946 for longitude and latitude); wherever a geometry is carried to other coordinates its
edges are first cut into short pieces, so that they stay where they were.
"""

from __future__ import annotations

import math
from typing import Any

import antimeridian
import numpy as np
import shapely
from pyproj import CRS
from pyproj.exceptions import ProjError
from shapely import affinity
from shapely.geometry import Polygon, box
from shapely.geometry.base import BaseGeometry

from rsgeo.errors import GeoreferenceError
from rsgeo.geo.crs import WGS84, is_degrees, metres_per_unit, transformer
from rsgeo.geo.measure import LonLatBox, wrap_lon

DENSIFY_DEGREES = 0.25
_METRES_PER_DEGREE = 111_320.0


def polygons(geometry: BaseGeometry) -> list[Polygon]:
    """The polygons with an area in any geometry, in order."""
    if geometry.geom_type == "Polygon":
        return [geometry] if geometry.area > 0 else []
    if hasattr(geometry, "geoms"):
        return [polygon for part in geometry.geoms for polygon in polygons(part)]
    return []


def repair(geometry: BaseGeometry) -> BaseGeometry:
    """The valid union of the polygons of a geometry; lines and points that repairing leaves over are dropped."""
    valid = shapely.make_valid(geometry)
    return shapely.union_all(polygons(valid))


def densify(geometry: BaseGeometry, crs: CRS, degrees: float = DENSIFY_DEGREES) -> BaseGeometry:
    """The same geometry with no edge longer than ``degrees``, or the same length on a meridian in units of a projected ``crs``."""
    step = degrees if is_degrees(crs) else degrees * _METRES_PER_DEGREE / metres_per_unit(crs)
    west, south, east, north = geometry.bounds
    if not crs.is_geographic:
        step = min(step, max(east - west, north - south) / 16)
    # Pieces cut before and rounded since are a trifle longer than the step; they are not cut again.
    return shapely.segmentize(geometry, step * (1 + 1e-6)) if step > 0 else geometry


def transform(geometry: BaseGeometry, source: CRS, target: CRS) -> BaseGeometry:
    """Vertices carried from ``source`` to ``target``; edges are not touched.

    Raises GeoreferenceError where ``target`` has no coordinates for them.
    """
    if source == target:
        return geometry
    try:
        step = transformer(source, target)
        moved = shapely.transform(geometry, lambda x, y: step.transform(x, y), interleaved=False)
    except ProjError as error:
        raise GeoreferenceError(f'"{source.name}" cannot be carried to "{target.name}"; choose another --crs.') from error
    if not np.isfinite(shapely.get_coordinates(moved)).all():
        limited = target if source == WGS84 else source
        raise GeoreferenceError(f'The area reaches beyond where "{limited.name}" is defined; use another CRS.')
    return moved


def cut(polygon: Polygon, *, planar: bool = False) -> BaseGeometry:
    """A polygon in degrees as a valid geometry within [-180, 180]; what lies across the antimeridian becomes parts on both sides.

    A ring with an edge of more than 180 degrees is read as crossing the antimeridian, or as enclosing the pole nearer to it, unless
    ``planar``. Edges stay straight in longitude and latitude (GEOREFERENCING.md R17).
    Raises ValueError if the ring can be read in no way.
    """
    if planar or not jumps(polygon):
        return _wrap(repair(polygon))
    try:
        fixed = repair(antimeridian.fix_polygon(polygon, great_circle=False, fix_winding=True))
        if _share_of_sphere(fixed) > 0.5:
            # A ring wound the wrong way round a pole encloses the rest of the world.
            other = repair(antimeridian.fix_polygon(polygon.reverse(), great_circle=False, fix_winding=True))
            fixed = min(fixed, other, key=_share_of_sphere)
    except (AssertionError, shapely.GEOSException) as error:
        raise ValueError("no reading of the ring gives a polygon") from error
    return fixed


def jumps(polygon: Polygon) -> bool:
    """Whether an edge spans more than 180 degrees of longitude, so that it can be read in two ways."""
    for ring in (polygon.exterior, *polygon.interiors):
        step = np.abs(np.diff(shapely.get_coordinates(ring)[:, 0]))
        if ((step > 180) & (step < 360 - 1e-9)).any():
            return True
    return False


def to_lonlat(geometry: BaseGeometry, crs: CRS) -> BaseGeometry:
    """A polygonal geometry in EPSG:4326, cut at the antimeridian; edges densified to 0.25 degree before they are carried over.

    Raises GeoreferenceError where ``crs`` has no longitude and latitude.
    """
    if crs == WGS84:
        return geometry
    dense = densify(geometry, crs)
    # Seen from outside the Earth, a counterclockwise ring has its inside to the left in every projection; `cut` needs that round a pole.
    parts = [transform(shapely.orient_polygons(polygon), crs, WGS84) for polygon in polygons(dense)]
    try:
        return shapely.union_all([cut(part) for part in parts])
    except ValueError as error:
        raise GeoreferenceError(f'The area cannot be carried from "{crs.name}" to longitude and latitude.') from error


def lonlat_box(geometry: BaseGeometry) -> LonLatBox:
    """The narrowest box round a geometry in degrees within [-180, 180]; west > east where it crosses the antimeridian."""
    bounds = shapely.bounds(shapely.get_parts(geometry))
    south, north = float(bounds[:, 1].min()), float(bounds[:, 3].max())
    spans = sorted((float(west), float(east)) for west, east in bounds[:, [0, 2]])
    reach = spans[0][1]
    gaps = []
    for west, east in spans[1:]:
        if west > reach:
            gaps.append((west - reach, reach, west))
        reach = max(reach, east)
    first = spans[0][0]
    if first + 360 > reach + 1e-12:
        gaps.append((first + 360 - reach, reach, first))
    if not gaps:
        return LonLatBox(-180.0, south, 180.0, north)
    _, east, west = max(gaps)
    return LonLatBox(west, south, east, north)


def mean_direction(lon: Any, lat: Any) -> tuple[float, float]:
    """Longitude and latitude of the mean of unit vectors; the first point where that mean is no direction."""
    lon, lat = np.radians(np.asarray(lon, dtype=float)), np.radians(np.asarray(lat, dtype=float))
    x, y, z = (np.cos(lat) * np.cos(lon)).mean(), (np.cos(lat) * np.sin(lon)).mean(), np.sin(lat).mean()
    if math.hypot(x, y, z) < 1e-9:
        return wrap_lon(math.degrees(lon[0])), math.degrees(lat[0])
    return wrap_lon(math.degrees(math.atan2(y, x))), math.degrees(math.atan2(z, math.hypot(x, y)))


def angular_distance(lon: Any, lat: Any, lon0: float, lat0: float) -> Any:
    """Degrees of arc on the sphere between points and one point."""
    lon, lat, lon0, lat0 = np.radians(lon), np.radians(lat), math.radians(lon0), math.radians(lat0)
    half = np.sin((lat - lat0) / 2) ** 2 + np.cos(lat) * math.cos(lat0) * np.sin((lon - lon0) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(np.clip(half, 0, 1))))


def _wrap(geometry: BaseGeometry) -> BaseGeometry:
    west, _, east, _ = geometry.bounds
    if geometry.is_empty or (west >= -180 and east <= 180):
        return geometry
    turns = range(math.floor((west + 180) / 360), math.ceil((east - 180) / 360) + 1)
    strips = (shapely.intersection(geometry, box(-180 + 360 * turn, -90, 180 + 360 * turn, 90)) for turn in turns)
    moved = [affinity.translate(strip, -360 * turn) for turn, strip in zip(turns, strips, strict=True)]
    return shapely.union_all([polygon for strip in moved for polygon in polygons(strip)])


def _share_of_sphere(geometry: BaseGeometry) -> float:
    """Area on the unit sphere over that of the whole sphere (Lambert's cylinder; edges bent a little)."""
    flat = shapely.transform(geometry, lambda x, y: (x, np.degrees(np.sin(np.radians(y)))), interleaved=False)
    return float(flat.area) / (360 * math.degrees(2))
