"""Several worlds as one output: band by band, so that memory grows with their number by one row band each, and with the area not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rsgeo.request import SamplesRecord

if TYPE_CHECKING:
    from rsgeo.synthesis.engine import Band

_BYTES_AT_ONCE = 2**25


def combined(worlds: Sequence[Iterator[Band]], samples: SamplesRecord | None) -> Iterator[Band]:
    """The output's bands of rows from those of its worlds, which all cover the same rows and pixels; one world passes as it is.

    The bands come out in the order of `rsgeo.request.Request.bands`, in fewer rows at a time than they came in.
    """
    if samples is None:
        (alone,) = worlds
        yield from alone
        return
    first, *others = worlds
    for band in first:
        together = [band, *(next(other) for other in others)]
        yield from _combined(together, samples)
        # Else the rows that are done would stay until the next ones of all worlds are there.
        del band, together


def statistics(pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Mean and sample standard deviation (n - 1) over arrays (colour, y, x), both rounded half to even: (2 * colour, y, x).

    Sums are whole numbers, so nothing depends on the order of the arrays. Equal to ``numpy.mean`` and ``numpy.std(ddof=1)``.
    """
    count = len(pixels)
    total, squares = (np.zeros(pixels[0].shape, np.int64) for _ in range(2))
    for one in pixels:
        wide = one.astype(np.int64)
        total += wide
        squares += wide * wide
    deviation = np.sqrt((count * squares - total * total) / (count * (count - 1)))
    both: NDArray[np.uint8] = np.rint(np.concatenate([total / count, deviation])).astype(np.uint8)
    return both


def _combined(together: list[Band], samples: SamplesRecord) -> Iterator[Band]:
    first = together[0]
    height, width = first.mask.shape
    # Numbers of eight bytes: two sums, or all bands at once.
    rows = max(1, _BYTES_AT_ONCE // (8 * width * 3 * len(together)))
    for row in range(0, height, rows):
        cut = slice(row, row + rows)
        parts = [band.pixels[:, cut] for band in together]
        pixels = statistics(parts) if samples.write_as == "statistics" else np.concatenate(parts)
        yield replace(first, row0=first.row0 + row, pixels=pixels, mask=first.mask[cut])
