"""`SatControlNet`: condition images of one moment, stacked on the channel axis, steer a `SatUNet`."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import ModelMixin  # noqa: F401 - from_pretrained looks for ModelMixin in a component's module
from diffusers.models.controlnets.controlnet import ControlNetOutput

from rsgeo.models.condition_encoder import ConditionEncoder, condition_strides
from rsgeo.models.control_trunk import ControlTrunk


class SatControlNet(ControlTrunk):
    """DiffusionSat's 2D ControlNet (Khanna et al., ICLR 2024, section 3.3), there named ``ControlNetModel``.

    Configuration keys: those of `ControlTrunk` (``conditioning_in_channels`` is images times bands), and ``conditioning_scale``, pixels of the
    target for one of the condition along an axis. No weight tells it: the encoder's strides come from it alone. ``keeps_means`` says that the
    condition is the mean colour of the picture in each latent cell and was held to in training, as a pipeline then has to hold to it.

    Raises:
        ValueError: a configuration that cannot be.
    """

    def __init__(self, conditioning_scale: float = 1, keeps_means: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.register_to_config(conditioning_scale=conditioning_scale, keeps_means=keeps_means)
        channels = self.config.conditioning_embedding_out_channels
        strides = condition_strides(conditioning_scale, self.config.latent_factor, len(channels) - 1)
        self.controlnet_cond_embedding = ConditionEncoder(self.config.conditioning_in_channels, self.config.block_out_channels[0], channels, strides)

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | float | int,
        encoder_hidden_states: torch.Tensor,
        controlnet_cond: torch.Tensor,
        conditioning_scale: float = 1.0,
        *,
        metadata: torch.Tensor | None = None,
        cond_metadata: torch.Tensor | None = None,
        text_embeds: torch.Tensor | None = None,
        class_labels: torch.Tensor | None = None,
        timestep_cond: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        cross_attention_kwargs: dict[str, Any] | None = None,
        guess_mode: bool = False,
        return_dict: bool = True,
    ) -> ControlNetOutput | tuple[list[torch.Tensor], torch.Tensor]:
        """Residuals for the skips and the middle of a `SatUNet`; as diffusers', and:

        Args:
            sample: noisy latents (batch, channels, height, width).
            controlnet_cond: (batch, conditioning_in_channels, height * latent_factor / s, width * latent_factor / s) in [0, 1], s the
                configuration's ``conditioning_scale``.
            conditioning_scale: what the residuals are multiplied by (not the configuration key of this name).
            metadata: of the target, (batch, num_metadata_values) in float32 whatever the weights' dtype.
            cond_metadata: of the condition, (batch, num_metadata_values), or (batch, num_metadata_values, images), whose embeddings are summed.
            text_embeds: one vector for the whole prompt, for a model with ``text_embeds_dim``.

        A model without metadata ignores both, one without ``text_embeds_dim`` ignores ``text_embeds``.

        Raises:
            ValueError: a tensor that the model reads is missing or of another shape.
        """
        emb = self._embed_time(sample, timestep, metadata, text_embeds, class_labels, timestep_cond)
        if self.config.use_metadata and cond_metadata is not None:
            emb = emb + self._embed_images(cond_metadata, sample)
        hidden = self.conv_in(sample) + self._encode_condition(controlnet_cond, sample)
        skips, mid = self._walk(hidden, emb, encoder_hidden_states, attention_mask, encoder_attention_mask, cross_attention_kwargs)
        skips = [block(skip) for block, skip in zip(self.controlnet_down_blocks, skips, strict=True)]
        return self._weigh(skips, self.controlnet_mid_block(mid), conditioning_scale, guess_mode, return_dict)

    def _embed_images(self, cond_metadata: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        rows = cond_metadata.unsqueeze(-1) if cond_metadata.ndim == 2 else cond_metadata
        images = rows.shape[-1]
        self._require("cond_metadata", rows, (sample.shape[0], self.num_metadata_values, images))
        return torch.stack([self._embed_metadata(row, sample.dtype) for row in rows.unbind(dim=-1)]).sum(dim=0)
