"""A raster, an area or a STAC item -> `SceneMetadata`: place, ground sample distance, date, cloud cover, each with its source.

Pixels are never read. What is unknown stays None; rules R1 to R14 of GEOREFERENCING.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from rasterio._err import CPLE_BaseError
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import RasterioError, TransformWarning
from rasterio.io import DatasetReader
from rasterio.rpc import RPC
from rasterio.transform import GCPTransformer, RPCTransformer

from rsgeo.errors import GeoreferenceError, InputError, RsgeoWarning
from rsgeo.geo import dates, measure, products
from rsgeo.geo.measure import Floats, Ground, LonLatBox, PixelToLonLat
from rsgeo.geo.provenance import synthetic_state
from rsgeo.geo.raster_open import open_raster
from rsgeo.scene import DateValue, SceneMetadata, Value

if TYPE_CHECKING:
    from rsgeo.geo.aoi import AOI

Kind = Literal["transform", "gcp_tps", "gcp_affine", "rpc_at_height_off", "none"]

_FEWEST_FOR_SPLINE = 10
_MOST_FOR_SPLINE = 1500
_SQUARE_ENOUGH = 1.05
_STATED_GSD_FACTOR = 1.5
_NO_TRANSFORMER = (RasterioError, CPLE_BaseError)  # rasterio lets GDAL's own errors through where it makes a transformer


@dataclass(frozen=True)
class Georeference:
    """How a raster is tied to the Earth (R2 to R4) and what follows of it.

    ``crs`` is the dataset's own, None for files with ground control points only, whose CRS is ``gcp_crs``. ``ground`` is the centre
    pixel, ``bbox`` the bounds of the border in degrees; both None where unknown. ``note`` is for people: how exact it is.
    """

    kind: Kind
    crs: CRS | None = None
    gcp_crs: CRS | None = None
    ground: Ground | None = None
    bbox: LonLatBox | None = None
    note: str | None = None


def georeference(dataset: DatasetReader) -> Georeference:
    """The best tie to the Earth a raster has: a real transform with a CRS, then control points, then RPC at its height offset.

    Raises GeoreferenceError for a raster of another celestial body. Contradictions and unusable parts are RsgeoWarnings.
    """
    crs = dataset.crs
    gcps, gcp_crs = dataset.gcps
    rpcs = _rpcs(dataset)
    if crs is not None and not dataset.transform.is_identity:
        if _to_wgs84(crs) is None:
            return Georeference("none")
        found = _placed("transform", crs, None, measure.from_transform(crs, dataset.transform), dataset)
        if rpcs is not None and found.ground is not None:
            _compare_with_rpc(found.ground, rpcs, dataset)
        return found
    usable = crs if crs is not None and _to_wgs84(crs) is not None else None
    try:
        if gcps and gcp_crs is not None and (to_wgs84 := _to_wgs84(gcp_crs)) is not None:
            return _from_gcps(gcps, gcp_crs, to_wgs84, dataset)
        if rpcs is not None:
            note = f"approximate: RPC at a height of {rpcs.height_off:g} m"
            with RPCTransformer(rpcs, rpc_height=rpcs.height_off) as transformer:
                return _placed("rpc_at_height_off", usable, None, _by(transformer), dataset, note)
    except _NO_TRANSFORMER:
        _warn("The ground control points or RPC of the image contradict themselves; its place is unknown.")
    return Georeference("none", usable)


def scene_of_raster(path: str | Path) -> SceneMetadata:
    """Place, GSD, date and cloud cover of a raster file, from the file, its sidecars and its name (R9).

    Raises InputError if it cannot be opened, GeoreferenceError if it shows another celestial body.
    """
    with open_raster(path) as dataset:
        return derive(dataset, Path(path)).scene


@dataclass(frozen=True)
class Derived:
    """All that is derived of a raster. ``requested_date`` is the wish rsgeo recorded in its own file: never a date of acquisition."""

    georeference: Georeference
    scene: SceneMetadata
    synthetic: Literal["ALL", "PART"] | None
    requested_date: str | None


def derive(dataset: DatasetReader, path: Path) -> Derived:
    """`scene_of_raster` for an open dataset, with the georeference and rsgeo's own marks beside it."""
    tie = georeference(dataset)
    source = products.Source.of(dataset, path.absolute())
    facts = list(products.read(source))
    mark = synthetic_state(dataset) or next((known.synthetic for known in facts if known.synthetic), None)
    date, cloud = (None, None) if mark else (_date(source, facts), _cloud(facts))
    if tie.ground is not None:
        _judge_pixels(tie.ground, facts)
    wish = source.tags.get("RSGEO_REQUESTED_DATE") or next((known.requested_date for known in facts if known.requested_date), None)
    return Derived(tie, placed(tie, date, cloud), mark, wish if mark else None)


