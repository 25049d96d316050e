"""How a model sees a raster whose pixels stay: which of its numbers are black and white to it, band by band."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rsgeo.errors import InputError
from rsgeo.geo.known_raster import KnownRaster
from rsgeo.geo.layout import Layout
from rsgeo.geo.raster_read import Mask
from rsgeo.geo.stretch import ends_of
from rsgeo.hub.records import Look

_ROWS = 256
_SAMPLE = 4_000_000

Ends = tuple[float, float]


def stretch_of(raster: KnownRaster, layout: Layout, looks: Sequence[Look], gsd: float) -> tuple[Ends, Ends, Ends]:
    """For red, green and blue the numbers that a model sees as black and white; ``gsd`` in metres says which of the model's ``looks`` holds.

    They are 0 and 255 of bytes, else percentiles of the pixels that stay, over the whole raster and all three bands, so that colours keep their hue.
    A raster whose mean colour the model was not trained with is moved to the look's, each band by a number of its own; contrast higher than the
    look's is lowered to it, in all bands alike. A network goes on only from what it knows.

    Raises InputError where no pixel stays, or all are alike.
    """
    step = max(1, math.ceil(math.sqrt(raster.own.width * raster.own.height / _SAMPLE)))
    seen = [pixels[:, mask] for pixels, mask in _sampled(raster, step)]
    if not any(part.size for part in seen):
        raise InputError(f"No pixel of {raster.path.name} stays; rsgeo generate --like {raster.path.name} makes a picture on its grid.")
    numbers = np.concatenate(seen, axis=1)
    low, high = (0.0, 255.0) if layout.dtype == "uint8" else ends_of(numbers)
    if not high > low:
        raise InputError(f"The pixels of {raster.path.name} that stay are all alike; there is nothing to go by.")
    mean, deviation = numbers.mean(axis=1, dtype=np.float64), numbers.std(axis=1, dtype=np.float64).mean()
    look = min(looks, key=lambda one: abs(math.log(one.gsd / gsd)), default=None)
    if look is None or look.knows((mean - low) / (high - low)):
        return ((low, high),) * 3
    span = max(high - low, deviation / look.deviation)
    red, green, blue = ((float(value - share * span), float(value + (1 - share) * span)) for value, share in zip(mean, look.mean, strict=True))
    return red, green, blue


def rows(raster: KnownRaster) -> Iterator[tuple[int, int, int, int]]:
    """Stretches of whole rows that cover the raster: row, column, height and width in the world's pixels."""
    own = raster.own
    for first in range(0, own.height, _ROWS):
        yield own.row + first, own.col, min(_ROWS, own.height - first), own.width


def _sampled(raster: KnownRaster, step: int) -> Iterator[tuple[NDArray[np.float32], Mask]]:
    """Every ``step``-th pixel of every such row: the numbers (3, ...) of the colours, and which of them stay and have data."""
    for row, col, height, width in rows(raster):
        pixels, data = raster.numbers(row, col, height, width)
        stays = data & raster.stays(row, col, height, width)
        cut = (slice(-(row - raster.own.row) % step, None, step), slice(None, None, step))
        yield pixels[(slice(None), *cut)], stays[cut]
