"""Sentinel-2 products as they are delivered: a ``.SAFE`` folder, or the ZIP archive of one, with a JPEG 2000 image for each band.

The archive is read where it lies. Names that its metadata or its table state are not trusted: an image lies in the product or is none.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from xml.etree import ElementTree

from rsgeo.errors import InputError
from rsgeo.geo import products
from rsgeo.geo.products import Facts, element_text
from rsgeo.geo.raster_open import Packed, read_member
from rsgeo.geo.sentinel2 import COMMON_NAME

Level = Literal["L1C", "L2A"]

_METADATA = re.compile(r"MTD_MSI(L1C|L2A)\.xml")
_IMAGE = re.compile(r"_(B\d\d|B8A)(?:_(\d\d)m)?$")
_PLAIN_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_SUFFIXES = (".jp2", ".tif")
_MOST_MEMBERS = 20_000
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class Product:
    """A product: its images by the bands' common names, the finest of each, and how stored numbers become reflectance.

    Reflectance is (stored + offset) / ``quantification``; stored 0 is no data. ``baseline`` is that of the processing, as "04.00".
    """

    name: str
    level: Level
    baseline: str
    metadata: Path | Packed
    images: Mapping[str, Path | Packed]
    offsets: Mapping[str, float]
    quantification: float
    facts: Facts


def is_product(path: Path) -> bool:
    """Whether a path names a product: a SAFE folder, its metadata file, or an archive (of whatever)."""
    if path.is_dir():
        return path.suffix == ".SAFE" or products.safe_metadata(path) is not None
    return bool(_METADATA.fullmatch(path.name)) or _is_zip(path)


def read(path: Path) -> Product:
    """The product at ``path``: what `is_product` knows. No pixel is read.

    Raises InputError where there is no product of one tile, or its metadata cannot be read.
    """
    if not path.is_dir() and _is_zip(path):
        return _of_archive(path)
    folder = path if path.is_dir() else path.parent
    metadata = products.safe_metadata(folder)
    if metadata is None:
        raise InputError(f"{path} holds no MTD_MSIL1C.xml or MTD_MSIL2A.xml; give the folder of one Sentinel-2 product (.SAFE).")
    root = products.parse_xml(products.metadata_text(metadata), metadata.name)
    inside = folder.resolve()

    def find(name: str) -> Path | None:
        image = folder / name
        # A link may lead out of the product.
        return image if image.is_file() and image.resolve().is_relative_to(inside) else None

    return _product(root, folder.resolve().name, metadata, {name: image for name in _listed(root) if (image := find(name)) is not None})


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a product: of the archive's bytes; of a folder over the lines ``name NUL sha256(file)`` of its metadata and images, sorted.

    Raises InputError as `read`, or if a file cannot be read.
    """
    if not path.is_dir() and _is_zip(path):
        return _sha256_of_file(path)
    product = read(path)
    files = [file for file in (product.metadata, *product.images.values()) if isinstance(file, Path)]
    lines = sorted(f"{file.name}\0{_sha256_of_file(file)}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _sha256_of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error


def _is_zip(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == _ZIP
    except OSError:
        return False


def _of_archive(path: Path) -> Product:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {entry.filename for entry in archive.infolist() if not entry.is_dir()}
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{path} is no ZIP archive that can be read; copy it again.") from error
    found = sorted(name for name in members if _METADATA.fullmatch(PurePosixPath(name).name) and len(PurePosixPath(name).parts) <= 2)
    if len(found) != 1 or len(members) > _MOST_MEMBERS:
        raise InputError(f"{path} holds {len(found)} Sentinel-2 products (.SAFE); give an archive of one.")
    metadata, (folder, _, _) = Packed(path, found[0]), found[0].rpartition("/")
    text = read_member(metadata, products.LARGEST_TEXT + 1)
    if len(text) > products.LARGEST_TEXT:
        raise InputError(f"{metadata.name} in {path} is too large for a metadata file.")
    root = products.parse_xml(text.decode("utf-8", errors="replace"), metadata.name)
    inside = f"{folder}/" if folder else ""
    images = {name: Packed(path, inside + name) for name in _listed(root) if inside + name in members}
    return _product(root, folder or path.stem, metadata, images)


def _listed(root: ElementTree.Element) -> list[str]:
    """The images that the metadata lists, by paths within the product, with every suffix that one may have."""
    names = []
    for element in root.iter():
        if element.tag.rpartition("}")[2] not in ("IMAGE_FILE", "IMAGE_FILE_2A"):
            continue
        name = (element.text or "").strip()
        if name and all(_PLAIN_PART.fullmatch(part) for part in name.split("/")):
            names.append(name)
    return [name if name.endswith(_SUFFIXES) else name + suffix for name in names for suffix in (("",) if name.endswith(_SUFFIXES) else _SUFFIXES)]


def _product(root: ElementTree.Element, name: str, metadata: Path | Packed, found: Mapping[str, Path | Packed]) -> Product:
    match = _METADATA.fullmatch(metadata.name)
    assert match is not None
    granules = {PurePosixPath(image).parts[1] for image in found if image.startswith("GRANULE/")}
    if len(granules) > 1:
        raise InputError(f"{name} holds {len(granules)} tiles; give a product of one.")
    finest: dict[str, tuple[int, Path | Packed]] = {}
    for image, place in found.items():
        said = _IMAGE.search(PurePosixPath(image).stem)
        common = COMMON_NAME.get(said[1]) if said else None
        if said is None or common is None:
            continue
        metres = int(said[2] or 0)
        if common not in finest or metres < finest[common][0]:
            finest[common] = (metres, place)
    if not finest:
        raise InputError(f"{name} holds none of the images that its metadata lists; unpack the product as a whole.")
    return Product(
        name=name,
        level="L1C" if match[1] == "L1C" else "L2A",
        baseline=element_text(root, "PROCESSING_BASELINE") or "",
        metadata=metadata,
        images={common: place for common, (_, place) in finest.items()},
        offsets=_offsets(root, name),
        quantification=_number(element_text(root, "BOA_QUANTIFICATION_VALUE") or element_text(root, "QUANTIFICATION_VALUE"), name),
        facts=products.facts_of_safe(root),
    )


def _offsets(root: ElementTree.Element, name: str) -> dict[str, float]:
    """What is added to stored numbers, by band; products before baseline 04.00 state none and have none."""
    bands, offsets = tuple(COMMON_NAME.values()), dict.fromkeys(COMMON_NAME.values(), 0.0)
    for element in root.iter():
        if element.tag.rpartition("}")[2] in ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET"):
            index = element.get("band_id", "")
            if not index.isdecimal() or int(index) >= len(bands):
                raise InputError(f"The metadata of {name} states an offset for a band that Sentinel-2 has not; copy the product again.")
            offsets[bands[int(index)]] = _number(element.text, name)
    return offsets


def _number(text: str | None, name: str) -> float:
    try:
        number = float(text or "")
    except ValueError as error:
        raise InputError(f"The metadata of {name} does not say what its numbers stand for; copy the product again.") from error
    if not abs(number) < 1e6:
        raise InputError(f"The metadata of {name} states {number:g} where a scale or an offset should be; copy the product again.")
    return number
