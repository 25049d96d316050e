"""Made pixels beside given ones: what the model got wrong of the given ones is taken off their neighbours too, less and less (SYNTHESIS.md 5.6).

The given pixels stand in the result as they are, where the model has but its own idea of them. The difference, carried over the border, leaves there
the gradient that the model has painted instead of a step.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

REACH_PX = 8
"""How far from given pixels others are changed."""

_NEIGHBOURS = (((-1, -1), 1), ((-1, 0), 2), ((-1, 1), 1), ((0, -1), 2), ((0, 1), 2), ((1, -1), 1), ((1, 0), 2), ((1, 1), 1))


def carried(difference: NDArray[np.float32], given: NDArray[np.bool_], reach: int = REACH_PX) -> NDArray[np.float32]:
    """The ``difference`` (bands, height, width) of ``given`` pixels (height, width), carried over to others; 0 at given ones and farther off.

    From ring to ring round the given pixels each takes the weighted mean of its neighbours that have one; the n-th ring is then weighted by
    cos^2(pi/2 * (n - 1) / reach). A pixel is a function of those within ``reach`` alone, and adds them up in one order wherever it lies.
    """
    height, width = given.shape
    value, have = np.pad(np.where(given, difference, np.float32(0)), ((0, 0), (1, 1), (1, 1))), np.pad(given, 1)
    found = np.zeros_like(difference)
    for ring in range(reach):
        total, weight = np.zeros_like(difference), np.zeros((height, width), np.float32)
        for (down, right), share in _NEIGHBOURS:
            at = (slice(1 + down, 1 + down + height), slice(1 + right, 1 + right + width))
            total += np.float32(share) * value[(slice(None), *at)]
            weight += np.float32(share) * have[at]
        new = ~have[1:-1, 1:-1] & (weight > 0)
        if not new.any():
            break
        mean = total[:, new] / weight[new]
        value[:, 1:-1, 1:-1][:, new], have[1:-1, 1:-1][new] = mean, True
        found[:, new] = mean * np.float32(math.cos(math.pi / 2 * ring / reach) ** 2)
    return found
