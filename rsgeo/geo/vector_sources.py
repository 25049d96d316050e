"""Vector files are opened here, and only here: existing regular files, known by their first bytes, with the driver these name.

GDAL left to itself would follow a VRT, a linked CRS or a ``/vsi`` path anywhere (GEOREFERENCING.md section 9).
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas
import pandas
import pyogrio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError, FieldError, GeometryError
from pyproj import CRS

from rsgeo.errors import AreaError, InputError, RsgeoWarning
from rsgeo.geo.crs import WGS84, parse_crs
from rsgeo.geo.raster_open import regular_file

MAX_TEXT_BYTES = 256 * 2**20
MAX_FILE_BYTES = 2**30
MAX_FEATURES = 1_000_000
MAX_ARCHIVE_MEMBERS = 200
MAX_UNPACKED_BYTES = 256 * 2**20
MAX_UNPACK_RATIO = 200

_GEOMETRY_TYPES = ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection")
_GEOJSON_TYPES = ("Feature", "FeatureCollection", "Topology", *_GEOMETRY_TYPES)
_WKT_START = re.compile(
    r"\s*(?:SRID=(\d+);)?\s*((?:POINT|LINESTRING|POLYGON|MULTIPOINT|MULTILINESTRING|MULTIPOLYGON|GEOMETRYCOLLECTION)(?:ZM|Z|M)?\b.*)", re.I | re.S
)
_XML_ROOT = re.compile(rb"<\s*(?:\w+:)?([A-Za-z]\w*)")
_GPX_LAYERS = ("waypoints", "routes", "tracks")  # the point layers repeat the vertices of the lines
_ARCHIVED_SUFFIXES = (".shp", ".gpkg", ".geojson", ".json", ".fgb", ".kml")
_READ_ERRORS = (DataSourceError, DataLayerError, GeometryError, FieldError, shapely.GEOSException)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class VectorData:
    """The features of one source, 2-D, valid or not, of any type.

    ``name`` is a title (a file's stem), ``label`` what messages call it (a path as given). ``frame`` carries no CRS of its own: ``crs``
    does, None where nothing tells it, and ``crs_is_assumed`` where the format's custom and not the file says it (WKT has neither: it is degrees
    unless told otherwise). ``planar`` tells how an edge of more than 180 degrees of longitude is meant, where a ``bbox`` member says so.
    """

    frame: geopandas.GeoDataFrame
    name: str
    label: str
    crs: CRS | None = None
    crs_is_assumed: bool = False
    planar: bool | None = None


def load(path: str | Path, *, layer: str | None = None, where: str | None = None) -> VectorData:
    """Read the features of a GeoJSON, GeoPackage, Shapefile, FlatGeobuf, KML, KMZ, GPX, zipped or WKT file.

    Raises InputError if the file is missing, of another kind, damaged, too large, or has not the layer or fields asked for.
    """
    found = regular_file(path)
    return _load_file(found, str(path), layer, where)


def load_text(text: str, name: str, *, where: str | None = None) -> VectorData | None:
    """Features of GeoJSON or WKT text; None if it looks like neither. Raises InputError if it is broken."""
    if text.lstrip("\ufeff \t\r\n")[:1] == "{":
        return _load_geojson(text.encode(), name, name, None, where)
    if _WKT_START.match(text):
        return _load_wkt(text, name, name)
    return None


def without_crs(frame: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """A copy with rows counted from 0, 2-D geometries in the column "geometry", and no CRS."""
    attributes = pandas.DataFrame(frame.drop(columns=frame.geometry.name)).reset_index(drop=True)
    return geopandas.GeoDataFrame(attributes.drop(columns="geometry", errors="ignore"), geometry=shapely.force_2d(frame.geometry.array))


def _load_file(path: Path, label: str, layer: str | None, where: str | None) -> VectorData:
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise AreaError(f"{label} has {size / 2**20:.0f} MB, more than rsgeo reads; cut the area out of it first.")
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise AreaError(f"{label} cannot be read ({error.strerror}).") from error
    if head.startswith(b"PK\3\4"):
        return _load_archive(path, label, layer, where)
    if head.startswith(b"SQLite format 3\0"):
        if head[68:72] not in (b"GPKG", b"GP10", b"GP11"):
            raise AreaError(f"{label} is a database but no GeoPackage; export the area as GeoPackage or GeoJSON.")
        return _load_ogr(path, label, ("GPKG",), layer, where)
    if head.startswith(b"fgb"):
        return _load_ogr(path, label, ("FlatGeobuf",), layer, where)
    if head.startswith(b"\x00\x00\x27\x0a"):
        return _load_shapefile(path, label, layer, where)
    if path.suffix.lower() in (".dbf", ".prj", ".cpg", ".qix", ".sbn"):
        raise AreaError(f"{label} is a part of a shapefile; give the .shp beside it.")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n\x1e")
    if text.startswith(b"<"):
        return _load_xml(path, label, head, layer, where)
    if size > MAX_TEXT_BYTES:
        raise AreaError(f"{label} has {size / 2**20:.0f} MB of text, more than rsgeo reads; convert it to GeoPackage.")
    if text.startswith((b"{", b"[")):
        return _load_geojson(path.read_bytes(), label, path.stem, layer, where)
    try:
        data = _load_wkt(path.read_text("utf-8-sig"), path.stem, label)
    except UnicodeDecodeError:
        data = None
    if data is None:
        raise AreaError(f"{label} is not a vector file rsgeo can read (GeoJSON, GeoPackage, Shapefile, FlatGeobuf, KML, WKT).")
    if where is not None:
        raise AreaError(f"{label} has no fields to pick from; leave --where away.")
    return data


def _load_geojson(content: bytes, label: str, name: str, layer: str | None, where: str | None) -> VectorData:
    head, lines = _parse_json(content, label)
    kind = head.get("type") if isinstance(head, Mapping) else None
    if kind not in _GEOJSON_TYPES:
        raise AreaError(f"{label} is JSON but not GeoJSON; it needs a type such as Feature or Polygon.")
    if kind == "FeatureCollection" and "features" not in head:
        raise AreaError(f"{label} is a FeatureCollection without features.")
    stated = None if lines else _legacy_crs(head, label)
    data = _load_ogr(content, label, ("GeoJSON", "GeoJSONSeq", "TopoJSON", "JSONFG"), layer, where)
    if data.frame.geometry.isna().any() and _has_text_coordinates(head):
        raise AreaError(f"{label} has text where a coordinate should be; write coordinates as numbers.")
    return replace(
        data,
        name=name,
        crs=stated or WGS84,
        crs_is_assumed=stated is None,
        planar=_bbox_says_planar(head),
    )


def _parse_json(content: bytes, label: str) -> tuple[Any, bool]:
    """The document, or the first of many where there is one a line; and whether there are many."""

    def refuse(word: str) -> Any:
        raise AreaError(f"{label} has {word} where a number should be.")

    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AreaError(f"{label} is not UTF-8 text; save it as UTF-8.") from error
    decoder = json.JSONDecoder(parse_constant=refuse)
    start = len(text) - len(text.lstrip(" \t\r\n\x1e"))
    try:
        document, end = decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise AreaError(f"{label} is not valid JSON (character {error.pos}: {error.msg}).") from error
    except RecursionError as error:
        raise AreaError(f"{label} is not valid JSON (nested too deep).") from error
    rest = text[end:].lstrip(" \t\r\n\x1e")
    if rest and not (isinstance(document, Mapping) and document.get("type") == "Feature" and rest.startswith("{")):
        raise AreaError(f"{label} is not valid JSON (character {end}: more text after its end).")
    return document, bool(rest)


def _legacy_crs(document: Mapping[str, Any], label: str) -> CRS | None:
    member = document.get("crs")
    if member is None:
        return None
    properties = member.get("properties") if isinstance(member, Mapping) else None
    name = properties.get("name") if isinstance(properties, Mapping) else None
    if not isinstance(name, str):
        raise AreaError(f'The "crs" member of {label} gives no name; write a code there, or remove it for longitude and latitude.')
    try:
        crs = parse_crs(name)
    except InputError as error:
        raise AreaError(f'The "crs" member of {label} cannot be used: {error}') from error
    return WGS84 if crs.to_authority() == ("OGC", "CRS84") else crs


def _bbox_says_planar(document: Any) -> bool | None:
    """A bbox member tells which way a long edge goes: west > east crosses the antimeridian, a box wider than 180 degrees does not."""
    bbox = document.get("bbox") if isinstance(document, Mapping) else None
    if not (isinstance(bbox, Sequence) and len(bbox) in (4, 6) and all(isinstance(value, int | float) for value in bbox)):
        return None
    west, east = bbox[0], bbox[len(bbox) // 2]
    if west > east or east > 180:
        return False
    return True if east - west > 180 else None


def _has_text_coordinates(document: Any) -> bool:
    if isinstance(document, Mapping):
        return any(
            _text_inside(value) if key == "coordinates" else _has_text_coordinates(value)
            for key, value in document.items()
            if key in ("coordinates", "geometry", "geometries", "features")
        )
    return isinstance(document, list) and any(_has_text_coordinates(value) for value in document)


def _text_inside(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and any(_text_inside(part) for part in value))


def _load_wkt(text: str, name: str, label: str) -> VectorData | None:
    found = _WKT_START.match(text)
    if found is None:
        return None
    try:
        geometries = [shapely.from_wkt(found[2])]
    except shapely.GEOSException:
        try:
            geometries = [shapely.from_wkt(line) for line in found[2].splitlines() if line.strip()]
        except shapely.GEOSException as error:
            raise AreaError(f"{label} is not valid WKT ({_first_line(error)}).") from error
    crs = parse_crs(found[1]) if found[1] else None
    frame = geopandas.GeoDataFrame(geometry=shapely.force_2d(geometries))
    return VectorData(frame, name, label, crs, crs_is_assumed=crs is None)


def _load_xml(path: Path, label: str, head: bytes, layer: str | None, where: str | None) -> VectorData:
    bare = re.sub(rb"<!--.*?-->|<\?.*?\?>", b"", head, flags=re.S)
    root = _XML_ROOT.search(bare)
    kind = root[1].lower() if root else b""
    if kind == b"kml":
        return _load_ogr(path, label, ("LIBKML", "KML"), layer, where, all_layers=True)
    if kind == b"gpx":
        return _load_ogr(path, label, ("GPX",), layer, where, all_layers=True, only=_GPX_LAYERS)
    raise AreaError(f"{label} is not a vector file rsgeo can read (its XML is neither KML nor GPX).")


def _load_shapefile(path: Path, label: str, layer: str | None, where: str | None) -> VectorData:
    if path.suffix.lower() != ".shp":
        raise AreaError(f"{label} is a part of a shapefile; give the .shp beside it.")
    if not any(path.with_suffix(suffix).is_file() for suffix in (".shx", ".SHX")):
        raise AreaError(f"{path.with_suffix('.shx').name} is missing: a shapefile needs .shp, .shx and .dbf together.")
    return _load_ogr(path, label, ("ESRI Shapefile",), layer, where)


def _load_archive(path: Path, label: str, layer: str | None, where: str | None) -> VectorData:
    with tempfile.TemporaryDirectory(prefix="rsgeo-") as folder:
        names = _unpack(path, label, Path(folder))
        sources = [name for name in names if name.suffix.lower() in _ARCHIVED_SUFFIXES]
        if any(name.name.lower() == "doc.kml" for name in sources):
            sources = [name for name in sources if name.name.lower() == "doc.kml"][:1]
        if layer is not None and len(sources) > 1:
            sources = [name for name in sources if name.stem == layer] or sources
        if not sources:
            raise AreaError(f"{label} is an archive without a vector file rsgeo can read.")
        if len(sources) > 1:
            stems = ", ".join(sorted(source.stem for source in sources))
            raise AreaError(f"{label} holds several vector files; pick one with --layer: {stems}.")
        inner = sources[0]
        single = None if inner.stem == layer else layer
        data = _load_file(inner, f"{inner.name} in {label}", single, where)
    return replace(data, name=path.stem if inner.name.lower() == "doc.kml" else data.name)


def _unpack(path: Path, label: str, folder: Path) -> list[Path]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            unpacked, packed = sum(member.file_size for member in members), sum(member.compress_size for member in members)
            if len(members) > MAX_ARCHIVE_MEMBERS:
                raise AreaError(f"{label} holds {len(members)} files; unpack it and give the vector file.")
            if unpacked > MAX_UNPACKED_BYTES or (unpacked > 2**20 and unpacked > MAX_UNPACK_RATIO * max(packed, 1)):
                raise AreaError(f"{label} unpacks to {unpacked / 2**20:.0f} MB; unpack it yourself and give the vector file.")
            for member in members:
                parts = Path(member.filename).parts
                if ".." in parts or member.filename.startswith(("/", "\\")) or "\\" in member.filename or ":" in member.filename:
                    raise AreaError(f"{label} has a file that would lie outside its folder ({member.filename}); it is not read.")
                if member.filename.lower().endswith(".zip"):
                    continue
                archive.extract(member, folder)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise AreaError(f"{label} cannot be unpacked ({error.strerror}).") from error
        raise AreaError(f"{label} is damaged or encrypted: it cannot be unpacked.") from error
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _load_ogr(
    source: Path | bytes,
    label: str,
    drivers: tuple[str, ...],
    layer: str | None,
    where: str | None,
    *,
    all_layers: bool = False,
    only: tuple[str, ...] | None = None,
) -> VectorData:
    """Read with pyogrio through one of ``drivers``; several layers together where the format makes one of every folder."""
    with _in_one_sentence(label, where):
        listed = pyogrio.list_layers(source)
    layers = {str(name): index for index, (name, kind) in enumerate(listed) if kind is not None and (only is None or name in only)}
    names = list(layers)
    if layer is not None:
        if layer not in names:
            raise AreaError(f"{label} has no layer {layer}; it has: {', '.join(names) or 'none with geometries'}.")
        names = [layer]
    if not names:
        raise AreaError(f"{label} holds no geometries.")
    if len(names) > 1 and not all_layers:
        raise AreaError(f"{label} has several layers; pick one with --layer: {', '.join(names)}.")
    frames, crs, skipped = [], None, []
    for name in names:
        try:
            frame, layer_crs = _read_layer(source, label, layers[name], drivers, where)
        except _UnknownField as error:
            if len(names) == 1:
                raise AreaError(str(error)) from error
            skipped.append(name)
            continue
        crs = crs or layer_crs
        frames.append(frame)
    if not frames:
        raise AreaError(f"No layer of {label} has the fields of --where {where!r}.")
    frame = geopandas.GeoDataFrame(pandas.concat(frames, ignore_index=True), geometry="geometry") if len(frames) > 1 else frames[0]
    if where is not None and frame.empty:
        raise AreaError(f"No feature of {label} matches --where {where!r}.")
    stem = source.stem if isinstance(source, Path) else label
    return VectorData(frame, stem, label, crs)


class _UnknownField(Exception):
    """A layer that has not the fields --where names."""


def _read_layer(
    source: Path | bytes, label: str, layer: int, drivers: tuple[str, ...], where: str | None
) -> tuple[geopandas.GeoDataFrame, CRS | None]:
    with _in_one_sentence(label, where):
        info = pyogrio.read_info(source, layer=layer)
        if info["driver"] not in drivers:
            raise AreaError(f"{label} is not a vector file rsgeo can read ({info['driver']}).")
        if info["features"] > MAX_FEATURES and where is None:
            raise AreaError(f"{label} has {info['features']} features; pick the area with --where or cut it out first.")
        options: dict[str, Any] = {"layer": layer, "where": where, "fid_as_index": False}
        try:
            frame = pyogrio.read_dataframe(source, **options)
        except shapely.GEOSException:
            frame = pyogrio.read_dataframe(source, on_invalid="fix", **options)
            warnings.warn(f"Rings of {label} were not closed; they have been closed.", RsgeoWarning, stacklevel=2)
    if not isinstance(frame, geopandas.GeoDataFrame):
        frame = geopandas.GeoDataFrame(frame, geometry=[None] * len(frame))
    crs = parse_crs(frame.crs) if frame.crs is not None else None
    return without_crs(frame), crs


@contextmanager
def _in_one_sentence(label: str, where: str | None) -> Iterator[None]:
    """GDAL's and GEOS' complaints as one sentence each; what they only mutter goes to the log (GEOREFERENCING.md section 10)."""
    try:
        with warnings.catch_warnings(record=True) as muttered:
            warnings.simplefilter("always")
            yield
    except (*_READ_ERRORS, IndexError, ValueError, RuntimeError) as error:
        text = str(error)
        _log.debug("%s: %s", label, text)
        if where is not None and ("SQL" in text or "field" in text.lower() or "expr" in text.lower()):
            raise _UnknownField(f"--where {where!r} does not fit the fields of {label}; write it as in SQL, such as name = 'a'.") from error
        if "coordinate. Unexpected type" in text:
            raise AreaError(f"{label} has text where a coordinate should be; write coordinates as numbers.") from error
        if "Geometry type is not supported" in text:
            raise AreaError(f"{label} holds 3-D surfaces rsgeo cannot use; convert them to polygons.") from error
        if "Unsupported FlatGeobuf version" in text:
            raise AreaError(f"{label} was written by an old FlatGeobuf version; export it again.") from error
        if "not recognized" in text:
            raise AreaError(f"{label} is not a vector file rsgeo can read.") from error
        raise AreaError(f"{label} is damaged: it cannot be read.") from error
    for warning in muttered:
        if issubclass(warning.category, RsgeoWarning):
            warnings.warn(str(warning.message), RsgeoWarning, stacklevel=4)
        else:
            _log.debug("%s: %s", label, warning.message)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
