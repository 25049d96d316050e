"""Extend: continue a raster over more ground, a synthetic one from the request stored in it, any other from its pixels."""

from __future__ import annotations

import warnings
from dataclasses import fields, replace
from pathlib import Path

import shapely
from shapely.geometry import Polygon

from rsgeo.errors import AreaError, InputError, RsgeoWarning
from rsgeo.geo import aoi as aois
from rsgeo.geo import grid, lonlat, provenance
from rsgeo.geo.aoi import AOI
from rsgeo.geo.crs import parse_crs
from rsgeo.geo.raster_open import open_raster
from rsgeo.geo.raster_read import PlacedImage, pixels_sha256
from rsgeo.request import Ask, GridRecord
from rsgeo.runtime import Result, Runtime
from rsgeo.synthesis import phases
from rsgeo.synthesis.blocks import valid_rows
from rsgeo.tasks import making
from rsgeo.tasks.generate import run
from rsgeo.tasks.inpaint import with_known
from rsgeo.tasks.resolve import Resolved, area_of, regions_of, resolve

_ROWS_AT_ONCE = 1024
_NOT_OF_REAL = ("like", "from_file", "request_file", "crs", "gsd", "resolution", "references", "mask", "mask_values")
_ASKED = {"aoi", "bounds", "layer", "where", "aoi_crs", "buffer_m", "prompt_field", "prompt_map", "prompt_layer", "max_pixels", "model_anyway"}


def extend(existing: str | Path, ask: Ask, out: str | Path | None = None, runtime: Runtime | None = None) -> Result:
    """The raster ``existing`` and, beyond it, the area of ``ask``, in one image: old pixels unchanged.

    What a raster is, its marks say. To a synthetic one the ask may say the area, the limits and the prompt layer; all else is as it was, and new
    pixels are of the same world. Any other, partly synthetic ones included, keeps its pixels bit for bit, as in `rsgeo.tasks.inpaint`; then the ask
    may say whatever a picture is made from but its grid. Raises InputError when it says more or the file was written with ``--private``, and
    whatever `generate` raises.
    """
    return run(resolve_extension(Path(existing), ask), None if out is None else Path(out), runtime or Runtime())


def resolve_extension(existing: Path, ask: Ask) -> Resolved:
    """The request for the raster and the new area together, and the raster's pixels as known."""
    with open_raster(existing) as dataset:
        synthetic = provenance.synthetic_state(dataset)
    return _of_synthetic(existing, ask) if synthetic == "ALL" else _of_real(existing, ask)


def _of_real(existing: Path, ask: Ask) -> Resolved:
    for name in _NOT_OF_REAL:
        if getattr(ask, name) != getattr(Ask, name):
            words = name.replace("_", "-")
            raise InputError(f"The grid that goes on is that of {existing.name}, and all its pixels stay; leave out --{words}.")
    more = area_of(ask, None)
    if more is None:
        raise AreaError("Say where to continue: --aoi FILE or --bounds W S E N.")
    base = resolve(replace(ask, like=existing, bands=(), prompt_field=None, prompt_layer=None, prompt_map=None), task="extend")
    cells, kept = grid.grown(base.request.grid, more), aois.from_record(more.to_record())
    grid.check_size(cells, None, ask.max_pixels)  # an area far off would be mostly nothing in between
    regions = regions_of(ask, None, cells, phases.plan_halo(base.request.synthesis, base.record.scale))
    request = base.request.model_copy(update={"grid": cells, "aoi": more.to_record(), "regions": regions})
    resolved = with_known(replace(base, request=request, aoi=kept), existing, ask.bands, None, None)
    _check_asks_for_more(resolved, more, existing)
    return resolved


def _of_synthetic(existing: Path, ask: Ask) -> Resolved:
    for field in fields(ask):
        if field.name not in _ASKED and getattr(ask, field.name) != field.default:
            raise InputError(f"{field.name} is what it was in {existing.name} when that is continued; leave it out, for the image is synthetic.")
    stored = provenance.read_request(existing)
    before = resolve(Ask(from_file=existing, model_anyway=ask.model_anyway, max_pixels=ask.max_pixels))
    old, more = before.request, area_of(ask, None)
    if more is None:
        raise AreaError("Say where to continue: --aoi FILE or --bounds W S E N.")
    if stored.run.get("pixels_sha256") != pixels_sha256(existing):
        words = f"{existing.name} was changed after it was written; it is continued as it is, but its request would not make it again."
        warnings.warn(words, RsgeoWarning, stacklevel=3)
    cells = grid.grown(old.grid, more)
    whole = _together(before.aoi or _outline(old.grid), more).to_record()
    regions = regions_of(ask, old, cells, phases.plan_halo(old.synthesis, before.record.scale))
    if old.regions and ask.prompt_field is None:
        words = f"Only the polygons near {existing.name} are stored in it; give --prompt-field and --prompt-layer again for prompts beyond them."
        warnings.warn(words, RsgeoWarning, stacklevel=3)
    request = old.model_copy(update={"grid": cells, "aoi": whole, "regions": regions})
    kept = aois.from_record(whole)
    grid.check_size(cells, kept, ask.max_pixels)
    known = PlacedImage(existing, old.grid.row - cells.row, old.grid.col - cells.col, (len(old.bands), old.grid.height, old.grid.width))
    resolved = replace(before, request=request, aoi=kept, known=known)
    _check_asks_for_more(resolved, more, existing)
    return resolved


def _check_asks_for_more(resolved: Resolved, more: AOI, existing: Path) -> None:
    if not any(rows.any() for _, rows in valid_rows(resolved.request.grid, making.valid_pixels(resolved), _ROWS_AT_ONCE)):
        raise AreaError(f"{more.name} asks for nothing beyond {existing.name}; give a larger area.")


def _together(old: AOI, more: AOI) -> AOI:
    """Both areas as one, in the CRS of the old."""
    moved = more.geometry
    if more.crs != old.crs:
        moved = lonlat.transform(lonlat.densify(more.geometry, more.crs), more.crs, old.crs)
    parts = lonlat.polygons(lonlat.repair(shapely.union_all([old.geometry, moved])))
    return AOI(shapely.union_all(parts), old.crs, name=more.name)


def _outline(cells: GridRecord) -> AOI:
    """The rectangle of a grid as an area in its CRS."""
    a, b, c, d, e, f = grid.geobox(cells).affine[:6]
    corners = [(0, 0), (cells.width, 0), (cells.width, cells.height), (0, cells.height)]
    return AOI(Polygon([(a * x + b * y + c, d * x + e * y + f) for x, y in corners]), parse_crs(cells.crs), name="grid")
