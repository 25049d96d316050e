"""Pixels of a raster in flat memory: rows from top to bottom, their hash, and a small average of the whole.

Masks are True where valid; masked pixels are 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from rsgeo.errors import InputError
from rsgeo.geo.raster_open import open_raster
from rsgeo.geo.stretch import ends_of, shown

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

CACHE_MB = 64
"""GDAL's block cache while rsgeo reads or writes; GDAL fills whatever it is given (GEOREFERENCING.md section 8)."""

_READ_BYTES = 2**25
_MOST_ROWS = 512
_LARGEST_BLOCK_BYTES = 2**28


@dataclass(frozen=True)
class Fingerprint:
    """SHA-256 (hex) of the pixels, of the mask, and of both: ``both`` is the ``pixels_sha256`` of the marks."""

    pixels: str
    mask: str
    both: str


def pixels_sha256(path: str | Path) -> str:
    """The hash of an image's decoded pixels and mask, as ``RSGEO_RUN`` holds it; read in windows (see `fingerprint`).

    Raises InputError if the file cannot be read or holds damaged pixels.
    """
    return fingerprint(path).both


def fingerprint(path: str | Path) -> Fingerprint:
    """SHA-256 over the text ``WxHxC dtype``, the pixels (row-major, bands interleaved, masked ones 0), then the mask.

    The mask is one byte a pixel, 255 where valid and 0 elsewhere. Memory stays flat: a pass over the pixels, and one over the mask.
    Raises InputError if the file cannot be read or holds damaged pixels.
    """
    with rasterio.Env(GDAL_CACHEMAX=CACHE_MB), open_raster(path) as dataset:
        both = hashlib.sha256(pixels_header(dataset.width, dataset.height, dataset.count, dataset.dtypes[0]))
        masks = hashlib.sha256()
        for window in row_windows(dataset):
            both.update(interleaved(_read(dataset, window)[0]).data)
        pixels = both.hexdigest()
        for window in row_windows(dataset):
            coverage = _read_mask(dataset, window)
            both.update(coverage.data)
            masks.update(coverage.data)
    return Fingerprint(pixels, masks.hexdigest(), both.hexdigest())


def stored_sha256(path: str | Path) -> str:
    """SHA-256 of the pixels as they are stored, under a mask and without data too: the text of `pixels_header`, then rows of interleaved bands.

    Raises InputError if the file cannot be read or holds damaged pixels.
    """
    with rasterio.Env(GDAL_CACHEMAX=CACHE_MB), open_raster(path) as dataset:
        found = hashlib.sha256(pixels_header(dataset.width, dataset.height, dataset.count, dataset.dtypes[0]))
        for window in row_windows(dataset):
            try:
                found.update(interleaved(dataset.read(window=window)).data)
            except (RasterioError, OSError) as error:
                raise damaged(dataset) from error
    return found.hexdigest()


def read_stored(dataset: DatasetReader, window: Window) -> tuple[NDArray[Any], Mask]:
    """All bands of a window of an open raster as they are stored, and the mask (height, width), True where valid.

    Raises InputError where its pixels are damaged.
    """
    try:
        return dataset.read(window=window), _read_mask(dataset, window) > 0
    except (RasterioError, OSError) as error:
        raise damaged(dataset) from error


