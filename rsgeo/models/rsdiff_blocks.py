"""Residual blocks of the RSDiff network, where time and context come in."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from rsgeo.models.rsdiff_attention import Attention, Context, to_pixels, to_tokens
from rsgeo.models.rsdiff_layers import ChannelNorm, GlobalContext


class Block(nn.Module):
    """Norm, scale and shift, SiLU, 3 x 3 convolution."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(in_dim)
        self.project = nn.Conv2d(in_dim, out_dim, 3, padding=1)

    def forward(self, x: torch.Tensor, scale_shift: tuple[torch.Tensor, torch.Tensor] | None = None) -> torch.Tensor:
        # In place, where the numbers are the block's own: at 256 px memory costs as much as the convolution.
        x = self.norm(x)
        if scale_shift is not None:
            scale, shift = scale_shift
            x = x.mul_(scale + 1).add_(shift)
        return self.project(functional.silu(x, inplace=True))  # type: ignore[no-any-return]


class ResnetBlock(nn.Module):
    """Two blocks with a residual, the second modulated by time; between them cross attention, after them a global gate, where wished."""

    def __init__(
        self, in_dim: int, out_dim: int, time_dim: int, *, cross_dim: int | None = None, heads: int = 8, dim_head: int = 64, gate: bool = False
    ) -> None:
        super().__init__()
        self.time_mlp = nn.Sequential(nn.SiLU(), nn.Linear(time_dim, 2 * out_dim))
        self.cross_attn = None if cross_dim is None else Attention(out_dim, heads, dim_head, cross_dim=cross_dim)
        self.block1 = Block(in_dim, out_dim)
        self.block2 = Block(out_dim, out_dim)
        self.gca = GlobalContext(out_dim) if gate else None
        self.res_conv = nn.Conv2d(in_dim, out_dim, 1) if in_dim != out_dim else nn.Identity()

    def forward(self, x: torch.Tensor, time: torch.Tensor, context: Context) -> torch.Tensor:
        """(batch, in, height, width), time (batch, time width) -> (batch, out, height, width)."""
        scale, shift = self.time_mlp(time)[..., None, None].chunk(2, dim=1)
        h = self.block1(x)
        if self.cross_attn is not None:
            tokens = to_tokens(h)
            h = to_pixels(self.cross_attn(tokens, context) + tokens, h)
        h = self.block2(h, (scale, shift))
        residual = self.res_conv(x)
        return residual + h if self.gca is None else torch.addcmul(residual, h, self.gca(h))
