"""What a request will cost, before any model is loaded, and which windows the engine will run: pure numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rsgeo.request import COLOURS, Request
from rsgeo.synthesis.blocks import Block, Graph, Valid, valid_rows
from rsgeo.synthesis.lattice import corners
from rsgeo.synthesis.phases import plan_cost, plan_halo
from rsgeo.synthesis.wishes import WishesAt

BANDS = len(COLOURS)
"""Of one world."""

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class SynthesisPlan:
    """The size of a request.

    ``windows``: windows of each phase, of one world. ``evaluations``: of the network, by one window each (two a step under guidance), for all
    worlds. ``cost``: evaluations over those of butt-joined tiles on the valid pixels alone; ``steady_cost``: the same over a boundless area.
    ``halo_px``: how far at worst the noise lies that decides a pixel. ``output_bytes``: pixels and mask, uncompressed, without overviews.
    ``memory_bytes``: the cells held at most, without the model.
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
    request: Request, graph: Graph, *, channels: int, valid: Valid | None = None, wishes_at: WishesAt | None = None
) -> SynthesisPlan:
    """The plan of ``request``, whose blocks are ``graph``, for a model of ``channels`` numbers a cell; ``valid`` as given to the graph."""
    phases, grid = request.synthesis.phases, request.grid
    pixels = sum(int(rows.sum()) for _, rows in valid_rows(grid, valid, _ROWS_AT_ONCE))
    steps = sum(phase.last - phase.first for phase in phases)
    total = evaluations(request, graph, wishes_at)
    return SynthesisPlan(
        width=grid.width,
        height=grid.height,
        valid_pixels=pixels,
        windows=tuple(len(stage.windows) for stage in graph.stages[: len(phases)]),
        decoder_windows=sum(len(stage.windows) for stage in graph.stages[len(phases) :]),
        evaluations=len(request.worlds) * total,
        cost=total / (pixels / (phases[-1].tile * graph.scale) ** 2 * steps * passes(request)),
        steady_cost=plan_cost(phases),
        halo_px=plan_halo(phases, graph.scale),
        output_bytes=(len(request.bands) + 1) * grid.width * grid.height,
        memory_bytes=_held_bytes(graph, channels, len(phases), len(request.worlds)),
    )


def _held_bytes(graph: Graph, channels: int, phases: int, worlds: int) -> int:
    """Bytes of the blocks that are held at once, at most; several worlds go down the picture together."""

    def size(block: Block) -> int:
        if block.stage == graph.picture:
            _, _, height, width = graph.pixels(block)
            return BANDS * height * width
        tile, stage = graph.stages[block.stage].lattice.tile, block.stage
        window = 4 * channels * tile**2 if stage < phases else 4 * BANDS * (tile * graph.scale) ** 2
        return window * len(graph.windows(block))

    held = most = 0
    for _, pictures, waves in graph.walk():
        before = peak = held
        for wave in waves:
            held += sum(map(size, wave.blocks))
            peak = max(peak, held)
            held -= sum(map(size, wave.free))
        # One world makes these rows while the others wait, before them or with them in hand.
        most = max(most, peak + (worlds - 1) * max(before, held))
        held -= sum(map(size, pictures))
    return most


def evaluations(request: Request, graph: Graph, wishes_at: WishesAt | None = None) -> int:
    """Evaluations of the network by one window."""
    return sum(evaluations_of(block, request, graph, wishes_at) for block in graph.blocks())


def evaluations_of(block: Block, request: Request, graph: Graph, wishes_at: WishesAt | None = None) -> int:
    """Evaluations of the network, by one window, that a block takes: none but in phases, and as many more as a window has prompts."""
    phases = request.synthesis.phases
    if block.stage >= len(phases):
        return 0
    phase, windows, lattice = phases[block.stage], graph.windows(block), graph.stages[block.stage].lattice
    rounds = len(windows)
    if wishes_at is not None:
        places = [(int(row), int(col)) for row, col in corners(lattice, windows)]
        rounds = sum(len(wishes) for wishes in wishes_at(places, lattice.tile))
    return passes(request) * (phase.last - phase.first) * rounds


def passes(request: Request) -> int:
    """Evaluations of the network a window and step: with and without the wish under guidance (a scale above 1), else one."""
    return 2 if request.sampler.guidance_scale > 1 else 1
