"""`SatPipeline`: text and scene metadata to image, one tile at a time, as a diffusers pipeline.

`SatPipeline.from_pretrained(folder)` needs no ``trust_remote_code``: ``save_pretrained`` writes rsgeo's components into model_index.json as
``["rsgeo.models.sat_unet", "SatUNet"]`` and the like, and diffusers takes such classes from modules that are already imported. So this
module imports every module of `rsgeo.models` that may stand there. diffusers only logs weights that do not fit;
`rsgeo.models.loading.load_module` is strict.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput
from diffusers.image_processor import VaeImageProcessor
from diffusers.utils.torch_utils import randn_tensor

import rsgeo.models.sat_unet
import rsgeo.models.word_piece_encoder  # noqa: F401
from rsgeo import encoding
from rsgeo.errors import ModelError
from rsgeo.models.patch_codec import PatchCodec
from rsgeo.pipelines import text
from rsgeo.pipelines.text import PromptEmbeddings
from rsgeo.scene import SceneMetadata

if TYPE_CHECKING:
    from rsgeo.pipelines.sat_controlnet_pipeline import Control


class SatPipeline(DiffusionPipeline):
    """Latent diffusion conditioned on a prompt and on `SceneMetadata`; the single-image task of DiffusionSat (ICLR 2024) and of rsgeo-mini.

    Any diffusers scheduler works. For areas larger than a tile use `rsgeo.generate`.
    """

    model_cpu_offload_seq = "text_encoder->unet->vae"
    _callback_tensor_inputs = ("latents",)

    def __init__(self, vae: Any, text_encoder: Any, tokenizer: Any, unet: Any, scheduler: Any) -> None:
        super().__init__()
        self.register_modules(vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler)
        self.image_processor = VaeImageProcessor(vae_scale_factor=self.latent_factor)

    @property
    def latent_factor(self) -> int:
        """Pixels a latent cell, along one axis."""
        if isinstance(self.vae, PatchCodec):
            return int(self.vae.config.patch_size)
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def reads_metadata(self) -> bool:
        """Whether the network has metadata embeddings."""
        return bool(self.unet.config.get("use_metadata"))

    def encode_metadata(self, scenes: Sequence[SceneMetadata]) -> torch.Tensor | None:
        """What the network is fed of the scenes: (batch, numbers) float32, or None for a model without metadata."""
        if not self.reads_metadata:
            return None
        return torch.from_numpy(encoding.encode(scenes, self.unet.config.metadata_encoding)).to(self._execution_device)

    def unconditional_metadata(self, batch: int) -> torch.Tensor | None:
        """Metadata of the unconditional half of guidance: everything unknown."""
        return self.encode_metadata([SceneMetadata()] * batch)

    def embed(self, prompts: Sequence[str]) -> PromptEmbeddings:
        """The prompts through tokenizer and text encoder; a prompt that is too long is cut, with a warning."""
        return text.encode(prompts, self.tokenizer, self.text_encoder)

    def condition(self, embedded: PromptEmbeddings, metadata: torch.Tensor | None, control: Control | None = None) -> dict[str, Any]:
        """Keyword arguments of the network for a batch of embedded prompts and encoded metadata: one half of what `guided` takes.

        Raises:
            ValueError: the network needs a vector of the whole prompt and there is none, or ``control`` is given to a pipeline without ControlNet.
        """
        if control is not None:
            raise ValueError("this pipeline has no ControlNet that reads condition images: use SatControlNetPipeline")
        dtype = self.unet.dtype
        arguments: dict[str, Any] = {
            "encoder_hidden_states": embedded.states.to(dtype),
            "encoder_attention_mask": None if embedded.mask is None else embedded.mask.to(dtype),
        }
        if self.unet.config.get("text_embeds_dim") is not None:
            if embedded.pooled is None:
                raise ValueError("this model reads a vector of the whole prompt too: give prompts instead of prompt_embeds")
            arguments["text_embeds"] = embedded.pooled.to(dtype)
        if metadata is not None:
            arguments["metadata"] = metadata
        return arguments

    def guided(self, latents: torch.Tensor, timestep: Any, wish: dict[str, Any], blank: dict[str, Any] | None, guidance_scale: float) -> torch.Tensor:
        """Classifier-free guidance (Ho and Salimans 2022): blank + scale * (wish - blank), both halves in one batch.

        Without ``blank`` the plain output for ``wish``. Float32, shape of ``latents``.
        """
        if blank is None:
            return self._predict(latents, timestep, wish).float()
        output = self._predict(torch.cat([latents, latents]), timestep, self._both_halves(wish, blank))
        without, with_ = output.float().chunk(2)
        return without + guidance_scale * (with_ - without)

    def _predict(self, latents: torch.Tensor, timestep: Any, conditions: dict[str, Any]) -> torch.Tensor:
        """The network's output, in its own dtype."""
        output: torch.Tensor = self.unet(latents.to(self.unet.dtype), timestep, return_dict=False, **conditions)[0]
        return output

    def _both_halves(self, wish: dict[str, Any], blank: dict[str, Any]) -> dict[str, Any]:
        """One batch of conditions, the unconditional half first."""
        return {key: torch.cat([blank[key], value]) if torch.is_tensor(value) else value for key, value in wish.items()}

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels (batch, 3, height, width) in [-1, 1] -> latents, float32: the mean of their distribution, never a sample."""
        latents: torch.Tensor = self.vae.encode(pixels.to(self.vae.dtype), return_dict=False)[0].mode()
        return latents.float() * float(self.vae.config.scaling_factor)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents -> pixels (batch, 3, height, width), float32 around [-1, 1], not clipped."""
        scaled = (latents / self.vae.config.scaling_factor).to(self.vae.dtype)
        pixels: torch.Tensor = self.vae.decode(scaled, return_dict=False)[0]
        return pixels.float()

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        scenes: SceneMetadata | Sequence[SceneMetadata] | None = None,
        *,
        negative_prompt: str = "",
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 12,
        guidance_scale: float = 2.5,
        eta: float = 0.0,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        prompt_embeds: torch.Tensor | None = None,
        negative_prompt_embeds: torch.Tensor | None = None,
        metadata: torch.Tensor | Sequence[Any] | None = None,
        control: Control | None = None,
        output_type: str = "pil",
        callback_on_step_end: Callable[[Any, int, Any, dict[str, torch.Tensor]], dict[str, torch.Tensor]] | None = None,
    ) -> ImagePipelineOutput:
        """Make one picture a prompt.

        Args:
            prompt: one prompt or a batch; the empty one is unconditional.
            scenes: one scene for all or one a prompt; what is None in it is unknown to the model.
            height, width: pixels, multiples of the latent factor; default the model's tile.
            guidance_scale: 1 or less is without guidance; the other half of guidance knows ``negative_prompt`` and no metadata.
            eta: noise of DDIM, 0 to 1; other schedulers ignore it.
            latents: standard normal noise (batch, channels, height / factor, width / factor) instead of drawing it.
            prompt_embeds, negative_prompt_embeds: text states (batch, tokens, dim) instead of the prompts, for models that read
                nothing else of the text.
            metadata: already encoded, (batch, numbers) or (numbers,), instead of ``scenes``. Ignored by a model without metadata.
            control: condition images, for a pipeline with a ControlNet.
            output_type: "pil", "np" (batch, height, width, 3), "pt" (batch, 3, height, width), both in [0, 1], or "latent".
            callback_on_step_end: called with the pipeline, the step, the time step and {"latents": ...}; gives back what it changes.

        Raises:
            ValueError: a size is no multiple of the latent factor, or numbers of prompts, scenes and embeddings differ.
            ModelError: the latents became NaN or infinite.
        """
        device, factor = self._execution_device, self.latent_factor
        wished = (
            self.embed([prompt or ""] if prompt is None or isinstance(prompt, str) else prompt)
            if prompt_embeds is None
            else _states(prompt_embeds, device)
        )
        batch = len(wished.states)
        height, width = (side or self._tile_side() for side in (height, width))
        if height % factor or width % factor:
            raise ValueError(f"height and width must be multiples of {factor}, got {height} and {width}")
        wish = self.condition(wished, self._metadata_rows(scenes, metadata, batch), control)
        blank = None
        if guidance_scale > 1.0:
            negative = negative_prompt_embeds
            unwished = self.embed([negative_prompt] * batch) if negative is None else _states(negative, device)
            blank = self.condition(unwished, self.unconditional_metadata(batch))

        self.scheduler.set_timesteps(num_inference_steps, device=device)
        shape = (batch, self.unet.config.in_channels, height // factor, width // factor)
        if latents is None:
            latents = randn_tensor(shape, generator=generator, device=device, dtype=torch.float32)
        elif tuple(latents.shape) != shape:
            raise ValueError(f"latents must have shape {shape}, got {tuple(latents.shape)}")
        latents = latents.to(device, torch.float32) * self.scheduler.init_noise_sigma
        extra = self._step_arguments(generator, eta)
        for index, timestep in enumerate(self.progress_bar(self.scheduler.timesteps)):
            output = self.guided(self.scheduler.scale_model_input(latents, timestep), timestep, wish, blank, guidance_scale)
            latents = self.scheduler.step(output, timestep, latents, return_dict=False, **extra)[0]
            if callback_on_step_end is not None:
                latents = callback_on_step_end(self, index, timestep, {"latents": latents}).get("latents", latents)
        if not torch.isfinite(latents).all():
            raise ModelError(f"The model made numbers that are not finite in {self.unet.dtype}; use float32, or fetch the model again.")
        if output_type == "latent":
            return ImagePipelineOutput(images=latents)
        images = self.image_processor.postprocess(self.decode(latents), output_type=output_type)
        return ImagePipelineOutput(images=images)

    def _tile_side(self) -> int:
        if self.unet.config.sample_size is None:
            raise ValueError("the model does not say how large its tile is: give height and width")
        return int(self.unet.config.sample_size) * self.latent_factor

    def _metadata_rows(
        self, scenes: SceneMetadata | Sequence[SceneMetadata] | None, metadata: torch.Tensor | Sequence[Any] | None, batch: int
    ) -> torch.Tensor | None:
        if metadata is None:
            return self.encode_metadata(_spread(scenes, batch))
        if not self.reads_metadata:
            return None
        rows = torch.as_tensor(metadata, dtype=torch.float32, device=self._execution_device)
        numbers = self.unet.num_metadata_values
        if tuple(rows.shape) not in ((numbers,), (1, numbers), (batch, numbers)):
            raise ValueError(f"metadata must have shape {(batch, numbers)} or {(numbers,)}, got {tuple(rows.shape)}")
        return rows.expand(batch, -1)

    def _step_arguments(self, generator: Any, eta: float) -> dict[str, Any]:
        accepted = inspect.signature(self.scheduler.step).parameters
        offered = {"generator": generator, "eta": eta}
        return {key: value for key, value in offered.items() if key in accepted}


def _states(embeds: torch.Tensor, device: torch.device) -> PromptEmbeddings:
    return PromptEmbeddings(embeds.to(device), None, None)


def _spread(scenes: SceneMetadata | Sequence[SceneMetadata] | None, batch: int) -> list[SceneMetadata]:
    if scenes is None or isinstance(scenes, SceneMetadata):
        return [scenes or SceneMetadata()] * batch
    if len(scenes) != batch:
        raise ValueError(f"as many scenes as prompts are needed, got {len(scenes)} for {batch}")
    return list(scenes)
