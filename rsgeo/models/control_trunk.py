"""`ControlTrunk`: what both ControlNets have in common, the first half of a `SatUNet` beside the frozen one."""

from __future__ import annotations

from typing import Any, Self

import torch
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.controlnets.controlnet import ControlNetModel, ControlNetOutput
from diffusers.models.embeddings import TimestepEmbedding

from rsgeo.models.metadata_embedding import MetadataEmbedding
from rsgeo.models.sat_unet import SatUNet


class ControlTrunk(ControlNetModel, PeftAdapterMixin):
    """diffusers' ControlNet (Zhang et al., ICCV 2023) with the metadata of a `SatUNet`: those of the target, and those of the condition.

    Both pass the same embeddings (Khanna et al., DiffusionSat, ICLR 2024, section 3.3). Configuration keys: those of
    `diffusers.ControlNetModel`, with ``conditioning_in_channels`` as DiffusionSat named ``conditioning_channels``; those that `SatUNet` adds;
    and ``latent_factor``, pixels of the target for one latent cell, which the condition encoder's strides are computed from.

    Raises:
        ValueError: a configuration that cannot be.
    """

    ignore_for_config = ["conditioning_channels"]  # noqa: RUF012 - diffusers reads a plain class attribute; told by conditioning_in_channels

    def __init__(
        self,
        use_metadata: bool = True,
        num_metadata: int = 7,
        metadata_encoding: str = "sinusoid",
        metadata_features: list[int] | None = None,
        text_embeds_dim: int | None = None,
        conditioning_in_channels: int = 3,
        latent_factor: int = 8,
        **trunk: Any,
    ) -> None:
        super().__init__(conditioning_channels=conditioning_in_channels, **trunk)
        self.register_to_config(
            use_metadata=use_metadata,
            num_metadata=num_metadata,
            metadata_encoding=metadata_encoding,
            metadata_features=metadata_features,
            text_embeds_dim=text_embeds_dim,
            conditioning_in_channels=conditioning_in_channels,
            latent_factor=latent_factor,
        )
        order = self.config.controlnet_conditioning_channel_order
        if order not in ("rgb", "bgr"):
            raise ValueError(f"controlnet_conditioning_channel_order must be 'rgb' or 'bgr', got {order!r}")
        if self.config.addition_embed_type is not None or self.config.encoder_hid_dim is not None:
            raise ValueError("addition_embed_type and encoder_hid_dim are no settings of this ControlNet")
        width = self.config.block_out_channels[0]
        if use_metadata:
            self.metadata_embedding = MetadataEmbedding(width, num_metadata, metadata_encoding, metadata_features)
        if text_embeds_dim is not None:
            self.text_embeds_embedding = TimestepEmbedding(text_embeds_dim, 4 * width)

    @staticmethod
    def _get_init_keys(input_class: type) -> set[str]:
        # diffusers reads the accepted configuration keys off the signature; here those of the base classes hide behind **kwargs.
        keys: set[str] = set()
        for cls in input_class.__mro__:
            if issubclass(cls, ControlNetModel):
                keys |= ControlNetModel._get_init_keys(cls)
        return keys - {"kwargs"}

    @classmethod
    def from_unet(cls, unet: SatUNet, **settings: Any) -> Self:
        """A ControlNet to be trained beside ``unet``: its configuration, its weights as far as it has them, all else as at first.

        ``settings`` are configuration keys of this class; they come before those of ``unet``.
        """
        known = cls._get_init_keys(cls) & set(unet.config.keys())
        net = cls(**{**{key: unet.config[key] for key in known}, **settings})
        own = net.state_dict()
        net.load_state_dict({name: value for name, value in unet.state_dict().items() if name in own}, strict=False)
        return net

    @property
    def num_metadata_values(self) -> int:
        """Length of a metadata row; 0 without metadata."""
        return self.metadata_embedding.num_values if self.config.use_metadata else 0

    def _require(self, what: str, given: torch.Tensor | None, *shapes: tuple[int, ...]) -> torch.Tensor:
        if given is None or tuple(given.shape) not in shapes:
            got = None if given is None else tuple(given.shape)
            raise ValueError(f"{what} must have shape {' or '.join(map(str, shapes))}, got {got}")
        return given

    def _embed_time(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | float | int,
        metadata: torch.Tensor | None,
        text_embeds: torch.Tensor | None,
        class_labels: torch.Tensor | None,
        timestep_cond: torch.Tensor | None,
    ) -> torch.Tensor:
        """Time step, class, the target's metadata and the prompt vector: (batch, time embedding)."""
        batch, dtype = sample.shape[0], sample.dtype
        timesteps = torch.as_tensor(timestep, device=sample.device).expand(batch)
        emb: torch.Tensor = self.time_embedding(self.time_proj(timesteps).to(dtype), timestep_cond)
        if self.class_embedding is not None:
            if class_labels is None:
                raise ValueError("class_labels must be given to a model that was trained with them")
            labels = self.time_proj(class_labels).to(dtype) if self.config.class_embed_type == "timestep" else class_labels
            emb = emb + self.class_embedding(labels).to(dtype)
        if self.config.use_metadata:
            emb = emb + self._embed_metadata(self._require("metadata", metadata, (batch, self.num_metadata_values)), dtype)
        if self.config.text_embeds_dim is not None:
            vector = self._require("text_embeds", text_embeds, (batch, self.config.text_embeds_dim))
            emb = emb + self.text_embeds_embedding(vector.to(dtype))
        return emb

    def _embed_metadata(self, rows: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        embedded: torch.Tensor = self.metadata_embedding(rows, self.time_proj, dtype)
        return embedded

    def _encode_condition(self, controlnet_cond: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        """The condition on the latent grid of ``sample``.

        Raises:
            ValueError: it has another size or number of channels than goes with ``sample``.
        """
        channels = self.config.conditioning_in_channels
        if controlnet_cond.shape[1] != channels:
            raise ValueError(f"controlnet_cond must have {channels} channels, got {controlnet_cond.shape[1]}")
        if self.config.controlnet_conditioning_channel_order == "bgr":
            controlnet_cond = controlnet_cond.flip(1)
        encoded: torch.Tensor = self.controlnet_cond_embedding(controlnet_cond)
        if encoded.shape[-2:] != sample.shape[-2:]:
            raise ValueError(
                f"controlnet_cond of {tuple(controlnet_cond.shape[-2:])} px becomes {tuple(encoded.shape[-2:])} cells, "
                f"but the latents have {tuple(sample.shape[-2:])}"
            )
        return encoded

    def _walk(
        self,
        sample: torch.Tensor,
        emb: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None,
        encoder_attention_mask: torch.Tensor | None,
        cross_attention_kwargs: dict[str, Any] | None,
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Down and middle blocks: what enters each of the UNet's skips, and the middle."""
        text = {
            "encoder_hidden_states": encoder_hidden_states,
            "attention_mask": _bias(attention_mask, sample.dtype),
            "encoder_attention_mask": _bias(encoder_attention_mask, sample.dtype),
            "cross_attention_kwargs": cross_attention_kwargs,
        }
        skips = [sample]
        for block in self.down_blocks:
            sample, passed = block(sample, temb=emb, **(text if _reads_text(block) else {}))
            skips.extend(passed)
        return skips, self.mid_block(sample, emb, **(text if _reads_text(self.mid_block) else {}))

    def _weigh(
        self, skips: list[torch.Tensor], mid: torch.Tensor, scale: float, guess_mode: bool, return_dict: bool
    ) -> ControlNetOutput | tuple[list[torch.Tensor], torch.Tensor]:
        """The residuals times ``scale``; under ``guess_mode`` from a tenth of it in the first skip to the whole in the middle."""
        residuals, pooled = [*skips, mid], self.config.global_pool_conditions
        scales = [scale] * len(residuals)
        if guess_mode and not pooled:
            scales = (torch.logspace(-1, 0, len(residuals)) * scale).tolist()
        residuals = [residual * factor for residual, factor in zip(residuals, scales, strict=True)]
        if pooled:
            residuals = [residual.mean(dim=(2, 3), keepdim=True) for residual in residuals]
        *skips, mid = residuals
        return ControlNetOutput(down_block_res_samples=skips, mid_block_res_sample=mid) if return_dict else (skips, mid)


def _reads_text(block: Any) -> bool:
    return bool(getattr(block, "has_cross_attention", False))


def _bias(mask: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    """(batch, tokens), 1 where attention may look -> (batch, 1, tokens), added to its scores."""
    return None if mask is None else ((1 - mask.to(dtype)) * -10000.0).unsqueeze(1)
