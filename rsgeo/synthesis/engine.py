"""The engine: runs a `TileModel` over the windows of a plan and yields decoded row bands.

Every pixel is a pure function of the request and its place. Windows are whole and anchored to the world, the noise belongs to the
world's cells, and overlaps are weighted means added in (row, column) order, whatever area was asked for (SYNTHESIS.md, S1 and S2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from rsgeo.errors import CancelledError, InputError, ModelError
from rsgeo.request import PhaseRecord, Request
from rsgeo.runtime import Progress
from rsgeo.scene import SceneMetadata
from rsgeo.synthesis.lattice import Lattice, box, corners, weight_2d
from rsgeo.synthesis.noise import noise_normal
from rsgeo.synthesis.plan import BANDS, Stage, Valid, decoder_lattice, evaluations, passes, schedule, valid_rows, wanted_cells
from rsgeo.tilemodel import Level, TileModel

SceneAt = Callable[[NDArray[np.float64], NDArray[np.float64]], list[SceneMetadata]]
"""``scene_at(xs_px, ys_px)``: the scene at each place, in pixels from the grid's upper left corner; places may lie outside the grid."""

Array = NDArray[np.float32]

_UNIFORM = "The model gave a picture of one single colour; check its files, or try another prompt, seed or --dtype fp32."
_MOST_UNIFORM_PX = 64  # a few pixels may honestly be all alike; more of them are a broken model


@dataclass(frozen=True)
class Band:
    """Rows of the output from grid row ``row0`` on: ``pixels`` (3, h, w) uint8, 0 outside the mask; ``mask`` (h, w) bool, True = valid."""

    row0: int
    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def bands(
    model: TileModel,
    request: Request,
    *,
    batch_size: int,
    scene_at: SceneAt,
    valid: Valid | None = None,
    progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    band_rows: int = 512,
) -> Iterator[Band]:
    """The picture of ``request``, top to bottom, in bands of ``band_rows`` rows that cover the whole grid.

    Only windows that reach a pixel marked by ``valid`` (None: all pixels) are run, ``batch_size`` at a time; progress counts evaluations
    of the network. Bands are held back until the picture is known not to be uniform. Raises InputError for a plan that does not fit the
    model or an area without pixels, ModelError when the model gives NaN, infinity or one single colour, CancelledError when
    ``cancelled`` answers True.
    """
    level, phases = _level(model, request), request.synthesis.phases
    cells = wanted_cells(request.grid, level.scale, valid)
    decoder = decoder_lattice(phases, level.decoder_tile, level.decoder_stride)
    stages, decoder_stage = schedule(phases, cells, decoder, local=level.decoder_tile is None)
    run = _Run(model, level, request, batch_size, scene_at, evaluations(request, stages), progress, cancelled)
    latents: _Cells | None = None
    for phase, stage in zip(phases, stages, strict=True):
        latents = run.phase(phase, stage, latents)
    assert latents is not None
    yield from _not_uniform(run.decoded(decoder_stage, latents, valid, band_rows))


def _level(model: TileModel, request: Request) -> Level:
    """The model's only level, after checking that the request's phases walk through exactly its steps."""
    if len(model.levels) != 1:
        raise InputError(f"Models of {len(model.levels)} levels cannot be run yet; choose a model of one level.")
    level, phases = model.levels[0], request.synthesis.phases
    edges = [0, *(phase.last for phase in phases)]
    if [phase.first for phase in phases] != edges[:-1] or edges[-1] != len(level.noise_levels):
        raise InputError(f"The plan's phases are not the sampler's {len(level.noise_levels)} steps in order; make a new request.")
    if any(phase.tile != level.tile or phase.stride > phase.tile for phase in phases):
        raise InputError(f"The plan's windows do not fit the model's tile of {level.tile} cells; make a new request.")
    return level


class _Cells:
    """The cells one phase has made: an array over the box of its windows."""

    def __init__(self, stage: Stage, channels: int) -> None:
        self.row0, self.col0, height, width = box(stage.lattice, stage.windows)
        self.array = np.zeros((channels, height, width), np.float32)

    def add(self, values: Array, row: int, col: int) -> None:
        _add(self.array, values, row - self.row0, col - self.col0)

    def read(self, row: int, col: int, tile: int) -> Array:
        """A window (channels, tile, tile); cells that no window made are 0 (only a local decoder reads such)."""
        window = np.zeros((len(self.array), tile, tile), np.float32)
        _add(window, self.array, self.row0 - row, self.col0 - col)
        return window


