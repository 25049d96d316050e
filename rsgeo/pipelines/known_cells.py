"""Known latent cells: the network is taken to predict them, so that any solver ends at them and what lies between is denoised beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional


def replace_known(
    output: torch.Tensor, cells: torch.Tensor, known: torch.Tensor, mask: torch.Tensor, *, alpha: float, sigma: float, prediction_type: str
) -> torch.Tensor:
    """``output`` with what the network would have to say where ``mask`` is True, for its clean cells to be ``known`` there.

    Under DDIM this equals replacing these cells by ``known``, noised with the noise that they began with, before each step; it needs no noise.

    Args:
        output: of the network, guided; (batch, channels, height, width).
        cells: what the network was given, alpha * clean + sigma * noise; shape of ``output``.
        known: clean cells; shape of ``output`` or with a batch of 1.
        mask: bool, (batch or 1, 1, height, width).
        alpha, sigma: noise level of ``cells``, alpha^2 + sigma^2 = 1 and sigma > 0.
        prediction_type: "epsilon" (Ho et al., DDPM, 2020), "v_prediction" (Salimans and Ho, Progressive Distillation, ICLR 2022, section 4) or
            "sample".

    Raises:
        ValueError: another prediction type.
    """
    if prediction_type == "epsilon":
        said = (cells - alpha * known) / sigma
    elif prediction_type == "v_prediction":
        said = (alpha * cells - known) / sigma
    elif prediction_type == "sample":
        said = known
    else:
        raise ValueError(f"known cells need prediction_type 'epsilon', 'v_prediction' or 'sample', got {prediction_type!r}")
    return torch.where(mask, said, output)


def whole_cells(known: torch.Tensor, factor: int) -> torch.Tensor:
    """True where all pixels of a cell are ``known``: bool, (batch, 1, height, width) -> (batch, 1, height / factor, width / factor)."""
    return functional.max_pool2d((~known).float(), factor) == 0


def inner_cells(known: torch.Tensor, factor: int) -> torch.Tensor:
    """True where all pixels of a cell and of the eight round it are ``known``, those beyond the edges taken to be; shapes as `whole_cells`.

    Whoever holds only these lets the model paint both sides of an edge, and sees in the outer one what it got wrong.
    """
    return functional.max_pool2d((~whole_cells(known, factor)).float(), 3, stride=1, padding=1) == 0


def noise_level(scheduler: Any, timestep: Any) -> tuple[float, float]:
    """alpha and sigma, alpha^2 + sigma^2 = 1, of what a network is given at ``timestep``.

    Between whole time steps log(sigma / alpha) is linear, as in diffusers' schedulers.

    Raises:
        ValueError: the scheduler has no table of noise levels for its time steps.
    """
    if not hasattr(scheduler, "alphas_cumprod"):
        raise ValueError(f"{type(scheduler).__name__} tells no noise level of a time step: use another scheduler")
    kept = scheduler.alphas_cumprod.double().cpu().numpy()
    time = float(timestep)
    if time.is_integer():
        share = float(kept[int(time)])
    else:
        neighbours = int(time), int(time) + 1
        logs = [float(np.log(1 - kept[one]) - np.log(kept[one])) for one in neighbours]
        share = float(1 / (1 + np.exp(np.interp(time, neighbours, logs))))
    return share**0.5, (1 - share) ** 0.5
