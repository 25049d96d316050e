"""`MetadataEmbedding`: encoded scene metadata to what is added to a network's time embedding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from diffusers.models.embeddings import TimestepEmbedding
from torch import nn


class FieldEmbedding(nn.Module):
    """One metadata field in rsgeo's encoding: an MLP on its features, or a learned vector where the features are NaN (unknown)."""

    def __init__(self, num_features: int, dim: int) -> None:
        super().__init__()
        self.mlp = TimestepEmbedding(num_features, dim)
        self.unknown = nn.Parameter(torch.zeros(dim))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(batch, features) float32, NaN where unknown -> (batch, dim)."""
        known = torch.isfinite(features).all(dim=-1, keepdim=True)
        dtype = self.unknown.dtype
        value = self.mlp(torch.nan_to_num(features).to(dtype))
        return torch.where(known, value, self.unknown.to(value.dtype))


class MetadataEmbedding(nn.ModuleList):
    """One embedding a field, summed (Khanna et al., DiffusionSat, ICLR 2024, section 3.2).

    With ``encoding`` "sinusoid" each of ``num_metadata`` numbers (0 to 1000) passes the time step's sinusoid and an MLP of its own; with
    "rsgeo" there are ``features[i]`` numbers for field i, NaN where unknown (`rsgeo.encoding.rsgeo`). ``width`` is the sinusoid's.

    Raises:
        ValueError: another ``encoding``, or "rsgeo" without ``features``.
    """

    def __init__(self, width: int, num_metadata: int, encoding: str = "sinusoid", features: Sequence[int] | None = None) -> None:
        if encoding not in ("sinusoid", "rsgeo"):
            raise ValueError(f"metadata_encoding must be 'sinusoid' or 'rsgeo', got {encoding!r}")
        if encoding == "rsgeo" and not features:
            raise ValueError("metadata_encoding 'rsgeo' needs metadata_features, the number of features of each field")
        if encoding == "rsgeo":
            super().__init__(FieldEmbedding(n, 4 * width) for n in features or ())
        else:
            super().__init__(TimestepEmbedding(width, 4 * width) for _ in range(num_metadata))
        self.encoding = encoding
        self.sizes = list(features or ()) if encoding == "rsgeo" else [1] * num_metadata

    @property
    def num_values(self) -> int:
        """Length of a metadata row."""
        return sum(self.sizes)

    def forward(self, metadata: torch.Tensor, time_proj: Callable[[torch.Tensor], torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
        """(batch, num_values) float32 -> (batch, 4 * width) in ``dtype``; ``time_proj`` is the network's sinusoid."""
        if self.encoding == "rsgeo":
            fields = metadata.split(self.sizes, dim=1)
        else:
            # The sinusoid is taken in float32: a half keeps longitude to 0.18 degrees only.
            fields = tuple(time_proj(column.float()).to(dtype) for column in metadata.unbind(dim=1))
        return torch.stack([embed(field) for embed, field in zip(self, fields, strict=True)]).sum(dim=0)
