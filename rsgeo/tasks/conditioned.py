"""What tasks with condition images share: images that are given become references of a request."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np

from rsgeo.errors import AreaError, InputError, ModelError, RsgeoWarning
from rsgeo.geo import derive, grid, looks, nested, optical, reference
from rsgeo.geo.aoi import AOI
from rsgeo.geo.optical import Optical
from rsgeo.geo.seen_raster import SeenRaster
from rsgeo.geo.warp import Resampling
from rsgeo.hub.catalog import CatalogRecord
from rsgeo.hub.records import Condition
from rsgeo.request import Ask, GridRecord, Reference, RequestedScene
from rsgeo.scene import DateValue, Value

Role = Literal["low_res", "series"]

_NOT_FINER = 0.99
_PROBES = 64
_LITTLE = 0.5


@dataclass(frozen=True)
class Given:
    """An image that was given: ``names`` are the bands that the model sees of it, ``cells`` the grid of the finest of these."""

    image: Optical
    names: tuple[str, ...]
    cells: GridRecord
    sha256: str
    date: DateValue | None

    @property
    def gsd_m(self) -> float:
        """Metres on the ground a pixel of ``cells``."""
        return grid.ground(self.cells).gsd_m


def condition_of(record: CatalogRecord) -> Condition:
    """What the model sees. Raises ModelError where its record does not say so."""
    if record.condition is None:
        raise ModelError(f"The record of {record.name} does not say what images it sees; add a condition to its meta.json.")
    return record.condition


def given(paths: Sequence[str | Path], ask: Ask, condition: Condition) -> list[Given]:
    """The images at ``paths`` as the model may see them.

    Raises InputError where there is none, one is given twice, bands are missing or nothing can be read, GeoreferenceError where one has no grid.
    """
    if not paths:
        raise InputError("Give the images to start from.")
    if ask.reference_dates and len(ask.reference_dates) != len(paths):
        raise InputError(f"There are {len(paths)} references and {len(ask.reference_dates)} dates of them; give a date for each, in their order.")
    names = looks.names_of(condition.bands)
    found: list[Given] = []
    for number, path in enumerate(paths):
        image = optical.read(path, radiometry=ask.radiometry, bands=ask.band_names or None)
        finest = min((reference.grid_of(place) for place in {source.image for source in image.of(names)}), key=lambda cells: grid.ground(cells).gsd_m)
        sha256 = optical.sha256(path)
        twin = next((other for other in found if other.sha256 == sha256), None)
        if twin is not None:
            raise InputError(f"{image.name} and {twin.image.name} are the same file; give each reference once.")
        date = derive.parse_requested_date(ask.reference_dates[number]) if ask.reference_dates else image.scene.date
        found.append(Given(image, names, finest, sha256, date))
    levels = {one.image.level for one in found} - {None}
    if len(levels) > 1:
        words = "The references are of Level-1C and of Level-2A; above and below the atmosphere colours differ, and so will the result."
        warnings.warn(words, RsgeoWarning, stacklevel=3)
    return found


def scene_of(ask: Ask) -> RequestedScene:
    """The date and clouds that are said. Raises InputError where they are none."""
    if ask.cloud_cover is not None and not 0.0 <= ask.cloud_cover <= 100.0:
        raise InputError(f"Cloud cover is a percentage from 0 to 100, got {ask.cloud_cover:g}.")
    return RequestedScene(
        date=None if ask.date is None else derive.parse_requested_date(ask.date),
        cloud_cover_percent=None if ask.cloud_cover is None else Value(value=ask.cloud_cover, source="option"),
    )


def references_of(images: Sequence[Given], role: Role, record: CatalogRecord, cells: GridRecord, scene: RequestedScene) -> tuple[Reference, ...]:
    """What a request says of its images, for a target grid and the scene that is wished for.

    Raises InputError, naming it, for an image that shows nothing of the grid.
    """
    condition = condition_of(record)
    seen_gsd_m = grid.ground(cells).gsd_m * condition.scale
    found = tuple(reference_of(one, role, condition, seen_gsd_m, scene) for one in images)
    for one, image in zip(found, images, strict=True):
        _check_overlap(one, image, cells)
    return found


def reference_of(one: Given, role: Role, condition: Condition, seen_gsd_m: float, scene: RequestedScene) -> Reference:
    """What a request says of one image, which the model sees at ``seen_gsd_m`` metres a pixel."""
    own_gsd, target = Value(value=round(one.gsd_m, 6), source="pixels"), condition.metadata == "target"
    told_gsd = None if condition.gsd is None else Value(value=condition.gsd, source="the model's rule")
    # Pixels of the same size are averaged too: those that do not quite nest are then weighted by area.
    resampling: Resampling = "average" if seen_gsd_m >= _NOT_FINER * one.gsd_m else "bilinear"
    return Reference(
        role=role,
        sha256=one.sha256,
        name=one.image.name,
        bands=one.image.numbers_of(one.names),
        stretch=looks.stretch_of(one.image, one.names, condition.radiometry),
        resampling=resampling,
        gsd=told_gsd or own_gsd,
        date=scene.date if target else one.date,
        cloud_cover_percent=scene.cloud_cover_percent if target else one.image.scene.cloud_cover_percent,
    )


def _check_overlap(one: Reference, image: Given, cells: GridRecord) -> None:
    """Looks at the grid's pixels, or at every n-th of many."""
    step = max(1, -(-max(cells.height, cells.width) // _PROBES))
    raster = SeenRaster(image.image.path, one, cells, factor=step, resampling="nearest")
    _, mask = raster.read(cells.row // step, cells.col // step, -(-cells.height // step), -(-cells.width // step))
    if not mask.any():
        raise InputError(f"{one.name} shows nothing of the area; leave it out, or choose an area that it covers.")
    share = float(np.mean(mask))
    if share < _LITTLE and one.role == "series":
        warnings.warn(f"{one.name} shows {100 * share:.0f} % of the area only.", RsgeoWarning, stacklevel=4)


def cut_to_area(cells: GridRecord, area: AOI | None) -> GridRecord:
    """What of a grid an area needs. Raises AreaError where they have nothing in common."""
    if area is None:
        return cells
    part = nested.common(cells, grid.covering(cells, area))
    if part is None:
        raise AreaError(f"{area.name} lies beyond the reference; give an area that it covers.")
    return part


def check_asked(ask: Ask, allowed: frozenset[str], task: str) -> None:
    """Raises InputError for a field of the ask that does not go with a task."""
    for field in fields(ask):
        if field.name not in allowed and getattr(ask, field.name) != field.default:
            raise InputError(f"{field.name} does not go with {task}; leave it out.")


WISHES = frozenset({
    "aoi", "bounds", "layer", "where", "aoi_crs", "buffer_m", "cloud_cover", "date", "prompt", "negative_prompt", "prompt_field", "prompt_map",
    "prompt_layer", "seed", "samples", "samples_as", "num_inference_steps", "guidance_scale", "scheduler", "plan", "model", "adapters", "max_pixels",
    "radiometry", "band_names", "reference_dates", "gsd",
})  # fmt: skip
"""Fields of an ask that go with every task of condition images."""
