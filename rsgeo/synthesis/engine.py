"""The engine: runs a `TileModel` over the windows of a plan and yields decoded row bands.

Every pixel is a pure function of the request and its place. Windows are whole and anchored to the world, the noise belongs to the
world's cells, and overlaps are weighted means added in (row, column) order, whatever area was asked for (SYNTHESIS.md, S1 and S2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rsgeo.errors import CancelledError, InputError, ModelError
from rsgeo.request import Request
from rsgeo.runtime import Progress
from rsgeo.scene import SceneMetadata
from rsgeo.synthesis.blocks import Block, Graph, Stage, Valid, Wave
from rsgeo.synthesis.feather import feathered
from rsgeo.synthesis.lattice import Lattice, weight_2d, windows_touching
from rsgeo.synthesis.noise import noise_normal
from rsgeo.synthesis.phases import check_levels
from rsgeo.synthesis.plan import BANDS, BLOCKS_TOGETHER, evaluations, evaluations_of, passes
from rsgeo.synthesis.store import MemoryStore, Store
from rsgeo.synthesis.wishes import Wish, WishesAt
from rsgeo.tilemodel import Coarser, Known, Level, Seen, TileModel

SceneAt = Callable[[NDArray[np.float64], NDArray[np.float64]], list[SceneMetadata]]
"""``scene_at(xs_px, ys_px)``: the scene at each place, in pixels from the grid's upper left corner; places may lie outside the grid."""

SeenAt = Callable[[Sequence[tuple[int, int]]], list[Seen]]
"""``seen_at(corners)``: what windows, given by their first world cells, show of the images that condition them.

A pixel of those has to be the same in every window (`rsgeo.geo.warp.WarpedRaster`)."""

KnownIn = Callable[[int, int, int, int], Known]
"""``known_in(row, col, height, width)``: the given pixels of a rectangle of the world's pixels; they too are the same in every rectangle."""

Array = NDArray[np.float32]
Held = Mapping[tuple[int, int, int], Array]
"""Finished windows by stage, row and column index."""

_UNIFORM = "The model gave a picture of one single colour; check its files, or try another prompt, seed or --dtype fp32."
_MOST_UNIFORM_PX = 64  # a few pixels may honestly be all alike; more of them are a broken model


