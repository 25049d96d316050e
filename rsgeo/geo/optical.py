"""Which band of an image is which, and what its numbers stand for: what has to be known before a model may look at it.

Recognised in this order: what the user says; the product's own metadata (SAFE); a STAC item beside the image; names and scales in the file; its
number of bands and its number type, which is a guess and an `RsgeoWarning`.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from rsgeo.errors import InputError, RsgeoWarning
from rsgeo.geo import derive, products, safe
from rsgeo.geo.raster_open import Packed, open_raster, regular_file
from rsgeo.geo.raster_read import check_block_size, damaged
from rsgeo.geo.sentinel2 import BY_COUNT, COMMON_NAME, common_name, in_words
from rsgeo.scene import SceneMetadata

Radiometry = Literal["dn", "dn+1000", "reflectance", "rgb"]
"""What stored numbers are: reflectance times 10000; that plus 1000 (Sentinel-2 from baseline 04.00 on); reflectance; grey levels of a picture."""

RADIOMETRIES: tuple[Radiometry, ...] = get_args(Radiometry)

_QUANTIFICATION = 10000.0
_OFFSET = -1000.0
_FIRST_BASELINE_WITH_OFFSET = 4.0
_OFFSET_SINCE = "2022-01-25"
_BASELINE_IN_NAME = re.compile(r"S2[A-D]_MSIL(?:1C|2A)_\d{8}T\d{6}_N(\d\d)(\d\d)_")
_BRIGHTEST_REFLECTANCE = 4.0  # glint and clouds exceed 1; a stored number of a real scene exceeds this somewhere
_SAMPLE_SIDE = 64


@dataclass(frozen=True)
class BandSource:
    """Where a band is and what its numbers stand for.

    ``number`` counts bands from 1 in ``image``. ``scale`` and ``offset`` give reflectance (1 is all light) as stored * scale + offset; they are None
    for grey levels of a picture. ``nodata`` is a number that stands for nothing though the file does not say so.
    """

    image: Path | Packed
    number: int
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None


@dataclass(frozen=True)
class Optical:
    """An image with its bands by common name, and the place, GSD, date and cloud cover of its finest band.

    ``level`` is the product's where it is known; ``numbers`` says in words how its numbers were understood. A product has an image for each band.
    """

    path: Path
    bands: Mapping[str, BandSource]
    scene: SceneMetadata
    level: safe.Level | None
    numbers: str
    is_product: bool = False

    @property
    def name(self) -> str:
        """The name of the file or folder."""
        return self.path.resolve().name

    def of(self, names: Sequence[str]) -> tuple[BandSource, ...]:
        """The sources of bands by common name. Raises InputError, which names them, where some are missing."""
        missing = [name for name in names if name not in self.bands]
        if missing:
            lacks, has = (", ".join(map(in_words, found)) for found in (missing, self.bands))
            raise InputError(f"{self.path.name} lacks {lacks}, which the model sees; it has {has or 'no band with a name'} (--bands names them).")
        return tuple(self.bands[name] for name in names)

    def numbers_of(self, names: Sequence[str]) -> tuple[int, ...]:
        """The numbers of bands, by common name, from 1: in the file; in a product that of `COMMON_NAME`'s order. Raises InputError as `of`."""
        if self.is_product:
            self.of(names)
            return tuple(_BANDS.index(name) + 1 for name in names)
        return tuple(source.number for source in self.of(names))


