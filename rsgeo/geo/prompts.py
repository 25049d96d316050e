"""Prompts by polygon: an attribute of a vector layer says what shall be where."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas
import shapely
from shapely.geometry import shape

from rsgeo.errors import InputError, RsgeoWarning
from rsgeo.geo import grid
from rsgeo.geo.aoi import AOI
from rsgeo.geo.raster_open import regular_file
from rsgeo.request import GridRecord, PromptRegion

_LARGEST_MAP = 2**20
_SHOWN = 5


def regions(layer: AOI, field: str, words: Mapping[str, str] | None, cells: GridRecord, reach_px: int) -> tuple[PromptRegion, ...]:
    """One region a prompt: the features of ``layer`` within ``reach_px`` of a grid, dissolved by what their attribute ``field`` asks for.

    ``words`` says which prompt a value stands for; without it the value is the prompt. Features without a value, or with one that ``words``
    does not know (an RsgeoWarning), are left to the request's own prompt. Regions come in the order of their prompts.

    Raises InputError if no such attribute is there.
    """
    features = layer.features
    names = [] if features is None else [str(name) for name in features.columns if name != features.geometry.name]
    if features is None or field not in names:
        there = f"it has {', '.join(names)}" if names else "it has none"
        raise InputError(f"{layer.name} has no attribute {field!r} for prompts; {there}.")
    near = _near(cells, reach_px)
    by_prompt: dict[str, list[Any]] = {}
    unknown: set[str] = set()
    for value, geometry in zip(features[field], features.geometry, strict=True):
        text = _text(value)
        if text and words is not None and text not in words:
            unknown.add(text)
            continue
        prompt = words[text] if text and words is not None else text
        if prompt and (near is None or AOI(geometry, layer.crs).lonlat.intersects(near)):
            by_prompt.setdefault(prompt, []).append(geometry)
    if unknown:
        listed = ", ".join(sorted(unknown)[:_SHOWN]) + (f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else "")
        warnings.warn(f"The prompt map says nothing of {field} {listed}; --prompt is taken there.", RsgeoWarning, stacklevel=3)
    return tuple(
        PromptRegion(prompt=prompt, area=AOI(shapely.union_all(parts), layer.crs, name=f"the region {prompt!r}").to_record())
        for prompt, parts in sorted(by_prompt.items())
    )


def read_map(source: str | Path | Mapping[str, str]) -> dict[str, str]:
    """What prompt each attribute value stands for: a mapping, or a JSON file of one. Raises InputError if it is none."""
    if isinstance(source, Mapping):
        values: Any = dict(source)
    else:
        file = regular_file(source)
        if file.stat().st_size > _LARGEST_MAP:
            raise InputError(f"{source} is too large to be a prompt map.")
        try:
            values = json.loads(file.read_bytes())
        except (ValueError, RecursionError) as error:
            raise InputError(f'{source} is no JSON; write a prompt map as {{"value": "prompt", ...}}.') from error
    if not isinstance(values, dict) or not all(isinstance(prompt, str) for prompt in values.values()):
        raise InputError(f'{source} is no prompt map; write {{"value": "prompt", ...}}.')
    return {str(value): prompt.strip() for value, prompt in values.items()}


def _near(cells: GridRecord, reach_px: int) -> Any:
    """The grid, grown, as a polygon in degrees; None where that cannot be told."""
    grown = grid.window(cells, -reach_px, -reach_px, cells.height + 2 * reach_px, cells.width + 2 * reach_px)
    outline = grid.footprint_lonlat(grown)
    # The outline's sides are straight between 21 points: a little more is taken for their bend.
    return None if outline is None else shapely.buffer(shape(outline), 0.01 * max(*(b - a for a, b in _spans(outline)), 1e-6))


def _spans(outline: Mapping[str, Any]) -> list[tuple[float, float]]:
    left, bottom, right, top = shape(outline).bounds
    return [(left, right), (bottom, top)]


def _text(value: Any) -> str:
    """An attribute's value as text: whole numbers without a decimal point, nothing for null."""
    if value is None or pandas.isna(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
