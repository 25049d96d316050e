"""A raster on another grid, window by window: what a model that is conditioned on it sees.

GDAL's warper works in chunks, and a pixel may come out otherwise in another chunk (SYNTHESIS.md 5.4). Here every pixel is computed by itself, from
its own place in the world: its centre goes through the coordinate systems to the source, and the source pixels round there are weighted and added
in one order. So it is the same number, bit for bit, whatever window it is read in and whatever area was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from rsgeo.errors import GeoreferenceError, InputError
from rsgeo.geo import derive
from rsgeo.geo.crs import cached_crs, is_degrees, parse_crs, transformer
from rsgeo.geo.raster_open import ImagePath, Packed, alpha_is_data, open_raster
from rsgeo.geo.raster_read import CACHE_MB, Mask, check_block_size, damaged
from rsgeo.geo.world import floats
from rsgeo.request import GridRecord

Resampling = Literal["nearest", "bilinear", "cubic", "lanczos", "average"]
Floats = NDArray[np.float64]

_RADIUS: dict[Resampling, float] = {"nearest": 0.5, "average": 0.5, "bilinear": 1.0, "cubic": 2.0, "lanczos": 3.0}
_DIGITS = 6  # of a source pixel: hides the last bits of PROJ, so that cells of nested grids meet source pixels exactly
_MOST_FINER = 128
_MOST_PIXELS = 2**16
_MOST_SAMPLES = 2**22


class WarpedRaster:
    """A GeoTIFF, JPEG 2000, PNG or JPEG on a request's grid: any CRS, rotated, south-up, of any real number type.

    ``bands`` count from 1. ``nodata`` is a number that stands for nothing though the file does not say so. ``factor`` is the side of a target pixel
    in pixels of ``grid``: a whole number for a coarser level, one over a whole number for a finer one; both start at the lattice's origin, so their
    pixels nest.

    ``nearest`` is the source pixel at the target pixel's centre. ``bilinear``, ``cubic`` (Keys, a = -1/2) and ``lanczos`` (3 lobes) are widened where
    the target is coarser than the source, so that nothing is skipped. ``average`` is the mean over the target pixel, taken as a rectangle along the
    source's rows and columns. Source pixels without data have no weight; where one would have had some, ``cubic`` and ``lanczos`` are ``bilinear``.

    Raises:
        InputError: the file cannot be read, has no such band, or is stored in blocks too large for flat memory.
        GeoreferenceError: it has no transform and CRS (control points and RPCs are none).
    """

    def __init__(
        self,
        path: ImagePath,
        grid: GridRecord,
        bands: Sequence[int],
        resampling: Resampling,
        *,
        factor: int | Fraction = 1,
        nodata: float | None = None,
    ) -> None:
        self.path = path if isinstance(path, Packed) else Path(path)
        self.grid, self.bands, self.resampling, self.factor, self.nodata = grid, tuple(bands), resampling, Fraction(factor), nodata
        if resampling not in get_args(Resampling):
            raise ValueError(f"no resampling {resampling!r}")
        if self.factor <= 0 or 1 not in (self.factor.numerator, self.factor.denominator):
            raise ValueError(f"pixels do not nest at a factor of {factor}")
        with open_raster(path) as dataset:
            tie = derive.georeference(dataset)
            if tie.kind == "none":
                raise GeoreferenceError(f"{path} says nothing about where it lies; give it a coordinate system and a transform first.")
            if tie.kind != "transform":
                raise GeoreferenceError(f"{path} has no grid of its own, only control points or RPCs; warp it to a map first (gdalwarp).")
            if not self.bands or not all(1 <= band <= dataset.count for band in self.bands):
                raise InputError(f"{path} has {dataset.count} bands; give their numbers, counted from 1.")
            if any(np.dtype(dataset.dtypes[band - 1]).kind == "c" for band in self.bands):
                raise InputError(f"{path} holds complex numbers; make a raster of their amplitude first.")
            check_block_size(dataset)
            self._crs, self._height, self._width = parse_crs(tie.crs), dataset.height, dataset.width
            a, b, c = dataset.transform[:3]
            self._inverse, self._middle_x = tuple(~dataset.transform)[:6], (a * dataset.width + b * dataset.height) / 2 + c
            self._opaque = alpha_is_data(dataset)

    def read(self, row: int, col: int, height: int, width: int) -> tuple[NDArray[np.float32], Mask]:
        """Pixels (bands, height, width), as stored but float32, and the mask (height, width), True where the raster has data.

        ``row`` and ``col`` are the upper left target pixel's place in the world: cells of the grid's lattice, or of the coarser or finer one by
        ``factor``. They may lie anywhere. Pixels without data, and all beyond the raster, are 0.

        A pixel has data where the source pixel at its centre has, for ``average`` where any part of it has. A source pixel has data if it has in
        all bands; where nodata is 0, which may also be a dark pixel's number, if it has in any.

        Raises InputError where the file is damaged, or more than 128 times finer than the grid.
        """
        pixels, mask = np.zeros((len(self.bands), height, width), np.float32), np.zeros((height, width), np.bool_)
        with rasterio.Env(GDAL_CACHEMAX=CACHE_MB), open_raster(self.path) as dataset:
            self._fill(dataset, row, col, pixels, mask)
        return pixels, mask

    def read_source(self, row: int, col: int, height: int, width: int) -> tuple[NDArray[np.float32], Mask]:
        """As `read`, but of the raster's own pixels, from (``row``, ``col``) of its grid on."""
        with rasterio.Env(GDAL_CACHEMAX=CACHE_MB), open_raster(self.path) as dataset:
            return self._read(dataset, row, col, height, width)

    def _fill(self, dataset: DatasetReader, row: int, col: int, pixels: NDArray[np.float32], mask: Mask) -> None:
        """Fills a window, in parts that are small on both grids."""
        height, width = mask.shape
        if height * width <= _MOST_PIXELS:
            x, y, size_x, size_y = self._places(row, col, height, width)
            seen = self._sees(x, y, size_x, size_y)
            if not seen.any():
                return
            across, down = _Taps(self.resampling, x[seen], size_x[seen]), _Taps(self.resampling, y[seen], size_y[seen])
            if height * width == 1 or across.extent * down.extent * len(self.bands) <= _MOST_SAMPLES:
                pixels[:, seen], mask[seen] = self._sample(dataset, across, down)
                return
        half = max(height, width) // 2
        for part in (slice(0, half), slice(half, None)):
            if height > width:
                self._fill(dataset, row + part.start, col, pixels[:, part], mask[part])
            else:
                self._fill(dataset, row, col + part.start, pixels[:, :, part], mask[:, part])

    def _places(self, row: int, col: int, height: int, width: int) -> tuple[Floats, Floats, Floats, Floats]:
        """Where pixels' centres lie in pixels of the source (x, y), and how large they are there, all (height, width); NaN where nowhere.

        The size is that of the steps to the neighbours, the smaller of both sides: a map torn at the antimeridian is torn on one side only.
        """
        a, b, c, d, e, f = floats(self.grid.lattice)
        up, down = self.factor.numerator, self.factor.denominator
        cols = (np.arange(col - 1, col + width + 1) + 0.5) * up / down
        rows = (np.arange(row - 1, row + height + 1)[:, None] + 0.5) * up / down
        x, y = a * cols + b * rows + c, d * cols + e * rows + f
        target = cached_crs(self.grid.crs)
        if target != self._crs:
            x, y = transformer(target, self._crs).transform(x, y)
        x, y = (np.where(np.isfinite(axis), axis, np.nan) for axis in (x, y))
        if is_degrees(self._crs):
            x = x - 360 * np.floor((x - self._middle_x) / 360 + 0.5)  # rasters may count longitude from 0 to 360, or beyond 180
        a, b, c, d, e, f = self._inverse
        x, y = np.round(a * x + b * y + c, _DIGITS), np.round(d * x + e * y + f, _DIGITS)
        return x[1:-1, 1:-1], y[1:-1, 1:-1], _size(x), _size(y)

    def _sees(self, x: Floats, y: Floats, size_x: Floats, size_y: Floats) -> Mask:
        """Which pixels can have data."""
        # NaN compares as False.
        reach_x, reach_y = (size_x / 2, size_y / 2) if self.resampling == "average" else (0.0, 0.0)
        seen = (x + reach_x >= 0) & (x - reach_x < self._width) & (y + reach_y >= 0) & (y - reach_y < self._height)
        if self.resampling != "nearest" and bool((np.minimum(size_x, size_y) > _MOST_FINER)[seen].any()):
            raise InputError(f"{self.path.name} is more than {_MOST_FINER} times finer than the grid; make a coarser copy of it first.")
        found: Mask = seen & np.isfinite(size_x) & np.isfinite(size_y)
        return found

    def _sample(self, dataset: DatasetReader, across: _Taps, down: _Taps) -> tuple[NDArray[np.float32], Mask]:
        """Pixels (bands, n) and mask (n) of n places in the source."""
        row, col = down.start, across.start
        source, there = self._read(dataset, row, col, down.extent, across.extent)
        at = np.floor(down.x).astype(np.int64) - row, np.floor(across.x).astype(np.int64) - col
        if self.resampling == "nearest":
            return source[:, *at], there[at]
        values, weight, cut = _add_up(source, there, across, down, row, col)
        if self.resampling in ("cubic", "lanczos") and cut.any():
            across, down = (_Taps("bilinear", axis.x[cut], axis.size[cut]) for axis in (across, down))
            values[:, cut], weight[cut], _ = _add_up(source, there, across, down, row, col)
        mask = weight > 0 if self.resampling == "average" else there[at]
        return np.where(mask, values / np.where(mask, weight, 1.0), 0.0).astype(np.float32), mask

    def _read(self, dataset: DatasetReader, row: int, col: int, height: int, width: int) -> tuple[NDArray[np.float32], Mask]:
        """Source pixels (bands, height, width) and which have data; the window may stick out of the raster, and pixels without data are 0."""
        pixels, there = np.zeros((len(self.bands), height, width), np.float32), np.zeros((height, width), np.bool_)
        top, left, bottom, right = max(row, 0), max(col, 0), min(row + height, self._height), min(col + width, self._width)
        if top < bottom and left < right:
            window = Window(left, top, right - left, bottom - top)
            try:
                with np.errstate(over="ignore"):  # what float32 cannot hold is no data
                    inner = dataset.read(self.bands, window=window).astype(np.float32)
                masks = np.ones_like(inner, np.bool_) if self._opaque else dataset.read_masks(self.bands, window=window) > 0
                if self.nodata is not None:
                    masks &= inner != self.nodata
            except (RasterioError, OSError) as error:
                raise damaged(dataset) from error
            dark = self.nodata == 0 or all(dataset.nodatavals[band - 1] == 0 for band in self.bands)
            seen = (masks.any(axis=0) if dark else masks.all(axis=0)) & np.isfinite(inner).all(axis=0)
            at = (slice(top - row, bottom - row), slice(left - col, right - col))
            pixels[(slice(None), *at)], there[at] = np.where(seen, inner, np.float32(0)), seen
        return pixels, there


