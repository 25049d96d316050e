"""Blocks: the pieces in which an area is computed, kept, resumed and sent to workers. Pure numbers.

A stage is a phase, the decoder (where it has windows of its own) or, last, the picture; the phases of a cascade are those of its levels,
coarse to fine. A block of a phase or decoder holds the windows whose first cell lies in its square of ``side`` x ``side`` world cells of the
finest level; a block of the picture holds the pixels of that square. The squares are anchored to the world like the windows, so that two
areas share blocks; which windows a block holds depends on the area, what is in them does not (SYNTHESIS.md, S1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from rsgeo.errors import AreaError
from rsgeo.request import GridRecord, PhaseRecord, Synthesis
from rsgeo.synthesis.lattice import Lattice, corners, windows_touching
from rsgeo.synthesis.phases import lattice_of

Valid = Callable[[int, int, int, int], NDArray[np.bool_]]
"""``valid(row0, col0, height, width)`` -> (height, width) bool, True where a pixel is wanted; (0, 0) is the grid's upper left pixel."""

_NONE = np.empty((0, 2), np.int64)
_SMALL = 9
_SIDE_PX, _SIDE_TILES = 384, 3
"""A block is at least so large: fewer windows would not fill a batch, many more would cost memory and, after a power cut, time."""


@dataclass(frozen=True, order=True)
class Block:
    """A square of world cells in one stage."""

    stage: int
    row: int
    col: int


@dataclass(frozen=True)
class Stage:
    """A lattice and the windows of it that must run: (n, 2) row and column index, row-major.

    ``level`` counts from the finest, which is 0; the lattice is in cells of that level, each of which is ``factor`` of the finest along an axis.
    Without a ``phase`` it is the decoder.
    """

    lattice: Lattice
    windows: NDArray[np.int64]
    level: int = 0
    factor: int = 1
    phase: PhaseRecord | None = None


@dataclass(frozen=True)
class Wave:
    """Blocks of one stage that are ready to be computed together, and those that nobody needs any more afterwards."""

    blocks: tuple[Block, ...]
    free: tuple[Block, ...]


