"""What is known of a scene before any model sees it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Precision = Literal["month", "day", "second"]


class Value(BaseModel):
    """A number and where it came from."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    value: float
    source: str


class DateValue(BaseModel):
    """An ISO 8601 date or UTC time, how exact it is, and where it came from.

    ``value`` is ``YYYY-MM`` for precision "month", ``YYYY-MM-DD`` for "day", ``YYYY-MM-DDTHH:MM:SS[.ffffff]Z`` for "second".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: str
    precision: Precision
    source: str


class SceneMetadata(BaseModel):
    """Place, ground sample distance, date and cloud cover of one scene or window.

    ``None`` is unknown, never 0. ``lon`` in [-180, 180) and ``lat`` in degrees (WGS 84), ``gsd`` in metres per pixel
    on the ground at the centre, ``cloud_cover_percent`` from 0 to 100.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    lon: Value | None = None
    lat: Value | None = None
    gsd: Value | None = None
    date: DateValue | None = None
    cloud_cover_percent: Value | None = Field(default=None)