class _Taps:
    """Along one axis, the source pixels that have weight for n places at ``x``, each ``size`` wide, in source pixels.

    ``start`` and ``extent``: the stretch of source pixels that is needed for all places.
    """

    def __init__(self, resampling: Resampling, x: Floats, size: Floats) -> None:
        self.resampling, self.x = resampling, x
        # A target pixel at a pole may be as wide as the whole source; what is left out there is more of the same.
        self.size = np.clip(size, 0.0 if resampling == "average" else 1.0, 1.0 if resampling == "nearest" else _MOST_FINER)
        reach = self.size * _RADIUS[resampling] + (0.5 if resampling == "average" else 0.0)
        self.first = np.floor(x - reach + 0.5).astype(np.int64)
        self.count = math.ceil(2 * float(reach.max()))
        self.start, self.extent = int(self.first.min()), int(self.first.max() - self.first.min()) + self.count

    def all(self) -> tuple[NDArray[np.int64], Floats]:
        """The taps of each place (count, n): their source pixels, and their weights, which are 0 for taps that only other places need."""
        taps = self.first + np.arange(self.count)[:, None]
        return taps, self._weight(taps + 0.5 - self.x)

    def _weight(self, distance: Floats) -> Floats:
        if self.resampling == "average":
            return np.asarray(np.maximum(np.minimum(distance + 0.5, self.size / 2) - np.maximum(distance - 0.5, -self.size / 2), 0.0))
        t = np.abs(distance) / self.size
        if self.resampling == "bilinear":
            return np.maximum(1 - t, 0.0)
        if self.resampling == "cubic":
            # R. G. Keys, Cubic convolution interpolation for digital image processing, 1981, equation 15.
            return np.where(t < 1, (1.5 * t - 2.5) * t * t + 1, np.where(t < 2, ((2.5 - 0.5 * t) * t - 4) * t + 2, 0.0))
        return np.asarray(np.where(t < 3, np.sinc(t) * np.sinc(t / 3), 0.0))


