"""Attention of the RSDiff network: queries and keys are unit vectors with learned scales, multiplied by 8; no biases of position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from rsgeo.models.rsdiff_layers import GainNorm, feed_forward

Context = Mapping[nn.Module, torch.Tensor]
"""What each attention that reads a context made of it (`Attention.read`)."""

_SCALE = 8.0


class Attention(nn.Module):
    """Attention of tokens to a context or to themselves, before it a norm and after it another.

    With ``cross_dim`` the keys are the context's alone, one set a head. Without it all heads share one set of keys, those of the tokens, and
    of the context too where ``context_dim`` is given. In both a learned null key stands among them.
    """

    def __init__(self, dim: int, heads: int, dim_head: int, cross_dim: int | None = None, context_dim: int | None = None) -> None:
        super().__init__()
        self.heads, self.is_cross = heads, cross_dim is not None
        self.key_sets = heads if self.is_cross else 1
        self.reads_context = self.is_cross or context_dim is not None
        self.null_kv = nn.Parameter(torch.randn(2, dim_head))
        self.q_scale = nn.Parameter(torch.ones(dim_head))
        self.k_scale = nn.Parameter(torch.ones(dim_head))
        self.norm = GainNorm(dim)
        self.to_q = nn.Linear(dim, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(cross_dim or dim, 2 * self.key_sets * dim_head, bias=False)
        if context_dim is not None:
            self.to_context = nn.Sequential(nn.LayerNorm(context_dim), nn.Linear(context_dim, 2 * dim_head))
        self.to_out = nn.Sequential(nn.Linear(heads * dim_head, dim, bias=False), GainNorm(dim))

    def read(self, context: torch.Tensor) -> torch.Tensor:
        """Keys and values of a context: (batch, context tokens, context width) -> (batch, context tokens, 2 * key sets * dim_head)."""
        return self.to_kv(context) if self.is_cross else self.to_context(context)  # type: ignore[no-any-return]

    def forward(self, x: torch.Tensor, context: Context) -> torch.Tensor:
        """(batch, tokens, dim) -> the same shape, without the residual."""
        x = self.norm(x)
        pairs = [self.null_kv.repeat(1, self.key_sets).flatten().expand(len(x), 1, -1)]
        if self.reads_context:
            pairs.insert(0, context[self])
        if not self.is_cross:
            pairs.append(self.to_kv(x))
        keys, values = split_heads(torch.cat(pairs, dim=1), 2 * self.key_sets).chunk(2, dim=1)
        return self.to_out(attend(split_heads(self.to_q(x), self.heads), keys, values, self.q_scale, self.k_scale))  # type: ignore[no-any-return]


class TransformerBlock(nn.Module):
    """Self-attention among pixels that reads a context as well, and a feed-forward layer, both with residuals."""

    def __init__(self, dim: int, heads: int, dim_head: int, context_dim: int | None = None) -> None:
        super().__init__()
        attention = Attention(dim, heads, dim_head, context_dim=context_dim)
        self.layers: Any = nn.ModuleList([nn.ModuleList([attention, feed_forward(dim, multiplier=2)])])

    def forward(self, x: torch.Tensor, context: Context) -> torch.Tensor:
        """(batch, dim, height, width) -> the same shape."""
        tokens = to_tokens(x)
        for attention, forward in self.layers:
            tokens = attention(tokens, context) + tokens
            tokens = forward(tokens) + tokens
        return to_pixels(tokens, x)


class NoTransformer(nn.Module):
    """Stands where a level has no transformer."""

    def forward(self, x: torch.Tensor, context: Context) -> torch.Tensor:
        return x


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, q_scale: torch.Tensor, k_scale: torch.Tensor) -> torch.Tensor:
    """Cosine attention; (batch, heads, tokens, width) each, keys of one head serve all -> (batch, tokens, heads * width)."""
    q, k = functional.normalize(q, dim=-1) * q_scale, functional.normalize(k, dim=-1) * k_scale
    k, v = (pair.expand(-1, q.shape[1], -1, -1) for pair in (k, v))
    return functional.scaled_dot_product_attention(q, k, v, scale=_SCALE).transpose(1, 2).flatten(2)


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    parts: torch.Tensor = x.unflatten(-1, (heads, -1)).transpose(1, 2)
    return parts


def to_tokens(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(2).transpose(1, 2)


def to_pixels(tokens: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    pixels: torch.Tensor = tokens.transpose(1, 2).unflatten(2, like.shape[-2:])
    return pixels
