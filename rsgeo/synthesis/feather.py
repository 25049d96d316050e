"""Made pixels beside given ones, so that no step shows between them (SYNTHESIS.md 5.6): given ones stay, made ones give way near them.

Two things part them. In cells that are given in part, the model has its own idea of the given pixels too: what it got wrong of them is taken off
their neighbours, which leaves the gradient that it painted. And a model that was not taught to go on from given pixels paints other colours than
they have: near them the local mean of what it made is moved to theirs. Where a model goes on as it should, both are next to nothing.

A pixel is a function of those within `REACH_PX` alone, and adds them up in one order wherever it lies.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

CHANGED_PX = 8
"""How far from given pixels made ones are changed."""

REACH_PX = 2 * CHANGED_PX
"""How far from a pixel others decide how it is changed."""

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

_ALL_THE_WAY = np.float32(2.3)
_NEIGHBOURS = (((-1, -1), 1), ((-1, 0), 2), ((-1, 1), 1), ((0, -1), 2), ((0, 1), 2), ((1, -1), 1), ((1, 0), 2), ((1, 1), 1))


def feathered(made: Array, known: Array, given: Mask, reach: int = CHANGED_PX) -> Array:
    """What a model ``made`` (bands, height, width) beside ``known`` pixels, which are ``given`` (height, width); given ones are left to others."""
    difference, fading = carried(known - made, given, reach)
    return made + difference * fading + blended(made + difference, known, given, reach)


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


def blended(made: Array, known: Array, given: Mask, reach: int) -> Array:
    """What moves the local mean of ``made`` pixels to that of ``known`` ones; 0 at ``given`` pixels and farther off than ``reach``.

    Means are weighted by a Gaussian of deviation 0.4 reach. The given ones' share of its weight says how much of the way to go: all of it beside a
    straight edge.
    """
    if not given.any() or given.all():
        return np.zeros_like(made)
    share, rest = _smooth(given[None].astype(np.float32), reach), _smooth((~given)[None].astype(np.float32), reach)
    theirs = _smooth(np.where(given, known, np.float32(0)), reach) / np.maximum(share, np.float32(1e-6))
    own = _smooth(np.where(given, np.float32(0), made), reach) / np.maximum(rest, np.float32(1e-6))
    way = np.minimum(_ALL_THE_WAY * share, np.float32(1))
    return np.asarray(np.where(~given & (share[0] > 0), (theirs - own) * way, np.float32(0)))


def _smooth(pixels: Array, reach: int) -> Array:
    """Sums (bands, height, width) weighted by a Gaussian of deviation 0.4 reach, cut off at ``reach``; 0 beyond the edges."""
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / (0.4 * reach)) ** 2)
    found = pixels
    for axis in (1, 2):
        side = pixels.shape[axis]
        wide = np.pad(found, [(reach, reach) if other == axis else (0, 0) for other in range(3)])
        found = np.zeros_like(pixels)
        for start, weight in enumerate((weights / weights.sum()).astype(np.float32)):
            found += weight * (wide[:, start : start + side] if axis == 1 else wide[:, :, start : start + side])
    return found
