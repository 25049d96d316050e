"""What a request will cost, before any model is loaded, and which windows the engine will run: pure numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsgeo.errors import InputError
from rsgeo.request import GridRecord, PhaseRecord, Request
from rsgeo.synthesis.lattice import Lattice, Region, box, footprint, windows_reaching
from rsgeo.synthesis.phases import lattice_of, plan_cost, plan_halo

BANDS = 3
"""Red, green, blue."""

Valid = Callable[[int, int, int, int], NDArray[np.bool_]]
"""``valid(row0, col0, height, width)`` -> (height, width) bool, True where a pixel is wanted; (0, 0) is the grid's upper left pixel."""

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Stage:
    """One phase's (or the decoder's) lattice and the windows of it that must run: (n, 2) row and column index, row-major."""

    lattice: Lattice
    windows: NDArray[np.int64]


@dataclass(frozen=True)
class SynthesisPlan:
    """The size of a request.

    ``windows``: windows of each phase. ``evaluations``: of the network, by one window each (two a step under guidance). ``cost``:
    evaluations over those of butt-joined tiles on the valid pixels alone; ``steady_cost``: the same over a boundless area. ``halo_px``: how
    far at worst the noise lies that decides a pixel. ``output_bytes``: pixels and mask, uncompressed, without overviews. ``memory_bytes``:
    the cells held at most, without the model.
    """

    width: int
    height: int
    valid_pixels: int
    windows: tuple[int, ...]
    decoder_windows: int
    evaluations: int
    cost: float
    steady_cost: float
    halo_px: int
    output_bytes: int
    memory_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def plan(
    request: Request,
    *,
    scale: int,
    channels: int,
    decoder_tile: int | None = None,
    decoder_stride: int | None = None,
    valid: Valid | None = None,
) -> SynthesisPlan:
    """The plan of ``request`` for a model of one level: ``scale`` pixels and ``channels`` numbers a cell, decoder in cells (None: local).

    Raises InputError when no pixel is valid.
    """
    phases, grid = request.synthesis.phases, request.grid
    lattice = decoder_lattice(phases, decoder_tile, decoder_stride)
    stages, decoder = schedule(phases, wanted_cells(grid, scale, valid), lattice, local=decoder_tile is None)
    total = evaluations(request, stages)
    pixels = sum(int(rows.sum()) for _, rows in valid_rows(grid, valid, _ROWS_AT_ONCE))
    steps = sum(phase.last - phase.first for phase in phases)
    minimum = pixels / (phases[-1].tile * scale) ** 2 * steps * passes(request)
    held = sorted(4 * channels * math.prod(box(stage.lattice, stage.windows)[2:]) for stage in stages)
    return SynthesisPlan(
        width=grid.width,
        height=grid.height,
        valid_pixels=pixels,
        windows=tuple(len(stage.windows) for stage in stages),
        decoder_windows=len(decoder.windows),
        evaluations=total,
        cost=total / minimum,
        steady_cost=plan_cost(phases),
        halo_px=plan_halo(phases, scale),
        output_bytes=(BANDS + 1) * grid.width * grid.height,
        memory_bytes=sum(held[-2:]),
    )


def decoder_lattice(phases: Sequence[PhaseRecord], tile: int | None, stride: int | None) -> Lattice:
    """The decoder's windows; a local decoder (``tile`` None) works on butt-joined tiles, for there is nothing to blend."""
    if tile is None:
        return Lattice(phases[-1].tile, phases[-1].tile)
    return Lattice(tile, 3 * tile // 4 if stride is None else stride)


def schedule(phases: Sequence[PhaseRecord], wanted: Region, decoder: Lattice, *, local: bool) -> tuple[tuple[Stage, ...], Stage]:
    """The windows of every phase (first to last) and of the decoder on which the wanted cells depend, and no others.

    From the end backwards: what a window reads is what the stage before must make whole. A ``local`` decoder needs only the wanted cells.
    """
    last = Stage(decoder, windows_reaching(decoder, wanted))
    needed = wanted if local else footprint(decoder, last.windows)
    stages: list[Stage] = []
    for lattice in (lattice_of(phase) for phase in reversed(phases)):
        stages.insert(0, Stage(lattice, windows_reaching(lattice, needed)))
        needed = footprint(lattice, stages[0].windows)
    return tuple(stages), last


def evaluations(request: Request, stages: Sequence[Stage]) -> int:
    """Evaluations of the network by one window."""
    return passes(request) * sum(
        len(stage.windows) * (phase.last - phase.first) for phase, stage in zip(request.synthesis.phases, stages, strict=True)
    )


def passes(request: Request) -> int:
    """Evaluations of the network a window and step: with and without the wish under guidance (a scale above 1), else one."""
    return 2 if request.sampler.guidance_scale > 1 else 1


def valid_rows(grid: GridRecord, valid: Valid | None, rows: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """The mask of valid pixels in bands of ``rows`` rows: (first row of the band in the grid, (height, width) bool)."""
    for row0 in range(0, grid.height, rows):
        height = min(rows, grid.height - row0)
        everything = np.ones((height, grid.width), np.bool_)
        yield row0, everything if valid is None else valid(row0, 0, height, grid.width)


def wanted_cells(grid: GridRecord, scale: int, valid: Valid | None) -> Region:
    """The cells that hold a valid pixel. Raises InputError when there is none."""
    row0, col0 = grid.row // scale, grid.col // scale
    mask = np.zeros((-(-(grid.row + grid.height) // scale) - row0, -(-(grid.col + grid.width) // scale) - col0), np.bool_)
    columns = grid.col - col0 * scale, -(grid.col + grid.width) % scale
    for first, pixels in valid_rows(grid, valid, _ROWS_AT_ONCE):
        top, bottom = grid.row + first, grid.row + first + len(pixels)
        whole = np.pad(pixels, ((top % scale, -bottom % scale), columns))
        blocks = whole.reshape(whole.shape[0] // scale, scale, mask.shape[1], scale)
        mask[top // scale - row0 :][: len(blocks)] |= np.asarray(blocks.any(axis=(1, 3)))
    if not mask.any():
        raise InputError("The area covers no pixel of its grid; choose a finer resolution or a larger area.")
    return Region(row0, col0, mask)