def sha256(path: str | Path) -> str:
    """SHA-256 (hex) of an image: of the file's bytes, or as `rsgeo.geo.safe.sha256`. Raises InputError if it cannot be read."""
    place = Path(path)
    if safe.is_product(place):
        return safe.sha256(place)
    try:
        with regular_file(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error


def sources(path: Path, numbers: Sequence[int]) -> tuple[BandSource, ...]:
    """Where the bands of `Optical.numbers_of` are, without what their numbers stand for. Raises InputError if a product lacks one."""
    if not safe.is_product(path):
        return tuple(BandSource(path, number) for number in numbers)
    product = safe.read(path)
    names = [_BANDS[number - 1] for number in numbers]
    missing = [in_words(name) for name in names if name not in product.images]
    if missing:
        raise InputError(f"{path.name} lacks {', '.join(missing)}; unpack the product as a whole.")
    return tuple(BandSource(product.images[name], 1, nodata=0.0) for name in names)


def read(path: str | Path, *, radiometry: str | None = None, bands: Sequence[str] | None = None) -> Optical:
    """An image as it is delivered: a Sentinel-2 product (``.SAFE`` folder, or ZIP), or a raster file. No more than a few pixels are read.

    ``radiometry`` is one of `RADIOMETRIES`; ``bands`` names a raster's bands in order. Both are told; without them they are recognised.

    Raises:
        InputError: the file cannot be read, or it is told otherwise than it can be.
        GeoreferenceError: it shows another celestial body.
    """
    if radiometry is not None and radiometry not in RADIOMETRIES:
        raise InputError(f"--radiometry is one of {', '.join(RADIOMETRIES)}, not {radiometry}.")
    place = Path(path)
    if safe.is_product(place):
        if radiometry is not None or bands is not None:
            raise InputError(f"{place.name} is a product that says itself what it holds; leave out --radiometry and --bands.")
        return _of_product(place, safe.read(place))
    return _of_raster(place, radiometry, bands)


def _of_product(path: Path, product: safe.Product) -> Optical:
    bands = {
        common: BandSource(image, 1, 1 / product.quantification, product.offsets[common] / product.quantification, nodata=0.0)
        for common, image in sorted(product.images.items(), key=lambda pair: tuple(_BANDS).index(pair[0]))
    }
    with open_raster(_finest(product.images)) as dataset:
        tie = derive.georeference(dataset)
    scene = derive.placed(tie, product.facts.date, product.facts.cloud_cover_percent)
    offset = next(iter(product.offsets.values()))
    numbers = f"{product.level}, baseline {product.baseline}, offset {offset:g}, / {product.quantification:g}"
    return Optical(path, bands, scene, product.level, numbers, is_product=True)


def _finest(images: Mapping[str, Path | Packed]) -> Path | Packed:
    """An image of the finest GSD that there is."""
    order = ("red", "green", "blue", "nir", "rededge071", "rededge075", "rededge078", "nir08", "swir16", "swir22")
    return images[next((band for band in order if band in images), next(iter(images)))]


def _of_raster(path: Path, radiometry: str | None, told: Sequence[str] | None) -> Optical:
    with open_raster(path) as dataset:
        found = derive.derive(dataset, path)
        if found.synthetic:
            _warn(f"{path.name} is a synthetic image (rsgeo made it), no observation; what is made of it is no nearer to the truth.")
        item = products.item_beside(path.absolute()) or {}
        listed = _listed_bands(products.asset_of(item, path), item.get("properties", {}))
        names = _told_names(told, dataset, path) if told is not None else _names(dataset, path, listed)
        numbers, scales = _numbers(dataset, path, radiometry, item, listed, found.scene)
    bands: dict[str, BandSource] = {}
    for number, (name, (scale, offset)) in enumerate(zip(names, scales, strict=True), 1):
        if name is not None:
            bands.setdefault(name, BandSource(path, number, scale, offset))
    return Optical(path, bands, found.scene, _level(path, item), numbers)


def _told_names(told: Sequence[str], dataset: DatasetReader, path: Path) -> list[str | None]:
    if len(told) != dataset.count:
        raise InputError(f"{path.name} has {dataset.count} bands, and --bands names {len(told)}; name all in order, with - for those of no use.")
    names: list[str | None] = []
    for text in told:
        name = None if text.strip() == "-" else common_name(text)
        if name is None and text.strip() != "-":
            raise InputError(f"--bands: there is no band {text!r}; write B02 or blue, and so on, and - for those of no use.")
        names.append(name)
    if len({name for name in names if name}) < sum(name is not None for name in names):
        raise InputError("--bands names a band twice.")
    return names


def _names(dataset: DatasetReader, path: Path, listed: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """The common name of each band, None where it has none."""
    from_item = [common_name(_text(band.get("name"))) or common_name(_text(band.get("eo:common_name", band.get("common_name")))) for band in listed]
    from_file = [common_name(text) or common_name(dataset.tags(number).get("BANDNAME")) for number, text in enumerate(dataset.descriptions, 1)]
    for names in (from_item, from_file):
        if len(names) == dataset.count and any(names):
            return names
    colours = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}
    if {*colours} <= {*dataset.colorinterp}:
        return [colours.get(colour) for colour in dataset.colorinterp]
    if dataset.dtypes[0] == "uint8" and dataset.count in (3, 4):
        colour_names = ("red", "green", "blue", "nir")[: dataset.count]
        _warn(f"{path.name} names no bands; its {dataset.count} bands are taken as {', '.join(colour_names)} (--bands says otherwise).")
        return [*colour_names]
    guess = BY_COUNT.get(dataset.count)
    if guess is None:
        return [None] * dataset.count
    _warn(f"{path.name} names no bands; its {dataset.count} bands are taken as {', '.join(guess)} of Sentinel-2 (--bands says otherwise).")
    return [COMMON_NAME[band] for band in guess]


def _numbers(
    dataset: DatasetReader, path: Path, told: str | None, item: Mapping[str, Any], listed: Sequence[Mapping[str, Any]], scene: SceneMetadata
) -> tuple[str, list[tuple[float | None, float | None]]]:
    """How stored numbers are understood, in words, and the scale and offset to reflectance of each band."""
    count, whole = dataset.count, np.dtype(dataset.dtypes[0]).kind in "iu"
    if told is not None:
        return f"{told} (as told)", [_SCALES[told]] * count
    stated = [(_float(band.get("raster:scale", band.get("scale"))), _float(band.get("raster:offset", band.get("offset")))) for band in listed]
    if len(stated) == count and all(scale is not None for scale, _ in stated):
        return "scale and offset of the STAC item", [(scale, offset or 0.0) for scale, offset in stated]
    if any(scale != 1 for scale in dataset.scales):
        return "scale and offset in the file", list(zip(map(float, dataset.scales), map(float, dataset.offsets), strict=True))
    if dataset.dtypes[0] == "uint8":
        return "grey levels (8 bit)", [(None, None)] * count
    baseline = _baseline(dataset, path, item)
    if baseline is not None and whole:
        kind: Radiometry = "dn+1000" if baseline >= _FIRST_BASELINE_WITH_OFFSET and not _offset_applied(item) else "dn"
        return f"{kind} (processing baseline {baseline:05.2f})", [_SCALES[kind]] * count
    if not whole and _largest(dataset) <= _BRIGHTEST_REFLECTANCE:
        _warn(f"{path.name} does not say what its numbers are; they are taken as reflectance, 1 being all light (--radiometry says otherwise).")
        return "reflectance (a guess)", [_SCALES["reflectance"]] * count
    late = scene.date is not None and scene.date.value >= _OFFSET_SINCE
    more = " If it was delivered after January 2022 they may hold 1000 more." if late or scene.date is None else ""
    guess = "they are taken as reflectance times 10000 (--radiometry dn+1000 or another says otherwise)"
    _warn(f"{path.name} does not say what its numbers are; {guess}.{more}")
    return "dn (a guess)", [_SCALES["dn"]] * count


_BANDS = tuple(COMMON_NAME.values())
_SCALES: Mapping[str, tuple[float | None, float | None]] = {
    "dn": (1 / _QUANTIFICATION, 0.0),
    "dn+1000": (1 / _QUANTIFICATION, _OFFSET / _QUANTIFICATION),
    "reflectance": (1.0, 0.0),
    "rgb": (None, None),
}


def _listed_bands(asset: Mapping[str, Any], properties: Any) -> list[Mapping[str, Any]]:
    """The bands of an asset as STAC 1.1 has them, or those of the extensions before it put together."""
    lists = [asset.get(key) for key in ("bands", "eo:bands", "raster:bands")]
    found = [[band for band in bands if isinstance(band, dict)] for bands in lists if isinstance(bands, list)]
    if not found:
        return []
    longest = max(map(len, found))
    return [{key: value for bands in found if number < len(bands) for key, value in bands[number].items()} for number in range(longest)]


def _baseline(dataset: DatasetReader, path: Path, item: Mapping[str, Any]) -> float | None:
    """The processing baseline, from tags, a STAC item, or a product's name in the path or the tags."""
    properties, tags = item.get("properties", {}), dataset.tags()
    for text in (tags.get("PROCESSING_BASELINE"), properties.get("s2:processing_baseline"), properties.get("processing:version")):
        number = _float(text)
        if number is not None and 0 < number < 100:
            return number
    for text in (tags.get("PRODUCT_URI"), properties.get("s2:product_uri"), path.name, *(folder.name for folder in path.absolute().parents)):
        match = _BASELINE_IN_NAME.match(str(text or ""))
        if match:
            return float(f"{match[1]}.{match[2]}")
    return None


def _offset_applied(item: Mapping[str, Any]) -> bool:
    """Whether a catalogue says that it took the offset out."""
    return item.get("properties", {}).get("earthsearch:boa_offset_applied") is True


def _level(path: Path, item: Mapping[str, Any]) -> safe.Level | None:
    """The level by a product's name, in the path or in the STAC item."""
    for text in (path.name, str(item.get("id", ""))):
        match = re.match(r"S2[A-D]?_?(?:MSI)?_?(L1C|L2A)(?=_)", text)
        if match:
            return "L1C" if match[1] == "L1C" else "L2A"
    return None


def _largest(dataset: DatasetReader) -> float:
    """The largest finite number among a few pixels."""
    check_block_size(dataset)
    shape = (dataset.count, min(dataset.height, _SAMPLE_SIDE), min(dataset.width, _SAMPLE_SIDE))
    try:
        sample = dataset.read(out_shape=shape, masked=True).astype(np.float64).compressed()
    except (RasterioError, OSError) as error:
        raise damaged(dataset) from error
    finite = sample[np.isfinite(sample)]
    return float(finite.max()) if finite.size else 0.0


def _float(raw: object) -> float | None:
    try:
        number = float(raw) if isinstance(raw, str | int | float) and not isinstance(raw, bool) else None
    except ValueError:
        return None
    return number if number is not None and np.isfinite(number) else None


def _text(raw: object) -> str | None:
    return raw if isinstance(raw, str) else None


def _warn(sentence: str) -> None:
    warnings.warn(sentence, RsgeoWarning, stacklevel=4)


__all__ = ["RADIOMETRIES", "BandSource", "Optical", "Radiometry", "read", "sha256", "sources"]
