"""Rasters are opened here, and only here: an existing regular file, known by its first bytes, with the one driver these name.

GDAL left to itself would follow a VRT to any other file, a WMS description to the network and a ``/vsi`` path anywhere
(GEOREFERENCING.md section 9).
"""

from __future__ import annotations

import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from rsgeo.errors import InputError, RsgeoWarning

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"II*\0", "GTiff"),
    (b"MM\0*", "GTiff"),
    (b"II+\0", "GTiff"),
    (b"MM\0+", "GTiff"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JP2OpenJPEG"),
    (b"\xff\x4f\xff\x51", "JP2OpenJPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
)
_ALPHA_SAMPLE = 512
_LARGEST_SAMPLED_BLOCK = 2**24
_MOST_ALPHA_VALUES = 16


@dataclass(frozen=True)
class Packed:
    """A file in a ZIP archive, read where it lies: ``member`` is its name in the archive."""

    archive: Path
    member: str

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.member.rpartition("/")[2]

    def __str__(self) -> str:
        return f"{self.archive}/{self.member}"


ImagePath = str | Path | Packed


def regular_file(path: str | Path) -> Path:
    """The absolute path of an existing, regular, non-empty file on this computer.

    Raises InputError for URLs, ``/vsi`` paths, missing files, folders, devices and empty files.
    """
    text = str(path)
    if "://" in text or text.lstrip().lower().startswith("/vsi") or "\0" in text:
        raise InputError(f"{text!r} is not a file on this computer; download or unpack it and give its path.")
    found = Path(text).absolute()
    try:
        if not found.exists():
            raise InputError(f"There is no file {text}.")
        if found.is_dir():
            raise InputError(f"{text} is a folder; give a file.")
        if not found.resolve().is_file():
            raise InputError(f"{text} is not a regular file.")
        if found.stat().st_size == 0:
            raise InputError(f"{text} is empty.")
    except OSError as error:
        raise InputError(f"{text} cannot be read ({error.strerror}).") from error
    return found


def sniff_driver(path: Path) -> str | None:
    """The GDAL driver for a file's first bytes ("GTiff", "JP2OpenJPEG", "PNG", "JPEG"), None for anything else."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    return _driver_of(head)


def _driver_of(head: bytes) -> str | None:
    return next((driver for magic, driver in _MAGIC if head.startswith(magic)), None)


def read_member(packed: Packed, most_bytes: int) -> bytes:
    """The first ``most_bytes`` of a file in an archive. Raises InputError if archive or file is missing, locked or damaged."""
    try:
        with zipfile.ZipFile(regular_file(packed.archive)) as archive, archive.open(packed.member) as member:
            return member.read(most_bytes)
    except KeyError as error:
        raise InputError(f"{packed.archive} holds no {packed.member}.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise InputError(f"{packed.archive} is no ZIP archive that can be read, or is damaged; copy it again.") from error
    except RuntimeError as error:  # what zipfile raises for a password
        raise InputError(f"{packed.archive} is locked with a password; unpack it first.") from error


@contextmanager
def open_raster(path: ImagePath) -> Iterator[DatasetReader]:
    """Open a GeoTIFF, JPEG 2000, PNG or JPEG for reading; no pixel is read.

    Sidecars GDAL obeys are reported by an RsgeoWarning where they move the image; beside a file in an archive none is obeyed. Raises InputError
    if the file is missing, of another kind, damaged at its head, or leads to another file.
    """
    if isinstance(path, Packed):
        with _open_packed(path) as dataset:
            yield dataset
        return
    found = regular_file(path)
    driver = sniff_driver(found)
    if driver is None:
        raise InputError(f"{path} is not an image rsgeo can read (GeoTIFF, JPEG 2000, PNG, JPEG).")
    _check_companions(found)
    with _open(found, driver) as dataset:
        if dataset.tags(ns="OVERVIEWS").get("OVERVIEW_FILE"):
            raise InputError(f"{path} names another file as its overviews; remove that entry from its metadata or its .aux.xml.")
        try:
            dataset.descriptions  # noqa: B018  every reader needs them
        except UnicodeDecodeError as error:
            raise InputError(f"The band names of {path} are not UTF-8 text; write them anew.") from error
        _report_moving_sidecar(dataset, found, driver)
        yield dataset


def alpha_is_data(dataset: DatasetReader) -> bool:
    """Whether the last of four uint8 bands is called alpha but holds a picture, as near infrared of NAIP and Planet does (R19).

    Reads at most 512 x 512 pixels from the middle. Raises InputError if they cannot be read.
    """
    if dataset.count != 4 or dataset.dtypes[3] != "uint8" or dataset.colorinterp[3] != ColorInterp.alpha:
        return False
    block_height, block_width = dataset.block_shapes[3]
    if block_height * block_width > _LARGEST_SAMPLED_BLOCK:
        return False
    width, height = min(dataset.width, _ALPHA_SAMPLE), min(dataset.height, _ALPHA_SAMPLE)
    window = Window((dataset.width - width) // 2, (dataset.height - height) // 2, width, height)
    try:
        return len(np.unique(dataset.read(4, window=window))) > _MOST_ALPHA_VALUES
    except RasterioIOError as error:
        raise InputError(f"{dataset.name} is damaged: its pixels cannot be read.") from error


@contextmanager
def _open_packed(packed: Packed) -> Iterator[DatasetReader]:
    driver = _driver_of(read_member(packed, 16))
    if driver not in ("GTiff", "JP2OpenJPEG"):
        raise InputError(f"{packed} is not an image rsgeo can read (GeoTIFF, JPEG 2000).")
    archive = packed.archive.absolute().as_posix()
    if not {"{", "}"}.isdisjoint(archive):
        raise InputError(f"{packed.archive} has a brace in its path, which cannot be read; rename it.")
    place = f"/vsizip/{{{archive}}}/{packed.member}"  # the braces let an archive have any name
    # What lies beside the image in the archive is never opened: neither .aux.xml nor .msk nor .ovr.
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO"), _open(place, driver) as dataset:
        yield dataset


def _open(path: Path | str, driver: str, **options: str) -> DatasetReader:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return rasterio.open(path, driver=driver, **options)
    except RasterioError as error:
        raise InputError(f"{path} is cut off or damaged at its head; copy it again.") from error


def _check_companions(path: Path) -> None:
    """GDAL opens masks and overviews beside a file with any driver; only TIFFs are let through."""
    for suffix in (".msk", ".ovr", ".msk.ovr"):
        companion = path.with_name(path.name + suffix)
        if companion.exists() and (not companion.resolve().is_file() or sniff_driver(companion) != "GTiff"):
            raise InputError(f"{companion} is no TIFF and may lead to another file; remove it.")


def _report_moving_sidecar(dataset: DatasetReader, path: Path, driver: str) -> None:
    if driver not in ("GTiff", "JP2OpenJPEG") or len(dataset.files) < 2:
        return
    with _open(path, driver, GEOREF_SOURCES="INTERNAL") as alone:
        same = alone.crs == dataset.crs and alone.transform == dataset.transform and alone.gcps == dataset.gcps
        if same or not (alone.crs or not alone.transform.is_identity):
            return
    sidecars = ", ".join(Path(name).name for name in dataset.files[1:])
    warnings.warn(
        f"{path.name} says it lies elsewhere than the file beside it ({sidecars}); the file beside it is followed, remove it if it is old.",
        RsgeoWarning,
        stacklevel=4,
    )
