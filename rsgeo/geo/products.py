"""What products say of themselves: acquisition date and cloud cover from the metadata that travels with an image.

One small function a product family, tried in the order of `READERS`: a STAC item beside the image, then the product's own metadata
file, then tags inside the image (GEOREFERENCING.md R9 and its table of names). None of them is asked for a pixel size: only the
transform knows it.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pystac
from rasterio.io import DatasetReader

from rsgeo.errors import InputError, RsgeoWarning
from rsgeo.geo import dates
from rsgeo.geo.raster_open import regular_file
from rsgeo.scene import DateValue, Value

LARGEST_TEXT = 4 * 2**20
"""Bytes of a metadata file; larger ones are none."""

_MOST_JSON_BESIDE = 100
_FIRST_EARTH_SATELLITE_IMAGE = "1972-07-23"
_FGDC_DATE = re.compile(r"Calendar_Date:\s*(\d{4})(\d\d)(\d\d)\b.{0,400}?Currentness_Reference:\s*Ground Condition", re.DOTALL | re.IGNORECASE)
_NO_ITEM = (pystac.STACError, pystac.STACTypeError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Facts:
    """What one source knows. ``stated_gsd`` is the sensor's, in metres; it is compared with the pixels and never used.

    ``ring`` is the footprint as (lon, lat) in degrees, lon up to 360, where the source is a product without pixels. ``synthetic`` is
    rsgeo's own mark.
    """

    date: DateValue | None = None
    cloud_cover_percent: Value | None = None
    stated_gsd: float | None = None
    ring: tuple[tuple[float, float], ...] = ()
    synthetic: Literal["ALL", "PART"] | None = None
    requested_date: str | None = None


@dataclass(frozen=True)
class Source:
    """An image as its metadata readers see it: where it lies and the tags inside, by domain; no pixels."""

    path: Path
    tags: Mapping[str, str] = field(default_factory=dict)
    imagery: Mapping[str, str] = field(default_factory=dict)
    imd: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: DatasetReader, path: Path) -> Source:
        return cls(path, dataset.tags(), dataset.tags(ns="IMAGERY"), dataset.tags(ns="IMD"))


def stac_facts(item: Mapping[str, Any]) -> Facts:
    """Date and cloud cover of a STAC item of any version since 0.6, given as JSON (R12: links are dropped, nothing is fetched).

    Raises InputError if it is no STAC item. A null datetime with start and end at most a day apart gives their middle.
    """
    properties = _checked_item(item).get("properties", {})
    date = None
    if isinstance(text := properties.get("datetime"), str):
        date = dates.from_iso(text, "stac:datetime")
    elif isinstance(start := properties.get("start_datetime"), str) and isinstance(end := properties.get("end_datetime"), str):
        date = dates.from_span(start, end, "stac:start_datetime..end_datetime")
    synthetic, wish = properties.get("rsgeo:synthetic"), properties.get("rsgeo:requested_datetime")
    return Facts(
        # The datetime of rsgeo's own items is the time of making.
        date=None if synthetic else date,
        cloud_cover_percent=None if synthetic else percent(properties.get("eo:cloud_cover"), "stac:eo:cloud_cover"),
        stated_gsd=_number(properties.get("gsd", properties.get("eo:gsd"))),
        synthetic=None if not synthetic else "PART" if synthetic == "PART" else "ALL",
        requested_date=str(wish) if wish else None,
    )


def mtl_facts(path: Path) -> Facts:
    """A Landsat MTL file, as .txt, .xml or .json; times past microseconds are cut, a negative cloud cover is unknown."""
    fields = _mtl_fields(path)
    day, time = fields.get("DATE_ACQUIRED"), fields.get("SCENE_CENTER_TIME") or fields.get("SCENE_CENTER_SCAN_TIME")
    date = dates.from_iso(f"{day}T{time}", "MTL DATE_ACQUIRED+SCENE_CENTER_TIME") if day and time else None
    return Facts(
        date=date or (dates.from_iso(day, "MTL DATE_ACQUIRED") if day else None),
        cloud_cover_percent=percent(fields.get("CLOUD_COVER"), "MTL CLOUD_COVER"),
    )


def safe_facts(path: Path) -> Facts:
    """``MTD_MSIL1C.xml`` or ``MTD_MSIL2A.xml`` of a Sentinel-2 SAFE folder, read as text: sensing start, never the time of processing."""
    return facts_of_safe(_xml(path))


def facts_of_safe(root: ElementTree.Element) -> Facts:
    """`safe_facts` of metadata that was parsed before."""
    date = None
    for name in ("PRODUCT_START_TIME", "DATATAKE_SENSING_START"):
        date = date or dates.from_iso(element_text(root, name) or "", f"SAFE {name}")
    lat_lon = [number for text in (element_text(root, "EXT_POS_LIST") or "").split() if (number := _number(text)) is not None]
    # A tile on the antimeridian jumps from 180 to -179; one turn, from 0 to 360, keeps its ring together.
    wide = lat_lon and max(lat_lon[1::2]) - min(lat_lon[1::2]) > 180
    ring = [(lon + 360 if wide and lon < 0 else lon, lat) for lat, lon in zip(lat_lon[0::2], lat_lon[1::2], strict=False)]
    return Facts(
        date=date,
        cloud_cover_percent=percent(element_text(root, "Cloud_Coverage_Assessment"), "SAFE Cloud_Coverage_Assessment"),
        ring=tuple(ring),
    )


def planet_facts(path: Path) -> Facts:
    """A Planet ``*_metadata.xml``. Its ``cloudCoverPercentage`` is a fraction in spite of its name and its unit."""
    root = _xml(path)
    date = None
    for name in ("acquisitionDateTime", "acquisitionDate"):
        date = date or dates.from_iso(element_text(root, name) or "", f"Planet {name}")
    fraction = _number(element_text(root, "cloudCoverPercentage"))
    return Facts(date, percent(None if fraction is None else fraction * 100, "Planet cloudCoverPercentage x 100"))


def stac_beside(source: Source) -> Facts | None:
    """The STAC item in the image's folder: named after it, or naming it as an asset."""
    item = item_beside(source.path)
    return None if item is None else stac_facts(item)


