"""AOI, bounds or a reference -> a rectangle on a world lattice, and from there to coordinates on the ground.

A `GridRecord` is an integer rectangle of cells on a lattice of exact decimals (SYNTHESIS.md 5.1). Two grids share their pixels if CRS and
lattice are equal, so whatever may decide a pixel is a function of the lattice and of world cells, never of a rectangle's own corner.
"""

from __future__ import annotations

import math
import warnings
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Proj
from shapely.geometry import Polygon, mapping

from rsgeo.errors import AreaError, GeoreferenceError, InputError, RsgeoWarning, TooLargeError
from rsgeo.geo import lonlat, measure
from rsgeo.geo.aoi import AOI
from rsgeo.geo.coverage import bounds_in, check_size, covering, grown, touched_pixels, valid_mask
from rsgeo.geo.crs import WGS84, cached_crs, crs_text, is_degrees, local_equal_area, parse_crs, transformer
from rsgeo.geo.measure import LonLatBox
from rsgeo.geo.world import decimal_text, exact, floats, fractions, positive_decimal, solve
from rsgeo.request import GridRecord

__all__ = [
    "parse_crs",
    "crs_text",
    "utm_zone",
    "choose_crs",
    "for_aoi",
    "from_transform",
    "window",
    "pixel_at",
    "geobox",
    "window_geobox",
    "ground",
    "ground_at",
    "centres_lonlat",
    "gsd_at",
    "bounds_lonlat",
    "footprint_lonlat",
    "valid_mask",
    "touched_pixels",
    "check_size",
    "covering",
    "grown",
    "to_geojson",
]

MAX_SIDE = 2**31 - 1
MAX_UTM_SCALE_ERROR = 0.005
MAX_UPS_SCALE_ERROR = 0.01
MAX_RADIUS_DEGREES = 60.0
"""An area reaching further than this from its centroid has no one compact plane; its CRS must be named."""

_BORDER_POINTS_PER_SIDE = 21
_SMALL_GRID = 512 * 512
Floats = NDArray[np.float64]


