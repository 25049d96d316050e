"""`SatUNet`: diffusers' conditional UNet with scene metadata added to the time embedding."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import ModelMixin, UNet2DConditionModel  # noqa: F401 - from_pretrained looks for ModelMixin in a component's module
from diffusers.models.embeddings import TimestepEmbedding
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput

from rsgeo.models.metadata_embedding import MetadataEmbedding


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
        super().__init__(**unet)
        self.register_to_config(
            use_metadata=use_metadata,
            num_metadata=num_metadata,
            metadata_encoding=metadata_encoding,
            metadata_features=metadata_features,
            text_embeds_dim=text_embeds_dim,
        )
        width = self.config.block_out_channels[0]
        if use_metadata:
            self.metadata_embedding = MetadataEmbedding(width, num_metadata, metadata_encoding, metadata_features)
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
        return self.metadata_embedding.num_values if self.config.use_metadata else 0

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
            terms.append(self.metadata_embedding(added_cond_kwargs["metadata"], self.time_proj, emb.dtype))
        if self.config.text_embeds_dim is not None:
            terms.append(self.text_embeds_embedding(added_cond_kwargs["pooled_text"].to(emb.dtype)))
        return torch.stack(terms).sum(dim=0) if terms else None