def row_windows(dataset: DatasetReader) -> Iterator[Window]:
    """Windows of whole rows from top to bottom that cover a raster, each of at most some 32 MB of memory.

    Raises InputError if the file's blocks are too large to be read in flat memory.
    """
    check_block_size(dataset)
    rows = max(1, min(_MOST_ROWS, _READ_BYTES // _row_bytes(dataset)))
    for row in range(0, dataset.height, rows):
        yield Window(0, row, dataset.width, min(rows, dataset.height - row))


def read_rows(path: str | Path) -> Iterator[tuple[int, NDArray[Any], Mask]]:
    """The image from top to bottom in flat memory: (first row, pixels (band, rows, width), mask (rows, width), True where valid).

    Masked pixels are 0. Raises InputError if the file cannot be read or holds damaged pixels.
    """
    with open_raster(path) as dataset:
        for window in row_windows(dataset):
            pixels, mask = _read(dataset, window)
            yield window.row_off, pixels, mask


class PlacedImage:
    """A uint8 image that lies on a larger grid, its upper left pixel at (``row``, ``col``) of that: read by windows of the grid.

    Raises InputError when the file cannot be read or has another size than ``shape`` (bands, rows, columns).
    """

    def __init__(self, path: Path, row: int, col: int, shape: tuple[int, int, int]) -> None:
        self.path, self.row, self.col, self.shape = path, row, col, shape
        with open_raster(path) as dataset:
            if set(dataset.dtypes) != {"uint8"} or (dataset.count, *dataset.shape) != shape:
                raise InputError(f"{path.name} was cut, resampled or converted after it was written; it cannot be continued.")
            check_block_size(dataset)

    def read(self, row0: int, col0: int, height: int, width: int) -> tuple[Pixels, Mask]:
        """Pixels (band, height, width), 0 where there are none, and the mask (height, width), True where there are."""
        pixels, mask = np.zeros((self.shape[0], height, width), np.uint8), np.zeros((height, width), np.bool_)
        found = self._common(row0, col0, height, width)
        if found is not None:
            inner, window = found
            with open_raster(self.path) as dataset:
                pixels[(slice(None), *inner)], mask[inner] = _read(dataset, window)
        return pixels, mask

    def mask(self, row0: int, col0: int, height: int, width: int) -> Mask:
        """The mask alone, as `read` gives it."""
        mask = np.zeros((height, width), np.bool_)
        found = self._common(row0, col0, height, width)
        if found is not None:
            inner, window = found
            with open_raster(self.path) as dataset:
                mask[inner] = _read_mask(dataset, window) > 0
        return mask

    def _common(self, row0: int, col0: int, height: int, width: int) -> tuple[tuple[slice, slice], Window] | None:
        """Where a window of the grid meets the image: as slices of the window, and as a window of the image."""
        _, rows, columns = self.shape
        top, left = max(row0, self.row), max(col0, self.col)
        bottom, right = min(row0 + height, self.row + rows), min(col0 + width, self.col + columns)
        if top >= bottom or left >= right:
            return None
        inner = (slice(top - row0, bottom - row0), slice(left - col0, right - col0))
        return inner, Window(left - self.col, top - self.row, right - left, bottom - top)


def read_decimated(path: str | Path, max_side: int, bands: Sequence[int] = (1, 2, 3), *, stretched: bool = False) -> tuple[Pixels, Mask]:
    """Red, green and blue averaged to at most ``max_side`` pixels a side, from overviews where there are some.

    ``bands`` are their numbers, from 1; ``stretched`` shows other numbers than bytes from their 2nd to their 98th percentile, all bands alike.
    Returns pixels (3, height, width) uint8 and mask (height, width), True where valid. Raises InputError for an image without these bands or, where
    not ``stretched``, of other numbers than bytes, or one that cannot be read.
    """
    with open_raster(path) as dataset:
        if dataset.count < max(bands) or (not stretched and dataset.dtypes[0] != "uint8"):
            raise InputError(f"{path} is not a uint8 RGB image.")
        check_block_size(dataset)
        factor = max(1.0, max(dataset.width, dataset.height) / max_side)
        shape = (max(1, round(dataset.height / factor)), max(1, round(dataset.width / factor)))
        try:
            numbers = dataset.read(list(bands), out_shape=(3, *shape), resampling=Resampling.average)
            mask: Mask = dataset.dataset_mask(out_shape=shape, resampling=Resampling.nearest) > 0
        except (RasterioError, OSError) as error:
            raise damaged(dataset) from error
    if numbers.dtype == np.uint8 or not mask.any():
        return numbers.astype(np.uint8), mask
    low, high = ends_of(numbers[:, mask])
    pixels: Pixels = np.rint(np.nan_to_num(shown(numbers, [(low, high if high > low else low + 1)])) * 255).astype(np.uint8)
    return pixels, mask


def _read(dataset: DatasetReader, window: Window) -> tuple[NDArray[Any], Mask]:
    mask: Mask = _read_mask(dataset, window) > 0
    try:
        pixels = dataset.read(window=window)
    except (RasterioError, OSError) as error:
        raise damaged(dataset) from error
    return np.where(mask, pixels, pixels.dtype.type(0)), mask


def _read_mask(dataset: DatasetReader, window: Window) -> Pixels:
    try:
        coverage: Pixels = dataset.dataset_mask(window=window)
    except (RasterioError, OSError) as error:
        raise damaged(dataset) from error
    return mask_bytes(coverage > 0)


def damaged(dataset: DatasetReader) -> InputError:
    """What to raise where an open raster's pixels cannot be read."""
    return InputError(f"{dataset.name} is damaged: its pixels cannot be read.")


def _row_bytes(dataset: DatasetReader) -> int:
    row: int = dataset.width * dataset.count * np.dtype(dataset.dtypes[0]).itemsize
    return row


def check_block_size(dataset: DatasetReader) -> None:
    """Raises InputError if a raster's blocks, or its rows, are too large to be read in flat memory."""
    block_rows, block_columns = dataset.block_shapes[0]
    itemsize = np.dtype(dataset.dtypes[0]).itemsize
    if max(block_rows * block_columns * itemsize * dataset.count, _row_bytes(dataset)) > _LARGEST_BLOCK_BYTES:
        raise InputError(f"{dataset.name} is stored in blocks too large to read in little memory; rewrite it as a tiled GeoTIFF.")


def pixels_header(width: int, height: int, count: int, dtype: str = "uint8") -> bytes:
    """The text a fingerprint begins with."""
    return f"{width}x{height}x{count} {dtype}".encode("ascii")


def interleaved(pixels: NDArray[Any]) -> NDArray[Any]:
    """(band, rows, width) as contiguous (rows, width, band)."""
    return np.ascontiguousarray(np.moveaxis(pixels, 0, -1))


def mask_bytes(mask: Mask) -> Pixels:
    """A mask as GDAL has it: 255 where valid, 0 elsewhere."""
    return np.ascontiguousarray(np.where(mask, np.uint8(255), np.uint8(0)))
