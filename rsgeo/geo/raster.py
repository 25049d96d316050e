"""A Cloud Optimized GeoTIFF from row bands: in flat memory, atomically, with its marks.

Way one of GEOREFERENCING.md section 8: row bands go into a tiled part file, which GDAL's COG driver copies. The hash of the pixels
stands inside the file it is the hash of. That is possible because it covers pixels and mask only: the tags are set in the part file,
the COG is made and read back, and if a lossy compression changed the pixels, the hash of what it made of them is set and the COG made
once more.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from rsgeo.errors import InputError, NoSpaceError, OutputError
from rsgeo.geo.atomic import check_place, made, making, place, sync
from rsgeo.geo.provenance import Marks, sidecar_paths, stamp
from rsgeo.geo.raster_open import open_raster
from rsgeo.geo.raster_read import CACHE_MB, Fingerprint, Mask, fingerprint, interleaved, mask_bytes, pixels_header, stored_sha256
from rsgeo.request import COLOURS

DISK_FACTOR = 2
"""Free disk asked for, in raw bytes of the image: 1.7 to 1.9 were measured at the peak (GEOREFERENCING.md section 8)."""

_BLOCK = 512
_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
# A tile of many bands is smaller: whoever looks at three of them reads all.
_LARGEST_TILE_BYTES = 2**22
# Low tiles, so that a row of them stays in GDAL's cache until it is full, also for wide images.
_PART_BLOCK_ROWS, _LEAST_PART_BLOCK_ROWS = 64, 16
_SCARCE_BYTES = 2**25
_SUFFIXES = (".tif", ".tiff")
_ENV = {"GDAL_CACHEMAX": CACHE_MB, "GDAL_TIFF_INTERNAL_MASK": "YES", "GDAL_PAM_ENABLED": "NO"}

# rasterio.shutil lets GDAL's own errors through as they are.
_FAILURES = (OSError, RasterioError, CPLE_BaseError)

_RESAMPLINGS = {
    "NEAREST": Resampling.nearest,
    "AVERAGE": Resampling.average,
    "BILINEAR": Resampling.bilinear,
    "CUBIC": Resampling.cubic,
    "CUBICSPLINE": Resampling.cubic_spline,
    "LANCZOS": Resampling.lanczos,
    "MODE": Resampling.mode,
    "RMS": Resampling.rms,
}
_COMPRESSIONS = frozenset({"NONE", "DEFLATE", "LZW", "ZSTD", "LZMA", "JPEG", "WEBP"})
_PREDICTORS = frozenset({"YES", "NO", "STANDARD"})
_PERCENT = frozenset(str(n) for n in range(1, 101))
# Options of GDAL's COG driver that change neither the grid nor the bands.
_CREATION_OPTIONS: Mapping[str, frozenset[str]] = {
    "COMPRESS": _COMPRESSIONS,
    "LEVEL": frozenset(str(n) for n in range(1, 23)),
    "QUALITY": _PERCENT,
    "PREDICTOR": _PREDICTORS,
    "BLOCKSIZE": frozenset({"128", "256", "512", "1024", "2048"}),
    "BIGTIFF": frozenset({"YES", "NO", "IF_NEEDED", "IF_SAFER"}),
    "OVERVIEW_RESAMPLING": frozenset(_RESAMPLINGS),
    "OVERVIEW_COMPRESS": _COMPRESSIONS | {"AUTO"},
    "OVERVIEW_QUALITY": _PERCENT,
    "OVERVIEW_PREDICTOR": _PREDICTORS,
    "GEOTIFF_VERSION": frozenset({"AUTO", "1.0", "1.1"}),
}
_PREDICTABLE = frozenset({"DEFLATE", "LZW", "ZSTD"})
_LOSSY = frozenset({"JPEG", "WEBP"})


class CogWriter:
    """Writes a Cloud Optimized GeoTIFF; use it in a ``with`` statement.

    Its bands are those of ``marks``: uint8 with an internal mask, the first three shown as red, green and blue, where no layout says otherwise.

    The file appears under its name when the block ends without an exception, complete, marked, read back and checked; on any
    exception, KeyboardInterrupt included, nothing is left behind. Afterwards ``marks`` holds the finished marks. ``scratch`` is a folder on the
    same disk for what a killed writer leaves; default the output's own.

    Raises on entry what `check_output` raises, InputError for bad creation options; OutputError when the disk gives up.
    """

    def __init__(
        self,
        out: Path,
        geobox: GeoBox,
        *,
        marks: Marks,
        overwrite: bool = False,
        creation_options: Mapping[str, str] | None = None,
        threads: int = 1,
        scratch: Path | None = None,
    ) -> None:
        self.out = out
        self.geobox = geobox
        self.marks = marks
        self._height, self._width = geobox.shape
        self._layout = marks.bands
        self._bands = len(self._layout.names)
        self._overwrite = overwrite
        self._scratch = out.parent if scratch is None else scratch
        self._options = cog_options(creation_options, threads, self._bands, itemsize=self._itemsize, exact=marks.layout is not None)
        self._next_row = 0
        self._pixels = hashlib.sha256(pixels_header(self._width, self._height, self._bands, self._layout.dtype))
        self._mask = hashlib.sha256()
        self._folder: Path | None = None
        self._part: DatasetWriter | None = None

    @property
    def _itemsize(self) -> int:
        return np.dtype(self._layout.dtype).itemsize

    def __enter__(self) -> Self:
        check_output(self.out, overwrite=self._overwrite, needed_bytes=DISK_FACTOR * self._itemsize * raw_bytes(self.geobox, self._bands))
        try:
            with making:
                self._folder = Path(tempfile.mkdtemp(prefix=f".{self.out.name[:32]}.", suffix=".part", dir=self._scratch))
                made.add(self._folder)
            with rasterio.Env(**_ENV):
                self._part = rasterio.open(
                    self._folder / "part.tif",
                    "w",
                    driver="GTiff",
                    width=self._width,
                    height=self._height,
                    count=self._bands,
                    dtype=self._layout.dtype,
                    nodata=self._layout.nodata,
                    crs=CRS.from_wkt(self.geobox.crs.to_wkt()) if self.geobox.crs else None,
                    transform=self.geobox.affine,
                    photometric="RGB" if self._layout.colours[:3] in ((), _RGB) else "MINISBLACK",
                    interleave="pixel" if self._bands == len(COLOURS) else "band",
                    tiled=True,
                    blockxsize=_BLOCK,
                    blockysize=max(_PART_BLOCK_ROWS * len(COLOURS) // self._bands // 16 * 16, _LEAST_PART_BLOCK_ROWS),
                    compress="ZSTD",
                    zstd_level=1,
                    bigtiff="IF_SAFER",
                )
                self._describe_bands(self._part)
        except BaseException as error:
            self._abandon()
            if isinstance(error, _FAILURES):
                raise _cannot_write(self.out, error) from error
            raise
        return self

    def write_band(self, row0: int, pixels: NDArray[Any], mask: Mask) -> None:
        """Write the next rows: ``pixels`` (band, rows, width), ``mask`` (rows, width) True where valid.

        Masked pixels become 0, but those of a layout of its own stay as they are; one that is not masked has no use for ``mask``.

        Raises ValueError if the band is not the next one or has another shape, OutputError if the disk gives up.
        """
        rows = mask.shape[0]
        if self._part is None:
            raise ValueError("write_band belongs inside the with statement of CogWriter")
        if row0 != self._next_row or row0 + rows > self._height:
            raise ValueError(f"expected rows from {self._next_row} of {self._height}, got {row0} to {row0 + rows}")
        expected = (self._bands, rows, self._width)
        if pixels.shape != expected or mask.shape != expected[1:]:
            raise ValueError(f"expected {expected} and {expected[1:]}, got {pixels.shape} and {mask.shape}")
        if pixels.dtype != self._layout.dtype or mask.dtype != np.bool_:
            raise ValueError(f"expected {self._layout.dtype} and bool, got {pixels.dtype} and {mask.dtype}")
        valid = np.where(mask, pixels, np.uint8(0)) if self.marks.layout is None else pixels
        coverage = mask_bytes(mask)
        window = Window(0, row0, self._width, rows)
        try:
            with rasterio.Env(**_ENV):
                self._part.write(valid, window=window)
                if self._layout.masked:
                    self._part.write_mask(coverage, window=window)
        except _FAILURES as error:
            raise _cannot_write(self.out, error) from error
        self._pixels.update(interleaved(valid).data)
        self._mask.update(coverage.data)
        self._next_row += rows

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
        except (*_FAILURES, InputError) as failure:  # InputError: the part file or the COG cannot be read back
            raise _cannot_write(self.out, failure) from failure
        finally:
            self._abandon()

    def _finish(self) -> None:
        if self._part is None or self._folder is None or self._next_row != self._height:
            raise ValueError(f"only {self._next_row} of {self._height} rows were written")
        part, cog = self._folder / "part.tif", self._folder / "cog.tif"
        with rasterio.Env(**_ENV):
            self._part.close()
            written = fingerprint(part)
            # GDAL stays silent about a full disk when it flushes its cache at closing: only reading back tells.
            pixels = written.pixels if self.marks.layout is None else stored_sha256(part)
            if pixels != self._pixels.hexdigest() or (self._layout.masked and written.mask != self._mask.hexdigest()):
                raise OSError(errno.EIO, "what was written reads back differently")
            if self._bands > len(COLOURS):
                _build_overviews(part, int(self._options["BLOCKSIZE"]), self._options["OVERVIEW_RESAMPLING"])
            found = self._make_cog(part, cog, written)
            if found != written and self._options["COMPRESS"] in _LOSSY:
                written = Fingerprint(found.pixels, written.mask, found.both)
                found = self._make_cog(part, cog, written)
            if found != written or (self.marks.layout is not None and stored_sha256(cog) != pixels):
                raise OSError(errno.EIO, "what was written reads back differently")
        sync(cog)
        _remove_stale(self.out)
        place(cog, self.out)
        sync(self.out.parent)

    def _describe_bands(self, part: DatasetWriter) -> None:
        """Say what a layout of its own tells of each band; names come with the marks."""
        layout = self._layout
        if self.marks.layout is None:
            return
        part.colorinterp = layout.colours
        part.scales, part.offsets = layout.scales, layout.offsets
        part.units = [unit or "" for unit in layout.units]

    def _make_cog(self, part: Path, cog: Path, written: Fingerprint) -> Fingerprint:
        """Stamp the part file, copy it into a COG, and say what the COG reads back as."""
        self.marks = self.marks.with_run(pixels_sha256=written.both)
        with rasterio.open(part, "r+", driver="GTiff") as dataset:
            stamp(dataset, self.marks)
        rasterio.shutil.copy(part, cog, driver="COG", **self._options)
        _check_blocks(cog)
        return fingerprint(cog)

    def _abandon(self) -> None:
        if self._part is not None:
            # What closing flushes to a full disk is thrown away with the folder.
            with rasterio.Env(**_ENV), contextlib.suppress(*_FAILURES):
                self._part.close()
        self._part = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def raw_bytes(geobox: GeoBox, bands: int = len(COLOURS)) -> int:
    """Bytes of the uncompressed uint8 image of a grid."""
    height, width = geobox.shape
    return bands * height * width


def check_output(out: Path, *, overwrite: bool, needed_bytes: int = 0, beside: Sequence[Path] = ()) -> None:
    """See, before any work, that ``out`` (and the files written ``beside`` it) can be written.

    Raises OutputError if the name is no GeoTIFF's, the folder is missing or read-only, a file is there without ``overwrite`` or is
    a folder; NoSpaceError if less than ``needed_bytes`` are free on the disk.
    """
    if out.suffix.lower() not in _SUFFIXES:
        raise OutputError(f"{out} is written as a GeoTIFF; let its name end in .tif.")
    for path in (out, *beside):
        check_place(path, overwrite=overwrite)
    free = shutil.disk_usage(out.parent).free
    if free < needed_bytes:
        raise NoSpaceError(
            f"Writing {out.name} needs {_size(needed_bytes)} of free disk in {out.parent} and there are {_size(free)};"
            " free space, or use a coarser GSD or a smaller area."
        )


def cog_options(
    creation_options: Mapping[str, str] | None = None, threads: int = 1, bands: int = len(COLOURS), *, itemsize: int = 1, exact: bool = False
) -> dict[str, str]:
    """The COG driver's creation options for an image of ``bands`` of ``itemsize`` bytes: the defaults of R20 with those asked for on top.

    Raises InputError, naming it, for an option or value that is unknown, would change the grid, cannot hold so many bands, or would change pixels
    though they are to stay ``exact``.
    """
    options = {"COMPRESS": "DEFLATE", "BLOCKSIZE": str(_block(bands * itemsize)), "OVERVIEW_RESAMPLING": "AVERAGE", "BIGTIFF": "IF_SAFER"}
    for name, value in (creation_options or {}).items():
        key, text = name.strip().upper(), str(value).strip().upper()
        allowed = _CREATION_OPTIONS.get(key)
        if allowed is None:
            raise InputError(f"--co {name} is not an option rsgeo passes on; it knows {', '.join(sorted(_CREATION_OPTIONS))}.")
        if text not in allowed:
            raise InputError(f"--co {key} cannot be {value}; it takes {_choices(allowed)}.")
        options[key] = text
    if exact and options["COMPRESS"] in _LOSSY:
        raise InputError(f"--co COMPRESS={options['COMPRESS']} would change pixels that are to stay; leave it out, or use DEFLATE or ZSTD.")
    for key in ("COMPRESS", "OVERVIEW_COMPRESS"):
        if bands > len(COLOURS) and options.get(key) in _LOSSY:
            raise InputError(f"--co {key}={options[key]} cannot hold the {bands} bands of several worlds; leave it out, or use DEFLATE or ZSTD.")
    # GDAL only warns of a predictor with a compression that has none.
    if options["COMPRESS"] in _PREDICTABLE:
        options.setdefault("PREDICTOR", "YES")
    elif "PREDICTOR" in options:
        raise InputError(f"--co PREDICTOR does not go with COMPRESS={options['COMPRESS']}; leave it out.")
    # No COPY_SRC_MDD=YES: with it GDAL 3.10 leaves out the tags of the bands.
    return {**options, "NUM_THREADS": str(threads)}


def _block(bands: int) -> int:
    """Side of the tiles, in pixels."""
    return next((side for side in (_BLOCK, 256) if side**2 * bands <= _LARGEST_TILE_BYTES), 128)


def _build_overviews(part: Path, block: int, resampling: str) -> None:
    """Give a file the overviews that GDAL's COG driver would make: that takes time by the square of the number of bands, this does not."""
    with rasterio.open(part, "r+", driver="GTiff") as dataset:
        factors = [2**n for n in range(1, 32) if max(dataset.shape) > block * 2 ** (n - 1)]
        if factors:
            dataset.build_overviews(factors, _RESAMPLINGS[resampling])


