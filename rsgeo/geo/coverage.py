"""Which pixels of a grid an area covers, and how many have to be made for it.

Everything is decided in world cells of the grid's lattice, so that a pixel's answer is the same in every window.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from shapely.geometry import box, shape
from shapely.geometry.base import BaseGeometry

from rsgeo.errors import AreaError, GeoreferenceError, TooLargeError
from rsgeo.geo import lonlat, measure
from rsgeo.geo.aoi import AOI
from rsgeo.geo.crs import WGS84, cached_crs, is_degrees, metres_per_unit, parse_crs, transformer
from rsgeo.geo.world import Lattice, floats, solve
from rsgeo.request import GridRecord

_EARTH_RADIUS_M = 6_371_000.0
_METRES_PER_DEGREE = 111_320.0
_BLOCK = 512
Floats = NDArray[np.float64]


def valid_mask(record: GridRecord, aoi: AOI, row0: int, col0: int, height: int, width: int) -> NDArray[np.bool_]:
    """(height, width), True where a pixel's centre lies inside the stored area; offsets are pixels from the grid's upper left.

    Even-odd scan lines through the pixel centres in world cells: a pixel's answer is the same in every window.
    """
    x0, y0, x1, y1 = _edges(aoi, record.crs, record.lattice)
    top, left = record.row + row0, record.col + col0
    # A line through the middle of row r is crossed by an edge from y0 (included) up to y1 (excluded).
    first = np.clip(np.ceil(y0 - 0.5).astype(np.int64), top, top + height)
    last = np.clip(np.ceil(y1 - 0.5).astype(np.int64), top, top + height)
    count = last - first
    edge = np.repeat(np.arange(len(count)), count)
    row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    x = x0[edge] + (row + 0.5 - y0[edge]) * (x1[edge] - x0[edge]) / (y1[edge] - y0[edge])
    col = np.clip(np.ceil(x - 0.5).astype(np.int64) - left, 0, width)
    crossings = np.zeros((height, width + 1), dtype=np.uint8)  # counts wrap at 256, which keeps them even or odd
    np.add.at(crossings, (row - top, col), 1)
    inside: NDArray[np.bool_] = (np.cumsum(crossings[:, :width], axis=1, dtype=np.uint8) & 1).view(np.bool_)
    return inside


def grown(record: GridRecord, aoi: AOI) -> GridRecord:
    """The smallest grid on the same lattice that covers a grid and an area. Raises as `covering`."""
    more = covering(record, aoi)
    col, row = min(record.col, more.col), min(record.row, more.row)
    width = max(record.col + record.width, more.col + more.width) - col
    height = max(record.row + record.height, more.row + more.height) - row
    return record.model_copy(update={"col": col, "row": row, "width": width, "height": height})


def covering(record: GridRecord, aoi: AOI) -> GridRecord:
    """The smallest grid on the lattice of ``record`` that covers an area.

    Raises InputError where the antimeridian tears the area apart in the grid's CRS, GeoreferenceError where that does not reach.
    """
    system = cached_crs(record.crs)
    a, b, c, d, e, f = floats(record.lattice)
    bounds_in(aoi, system, math.sqrt(abs(a * e - b * d)))
    plane = _projected(aoi, system, _densify_degrees(math.sqrt(abs(a * e - b * d)) * metres_per_unit(system)))
    left, top, right, bottom = shapely.transform(plane, lambda x, y: solve(a, b, d, e, x - c, y - f), interleaved=False).bounds
    col, row = math.floor(left), math.floor(top)
    size = {"width": max(math.ceil(right) - col, 1), "height": max(math.ceil(bottom) - row, 1)}
    return record.model_copy(update={"col": col, "row": row, **size})


def touched_pixels(record: GridRecord, aoi: AOI | None, limit: int | None = None) -> int:
    """Pixels of the 512 px blocks that touch the area, without holding them; counting stops soon after ``limit``."""
    if aoi is None:
        return record.width * record.height
    cells = _in_cells(aoi, record.crs, record.lattice)
    frame = (record.col, record.row, record.col + record.width, record.row + record.height)
    return _count_touched(shapely.intersection(cells, box(*frame)), frame, limit)


def check_size(record: GridRecord, aoi: AOI | None, max_pixels: int) -> int:
    """Pixels that have to be made, if they are at most ``max_pixels`` (GEOREFERENCING.md R16).

    Raises TooLargeError with the number and the smallest GSD that would fit.
    """
    pixels = touched_pixels(record, aoi, limit=max_pixels)
    if pixels <= max_pixels:
        return pixels
    gsd = _gsd(record)
    fitting = _fitting_gsd(record, aoi, max_pixels, gsd, gsd * math.sqrt(pixels / max_pixels))
    raise TooLargeError(
        f"The area needs about {_readable(pixels)} pixels in a grid of {record.width} x {record.height}, "
        f"more than --max-pixels {max_pixels}; use --gsd {fitting:g} or coarser, a smaller area, or a higher --max-pixels."
    )


def bounds_in(aoi: AOI, crs: CRS, pixel: float) -> tuple[float, float, float, float]:
    """(left, bottom, right, top) of the stored area in ``crs``, exact to a tenth of a pixel of ``pixel`` CRS units.

    Raises InputError where the antimeridian tears the area apart in ``crs``, GeoreferenceError where ``crs`` does not reach.
    """
    if aoi.crosses_antimeridian and (is_degrees(crs) or (aoi.crs != crs and _tears(crs, aoi.centroid[1]))):
        raise AreaError(f'{aoi.name} crosses the antimeridian, where "{crs.name}" tears it apart; give another, projected --crs, or none.')
    left, bottom, right, top = _projected(aoi, crs, _densify_degrees(pixel * metres_per_unit(crs))).bounds
    return left, bottom, right, top


def _fitting_gsd(record: GridRecord, aoi: AOI | None, max_pixels: int, gsd: float, candidate: float) -> float:
    """The smallest two-digit GSD from ``candidate`` up that fits; tried out, since coarser blocks touch more of the area."""
    west, north, east, south = record.col, record.row, record.col + record.width, record.row + record.height
    cells = None if aoi is None else shapely.intersection(_in_cells(aoi, record.crs, record.lattice), box(west, north, east, south))
    while True:
        candidate = _two_digits(candidate)
        scale = gsd / candidate
        frame = (math.floor(west * scale), math.floor(north * scale), math.ceil(east * scale), math.ceil(south * scale))
        if cells is None:
            pixels = (frame[2] - frame[0]) * (frame[3] - frame[1])
        else:
            pixels = _count_touched(shapely.transform(cells, lambda xy, scale=scale: xy * scale), frame, max_pixels)
        # A grid of few pixels fits any sensible limit; below that there is nothing coarser to offer.
        if pixels <= max_pixels or pixels <= 4:
            return candidate
        candidate *= 1.05


def _gsd(record: GridRecord) -> float:
    """Metres a pixel at the grid's centre; nominal ones where the centre is off the Earth."""
    a, b, c, d, e, f = floats(record.lattice)
    try:
        to_lonlat = measure.from_transform(record.crs, Affine(a, b, c, d, e, f))
        return measure.ground_at(to_lonlat, record.col + record.width / 2, record.row + record.height / 2).gsd_m
    except GeoreferenceError:
        return math.sqrt(abs(a * e - b * d)) * metres_per_unit(cached_crs(record.crs))


