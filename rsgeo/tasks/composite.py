"""One output of a raster whose pixels stay and of what is made beside them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from rsgeo.errors import InputError, RsgeoWarning
from rsgeo.geo import provenance
from rsgeo.geo.known_raster import KnownRaster
from rsgeo.geo.layout import Layout
from rsgeo.geo.raster_open import open_raster
from rsgeo.geo.raster_read import CACHE_MB, Mask, read_stored
from rsgeo.geo.stretch import stored
from rsgeo.request import COLOURS, Request
from rsgeo.tasks import references

if TYPE_CHECKING:
    from rsgeo.synthesis.engine import Band
    from rsgeo.tasks.resolve import Resolved

Numbers = NDArray[Any]

_BYTES_AT_ONCE = 2**25


class Composite:
    """Joins what was made with the raster, rows at a time; ``layout`` are the bands that come of it, ``synthetic`` how much of it is synthetic.

    They are the raster's own, and last the one that says where pixels were made; in a raster that rsgeo made in part it goes on. Of several worlds
    the mean stands in the raster's bands, and their deviation follows in the raster's units; or all stand one after the other, each with all bands.
    """

    def __init__(self, raster: KnownRaster, request: Request) -> None:
        self.raster, self.request = raster, request
        with open_raster(raster.path) as dataset:
            whole, self.synthetic = Layout.of_raster(dataset), provenance.synthetic_state(dataset) or "PART"
        self.own, self._was_made = whole.without_generated(), whole.says_generated
        self.colours = [band - 1 for band in raster.record.bands]
        self.others = [band for band in range(len(self.own.names)) if band not in (*self.colours, *self.own.alpha)]
        self.layout = self._layout()

    def _layout(self) -> Layout:
        own, samples = self.own, self.request.samples
        made = replace(own, synthetic=tuple(band in self.colours for band in range(len(own.names))))
        if own.alpha or (self.request.task == "extend" and own.nodata is None):
            # Else nothing would say where there is no data: GDAL heeds an alpha band only as the last of two or four.
            made = replace(made, masked=True)
        layout = made
        if samples is not None and samples.write_as == "statistics":
            for colour in COLOURS:
                layout = layout.with_band(f"deviation {colour}", synthetic=True)
        elif samples is not None:
            names = own_names(own)
            for number in range(1, samples.count):
                for name, synthetic in zip(names, made.synthetic, strict=True):
                    layout = layout.with_band(f"sample {number} {name}", synthetic=synthetic)
            layout = replace(layout, names=(*(f"sample 0 {name}" for name in names), *layout.names[len(names) :]))
        return layout.with_generated(self.synthetic)

    def check(self) -> None:
        """Say what becomes of bands that no model makes.

        Raises InputError where nothing could stand in them, or numbers are no pictures.
        """
        if self.synthetic == "ALL":
            warnings.warn(f"{self.raster.path.name} is synthetic itself; nothing in the result is an observation.", RsgeoWarning, stacklevel=3)
        if not self.others:
            return
        names, file = ", ".join(own_names(self.own)[band] for band in self.others), self.raster.path.name
        if self.own.nodata is None:
            raise InputError(
                f"{file} has bands that cannot be made ({names}) and no nodata value to put there;"
                " give it one (gdal_edit.py -a_nodata), or take red, green and blue only (gdal_translate -b)."
            )
        warnings.warn(f"Only red, green and blue are made; in {names} the made pixels are nodata ({self.own.nodata:g}).", RsgeoWarning, stacklevel=3)

    def joined(self, band: Band) -> Iterator[Band]:
        """`join` of some rows at a time, for a raster may have many and wide bands."""
        height, width = band.mask.shape
        rows = max(1, _BYTES_AT_ONCE // (width * len(self.layout.names) * np.dtype(self.layout.dtype).itemsize))
        for first in range(0, height, rows):
            cut = slice(first, first + rows)
            yield self.join(replace(band, row0=band.row0 + first, pixels=band.pixels[:, cut], mask=band.mask[cut]))

    def join(self, band: Band) -> Band:
        """The rows of all bands in the raster's own type, and where they are valid."""
        request, (height, width), made = self.request, band.mask.shape, band.mask
        found, there = self._observed(request.grid.row + band.row0, request.grid.col, height, width)
        found, before = (found[:-1], found[-1]) if self._was_made else (found, None)
        worlds = [band.pixels[first : first + 3] for first in range(0, len(band.pixels), 3)]
        if request.samples is not None and request.samples.write_as == "statistics":
            mean, deviation = worlds
            parts = [self._filled(found, mean, made), self._deviation(deviation, made)]
        else:
            parts = [self._filled(found, world, made) for world in worlds]
        marks = before if before is not None else np.zeros((height, width), self.own.dtype)
        if before is None and self.own.nodata is not None:
            marks[~there] = self.own.nodata
        marks[made] = self.own.generated
        return replace(band, pixels=np.concatenate([*parts, marks[None]]), mask=made | there)

    def _observed(self, row: int, col: int, height: int, width: int) -> tuple[Numbers, Mask]:
        """The raster's own numbers (band, height, width) from a place of the world on, nodata or 0 beyond it, and where it has data."""
        own, place = self.own, self.raster.own
        found = np.full((len(own.names) + self._was_made, height, width), 0 if own.nodata is None else own.nodata, own.dtype)
        there = np.zeros((height, width), np.bool_)
        top, left = max(row, place.row), max(col, place.col)
        bottom, right = min(row + height, place.row + place.height), min(col + width, place.col + place.width)
        if top < bottom and left < right:
            at = (slice(top - row, bottom - row), slice(left - col, right - col))
            window = Window(left - place.col, top - place.row, right - left, bottom - top)
            with rasterio.Env(GDAL_CACHEMAX=CACHE_MB), open_raster(self.raster.path) as dataset:
                found[(slice(None), *at)], there[at] = read_stored(dataset, window)
        return found, there

    def _filled(self, found: Numbers, world: NDArray[np.uint8], made: Mask) -> Numbers:
        """The raster's numbers with a world's where it was made."""
        own, filled = self.own, found.copy()
        values = stored(world[:, made] / np.float64(255), self.raster.record.stretch, own.dtype)
        if own.nodata is not None:
            values = _beside(values, own.nodata)
        for band, line in zip(self.colours, values, strict=True):
            filled[band, made] = line
        for band in self.others:
            filled[band, made] = own.nodata
        for band in own.alpha:
            filled[band, made] = 1 if np.dtype(own.dtype).kind == "f" else np.iinfo(own.dtype).max
        return filled

    def _deviation(self, levels: NDArray[np.uint8], made: Mask) -> Numbers:
        """Deviations in grey levels as the raster's numbers, 0 where nothing was made."""
        spans = [(0.0, high - low) for low, high in self.raster.record.stretch]
        return np.where(made, stored(levels / np.float64(255), spans, self.own.dtype), np.zeros(1, self.own.dtype))


def of(resolved: Resolved) -> Composite | None:
    """How to join what a request makes with the raster whose pixels stay, if there is one."""
    raster = references.known_raster(resolved.request, resolved.files)
    return None if raster is None else Composite(raster, resolved.request)


def own_names(layout: Layout) -> list[str]:
    """The bands' descriptions, or their numbers where they have none."""
    return [name or f"band {number}" for number, name in enumerate(layout.names, start=1)]


def _beside(values: Numbers, nodata: float) -> Numbers:
    """The numbers, with those that would say "no data" moved to the nearest that does not, towards 0."""
    kind, taken = values.dtype, values == nodata
    if not taken.any():
        return values
    if kind.kind == "f":
        return np.where(taken, np.nextafter(values, np.full_like(values, 0 if nodata else 1)), values)
    step = 1 if nodata <= np.iinfo(kind).min or nodata == 0 else -1 if nodata > 0 else 1
    return np.where(taken, (values.astype(np.int64) + step).astype(kind), values)