class Graph:
    """Which windows an area needs, in which blocks, and which block reads which.

    ``stages`` are the phases, first to last, and the decoder unless it is local; stage number ``len(stages)`` is the picture. Its blocks are made
    from ``margin`` cells more on each side, and all cells so near to a valid pixel are made. Raises AreaError when no pixel is valid.
    """

    def __init__(
        self,
        grid: GridRecord,
        synthesis: Synthesis,
        *,
        scale: int,
        decoder_tile: int | None = None,
        decoder_stride: int | None = None,
        valid: Valid | None = None,
        margin: int = 0,
    ) -> None:
        self.grid = grid
        self.scale = scale
        self.margin = margin
        levels = synthesis.levels
        plan = [
            Stage(lattice_of(phase), _NONE, len(levels) - 1 - number, level.gsd_factor, phase)
            for number, level in enumerate(levels)
            for phase in level.phases
        ]
        if decoder_tile is not None:
            plan.append(Stage(Lattice(decoder_tile, 3 * decoder_tile // 4 if decoder_stride is None else decoder_stride), _NONE))
        self.side = block_side(plan[-1].lattice.tile, scale)
        self.picture = len(plan)
        squares, last = Lattice(self.side, self.side), plan[-1].lattice
        windows, pictures = wanted_windows(grid, scale, (last, squares), valid)
        if not len(pictures):
            raise AreaError("The area covers no pixel of its grid; choose a finer resolution or a larger area.")
        if margin:
            (windows,) = wanted_windows(_grown(grid, margin * scale), scale, (last,), _near(valid, grid, margin * scale))
        stages = [replace(plan[-1], windows=windows)]
        for stage in plan[-2::-1]:
            # The first phase of a level covers all that its other ones do, so that it alone says what they read of the coarser level.
            reader = stages[0]
            found = windows_read(stage.lattice, reader.lattice.in_larger(stage.factor // reader.factor), reader.windows)
            stages.insert(0, replace(stage, windows=found))
        self.stages = tuple(stages)
        self._windows: dict[Block, NDArray[np.int64]] = {}
        for number, stage in enumerate(self.stages):
            for (row, col), members in _grouped(corners(stage.lattice, stage.windows) // (self.side // stage.factor), stage.windows):
                self._windows[Block(number, row, col)] = members
        self.pictures = tuple(Block(self.picture, row, col) for row, col in pictures.tolist())

    def is_small(self, worlds: int = 1) -> bool:
        """Whether the area is made again, in so many worlds, faster than a job directory is worth."""
        return worlds * len(self.pictures) <= _SMALL

    def windows(self, block: Block) -> NDArray[np.int64]:
        """Row and column index (n, 2) of a block's windows, row-major."""
        return self._windows[block]

    def blocks(self) -> Iterator[Block]:
        """All blocks, stage by stage."""
        yield from self._windows
        yield from self.pictures

    def phase(self, block: Block) -> PhaseRecord | None:
        """The phase whose windows a block holds; None for the decoder's and the picture's."""
        return None if block.stage == self.picture else self.stages[block.stage].phase

    def before(self, number: int) -> int | None:
        """The stage whose cells the stage of that number goes on with; None for the first of a level."""
        if number == self.picture:
            return number - 1
        return number - 1 if number and self.stages[number - 1].level == self.stages[number].level else None

    def coarser(self, number: int) -> int | None:
        """The stage whose cells condition the stage of that number: the last of the coarser level; None where there is none."""
        if number == self.picture or self.stages[number].phase is None:
            return None
        level = self.stages[number].level + 1
        return max((index for index, stage in enumerate(self.stages) if stage.level == level), default=None)

    def needs(self, block: Block) -> list[Block]:
        """The blocks that hold what ``block`` reads, by stage, row-major."""
        return [need for stage in (self.coarser(block.stage), self.before(block.stage)) if stage is not None for need in self._under(block, stage)]

    def _under(self, block: Block, number: int) -> list[Block]:
        """The blocks of a stage whose windows touch the cells that ``block`` covers."""
        stage = self.stages[number]
        if block.stage == self.picture:
            tops = np.array([[block.row, block.col]]) * self.side - self.margin
            size = self.side + 2 * self.margin
        else:
            reader = self.stages[block.stage]
            lattice = reader.lattice.in_larger(stage.factor // reader.factor)
            tops, size = corners(lattice, self.windows(block)), lattice.tile
        rows, cols = (self._squares(int(tops[:, axis].min()), int(tops[:, axis].max()) + size, stage) for axis in (0, 1))
        found = (Block(number, row, col) for row in rows for col in cols)
        return [other for other in found if other in self._windows]

    def _squares(self, start: int, stop: int, stage: Stage) -> range:
        """Along one axis, the squares in which windows of a stage that touch its cells [start, stop) begin."""
        lattice, side = stage.lattice, self.side // stage.factor
        touching = windows_touching(start, stop, lattice)
        first, last = (touching[end] * lattice.stride + lattice.shift for end in (0, -1))
        return range(first // side, last // side + 1)

    def pixels(self, block: Block) -> tuple[int, int, int, int]:
        """The part of the grid that a block of the picture covers: (row0, col0, height, width) in the grid's pixels."""
        side = self.side * self.scale
        row0, col0 = max(block.row * side - self.grid.row, 0), max(block.col * side - self.grid.col, 0)
        row1 = min((block.row + 1) * side - self.grid.row, self.grid.height)
        col1 = min((block.col + 1) * side - self.grid.col, self.grid.width)
        return row0, col0, row1 - row0, col1 - col0

    def walk(self, done: Iterable[Block] = ()) -> Iterator[tuple[tuple[int, int], tuple[Block, ...], list[Wave]]]:
        """The work, by rows of blocks of the picture, top to bottom; blocks in ``done`` are not made again.

        Gives (first grid row, height), the picture's blocks of that row, and the waves that make them. All rows of the grid come, also those
        in which nothing is wanted.
        """
        have = set(done)
        readers = Counter(need for block in self.blocks() if block not in have for need in self.needs(block))
        by_row = {row: tuple(blocks) for row, blocks in groupby(self.pictures, key=lambda block: block.row)}
        side = self.side * self.scale
        for row in range(self.grid.row // side, -(-(self.grid.row + self.grid.height) // side)):
            pictures = by_row.get(row, ())
            waves: list[Wave] = []
            missing: dict[int, set[Block]] = {self.picture: set(pictures) - have}
            for stage in range(self.picture, 0, -1):
                for need in {need for block in missing.get(stage, ()) for need in self.needs(block)} - have:
                    missing.setdefault(need.stage, set()).add(need)
            for blocks in (sorted(missing[stage]) for stage in sorted(missing) if missing[stage]):
                readers.subtract(need for block in blocks for need in self.needs(block))
                free = sorted({need for block in blocks for need in self.needs(block) if readers[need] == 0})
                have.update(blocks)
                waves.append(Wave(tuple(blocks), tuple(free)))
            first = max(row * side - self.grid.row, 0)
            yield (first, min((row + 1) * side - self.grid.row, self.grid.height) - first), pictures, waves


def block_side(tile: int, scale: int) -> int:
    """Side of a block in cells: whole tiles, so that a local decoder works on whole ones."""
    return tile * max(_SIDE_TILES, -(-_SIDE_PX // (tile * scale)))


def wanted_windows(
    grid: GridRecord, scale: int, lattices: Sequence[Lattice], valid: Valid | None, rows_at_once: int = 1024
) -> list[NDArray[np.int64]]:
    """For each lattice, the windows that reach a valid pixel: (n, 2) as (row, column) index, row-major."""
    col0, end = grid.col // scale, -(-(grid.col + grid.width) // scale)
    columns = grid.col - col0 * scale, -(grid.col + grid.width) % scale
    spans = [_Spans(lattice, grid.row // scale, -(-(grid.row + grid.height) // scale), col0, end) for lattice in lattices]
    for first, mask in valid_rows(grid, valid, rows_at_once):
        top, bottom = grid.row + first, grid.row + first + len(mask)
        whole = np.pad(mask, ((top % scale, -bottom % scale), columns))
        cells = whole.reshape(whole.shape[0] // scale, scale, end - col0, scale).any(axis=(1, 3))
        for span in spans:
            span.mark(top // scale, np.asarray(cells))
    return [span.windows() for span in spans]


def _grown(grid: GridRecord, margin: int) -> GridRecord:
    """A grid with so many pixels more on each side."""
    col, row, width, height = grid.col - margin, grid.row - margin, grid.width + 2 * margin, grid.height + 2 * margin
    return grid.model_copy(update={"col": col, "row": row, "width": width, "height": height})


def _near(valid: Valid | None, grid: GridRecord, margin: int) -> Valid:
    """Of the grid that is ``margin`` pixels larger, those at most so far, along either axis, from a valid pixel of the grid."""

    def near(row0: int, col0: int, height: int, width: int) -> NDArray[np.bool_]:
        # In the grid's own pixels the rectangle begins at (row0 - margin, col0 - margin), and its neighbourhood as far before that.
        top, left = row0 - 2 * margin, col0 - 2 * margin
        wide = np.zeros((height + 2 * margin, width + 2 * margin), np.bool_)
        rows = range(max(top, 0), min(top + wide.shape[0], grid.height))
        cols = range(max(left, 0), min(left + wide.shape[1], grid.width))
        if rows and cols:
            at = (slice(rows.start - top, rows.stop - top), slice(cols.start - left, cols.stop - left))
            wide[at] = True if valid is None else valid(rows.start, cols.start, len(rows), len(cols))
        for axis in (0, 1):
            wide = np.asarray(np.lib.stride_tricks.sliding_window_view(wide, 2 * margin + 1, axis=axis).any(axis=-1))
        return wide

    return near


class _Spans:
    """Which windows of a lattice over a rectangle of cells are reached."""

    def __init__(self, lattice: Lattice, row0: int, row1: int, col0: int, col1: int) -> None:
        self.lattice = lattice
        self.rows, self.cols = windows_touching(row0, row1, lattice), windows_touching(col0, col1, lattice)
        left = np.array([j * lattice.stride + lattice.shift - col0 for j in self.cols])
        self.starts, self.ends = (np.clip(edge, 0, col1 - col0) for edge in (left, left + lattice.tile))
        self.hit = np.zeros((len(self.rows), len(self.cols)), np.bool_)

    def mark(self, row: int, cells: NDArray[np.bool_]) -> None:
        for i in windows_touching(row, row + len(cells), self.lattice):
            top = i * self.lattice.stride + self.lattice.shift - row
            counts = np.concatenate([[0], np.cumsum(cells[max(top, 0) : top + self.lattice.tile].any(axis=0))])
            self.hit[i - self.rows.start] |= counts[self.ends] > counts[self.starts]

    def windows(self) -> NDArray[np.int64]:
        found: NDArray[np.int64] = np.argwhere(self.hit) + np.array([self.rows.start, self.cols.start])
        return found


def windows_read(lattice: Lattice, reader: Lattice, windows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The windows of ``lattice`` that cover a cell of the ``windows`` (at least one) of ``reader``, row-major."""
    tops = corners(reader, windows)
    firsts = -((lattice.shift + lattice.tile - tops - 1) // lattice.stride)
    ends = -((lattice.shift - tops - reader.tile) // lattice.stride)
    origin = firsts.min(axis=0)
    # Each reader marks a rectangle of windows: its corners in a difference array, summed up along both axes.
    marks = np.zeros(ends.max(axis=0) - origin + 1, np.int64)
    (top, left), (bottom, right) = (firsts - origin).T, (ends - origin).T
    for rows, cols, sign in ((top, left, 1), (bottom, right, 1), (top, right, -1), (bottom, left, -1)):
        np.add.at(marks, (rows, cols), sign)
    found: NDArray[np.int64] = np.argwhere(marks.cumsum(axis=0).cumsum(axis=1) > 0) + origin
    return found


def valid_rows(grid: GridRecord, valid: Valid | None, rows: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """The mask of valid pixels in bands of ``rows`` rows: (first row of the band in the grid, (height, width) bool)."""
    for row0 in range(0, grid.height, rows):
        height = min(rows, grid.height - row0)
        everything = np.ones((height, grid.width), np.bool_)
        yield row0, everything if valid is None else valid(row0, 0, height, grid.width)


def _grouped(squares: NDArray[np.int64], windows: NDArray[np.int64]) -> Iterator[tuple[tuple[int, int], NDArray[np.int64]]]:
    """Windows by square, both row-major."""
    order = np.lexsort((windows[:, 1], windows[:, 0], squares[:, 1], squares[:, 0]))
    squares, windows = squares[order], windows[order]
    cuts = np.flatnonzero((np.diff(squares, axis=0) != 0).any(axis=1)) + 1
    for square, members in zip(squares[np.concatenate([[0], cuts])].tolist(), np.split(windows, cuts), strict=True):
        yield (square[0], square[1]), members