@dataclass
class _Run:
    """One walk through the phases: what all windows have in common, and the count of work done."""

    model: TileModel
    level: Level
    request: Request
    batch_size: int
    scene_at: SceneAt
    total: int
    progress: Callable[[Progress], None] | None
    cancelled: Callable[[], bool] | None
    done: int = field(default=0, init=False)

    def phase(self, phase: PhaseRecord, stage: Stage, before: _Cells | None) -> _Cells:
        """The weighted mean of a phase's windows; ``before`` is what the phase before made, None for the first."""
        weights, after = weight_2d(stage.lattice), _Cells(stage, self.level.channels)
        for batch, count in self._batches(stage):
            windows = self._denoise(phase, batch, count, before)
            for (row, col), window in zip(batch[:count], windows, strict=False):
                after.add(weights * window, row, col)
        return after

    @torch.inference_mode()
    def _denoise(self, phase: PhaseRecord, batch: list[tuple[int, int]], count: int, before: _Cells | None) -> Array:
        """A batch of windows (given by their corners, the first ``count`` of them real) through the phase's steps."""
        level = self.level
        if before is None:
            cells = level.start(self._noise("L0/init", batch))
        else:
            cells = self.model.to_device(np.stack([before.read(row, col, phase.tile) for row, col in batch]))
        conditions = level.conditions([self.request.prompt] * len(batch), self._scenes(batch))
        solver = level.solver(phase.first, phase.last)
        for step in range(phase.first, phase.last):
            self._stop_if_cancelled()
            output = level.predict(cells, step, conditions)
            cells = solver.step(cells, output, self._noise(f"L0/step{step}", batch) if level.stochastic else None)
            self.done += count * passes(self.request)
            if self.progress is not None:
                self.progress(Progress("synthesis", self.done, self.total))
        return _finite(cells, last=phase.last == len(level.noise_levels))

    def decoded(self, stage: Stage, latents: _Cells, valid: Valid | None, band_rows: int) -> Iterator[Band]:
        """The bands: windows decoded row by row and blended; what reaches below a band is carried into the next."""
        grid, scale, tile = self.request.grid, self.level.scale, stage.lattice.tile
        weights = weight_2d(Lattice(tile * scale, stage.lattice.stride * scale))
        tops = corners(stage.lattice, stage.windows)[:, 0] * scale - grid.row
        carried = np.zeros((BANDS, 0, grid.width), np.float32)
        begun = 0
        for row0, mask in valid_rows(grid, valid, band_rows):
            height = len(mask)
            strip = np.zeros((BANDS, height + tile * scale, grid.width), np.float32)
            strip[:, : carried.shape[1]] = carried
            end = int(np.searchsorted(tops, row0 + height))
            for batch, count in self._batches(Stage(stage.lattice, stage.windows[begun:end])):
                windows = self._decode(np.stack([latents.read(row, col, tile) for row, col in batch]))
                for (row, col), window in zip(batch[:count], windows, strict=False):
                    _add(strip, weights * window, row * scale - grid.row - row0, col * scale - grid.col)
            begun, carried = end, strip[:, height:]
            pixels = np.rint(np.clip((strip[:, :height] + 1) * 127.5, 0, 255)).astype(np.uint8)
            yield Band(row0, pixels * mask, mask)

    @torch.inference_mode()
    def _decode(self, cells: Array) -> Array:
        self._stop_if_cancelled()
        return _finite(self.level.decode(self.model.to_device(cells)))

    def _stop_if_cancelled(self) -> None:
        if self.cancelled is not None and self.cancelled():
            raise CancelledError("The run was cancelled; start it again to have the picture.")

    def _batches(self, stage: Stage) -> Iterator[tuple[list[tuple[int, int]], int]]:
        """Corners (row, column) of windows, ``batch_size`` at a time, and how many are real.

        A short batch is filled with its last window: results may depend, in the last bits, on the shape of a batch.
        """
        places = [(int(row), int(col)) for row, col in corners(stage.lattice, stage.windows)]
        for first in range(0, len(places), self.batch_size):
            batch = places[first : first + self.batch_size]
            yield batch + batch[-1:] * (self.batch_size - len(batch)), len(batch)

    def _noise(self, name: str, batch: list[tuple[int, int]]) -> torch.Tensor:
        tile, channels = self.level.tile, self.level.channels
        return self.model.to_device(np.stack([noise_normal(self.request.seed, name, row, col, tile, tile, channels) for row, col in batch]))

    def _scenes(self, batch: list[tuple[int, int]]) -> list[SceneMetadata]:
        """The scene at each window's centre."""
        centres = (np.array(batch, np.float64) + self.level.tile / 2) * self.level.scale
        return self.scene_at(centres[:, 1] - self.request.grid.col, centres[:, 0] - self.request.grid.row)


def _add(target: Array, source: Array, row: int, col: int) -> None:
    """Adds to ``target`` what of ``source``, its corner at (row, col) of the target, lies on it."""
    top, left = max(row, 0), max(col, 0)
    bottom, right = min(row + source.shape[1], target.shape[1]), min(col + source.shape[2], target.shape[2])
    if top < bottom and left < right:
        target[:, top:bottom, left:right] += source[:, top - row : bottom - row, left - col : right - col]


def _finite(windows: torch.Tensor, *, last: bool = False) -> Array:
    """The tensor as numpy float32, after checking that it is finite and, at the ``last`` step, no flat surface."""
    if not bool(torch.isfinite(windows).all()):
        raise ModelError("The model gave numbers that are not finite; check its files, or try --dtype fp32.")
    if last and bool((windows == windows[..., :1, :1]).all()):
        raise ModelError(_UNIFORM)
    return windows.float().cpu().numpy()


def _not_uniform(picture: Iterator[Band]) -> Iterator[Band]:
    """The bands, held back until two valid pixels differ."""
    held: list[Band] = []
    colour: NDArray[np.uint8] | None = None
    count = 0
    for band in picture:
        held.append(band)
        seen = band.pixels[:, band.mask]
        count += seen.shape[1]
        if colour is None and count:
            colour = seen[:, :1]
        if colour is not None and bool((seen != colour).any()):
            break
    else:
        if count > _MOST_UNIFORM_PX:
            raise ModelError(_UNIFORM)
    yield from held
    yield from picture
