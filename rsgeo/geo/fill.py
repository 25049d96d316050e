"""What stands for pixels without data where a network needs a number: their neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rsgeo.geo.raster_read import Mask

_AROUND = tuple((row, col) for row in (-1, 0, 1) for col in (-1, 0, 1) if (row, col) != (0, 0))


def spread(pixels: NDArray[np.float32], mask: Mask, rings: int) -> NDArray[np.float32]:
    """Pixels (bands, height, width) with those that ``mask`` (height, width) leaves out filled, ring by ring, by the mean of their neighbours.

    A pixel depends on those within ``rings`` pixels of it and on nothing else, so that it is the same in every window that shows so much around it;
    those further from any data stay 0.
    """
    filled, there = np.where(mask, pixels, np.float32(0)), mask
    for _ in range(rings):
        if there.all() or not there.any():
            break
        around, count = np.zeros_like(filled), np.zeros(there.shape, np.float32)
        for row, col in _AROUND:
            target, source = _shifted(row, filled.shape[1]), _shifted(col, filled.shape[2])
            at, of = (target[0], source[0]), (target[1], source[1])
            around[:, *at] += filled[:, *of]
            count[at] += there[of]
        new = ~there & (count > 0)
        filled = np.where(new, around / np.maximum(count, 1), filled)
        there = there | new
    return filled


def _shifted(step: int, size: int) -> tuple[slice, slice]:
    """Where values go to, and where they come from, one ``step`` away along an axis."""
    return slice(max(-step, 0), size - max(step, 0)), slice(max(step, 0), size - max(-step, 0))
