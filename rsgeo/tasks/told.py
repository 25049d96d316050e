"""What a model is told of a scene: what training taught it, as the numbers that its network is fed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from rsgeo import encoding
from rsgeo.geo.info import AreaInfo, RasterInfo
from rsgeo.hub.catalog import CatalogRecord
from rsgeo.scene import SceneMetadata, Value

FieldName = Literal["place", "gsd", "date", "cloud_cover"]

_OF_THE_ENCODING: dict[str, dict[FieldName, tuple[str, ...]]] = {
    "sinusoid": {"place": ("lon", "lat"), "gsd": ("gsd",), "date": ("year", "month", "day"), "cloud_cover": ("cloud_cover",)},
    "rsgeo": {"place": ("place",), "gsd": ("gsd",), "date": ("date",), "cloud_cover": ("cloud_cover",)},
}
_RAW: dict[FieldName, tuple[str, ...]] = {"place": ("lon", "lat"), "gsd": ("gsd",), "date": ("date",), "cloud_cover": ("cloud_cover_percent",)}


class ToldField(BaseModel):
    """One field: its raw values with their sources (null: unknown), whether training taught it, and what the network is fed.

    ``seen`` are the raw values that are encoded: null where unknown, not taught or outside of the trained region; a GSD beyond the trained range is
    the range's end. ``encoded`` are numbers by their names in the encoding, null where the network puts a vector that it learned.
    ``unknown_reads_as`` says what an unknown field is to the network; it is set where this one is unknown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: FieldName
    raw: dict[str, Any]
    taught: bool
    seen: dict[str, Any]
    encoded: dict[str, float | list[float] | None]
    unknown_reads_as: str | None


class Told(BaseModel):
    """What a model is told of a file (the object ``for_model`` of ``rsgeo info --json --for-model``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    encoding: Literal["rsgeo", "sinusoid"]
    fields: tuple[ToldField, ...]


def seen(scene: SceneMetadata, record: CatalogRecord) -> SceneMetadata:
    """Of a scene what the model may know: fields that it was taught, a place in its region, a GSD moved into its range; all else is unknown."""
    taught, gsd = record.trained_fields, scene.gsd
    placed = "place" in taught and scene.lon is not None and scene.lat is not None and in_region(scene.lon.value, scene.lat.value, record)
    if gsd is not None and record.gsd_range is not None:
        finest, coarsest = record.gsd_range
        gsd = gsd.model_copy(update={"value": min(max(gsd.value, finest), coarsest)})
    return SceneMetadata(
        lon=scene.lon if placed else None,
        lat=scene.lat if placed else None,
        gsd=gsd if "gsd" in taught else None,
        date=scene.date if "date" in taught else None,
        cloud_cover_percent=scene.cloud_cover_percent if "cloud_cover" in taught else None,
    )


def in_region(lon: float, lat: float, record: CatalogRecord) -> bool:
    """Whether a place (degrees) lies in the region that the model was trained on."""
    if record.trained_region is None:
        return True
    west, south, east, north = record.trained_region
    return west <= lon <= east and south <= lat <= north


def told(found: RasterInfo | AreaInfo, record: CatalogRecord) -> Told:
    """What a model would be told of a described file: raw and encoded values by field."""
    scene = scene_of(found)
    shown = seen(scene, record)
    encoded = encoding.explain(shown, record.encoding)
    fields = []
    for name, numbers in _OF_THE_ENCODING[record.encoding].items():
        raw, given = ({part: getattr(of, part) for part in _RAW[name]} for of in (scene, shown))
        unknown = any(value is None for value in given.values())
        fields.append(
            ToldField(
                name=name,
                raw={part: None if value is None else value.model_dump() for part, value in raw.items()},
                taught=name in record.trained_fields,
                seen={part: None if value is None else value.value for part, value in given.items()},
                encoded={number: encoded[number] for number in numbers},
                unknown_reads_as=encoding.UNKNOWN_READS_AS[record.encoding][name] if unknown else None,
            )
        )
    return Told(model=record.name, encoding=record.encoding, fields=tuple(fields))


def scene_of(found: RasterInfo | AreaInfo) -> SceneMetadata:
    """Place, GSD, date and cloud cover of a described file; the place is its middle."""
    if isinstance(found, RasterInfo):
        lon, lat, gsd, source = found.center_lon, found.center_lat, found.gsd_m, "centre"
    else:
        lon, lat, gsd, source = found.centroid_lon, found.centroid_lat, found.stated_gsd_m, "centroid"
    return SceneMetadata(
        lon=_value(lon, source),
        lat=_value(lat, source),
        gsd=_value(gsd, source if isinstance(found, RasterInfo) else "stated"),
        date=found.date,
        cloud_cover_percent=found.cloud_cover_percent,
    )


def _value(number: float | None, source: str) -> Value | None:
    return None if number is None else Value(value=number, source=source)
