"""`SatInpaintPipeline`: a `SatPipeline` that makes a part of a picture and keeps the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import ImagePipelineOutput
from diffusers.image_processor import PipelineImageInput, VaeImageProcessor

from rsgeo.pipelines.given import Given, check_size, spread
from rsgeo.pipelines.known_cells import whole_cells
from rsgeo.pipelines.sat_pipeline import SatPipeline
from rsgeo.scene import SceneMetadata

_PICTURES = VaeImageProcessor(vae_scale_factor=1, do_normalize=False, do_convert_rgb=True)
_MASKS = VaeImageProcessor(vae_scale_factor=1, do_normalize=False, do_binarize=True, do_convert_grayscale=True)


class SatInpaintPipeline(SatPipeline):
    """Inpainting by mask with any single-image checkpoint: the network is taken to predict the known cells (`rsgeo.pipelines.known_cells`).

    ``SatInpaintPipeline(**pipeline.components)`` makes one of any `SatPipeline`, without copying weights; so does diffusers' ``from_pipe``, which
    casts them to float32 unless it is told a ``dtype``. A cell is known if all its pixels are.
    """

    @torch.no_grad()
    def __call__(  # type: ignore[override]  # the picture and its mask come next, as in diffusers' own pipeline
        self,
        prompt: str | Sequence[str] | None = None,
        image: PipelineImageInput | None = None,
        mask_image: PipelineImageInput | None = None,
        scenes: SceneMetadata | Sequence[SceneMetadata] | None = None,
        *,
        strength: float = 1.0,
        composite: bool = True,
        height: int | None = None,
        width: int | None = None,
        num_images_per_prompt: int = 1,
        output_type: str = "pil",
        return_dict: bool = True,
        **settings: Any,
    ) -> ImagePipelineOutput | tuple[Any, ...]:
        """Make one picture a prompt where a mask says so. ``settings`` are those of `SatPipeline.__call__`.

        Args:
            image: one for all, or one a prompt: PIL images, arrays (batch, height, width, 3) or tensors (batch, 3, height, width) in [0, 1].
            mask_image: white, or at least 0.5, where pixels are made; PIL images, arrays or tensors of the picture's size, (batch, 1, height, width).
            strength: above 0 to 1: less than 1 begins with the picture under the mask as well, and gives up that much of it.
            composite: put the known pixels into the output, unchanged; otherwise they are what the decoder makes of known cells.
            height, width: pixels that the picture and the mask are resized to; default the picture's own.
            output_type: as `SatPipeline.__call__`; latents are never composite.

        Raises:
            ValueError: as `SatPipeline.__call__`, ``strength`` leaves no step, or the picture's size is no multiple of the latent factor.
        """
        if image is None or mask_image is None:
            raise ValueError("inpainting needs image, and mask_image that says which of its pixels are made")
        pixels = _PICTURES.preprocess(image, height, width).to(self._execution_device, torch.float32)
        height, width = pixels.shape[-2:]
        check_size(height, width, self.latent_factor)
        known = _MASKS.preprocess(_floating(mask_image), height, width).to(pixels.device) < 0.5
        given = Given(self.encode(2.0 * pixels - 1.0), strength, whole_cells(known, self.latent_factor))
        latents = super().__call__(
            prompt,
            scenes,
            given=given,
            height=height,
            width=width,
            num_images_per_prompt=num_images_per_prompt,
            output_type="latent",
            return_dict=False,
            **settings,
        )[0]
        images = latents
        if output_type != "latent":
            made = (self.decode(latents) / 2.0 + 0.5).clamp(0.0, 1.0)
            if composite:
                prompts = len(made) // num_images_per_prompt
                kept = spread("masks", known, prompts, num_images_per_prompt)
                made = torch.where(kept, spread("pictures", pixels, prompts, num_images_per_prompt), made)
            images = self.image_processor.postprocess(made, output_type=output_type, do_denormalize=[False] * len(made))
            self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)


def _floating(mask: Any) -> Any:
    """The image processor computes with masks, and cannot with bool ones."""
    if isinstance(mask, (list, tuple)):
        return [_floating(one) for one in mask]
    if torch.is_tensor(mask):
        return mask.float()
    return mask.astype(np.float32) if isinstance(mask, np.ndarray) else mask
