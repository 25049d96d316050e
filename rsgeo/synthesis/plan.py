"""What a request will cost, before any model is loaded, and which windows the engine will run: pure numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rsgeo.errors import InputError, TooLargeError
from rsgeo.hub.calibration import Pace
from rsgeo.request import COLOURS, Request
from rsgeo.synthesis.blocks import Block, Graph, Valid, valid_rows
from rsgeo.synthesis.lattice import corners
from rsgeo.synthesis.phases import bare_minimum, plan_cost, plan_halo
from rsgeo.synthesis.wishes import WishesAt

BANDS = len(COLOURS)
"""Of one world."""

BLOCKS_TOGETHER = 8
"""Blocks that are made together, so that batches are full; what they read is in memory meanwhile."""

_ROWS_AT_ONCE = 1024

# Overviews included. DEFLATE was measured on pictures of rsgeo-mini (tests/benchmarks/plan_accuracy.py), the others are guessed from it.
_BYTES_PER_PIXEL = {"NONE": 4.0, "DEFLATE": 2.1, "LZW": 2.4, "ZSTD": 2.1, "LZMA": 1.9, "JPEG": 0.3, "WEBP": 0.25}
_FILE_BYTES = 30_000
_WRITING_BYTES = 150_000_000
_PIXEL_SECONDS = 5e-6
"""Of a pixel's noise, solver steps, blending, decoding and writing: all but the network, measured on a CPU (tests/benchmarks/overhead.py)."""


