"""From a call's arguments to a scheduler's steps: where they begin, which are taken, with what."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from rsgeo.pipelines.given import Given


def set_timesteps(
    scheduler: Any,
    num_inference_steps: int,
    timesteps: Sequence[int] | None,
    sigmas: Sequence[float] | None,
    device: torch.device,
    given: Given | None,
) -> torch.Tensor:
    """Set the scheduler's time steps; those that are taken, from where ``given`` says.

    Raises:
        ValueError: the scheduler takes no such list, two are given, or ``strength`` leaves no step.
    """
    own: dict[str, list[Any]] = {key: list(value) for key, value in {"timesteps": timesteps, "sigmas": sigmas}.items() if value is not None}
    if len(own) == 2:
        raise ValueError("give either timesteps or sigmas")
    for key in own.keys() - inspect.signature(scheduler.set_timesteps).parameters.keys():
        raise ValueError(f"{type(scheduler).__name__} takes no {key} of the caller's")
    scheduler.set_timesteps(**own if own else {"num_inference_steps": num_inference_steps}, device=device)
    times: torch.Tensor = scheduler.timesteps
    if given is None:
        return times
    if not 0.0 < given.strength <= 1.0:
        raise ValueError(f"strength must be above 0 and at most 1, got {given.strength}")
    steps = len(next(iter(own.values()))) if own else num_inference_steps
    first = scheduler.order * (steps - int(steps * given.strength))
    if first >= len(times):
        raise ValueError(f"strength {given.strength} leaves none of {steps} steps: raise either")
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    return times[first:]


def start(scheduler: Any, noise: torch.Tensor, times: torch.Tensor, given: Given | None) -> torch.Tensor:
    """Cells at the first of ``times``.

    Raises:
        ValueError: the latents of ``given`` are not of the noise's shape.
    """
    if given is not None and given.latents.shape != noise.shape:
        raise ValueError(f"given latents must have shape {tuple(noise.shape)}, got {tuple(given.latents.shape)}")
    started: torch.Tensor
    if given is None or given.strength == 1.0:
        started = noise * scheduler.init_noise_sigma
    else:
        started = scheduler.add_noise(given.latents.to(noise), noise, times[:1].expand(len(noise)))
    return started


def step_arguments(scheduler: Any, generator: Any, eta: float) -> dict[str, Any]:
    """What the scheduler's ``step`` takes of these."""
    accepted = inspect.signature(scheduler.step).parameters
    return {key: value for key, value in {"generator": generator, "eta": eta}.items() if key in accepted}