def item_beside(image: Path) -> dict[str, Any] | None:
    """The JSON of `stac_beside`. One that cannot be read is left out with an RsgeoWarning."""
    for path in _json_beside(image):
        text = _text(path, required=False)
        if text is None or '"stac_' not in text:
            continue
        try:
            item = json.loads(text)
            own = _own_name(path) == image.stem or path.name == f"{image.name}.stac.json"
            if isinstance(item, dict) and item.get("type") == "Feature" and (own or image.name in _asset_names(item)):
                _checked_item(item)
                return item
        except (ValueError, RecursionError, InputError):
            sentence = f"{path.name} beside the image looks like a STAC item but cannot be read; it is ignored."
            warnings.warn(sentence, RsgeoWarning, stacklevel=4)
    return None


def asset_of(item: Mapping[str, Any], image: Path) -> Mapping[str, Any]:
    """The asset of a STAC item that is ``image``, by its file's name; empty where none is."""
    assets = item.get("assets")
    for asset in assets.values() if isinstance(assets, dict) else ():
        if isinstance(asset, dict) and PurePosixPath(urlsplit(str(asset.get("href"))).path).name == image.name:
            return asset
    return {}


def landsat(source: Source) -> Facts | None:
    """The MTL file of the product an image belongs to."""
    path = _named_after_product(source.path, "_MTL", (".txt", ".xml", ".json"))
    return mtl_facts(path) if path else None


def sentinel2(source: Source) -> Facts | None:
    """The metadata of the SAFE folder an image lies in."""
    for folder in source.path.parents:
        if folder.suffix == ".SAFE":
            path = safe_metadata(folder)
            return safe_facts(path) if path else None
    return None