def utm_zone(lon: float, lat: float) -> int:
    """The UTM zone of a place in degrees, with the exceptions for Norway and Svalbard."""
    lon = measure.wrap_lon(lon)
    if 56 <= lat < 64 and 3 <= lon < 12:
        return 32
    if 72 <= lat < 84 and 0 <= lon < 42:
        return 31 if lon < 9 else 33 if lon < 21 else 35 if lon < 33 else 37
    return int((lon + 180) // 6) + 1


def choose_crs(aoi: AOI) -> CRS:
    """The CRS for an area: UTM of its centroid, UPS at a pole, a local equal-area plane where these stretch too much (GEOREFERENCING.md 4).

    Raises InputError if the area reaches round the world.
    """
    lon, lat = aoi.centroid
    outline = shapely.get_coordinates(lonlat.densify(aoi.lonlat, WGS84))
    radius = float(lonlat.angular_distance(outline[:, 0], outline[:, 1], lon, lat).max())
    if radius > MAX_RADIUS_DEGREES:
        raise AreaError(f"{aoi.name} reaches {radius:.0f} degrees from its centre, too far for one map; pick a part of it, or give --crs.")
    if lat >= 84 or lat <= -80:
        crs, limit = CRS.from_epsg(5041 if lat > 0 else 5042), MAX_UPS_SCALE_ERROR
    else:
        crs, limit = CRS.from_epsg((32600 if lat >= 0 else 32700) + utm_zone(lon, lat)), MAX_UTM_SCALE_ERROR
    if _scale_error(crs, outline) <= limit:
        return crs
    plane = local_equal_area(measure.wrap_lon(float(round(lon))), float(round(lat)))
    warnings.warn(
        f"{aoi.name} is too wide for a UTM or UPS grid; it is laid out in an equal-area plane ({plane.name}), stretched towards its edges.",
        RsgeoWarning,
        stacklevel=2,
    )
    return plane


def for_aoi(aoi: AOI, *, gsd: str | None = None, resolution: str | None = None, crs: str | CRS | None = None) -> GridRecord:
    """The smallest grid on the world lattice that covers an area.

    Either ``gsd`` (metres) or ``resolution`` (CRS units) is given, as decimal text. The lattice starts at the CRS origin; edges are snapped
    outward with exact numbers. Raises InputError for a number or CRS that cannot be used or an area without a pixel centre,
    TooLargeError for more than 2^31-1 pixels a side.
    """
    if (gsd is None) == (resolution is None):
        raise InputError("Give either --gsd in metres or --resolution in units of the coordinate system.")
    target = parse_crs(crs) if crs is not None else choose_crs(aoi)
    if resolution is not None:
        cell = positive_decimal(resolution, "--resolution")
    else:
        cell = positive_decimal(str(gsd), "--gsd")
        if crs is not None:
            cell = _resolution_for(aoi, target, cell)
    left, bottom, right, top = (exact(value) for value in bounds_in(aoi, target, float(cell)))
    col, row = math.floor(left / cell), math.floor(-top / cell)
    width, height = math.ceil(right / cell) - col, math.ceil(-bottom / cell) - row
    if max(width, height) > MAX_SIDE:
        raise TooLargeError(f"The grid would have {width} x {height} pixels, more than {MAX_SIDE} a side; use a coarser --gsd.")
    size = decimal_text(cell)
    grid = GridRecord(crs=crs_text(target), lattice=(size, "0", "0", "0", f"-{size}", "0"), col=col, row=row, width=width, height=height)
    if width * height <= _SMALL_GRID and not valid_mask(grid, aoi, 0, 0, height, width).any():
        raise AreaError(f"{aoi.name} holds no pixel centre at {size} {_unit(target)} a pixel; use a finer --gsd.")
    return grid


def from_transform(crs: str | CRS, transform: Affine, width: int, height: int) -> GridRecord:
    """The grid of a reference raster: its affine, the origin reduced by whole cells, so that `geobox` gives back exactly this affine.

    Coefficients are read as the shortest decimals that name them, so a 0.6 m raster made for an AOI lies on the lattice of 0.6 again.
    Raises GeoreferenceError for an identity, singular or non-finite transform, InputError for a CRS that is none of the Earth.
    """
    values = tuple(float(value) for value in transform[:6])
    if not all(map(math.isfinite, values)) or values == tuple(Affine.identity()[:6]):
        raise GeoreferenceError("The reference has no usable transform; give --crs and --bounds, or --aoi.")
    a, b, c, d, e, f = (exact(value) for value in values)
    if a * e == b * d:
        raise GeoreferenceError("The pixels of the reference have no area; choose another reference.")
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise GeoreferenceError(f"The reference has {width} x {height} pixels, which is no grid; choose another reference.")
    col, row = (math.floor(value) for value in solve(a, b, d, e, c, f))
    x, y = c - a * col - b * row, f - d * col - e * row
    lattice = (decimal_text(a), decimal_text(b), decimal_text(x), decimal_text(d), decimal_text(e), decimal_text(y))
    return GridRecord(crs=crs_text(parse_crs(crs)), lattice=lattice, col=col, row=row, width=width, height=height)


def resolution_of(record: GridRecord) -> str | None:
    """The resolution (CRS units, decimal text) of a grid on an area's lattice; None for the grid of a raster with another one."""
    a, b, c, d, e, f = fractions(record.lattice)
    return record.lattice[0] if not any((b, c, d, f)) and e == -a else None


def window(record: GridRecord, row0: int, col0: int, height: int, width: int) -> GridRecord:
    """A rectangle of pixels as a grid of its own; offsets count from the upper left pixel and may stick out."""
    return record.model_copy(update={"col": record.col + col0, "row": record.row + row0, "width": width, "height": height})


def pixel_at(record: GridRecord, x: float, y: float) -> tuple[float, float]:
    """(x, y) in pixels from the upper left corner of a place in the grid's CRS; it may lie outside."""
    a, b, c, d, e, f = floats(record.lattice)
    col, row = solve(a, b, d, e, x - c, y - f)
    return col - record.col, row - record.row


def geobox(record: GridRecord) -> GeoBox:
    """The grid as odc-geo sees it; offsets are rounded once, from exact numbers. Raises InputError if the record is no numbers."""
    a, b, c, d, e, f = fractions(record.lattice)
    x, y = a * record.col + b * record.row + c, d * record.col + e * record.row + f
    return GeoBox((record.height, record.width), Affine(*map(float, (a, b, x, d, e, y))), _odc_crs(record.crs))


def window_geobox(record: GridRecord, row0: int, col0: int, height: int, width: int) -> GeoBox:
    """`geobox` of a `window`."""
    return geobox(window(record, row0, col0, height, width))


def ground(grid: GridRecord | GeoBox) -> measure.Ground:
    """Place and true GSD at the centre of a grid (GEOREFERENCING.md R1). Raises GeoreferenceError if it is off the Earth."""
    height, width = _shape(grid)
    return ground_at(grid, width / 2, height / 2)


def ground_at(grid: GridRecord | GeoBox, x: float, y: float) -> measure.Ground:
    """`ground` of the pixel centred at (x, y) in pixels from the upper left corner, x to the right."""
    return measure.ground_at(_to_lonlat(grid), x, y)


def centres_lonlat(record: GridRecord, xs: Any, ys: Any) -> tuple[Floats, Floats]:
    """Longitudes in [-180, 180) and latitudes of many positions, rounded to 1e-6 degree; not finite off the Earth.

    ``xs`` and ``ys`` are pixels from the upper left corner of the grid, whole or half. The same place in the world gives the same numbers
    on every grid of the lattice.
    """
    lon, lat = _world_to_lonlat(record)(np.asarray(xs, dtype=float), np.asarray(ys, dtype=float))
    lon = np.round(lon, 6)
    return np.where(lon >= 180, lon - 360, lon) + 0.0, np.round(lat, 6) + 0.0


def gsd_at(record: GridRecord, xs: Any, ys: Any) -> Floats:
    """GSD in metres of pixels centred at many positions (as in `centres_lonlat`), rounded to 6 significant digits; NaN off the Earth."""
    gsd = measure.pixels_on_ground(_world_to_lonlat(record), np.asarray(xs, dtype=float), np.asarray(ys, dtype=float))[2]
    scale = 10.0 ** (5 - np.floor(np.log10(gsd)))
    return np.asarray(np.round(gsd * scale) / scale)


def bounds_lonlat(grid: GridRecord | GeoBox) -> LonLatBox:
    """Bounds in degrees from 84 points of the border; west > east across the antimeridian, -180..180 round a pole.

    Raises GeoreferenceError where part of the border is off the Earth.
    """
    height, width = _shape(grid)
    found = measure.bounds_lonlat(_to_lonlat(grid), width, height)
    if found is None:
        raise GeoreferenceError("The grid reaches beyond the Earth; use a smaller area or another --crs.")
    return found


def footprint_lonlat(grid: GridRecord | GeoBox) -> dict[str, Any] | None:
    """The outline of a grid as GeoJSON geometry in degrees, cut at the antimeridian.

    Border points off the Earth are left out; None where fewer than 3 remain (GEOREFERENCING.md R6).
    """
    placed = _placed(grid)
    height, width = placed.shape
    steps = np.linspace(0.0, 1.0, _BORDER_POINTS_PER_SIDE, endpoint=False)
    x = np.concatenate([steps, np.ones_like(steps), 1 - steps, np.zeros_like(steps)]) * width
    y = np.concatenate([np.zeros_like(steps), steps, np.ones_like(steps), 1 - steps]) * height
    a, b, c, d, e, f = placed.affine[:6]
    plane = shapely.orient_polygons(Polygon(np.column_stack([a * x + b * y + c, d * x + e * y + f])))
    crs = CRS.from_user_input(placed.crs)
    if is_degrees(crs):
        return dict(mapping(lonlat.cut(plane, planar=True)))
    lon, lat = transformer(crs).transform(*shapely.get_coordinates(plane.exterior).T)
    seen = np.isfinite(lon) & np.isfinite(lat)
    if seen.sum() < 4:  # the ring repeats its first point
        return None
    try:
        return dict(mapping(lonlat.cut(Polygon(np.column_stack([lon, lat])[seen]))))
    except ValueError:
        return None


def to_geojson(record: GridRecord, aoi: AOI | None = None) -> dict[str, Any]:
    """The grid's footprint with its numbers, and the area if given, as a GeoJSON FeatureCollection in degrees."""
    sample = ground(record)
    properties = {
        "role": "grid",
        "crs": record.crs,
        "transform": list(geobox(record).affine[:6]),
        "width": record.width,
        "height": record.height,
        "lattice": list(record.lattice),
        "col": record.col,
        "row": record.row,
        "center_lon": sample.lon,
        "center_lat": sample.lat,
        "gsd_m": sample.gsd_m,
        "gsd_col_m": sample.gsd_col_m,
        "gsd_row_m": sample.gsd_row_m,
    }
    features = [_feature(footprint_lonlat(record), bounds_lonlat(record), properties)]
    if aoi is not None:
        about = {"role": "aoi", "name": aoi.name, "area_km2": aoi.area_km2}
        features.append(_feature(dict(mapping(aoi.lonlat)), aoi.bbox_lonlat, about))
    return {"type": "FeatureCollection", "features": features}


def _feature(geometry: dict[str, Any] | None, bounds: LonLatBox, properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "bbox": list(bounds.as_tuple()), "properties": properties, "geometry": geometry}


def _scale_error(crs: CRS, outline: Any) -> float:
    """The largest deviation from 1 of a conformal projection's scale along an outline in degrees; infinite where it has none."""
    scale = np.asarray(Proj(crs).get_factors(outline[:, 0], outline[:, 1], errcheck=False).meridional_scale)
    return float(np.abs(scale - 1).max()) if np.isfinite(scale).all() else math.inf


def _resolution_for(aoi: AOI, crs: CRS, gsd: Fraction) -> Fraction:
    """CRS units of a pixel of ``gsd`` metres at the area's centre, rounded to whole degrees so that neighbours agree.

    A projection in metres that is true to 5 % keeps the number asked for; others get 4 significant digits (GEOREFERENCING.md section 4).
    """
    lon, lat = aoi.centroid
    x, y = transformer(WGS84, crs).transform(float(round(lon)), float(max(-89, min(89, round(lat)))))
    if not (math.isfinite(x) and math.isfinite(y)):
        raise GeoreferenceError(f'{aoi.name} lies beyond where "{crs.name}" is defined; use another --crs.')
    step = 1e-4 if crs.is_geographic else 1.0
    metres = measure.ground_at(measure.from_transform(crs, Affine(step, 0, x, 0, -step, y)), 0.0, 0.0).gsd_m / step
    web_mercator = crs.coordinate_operation is not None and "Pseudo" in crs.coordinate_operation.method_name
    if _unit(crs) == "metre" and abs(metres - 1) <= 0.05 and not web_mercator:
        if abs(metres - 1) > 0.01:
            warnings.warn(f"A metre of {crs.name} is {metres:.3f} m on the ground here; the GSD differs as much.", RsgeoWarning, stacklevel=3)
        return gsd
    size = Fraction(f"{float(gsd) / metres:.3e}")
    warnings.warn(
        f"A GSD of {decimal_text(gsd)} m is {decimal_text(size)} {_unit(crs)} a pixel of {crs.name} at the area's centre "
        "and differs elsewhere; --resolution sets it exactly.",
        RsgeoWarning,
        stacklevel=3,
    )
    return size


def _unit(crs: CRS) -> str:
    return str(crs.axis_info[0].unit_name)


@lru_cache(maxsize=64)
def _odc_crs(text: str) -> Any:
    return GeoBox((1, 1), Affine.identity(), crs_text(cached_crs(text))).crs


def _shape(grid: GridRecord | GeoBox) -> tuple[int, int]:
    return (grid.height, grid.width) if isinstance(grid, GridRecord) else (grid.shape[0], grid.shape[1])


def _placed(grid: GridRecord | GeoBox) -> GeoBox:
    found = geobox(grid) if isinstance(grid, GridRecord) else grid
    if found.crs is None:
        raise GeoreferenceError("The grid has no coordinate system; give --crs.")
    return found


def _to_lonlat(grid: GridRecord | GeoBox) -> measure.PixelToLonLat:
    found = _placed(grid)
    return measure.from_transform(found.crs, found.affine)


def _world_to_lonlat(record: GridRecord) -> measure.PixelToLonLat:
    """Pixels of a grid to degrees by way of world cells, so that every grid on the lattice gets the same numbers."""
    a, b, c, d, e, f = floats(record.lattice)
    step = transformer(cached_crs(record.crs))

    def to_lonlat(x: Floats, y: Floats) -> tuple[Floats, Floats]:
        col, row = record.col + x, record.row + y
        lon, lat = step.transform(a * col + b * row + c, d * col + e * row + f)
        return np.asarray(lon, dtype=float), np.asarray(lat, dtype=float)

    return to_lonlat
