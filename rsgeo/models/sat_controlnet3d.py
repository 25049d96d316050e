"""`SatControlNet3D`: a series of condition images, each with its own metadata, steers a `SatUNet`."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import ModelMixin  # noqa: F401 - from_pretrained looks for ModelMixin in a component's module
from diffusers.models import TransformerTemporalModel
from diffusers.models.controlnets.controlnet import ControlNetOutput, zero_module
from torch import nn

from rsgeo.models.condition_encoder import ConditionEncoder, condition_strides
from rsgeo.models.control_trunk import ControlTrunk


class SatControlNet3D(ControlTrunk):
    """DiffusionSat's 3D ControlNet (Khanna et al., ICLR 2024, section 3.3), there named ``ControlNetModel3D``.

    Every image passes the trunk by itself; on each skip the series is mixed and summed, so that residuals grow with the number of images.
    Configuration keys: those of `ControlTrunk` (``conditioning_in_channels`` is the bands of one image), and ``use_temporal_transformer``:
    whether images see each other by attention before they are summed.

    Raises:
        ValueError: a configuration that cannot be.
    """

    controlnet_down_blocks: nn.ModuleList

    def __init__(self, use_temporal_transformer: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.register_to_config(use_temporal_transformer=use_temporal_transformer)
        widths, channels = self.config.block_out_channels, self.config.conditioning_embedding_out_channels
        self.controlnet_cond_embedding = ConditionEncoder(
            self.config.conditioning_in_channels, widths[0], channels,
            condition_strides(1, self.config.latent_factor, len(channels) - 1), temporal=True,
        )  # fmt: skip
        skips = [int(block.out_channels) for block in self.controlnet_down_blocks]  # type: ignore[arg-type]
        self.controlnet_down_blocks = nn.ModuleList(zero_module(nn.Conv3d(width, width, kernel_size=1)) for width in skips)
        self.controlnet_mid_block = zero_module(nn.Conv3d(widths[-1], widths[-1], kernel_size=1))
        if use_temporal_transformer:
            self.temporal_blocks = self._temporal_blocks(len(skips))
            self.mixing_attns = nn.ParameterList(
                nn.Parameter(torch.tensor(0.0), requires_grad=isinstance(block, TransformerTemporalModel)) for block in self.temporal_blocks
            )

    def _temporal_blocks(self, num_skips: int) -> nn.ModuleList:
        """Attention over the series on the first skip and on that of each down-sampler; elsewhere nothing."""
        widths, heads, groups = self.config.block_out_channels, self.config.attention_head_dim, self.config.norm_num_groups
        heads = [heads] * len(widths) if isinstance(heads, int) else heads
        blocks: list[nn.Module] = [nn.Identity() for _ in range(num_skips)]
        blocks[0] = TransformerTemporalModel(num_attention_heads=8, attention_head_dim=64, in_channels=widths[0])
        for i, (width, dim) in enumerate(zip(widths[:-1], heads[:-1], strict=True), start=1):
            # Where the trunk has attention_head_dim heads, these have heads of attention_head_dim numbers: so the weights were trained.
            blocks[i * (self.config.layers_per_block + 1)] = TransformerTemporalModel(
                num_attention_heads=width // dim, attention_head_dim=dim, in_channels=width, norm_num_groups=groups
            )
        return nn.ModuleList(blocks)

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
            controlnet_cond: (batch, conditioning_in_channels, images, height * latent_factor, width * latent_factor) in [0, 1], any number
                of images.
            conditioning_scale: what the residuals are multiplied by.
            metadata: of the target, (batch, num_metadata_values) in float32 whatever the weights' dtype.
            cond_metadata: of the images, (batch, num_metadata_values, images), or (batch, num_metadata_values) for all alike.
            text_embeds: one vector for the whole prompt, for a model with ``text_embeds_dim``.

        A model without metadata ignores both, one without ``text_embeds_dim`` ignores ``text_embeds``.

        Raises:
            ValueError: a tensor that the model reads is missing or of another shape.
        """
        if controlnet_cond.ndim != 5:
            raise ValueError(f"controlnet_cond must have shape (batch, channels, images, height, width), got {tuple(controlnet_cond.shape)}")
        images = controlnet_cond.shape[2]

        def repeat(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.repeat_interleave(images, dim=0)

        emb = repeat(self._embed_time(sample, timestep, metadata, text_embeds, class_labels, timestep_cond))
        if self.config.use_metadata and cond_metadata is not None:
            emb = emb + self._embed_images(cond_metadata, sample, images)
        hidden = repeat(self.conv_in(sample)) + _side_by_side(self._encode_condition(controlnet_cond, sample))
        skips, mid = self._walk(
            hidden,
            emb,
            repeat(encoder_hidden_states),
            None if attention_mask is None else repeat(attention_mask),
            None if encoder_attention_mask is None else repeat(encoder_attention_mask),
            cross_attention_kwargs,
        )
        skips = [block(_as_series(skip, images)) for block, skip in zip(self.controlnet_down_blocks, skips, strict=True)]
        skips = [self._merge(index, skip) for index, skip in enumerate(skips)]
        mid = self.controlnet_mid_block(_as_series(mid, images)).sum(dim=2)
        return self._weigh(skips, mid, conditioning_scale, guess_mode, return_dict)

    def _embed_images(self, cond_metadata: torch.Tensor, sample: torch.Tensor, images: int) -> torch.Tensor:
        batch, values = sample.shape[0], self.num_metadata_values
        self._require("cond_metadata", cond_metadata, (batch, values, images), (batch, values))
        series = cond_metadata if cond_metadata.ndim == 3 else cond_metadata.unsqueeze(-1).expand(-1, -1, images)
        return self._embed_metadata(series.transpose(1, 2).flatten(0, 1), sample.dtype)

    def _merge(self, index: int, series: torch.Tensor) -> torch.Tensor:
        """(batch, channels, images, height, width) of skip ``index`` -> (batch, channels, height, width)."""
        if self.config.use_temporal_transformer and isinstance(self.temporal_blocks[index], TransformerTemporalModel):
            images = series.shape[2]
            seen = _as_series(self.temporal_blocks[index](_side_by_side(series), num_frames=images, return_dict=False)[0], images)
            mixing = self.mixing_attns[index]
            # Forward the clamped value, backward as if it were not clamped: a value that left [0, 1] can come back.
            share = mixing + (mixing.clamp(0, 1) - mixing).detach()
            series = share * seen + (1 - share) * series
        merged: torch.Tensor = series.sum(dim=2)
        return merged


def _side_by_side(series: torch.Tensor) -> torch.Tensor:
    """(batch, channels, images, ...) -> (batch * images, channels, ...), the images of a sample beside each other."""
    return series.transpose(1, 2).flatten(0, 1)


def _as_series(stack: torch.Tensor, images: int) -> torch.Tensor:
    """The reverse of `_side_by_side`."""
    batch = stack.shape[0] // images
    return stack.reshape(batch, images, *stack.shape[1:]).transpose(1, 2)
