"""Layers of the RSDiff network that know neither text nor time steps: norms, convolutions, a gate, a feed-forward layer."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional


class GainNorm(nn.Module):
    """Layer norm over the last axis with a gain and no bias.

    The epsilon is that of float32 in every dtype: the original takes 1e-3 in halves, with which no weights were trained.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(x, self.g.shape, self.g, eps=1e-5)


class ChannelNorm(nn.Module):
    """Each pixel's channels scaled to a root mean square of 1, with a gain."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, dim, height, width) -> the same shape, never ``x`` itself: the caller may change it in place."""
        # float16 holds neither the norm of large numbers nor an epsilon that small, with which a black pixel would become NaN.
        norm: torch.Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float32 if x.dtype == torch.float16 else None)
        mean = (norm / math.sqrt(len(self.gamma))).to(x.dtype)
        return (x / mean.clamp_min(max(1e-12, torch.finfo(x.dtype).tiny))).mul_(self.gamma)


class LearnedSinusoids(nn.Module):
    """A number to itself and its sines and cosines of learned frequencies."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(count))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch,) float32 -> (batch, 1 + 2 * count), in float32 up to the waves, then in the weights' dtype."""
        value = x.float()[:, None]
        angles = value * self.weights.float() * (2 * math.pi)
        return torch.cat([value, angles.sin(), angles.cos()], dim=1).to(self.weights.dtype)


class GlobalContext(nn.Module):
    """One gate a channel, from a weighted mean over all pixels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = max(3, dim // 2)
        self.to_k = nn.Conv2d(dim, 1, 1)
        self.net = nn.Sequential(nn.Conv2d(dim, hidden, 1), nn.SiLU(), nn.Conv2d(hidden, dim, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, dim, height, width) -> (batch, dim, 1, 1), 0 to 1."""
        weights = self.to_k(x).flatten(2).softmax(dim=-1)
        mean = x.flatten(2) @ weights.transpose(1, 2)
        return self.net(mean[..., None])  # type: ignore[no-any-return]


class MultiKernelConv(nn.Module):
    """Convolutions of 3, 7 and 15 pixels side by side, of a half, a quarter and a quarter of the channels."""

    def __init__(self, in_dim: int, dim: int) -> None:
        super().__init__()
        widths = (dim // 2, dim // 4, dim - dim // 2 - dim // 4)
        self.convs = nn.ModuleList(nn.Conv2d(in_dim, width, side, padding=side // 2) for width, side in zip(widths, (3, 7, 15), strict=True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([conv(x) for conv in self.convs], dim=1)


class SumOfConvs(nn.Module):
    """A 3 x 3 and a 1 x 1 convolution, added: the last level's way from one width to the next, at the same size."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.fns = nn.ModuleList([nn.Conv2d(in_dim, out_dim, 3, padding=1), nn.Conv2d(in_dim, out_dim, 1)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide, narrow = self.fns
        return wide(x) + narrow(x)  # type: ignore[no-any-return]


class PixelShuffleUpsample(nn.Module):
    """Twice the size by pixel shuffling; fresh, the four pixels of a cell are equal, so that no checkerboard is learned first."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        conv = nn.Conv2d(in_dim, 4 * out_dim, 1)
        with torch.no_grad():
            quarter = torch.empty_like(conv.weight[:out_dim])
            nn.init.kaiming_uniform_(quarter)
            conv.weight.copy_(quarter.repeat_interleave(4, dim=0))
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        self.net = nn.Sequential(conv, nn.SiLU(), nn.PixelShuffle(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)  # type: ignore[no-any-return]


def feed_forward(dim: int, multiplier: int) -> nn.Sequential:
    """Two layers with a norm before each, without the residual."""
    hidden = dim * multiplier
    return nn.Sequential(GainNorm(dim), nn.Linear(dim, hidden, bias=False), nn.GELU(), GainNorm(hidden), nn.Linear(hidden, dim, bias=False))
