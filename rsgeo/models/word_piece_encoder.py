"""`WordPieceEncoder`: a small text encoder on a frozen table of word-piece vectors."""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.modeling_utils import ModelMixin
from torch import nn


class WordPieceEncoder(ModelMixin, ConfigMixin, PeftAdapterMixin):
    """Word pieces to contextual states: a frozen int8 table, learned positions, and a small transformer.

    In the table synonyms are neighbours, so words that no caption held still mean something. In training, noise of up to ``table_noise``
    (its standard deviation, that of the table being 1) is added to the table's vectors, a new amount for each prompt, so that neighbours of the
    captions' words are met as well. The first token ([CLS]) is read out as the vector of the whole prompt.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        vocab_size: int = 30522,
        dim: int = 128,
        num_layers: int = 2,
        num_heads: int = 4,
        max_length: int = 32,
        dropout: float = 0.0,
        table_noise: float = 0.0,
    ) -> None:
        super().__init__()
        self.table = nn.Buffer(torch.zeros(vocab_size, dim, dtype=torch.int8))
        self.table_scale = nn.Buffer(torch.zeros(vocab_size))
        self.positions = nn.Parameter(torch.randn(max_length, dim) * 0.02)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(dim, num_heads, 4 * dim, dropout=dropout, activation="gelu", batch_first=True, norm_first=True)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(dim)

    @torch.no_grad()
    def set_table(self, embedding: torch.Tensor) -> None:
        """Quantise a table (vocab_size, dim) to int8 with one scale a row."""
        scale = embedding.float().abs().amax(dim=1) / 127.0
        self.table_scale.copy_(scale)
        self.table.copy_((embedding.float() / scale.clamp_min(1e-12)[:, None]).round())

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and mask (1 = token), both (batch, tokens) -> states (batch, tokens, dim), 0 at padding, and the vector (batch, dim)."""
        dtype = self.positions.dtype
        hidden = self.table[input_ids].to(dtype) * self.table_scale[input_ids].to(dtype)[..., None]
        if self.training and self.config.table_noise:
            amount = self.config.table_noise * torch.rand(len(hidden), 1, 1, dtype=dtype, device=hidden.device)
            hidden = hidden + amount * torch.randn_like(hidden)
        hidden = hidden + self.positions[: input_ids.shape[1]]
        padding = attention_mask == 0
        for layer in self.layers:
            hidden = layer(hidden, src_key_padding_mask=padding)
        hidden = self.norm(hidden) * attention_mask[..., None].to(dtype)
        return hidden, hidden[:, 0]