def planet(source: Source) -> Facts | None:
    """The ``_metadata.xml`` beside a Planet image."""
    path = _named_after_product(source.path, "_metadata", (".xml",))
    return planet_facts(path) if path and "planet" in (_text(path, required=False) or "")[:4096].lower() else None


def naip(source: Source) -> Facts | None:
    """The FGDC text beside a NAIP image: the calendar date whose currentness is the ground condition."""
    path = source.path.with_suffix(".txt")
    if not re.match(r"m_\d{7}_", source.path.name) or (text := _text(path, required=False)) is None:
        return None
    match = _FGDC_DATE.search(text)
    return Facts(dates.from_iso("-".join(match.groups()), "FGDC Calendar_Date")) if match else None


def maxar(source: Source) -> Facts | None:
    """Vendor metadata GDAL has read into its domains IMAGERY and IMD (R10: dates before the first Landsat are GDAL's blank)."""
    date = dates.from_iso(source.imagery.get("ACQUISITIONDATETIME", ""), "IMAGERY:ACQUISITIONDATETIME")
    if date is not None and date.value < _FIRST_EARTH_SATELLITE_IMAGE:
        return None
    for name in ("IMAGE.FIRSTLINETIME", "IMAGE_1.firstLineTime"):
        date = date or dates.from_iso(source.imd.get(name, ""), f"IMD:{name}")
    cloud = percent(source.imagery.get("CLOUDCOVER"), "IMAGERY:CLOUDCOVER")
    return Facts(date, cloud) if date or cloud else None


def known_tags(source: Source) -> Facts | None:
    """Dataset tags whose names are known to mean the acquisition."""
    date = cloud = None
    for name in ("PRODUCT_START_TIME", "DATATAKE_1_DATATAKE_SENSING_START", "datetime", "accisition_date", "DATE"):
        date = date or dates.from_iso(source.tags.get(name, ""), f"tag:{name}")
    for name in ("CLOUD_COVERAGE_ASSESSMENT", "cloud_percent"):
        cloud = cloud or percent(source.tags.get(name), f"tag:{name}")
    return Facts(date, cloud) if date or cloud else None


READERS: tuple[Callable[[Source], Facts | None], ...] = (stac_beside, landsat, sentinel2, planet, naip, maxar, known_tags)
"""Tried in this order; the first value of each kind wins."""


def read(source: Source) -> Iterator[Facts]:
    """What each reader knows of an image, best first. A metadata file that cannot be read is left out with an RsgeoWarning."""
    for reader in READERS:
        try:
            facts = reader(source)
        except InputError as error:
            warnings.warn(f"{error} It is ignored.", RsgeoWarning, stacklevel=2)
            continue
        if facts is not None:
            yield facts


def product_reader(path: Path) -> Callable[[Path], Facts] | None:
    """The reader for a product's metadata file, by its name, or None for any other file."""
    name = path.name
    if re.fullmatch(r"MTD_MSIL(1C|2A)\.xml", name):
        return safe_facts
    if re.search(r"_MTL\.(txt|xml|json)$", name, re.IGNORECASE):
        return mtl_facts
    return planet_facts if name.endswith("_metadata.xml") else None


def safe_metadata(folder: Path) -> Path | None:
    """The product metadata file of a SAFE folder."""
    return next((path for level in ("1C", "2A") if (path := folder / f"MTD_MSIL{level}.xml").is_file()), None)


def stac_item(path: Path) -> dict[str, Any] | None:
    """The STAC item in a JSON file, None if the file is something else (a feature collection, no JSON, too large)."""
    text = _text(path, required=False)
    if text is None or '"stac_version"' not in text:
        return None
    try:
        item = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return item if isinstance(item, dict) and item.get("type") == "Feature" and "stac_version" in item else None


def percent(raw: object, source: str) -> Value | None:
    """A percentage from 0 to 100; anything else is unknown (R14)."""
    number = _number(raw)
    return Value(value=number, source=source) if number is not None and 0 <= number <= 100 else None