def _add_up(source: NDArray[np.float32], there: Mask, across: _Taps, down: _Taps, row: int, col: int) -> tuple[Floats, Floats, Mask]:
    """Weighted sums (bands, n) of the source, the sums of the weights (n), and which places (n) lack a source pixel of theirs.

    ``source`` begins at ``row`` and ``col``. Taps are added one after the other, never pairwise, so that those of weight 0, whose number depends on
    the window, change nothing.
    """
    flat, flat_there, n = source.reshape(len(source), -1), there.ravel(), len(across.x)
    values, weight, cut = np.zeros((len(source), n)), np.zeros(n), np.zeros(n, np.bool_)
    columns, weights_across = across.all()
    for line, weight_down in zip(*down.all(), strict=True):
        index, share = (line - row) * there.shape[1] + (columns - col), weight_down * weights_across
        present = flat_there[index]
        cut |= ((share != 0) & ~present).any(axis=0)
        share = np.where(present, share, 0.0)
        weight += np.add.accumulate(share)[-1]
        for band, pixels in zip(values, flat, strict=True):
            band += np.add.accumulate(share * pixels[index])[-1]
    return values, weight, cut


def _size(positions: Floats) -> Floats:
    """How many source pixels a pixel is wide along one axis of the source, from the (height + 2, width + 2) positions of pixels along that axis."""
    inner = positions[1:-1, 1:-1]
    steps: list[Any] = []
    for before, after in ((positions[1:-1, :-2], positions[1:-1, 2:]), (positions[:-2, 1:-1], positions[2:, 1:-1])):
        steps.append(np.fmin(np.abs(inner - before), np.abs(after - inner)))
    return np.asarray(np.round(np.sqrt(steps[0] ** 2 + steps[1] ** 2), _DIGITS))
