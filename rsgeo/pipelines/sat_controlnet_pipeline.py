"""`SatControlNetPipeline`: a `SatPipeline` steered by condition images through one of DiffusionSat's ControlNets, 2D or 3D.

As with `rsgeo.pipelines.sat_pipeline`, this module imports what may stand in a saved model_index.json, so that ``from_pretrained`` needs no
``trust_remote_code``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeAlias

import torch
from diffusers import ImagePipelineOutput
from diffusers.image_processor import PipelineImageInput, VaeImageProcessor
from diffusers.schedulers import KarrasDiffusionSchedulers
from transformers import PreTrainedTokenizerBase

from rsgeo import encoding
from rsgeo.models.sat_controlnet import SatControlNet
from rsgeo.models.sat_controlnet3d import SatControlNet3D
from rsgeo.models.sat_unet import SatUNet
from rsgeo.pipelines.given import spread
from rsgeo.pipelines.known_cells import noise_level
from rsgeo.pipelines.known_means import hold_means, means_of
from rsgeo.pipelines.sat_pipeline import SatPipeline, TextEncoder, UNet, Vae
from rsgeo.pipelines.text import PromptEmbeddings
from rsgeo.scene import SceneMetadata

ControlNet: TypeAlias = SatControlNet | SatControlNet3D
_PICTURES = VaeImageProcessor(vae_scale_factor=1, do_normalize=False, do_convert_rgb=True)
# What the ControlNet reads of the UNet's conditions.
_SHARED = ("encoder_hidden_states", "encoder_attention_mask", "text_embeds", "metadata")


@dataclass(frozen=True, eq=False)
class Control:
    """Condition images of a batch, as the ControlNet reads them."""

    images: torch.Tensor
    """(batch, channels, height, width), or (batch, channels, frames, height, width) for a 3D ControlNet, in [0, 1]."""
    metadata: torch.Tensor | None = None
    """Encoded, (batch, numbers, images) or (batch, numbers); None where the condition has none."""
    scale: float = 1.0
    """What the residuals are multiplied by."""
    guess_mode: bool = False
    """Weaker residuals in the early skips, and none in the unconditional half of guidance (Zhang et al., ControlNet, ICCV 2023)."""

    def for_batch(self, prompts: int, images: int = 1) -> Control:
        """With one row for each of ``images`` pictures of each of the prompts.

        Raises:
            ValueError: there are neither one, nor as many as prompts, nor as many as pictures.
        """
        metadata = None if self.metadata is None else spread("rows of condition metadata", self.metadata, prompts, images)
        return replace(self, images=spread("condition images", self.images, prompts, images), metadata=metadata)


class SatControlNetPipeline(SatPipeline):
    """The conditional tasks of DiffusionSat (Khanna et al., ICLR 2024, section 3.3): super-resolution, temporal prediction, inpainting.

    ``controlnet`` is a `rsgeo.models.sat_controlnet.SatControlNet` or a `rsgeo.models.sat_controlnet3d.SatControlNet3D` that was trained beside
    ``unet``.
    """

    _optional_components: ClassVar[list[str]] = []

    def __init__(
        self,
        vae: Vae,
        text_encoder: TextEncoder,
        tokenizer: PreTrainedTokenizerBase,
        unet: UNet,
        controlnet: ControlNet,
        scheduler: KarrasDiffusionSchedulers,
        guide: SatUNet | None = None,
    ) -> None:
        # A guide among another pipeline's components stays behind: it sees no condition images, and what they do would be scaled up.
        super().__init__(vae, text_encoder, tokenizer, unet, scheduler)
        self.register_modules(controlnet=controlnet)

    @property
    def conditioning_scale(self) -> float:
        """Pixels of the picture for one of the condition images, along one axis."""
        return float(self.controlnet.config.get("conditioning_scale", 1))

    def encode_control_metadata(self, series: Sequence[Sequence[SceneMetadata]]) -> torch.Tensor | None:
        """What the ControlNet is fed of the images' scenes, one list a sample: (batch, numbers, images) float32, or None without metadata."""
        config = self.controlnet.config
        if not config.use_metadata:
            return None
        rows = [torch.from_numpy(encoding.encode(scenes, config.metadata_encoding)).T for scenes in series]
        return torch.stack(rows).to(self._execution_device)

    def condition(self, embedded: PromptEmbeddings, metadata: torch.Tensor | None, control: Control | None = None) -> dict[str, Any]:
        """As `SatPipeline.condition`, and the condition images; one sample of them serves the whole batch.

        The unconditional half needs none: `guided` shows it those of the other.
        """
        conditions = super().condition(embedded, metadata)
        if control is not None:
            control = self._fitting(control).for_batch(len(embedded.states))
            control = replace(control, images=control.images.to(self.controlnet.dtype))
        return {**conditions, "control": control}

    def guided(
        self,
        latents: torch.Tensor,
        timestep: Any,
        wish: dict[str, Any],
        blank: dict[str, Any] | None,
        guidance_scale: float,
        guidance_rescale: float = 0.0,
        unlike: bool = False,
    ) -> torch.Tensor:
        """As `SatPipeline.guided`; where the ControlNet ``keeps_means``, cells keep the mean colours that the condition shows."""
        output = super().guided(latents, timestep, wish, blank, guidance_scale, guidance_rescale, unlike)
        control = wish["control"]
        if control is None or not self.controlnet.config.get("keeps_means"):
            return output
        alpha, sigma = noise_level(self.scheduler, timestep)
        means, kind = means_of(control.images, (latents.shape[-2], latents.shape[-1])), self.scheduler.config.prediction_type
        return hold_means(output, latents, self.vae, means, alpha=alpha, sigma=sigma, prediction_type=kind)

    def _fitting(self, control: Control) -> Control:
        """``control`` without metadata that the ControlNet does not read."""
        if control.metadata is None or not self.controlnet.config.use_metadata:
            return replace(control, metadata=None)
        numbers, shape = self.controlnet.num_metadata_values, tuple(control.metadata.shape)
        if len(shape) not in (2, 3) or shape[1] != numbers:
            raise ValueError(f"cond_metadata must have shape (batch, {numbers}) or (batch, {numbers}, images), got {shape}")
        return control

    def _both_halves(self, wish: dict[str, Any], blank: dict[str, Any]) -> dict[str, Any]:
        # The unconditional half sees the same images, of which nothing is known: so the weights were sampled.
        both, control = super()._both_halves(wish, blank), wish["control"]
        if control is None or control.guess_mode:
            return both
        metadata = control.metadata
        if metadata is not None:
            metadata = torch.cat([self._unknown_like(metadata), metadata])
        return {**both, "control": replace(control, images=torch.cat([control.images, control.images]), metadata=metadata)}

    def _unknown_like(self, metadata: torch.Tensor) -> torch.Tensor:
        unknown = torch.from_numpy(encoding.unknown(1, self.controlnet.config.metadata_encoding)).to(metadata)
        return (unknown if metadata.ndim == 2 else unknown.unsqueeze(-1)).expand_as(metadata)

    def _predict(self, latents: torch.Tensor, timestep: Any, conditions: dict[str, Any]) -> torch.Tensor:
        control = conditions["control"]
        rest = {key: value for key, value in conditions.items() if key != "control"}
        if control is None:
            raise ValueError("this pipeline needs condition images: give image, or control")
        unsteered = len(latents) - len(control.images)
        dtype, own = control.images.dtype, rest["encoder_hidden_states"].dtype
        shared = {key: rest[key][unsteered:] for key in _SHARED if rest.get(key) is not None}
        skips, mid = self.controlnet(
            latents[unsteered:].to(dtype),
            timestep,
            controlnet_cond=control.images,
            conditioning_scale=control.scale,
            cond_metadata=control.metadata,
            guess_mode=control.guess_mode,
            return_dict=False,
            **{key: value if key == "metadata" else value.to(dtype) for key, value in shared.items()},
        )
        skips, mid = [_after_zeros(skip, unsteered).to(own) for skip in skips], _after_zeros(mid, unsteered).to(own)
        steered = {**rest, "down_block_additional_residuals": skips, "mid_block_additional_residual": mid}
        return super()._predict(latents, timestep, steered)

    @torch.no_grad()
    def __call__(  # type: ignore[override]  # the condition images come second, as in diffusers' own pipeline
        self,
        prompt: str | Sequence[str] | None = None,
        image: PipelineImageInput | Sequence[PipelineImageInput] | None = None,
        scenes: SceneMetadata | Sequence[SceneMetadata] | None = None,
        *,
        cond_scenes: SceneMetadata | Sequence[SceneMetadata] | Sequence[Sequence[SceneMetadata]] | None = None,
        cond_metadata: torch.Tensor | Sequence[Any] | None = None,
        controlnet_conditioning_scale: float = 1.0,
        guess_mode: bool = False,
        control: Control | None = None,
        height: int | None = None,
        width: int | None = None,
        **settings: Any,
    ) -> ImagePipelineOutput | tuple[Any, ...]:
        """Make one picture a prompt from condition images. ``settings`` are those of `SatPipeline.__call__`.

        Args:
            image: the condition: a tensor as `Control.images`, in [0, 1], used as it is; for a 3D ControlNet also (batch, frames * channels, height,
                width), frame after frame. Or images, each a PIL image or a tensor (channels, height, width): in a nested list those of one
                sample, ``[[first, second], ...]``, for a 2D ControlNet stacked on the channels; in a flat list one a sample for a 2D ControlNet,
                the frames of one sample for a 3D one. PIL images are resized. One sample serves all prompts.
            cond_scenes: of the condition images, in a nested list where there are several a sample, as ``image``; one for all.
            cond_metadata: already encoded instead of ``cond_scenes``: (numbers,), (batch, numbers), (numbers, images) or (batch, numbers, images).
                With neither the condition has no metadata.
            controlnet_conditioning_scale, guess_mode: see `Control`.
            control: all this as tensors instead of ``image``.
            height, width: pixels; default the condition's size times `conditioning_scale`.

        Raises:
            ValueError: as `SatPipeline.__call__`, or the condition's images or metadata do not fit the ControlNet, the prompts or each other.
        """
        if (image is None) == (control is None):
            raise ValueError("give either image or control")
        if control is None:
            images = self._images(image, height, width)
            rows = self._image_rows(cond_scenes, cond_metadata, images)
            control = Control(images, rows, float(controlnet_conditioning_scale), guess_mode)
        size = (round(side * self.conditioning_scale) for side in control.images.shape[-2:])
        height, width = (asked or side for asked, side in zip((height, width), size, strict=True))
        return super().__call__(prompt, scenes, control=control, height=height, width=width, **settings)

    @property
    def _is_series(self) -> bool:
        return isinstance(self.controlnet, SatControlNet3D)

    def _images(self, given: Any, height: int | None, width: int | None) -> torch.Tensor:
        """Condition images as `Control.images`, on the pipeline's device."""
        if torch.is_tensor(given):
            images = self._as_series(given) if self._is_series and given.ndim == 4 else given
        else:
            samples = list(given) if isinstance(given, (list, tuple)) else [given]
            if not isinstance(samples[0], (list, tuple)):
                samples = [samples] if self._is_series else [[one] for one in samples]
            groups = [[self._one_image(one, height, width) for one in sample] for sample in samples]
            images = torch.stack([torch.stack(group, dim=1) if self._is_series else torch.cat(group) for group in groups])
        rank = 5 if self._is_series else 4
        if images.ndim != rank:
            raise ValueError(f"image must have {rank} axes for this ControlNet, got {tuple(images.shape)}")
        return images.to(self._execution_device)

    def _one_image(self, image: Any, height: int | None, width: int | None) -> torch.Tensor:
        """(channels, height, width) in [0, 1]; only PIL images are resized."""
        if torch.is_tensor(image):
            return image[0] if image.ndim == 4 and len(image) == 1 else image
        height, width = (None if side is None else round(side / self.conditioning_scale) for side in (height, width))
        pixels: torch.Tensor = _PICTURES.preprocess(image, height, width)
        return pixels[0]

    def _as_series(self, stack: torch.Tensor) -> torch.Tensor:
        channels = self.controlnet.config.conditioning_in_channels
        if stack.shape[1] % channels:
            raise ValueError(f"image must have frames of {channels} channels, got {stack.shape[1]} channels")
        frames: torch.Tensor = stack.unflatten(1, (-1, channels)).transpose(1, 2)
        return frames

    def _image_rows(self, scenes: Any, metadata: Any, images: torch.Tensor) -> torch.Tensor | None:
        """`Control.metadata` for ``images``."""
        if not self.controlnet.config.use_metadata or (scenes is None and metadata is None):
            return None
        batch, frames = len(images), images.shape[2] if self._is_series else None
        if metadata is None:
            if isinstance(scenes, SceneMetadata):
                scenes = [[scenes] * (frames or 1)]
            elif isinstance(scenes[0], SceneMetadata):
                scenes = [scenes] if self._is_series else [[scene] for scene in scenes]
            return self.encode_control_metadata(scenes)
        rows, numbers = torch.as_tensor(metadata, dtype=torch.float32, device=self._execution_device), self.controlnet.num_metadata_values
        of_one_sample = rows.ndim == 1 or (rows.ndim == 2 and len(rows) == numbers and (rows.shape[1] == frames or rows.shape != (batch, numbers)))
        return rows[None] if of_one_sample else rows


def _after_zeros(residual: torch.Tensor, samples: int) -> torch.Tensor:
    """With as many samples before it that get nothing."""
    return torch.cat([residual.new_zeros(samples, *residual.shape[1:]), residual]) if samples else residual
