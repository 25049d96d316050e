"""Classifier-free guidance of two outputs of a network."""

from __future__ import annotations

import torch


def classic(wish: torch.Tensor, blank: torch.Tensor, scale: float) -> torch.Tensor:
    """blank + scale * (wish - blank) (Ho and Salimans, Classifier-Free Diffusion Guidance, 2022)."""
    return wish + (scale - 1.0) * (wish - blank)


def rescaled(guided: torch.Tensor, wish: torch.Tensor, share: float) -> torch.Tensor:
    """``guided`` moved by ``share`` (0 to 1) towards the standard deviation that ``wish`` has, sample by sample; against overexposed images.

    (Lin et al., Common Diffusion Noise Schedules and Sample Steps are Flawed, WACV 2024, section 3.4.)
    """
    axes = tuple(range(1, wish.ndim))
    deviation = wish.std(dim=axes, keepdim=True) / guided.std(dim=axes, keepdim=True)
    return share * guided * deviation + (1.0 - share) * guided


def orthogonal(wish: torch.Tensor, blank: torch.Tensor, scale: float, keep_parallel: float = 0.0) -> torch.Tensor:
    """`classic`, but of wish - blank only what is orthogonal to ``wish``, and ``keep_parallel`` of the rest, is scaled up.

    Sample by sample, computed in float64 (Sadat et al., Eliminating Oversaturation and Artifacts of High Guidance Scales, 2024, section 4,
    applied to the network's own output).
    """
    unit = torch.nn.functional.normalize(wish.double().flatten(1), dim=1)
    difference = (wish - blank).double().flatten(1)
    parallel = (difference * unit).sum(dim=1, keepdim=True) * unit
    kept = difference - (1.0 - keep_parallel) * parallel
    return wish + (scale - 1.0) * kept.to(wish.dtype).view_as(wish)
