"""Made pixels beside given ones, so that no step shows between them (SYNTHESIS.md 5.6): given ones stay, made ones give way near them.

The model has its own idea of the given pixels next to made ones too (`rsgeo.pipelines.known_cells.inner_cells`). What it got wrong of them is taken
off their neighbours, which leaves the gradient that it painted across the edge.

A pixel is a function of those within `REACH_PX` alone, and adds them up in one order wherever it lies.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

REACH_PX = 8
"""How far from given pixels made ones are changed."""

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

_NEIGHBOURS = (((-1, -1), 1), ((-1, 0), 2), ((-1, 1), 1), ((0, -1), 2), ((0, 1), 2), ((1, -1), 1), ((1, 0), 2), ((1, 1), 1))


def feathered(made: Array, known: Array, given: Mask, reach: int = REACH_PX) -> Array:
    """What a model ``made`` (bands, height, width) beside ``known`` pixels, which are ``given`` (height, width); given ones are left to others."""
    difference, fading = carried(known - made, given, reach)
    return made + difference * fading


def carried(difference: Array, given: Mask, reach: int) -> tuple[Array, Array]:
    """The ``difference`` (bands, height, width) of ``given`` pixels (height, width), carried over to others, 0 at given ones; and how it fades.

    From ring to ring round the given pixels each takes the weighted mean of its neighbours that have one; the n-th ring (height, width) is to be
    weighted by cos^2(pi/2 * (n - 1) / reach), and there is nothing beyond ``reach`` rings.
    """
    height, width = given.shape
    value, have = np.pad(np.where(given, difference, np.float32(0)), ((0, 0), (1, 1), (1, 1))), np.pad(given, 1)
    found, fading = np.zeros_like(difference), np.zeros((height, width), np.float32)
    for ring in range(reach):
        total, weight = np.zeros_like(difference), np.zeros((height, width), np.float32)
        for (down, right), share in _NEIGHBOURS:
            at = (slice(1 + down, 1 + down + height), slice(1 + right, 1 + right + width))
            total += np.float32(share) * value[(slice(None), *at)]
            weight += np.float32(share) * have[at]
        new = ~have[1:-1, 1:-1] & (weight > 0)
        if not new.any():
            break
        found[:, new] = total[:, new] / weight[new]
        value[:, 1:-1, 1:-1][:, new], have[1:-1, 1:-1][new] = found[:, new], True
        fading[new] = math.cos(math.pi / 2 * ring / reach) ** 2
    return found, fading
