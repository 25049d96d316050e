"""How the RSDiff network reads captions: any number of text positions pooled to a few tokens (Perceiver resampler)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from rsgeo.models.rsdiff_attention import Context, attend, split_heads
from rsgeo.models.rsdiff_layers import GainNorm, feed_forward

_MEAN_LATENTS = 4
_DEPTH = 2

MOST_TEXT = 512
"""Text positions that have a learned place, and so the most that are read."""


@dataclass(frozen=True)
class TextConditions:
    """What the network reads of a batch of captions; the same for all steps of a sampler (`RSDiffUNet.encode_text`)."""

    tokens: torch.Tensor
    """(batch, attn_pool_num_latents + 4, cond_dim), read by attention."""
    hidden: torch.Tensor
    """(batch, time width), added to the time embedding."""
    pairs: Context | None = None
    """Keys and values of the tokens for each attention that reads them, where they were computed before (`RSDiffUNet.read_text`)."""


class PoolAttention(nn.Module):
    """Latents read a sequence and themselves (Perceiver resampler)."""

    def __init__(self, dim: int, heads: int, dim_head: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_scale = nn.Parameter(torch.ones(dim_head))
        self.k_scale = nn.Parameter(torch.ones(dim_head))
        self.norm = nn.LayerNorm(dim)
        self.norm_latents = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(dim, 2 * heads * dim_head, bias=False)
        self.to_out = nn.Sequential(nn.Linear(heads * dim_head, dim, bias=False), nn.LayerNorm(dim))

    def forward(self, x: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, dim) and (batch, latents, dim) -> (batch, latents, dim), without the residual."""
        latents = self.norm_latents(latents)
        read = torch.cat([self.norm(x), latents], dim=1)
        keys, values = split_heads(self.to_kv(read), 2 * self.heads).chunk(2, dim=1)
        return self.to_out(attend(split_heads(self.to_q(latents), self.heads), keys, values, self.q_scale, self.k_scale))  # type: ignore[no-any-return]


class TextPool(nn.Module):
    """Text positions to a few tokens: 4 made of their mean, the others learned, refined by two layers of attention."""

    def __init__(self, dim: int, num_latents: int, heads: int, dim_head: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(num_latents, dim))
        self.pos_emb = nn.Embedding(MOST_TEXT, dim)
        self.to_latents_from_mean_pooled_seq = nn.Sequential(
            GainNorm(dim), nn.Linear(dim, _MEAN_LATENTS * dim), nn.Unflatten(1, (_MEAN_LATENTS, dim))
        )
        self.layers: Any = nn.ModuleList(nn.ModuleList([PoolAttention(dim, heads, dim_head), feed_forward(dim, multiplier=4)]) for _ in range(_DEPTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, positions, dim) -> (batch, num_latents + 4, dim)."""
        of_mean = self.to_latents_from_mean_pooled_seq(x.mean(dim=1))
        latents = torch.cat([of_mean, self.latents.expand(len(x), -1, -1)], dim=1)
        x = x + self.pos_emb.weight[: x.shape[1]]
        for attention, forward in self.layers:
            latents = attention(x, latents) + latents
            latents = forward(latents) + latents
        return latents
