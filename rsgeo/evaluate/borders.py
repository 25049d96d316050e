"""Whether borders show: of a codec's blocks within tiles, of a lattice of windows within large pictures, and of what was made in an observed one.

A gradient here is the mean absolute difference of neighbouring lines of pixels. It is never compared with that of just any other line: a
blockwise codec, or pictures that were JPEG once, have higher ones at every fourth or eighth line anyway (SYNTHESIS.md 4.2b).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsgeo.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Gradients:
    """Mean absolute difference of neighbouring pixels in grey levels: ``across`` patch borders and ``inside`` patches."""

    across: float
    inside: float

    @property
    def ratio(self) -> float:
        """1 where the borders do not show."""
        return self.across / self.inside if self.inside else float("nan")


def gradients(tiles: NDArray[np.uint8], patch: int = 4) -> Gradients:
    """The mean gradients of tiles (n, height, width, 3), both directions and all bands alike.

    JPEG's blocks of 8 px show in real tiles too, so compare with real ones.
    """
    signed = tiles.astype(np.int16)
    steps = [np.abs(np.diff(signed, axis=axis)).mean(axis=(0, 3 - axis, 3)) for axis in (1, 2)]
    values: NDArray[Any] = np.concatenate(steps)
    border = np.concatenate([(np.arange(1, len(step) + 1) % patch) == 0 for step in steps])
    return Gradients(across=float(values[border].mean()), inside=float(values[~border].mean()))


@dataclass(frozen=True)
class Seam:
    """Gradient at a lattice's edges over that of tile interiors: 1 where windows do not show.

    ``low`` and ``high`` hold the middle 95 % of the ratio under the bootstrap; ``lines`` are the edges measured.
    """

    ratio: float
    low: float
    high: float
    lines: int


def by_offset(pictures: Sequence[NDArray[Any]], starts: Sequence[int], axis: int, period: int) -> Array:
    """Gradients of large pictures by offset in the lattice: (stretches of one period, ``period``).

    ``pictures`` are (height, width, bands); ``axis`` 0 takes steps from row to row, 1 from column to column, and ``starts`` are the world
    indices of each picture's first row or column. Entry o is the step from the line before world offset o (modulo ``period``) to the line
    at it. Each picture is divided by its own mean, so that lively ones do not outweigh quiet ones.

    Raises:
        InputError: no picture holds a whole period.
    """
    stretches = []
    for picture, start in zip(pictures, starts, strict=True):
        steps = np.abs(np.diff(picture.astype(np.float64), axis=axis)).mean(axis=(1 - axis, 2))
        first = -(start + 1) % period  # the first step leads to line start + 1
        count = (len(steps) - first) // period
        if count > 0 and steps.mean() > 0:
            stretches.append(steps[first : first + count * period].reshape(count, period) / steps.mean())
    if not stretches:
        raise InputError(f"No picture is {2 * period} lines long; take larger ones to see a lattice of period {period}.")
    return np.concatenate(stretches)


def seam(stretches: Array, edges: Sequence[int], block: int = 1, draws: int = 2000, seed: int = 0) -> Seam:
    """The gradient at the offsets ``edges`` over that at all other offsets which are congruent to them modulo ``block``.

    ``stretches`` as `by_offset` gives them; the bootstrap draws whole stretches, for neighbouring lines are alike.

    Raises:
        InputError: there is no other offset to compare with.
    """
    period = stretches.shape[1]
    at = np.unique(np.asarray(edges) % period)
    like = np.isin(np.arange(period) % block, at % block)
    like[at] = False
    if not like.any():
        raise InputError(f"All offsets of period {period} are edges; there is no interior to compare with.")
    across, inside = stretches[:, at].mean(axis=1), stretches[:, like].mean(axis=1)
    picks = np.random.default_rng(seed).integers(0, len(stretches), (draws, len(stretches)))
    low, high = np.quantile(across[picks].mean(axis=1) / inside[picks].mean(axis=1), [0.025, 0.975])
    return Seam(float(across.mean() / inside.mean()), float(low), float(high), len(stretches) * len(at))


def profile(stretches: Array, block: int = 1, smooth: int = 5) -> Array:
    """The gradient (``period``,) by offset, over the mean of the offsets congruent to it modulo ``block``, mean of ``smooth`` neighbours.

    1 everywhere where windows do not show; the largest deviation from 1 says how much they do at worst, overlaps that faded included. It is
    never 0, for pictures are finite: compare with that at a period which nothing in the picture has.
    """
    mean = stretches.mean(axis=0)
    phase = np.arange(len(mean)) % block
    level = np.bincount(phase, weights=mean) / np.bincount(phase)
    even = mean / level[phase]
    reach = smooth // 2
    return np.asarray(sum(np.roll(even, shift) for shift in range(-reach, reach + 1)) / (2 * reach + 1))


def made_edge(pixels: NDArray[Any], made: NDArray[np.bool_], near: int = 8) -> tuple[float, float]:
    """Gradient from observed to ``made`` pixels (height, width) of a picture (bands, height, width), as a ratio; 1 where no edge shows.

    First over the mean of those within each of both, up to ``near`` pixels from the other along rows and columns; then over that within made ones.
    """
    across: list[Array] = []
    within: dict[bool, list[Array]] = {True: [], False: []}
    close = _wider(made, near) & _wider(~made, near)
    for axis in (0, 1):
        steps = np.abs(np.diff(pixels.astype(np.float64), axis=axis + 1)).mean(axis=0)
        first, second = (np.take(made, range(start, made.shape[axis] - 1 + start), axis) for start in (0, 1))
        at = np.take(close, range(made.shape[axis] - 1), axis)
        across.append(steps[first != second])
        for side in (True, False):
            within[side].append(steps[at & (first == second) & (first == side)])
    level = {side: np.concatenate(parts).mean() for side, parts in within.items()}
    step = np.concatenate(across).mean()
    return float(2 * step / (level[True] + level[False])), float(step / level[True])


def _wider(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Where the mask is, or is up to ``reach`` pixels off along rows and columns."""
    wide: NDArray[np.bool_] = np.pad(mask, reach)
    for axis in (0, 1):
        wide = np.asarray(np.lib.stride_tricks.sliding_window_view(wide, 2 * reach + 1, axis=axis).any(axis=-1))
    return wide
