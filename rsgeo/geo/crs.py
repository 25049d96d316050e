"""Coordinate systems: in and out of text, and to longitude and latitude."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

from pyproj import CRS, Transformer
from pyproj.crs import ProjectedCRS
from pyproj.crs.coordinate_operation import LambertAzimuthalEqualAreaConversion
from pyproj.exceptions import CRSError

from rsgeo.errors import CrsError, GeoreferenceError
from rsgeo.geo.measure import earth_crs

WGS84 = CRS.from_epsg(4326)


def parse_crs(text: Any) -> CRS:
    """A horizontal coordinate system of the Earth from a code ("EPSG:32633", "32633"), WKT, PROJ text or any CRS object.

    Compound and 3-D systems give their horizontal part. Raises CrsError for what is unknown, vertical, geocentric or on another body.
    """
    if isinstance(text, str):
        text = text.strip()
        if text.isdigit():
            text = f"EPSG:{text}"
    try:
        crs = earth_crs(text).to_2d()
    except GeoreferenceError as error:
        if isinstance(error.__cause__, CRSError) and isinstance(text, str) and text[:5].upper() == "EPSG:":
            raise CrsError(f"EPSG:{text[5:25]} is not a known code; give one such as EPSG:32633.") from error
        raise CrsError(str(error)) from error
    if not (crs.is_geographic or crs.is_projected):
        raise CrsError(f'"{crs.name}" is no map coordinate system ({crs.type_name}); give one such as EPSG:32633.')
    return crs


@lru_cache(maxsize=64)
def cached_crs(text: str) -> CRS:
    """`parse_crs` of text met again and again."""
    return parse_crs(text)


@lru_cache(maxsize=64)
def crs_text(crs: CRS) -> str:
    """Authority code ("EPSG:32633"), or WKT2:2019 where no code means the same system."""
    code = crs.to_authority(min_confidence=70)
    if code is not None:
        # Names differ more often than systems do: a weak match counts if PROJ computes the same with it.
        known = CRS.from_authority(*code)
        if known == crs or _proj_text(known) == _proj_text(crs):
            return ":".join(code)
    return str(crs.to_wkt("WKT2_2019"))


def is_degrees(crs: CRS) -> bool:
    """Whether coordinates are degrees of longitude from Greenwich and latitude."""
    return bool(
        crs.is_geographic
        and crs.prime_meridian is not None
        and crs.prime_meridian.longitude == 0
        and all(axis.unit_name == "degree" for axis in crs.axis_info)
    )


def metres_per_unit(crs: CRS) -> float:
    """Nominal metres in one unit of a CRS; for degrees, along a meridian."""
    axis = crs.axis_info[0]
    if crs.is_geographic:
        return float(axis.unit_conversion_factor) * 6_371_000.0
    return float(axis.unit_conversion_factor)


def local_equal_area(lon: float, lat: float) -> CRS:
    """Lambert's azimuthal equal-area projection on WGS 84 around a point in degrees, in metres."""
    conversion = LambertAzimuthalEqualAreaConversion(latitude_natural_origin=lat, longitude_natural_origin=lon)
    return ProjectedCRS(conversion, name=f"WGS 84 / LAEA {lat:g} {lon:g}", geodetic_crs=WGS84)


def local_equidistant(lon: float, lat: float) -> CRS:
    """The azimuthal equidistant projection on WGS 84 around a point in degrees, in metres."""
    return CRS.from_proj4(f"+proj=aeqd +lat_0={lat!r} +lon_0={lon!r} +datum=WGS84 +units=m +no_defs")


@lru_cache(maxsize=64)
def transformer(source: CRS, target: CRS = WGS84) -> Transformer:
    """Coordinates of ``source`` to ``target``, x (longitude) first on both sides."""
    return Transformer.from_crs(source, target, always_xy=True)


def _proj_text(crs: CRS) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # PROJ text loses names, which is what is wanted here
        return str(crs.to_proj4())
