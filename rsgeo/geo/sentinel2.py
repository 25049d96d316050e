"""Sentinel-2's bands: their names in files and catalogues, and what products hold of them.

Bands go by their common names (STAC eo extension 2.0) everywhere else, so that the red of a Sentinel-2 scene and that of an aerial picture are one.
"""

from __future__ import annotations

import re

COMMON_NAME = {
    "B01": "coastal",
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B05": "rededge071",
    "B06": "rededge075",
    "B07": "rededge078",
    "B08": "nir",
    "B8A": "nir08",
    "B09": "nir09",
    "B10": "cirrus",
    "B11": "swir16",
    "B12": "swir22",
}
"""The thirteen bands in the order of Level-1C, with the common name of each."""

BY_COUNT = {
    13: tuple(COMMON_NAME),
    12: tuple(band for band in COMMON_NAME if band != "B10"),  # Level-2A has no cirrus band
    10: ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"),
    4: ("B02", "B03", "B04", "B08"),
}
"""What rasters of so many bands without names hold, as a rule: L1C, L2A, all bands of 10 and 20 m, those of 10 m."""

_BAND = {common: band for band, common in COMMON_NAME.items()}
# Names that catalogues and services used before the eo extension 2.0.
_ALIASES = {
    "aerosol": "coastal",
    "aerosols": "coastal",
    "rededge1": "rededge071",
    "rededge2": "rededge075",
    "rededge3": "rededge078",
    "rededge4": "nir08",
    "rededge70": "rededge071",
    "rededge74": "rededge075",
    "rededge78": "rededge078",
    "nir1": "nir",
    "nir2": "nir08",
    "nira": "nir08",
    "narrownir": "nir08",
    "nirnarrow": "nir08",
    "watervapour": "nir09",
    "watervapor": "nir09",
    "wv": "nir09",
    "swir1": "swir16",
    "swir2": "swir22",
    "r": "red",
    "g": "green",
    "b": "blue",
}
_CODE = re.compile(r"(?:^|[^A-Z0-9])B(0?[1-9]|1[0-2]|8A)(?=$|[^A-Z0-9])")


def common_name(text: str | None) -> str | None:
    """The common name of a band that is called ``B02``, ``B2``, ``B8A, central wavelength 865 nm``, ``T33_B04_10m``, ``Blue``, ``red edge 1`` ...

    None for every other name.
    """
    if not text:
        return None
    found = _CODE.search(text.upper())
    if found is not None:
        return COMMON_NAME["B" + found[1].rjust(2, "0")]
    plain = re.sub(r"[^a-z0-9]", "", text.lower())
    plain = _ALIASES.get(plain, plain)
    return plain if plain in _BAND else None


def in_words(common: str) -> str:
    """A band as people say it: "B04 (red)"."""
    return f"{_BAND[common]} ({common})" if common in _BAND else common
