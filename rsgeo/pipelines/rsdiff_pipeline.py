"""`RSDiffPipeline`: the pixel cascade of RSDiff, a base and a super-resolution stage, as a diffusers pipeline.

As with `rsgeo.pipelines.sat_pipeline`, this module imports what may stand in a saved model_index.json, so that ``from_pretrained`` needs no
``trust_remote_code``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch.nn import functional

import rsgeo.models.word_piece_encoder  # noqa: F401
from rsgeo.errors import ModelError
from rsgeo.models.log_snr_scheduler import LogSNRScheduler
from rsgeo.models.rsdiff_text import TextConditions
from rsgeo.models.rsdiff_unet import RSDiffUNet
from rsgeo.pipelines import guidance, text

Callback = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]
Generators = torch.Generator | list[torch.Generator] | None

_GUIDANCE = ("orthogonal", "classic")
_STAGES = ("base", "sr")


@dataclass(frozen=True)
class Captions:
    """What the stages are told of a batch of captions: (batch, tokens, width), True at tokens, and (batch,) whether there is a caption at all."""

    embeds: torch.Tensor
    mask: torch.Tensor
    keep: torch.Tensor


@dataclass(frozen=True)
class _Inpainting:
    """The picture of one stage, in [-1, 1], and where it is kept."""

    picture: torch.Tensor
    keep: torch.Tensor
    resample_times: int


class RSDiffPipeline(DiffusionPipeline):
    """Captions to images in two stages of pixels (Sebaq and ElHelw, RSDiff, 2023): a base image, and one of twice its size that refines it.

    Args:
        base_unet, sr_unet: the stages, `rsgeo.models.rsdiff_unet.RSDiffUNet`. One may be None; what needs it is then refused.
        scheduler: of both stages, a `rsgeo.models.log_snr_scheduler.LogSNRScheduler`; with ``algorithm_type`` "dpmsolver++" few steps suffice.
        lowres_scheduler: its "linear" schedule noises the base image before the super-resolution stage reads it.
        text_encoder, tokenizer: what the stages were trained with; None where only embeddings are given.
        guidance_rule: "orthogonal" or "classic" (`rsgeo.pipelines.guidance`), as the weights' makers sampled them.
        keep_parallel: share of the parallel part that "orthogonal" keeps.
        lowres_noise_level: time, 0 to 1, of the noise on the low-resolution image, which the second stage was trained for.

    Raises:
        ValueError: ``guidance_rule`` is neither.
    """

    model_cpu_offload_seq = "text_encoder->base_unet->sr_unet"
    _optional_components = ["base_unet", "sr_unet", "text_encoder", "tokenizer"]  # noqa: RUF012 - diffusers' declaration
    _callback_tensor_inputs = ("sample",)

    def __init__(
        self,
        base_unet: RSDiffUNet | None,
        sr_unet: RSDiffUNet | None,
        scheduler: LogSNRScheduler,
        lowres_scheduler: LogSNRScheduler,
        text_encoder: Any = None,
        tokenizer: Any = None,
        guidance_rule: str = "orthogonal",
        keep_parallel: float = 0.0,
        lowres_noise_level: float = 0.2,
    ) -> None:
        super().__init__()
        _check_rule(guidance_rule)
        self.register_modules(
            base_unet=base_unet,
            sr_unet=sr_unet,
            scheduler=scheduler,
            lowres_scheduler=lowres_scheduler,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
        )
        self.register_to_config(guidance_rule=guidance_rule, keep_parallel=keep_parallel, lowres_noise_level=lowres_noise_level)

    def encode(self, captions: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Captions through tokenizer and text encoder, T5's or that of rsgeo-mini: what the call takes as ``prompt_embeds`` and ``prompt_mask``.

        The states (batch, tokens, width), 0 at padding, are as long as the longest caption; the mask (batch, tokens) is True at tokens, the end mark
        being one. A caption that is longer than the stages read is cut, with a warning. An empty one is the end mark alone; only the call takes it
        for no caption.

        Raises:
            ValueError: there is no text encoder, or one without a mask.
        """
        if self.text_encoder is None or self.tokenizer is None:
            raise ValueError("this pipeline has no text encoder; give prompt_embeds, or load text_encoder and tokenizer")
        limit = max(unet.config.max_text_len for unet in (self.base_unet, self.sr_unet) if unet is not None)
        device = self._execution_device
        embedded = text.encode(captions, self.tokenizer, self.text_encoder, limit, padding="longest", device=device)
        assert embedded.mask is not None, "encoders without a mask refuse this padding"
        return embedded.states, embedded.mask.bool()

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        *,
        prompt_embeds: torch.Tensor | None = None,
        prompt_mask: torch.Tensor | None = None,
        num_inference_steps: int | tuple[int, int] = 1000,
        guidance_scale: float | tuple[float, float] = 4.0,
        guidance_rule: str | None = None,
        keep_parallel: float | None = None,
        start_at: str = "base",
        stop_after: str = "sr",
        image: torch.Tensor | None = None,
        skip_steps: int = 0,
        inpaint_image: torch.Tensor | None = None,
        inpaint_mask: torch.Tensor | None = None,
        resample_times: int = 5,
        lowres_noise_level: float | None = None,
        generator: Generators = None,
        output_type: str = "pil",
        callback_on_step_end: Callback | None = None,
    ) -> ImagePipelineOutput:
        """Make one image a caption. All images given are (batch or 1, 3, height, width) in [0, 1].

        Numbers are drawn in the original's order: the base's start and a noise for each of its steps, the noise of the low-resolution image,
        then the second stage's start and noises.

        Args:
            prompt: one caption or a batch; the empty one is no caption.
            prompt_embeds, prompt_mask: the text encoder's states (batch, tokens, width) instead, and True where they are tokens; without a mask
                those that are not zero.
            num_inference_steps, guidance_scale: one for both stages, or one each. A scale of 1 is without guidance and takes half the time.
            guidance_rule, keep_parallel: instead of those of the pipeline.
            start_at: "base", or "sr" with ``image`` as the low-resolution image.
            stop_after: "sr", or "base" for the base image alone.
            image: for the base, an image added to its first noise, of its size.
            skip_steps: how many first steps of the base are left out; with ``image``.
            inpaint_image, inpaint_mask: what is kept where the mask (batch or 1, height, width) is True; resized for each stage.
            resample_times: repeats of each step with ``inpaint_mask`` (Lugmayr et al., RePaint, CVPR 2022).
            lowres_noise_level: instead of the pipeline's.
            output_type: "pil", "np" (batch, height, width, 3) or "pt" (batch, 3, height, width), both in [0, 1].
            callback_on_step_end: called with the pipeline, the number of the step in its stage, the time step and {"stage": "base" or "sr",
                "sample": pixels in [-1, 1]}; gives back the sample if it changes it.

        Raises:
            ValueError: arguments do not go together, or a stage or the text encoder that they need is missing.
            ModelError: the pixels became NaN or infinite.
        """
        stages = _stages(start_at, stop_after)
        rule = self.config.guidance_rule if guidance_rule is None else guidance_rule
        _check_rule(rule)
        if output_type not in ("pil", "np", "pt"):
            raise ValueError(f"output_type must be pil, np or pt, got {output_type!r}")
        if start_at == "sr" and image is None:
            raise ValueError("start_at 'sr' needs image, the low-resolution image")
        if skip_steps and (start_at == "sr" or image is None):
            raise ValueError("skip_steps needs image, and a run that starts at the base")
        if (inpaint_image is None) != (inpaint_mask is None):
            raise ValueError("inpaint_image and inpaint_mask go together")
        captions = self.captions(prompt, prompt_embeds, prompt_mask)
        share = self.config.keep_parallel if keep_parallel is None else keep_parallel
        pixels = image
        for stage in stages:
            unet = self.base_unet if stage == "base" else self.sr_unet
            if unet is None:
                raise ValueError(f"this pipeline has no {stage} stage; give start_at and stop_after, or load {stage}_unet")
            place = _STAGES.index(stage)
            self.scheduler.set_timesteps(_of_stage(num_inference_steps, place), device=self._execution_device)
            pixels = self._run_stage(
                stage,
                unet,
                captions,
                pixels,
                scale=_of_stage(guidance_scale, place),
                rule=rule,
                keep_parallel=share,
                skip_steps=skip_steps if stage == "base" else 0,
                inpainting=self._inpainting(inpaint_image, inpaint_mask, resample_times, unet),
                lowres_noise_level=self.config.lowres_noise_level if lowres_noise_level is None else lowres_noise_level,
                generator=generator,
                callback=callback_on_step_end,
            )
        return ImagePipelineOutput(images=_output(pixels, output_type))

    def _run_stage(
        self,
        stage: str,
        unet: Any,
        captions: Captions,
        image: torch.Tensor | None,
        *,
        scale: float,
        rule: str,
        keep_parallel: float,
        skip_steps: int,
        inpainting: _Inpainting | None,
        lowres_noise_level: float,
        generator: Generators,
        callback: Callback | None,
    ) -> torch.Tensor:
        """Pixels in [0, 1] of one stage, from those of the stage before or the image that it begins with."""
        device, side, batch = self._execution_device, unet.config.sample_size, len(captions.embeds)
        shape = (batch, unet.config.channels, side, side)

        def draw() -> torch.Tensor:
            noise: torch.Tensor = randn_tensor(shape, generator=generator, device=device, dtype=torch.float32)
            return noise

        lowres: dict[str, Any] = {}
        if unet.config.lowres_cond:
            if image is None:
                raise ValueError(f"the {stage} stage needs a low-resolution image")
            resized = _resize(_pixels(image, batch, device), side)
            level = self.lowres_scheduler.log_snr(lowres_noise_level)
            noisy = self.lowres_scheduler.add_noise(resized, draw(), level)
            lowres = {"lowres_sample": noisy.to(unet.dtype), "lowres_timestep": level}
        sample = draw()
        if image is not None and not unet.config.lowres_cond:
            sample = sample + _pixels(image, batch, device)
        predict = self.predictor(unet, captions, scale, rule, keep_parallel, lowres)

        timesteps = self.scheduler.timesteps[skip_steps:]
        if len(timesteps) == 0:
            raise ValueError(f"skip_steps {skip_steps} leaves none of the {self.scheduler.num_inference_steps} steps")
        for index, timestep in enumerate(self.progress_bar(timesteps)):
            last = index == len(timesteps) - 1
            repeats = 1 if inpainting is None else inpainting.resample_times
            for repeat in range(repeats):
                if inpainting is not None:
                    target = self.scheduler.add_noise(inpainting.picture, draw(), timestep)
                    sample = torch.where(inpainting.keep, target, sample)
                sample = self.scheduler.step(predict(sample, timestep), timestep, sample, generator=generator).prev_sample
                if not last and repeat < repeats - 1:
                    sample = self.scheduler.renoise(sample, draw(), timesteps[index + 1], timestep)
            if callback is not None:
                sample = callback(self, index, timestep, {"stage": stage, "sample": sample}).get("sample", sample)
        if not torch.isfinite(sample).all():
            raise ModelError(f"The model made numbers that are not finite in {unet.dtype}; use float32, or fetch the model again.")
        if inpainting is not None:
            sample = torch.where(inpainting.keep, inpainting.picture, sample)
        return (sample.clamp(-1.0, 1.0) + 1.0) / 2.0

    def predictor(
        self, unet: Any, captions: Captions, scale: float, rule: str, keep_parallel: float, lowres: dict[str, Any]
    ) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """The network's guided output for a sample and its log-SNR, in float32; both halves of guidance in one batch, their text encoded once.

        ``lowres`` is what else the network of a later stage takes: ``lowres_sample`` and ``lowres_timestep``.
        """
        wished: TextConditions = unet.encode_text(captions.embeds, captions.mask, captions.keep)

        def run(sample: torch.Tensor, timestep: torch.Tensor, conditions: TextConditions, extra: dict[str, Any]) -> torch.Tensor:
            output: torch.Tensor = unet(sample.to(unet.dtype), timestep, conditions, return_dict=False, **extra)[0]
            return output.float()

        if scale == 1.0:
            read = unet.read_text(wished)
            return lambda sample, timestep: run(sample, timestep, read, lowres)
        blank: TextConditions = unet.encode_text(captions.embeds, captions.mask, keep=False)
        both = unet.read_text(TextConditions(torch.cat([wished.tokens, blank.tokens]), torch.cat([wished.hidden, blank.hidden])))
        twice = dict(lowres)
        if lowres:
            twice["lowres_sample"] = torch.cat([lowres["lowres_sample"]] * 2)

        def guided(sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
            wish, without = run(torch.cat([sample, sample]), timestep, both, twice).chunk(2)
            if rule == "classic":
                return guidance.classic(wish, without, scale)
            return guidance.orthogonal(wish, without, scale, keep_parallel)

        return guided

    def captions(self, prompt: str | Sequence[str] | None, embeds: torch.Tensor | None = None, mask: torch.Tensor | None = None) -> Captions:
        """Captions, or embeddings of them, as the stages are told. Raises ValueError as a call does."""
        if (prompt is None) == (embeds is None):
            raise ValueError("give either prompt or prompt_embeds")
        device = self._execution_device
        if embeds is not None:
            embeds = embeds.to(device)
            shown = (embeds != 0).any(dim=-1) if mask is None else mask.to(device).bool()
            return Captions(embeds, shown, torch.ones(len(embeds), dtype=torch.bool, device=device))
        captions = [prompt] if isinstance(prompt, str) else list(prompt or ())
        return Captions(*self.encode(captions), torch.tensor([bool(caption.strip()) for caption in captions], device=device))

    def _inpainting(self, image: torch.Tensor | None, mask: torch.Tensor | None, resample_times: int, unet: Any) -> _Inpainting | None:
        if image is None or mask is None:
            return None
        if resample_times < 1:
            raise ValueError(f"resample_times must be at least 1, got {resample_times}")
        device, side = self._execution_device, unet.config.sample_size
        keep = functional.interpolate(mask[:, None].to(device, torch.float32), (side, side), mode="nearest").bool()
        return _Inpainting(_resize(_pixels(image, len(image), device), side), keep, resample_times)


def _check_rule(rule: str) -> None:
    if rule not in _GUIDANCE:
        raise ValueError(f"guidance_rule must be one of {', '.join(_GUIDANCE)}, got {rule!r}")


def _stages(start_at: str, stop_after: str) -> tuple[str, ...]:
    if start_at not in _STAGES or stop_after not in _STAGES or (start_at, stop_after) == ("sr", "base"):
        raise ValueError(f"start_at and stop_after must be base or sr, in this order, got {start_at!r} and {stop_after!r}")
    return _STAGES[_STAGES.index(start_at) : _STAGES.index(stop_after) + 1]


def _of_stage(setting: Any, stage: int) -> Any:
    return setting[stage] if isinstance(setting, tuple) else setting


def _pixels(image: torch.Tensor, batch: int, device: torch.device) -> torch.Tensor:
    """[0, 1] to [-1, 1], one for each caption."""
    if image.ndim != 4 or len(image) not in (1, batch):
        raise ValueError(f"images must have shape ({batch} or 1, channels, height, width), got {tuple(image.shape)}")
    return image.to(device, torch.float32).expand(batch, -1, -1, -1) * 2.0 - 1.0


def _resize(pixels: torch.Tensor, side: int) -> torch.Tensor:
    return functional.interpolate(pixels, (side, side), mode="nearest")


def _output(pixels: torch.Tensor | None, output_type: str) -> Any:
    if pixels is None or output_type == "pt":
        return pixels
    rows = pixels.permute(0, 2, 3, 1).cpu()
    if output_type == "np":
        return rows.numpy()
    # Cut, not rounded: the bytes are those that the original writes.
    return [Image.fromarray(row) for row in (rows * 255).to(torch.uint8).numpy()]