def _number(raw: object) -> float | None:
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        return None
    try:
        number = float(raw)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _checked_item(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """pystac judges whether it is an item; dates stay in their own words, which pystac would make exact to the second."""
    try:
        links = [link for link in item.get("links", ()) if link.get("rel") not in ("root", "parent", "collection", "self")]
        pystac.Item.from_dict({**item, "links": links}, migrate=True)
    except _NO_ITEM as error:
        raise InputError("The JSON is not a STAC item rsgeo can read; check its properties and geometry.") from error
    return item


def _asset_names(item: Mapping[str, Any]) -> set[str]:
    assets = item.get("assets")
    found = assets.values() if isinstance(assets, dict) else ()
    return {PurePosixPath(urlsplit(str(asset.get("href"))).path).name for asset in found if isinstance(asset, dict)}


def _json_beside(path: Path) -> list[Path]:
    """JSON files in an image's folder, those named most like it first."""
    found = [other for other in path.parent.glob("*.json") if other.is_file()]
    return sorted(found, key=lambda other: (-_shared_start(other.name, path.name), other.name))[:_MOST_JSON_BESIDE]


def _shared_start(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _own_name(path: Path) -> str:
    return re.sub(r"(\.stac|[_-]stac)?\.json$", "", path.name)


def _named_after_product(image: Path, ending: str, suffixes: tuple[str, ...]) -> Path | None:
    """The file ``<product><ending><suffix>`` whose product name the image's name begins with; the longest product name wins."""
    found = []
    for path in image.parent.glob(f"*{ending}.*"):
        product, _, _ = path.stem.rpartition(ending)
        if product and path.stem.endswith(ending) and path.suffix.lower() in suffixes and image.name.startswith(product) and path.is_file():
            found.append((-len(product), suffixes.index(path.suffix.lower()), path))
    return min(found)[2] if found else None


def _text(path: Path, *, required: bool = True) -> str | None:
    """The text of a metadata file of sane size; None (or, if required, InputError) where there is none."""
    try:
        regular_file(path)
        if path.stat().st_size > LARGEST_TEXT:
            raise InputError(f"{path.name} is too large for a metadata file ({path.stat().st_size} bytes).")
        return path.read_text(encoding="utf-8", errors="replace")
    except (InputError, OSError) as error:
        if not required:
            return None
        raise error if isinstance(error, InputError) else InputError(f"{path.name} cannot be read.") from error


def _xml(path: Path) -> ElementTree.Element:
    return parse_xml(_text(path) or "", path.name)


def metadata_text(path: Path) -> str:
    """The text of a metadata file. Raises InputError if it is missing, or too large for one."""
    return _text(path) or ""


def parse_xml(text: str, name: str) -> ElementTree.Element:
    """The XML of a product's metadata; ``name`` is the file's, for messages. Raises InputError for entities and whatever is no XML."""
    # Product metadata has no document type; entities would only serve to blow it up.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError(f"{name} declares XML entities, which product metadata never does.")
    try:
        return ElementTree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text.lstrip("\ufeff")))
    except ElementTree.ParseError as error:
        raise InputError(f"{name} is not valid XML.") from error


def element_text(root: ElementTree.Element, name: str) -> str | None:
    """The text of the first element of that local name."""
    return next((element.text.strip() for element in root.iter() if element.tag.rpartition("}")[2] == name and element.text), None)


def _mtl_fields(path: Path) -> dict[str, str]:
    fields: dict[str, str] = {}
    if path.suffix.lower() == ".xml":
        pairs = [(element.tag.rpartition("}")[2], (element.text or "").strip()) for element in _xml(path).iter()]
    elif path.suffix.lower() == ".json":
        try:
            pairs = list(_leaves(json.loads(_text(path) or "")))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path.name} is not valid JSON.") from error
    else:
        pairs = re.findall(r'^\s*(\w+)\s*=\s*"?(.*?)"?\s*$', _text(path) or "", re.MULTILINE)
    for name, text in pairs:
        fields.setdefault(name, text)
    return fields


def _leaves(value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, below in value.items():
            if isinstance(below, dict):
                yield from _leaves(below)
            else:
                yield name, str(below)