@dataclass(frozen=True)
class SynthesisPlan:
    """The size of a request.

    ``windows``: windows of each phase, of one world; those of a cascade's coarser level come first. ``evaluations``: of the network, by one window
    each (two a step under guidance), for all worlds. ``cost``: evaluations over those of butt-joined tiles on the valid pixels alone;
    ``steady_cost``: the same over a boundless area. ``halo_px``: how far at worst the noise lies that decides a pixel. ``output_bytes``: pixels and
    mask, uncompressed, without overviews; ``file_bytes``: the finished file, about. ``memory_bytes``: of the whole process, at its peak, about;
    ``held_bytes``: of that, cells and rows of pixels. ``seconds``: by one process, from its start to the finished file; None where its pace
    here is not known. ``machine``: what the pace was measured on.
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
    file_bytes: int
    held_bytes: int
    memory_bytes: int
    seconds: float | None
    machine: str | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Machine:
    """What a machine takes to run a model in batches of ``batch_size`` windows: ``pace`` None where it was never tried.

    ``name`` says in words which machine and how it ran. ``start_seconds``: until a fresh process has loaded the model; ``resting_bytes``: held by it
    before a cell is.
    """

    name: str | None
    pace: Pace | None
    start_seconds: float
    batch_size: int
    resting_bytes: int


def plan(
    request: Request,
    graph: Graph,
    *,
    channels: int,
    machine: Machine,
    compression: str = "DEFLATE",
    valid: Valid | None = None,
    wishes_at: WishesAt | None = None,
    composite_bytes: int | None = None,
) -> SynthesisPlan:
    """The plan of ``request``, whose blocks are ``graph``, for a model of ``channels`` numbers a cell; ``valid`` as given to the graph.

    ``composite_bytes`` are those of a pixel, all bands, of a raster that what is made goes into: then the file holds data wherever the grid does.
    """
    synthesis, grid = request.synthesis, request.grid
    pixels = sum(int(rows.sum()) for _, rows in valid_rows(grid, valid, _ROWS_AT_ONCE))
    worlds = len(request.worlds)
    rounds = {block: _rounds(block, graph, wishes_at) for block in graph.blocks() if graph.phase(block) is not None}
    total = sum(_evaluations(block, request, graph, found) for block, found in rounds.items())
    held = _held_bytes(graph, channels, worlds)
    together = 1 if wishes_at is not None else BLOCKS_TOGETHER
    pace = 0.0 if machine.pace is None else machine.pace.seconds
    busy = _whole_batches(request, graph, rounds, together, machine.batch_size) * pace + pixels * _PIXEL_SECONDS
    pixel_bytes, filled = (len(request.bands), pixels) if composite_bytes is None else (composite_bytes, grid.width * grid.height)
    return SynthesisPlan(
        width=grid.width,
        height=grid.height,
        valid_pixels=pixels,
        windows=tuple(len(stage.windows) for stage in graph.stages if stage.phase is not None),
        decoder_windows=sum(len(stage.windows) for stage in graph.stages if stage.phase is None),
        evaluations=worlds * total,
        cost=total / (pixels / graph.scale**2 * bare_minimum(synthesis) * passes(request)),
        steady_cost=plan_cost(synthesis),
        halo_px=plan_halo(synthesis, graph.scale),
        output_bytes=(pixel_bytes + 1) * grid.width * grid.height,
        file_bytes=_FILE_BYTES + round(filled * _BYTES_PER_PIXEL[compression] * pixel_bytes / BANDS),
        held_bytes=held,
        memory_bytes=machine.resting_bytes + _WRITING_BYTES + held,
        seconds=None if machine.pace is None else machine.start_seconds + worlds * busy,
        machine=machine.name,
    )


def check_budget(planned: SynthesisPlan, *, max_hours: float | None, max_memory: float | None) -> None:
    """Refuse what costs more than allowed, before any work.

    Raises TooLargeError when it would take more than ``max_hours`` or ``max_memory`` bytes, InputError when its time is not known.
    """
    if max_memory is not None and planned.memory_bytes > max_memory:
        raise TooLargeError(
            f"This needs about {planned.memory_bytes / 1e9:.2f} GB of memory, more than --max-memory {max_memory / 1e9:g};"
            " choose a smaller --batch-size, or an area that is narrower from west to east."
        )
    if max_hours is None:
        return
    if planned.seconds is None:
        raise InputError("How long this takes here is not known, so --max-hours cannot be kept; leave it out, or run rsgeo plan --calibrate.")
    if planned.seconds > max_hours * 3600:
        raise TooLargeError(
            f"This would take about {planned.seconds / 3600:.3g} hours, more than --max-hours {max_hours:g};"
            " choose a smaller area, a coarser GSD or fewer steps, or let several --workers do it."
        )


def _held_bytes(graph: Graph, channels: int, worlds: int) -> int:
    """Bytes in memory at once, at most: blocks that are still to be read, or of a job those at work, and a row of blocks of each world's picture.

    Several worlds go down the picture together.
    """

    def size(block: Block) -> int:
        if block.stage == graph.picture:
            _, _, height, width = graph.pixels(block)
            return BANDS * height * width
        tile = graph.stages[block.stage].lattice.tile
        window = 4 * BANDS * (tile * graph.scale) ** 2 if graph.phase(block) is None else 4 * channels * tile**2
        return window * len(graph.windows(block))

    small = graph.is_small(worlds)
    held = most = 0
    for _, pictures, waves in graph.walk():
        before = peak = held
        for wave in waves:
            for first in range(0, len(wave.blocks), BLOCKS_TOGETHER):
                group = wave.blocks[first : first + BLOCKS_TOGETHER]
                if small:
                    held += sum(map(size, group))
                    peak = max(peak, held)
                else:
                    peak = max(peak, sum(map(size, {*group, *(need for block in group for need in graph.needs(block))})))
            held -= sum(map(size, wave.free)) if small else 0
        # One world makes these rows while the others wait, before them or with them in hand.
        most = max(most, peak + (worlds - 1) * max(before, held))
        held -= sum(map(size, pictures)) if small else 0
    rows: int = worlds * BANDS * min(graph.side * graph.scale, graph.grid.height) * graph.grid.width
    return most + rows


def evaluations(request: Request, graph: Graph, wishes_at: WishesAt | None = None) -> int:
    """Evaluations of the network by one window."""
    return sum(evaluations_of(block, request, graph, wishes_at) for block in graph.blocks())


def evaluations_of(block: Block, request: Request, graph: Graph, wishes_at: WishesAt | None = None) -> int:
    """Evaluations of the network, by one window, that a block takes: none but in phases, and as many more as a window has prompts."""
    return 0 if graph.phase(block) is None else _evaluations(block, request, graph, _rounds(block, graph, wishes_at))


def _rounds(block: Block, graph: Graph, wishes_at: WishesAt | None) -> Mapping[int, int]:
    """How many of a block's windows have so many prompts, each of which is a round of the network."""
    windows, lattice, factor = graph.windows(block), graph.stages[block.stage].lattice, graph.stages[block.stage].factor
    if wishes_at is None:
        return {1: len(windows)}
    places = [(int(row), int(col)) for row, col in corners(lattice, windows)]
    return Counter(len(wishes) for wishes in wishes_at(places, lattice.tile, factor))


def _evaluations(block: Block, request: Request, graph: Graph, rounds: Mapping[int, int]) -> int:
    phase = graph.phase(block)
    assert phase is not None
    return passes(request) * (phase.last - phase.first) * sum(prompts * windows for prompts, windows in rounds.items())


def _whole_batches(request: Request, graph: Graph, rounds: Mapping[Block, Mapping[int, int]], together: int, batch_size: int) -> int:
    """Evaluations that are computed, of one world: the engine fills short batches up."""
    count = 0
    for wave in (wave for _, _, waves in graph.walk() for wave in waves if wave.blocks[0] in rounds):
        for first in range(0, len(wave.blocks), together):
            group = wave.blocks[first : first + together]
            windows: Counter[int] = sum((Counter(rounds[block]) for block in group), Counter())
            count += _evaluations(group[0], request, graph, {prompts: -(-n // batch_size) * batch_size for prompts, n in windows.items()})
    return count


def passes(request: Request) -> int:
    """Evaluations of the network a window and step: with and without the wish under guidance (a scale above 1), else one."""
    return 2 if request.sampler.guidance_scale > 1 else 1
