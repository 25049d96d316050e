"""Windows on the endless lattice of world cells, and which of them a region needs.

A cell is the unit on which a model denoises: ``scale`` x ``scale`` pixels, world cell index = floor(world pixel index / scale), rows
growing south. Windows are always whole and anchored to the world, never to the area asked for: a network's output depends on all of its
window, so a window that was cut or moved would give other pixels (SYNTHESIS.md, S1). Indices are 64-bit and may be negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Lattice:
    """Windows [j * stride + shift, j * stride + shift + tile) for every integer j, in rows and columns alike; all in cells."""

    tile: int
    stride: int
    shift: int = 0

    def nests(self, factor: int) -> bool:
        """Whether windows begin and end at the borders of cells that are ``factor`` times larger."""
        return self.tile % factor == self.stride % factor == self.shift % factor == 0

    def in_larger(self, factor: int) -> Lattice:
        """The same windows in cells that are ``factor`` times larger, in which they have to nest."""
        assert self.nests(factor), f"{self} does not nest in cells of {factor}"
        return Lattice(self.tile // factor, self.stride // factor, self.shift // factor)


def windows_touching(start: int, stop: int, lattice: Lattice) -> range:
    """The window indices j, along one axis, that cover any cell of [start, stop)."""
    if stop <= start:
        return range(0)
    first = (start - lattice.shift - lattice.tile) // lattice.stride + 1
    end = -((lattice.shift - stop) // lattice.stride)
    return range(first, end)


def window_bounds(index: int, lattice: Lattice) -> tuple[int, int]:
    """First cell and end (excluded) of window ``index`` along one axis."""
    start = index * lattice.stride + lattice.shift
    return start, start + lattice.tile


def cone(start: int, stop: int, lattices: Sequence[Lattice]) -> tuple[int, int]:
    """The interval of noise cells on which cells [start, stop) depend, along one axis, through phases given first to last."""
    for lattice in reversed(lattices):
        touching = windows_touching(start, stop, lattice)
        start, stop = window_bounds(touching[0], lattice)[0], window_bounds(touching[-1], lattice)[1]
    return start, stop


def weight_1d(lattice: Lattice) -> NDArray[np.float64]:
    """Weight of each of a window's cells along one axis; over the lattice the weights of every cell sum to 1.

    A ramp sin^2(pi/2 * clip(d / overlap, 0, 1)), d the distance from the cell's centre to the nearer edge, divided by the sum over
    the lattice. Without overlap the weight is 1.
    """
    overlap = lattice.tile - lattice.stride
    if overlap <= 0:
        return np.ones(lattice.tile)
    cells = np.arange(lattice.tile)
    edge = np.minimum(cells + 0.5, lattice.tile - cells - 0.5)
    ramp = np.sin(np.pi / 2 * np.clip(edge / overlap, 0, 1)) ** 2
    total = np.bincount(cells % lattice.stride, weights=ramp)
    return np.asarray(ramp / total[cells % lattice.stride])


def weight_2d(lattice: Lattice) -> NDArray[np.float32]:
    """Weight (tile, tile) of a window's cells: the product of the weights along both axes."""
    line = weight_1d(lattice)
    return np.outer(line, line).astype(np.float32)


def corners(lattice: Lattice, windows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Upper left world cell (n, 2) as (row, column) of each window."""
    return windows * lattice.stride + lattice.shift
