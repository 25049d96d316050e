"""Crop: a part of a request's grid, whose pixels are those of the whole."""

from __future__ import annotations

import math
from dataclasses import replace

from rsgeo.errors import AreaError
from rsgeo.geo import grid
from rsgeo.geo.crs import cached_crs, parse_crs, transformer
from rsgeo.geo.raster_read import PlacedImage
from rsgeo.tasks.resolve import Resolved


def crop(resolved: Resolved, x: float, y: float, crs: str, size: int) -> Resolved:
    """The ``size`` x ``size`` pixels around a point of ``crs``, as far as they lie on the grid; area, prompts and noise stay what they were.

    Raises AreaError if none does, CrsError for an unknown CRS.
    """
    cells = resolved.request.grid
    place = transformer(parse_crs(crs), cached_crs(cells.crs)).transform(x, y)
    col, row = grid.pixel_at(cells, *place)
    rows, cols = _around(row, size, cells.height), _around(col, size, cells.width)
    if not rows or not cols:
        raise AreaError("The point is too far from the area to show a pixel of it; choose a point in the area.")
    known = resolved.known
    if known is not None:
        known = PlacedImage(known.path, known.row - rows.start, known.col - cols.start, known.shape)
    part = grid.window(cells, rows.start, cols.start, len(rows), len(cols))
    return replace(resolved, request=resolved.request.model_copy(update={"grid": part}), known=known)


def _around(middle: float, size: int, whole: int) -> range:
    """So many pixels of an axis around a place, as far as there are any."""
    if not math.isfinite(middle):
        return range(0)
    first = round(middle - size / 2)
    return range(max(first, 0), min(first + size, whole))
