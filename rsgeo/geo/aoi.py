"""Any vector source -> `AOI`: one valid geometry in its CRS, with the features it was made of.

Repairs and guesses are reported as RsgeoWarning; what cannot be repaired is an InputError of one sentence.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
from pyproj import CRS
from shapely.geometry import MultiPolygon, Polygon, box, mapping, shape
from shapely.geometry.base import BaseGeometry

from rsgeo.errors import AreaError, RsgeoWarning
from rsgeo.geo import lonlat, vector_sources
from rsgeo.geo.crs import WGS84, crs_text, is_degrees, local_equal_area, local_equidistant, metres_per_unit, parse_crs, transformer
from rsgeo.geo.measure import LonLatBox, wrap_lon
from rsgeo.geo.vector_sources import VectorData
from rsgeo.request import AoiRecord, canonical_json

MAX_RECORD_BYTES = 200_000
MAX_SIMPLIFY_M = 10_000.0
MAX_BUFFER_M = 500_000.0
_CYLINDER = CRS.from_proj4("+proj=cea +datum=WGS84 +units=m")
_POLYGONAL = ("Polygon", "MultiPolygon")


@dataclass(frozen=True, eq=False)
class AOI:
    """An area of interest.

    ``geometry`` is a valid, 2-D, dissolved Polygon or MultiPolygon in ``crs`` (x or longitude first). In a geographic CRS it lies within
    [-180, 180], cut at the antimeridian, its edges straight in longitude and latitude. ``features`` are the picked polygons with their
    attributes, each treated the same way, or None. ``record`` is the stored form it came from, if it did.
    """

    geometry: Polygon | MultiPolygon
    crs: CRS
    features: geopandas.GeoDataFrame | None = None
    name: str = "aoi"
    record: AoiRecord | None = field(default=None, repr=False)

    @cached_property
    def lonlat(self) -> Polygon | MultiPolygon:
        """The geometry in EPSG:4326, within [-180, 180]; edges of a projected CRS are densified to 0.25 degree first."""
        return lonlat.to_lonlat(self.geometry, self.crs)

    @cached_property
    def area_km2(self) -> float:
        """Area on WGS 84 in square kilometres, edges straight in ``crs``."""
        dense = lonlat.densify(self.lonlat, WGS84)
        return float(lonlat.transform(dense, WGS84, _CYLINDER).area) / 1e6

    @cached_property
    def centroid(self) -> tuple[float, float]:
        """(lon, lat) of the centroid in a local equal-area plane, lon in [-180, 180) (GEOREFERENCING.md R7)."""
        dense = lonlat.densify(self.lonlat, WGS84)
        lon, lat = lonlat.mean_direction(*shapely.get_coordinates(self.lonlat).T)
        for _ in range(3):
            plane = local_equal_area(lon, lat)
            # The point opposite to the centre has no place in the plane; an area that holds it is told from the rest.
            step = transformer(WGS84, plane)
            middle = shapely.transform(dense, lambda x, y, step=step: _finite(*step.transform(x, y)), interleaved=False).centroid
            lon, lat = step.transform(middle.x, middle.y, direction="INVERSE")
        return wrap_lon(float(lon)), float(lat)

    @cached_property
    def bbox_lonlat(self) -> LonLatBox:
        """The narrowest box round the area in degrees; west > east where it crosses the antimeridian."""
        return lonlat.lonlat_box(self.lonlat)

    @property
    def crosses_antimeridian(self) -> bool:
        return self.bbox_lonlat.crosses_antimeridian

    def to_record(self) -> AoiRecord:
        """The stored form: coordinates rounded to 1e-9 degree or 1e-3 m, edges no longer than 0.25 degree, the same at every call.

        Above 200 kB the outline is simplified, with an RsgeoWarning.
        """
        return self.record or self._record

    @cached_property
    def _record(self) -> AoiRecord:
        digits, metres = (9, 111_320.0) if is_degrees(self.crs) else (3, metres_per_unit(self.crs))
        outline = _rounded(self.geometry, digits)
        stored = _rounded(lonlat.densify(outline, self.crs), digits)
        most = MAX_RECORD_BYTES * int(shapely.get_num_coordinates(stored)) / _json_bytes(stored)
        tolerance_m, shorter = 0.01, stored
        while shapely.get_num_coordinates(shorter) > most and tolerance_m < MAX_SIMPLIFY_M:
            tolerance_m *= 4
            shorter = lonlat.densify(shapely.simplify(outline, tolerance_m / metres), self.crs)
        # Thousands of small parts or borders round the world never get short; simplifying would only harm them.
        if shorter is not stored and shapely.get_num_coordinates(shorter) <= most:
            stored = _rounded(shorter, digits)
            warnings.warn(
                f"The outline of {self.name} is too long to be stored with the result; it is simplified by up to {tolerance_m:.2g} m.",
                RsgeoWarning,
                stacklevel=3,
            )
        return AoiRecord(crs=crs_text(self.crs), geometry=json.loads(canonical_json(mapping(stored))))


def read(
    source: str | Path, *, layer: str | None = None, where: str | None = None, crs: str | CRS | None = None, buffer_m: float | None = None
) -> AOI:
    """The area of a GeoJSON, GeoPackage, Shapefile, FlatGeobuf, KML, KMZ, zipped or WKT file.

    ``layer`` and ``where`` (SQL) pick features. ``crs`` is for files that state none. ``buffer_m`` widens every feature by so many metres,
    which makes areas of points and lines. Raises InputError if the file cannot be read or holds no area.
    """
    return _from_data(vector_sources.load(source, layer=layer, where=where), crs, buffer_m)


def from_bounds(west: float, south: float, east: float, north: float, *, crs: str | CRS = "EPSG:4326") -> AOI:
    """The rectangle between four coordinates of ``crs``; in degrees, west > east crosses the antimeridian.

    Raises InputError for bounds that are not finite, swapped, out of range or empty.
    """
    system = _in_degrees_or_projected(parse_crs(crs))
    west, south, east, north = (float(value) for value in (west, south, east, north))
    if not all(map(math.isfinite, (west, south, east, north))):
        raise AreaError("Bounds must be four finite numbers: west, south, east, north.")
    if south == north or west == east:
        raise AreaError("The bounds have no area; give west, south, east, north.")
    if south > north:
        raise AreaError(f"South ({south:g}) lies north of north ({north:g}); the order is west, south, east, north.")
    if not is_degrees(system):
        if west > east:
            raise AreaError(f"West ({west:g}) lies east of east ({east:g}); the order is west, south, east, north.")
        aoi = AOI(box(west, south, east, north), system, name="bounds")
        _ = aoi.lonlat  # coordinates that are nowhere on the Earth end here
        return aoi
    _check_degrees(np.array([[west, south], [east, north]]), "the bounds")
    if west > east:
        east += 360
        if east - west > 180:
            raise AreaError(
                f"West ({west:g}) lies east of east ({east - 360:g}); the order is west, south, east, north "
                "(an area across the antimeridian may be 180 degrees wide)."
            )
    if east - west > 360:
        raise AreaError(f"The bounds are {east - west:g} degrees wide; there are only 360.")
    return AOI(lonlat.cut(box(west, south, east, north), planar=True), system, name="bounds")


def from_geometry(
    geometry: BaseGeometry | Mapping[str, Any] | geopandas.GeoDataFrame | geopandas.GeoSeries,
    *,
    crs: str | CRS | None = None,
    buffer_m: float | None = None,
    name: str = "aoi",
) -> AOI:
    """The area of a shapely geometry (``crs`` is EPSG:4326 unless given), GeoJSON mapping, GeoDataFrame or GeoSeries.

    Raises InputError if it holds no area, or its coordinate system is unknown or contradicts ``crs``.
    """
    if isinstance(geometry, Mapping):
        text = vector_sources.load_text(json.dumps(geometry), name)
        assert text is not None  # JSON of a mapping begins with a brace
        return _from_data(text, crs, buffer_m)
    if isinstance(geometry, geopandas.GeoDataFrame | geopandas.GeoSeries):
        frame = geometry if isinstance(geometry, geopandas.GeoDataFrame) else geopandas.GeoDataFrame(geometry=geometry)
        own = parse_crs(frame.crs) if frame.crs is not None else None
        return _from_data(VectorData(vector_sources.without_crs(frame), name, name, own), crs, buffer_m)
    frame = geopandas.GeoDataFrame(geometry=[shapely.force_2d(geometry)])
    return _from_data(VectorData(frame, name, name, parse_crs(crs or WGS84)), None, buffer_m)


def from_record(record: AoiRecord) -> AOI:
    """The area as it was stored; its record is the same again. Raises InputError if only its hash was stored, or it is no area."""
    if record.geometry is None or record.crs is None:
        raise AreaError("The area was not stored in that file (--private); give it again with --aoi.")
    try:
        geometry = shape(record.geometry)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, shapely.GEOSException) as error:
        raise AreaError("The stored area is no geometry; give it again with --aoi.") from error
    if geometry.geom_type not in _POLYGONAL or not geometry.area > 0:
        raise AreaError("The stored area is no polygon; give it again with --aoi.")
    return AOI(geometry, parse_crs(record.crs), record=record)


def of(source: Any, *, layer: str | None = None, where: str | None = None, crs: str | CRS | None = None, buffer_m: float | None = None) -> AOI:
    """The area of anything: an AOI, its record, a path, GeoJSON or WKT text, a mapping, (west, south, east, north), a shapely geometry, a
    geopandas object.

    Raises InputError as `read`, `from_bounds` and `from_geometry` do.
    """
    if isinstance(source, AOI):
        return source
    if isinstance(source, AoiRecord):
        return from_record(source)
    if isinstance(source, str):
        data = vector_sources.load_text(source, "the given text", where=where)
        if data is not None:
            return _from_data(data, crs, buffer_m)
    if isinstance(source, str | os.PathLike):
        return read(Path(source) if not isinstance(source, str) else source, layer=layer, where=where, crs=crs, buffer_m=buffer_m)
    if isinstance(source, Mapping | BaseGeometry | geopandas.GeoDataFrame | geopandas.GeoSeries):
        return from_geometry(source, crs=crs, buffer_m=buffer_m)
    if isinstance(source, Sequence) and len(source) == 4:
        west, south, east, north = source
        return from_bounds(west, south, east, north, crs=crs or "EPSG:4326")
    if hasattr(source, "__geo_interface__"):
        return from_geometry(source.__geo_interface__, crs=crs, buffer_m=buffer_m)
    raise AreaError(f"A {type(source).__name__} is no area; give a file, GeoJSON, bounds, or a geometry.")


def _from_data(data: VectorData, crs: str | CRS | None, buffer_m: float | None) -> AOI:
    """Checks and repairs, in the order of GEOREFERENCING.md R18."""
    system = _settle_crs(data, crs)
    frame = _without_empty(data)
    coordinates = shapely.get_coordinates(frame.geometry.array)
    if not np.isfinite(coordinates).all():
        raise AreaError(f"{data.label} has coordinates that are no numbers; repair it and try again.")
    converted = _in_degrees_or_projected(system)
    if converted != system:
        frame["geometry"] = [lonlat.transform(lonlat.densify(geometry, system), system, converted) for geometry in frame.geometry]
        coordinates, system = shapely.get_coordinates(frame.geometry.array), converted
    if is_degrees(system):
        _check_degrees(coordinates, data.label)
    if buffer_m is None:
        frame = _only_polygons(frame, data.label)
    else:
        frame["geometry"] = [_buffered(geometry, system, _checked_buffer(buffer_m)) for geometry in frame.geometry]
        system = WGS84
    _warn_ambiguous(frame, system, data)
    invalid = int((~shapely.is_valid(frame.geometry.array)).sum()) - _count_jumping(frame, system)
    frame["geometry"] = [_normalised(geometry, system, data) for geometry in frame.geometry]
    dissolved = shapely.union_all(lonlat.polygons(lonlat.repair(shapely.union_all(frame.geometry.array))))
    if dissolved.is_empty or not dissolved.area > 0:
        raise AreaError(f"{data.label} has no area; give a polygon, or widen it with --buffer METRES.")
    aoi = AOI(dissolved, system, frame.set_crs(system, allow_override=True), data.name)
    if not aoi.area_km2 > 0:
        raise AreaError(f"{data.label} has no area on the ground; give a polygon, or widen it with --buffer METRES.")
    if invalid > 0:
        what = "polygon" if invalid == 1 else "polygons"
        warnings.warn(
            f"{invalid} {what} of {data.label} crossed or touched themselves and were repaired; the area is now {aoi.area_km2:.6g} km2.",
            RsgeoWarning,
            stacklevel=3,
        )
    return aoi


def _settle_crs(data: VectorData, crs: str | CRS | None) -> CRS:
    given = parse_crs(crs) if crs is not None else None
    if data.crs is None:
        if given is None and not data.crs_is_assumed:
            raise AreaError(f"{data.label} states no coordinate system; give it, such as --aoi-crs EPSG:4326 for longitude and latitude.")
        if given is None:
            warnings.warn(f"WKT states no coordinate system; {data.label} is taken as longitude and latitude.", RsgeoWarning, stacklevel=4)
        return given or WGS84
    if given is None or given == data.crs:
        return data.crs
    if not data.crs_is_assumed:
        raise AreaError(f"{data.label} is in {crs_text(data.crs)[:60]}; leave out --aoi-crs, or correct the file.")
    followed = f"--aoi-crs {crs_text(given)[:60]} is followed"
    warnings.warn(f"{data.label} should be longitude and latitude by its format; {followed}.", RsgeoWarning, stacklevel=4)
    return given


def _in_degrees_or_projected(crs: CRS) -> CRS:
    """Geographic systems in other units or from other meridians are carried to WGS 84, so that the antimeridian is where it is."""
    return WGS84 if crs.is_geographic and not is_degrees(crs) else crs


def _without_empty(data: VectorData) -> geopandas.GeoDataFrame:
    frame = data.frame
    if frame.empty:
        raise AreaError(f"{data.label} has no features; give a polygon.")
    empty = frame.geometry.isna() | frame.geometry.is_empty
    if empty.all():
        raise AreaError(f"{data.label} holds no geometry; give a polygon.")
    if empty.any():
        warnings.warn(f"{int(empty.sum())} feature(s) of {data.label} without a geometry are left out.", RsgeoWarning, stacklevel=4)
    return frame[~empty].reset_index(drop=True)


def _check_degrees(coordinates: Any, name: str) -> None:
    lon, lat = coordinates[:, 0], coordinates[:, 1]
    lon_fits, lat_fits = (lon >= -180.0000001) & (lon <= 360.0000001), (lat >= -90.0000001) & (lat <= 90.0000001)
    if lon_fits.all() and lat_fits.all():
        return
    if not lat_fits.all() and (np.abs(lon) <= 90).all() and (np.abs(lat) <= 360).all():
        raise AreaError(f"Latitudes of {name} lie beyond 90 degrees: it looks like lat, lon order; write longitude first.")
    raise AreaError(
        f"Coordinates of {name} lie outside longitude -180..360 and latitude -90..90; if they are not degrees, state their CRS (--aoi-crs)."
    )


def _only_polygons(frame: geopandas.GeoDataFrame, name: str) -> geopandas.GeoDataFrame:
    frame = frame.copy()
    kinds = Counter(_kind(part) for part in shapely.get_parts(frame.geometry.array))
    frame["geometry"] = [_polygonal_part(geometry) for geometry in frame.geometry]
    kept = frame[~frame.geometry.is_empty].reset_index(drop=True)
    others = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in sorted(kinds.items()) if kind != "polygon")
    if kept.empty:
        raise AreaError(f"{name} holds no polygon but {others}; widen them to an area with --buffer METRES.")
    if others:
        warnings.warn(f"{name} also holds {others}; only its polygons are used.", RsgeoWarning, stacklevel=4)
    return kept


def _kind(geometry: BaseGeometry) -> str:
    return {0: "point", 1: "line", 2: "polygon"}.get(shapely.get_dimensions(geometry), "geometry")


def _polygonal_part(geometry: BaseGeometry) -> BaseGeometry:
    """Polygons as they are, invalid ones too; what else a collection holds is dropped."""
    if geometry.geom_type in _POLYGONAL:
        return geometry
    if geometry.geom_type == "GeometryCollection":
        return MultiPolygon([polygon for part in geometry.geoms for polygon in shapely.get_parts(_polygonal_part(part))])
    return MultiPolygon()


def _checked_buffer(buffer_m: float) -> float:
    if not (math.isfinite(buffer_m) and 0 < buffer_m <= MAX_BUFFER_M):
        raise AreaError(f"--buffer {buffer_m:g} cannot be used; give metres above 0, up to {MAX_BUFFER_M:g}.")
    return float(buffer_m)


def _buffered(geometry: BaseGeometry, crs: CRS, metres: float) -> BaseGeometry:
    """Everything within ``metres`` of a geometry, in EPSG:4326, measured in an equidistant plane around it."""
    dense = lonlat.densify(geometry, crs)
    if is_degrees(crs) and any(map(lonlat.jumps, lonlat.polygons(dense))):
        dense = shapely.union_all([lonlat.cut(polygon) for polygon in lonlat.polygons(dense)])
    places = lonlat.transform(dense, crs, WGS84)
    plane = local_equidistant(*lonlat.mean_direction(*shapely.get_coordinates(places).T))
    return lonlat.to_lonlat(shapely.buffer(lonlat.transform(places, WGS84, plane), metres, quad_segs=32), plane)


def _count_jumping(frame: geopandas.GeoDataFrame, crs: CRS) -> int:
    """Geometries that look invalid only because they cross the antimeridian."""
    if not is_degrees(crs):
        return 0
    return sum(any(map(lonlat.jumps, shapely.get_parts(geometry))) and not geometry.is_valid for geometry in frame.geometry)


def _warn_ambiguous(frame: geopandas.GeoDataFrame, crs: CRS, data: VectorData) -> None:
    if data.planar is None and is_degrees(crs) and any(lonlat.jumps(part) for part in shapely.get_parts(frame.geometry.array)):
        warnings.warn(
            f"{data.label} has an edge of more than 180 degrees of longitude, read as crossing the antimeridian or rounding a pole; "
            "if it goes the other way, add a bbox member.",
            RsgeoWarning,
            stacklevel=4,
        )


def _normalised(geometry: BaseGeometry, crs: CRS, data: VectorData) -> BaseGeometry:
    if not is_degrees(crs):
        return lonlat.repair(geometry)
    parts = shapely.get_parts(geometry)
    if not any(map(lonlat.jumps, parts)):
        return lonlat.cut(geometry, planar=True)
    try:
        return shapely.union_all([lonlat.cut(part, planar=bool(data.planar)) for part in parts])
    except ValueError as error:
        raise AreaError(f"{data.label} crosses the antimeridian in a way that cannot be told; split it there (RFC 7946).") from error


def _rounded(geometry: BaseGeometry, digits: int) -> BaseGeometry:
    """Vertices on a decimal raster, still valid, rings and parts in a fixed order."""
    snapped = lonlat.repair(shapely.set_precision(geometry, 10.0**-digits))
    tidy = shapely.normalize(shapely.transform(snapped, lambda xy: np.round(xy, digits) + 0.0))
    return shapely.orient_polygons(tidy)


def _json_bytes(geometry: BaseGeometry) -> int:
    return len(canonical_json(mapping(geometry)))


def _finite(x: Any, y: Any) -> tuple[Any, Any]:
    return np.nan_to_num(x, posinf=0.0, neginf=0.0), np.nan_to_num(y, posinf=0.0, neginf=0.0)
