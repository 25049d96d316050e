"""`SatUNet`: diffusers' conditional UNet with scene metadata added to the time embedding."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import ModelMixin, UNet2DConditionModel  # noqa: F401 - from_pretrained looks for ModelMixin in a component's module
from diffusers.models.embeddings import TimestepEmbedding
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
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


class SatUNet(UNet2DConditionModel):
    """A latent denoiser conditioned on text and scene metadata (Khanna et al., DiffusionSat, ICLR 2024, section 3.2).

    All configuration keys of `diffusers.UNet2DConditionModel`, and:

    * ``use_metadata``, ``num_metadata``: as published. With ``metadata_encoding`` "sinusoid" each of ``num_metadata`` numbers (0 to 1000)
      passes the time step's sinusoid and an MLP of its own; the sum is added to the time embedding.
    * ``metadata_encoding`` "rsgeo": ``metadata_features`` numbers for each field, NaN where unknown (`rsgeo.encoding.rsgeo`).
    * ``text_embeds_dim``: where set, one vector for the whole prompt, (batch, text_embeds_dim), is added to the time embedding as well.
    """

    def __init__(
        self,
        use_metadata: bool = True,
        num_metadata: int = 7,
        metadata_encoding: str = "sinusoid",
        metadata_features: list[int] | None = None,
        text_embeds_dim: int | None = None,
        **unet: Any,
    ) -> None:
        if use_metadata and metadata_encoding not in ("sinusoid", "rsgeo"):
            raise ValueError(f"metadata_encoding must be 'sinusoid' or 'rsgeo', got {metadata_encoding!r}")
        if use_metadata and metadata_encoding == "rsgeo" and not metadata_features:
            raise ValueError("metadata_encoding 'rsgeo' needs metadata_features, the number of features of each field")
        super().__init__(**unet)
        self.register_to_config(
            use_metadata=use_metadata,
            num_metadata=num_metadata,
            metadata_encoding=metadata_encoding,
            metadata_features=metadata_features,
            text_embeds_dim=text_embeds_dim,
        )
        width = self.config.block_out_channels[0]
        if use_metadata and metadata_encoding == "sinusoid":
            self.metadata_embedding = nn.ModuleList(TimestepEmbedding(width, 4 * width) for _ in range(num_metadata))
        elif use_metadata:
            self.metadata_embedding = nn.ModuleList(FieldEmbedding(n, 4 * width) for n in metadata_features or ())
        if text_embeds_dim is not None:
            self.text_embeds_embedding = TimestepEmbedding(text_embeds_dim, 4 * width)

    @staticmethod
    def _get_init_keys(input_class: type) -> set[str]:
        # diffusers reads the accepted configuration keys off the signature; here the trunk's keys hide behind **unet.
        own: set[str] = UNet2DConditionModel._get_init_keys(input_class) - {"unet"}
        return own | set(UNet2DConditionModel._get_init_keys(UNet2DConditionModel))

    @property
    def num_metadata_values(self) -> int:
        """Length of a metadata row; 0 without metadata."""
        if not self.config.use_metadata:
            return 0
        if self.config.metadata_encoding == "rsgeo":
            return sum(self.config.metadata_features)
        return int(self.config.num_metadata)

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | float | int,
        encoder_hidden_states: torch.Tensor,
        *args: Any,
        metadata: torch.Tensor | None = None,
        text_embeds: torch.Tensor | None = None,
        added_cond_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> UNet2DConditionOutput | tuple[torch.Tensor, ...]:
        """As diffusers', with ``metadata`` (batch, num_metadata_values) in float32 whatever the weights' dtype.

        A model without metadata ignores ``metadata``, one without ``text_embeds_dim`` ignores ``text_embeds``.

        Raises:
            ValueError: ``metadata`` or ``text_embeds`` is missing or ``metadata`` of another shape while the model reads it.
        """
        if self.config.use_metadata:
            expected = (sample.shape[0], self.num_metadata_values)
            if metadata is None or tuple(metadata.shape) != expected:
                got = None if metadata is None else tuple(metadata.shape)
                raise ValueError(f"metadata must have shape {expected}, got {got}")
        if self.config.text_embeds_dim is not None and text_embeds is None:
            raise ValueError(f"text_embeds must have shape {(sample.shape[0], self.config.text_embeds_dim)}, got None")
        added = {**(added_cond_kwargs or {}), "metadata": metadata, "pooled_text": text_embeds}
        return super().forward(sample, timestep, encoder_hidden_states, *args, added_cond_kwargs=added, **kwargs)

    def get_aug_embed(self, emb: torch.Tensor, encoder_hidden_states: torch.Tensor, added_cond_kwargs: dict[str, Any]) -> torch.Tensor | None:
        """diffusers' hook for added conditions: its own, plus metadata, plus the prompt vector; (batch, time embedding) or None."""
        total = super().get_aug_embed(emb, encoder_hidden_states, added_cond_kwargs)
        terms = [] if total is None else [total]
        if self.config.use_metadata:
            terms.append(self._embed_metadata(added_cond_kwargs["metadata"], emb.dtype))
        if self.config.text_embeds_dim is not None:
            terms.append(self.text_embeds_embedding(added_cond_kwargs["pooled_text"].to(emb.dtype)))
        return torch.stack(terms).sum(dim=0) if terms else None

    def _embed_metadata(self, metadata: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        if self.config.metadata_encoding == "rsgeo":
            fields = metadata.split(list(self.config.metadata_features), dim=1)
        else:
            # The sinusoid is taken in float32: a half keeps longitude to 0.18 degrees only (MODELS.md).
            fields = tuple(self.time_proj(column.float()).to(dtype) for column in metadata.unbind(dim=1))
        embedded = [embed(field) for embed, field in zip(self.metadata_embedding, fields, strict=True)]
        return torch.stack(embedded).sum(dim=0)
