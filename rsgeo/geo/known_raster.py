"""A raster whose pixels stay as they are in the result: which of them do, and what a model sees of them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsgeo.errors import InputError
from rsgeo.geo import aoi as aois
from rsgeo.geo import coverage, reference
from rsgeo.geo.raster_read import Mask
from rsgeo.geo.stretch import shown
from rsgeo.geo.warp import WarpedRaster
from rsgeo.request import GridRecord, Reference
from rsgeo.tilemodel import Known


class KnownRaster:
    """A raster on a request's own lattice, with the mask that says which of its pixels are made anew.

    All places are the world's pixels (row, column) of the lattice, and a pixel is the same in every rectangle. Without a mask those pixels stay that
    have data. ``mask_path`` is the file of a mask that is a raster; it may lie in any grid and CRS.

    Raises InputError when a file cannot be read or the raster lies on another lattice, GeoreferenceError when one has no grid of its own.
    """

    def __init__(self, path: Path, record: Reference, grid: GridRecord, mask_path: Path | None = None) -> None:
        self.path, self.record, self.grid, self.own = path, record, grid, reference.grid_of(path)
        if (self.own.crs, self.own.lattice) != (grid.crs, grid.lattice):
            raise InputError(f"{path.name} does not lie on the grid of the request; give the file that the request was made with.")
        self._colours = WarpedRaster(path, grid, record.bands, "nearest")
        self._marks = None if mask_path is None else WarpedRaster(mask_path, grid, (1,), "nearest")
        mask = record.mask
        self._area = None if mask is None or mask.area is None else aois.from_record(mask.area)

    def known(self, row: int, col: int, height: int, width: int) -> Known:
        """The pixels that stay and have data, as a model sees them."""
        pixels, data = self.numbers(row, col, height, width)
        mask = data & self.stays(row, col, height, width)
        return Known(np.where(mask, shown(pixels, self.record.stretch) * 2 - 1, np.float32(0)), mask)

    def stays(self, row: int, col: int, height: int, width: int) -> Mask:
        """(height, width), True where a pixel of the raster stays bit for bit."""
        mask = self.record.mask
        if mask is None:
            return self.numbers(row, col, height, width)[1]
        reach = mask.grow_px
        marked = grown(self._marked(row - reach, col - reach, height + 2 * reach, width + 2 * reach), reach)
        return self._inside(row, col, height, width) & ~marked

    def to_make(self, row: int, col: int, height: int, width: int) -> Mask:
        """(height, width), True where a pixel of the raster is made anew."""
        return self._inside(row, col, height, width) & ~self.stays(row, col, height, width)

    def numbers(self, row: int, col: int, height: int, width: int) -> tuple[NDArray[np.float32], Mask]:
        """The numbers (3, height, width) of the three colours, 0 without data, and where there are data."""
        return self._colours.read_source(row - self.own.row, col - self.own.col, height, width)

    def _inside(self, row: int, col: int, height: int, width: int) -> Mask:
        rows, cols = np.arange(row, row + height) - self.own.row, np.arange(col, col + width) - self.own.col
        return np.outer((rows >= 0) & (rows < self.own.height), (cols >= 0) & (cols < self.own.width))

    def _marked(self, row: int, col: int, height: int, width: int) -> Mask:
        assert self.record.mask is not None
        if self.record.mask.kind == "nodata":
            return self._inside(row, col, height, width) & ~self.numbers(row, col, height, width)[1]
        if self._area is not None:
            return coverage.valid_mask(self.grid, self._area, row - self.grid.row, col - self.grid.col, height, width)
        assert self._marks is not None
        values, there = self._marks.read(row, col, height, width)
        wanted = self.record.mask.values
        marked: Mask = there & (np.isin(values[0], wanted) if wanted else values[0] != 0)
        return marked


def grown(marked: Mask, reach: int) -> Mask:
    """What lies up to ``reach`` pixels from a marked one: (height, width) to as much without ``reach`` pixels on each side, which are only seen."""
    height, width = (side - 2 * reach for side in marked.shape)
    found = np.zeros((height, width), np.bool_)
    counts = np.zeros((marked.shape[0], marked.shape[1] + 1), np.int32)
    np.cumsum(marked, axis=1, out=counts[:, 1:])
    for down in range(-reach, reach + 1):
        across = math.isqrt(reach**2 - down**2)
        rows = counts[reach + down : reach + down + height]
        found |= rows[:, reach + across + 1 : reach + across + 1 + width] > rows[:, reach - across : reach - across + width]
    return found
