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
from rsgeo.request import PhaseRecord, Synthesis
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


def plan_k(levels: Sequence[float], tile: int, k: int, stride: int | None = None) -> tuple[PhaseRecord, ...]:
    """``k`` phases (1 to 4) over the steps whose noise levels are ``levels``, tile and stride in cells; stride is 3/4 of a tile by default.

    Borders snap to the step of the nearest level (in the logarithm); phases left without steps are dropped, so any number of steps runs.
    """
    if k not in BORDERS:
        raise InputError(f"A plan of {k} phases is not known; choose from {min(BORDERS)} to {max(BORDERS)}.")
    stride = 3 * tile // 4 if stride is None else stride
    if not 1 <= stride <= tile:
        raise InputError(f"A stride of {stride} cells does not fit a tile of {tile}; choose one from 1 to {tile}.")
    edges = [0, *(_nearest(levels, border) for border in BORDERS[k]), len(levels)]
    return tuple(
        PhaseRecord(first=first, last=last, tile=tile, stride=stride, shift=number * stride // k)
        for number, (first, last) in enumerate(pairwise(edges))
        if first < last
    )


def plan_named(name: str, levels: Sequence[float], tile: int, k: int) -> Synthesis:
    """The plan of `PLANS` for a model of ``k`` phases by default, as it is stored: "k2", "k2-economy", "k1-preview"; ``levels`` as in `plan_k`.

    Raises InputError for a name that is not known.
    """
    if name not in PLANS:
        raise InputError(f"There is no plan {name!r}; use one of {', '.join(PLANS)}.")
    own, stride = PLANS[name]
    count = k if own is None else own
    stored = f"k{count}" if name == "default" else f"k{count}-{name}"
    return Synthesis(plan=stored, phases=plan_k(levels, tile, count, int(stride * tile)))


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


def lattice_of(phase: PhaseRecord) -> Lattice:
    """The lattice of a phase's windows."""
    return Lattice(phase.tile, phase.stride, phase.shift)


def plan_cost(phases: Sequence[PhaseRecord]) -> float:
    """Evaluations over a boundless area against the bare minimum of one per tile and step (butt-joined tiles = 1)."""
    steps = sum(phase.last - phase.first for phase in phases)
    return sum((phase.last - phase.first) * (phase.tile / phase.stride) ** 2 for phase in phases) / steps


def plan_halo(phases: Sequence[PhaseRecord], scale: int) -> int:
    """How far, in pixels and at worst, the noise that decides a pixel lies from it (rows and columns alike; the decoder not counted)."""
    lattices = [lattice_of(phase) for phase in phases]
    period = math.lcm(*(lattice.stride for lattice in lattices))
    reach = [cone(cell, cell + 1, lattices) for cell in range(period)]
    return scale * max(max(cell - start, stop - cell - 1) for cell, (start, stop) in enumerate(reach))


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
