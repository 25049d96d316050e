"""Values of a scene as they are wished for, where no place or raster says them."""

from __future__ import annotations

import math
from typing import Any

from rsgeo.errors import InputError
from rsgeo.geo import derive
from rsgeo.scene import Value

UNKNOWN = "unknown"

_LIMITS = {"gsd": (1e-3, 1e5), "lon": (-180.0, 180.0), "lat": (-90.0, 90.0), "cloud_cover_percent": (0.0, 100.0)}


def value_of(field: str, value: str | float) -> Any:
    """A value of a field as `rsgeo.scene.SceneMetadata` holds it: of metres, degrees, percent or a date; None of "unknown".

    Raises:
        InputError: it is none.
    """
    if value == UNKNOWN:
        return None
    if field == "date":
        return derive.parse_requested_date(str(value))
    low, high = _LIMITS[field]
    try:
        number = float(value)
    except ValueError as error:
        raise InputError(f"{value!r} is no value of {field}; give a number, or {UNKNOWN!r}.") from error
    if not (math.isfinite(number) and low <= number <= high):
        raise InputError(f"{field} must be from {low:g} to {high:g}, got {value}.")
    return Value(value=number, source="option")
