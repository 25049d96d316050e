"""Phases: which solver steps run on which lattice of windows.

A phase runs some steps on overlapping windows and ends in their weighted mean; the next phase goes on from there on a shifted lattice,
which evens out what the first one's edges left. Borders are noise levels s = sigma / alpha, so they mean the same for any number of steps.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rsgeo.errors import InputError
from rsgeo.request import LevelRecord, PhaseRecord, Synthesis
from rsgeo.synthesis.lattice import Lattice, cone

BetaSchedule = Literal["linear", "scaled_linear", "squaredcos_cap_v2"]

BORDERS: dict[int, tuple[float, ...]] = {1: (), 2: (3.8,), 3: (7.0, 1.0), 4: (13.0, 3.0, 0.65)}
"""Noise levels at which phases change, by number of phases; measured in SYNTHESIS.md 4. One phase is for previews only."""

PLANS: dict[str, tuple[int | None, float]] = {"default": (None, 3 / 4), "economy": (None, 13 / 16), "preview": (1, 3 / 4)}
"""Plans by name: the number of phases (None: the model's own) and the stride as a share of a tile.

"economy" saves a seventh of the work; with 14/16 the overlap of two cells in a tile of 16 would show. "preview" is for looking only.
"""

_LEAST_STRIDE = 4  # of a tile: no plan is that wasteful, but an edited one might be


def noise_levels(
    beta_schedule: BetaSchedule,
    beta_start: float,
    beta_end: float,
    num_train_timesteps: int,
    num_inference_steps: int,
    rescale_zero_snr: bool = False,
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Timesteps, and the noise level s = sqrt((1 - abar) / abar) before each step, of a discrete schedule with "trailing" spacing.

    The beta schedules are those of diffusers' DDPM family; ``rescale_zero_snr`` is Algorithm 1 of Lin et al. (arXiv:2305.08891), after
    which the first level is infinite. Both results descend. Raises InputError for more steps than the model was trained with.
    """
    if not 1 <= num_inference_steps <= num_train_timesteps:
        raise InputError(f"The number of steps is {num_inference_steps}; choose one from 1 to {num_train_timesteps}.")
    alphas_bar = np.cumprod(1.0 - _betas(beta_schedule, beta_start, beta_end, num_train_timesteps))
    if rescale_zero_snr:
        root = np.sqrt(alphas_bar)
        alphas_bar = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
    ends = np.linspace(num_train_timesteps, 0, num_inference_steps, endpoint=False)
    timesteps = np.round(ends).astype(np.int64) - 1
    chosen = alphas_bar[timesteps]
    with np.errstate(divide="ignore"):
        levels = np.sqrt((1.0 - chosen) / chosen)
    return tuple(timesteps.tolist()), tuple(levels.tolist())


def log_snr_noise_levels(log_snr: Literal["cosine", "linear"], start_time: float, num_inference_steps: int) -> tuple[float, ...]:
    """The noise level s = exp(-log-SNR / 2) before each step of a schedule in continuous time, evenly from ``start_time`` to 0.

    The formulas are those of `rsgeo.models.log_snr_scheduler`, whose float32 differs at time 1 alone.
    """
    times = np.linspace(start_time, 0, num_inference_steps, endpoint=False)
    if log_snr == "cosine":
        return tuple(np.sqrt(np.maximum(np.cos((times + 0.008) / 1.008 * np.pi / 2) ** -2 - 1, 1e-5)).tolist())
    return tuple(np.sqrt(np.expm1(1e-4 + 10 * times**2)).tolist())


def plan_k(levels: Sequence[float], tile: int, k: int, stride: int | None = None, factor: int = 1) -> tuple[PhaseRecord, ...]:
    """``k`` phases (1 to 4) over the steps whose noise levels are ``levels``, tile and stride in cells; stride is 3/4 of a tile by default.

    Borders snap to the step of the nearest level (in the logarithm); phases left without steps are dropped, so any number of steps runs. Windows
    begin at the borders of cells that are ``factor`` times larger.
    """
    if k not in BORDERS:
        raise InputError(f"A plan of {k} phases is not known; choose from {min(BORDERS)} to {max(BORDERS)}.")
    stride = 3 * tile // 4 if stride is None else stride
    stride -= stride % factor
    if not 1 <= stride <= tile:
        raise InputError(f"A stride of {stride} cells does not fit a tile of {tile}; choose one from 1 to {tile}.")
    edges = [0, *(_nearest(levels, border) for border in BORDERS[k]), len(levels)]
    return tuple(
        PhaseRecord(first=first, last=last, tile=tile, stride=stride, shift=number * stride // k // factor * factor)
        for number, (first, last) in enumerate(pairwise(edges))
        if first < last
    )


def plan_named(name: str, levels: Sequence[float], tile: int, k: int, coarser: Sequence[tuple[int, int]] = ()) -> Synthesis:
    """The plan of `PLANS` for a model of ``k`` phases by default, as it is stored: "k2", "k2-economy", "k1-preview"; ``levels`` as in `plan_k`.

    ``coarser`` are the tile and the GSD factor of each level that a cascade runs before its last, coarse to fine; all take the same steps.
    Raises InputError for a name that is not known.
    """
    if name not in PLANS:
        raise InputError(f"There is no plan {name!r}; use one of {', '.join(PLANS)}.")
    own, stride = PLANS[name]
    count = k if own is None else own
    stored = f"k{count}" if name == "default" else f"k{count}-{name}"
    sides = [*coarser, (tile, 1)]
    larger = [1, *(sides[at][1] // sides[at + 1][1] for at in range(len(coarser)))]
    of_levels = [
        LevelRecord(gsd_factor=factor, phases=plan_k(levels, side, count, int(stride * side), times))
        for (side, factor), times in zip(sides, larger, strict=True)
    ]
    return Synthesis(plan=stored, phases=of_levels[-1].phases, coarser=tuple(of_levels[:-1]))


def name_of(stored: str) -> str:
    """The name in `PLANS` of a plan as it is stored. Raises InputError for one that was not made from a name."""
    found = re.fullmatch(r"k\d(?:-(\w+))?", stored)
    name = (found[1] or "default") if found else ""
    if name not in PLANS:
        raise InputError(f"The stored plan {stored!r} is not one that can be made for other settings; choose one with --plan: {', '.join(PLANS)}.")
    return name


def check_plan(phases: Sequence[PhaseRecord], tile: int, steps: int) -> None:
    """See that phases walk through exactly ``steps`` steps in order, on windows of ``tile`` cells that leave no gap.

    Raises InputError when they do not: a stored plan is not trusted before memory is taken for it.
    """
    edges = [0, *(phase.last for phase in phases)]
    if [phase.first for phase in phases] != edges[:-1] or edges[-1] != steps or any(phase.first >= phase.last for phase in phases):
        raise InputError(f"The plan's phases are not the sampler's {steps} steps in order; make a new request.")
    if any(phase.tile != tile or not tile // _LEAST_STRIDE <= phase.stride <= tile or phase.shift >= phase.stride for phase in phases):
        raise InputError(f"The plan's windows do not fit the model's tile of {tile} cells; make a new request.")


def check_levels(synthesis: Synthesis, levels: Sequence[tuple[int, int]], steps: int) -> None:
    """`check_plan` of every level of a plan, for a model whose levels have these tiles and GSD factors, coarse to fine.

    Raises InputError, also where a level's windows do not begin and end at the borders of the coarser one's cells.
    """
    if [level.gsd_factor for level in synthesis.levels] != [factor for _, factor in levels]:
        raise InputError("The plan's levels are not those of the model; make a new request.")
    for level, (tile, _) in zip(synthesis.levels, levels, strict=True):
        check_plan(level.phases, tile, steps)
    for before, level in pairwise(synthesis.levels):
        ratio, rest = divmod(before.gsd_factor, level.gsd_factor)
        if rest or ratio < 2 or not all(lattice_of(phase).nests(ratio) for phase in level.phases):
            raise InputError("The plan's windows do not nest in the coarser level's cells; make a new request.")


def lattice_of(phase: PhaseRecord) -> Lattice:
    """The lattice of a phase's windows."""
    return Lattice(phase.tile, phase.stride, phase.shift)


def bare_minimum(synthesis: Synthesis) -> float:
    """Evaluations for a cell of the finest level, by butt-joined tiles without phases."""
    return sum(level.phases[-1].last / (level.phases[-1].tile * level.gsd_factor) ** 2 for level in synthesis.levels)


def plan_cost(synthesis: Synthesis) -> float:
    """Evaluations over a boundless area against the `bare_minimum` (butt-joined tiles = 1)."""
    work = sum((phase.last - phase.first) / (phase.stride * level.gsd_factor) ** 2 for level in synthesis.levels for phase in level.phases)
    return work / bare_minimum(synthesis)


def plan_halo(synthesis: Synthesis, scale: int) -> int:
    """How far, in pixels and at worst, the noise that decides a pixel lies from it (rows and columns alike; the decoder not counted)."""
    levels = [(level.gsd_factor, [lattice_of(phase) for phase in level.phases]) for level in synthesis.levels]
    period = math.lcm(*(factor * lattice.stride for factor, lattices in levels for lattice in lattices))

    def reach(cell: int) -> tuple[int, int]:
        start, stop = cell, cell + 1
        for factor, lattices in reversed(levels):
            start, stop = (edge * factor for edge in cone(start // factor, -(-stop // factor), lattices))
        return start, stop

    return scale * max(max(cell - reach(cell)[0], reach(cell)[1] - cell - 1) for cell in range(period))


def _betas(schedule: BetaSchedule, start: float, end: float, count: int) -> NDArray[np.float64]:
    if schedule == "linear":
        return np.linspace(start, end, count)
    if schedule == "scaled_linear":
        return np.linspace(math.sqrt(start), math.sqrt(end), count) ** 2
    if schedule == "squaredcos_cap_v2":
        # Nichol & Dhariwal, arXiv:2102.09672, equation 17
        bar = np.cos((np.arange(count + 1) / count + 0.008) / 1.008 * np.pi / 2) ** 2
        return np.asarray(np.minimum(1.0 - bar[1:] / bar[:-1], 0.999))
    raise InputError(f'The noise schedule "{schedule}" is not known; it must be linear, scaled_linear or squaredcos_cap_v2.')


def _nearest(levels: Sequence[float], border: float) -> int:
    with np.errstate(divide="ignore"):
        distance = np.abs(np.log(np.asarray(levels, np.float64)) - math.log(border))
    # Of equal levels the last: a solver of two evaluations a step (Heun) lists a level twice, and a border must not part the pair.
    return int(np.flatnonzero(distance == distance.min())[-1])