def _count_touched(cells: BaseGeometry, frame: tuple[int, int, int, int], limit: int | None) -> int:
    """Pixels of the blocks of a frame (west, north, east, south in cells) that touch ``cells``.

    Squares are halved down to blocks, keeping what touches. Beyond ``limit`` the answer is a lower bound, found early.
    """
    west, north, east, south = frame
    columns, rows = -(-(east - west) // _BLOCK), -(-(south - north) // _BLOCK)
    enough = math.inf if limit is None else float(limit)
    if cells.area > enough:
        return round(float(cells.area))
    shapely.prepare(cells)
    side = 1 << max(columns - 1, rows - 1, 0).bit_length()
    corners = np.zeros((1, 2), dtype=np.int64)
    while True:
        left, top = west + corners[:, 0] * _BLOCK, north + corners[:, 1] * _BLOCK
        right, bottom = np.minimum(left + side * _BLOCK, east), np.minimum(top + side * _BLOCK, south)
        touching = shapely.intersects(cells, shapely.box(left, top, right, bottom))
        corners = corners[touching]
        if side == 1:
            return int(((right - left) * (bottom - top))[touching].sum())
        # Every square that touches holds a block that touches; blocks at the frame's edge may be smaller.
        if len(corners) * _BLOCK**2 > 4 * enough:
            return len(corners) * _BLOCK**2
        side //= 2
        quarters = np.array([[0, 0], [side, 0], [0, side], [side, side]], dtype=np.int64)
        corners = (corners[:, None, :] + quarters).reshape(-1, 2)
        corners = corners[(corners[:, 0] < columns) & (corners[:, 1] < rows)]


@lru_cache(maxsize=256)
def _in_cells(aoi: AOI, crs: str, lattice: Lattice) -> BaseGeometry:
    """The stored area in world cells (column, row) of a lattice; in a geographic CRS once more on either side of the world."""
    system = cached_crs(crs)
    a, b, c, d, e, f = floats(lattice)
    pixel = math.sqrt(abs(a * e - b * d)) * metres_per_unit(system)
    plane = _projected(aoi, system, _densify_degrees(pixel))
    if is_degrees(system):
        # References may count longitude from 0 to 360; what lies on either side of 180 is met there again.
        copies = [shapely.transform(plane, lambda xy, turn=turn: xy + np.array([turn, 0.0])) for turn in (-360.0, 0.0, 360.0)]
        plane = shapely.union_all(copies)
    return shapely.transform(plane, lambda x, y: solve(a, b, d, e, x - c, y - f), interleaved=False)


@lru_cache(maxsize=256)
def _edges(aoi: AOI, crs: str, lattice: Lattice) -> tuple[Floats, Floats, Floats, Floats]:
    """(x0, y0, x1, y1) of all edges that are not level, in world cells, each from its upper to its lower end."""
    parts = lonlat.polygons(_in_cells(aoi, crs, lattice))
    rings = [shapely.get_coordinates(ring) for polygon in parts for ring in (polygon.exterior, *polygon.interiors)]
    start, end = np.concatenate([ring[:-1] for ring in rings]), np.concatenate([ring[1:] for ring in rings])
    falling = start[:, 1] > end[:, 1]
    start[falling], end[falling] = end[falling], start[falling]
    slanted = start[:, 1] != end[:, 1]
    return start[slanted, 0], start[slanted, 1], end[slanted, 0], end[slanted, 1]


def _projected(aoi: AOI, target: CRS, degrees: float) -> BaseGeometry:
    """The stored area in another CRS, its edges first cut into pieces of ``degrees``.

    Parts on both sides of the antimeridian are joined where the CRS does not tear them apart.

    Raises GeoreferenceError where the CRS does not reach.
    """
    record = aoi.to_record()
    geometry, source = shape(record.geometry), parse_crs(record.crs)
    if source == target:
        return geometry
    geometry = shapely.segmentize(geometry, degrees if is_degrees(source) else degrees * _METRES_PER_DEGREE / metres_per_unit(source))
    if not is_degrees(source) and (is_degrees(target) or _touches_antimeridian(aoi.lonlat)):
        geometry, source = lonlat.to_lonlat(geometry, source), WGS84
    moved = lonlat.transform(geometry, source, target)
    if is_degrees(target) or not is_degrees(source) or not _touches_antimeridian(geometry) or _tears(target, aoi.centroid[1]):
        return moved
    # Both sides of the seam come out equal but for the last digits, which a fine raster takes away.
    west, south, east, north = moved.bounds
    return shapely.union_all(lonlat.polygons(shapely.make_valid(moved)), grid_size=max(east - west, north - south) * 2.0**-40)


def _touches_antimeridian(geometry: BaseGeometry) -> bool:
    west, _, east, _ = geometry.bounds
    return bool(west <= -180 or east >= 180)


def _tears(crs: CRS, lat: float) -> bool:
    """Whether the two sides of the antimeridian lie apart in a CRS, as in Mercator's."""
    east_side, west_side = (transformer(WGS84, crs).transform(lon, max(-85.0, min(85.0, lat))) for lon in (180.0, -180.0))
    return not math.dist(east_side, west_side) < 1.0


def _densify_degrees(pixel_m: float) -> float:
    """Edge length at which a straight line in longitude and latitude strays less than a tenth of a pixel from its chord in a map plane.

    An arc of L radians along a parallel strays R L^2 sin(lat) cos(lat) / 8 <= R L^2 / 16 from its chord.
    """
    return min(lonlat.DENSIFY_DEGREES, math.degrees(math.sqrt(1.6 * pixel_m / _EARTH_RADIUS_M)))


def _two_digits(value: float) -> float:
    """The next number with two significant digits that is not smaller."""
    power = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / power - 1e-9) * power:.1e}")


def _readable(pixels: int) -> str:
    return f"{pixels / 1e9:.3g} billion" if pixels >= 1e9 else f"{pixels / 1e6:.3g} million"