def _check_blocks(path: Path) -> None:
    """See that every tile of image and overviews lies inside the file: GDAL reads missing ones as zeros without a word."""
    size = path.stat().st_size
    with open_raster(path) as dataset:
        shape, blocks = dataset.shape, dataset.block_shapes[0]
        factors: list[tuple[int | None, int]] = [(None, 1), *enumerate(dataset.overviews(1))]
        for level, factor in factors:
            rows, columns = (-(-side // (factor * block)) for side, block in zip(shape, blocks, strict=True))
            for row, column in product(range(rows), range(columns)):
                offset = dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=1, ovr=level)
                length = dataset.get_tag_item(f"BLOCK_SIZE_{column}_{row}", "TIFF", bidx=1, ovr=level)
                if offset is None or length is None or int(offset) + int(length) > size:
                    raise OSError(errno.EIO, "the file is incomplete")


def _remove_stale(out: Path) -> None:
    """Remove what stands beside the old file of this name: its ``.aux.xml`` would move the new image elsewhere."""
    stale = [out.with_name(out.name + suffix) for suffix in (".aux.xml", ".ovr", ".msk", ".msk.ovr")]
    if out.exists():
        stale += sidecar_paths(out)
    for path in stale:
        # lexists, unlike unlink, takes names too long for the disk.
        if os.path.lexists(path):
            path.unlink()


def _cannot_write(out: Path, error: BaseException) -> OutputError:
    causes = [error, error.__cause__]
    full = any(isinstance(cause, OSError) and cause.errno == errno.ENOSPC for cause in causes) or any(
        "No space left" in str(cause) for cause in causes
    )
    try:
        free = shutil.disk_usage(out.parent).free
    except OSError:
        free = 0
    if full or free < _SCARCE_BYTES:
        return NoSpaceError(f"The disk is full: {out} was not written, {_size(free)} are free; free space or choose another disk.")
    return OutputError(f"{out} could not be written to its end; check the disk and its quota, or choose another place.")


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _choices(allowed: frozenset[str]) -> str:
    if all(text.isdecimal() for text in allowed) and len(allowed) > 10:
        numbers = sorted(int(text) for text in allowed)
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(sorted(allowed))
