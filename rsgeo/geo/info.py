"""What `rsgeo info` tells: everything that can be said of a file before a model is asked, each value with its source."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict
from rasterio.io import DatasetReader

from rsgeo.errors import InputError, RsgeoWarning
from rsgeo.geo import products
from rsgeo.geo.crs import crs_text
from rsgeo.geo.derive import Kind, derive, footprint
from rsgeo.geo.measure import earth_crs
from rsgeo.geo.raster_open import alpha_is_data, open_raster, regular_file, sniff_driver
from rsgeo.scene import DateValue, Value

if TYPE_CHECKING:
    from rsgeo.geo.aoi import AOI

LonLatBounds = tuple[float, float, float, float]
_RASTER_SUFFIXES = {".tif", ".tiff", ".jp2", ".png", ".jpg", ".jpeg", ".vrt"}


class Info(BaseModel):
    """What every kind of file may have. ``bbox_lonlat`` is west, south, east, north in degrees; west > east crosses the antimeridian.

    ``crs`` is an authority code, else WKT2. ``synthetic`` is rsgeo's mark, ``requested_date`` the wish that went with it. None is unknown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    path: str
    kind: Literal["raster", "aoi", "stac", "product"]
    crs: str | None = None
    bbox_lonlat: LonLatBounds | None = None
    crosses_antimeridian: bool | None = None
    date: DateValue | None = None
    cloud_cover_percent: Value | None = None
    synthetic: Literal["ALL", "PART"] | None = None
    requested_date: str | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The object of ``rsgeo info --json``: every name is there, null where unknown."""
        return self.model_dump_json(indent=2)


class RasterInfo(Info):
    """A raster. ``center_*`` is the image's middle in degrees; ``gsd_*`` metres on the ground per column, per row, and as a square.

    ``transform`` is (a, b, c, d, e, f) with x = a col + b row + c, y = d col + e row + f. ``georeference_note`` says how exact it is.
    """

    kind: Literal["raster"] = "raster"
    driver: str
    width: int
    height: int
    bands: int
    dtype: str
    band_names: tuple[str | None, ...] | None
    colorinterp: tuple[str, ...]
    nodata: float | str | None
    transform: tuple[float, float, float, float, float, float]
    georeference: Kind
    georeference_note: str | None = None
    gcp_crs: str | None = None
    center_lon: float | None = None
    center_lat: float | None = None
    gsd_m: float | None = None
    gsd_col_m: float | None = None
    gsd_row_m: float | None = None
    anisotropy: float | None = None


class AreaInfo(Info):
    """An area of interest, the footprint of a STAC item, or of a product without pixels. ``centroid_*`` is the point in degrees."""

    kind: Literal["aoi", "stac", "product"]
    area_km2: float | None = None
    centroid_lon: float | None = None
    centroid_lat: float | None = None
    stated_gsd_m: float | None = None


def describe(
    path: str | Path, *, layer: str | None = None, where: str | None = None, aoi_crs: str | None = None, buffer_m: float | None = None
) -> RasterInfo | AreaInfo:
    """Describe a raster, a vector file, a STAC item, or Sentinel-2, Landsat and Planet metadata (a SAFE folder counts as its metadata).

    The keywords pick and read features of vector files. Every RsgeoWarning on the way ends in ``warnings`` of the result. Raises
    InputError for what cannot be read or has no polygons, GeoreferenceError for another celestial body.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        info = _describe(path, layer, where, aoi_crs, buffer_m)
    for other in caught:
        if not issubclass(other.category, RsgeoWarning):
            warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    said = [str(warning.message) for warning in caught if issubclass(warning.category, RsgeoWarning)]
    return info.model_copy(update={"warnings": tuple(dict.fromkeys(said))})


