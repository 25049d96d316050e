"""`SatPipeline`: text and scene metadata to image, one tile at a time, as a diffusers pipeline.

`SatPipeline.from_pretrained(folder)` needs no ``trust_remote_code``: ``save_pretrained`` writes rsgeo's components into model_index.json as
``["rsgeo.models.sat_unet", "SatUNet"]`` and the like, and diffusers takes such classes from modules that are already imported. So this
module imports every module of `rsgeo.models` that may stand there. diffusers only logs weights that do not fit;
`rsgeo.models.loading.load_module` is strict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import torch
from diffusers import AutoencoderKL, DiffusionPipeline, ImagePipelineOutput, UNet2DConditionModel
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.image_processor import VaeImageProcessor
from diffusers.loaders import StableDiffusionLoraLoaderMixin, TextualInversionLoaderMixin
from diffusers.pipelines.pipeline_utils import StableDiffusionMixin
from diffusers.schedulers import KarrasDiffusionSchedulers
from diffusers.utils import scale_lora_layers, unscale_lora_layers
from transformers import CLIPTextModel, PreTrainedTokenizerBase, T5EncoderModel

from rsgeo import encoding
from rsgeo.errors import ModelError
from rsgeo.models.patch_codec import PatchCodec
from rsgeo.models.sat_unet import SatUNet
from rsgeo.models.word_piece_encoder import WordPieceEncoder
from rsgeo.pipelines import guidance, known_cells, steps, text
from rsgeo.pipelines.given import Given, check_size, metadata_rows, noise_of
from rsgeo.pipelines.text import PromptEmbeddings
from rsgeo.scene import SceneMetadata

if TYPE_CHECKING:
    from rsgeo.pipelines.sat_controlnet_pipeline import Control

# diffusers reads off the constructor what `from_pipe` may take over.
Vae: TypeAlias = AutoencoderKL | PatchCodec
TextEncoder: TypeAlias = CLIPTextModel | T5EncoderModel | WordPieceEncoder
UNet: TypeAlias = SatUNet | UNet2DConditionModel

_DECIDED = 15.0  # sigma/alpha; below it steps change how a picture is drawn more than what it shows
Callback = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]  # a diffusers `PipelineCallback` is one


class SatPipeline(DiffusionPipeline, StableDiffusionMixin, TextualInversionLoaderMixin, StableDiffusionLoraLoaderMixin):
    """Latent diffusion conditioned on a prompt and on `SceneMetadata`; the single-image task of DiffusionSat (ICLR 2024) and of rsgeo-mini.

    Any diffusers scheduler works. ``guide`` is a less trained network for the other half of guidance (`guided`). For areas larger than a tile use
    `rsgeo.generate`.
    """

    model_cpu_offload_seq = "text_encoder->unet->vae"
    _optional_components: ClassVar[list[str]] = ["guide"]
    _exclude_from_cpu_offload: ClassVar[list[str]] = ["guide"]  # it is small, and runs at each step in turn with the UNet
    guide: SatUNet | None = None
    _callback_tensor_inputs = ("latents", "prompt_embeds", "negative_prompt_embeds")

    def __init__(
        self,
        vae: Vae,
        text_encoder: TextEncoder,
        tokenizer: PreTrainedTokenizerBase,
        unet: UNet,
        scheduler: KarrasDiffusionSchedulers,
        guide: SatUNet | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler)
        if "guide" in self._optional_components:
            self.register_modules(guide=guide)
        self.image_processor = VaeImageProcessor(
            vae_scale_factor=self.latent_factor, do_convert_rgb=True, vae_latent_channels=int(self.unet.config.in_channels)
        )

    @property
    def components(self) -> dict[str, Any]:
        """The parts by name, to make another pipeline of; the guide only where there is one, for other pipelines know none."""
        parts: dict[str, Any] = super().components
        return {name: part for name, part in parts.items() if name != "guide" or part is not None}

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

    @property
    def guidance_scale(self) -> float:
        """That of the present call; a callback may set ``_guidance_scale``."""
        return float(self._guidance_scale)

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether the next step of the present call has an unconditional half."""
        return self.guidance_scale > 1.0

    @property
    def num_timesteps(self) -> int:
        """How often the present call evaluates the network."""
        return int(self._num_timesteps)

    @property
    def interrupt(self) -> bool:
        """Whether the present call skips its remaining steps; a callback may set ``_interrupt``."""
        return bool(self._interrupt)

    def encode_metadata(self, scenes: Sequence[SceneMetadata]) -> torch.Tensor | None:
        """What the network is fed of the scenes: (batch, numbers) float32, or None for a model without metadata."""
        if not self.reads_metadata:
            return None
        return torch.from_numpy(encoding.encode(scenes, self.unet.config.metadata_encoding)).to(self._execution_device)

    def unconditional_metadata(self, batch: int) -> torch.Tensor | None:
        """Metadata of the unconditional half of guidance: everything unknown."""
        return self.encode_metadata([SceneMetadata()] * batch)

    def embed(self, prompts: Sequence[str], *, clip_skip: int | None = None, lora_scale: float | None = None) -> PromptEmbeddings:
        """The prompts through tokenizer and text encoder; a prompt that is too long is cut, with a warning.

        ``clip_skip`` last layers of a CLIP encoder are left out; its LoRA layers count ``lora_scale`` times.

        Raises:
            ValueError: ``clip_skip`` does not go with the encoder.
        """
        converted = self.maybe_convert_prompt(list(prompts), self.tokenizer)
        if lora_scale is not None:
            scale_lora_layers(self.text_encoder, lora_scale)
        embedded = text.encode(converted, self.tokenizer, self.text_encoder, device=self._execution_device, clip_skip=clip_skip)
        if lora_scale is not None:
            unscale_lora_layers(self.text_encoder, lora_scale)
        return embedded

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
        """Guidance: blank + scale * (wish - blank); without ``blank`` the plain output for ``wish``. Float32, shape of ``latents``.

        Without a guide both halves are the network's, in one batch (Ho and Salimans, Classifier-Free Diffusion Guidance, 2022). With one its
        answer takes the place of the half of ``blank``, and in the later steps, when it is decided what the picture shows, it is given the wish as
        well: what is scaled up is then what the network draws better than the guide, such as lines that go on (Karras et al., Guiding a Diffusion
        Model with a Bad Version of Itself, 2024, equation 3). Not so where ``blank`` says what the picture shall be ``unlike``: the guide is then
        given that in all steps. ``guidance_rescale`` as `rsgeo.pipelines.guidance.rescaled`.
        """
        if blank is None:
            return self._predict(latents, timestep, wish).float()
        if self.guide is None:
            output = self._predict(torch.cat([latents, latents]), timestep, self._both_halves(wish, blank))
            without, with_ = output.float().chunk(2)
        else:
            with_ = self._predict(latents, timestep, wish).float()
            alpha, sigma = known_cells.noise_level(self.scheduler, timestep)
            seen = blank if unlike or sigma > _DECIDED * alpha else {name: wish[name] for name in blank}
            without = self.guide(latents.to(seen["encoder_hidden_states"].dtype), timestep, return_dict=False, **seen)[0].float()
        mixed = without + guidance_scale * (with_ - without)
        return guidance.rescaled(mixed, with_, guidance_rescale) if guidance_rescale else mixed

    def _predict(self, latents: torch.Tensor, timestep: Any, conditions: dict[str, Any]) -> torch.Tensor:
        """The network's output, in its own dtype, which the conditions have; to ask the network for it takes milliseconds."""
        dtype = conditions["encoder_hidden_states"].dtype
        output: torch.Tensor = self.unet(latents.to(dtype), timestep, return_dict=False, **conditions)[0]
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
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 12,
        timesteps: Sequence[int] | None = None,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float = 3.5,
        negative_prompt: str | Sequence[str] | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        prompt_embeds: torch.Tensor | None = None,
        negative_prompt_embeds: torch.Tensor | None = None,
        metadata: torch.Tensor | Sequence[Any] | None = None,
        given: Given | None = None,
        control: Control | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        cross_attention_kwargs: dict[str, Any] | None = None,
        guidance_rescale: float = 0.0,
        clip_skip: int | None = None,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> ImagePipelineOutput | tuple[Any, ...]:
        """Make one picture a prompt, or several; those of a prompt stand beside each other.

        Args:
            prompt: one prompt or a batch; the empty one, or none, is unconditional.
            scenes: one scene for all, one a prompt or one a picture; what is None in it is unknown to the model.
            height, width: pixels, multiples of the latent factor; default the model's tile.
            timesteps, sigmas: a list of the scheduler's own instead of ``num_inference_steps``, where it takes one.
            guidance_scale: 1 or less is without guidance; the other half of guidance knows ``negative_prompt`` and no metadata.
            negative_prompt: one for all or one a prompt.
            eta: noise of DDIM, 0 to 1; other schedulers ignore it.
            latents: standard normal noise (pictures, channels, height / factor, width / factor) instead of drawing it.
            prompt_embeds, negative_prompt_embeds: text states (batch, tokens, dim) instead of the prompts, for models that read
                nothing else of the text.
            metadata: already encoded, (numbers,), or (rows, numbers) for as many rows as there may be ``scenes``, instead of these. Ignored by a
                model without metadata.
            given: latents to start from, or to keep; `SatImg2ImgPipeline` and `SatInpaintPipeline` make them of pictures.
            control: condition images, for a pipeline with a ControlNet.
            output_type: "pil", "np" (pictures, height, width, 3), "pt" (pictures, 3, height, width), both in [0, 1], or "latent".
            return_dict: False gives the plain tuple (images,).
            cross_attention_kwargs: for the UNet's attention; "scale" weighs LoRA layers, those of the text encoder too.
            guidance_rescale: 0 to 1, see `rsgeo.pipelines.guidance.rescaled`.
            clip_skip: how many last layers of a CLIP text encoder are left out.
            callback_on_step_end: called with the pipeline, the step, the time step and a dict of what ``callback_on_step_end_tensor_inputs``
                names: "latents", "prompt_embeds", "negative_prompt_embeds" (None without guidance); gives back what it changes.

        Raises:
            ValueError: arguments exclude each other, a size is no multiple of the latent factor, numbers of prompts, scenes and embeddings
                differ, or the scheduler does not take what is given.
            ModelError: the latents became NaN or infinite.
        """
        if isinstance(callback_on_step_end, (PipelineCallback, MultiPipelineCallbacks)):
            callback_on_step_end_tensor_inputs = callback_on_step_end.tensor_inputs
        unheard = set(callback_on_step_end_tensor_inputs) - set(self._callback_tensor_inputs)
        if unheard:
            raise ValueError(f"callback_on_step_end_tensor_inputs may be {', '.join(self._callback_tensor_inputs)}, got {', '.join(sorted(unheard))}")
        self._guidance_scale, self._interrupt = guidance_scale, False
        device = self._execution_device  # diffusers looks through all modules for it
        encoder = {"clip_skip": clip_skip, "lora_scale": (cross_attention_kwargs or {}).get("scale")}
        wished = self._texts("prompt", prompt, prompt_embeds, None, device, encoder)
        prompts = len(wished.states)
        batch = prompts * num_images_per_prompt
        rows = metadata_rows(self.unet, scenes, metadata, prompts, num_images_per_prompt, device) if self.reads_metadata else None
        if control is not None:
            control = control.for_batch(prompts, num_images_per_prompt)
        wish = self.condition(wished.repeated(num_images_per_prompt), rows, control)
        blank = None
        if self.do_classifier_free_guidance:
            unwished = self._texts("negative_prompt", negative_prompt, negative_prompt_embeds, prompts, device, encoder)
            blank = self.condition(unwished.repeated(num_images_per_prompt), self.unconditional_metadata(batch))
        if cross_attention_kwargs is not None:
            wish["cross_attention_kwargs"] = cross_attention_kwargs

        unlike = bool(negative_prompt) or negative_prompt_embeds is not None

        noise = noise_of(self._latent_shape(batch, height, width), latents, device, generator)
        given = None if given is None else given.for_batch(prompts, num_images_per_prompt)
        times = steps.set_timesteps(self.scheduler, num_inference_steps, timesteps, sigmas, device, given)
        cells = steps.start(self.scheduler, noise, times, given)
        extra = steps.step_arguments(self.scheduler, generator, eta)
        self._num_timesteps = len(times)
        for index, timestep in enumerate(self.progress_bar(times)):
            if self.interrupt:
                continue
            if not self.do_classifier_free_guidance:
                blank = None
            scaled = self.scheduler.scale_model_input(cells, timestep)
            output = self.guided(scaled, timestep, wish, blank, self.guidance_scale, guidance_rescale, unlike)
            if given is not None and given.known is not None:
                output = self._keep(output, scaled, timestep, given.latents.to(cells), given.known.to(cells.device))
            cells = self.scheduler.step(output, timestep, cells, return_dict=False, **extra)[0]
            if callback_on_step_end is not None:
                states = {
                    "latents": cells,
                    "prompt_embeds": wish["encoder_hidden_states"],
                    "negative_prompt_embeds": None if blank is None else blank["encoder_hidden_states"],
                }
                changed = callback_on_step_end(self, index, timestep, {name: states[name] for name in callback_on_step_end_tensor_inputs})
                cells = changed.get("latents", cells)
                wish = {**wish, "encoder_hidden_states": changed.get("prompt_embeds", states["prompt_embeds"])}
                if blank is not None:
                    blank = {**blank, "encoder_hidden_states": changed.get("negative_prompt_embeds", states["negative_prompt_embeds"])}
        if not torch.isfinite(cells).all():
            raise ModelError(f"The model made numbers that are not finite in {self.unet.dtype}; use float32, or fetch the model again.")
        if given is not None and given.known is not None:
            cells = torch.where(given.known.to(cells.device), given.latents.to(cells), cells)
        images = cells if output_type == "latent" else self.image_processor.postprocess(self.decode(cells), output_type=output_type)
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _texts(
        self,
        name: str,
        prompt: str | Sequence[str] | None,
        embeds: torch.Tensor | None,
        count: int | None,
        device: torch.device,
        encoder: dict[str, Any],
    ) -> PromptEmbeddings:
        """Prompts or their embeddings, ``count`` of them if it is given; ``encoder`` are further arguments of `embed`."""
        if embeds is not None:
            if prompt is not None:
                raise ValueError(f"give either {name} or {name}_embeds")
            embedded = PromptEmbeddings(embeds.to(device), None, None)
        else:
            embedded = self.embed([prompt or ""] * (count or 1) if prompt is None or isinstance(prompt, str) else prompt, **encoder)
        if count is not None and len(embedded.states) != count:
            raise ValueError(f"as many of {name} as prompts are needed, got {len(embedded.states)} for {count}")
        return embedded

    def _keep(self, output: torch.Tensor, scaled: torch.Tensor, timestep: Any, clean: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        alpha, sigma = known_cells.noise_level(self.scheduler, timestep)
        kind = self.scheduler.config.prediction_type
        return known_cells.replace_known(output, scaled, clean, known, alpha=alpha, sigma=sigma, prediction_type=kind)

    def _latent_shape(self, batch: int, height: int | None, width: int | None) -> tuple[int, int, int, int]:
        height, width = (side or self._tile_side() for side in (height, width))
        factor = self.latent_factor
        check_size(height, width, factor)
        return batch, int(self.unet.config.in_channels), height // factor, width // factor

    def _tile_side(self) -> int:
        if self.unet.config.sample_size is None:
            raise ValueError("the model does not say how large its tile is: give height and width")
        return int(self.unet.config.sample_size) * self.latent_factor
