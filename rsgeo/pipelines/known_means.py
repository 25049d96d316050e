"""Known mean colours of latent cells: what a coarser image says of a picture holds exactly, and only what is finer is painted."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional


def hold_means(
    output: torch.Tensor, cells: torch.Tensor, codec: Any, means: torch.Tensor, *, alpha: float, sigma: float, prediction_type: str
) -> torch.Tensor:
    """``output`` with its clean cells moved to the nearest ones whose patches have the mean colours ``means``.

    So they have at every step of any solver, and in what it ends at (Wang et al., Denoising Diffusion Null-Space Model, ICLR 2023, section 3.2).

    Args:
        output: of the network, guided; (batch, channels, height, width).
        cells: what the network was given, alpha * clean + sigma * noise; shape of ``output``.
        codec: with ``with_means`` (`rsgeo.models.patch_codec.PatchCodec`).
        means: (batch, 3, height, width) in [-1, 1].
        alpha, sigma: noise level of ``cells``, alpha^2 + sigma^2 = 1 and sigma > 0.
        prediction_type: "epsilon", "v_prediction" or "sample", as in `rsgeo.pipelines.known_cells.replace_known`.

    Raises:
        ValueError: another prediction type.
    """
    if prediction_type == "sample":
        return codec.with_means(output, means)  # type: ignore[no-any-return]
    if prediction_type == "v_prediction":
        clean, share = alpha * cells - sigma * output, 1 / sigma
    elif prediction_type == "epsilon":
        clean, share = (cells - sigma * output) / alpha, alpha / sigma
    else:
        raise ValueError(f"known means need prediction_type 'epsilon', 'v_prediction' or 'sample', got {prediction_type!r}")
    moved: torch.Tensor = output - share * (codec.with_means(clean, means) - clean)
    return moved


def means_of(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The mean colours that condition images say cells have: (batch, 3, height, width) in [0, 1] -> (batch, 3, *size) in [-1, 1].

    Each cell shows one pixel or more of them.
    """
    return functional.adaptive_avg_pool2d(images, size) * 2 - 1
