"""Schedulers by name, configured alike: one list of trailing time steps whatever the solver."""

from __future__ import annotations

from typing import Any

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)

from rsgeo.errors import InputError

# Solvers whose steps can be cut into phases: they keep no history across a phase border, or start it afresh (SYNTHESIS.md 5.3).
_PHASED: dict[str, tuple[type[SchedulerMixin], dict[str, Any]]] = {
    "ddim": (DDIMScheduler, {"clip_sample": False, "set_alpha_to_one": True}),
    "euler": (EulerDiscreteScheduler, {}),
    "dpmsolver++": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "sde-dpmsolver++": (DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}),
    "unipc": (UniPCMultistepScheduler, {"solver_order": 2}),
}
_TRAINING_KEYS = (
    "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type", "rescale_betas_zero_snr",
)  # fmt: skip


def make(name: str, config: dict[str, Any]) -> SchedulerMixin:
    """A fresh scheduler ``name`` for a model trained with ``config`` (any diffusers scheduler's configuration).

    Raises:
        InputError: the name is not one of those that phases can use; the message lists them.
    """
    if name not in _PHASED:
        raise InputError(f"There is no scheduler {name!r} for areas; use one of {', '.join(sorted(_PHASED))}.")
    kind, extra = _PHASED[name]
    trained = {key: config[key] for key in _TRAINING_KEYS if config.get(key) is not None}
    scheduler: SchedulerMixin = kind.from_config({**trained, "timestep_spacing": "trailing", **extra})
    return scheduler