def placed(tie: Georeference, date: DateValue | None, cloud_cover_percent: Value | None) -> SceneMetadata:
    """The scene of an image whose date and cloud cover are known from elsewhere."""
    return _scene(tie.ground, f"centre of the image ({tie.kind})", date, cloud_cover_percent)


def scene_of_aoi(aoi: AOI) -> SceneMetadata:
    """The centroid of an area; its GSD, date and clouds are unknown."""
    lon, lat = aoi.centroid
    source = "centroid of the area"
    return SceneMetadata(lon=Value(value=measure.wrap_lon(lon), source=source), lat=Value(value=lat, source=source))


def scene_of_stac(item: Mapping[str, Any]) -> SceneMetadata:
    """Date and cloud cover of a STAC item and the centroid of its footprint. The item's ``gsd`` is the sensor's and not taken.

    Raises InputError if it is no STAC item.
    """
    facts = products.stac_facts(item)
    outline = footprint(item, "The STAC item")
    place = scene_of_aoi(outline) if outline else SceneMetadata()
    return place.model_copy(update={"date": facts.date, "cloud_cover_percent": facts.cloud_cover_percent})


def footprint(geojson: Mapping[str, Any], name: str) -> AOI | None:
    """The area a product's metadata states, None where there is none; one that is no area is an RsgeoWarning."""
    from rsgeo.geo import aoi as areas  # geopandas takes a second to load, and rasters do without

    if not (geojson.get("geometry") or geojson.get("coordinates")):
        return None
    try:
        return areas.from_geometry(dict(geojson), name=name)
    except InputError as error:
        _warn(str(error))
        return None


parse_requested_date = dates.requested_date


def _date(source: products.Source, facts: list[products.Facts]) -> DateValue | None:
    def candidates() -> Iterator[DateValue | None]:
        yield from (fact.date for fact in facts)
        yield (named := dates.from_product_name(source.path.name))
        tag = dates.from_tiff_tag(source.tags.get("TIFFTAG_DATETIME"), source.tags.get("TIFFTAG_SOFTWARE"))
        known = named is not None or any(fact.date is not None for fact in facts)
        yield tag if known else dates.earlier(tag, dates.from_lone_date(source.path.name))

    return dates.first_known(candidates())


def _cloud(facts: list[products.Facts]) -> Value | None:
    return next((known.cloud_cover_percent for known in facts if known.cloud_cover_percent is not None), None)


def _scene(ground: Ground | None, source: str, date: DateValue | None, cloud: Value | None) -> SceneMetadata:
    if ground is None:
        return SceneMetadata(date=date, cloud_cover_percent=cloud)
    return SceneMetadata(
        lon=Value(value=ground.lon, source=source),
        lat=Value(value=ground.lat, source=source),
        gsd=Value(value=ground.gsd_m, source=source),
        date=date,
        cloud_cover_percent=cloud,
    )


def _judge_pixels(ground: Ground, facts: list[products.Facts]) -> None:
    if ground.anisotropy > _SQUARE_ENOUGH:
        _warn(
            f"The pixels are not square on the ground: {ground.gsd_col_m:.4g} m along columns, {ground.gsd_row_m:.4g} m along rows; "
            f"models are told {ground.gsd_m:.4g} m."
        )
    stated = next((known.stated_gsd for known in facts if known.stated_gsd), None)
    if stated and stated > 0 and max(stated / ground.gsd_m, ground.gsd_m / stated) > _STATED_GSD_FACTOR:
        _warn(f"The STAC item states {stated:g} m, the sensor's GSD; the pixels of this image are {ground.gsd_m:.4g} m, which is taken.")