@dataclass(frozen=True)
class Band:
    """Rows of the output from grid row ``row0`` on: ``pixels`` (3, h, w) uint8, 0 outside the mask; ``mask`` (h, w) bool, True = valid."""

    row0: int
    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def bands(maker: Maker, *, store: Store | None = None, progress: Callable[[Progress], None] | None = None) -> Iterator[Band]:
    """The whole picture, top to bottom, in bands that cover the grid; what is ``done`` in the ``store`` is not made again.

    Progress counts evaluations of the network. Bands are held back until the picture is known not to be uniform. Raises ModelError when the
    model gives NaN, infinity or one single colour, CancelledError when the maker is told to stop.
    """
    kept = MemoryStore() if store is None else store
    total = evaluations(maker.request, maker.pieces, maker.wishes_at)
    done = sum(evaluations_of(block, maker.request, maker.pieces, maker.wishes_at) for block in kept.done)

    def report(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(Progress("synthesis", done, total))

    def compute(wave: Wave) -> None:
        for block, array in maker.make(wave.blocks, kept.get, report):
            kept.put(block, array)
        for block in wave.free:
            kept.free(block)

    yield from _not_uniform(_bands(maker.pieces, kept, maker.valid, compute))


def finished_bands(pieces: Graph, store: Store, valid: Valid | None) -> Iterator[Band]:
    """`bands` of a picture whose blocks are all in the store."""

    def compute(wave: Wave) -> None:
        raise ValueError(f"{len(wave.blocks)} blocks of stage {wave.blocks[0].stage} are missing")

    yield from _not_uniform(_bands(pieces, store, valid, compute))


def _bands(pieces: Graph, store: Store, valid: Valid | None, compute: Callable[[Wave], None]) -> Iterator[Band]:
    width = pieces.grid.width
    for (row0, height), pictures, waves in pieces.walk(store.done):
        for wave in waves:
            compute(wave)
        mask = np.ones((height, width), np.bool_) if valid is None else valid(row0, 0, height, width)
        pixels = np.zeros((BANDS, height, width), np.uint8)
        for block in pictures:
            _, col0, _, columns = pieces.pixels(block)
            pixels[:, :, col0 : col0 + columns] = store.get(block)
            store.free(block)
        yield Band(row0, pixels, mask)


def levels_of(model: TileModel, request: Request, pieces: Graph) -> tuple[Level, ...]:
    """The model's levels, the finest first, after checking that the request's phases walk through their steps and the blocks are cut for them."""
    levels = model.levels
    check_levels(request.synthesis, [(level.tile, level.gsd_factor) for level in levels], request.sampler.num_inference_steps)
    if any(len(level.noise_levels) != request.sampler.num_inference_steps for level in levels):
        raise InputError("The plan's phases are not the sampler's steps; make a new request.")
    finest = levels[-1]
    decoder = pieces.stages[-1].lattice.tile if pieces.stages[-1].phase is None else None
    if (pieces.scale, decoder) != (finest.scale, finest.decoder_tile):
        raise InputError("The model's record states another scale or decoder than its weights have; install the model again.")
    return levels[::-1]


class Maker:
    """Makes blocks, whoever keeps them: a pure function of the request and the blocks read.

    ``pieces`` are the request's blocks and ``valid`` the mask they were found with. Windows run ``batch_size`` at a time. ``wishes_at`` gives each
    window's prompts where they are not the request's own, ``seen_at`` the images that condition it, ``known_in`` the pixels that are given. Raises
    InputError for a plan that does not fit the model.
    """

    def __init__(
        self,
        model: TileModel,
        request: Request,
        pieces: Graph,
        *,
        batch_size: int,
        scene_at: SceneAt,
        wishes_at: WishesAt | None = None,
        seen_at: SeenAt | None = None,
        known_in: KnownIn | None = None,
        valid: Valid | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self.model, self.levels, self.request, self.pieces = model, levels_of(model, request, pieces), request, pieces
        self.batch_size, self.scene_at, self.wishes_at, self.valid, self.cancelled = batch_size, scene_at, wishes_at, valid, cancelled
        self.seen_at, self.known_in = seen_at, known_in
        self._report: Callable[[int], None] = _nobody

    def make(
        self, blocks: Sequence[Block], get: Callable[[Block], NDArray[np.generic]], report: Callable[[int], None] | None = None
    ) -> Iterator[tuple[Block, NDArray[np.generic]]]:
        """Each of ``blocks``, all of one stage, with its array; ``get`` gives the arrays of the blocks that they need.

        ``report`` is told of evaluations of the network as they are done.

        A phase's block is (windows, channel, tile, tile) float32, the decoder's the same in pixels, the picture's (3, height, width) uint8.
        """
        stage, self._report = blocks[0].stage, report or _nobody
        make, together = self._decoder, BLOCKS_TOGETHER
        if self.pieces.phase(blocks[0]) is not None:
            # Regions are drawn a block at a time; else batches run on across the borders of blocks.
            make, together = (self._phase, BLOCKS_TOGETHER) if self.wishes_at is None else (self._phase_of_regions, 1)
        for first in range(0, len(blocks), together):
            group = blocks[first : first + together]
            needs = sorted({need for block in group for need in self.pieces.needs(block)})
            held = {(need.stage, i, j): array for need in needs for (i, j), array in zip(self.pieces.windows(need).tolist(), get(need), strict=True)}
            if stage == self.pieces.picture:
                yield from ((block, self._picture(block, held)) for block in group)
                continue
            made = make(stage, [(int(i), int(j)) for block in group for i, j in self.pieces.windows(block)], held)
            for block in group:
                yield block, np.stack([next(made) for _ in self.pieces.windows(block)])

    def _phase(
        self, stage: int, windows: list[tuple[int, int]], held: Held, wishes: Mapping[tuple[int, int], tuple[Wish, ...]] | None = None
    ) -> Iterator[Array]:
        """The windows of a phase after its last step; ``held`` are those of the phase before, none for a level's first, and of the coarser level.

        ``wishes`` are equally many for each window; without them the request's prompt is.
        """
        lattice, before, coarser = self.pieces.stages[stage].lattice, self.pieces.before(stage), self.pieces.coarser(stage)
        for batch, count in self._batches(windows):
            places = _corners(lattice, batch)
            cells = None if before is None else np.stack([self._gather(before, row, col, lattice.tile, held) for row, col in places])
            under = None if coarser is None else self._coarser(stage, coarser, places, held)
            asked = [(Wish(self.request.prompt),)] * len(batch) if wishes is None else [wishes[window] for window in batch]
            yield from self._denoise(self.pieces.stages[stage], places, count, cells, under, asked)[:count]

    def _coarser(self, stage: int, coarser: int, places: list[tuple[int, int]], held: Held) -> Coarser:
        """What windows of a stage, given by their first cells, read of the coarser level, and the world's noise for it (SYNTHESIS.md 5.7)."""
        reader, read = self.pieces.stages[stage], self.pieces.stages[coarser]
        ratio = read.factor // reader.factor
        size = reader.lattice.tile // ratio
        cells = np.stack([self._gather(coarser, row // ratio, col // ratio, size, held) for row, col in places])
        return Coarser(self.model.to_device(cells), self._noise(self.levels[reader.level], "sr/aug", places))

    def _phase_of_regions(self, stage: int, windows: list[tuple[int, int]], held: Held) -> Iterator[Array]:
        """`_phase` where windows have one or several prompts: those with equally many share a batch, so that one costs no more than one."""
        assert self.wishes_at is not None
        lattice, factor = self.pieces.stages[stage].lattice, self.pieces.stages[stage].factor
        wishes = dict(zip(windows, self.wishes_at(_corners(lattice, windows), lattice.tile, factor), strict=True))
        made: dict[tuple[int, int], Array] = {}
        for number in sorted({len(asked) for asked in wishes.values()}):
            alike = [window for window in windows if len(wishes[window]) == number]
            made.update(zip(alike, self._phase(stage, alike, held, wishes), strict=True))
        yield from (made[window] for window in windows)

    @torch.inference_mode()
    def _denoise(
        self,
        stage: Stage,
        places: list[tuple[int, int]],
        count: int,
        before: Array | None,
        coarser: Coarser | None,
        wishes: Sequence[tuple[Wish, ...]],
    ) -> Array:
        """A batch of windows, given by their first cells and the first ``count`` of them real, through the steps of a phase.

        Where a window has several prompts, the model's outputs for them are blended by their shares of each cell (SYNTHESIS.md 5.4).
        """
        level, field, phase = self.levels[stage.level], f"L{stage.level}", stage.phase
        assert phase is not None
        scenes = self._scenes(level, places)
        seen = None if self.seen_at is None else self.seen_at(places)
        known = None if self.known_in is None else [self._known(row, col, level.tile) for row, col in places]
        cells = level.start(self._noise(level, f"{field}/init", places)) if before is None else self.model.to_device(before)
        rounds = []
        for asked in zip(*wishes, strict=True):
            shares = None if asked[0].share is None else self.model.to_device(np.stack([wish.share for wish in asked])[:, None])
            rounds.append((level.conditions([wish.prompt for wish in asked], scenes, seen, known, coarser), shares))
        solver = level.solver(phase.first, phase.last)
        for step in range(phase.first, phase.last):
            output = None
            for conditions, shares in rounds:
                self._stop_if_cancelled()
                part = level.predict(cells, step, conditions)
                part = part if shares is None else part * shares
                output = part if output is None else output + part
                self._report(count * passes(self.request))
            assert output is not None
            cells = solver.step(cells, output, self._noise(level, f"{field}/step{step}", places) if level.stochastic else None)
        return _finite(cells, last=phase.last == len(level.noise_levels))

    def _decoder(self, stage: int, windows: list[tuple[int, int]], held: Held) -> Iterator[Array]:
        """The windows of a decoder that is not local, in pixels."""
        lattice = self.pieces.stages[stage].lattice
        for batch, count in self._batches(windows):
            cells = [self._gather(stage - 1, row, col, lattice.tile, held) for row, col in _corners(lattice, batch)]
            yield from self._decode(np.stack(cells))[:count]

    def _picture(self, block: Block, held: Held) -> NDArray[np.uint8]:
        """A block of the picture, cut to the grid: 0 where no pixel is wanted."""
        level, margin = self.levels[0], self.pieces.margin
        side = self.pieces.side + 2 * margin
        row, col = block.row * self.pieces.side - margin, block.col * self.pieces.side - margin
        if level.decoder_tile is not None:
            whole = self._gather(block.stage - 1, row, col, side, held, level.scale)
        else:
            cells = self._gather(block.stage - 1, row, col, side, held)
            whole = self._decode(cells[None])[0] if margin else self._decode_by_tiles(cells)
        if margin and self.known_in is not None:
            known = self._known(row, col, side)
            whole = feathered(whole, known.pixels, known.mask)
        row0, col0, height, width = self.pieces.pixels(block)
        top, left = row0 - (row * level.scale - self.request.grid.row), col0 - (col * level.scale - self.request.grid.col)
        cut = whole[:, top : top + height, left : left + width]
        painted: NDArray[np.uint8] = np.rint(np.clip((cut + 1) * 127.5, 0, 255)).astype(np.uint8)
        if self.valid is not None:
            painted *= self.valid(row0, col0, height, width)
        return painted

    def _decode_by_tiles(self, cells: Array) -> Array:
        """Pixels of a square of whole tiles, by a decoder that is local."""
        tile, size = self.levels[0].tile, self.levels[0].tile * self.levels[0].scale
        count = cells.shape[1] // tile
        whole = np.empty((BANDS, count * size, count * size), np.float32)
        for batch, real in self._batches([(i, j) for i in range(count) for j in range(count)]):
            tiles = self._decode(np.stack([cells[:, i * tile : (i + 1) * tile, j * tile : (j + 1) * tile] for i, j in batch]))
            for (i, j), pixels in zip(batch[:real], tiles, strict=False):
                whole[:, i * size : (i + 1) * size, j * size : (j + 1) * size] = pixels
        return whole

    def _gather(self, stage: int, row: int, col: int, size: int, held: Held, scale: int = 1) -> Array:
        """Cells [row, row + size) x [col, col + size) of a stage: the weighted mean of its windows, added in row-major order (S2).

        With ``scale`` the windows are pixels, so many a cell. Cells that no window made are 0; nobody reads such.
        """
        lattice = self.pieces.stages[stage].lattice
        weights = _weights(lattice, scale)
        target: Array | None = None
        for i in windows_touching(row, row + size, lattice):
            for j in windows_touching(col, col + size, lattice):
                window = held.get((stage, i, j))
                if window is None:
                    continue
                if target is None:
                    target = np.zeros((len(window), size * scale, size * scale), np.float32)
                top, left = (index * lattice.stride + lattice.shift - start for index, start in ((i, row), (j, col)))
                _add(target, weights * window, top * scale, left * scale)
        assert target is not None, "a block was asked for that nobody needs"
        return target

    @torch.inference_mode()
    def _decode(self, cells: Array) -> Array:
        self._stop_if_cancelled()
        return _finite(self.levels[0].decode(self.model.to_device(cells)))

    def _stop_if_cancelled(self) -> None:
        if self.cancelled is not None and self.cancelled():
            raise CancelledError("The run was cancelled; start it again to have the picture.")

    def _batches(self, windows: list[tuple[int, int]]) -> Iterator[tuple[list[tuple[int, int]], int]]:
        """Windows, ``batch_size`` at a time, and how many are real.

        A short batch is filled with its last window: results may depend, in the last bits, on the shape of a batch.
        """
        for first in range(0, len(windows), self.batch_size):
            batch = windows[first : first + self.batch_size]
            yield batch + batch[-1:] * (self.batch_size - len(batch)), len(batch)

    def _noise(self, level: Level, name: str, places: list[tuple[int, int]]) -> torch.Tensor:
        tile, channels = level.tile, level.channels
        return self.model.to_device(np.stack([noise_normal(self.request.seed, name, row, col, tile, tile, channels) for row, col in places]))

    def _known(self, row: int, col: int, size: int) -> Known:
        """The given pixels of cells [row, row + size) x [col, col + size)."""
        assert self.known_in is not None
        scale = self.levels[0].scale
        return self.known_in(row * scale, col * scale, size * scale, size * scale)

    def _scenes(self, level: Level, places: list[tuple[int, int]]) -> list[SceneMetadata]:
        """The scene at each window's centre."""
        centres = (np.array(places, np.float64) + level.tile / 2) * (level.scale * level.gsd_factor)
        return self.scene_at(centres[:, 1] - self.request.grid.col, centres[:, 0] - self.request.grid.row)


def _nobody(count: int) -> None:
    """Nobody wants to know."""


def _corners(lattice: Lattice, windows: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The first world cell of each window."""
    return [(i * lattice.stride + lattice.shift, j * lattice.stride + lattice.shift) for i, j in windows]


def _weights(lattice: Lattice, scale: int) -> Array:
    return weight_2d(Lattice(lattice.tile * scale, lattice.stride * scale))


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
