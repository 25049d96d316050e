"""`SatImg2ImgPipeline`: a `SatPipeline` that begins with a picture instead of noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import ImagePipelineOutput
from diffusers.image_processor import PipelineImageInput, VaeImageProcessor

from rsgeo.pipelines.given import Given, check_size
from rsgeo.pipelines.sat_pipeline import SatPipeline
from rsgeo.scene import SceneMetadata

_PICTURES = VaeImageProcessor(vae_scale_factor=1, do_convert_rgb=True)


class SatImg2ImgPipeline(SatPipeline):
    """Image to image with any single-image checkpoint (Meng et al., SDEdit, ICLR 2022): noise is added to a picture, and taken away.

    ``SatImg2ImgPipeline(**pipeline.components)`` makes one of any `SatPipeline`, without copying weights; so does diffusers' ``from_pipe``, which
    casts them to float32 unless it is told a ``dtype``.
    """

    @torch.no_grad()
    def __call__(  # type: ignore[override]  # the picture comes second, as in diffusers' own pipeline
        self,
        prompt: str | Sequence[str] | None = None,
        image: PipelineImageInput | None = None,
        scenes: SceneMetadata | Sequence[SceneMetadata] | None = None,
        *,
        strength: float = 0.8,
        height: int | None = None,
        width: int | None = None,
        **settings: Any,
    ) -> ImagePipelineOutput | tuple[Any, ...]:
        """Make one picture a prompt from a picture. ``settings`` are those of `SatPipeline.__call__`.

        Args:
            image: one for all, or one a prompt: PIL images, arrays (batch, height, width, 3) or tensors (batch, 3, height, width) in [0, 1], or
                latents (batch, channels, height / factor, width / factor).
            strength: above 0 to 1: how much of the picture is given up, as the share of the steps that are taken.
            height, width: pixels that the picture is resized to; default its own.

        Raises:
            ValueError: as `SatPipeline.__call__`, ``strength`` leaves no step, or the picture's size is no multiple of the latent factor.
        """
        if image is None:
            raise ValueError("image to image needs image, the picture to start from")
        clean = self._latents_of(image, height, width)
        height, width = (side * self.latent_factor for side in clean.shape[-2:])
        return super().__call__(prompt, scenes, given=Given(clean, strength), height=height, width=width, **settings)

    def _latents_of(self, image: Any, height: int | None, width: int | None) -> torch.Tensor:
        if torch.is_tensor(image) and image.ndim == 4 and image.shape[1] == self.unet.config.in_channels:
            return image
        pixels: torch.Tensor = _PICTURES.preprocess(image, height, width)
        check_size(pixels.shape[-2], pixels.shape[-1], self.latent_factor)
        return self.encode(pixels.to(self._execution_device))