def _describe(path: str | Path, layer: str | None, where: str | None, aoi_crs: str | None, buffer_m: float | None) -> RasterInfo | AreaInfo:
    if os.path.isdir(path):
        metadata = products.safe_metadata(Path(path))
        return _product(metadata, products.safe_facts(metadata)) if metadata else _area(path, layer, where, aoi_crs, buffer_m)
    found = regular_file(path)
    if sniff_driver(found) is not None or found.suffix.lower() in _RASTER_SUFFIXES:
        with open_raster(path) as dataset:
            return _raster(dataset, found)
    reader = products.product_reader(found)
    if reader is not None:
        return _product(found, reader(found))
    item = products.stac_item(found)
    if item is not None:
        return _of_footprint(found.name, "stac", item, products.stac_facts(item))
    return _area(path, layer, where, aoi_crs, buffer_m)


def _raster(dataset: DatasetReader, path: Path) -> RasterInfo:
    derived = derive(dataset, path)
    tie, scene = derived.georeference, derived.scene
    try:
        if alpha_is_data(dataset):
            sentence = "Band 4 is called alpha but holds a picture, such as near infrared; it is read as data."
            warnings.warn(sentence, RsgeoWarning, stacklevel=2)
    except InputError as error:
        warnings.warn(str(error), RsgeoWarning, stacklevel=2)
    ground = tie.ground
    return RasterInfo(
        path=path.name,
        crs=crs_text(earth_crs(tie.crs)) if tie.crs is not None else None,
        bbox_lonlat=tie.bbox.as_tuple() if tie.bbox else None,
        crosses_antimeridian=tie.bbox.crosses_antimeridian if tie.bbox else None,
        date=scene.date,
        cloud_cover_percent=scene.cloud_cover_percent,
        synthetic=derived.synthetic,
        requested_date=derived.requested_date,
        driver=dataset.driver,
        width=dataset.width,
        height=dataset.height,
        bands=dataset.count,
        dtype=dataset.dtypes[0],
        band_names=dataset.descriptions if any(dataset.descriptions) else None,
        colorinterp=tuple(band.name for band in dataset.colorinterp),
        nodata=dataset.nodata if dataset.nodata is None or math.isfinite(dataset.nodata) else str(dataset.nodata),
        transform=tuple(dataset.transform)[:6],
        georeference=tie.kind,
        georeference_note=tie.note,
        gcp_crs=crs_text(earth_crs(tie.gcp_crs)) if tie.gcp_crs is not None else None,
        center_lon=ground.lon if ground else None,
        center_lat=ground.lat if ground else None,
        gsd_m=ground.gsd_m if ground else None,
        gsd_col_m=ground.gsd_col_m if ground else None,
        gsd_row_m=ground.gsd_row_m if ground else None,
        anisotropy=ground.anisotropy if ground else None,
    )


def _area(path: str | Path, layer: str | None, where: str | None, aoi_crs: str | None, buffer_m: float | None) -> AreaInfo:
    from rsgeo.geo import aoi as areas  # geopandas takes a second to load, and rasters do without

    return _of_area(Path(path).name, areas.read(path, layer=layer, where=where, crs=aoi_crs, buffer_m=buffer_m))


def _product(path: Path, facts: products.Facts) -> AreaInfo:
    name = path.parent.name if path.parent.suffix == ".SAFE" else path.name
    ring = [list(point) for point in facts.ring]
    return _of_footprint(name, "product", {"type": "Polygon", "coordinates": [ring] if ring else []}, facts)


def _of_area(name: str, aoi: AOI) -> AreaInfo:
    lon, lat = aoi.centroid
    return AreaInfo(
        path=name,
        kind="aoi",
        crs=crs_text(aoi.crs),
        bbox_lonlat=aoi.bbox_lonlat.as_tuple(),
        crosses_antimeridian=aoi.crosses_antimeridian,
        area_km2=aoi.area_km2,
        centroid_lon=lon,
        centroid_lat=lat,
    )


def _of_footprint(name: str, kind: Literal["stac", "product"], geojson: Mapping[str, Any], facts: products.Facts) -> AreaInfo:
    outline = footprint(geojson, name)
    area = _of_area(name, outline) if outline else AreaInfo(path=name, kind=kind)
    return area.model_copy(
        update={
            "kind": kind,
            "date": facts.date,
            "cloud_cover_percent": facts.cloud_cover_percent,
            "synthetic": facts.synthetic,
            "requested_date": facts.requested_date,
            "stated_gsd_m": facts.stated_gsd,
        }
    )
