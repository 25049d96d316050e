"""Inpaint: make some pixels of a raster anew, between all others, which stay bit for bit."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from rasterio.enums import ColorInterp

from rsgeo.errors import AreaError, InputError, RsgeoWarning
from rsgeo.geo import aoi as aois
from rsgeo.geo import grid
from rsgeo.geo.known_raster import KnownRaster
from rsgeo.geo.layout import Layout
from rsgeo.geo.optical import sha256
from rsgeo.geo.raster_open import open_raster, regular_file, sniff_driver
from rsgeo.request import COLOURS, MOST_GROWTH_PX, Ask, GridRecord, MaskRecord, Reference
from rsgeo.runtime import Result, Runtime
from rsgeo.tasks import known_colours
from rsgeo.tasks.composite import Composite
from rsgeo.tasks.generate import run
from rsgeo.tasks.resolve import Resolved, resolve

NODATA = "nodata"
_PLACE = (
    "bounds",
    "like",
    "from_file",
    "request_file",
    "crs",
    "gsd",
    "resolution",
    "prompt_field",
    "prompt_map",
    "prompt_layer",
    "references",
    "aoi",
)


def inpaint(path: str | Path, ask: Ask, out: str | Path | None = None, runtime: Runtime | None = None) -> Result:
    """The raster at ``path`` with the pixels that ``ask.mask`` marks made anew, as a COG at ``out``, or in memory without.

    The grid and all other pixels are the raster's own, bit for bit, and so are number type, nodata, scale, names and colours of its bands; one band
    more says which pixels were made. Raises RsgeoError: one sentence; nothing is written.
    """
    return run(resolve_inpainting(Path(path), ask), None if out is None else Path(out), runtime or Runtime())


def resolve_inpainting(path: Path, ask: Ask) -> Resolved:
    """The request for the raster and its mask, with the numbers by which a model sees it."""
    for name in _PLACE:
        if getattr(ask, name) != getattr(Ask, name):
            raise InputError(f"The grid of what is inpainted is that of {path.name}; leave out --{name.replace('_', '-')}.")
    if ask.mask is None:
        raise InputError(f"Say what to make anew: --mask with a raster, an area, or {NODATA}.")
    grid_only = replace(ask, like=path, mask=None, mask_values=(), bands=(), layer=None, where=None, aoi_crs=None, buffer_m=None)
    base = resolve(grid_only, task="inpaint")
    mask, mask_path = _mask(ask, base.request.grid)
    return with_known(base, path, ask.bands, mask, mask_path)


def with_known(base: Resolved, path: Path, bands: tuple[int, ...], mask: MaskRecord | None, mask_path: Path | None) -> Resolved:
    """The request with the raster whose pixels stay, where ``mask`` does not say otherwise.

    Raises InputError where its bands are not such as can be made, nothing stays, or nothing is to be made.
    """
    with open_raster(path) as dataset:
        layout = Layout.of_raster(dataset).without_generated()
    chosen = _colours(path, layout, bands)
    record = Reference(role="known", sha256=sha256(path), name=path.name, bands=chosen, stretch=((0.0, 1.0),) * 3, mask=mask)
    files = {record.sha256: path}
    if mask_path is not None and mask is not None and mask.sha256 is not None:
        files[mask.sha256] = mask_path
    raster = KnownRaster(path, record, base.request.grid, mask_path)
    stretch = known_colours.stretch_of(raster, layout, base.record.looks, grid.ground(base.request.grid).gsd_m)
    if mask is not None and not any(raster.to_make(*place).any() for place in known_colours.rows(raster)):
        raise AreaError(f"The mask marks no pixel of {path.name}; give another, or other --mask-values.")
    kept = record.model_copy(update={"stretch": stretch})
    request = base.request.model_copy(update={"references": (kept,)})
    resolved = replace(base, request=request, files=files)
    Composite(KnownRaster(path, kept, request.grid, mask_path), request).check()
    return resolved


def _mask(ask: Ask, cells: GridRecord) -> tuple[MaskRecord, Path | None]:
    """What marks the pixels of the grid to make, and its file if that is a raster."""
    mask: Any = ask.mask
    described = any(value is not None for value in (ask.layer, ask.where, ask.aoi_crs))
    raster = None
    if isinstance(mask, str | Path) and mask != NODATA and Path(mask).is_file() and sniff_driver(regular_file(mask)) is not None:
        raster = Path(mask)
    if ask.mask_values and raster is None:
        raise InputError("--mask-values are numbers of a raster; give one with --mask.")
    if described and (raster is not None or mask == NODATA):
        raise InputError("--layer, --where and --aoi-crs say what to take from a vector file; give one with --mask.")
    if raster is not None:
        with open_raster(raster) as dataset:
            if dataset.count > 1:
                warnings.warn(f"{raster.name} has {dataset.count} bands; the first is the mask.", RsgeoWarning, stacklevel=4)
        values, growth = tuple(sorted(set(ask.mask_values))), _growth(ask, cells)
        return MaskRecord(kind="raster", sha256=sha256(raster), name=raster.name, values=values, grow_px=growth), raster
    if isinstance(mask, str) and mask == NODATA:
        return MaskRecord(kind="nodata", grow_px=_growth(ask, cells)), None
    area = aois.of(mask, layer=ask.layer, where=ask.where, crs=ask.aoi_crs, buffer_m=ask.buffer_m)
    return MaskRecord(kind="area", area=area.to_record()), None


def _growth(ask: Ask, cells: GridRecord) -> int:
    """By how many pixels what a raster marks grows: the whole number nearest to ``buffer_m`` in the middle of the grid."""
    if ask.buffer_m is None:
        return 0
    pixels = round(ask.buffer_m / float(grid.gsd_at(cells, [cells.width / 2], [cells.height / 2])[0]))
    if not 0 <= pixels <= MOST_GROWTH_PX:
        raise InputError(f"--buffer {ask.buffer_m:g} is {pixels} pixels of the raster; a mask grows by 0 to {MOST_GROWTH_PX}.")
    return pixels


def _colours(path: Path, layout: Layout, bands: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers of the red, green and blue band, from 1: as told, by colour, by name, else the first three with a warning."""
    count = len(layout.names)
    if bands:
        if len(bands) != 3 or len(set(bands)) != 3 or not all(1 <= band <= count for band in bands):
            raise InputError(f"--bands are the numbers of red, green and blue, three of 1 to {count}; got {','.join(map(str, bands))}.")
        return bands
    names = [(name or "").lower() for name in layout.names]
    for found in (
        [layout.colours.index(colour) + 1 if colour in layout.colours else 0 for colour in (ColorInterp.red, ColorInterp.green, ColorInterp.blue)],
        [names.index(colour) + 1 if colour in names else 0 for colour in COLOURS],
        [names.index(band) + 1 if band in names else 0 for band in ("b04", "b03", "b02")],
        [names.index(band) + 1 if band in names else 0 for band in ("b4", "b3", "b2")],
    ):
        if all(found):
            return tuple(found)
    if count - len(layout.alpha) < 3:
        raise InputError(f"{path.name} has {count} band{'s' * (count > 1)}; red, green and blue are needed, for no model makes anything else.")
    warnings.warn(f"{path.name} does not say which bands are red, green and blue; 1, 2, 3 are taken, else say --bands.", RsgeoWarning, stacklevel=4)
    return (1, 2, 3)
