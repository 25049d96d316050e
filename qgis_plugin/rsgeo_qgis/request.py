"""From what was typed or drawn to what the worker is asked: plain values only, no QGIS. All numbers of place and time are rsgeo's to derive."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

SCHEMA_VERSION = 1
PREVIEW_PX = 256
DEFAULT_MODEL = "rsgeo-mini"

Fields = dict[str, Any]


def area_file(path: str, layer: str) -> Fields:
    """The area of a layer of a vector file."""
    return {"aoi": path, "layer": layer}


def area_wkt(wkt: str, crs: str) -> Fields:
    """The area of a short geometry in a CRS (authority code or WKT2)."""
    return {"aoi": wkt, "aoi_crs": crs}


def area_bounds(west: float, south: float, east: float, north: float, crs: str) -> Fields:
    """A rectangle in its own CRS: of a rectangle on the map, this keeps the shape."""
    return {"bounds": [west, south, east, north], "aoi_crs": crs}


def prompts(path: str, layer: str, field: str) -> Fields:
    """Prompts by polygon: the attribute of a layer that says what shall be where."""
    return {"prompt_field": field, "prompt_layer": {"path": path, "layer": layer}}


def generate(
    area: Fields,
    *,
    prompt: str = "",
    negative_prompt: str = "",
    by_polygon: Fields | None = None,
    gsd_m: float | None = None,
    crs: str | None = None,
    date: str | None = None,
    cloud_cover: float | None = None,
    seed: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    model: str | None = None,
) -> Fields:
    """A new image of an area. None and empty text leave to rsgeo what it takes; ``date`` is YYYY-MM-DD, ``cloud_cover`` percent."""
    typed = {
        **area,
        **(by_polygon or {}),
        "prompt": prompt.strip() or None,
        "negative_prompt": negative_prompt.strip() or None,
        "gsd": None if gsd_m is None else decimal(gsd_m),
        "crs": crs,
        "date": date,
        "cloud_cover": cloud_cover,
        "seed": seed,
        "num_inference_steps": steps,
        "guidance_scale": guidance,
        "model": model or None,
    }
    return _request("generate", ask=_said(typed))


def extend(existing: str, area: Fields, by_polygon: Fields | None = None) -> Fields:
    """More ground for an image, whose pixels stay; of one that rsgeo made all but the area is as it was."""
    return _request("extend", ask=_said({**area, **(by_polygon or {})}), existing=existing)


def superres(
    references: list[str],
    gsd_m: float,
    area: Fields | None = None,
    *,
    prompt: str = "",
    bands: str = "",
    radiometry: str | None = None,
    seed: int | None = None,
    steps: int | None = None,
    model: str | None = None,
) -> Fields:
    """A finer picture of a raster or Sentinel-2 product; ``bands`` names those of a raster between commas."""
    typed = {
        **(area or {}),
        "gsd": decimal(gsd_m),
        "prompt": prompt.strip() or None,
        "band_names": names(bands) or None,
        "radiometry": radiometry,
        "seed": seed,
        "num_inference_steps": steps,
        "model": model or None,
    }
    return _request("superres", ask=_said(typed), references=references)


def predict(
    series: list[str],
    date: str,
    area: Fields | None = None,
    *,
    dates: str = "",
    truth: str | None = None,
    prompt: str = "",
    bands: str = "",
    radiometry: str | None = None,
    seed: int | None = None,
    steps: int | None = None,
    model: str | None = None,
) -> Fields:
    """A dated series at another date; ``dates`` are those of the images between commas, where these do not say them."""
    typed = {
        **(area or {}),
        "date": date,
        "reference_dates": names(dates) or None,
        "prompt": prompt.strip() or None,
        "band_names": names(bands) or None,
        "radiometry": radiometry,
        "seed": seed,
        "num_inference_steps": steps,
        "model": model or None,
    }
    return _request("predict", ask=_said(typed), references=series, **({} if truth is None else {"truth": truth}))


def names(text: str) -> list[str]:
    """Words between commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def mask_area(path: str, layer: str) -> Fields:
    """The pixels in the area of a layer of a vector file."""
    return {"mask": path, "layer": layer}


def mask_raster(path: str, values: str = "") -> Fields:
    """The pixels that a raster marks, by any of the ``values`` (whole numbers between commas), or by anything but 0."""
    return {"mask": path, "mask_values": whole_numbers(values) or None}


def mask_nodata() -> Fields:
    """The pixels without data."""
    return {"mask": "nodata"}


def whole_numbers(text: str) -> list[int] | None:
    """Whole numbers between commas; None for anything else."""
    try:
        return [int(part) for part in text.split(",")] if text.strip() else []
    except ValueError:
        return None


def inpaint(raster: str, mask: Fields, *, prompt: str = "", seed: int | None = None, steps: int | None = None, model: str | None = None) -> Fields:
    """A raster with the pixels made anew that ``mask`` says; None and empty text leave to rsgeo what it takes."""
    typed = {**mask, "prompt": prompt.strip() or None, "seed": seed, "num_inference_steps": steps, "model": model or None}
    return _request("inpaint", ask=_said(typed), raster=raster)


def references(asked: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    """The files that the complete request of a result needs to be given again: what was seen, the raster whose pixels stay, a mask that is one."""
    stored = (result.get("request") or {}).get("references") or []
    files = [asked[name] for name in ("raster", "existing") if name in asked] + list(asked.get("references", ())) if stored else []
    mask = (stored[0].get("mask") or {}) if stored else {}
    return [*files, asked["ask"]["mask"]] if mask.get("kind") == "raster" else files


def with_seed(request: Mapping[str, Any], seed: int) -> Fields:
    """The same request for another world."""
    return {**request, "ask": {**request["ask"], "seed": seed}}


def preview(x: float, y: float, crs: str) -> Fields:
    """The square of `PREVIEW_PX` pixels of the full run's grid around a point."""
    return {"preview": {"x": x, "y": y, "crs": crs, "size": PREVIEW_PX}}


def runtime(device: str = "auto", *, stay: bool = False) -> Fields:
    """On what to run, and whether the worker stays when it is cancelled. QGIS asks before it overwrites, so an existing file is replaced."""
    return {"runtime": {"device": device or "auto", "overwrite": True, "on_cancel": "stay" if stay else "exit"}}


def decimal(value: float) -> str:
    """A number as decimal text, without the noise of its binary form: 0.3 is 0.3, 10.0 is 10."""
    return format(value, ".15g")


def request_path(output: str) -> str:
    """Where the complete request of an output lies: NAME.request.json beside NAME.tif."""
    return os.path.splitext(output)[0] + ".request.json"


def command_line(request_file: str, output: str, windows: bool, references: Sequence[str] = ()) -> str:
    """The command that makes the same pixels outside QGIS, quoted for the system's shell."""
    again = [word for path in references for word in ("--reference", path)]
    words = ["rsgeo", "generate", "--request", request_file, *again, output]
    return " ".join(f'"{word}"' if " " in word else word for word in words) if windows else shlex.join(words)


def _request(task: str, **fields: Any) -> Fields:
    return {"schema_version": SCHEMA_VERSION, "task": task, **fields}


def _said(fields: Mapping[str, Any]) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}