def _to_wgs84(crs: CRS) -> PixelToLonLat | None:
    """None, with a warning, for a CRS that says nothing of longitude and latitude; another body's is an error."""
    try:
        return measure.to_wgs84(crs)
    except measure.NoCoordinateSystemError as error:
        _warn(f"{error} The image's place is unknown.")
        return None


def _rpcs(dataset: DatasetReader) -> RPC | None:
    try:
        return dataset.rpcs
    except (KeyError, ValueError):
        _warn("The RPC of the image cannot be read; it is ignored.")
        return None


def _placed(
    kind: Kind, crs: CRS | None, gcp_crs: CRS | None, to_lonlat: PixelToLonLat, dataset: DatasetReader, note: str | None = None
) -> Georeference:
    ground = None
    try:
        ground = measure.ground_at(to_lonlat, dataset.width / 2, dataset.height / 2)
    except GeoreferenceError as error:
        _warn(str(error))
    bbox = measure.bounds_lonlat(to_lonlat, dataset.width, dataset.height)
    if bbox is None and ground is not None:
        _warn("Part of the image's border is off the Earth; its bounds are unknown.")
    return Georeference(kind, crs, gcp_crs, ground, bbox, note)


def _from_gcps(gcps: list[GroundControlPoint], gcp_crs: CRS, to_wgs84: PixelToLonLat, dataset: DatasetReader) -> Georeference:
    spline = len(gcps) >= _FEWEST_FOR_SPLINE
    note = f"{len(gcps)} ground control points, {'thin-plate spline' if spline else 'affine fit'}"
    if len(gcps) > _MOST_FOR_SPLINE:
        step = -(-len(gcps) // _MOST_FOR_SPLINE)
        gcps = gcps[::step]
        _warn(f"Of the ground control points every {step}th is used.")
    with GCPTransformer(gcps, tps=spline) as transformer:
        in_crs = _by(transformer)

        def to_lonlat(x: Floats, y: Floats) -> tuple[Floats, Floats]:
            return to_wgs84(*in_crs(x, y))

        return _placed("gcp_tps" if spline else "gcp_affine", dataset.crs, gcp_crs, to_lonlat, dataset, note)


def _by(transformer: GCPTransformer | RPCTransformer) -> PixelToLonLat:
    def forward(x: Floats, y: Floats) -> tuple[Floats, Floats]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", TransformWarning)  # such points come back as not finite, which is enough
                xs, ys = transformer.xy(y, x, offset="ul")
        except _NO_TRANSFORMER:
            return np.full(x.shape, np.nan), np.full(x.shape, np.nan)
        return np.asarray(xs, dtype=float), np.asarray(ys, dtype=float)

    return forward


def _compare_with_rpc(ground: Ground, rpcs: RPC, dataset: DatasetReader) -> None:
    try:
        with RPCTransformer(rpcs, rpc_height=rpcs.height_off) as transformer:
            other = measure.ground_at(_by(transformer), dataset.width / 2, dataset.height / 2)
    except (GeoreferenceError, *_NO_TRANSFORMER):
        return
    if abs(measure.wrap_lon(other.lon - ground.lon)) > 1 or abs(other.lat - ground.lat) > 1:
        _warn(
            f"The RPC put the image at {other.lon:.4f}, {other.lat:.4f}, the transform at {ground.lon:.4f}, {ground.lat:.4f}; the transform is taken."
        )


def _warn(sentence: str) -> None:
    warnings.warn(sentence, RsgeoWarning, stacklevel=3)


__all__ = [
    "Derived",
    "Georeference",
    "derive",
    "footprint",
    "georeference",
    "placed",
    "parse_requested_date",
    "scene_of_aoi",
    "scene_of_raster",
    "scene_of_stac",
]
