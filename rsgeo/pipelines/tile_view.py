"""A `SatPipeline` bound to a sampler, as the synthesis engine sees it (`rsgeo.tilemodel.TileModel`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from diffusers import EulerDiscreteScheduler

from rsgeo.errors import InputError
from rsgeo.models.patch_codec import PatchCodec
from rsgeo.models.sat_controlnet3d import SatControlNet3D
from rsgeo.pipelines import schedulers, text
from rsgeo.pipelines.known_cells import inner_cells, replace_known
from rsgeo.pipelines.sat_controlnet_pipeline import Control, SatControlNetPipeline
from rsgeo.pipelines.sat_pipeline import SatPipeline
from rsgeo.pipelines.text import PromptEmbeddings
from rsgeo.request import Sampler
from rsgeo.scene import SceneMetadata
from rsgeo.tilemodel import Coarser, Known, Seen


@dataclass(frozen=True, eq=False)
class Conditions:
    """What a batch of windows is made for.

    ``wish`` and, under guidance, ``blank`` are keyword arguments of the network. ``cells`` (window, channel, tile, tile) are the given pixels in
    latents; ``given`` (window, 1, tile, tile) is True where all pixels of a cell and of its neighbours are given. Both are None where nothing is.
    """

    wish: dict[str, Any]
    blank: dict[str, Any] | None
    cells: torch.Tensor | None = None
    given: torch.Tensor | None = None


class _Phase:
    """The solver of one phase: a fresh scheduler that starts in the middle of the one list of time steps."""

    def __init__(self, scheduler: Any, first: int, eta: float, stochastic: bool) -> None:
        self.scheduler = scheduler
        self.timesteps = scheduler.timesteps[first:]
        self.done = 0
        self.stochastic = stochastic
        self.arguments = {"eta": eta} if eta else {}
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first)
        if isinstance(scheduler, EulerDiscreteScheduler):
            scheduler.is_scale_input_called = True  # by `LatentLevel.predict`; else the scheduler logs a warning at each step

    def step(self, cells: torch.Tensor, output: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        if (noise is not None) != self.stochastic:
            raise ValueError("a stochastic solver, and only that, needs noise at each step")
        arguments = self.arguments if noise is None else {**self.arguments, "variance_noise": noise}
        timestep = self.timesteps[self.done]
        self.done += 1
        moved: torch.Tensor = self.scheduler.step(output, timestep, cells, return_dict=False, **arguments)[0]
        return moved


class LatentLevel:
    """The one level of a latent text-to-image model; see `rsgeo.tilemodel.Level` for the members."""

    gsd_factor = 1

    def __init__(self, pipeline: SatPipeline, sampler: Sampler, negative_prompt: str) -> None:
        if sampler.eta and sampler.scheduler != "ddim":
            raise InputError(f"Only the scheduler 'ddim' has an eta, not {sampler.scheduler!r}; leave it 0 or choose 'sde-dpmsolver++'.")
        self.pipeline = pipeline
        self.sampler = sampler
        self.negative_prompt = negative_prompt
        self.tile = int(pipeline.unet.config.sample_size)
        self.scale = pipeline.latent_factor
        self.channels = int(pipeline.unet.config.in_channels)
        local = isinstance(pipeline.vae, PatchCodec)
        self.decoder_tile = None if local else self.tile
        self.decoder_stride = None if local else self.tile * 3 // 4
        self.stochastic = sampler.scheduler.startswith("sde") or sampler.eta > 0
        scheduler = self._scheduler()
        alphas = scheduler.alphas_cumprod.double().cpu()[scheduler.timesteps.long().cpu()]
        self.noise_levels = tuple(((1 - alphas) / alphas).sqrt().tolist())
        self._timesteps = scheduler.timesteps
        # Euler keeps cells as data + sigma * noise; the network wants unit variance.
        self._sigma_space = isinstance(scheduler, EulerDiscreteScheduler)
        self._start = float(scheduler.init_noise_sigma)
        self._predicts = str(scheduler.config.prediction_type)
        self.conditioning_scale = Fraction(getattr(pipeline, "conditioning_scale", 1))
        self._embedded: dict[str, PromptEmbeddings] = {}

    def _scheduler(self) -> Any:
        scheduler = schedulers.make(self.sampler.scheduler, dict(self.pipeline.scheduler.config))
        scheduler.set_timesteps(self.sampler.num_inference_steps)
        return scheduler

    @torch.no_grad()
    def conditions(
        self,
        prompts: Sequence[str],
        scenes: Sequence[SceneMetadata],
        seen: Sequence[Seen] | None = None,
        known: Sequence[Known] | None = None,
        coarser: Coarser | None = None,
    ) -> Conditions:
        if coarser is not None:
            raise ValueError("a latent model has one level and reads no coarser one")
        pipeline = self.pipeline
        wish = pipeline.condition(self._embed(prompts), pipeline.encode_metadata(scenes), self._control(seen, known))
        blank = None
        if self.sampler.guidance_scale > 1.0:
            unwished = self._embed([self.negative_prompt] * len(prompts))
            blank = pipeline.condition(unwished, pipeline.unconditional_metadata(len(prompts)))
        return Conditions(wish, blank) if known is None else Conditions(wish, blank, *self._given(known))

    def _given(self, known: Sequence[Known]) -> tuple[torch.Tensor, torch.Tensor]:
        """The given pixels as cells, and which of them the network is held to."""
        pixels, mask = self._arrays([(one.pixels, one.mask) for one in known])
        return self.pipeline.encode(pixels), inner_cells(mask[:, None], self.scale)

    def _control(self, seen: Sequence[Seen] | None, known: Sequence[Known] | None) -> Control | None:
        """What the ControlNet reads: condition images, or given pixels with their mask.

        Raises ValueError where it has to read neither, or there is none to read images.
        """
        pipeline = self.pipeline
        if not isinstance(pipeline, SatControlNetPipeline):
            if seen is not None:
                raise ValueError("a text-to-image model sees no images")
            return None
        if seen is not None:
            (images,) = self._arrays([(one.pixels,) for one in seen])
            metadata = pipeline.encode_control_metadata([one.scenes for one in seen])
            series = isinstance(pipeline.controlnet, SatControlNet3D)
            return Control(images.transpose(1, 2) if series else images.flatten(1, 2), metadata)
        if known is None:
            raise ValueError("a model with a ControlNet needs images or given pixels")
        pixels, mask = self._arrays([(one.pixels, one.mask) for one in known])
        there = mask[:, None].float()
        return Control(torch.cat([(pixels + 1) / 2 * there, there], dim=1))

    def _arrays(self, rows: Sequence[tuple[Any, ...]]) -> list[torch.Tensor]:
        """Arrays of windows as batches on the model's device."""
        return [torch.from_numpy(np.stack(arrays)).to(self.pipeline._execution_device) for arrays in zip(*rows, strict=True)]

    def _embed(self, prompts: Sequence[str]) -> PromptEmbeddings:
        """Each prompt is embedded once, whatever the number of windows."""
        for prompt in set(prompts) - self._embedded.keys():
            self._embedded[prompt] = self.pipeline.embed([prompt])
        return text.stack([self._embedded[prompt] for prompt in prompts])

    def start(self, noise: torch.Tensor) -> torch.Tensor:
        return noise * self._start

    @torch.no_grad()
    def predict(self, cells: torch.Tensor, step: int, conditions: Conditions) -> torch.Tensor:
        scaled = cells / (self.noise_levels[step] ** 2 + 1) ** 0.5 if self._sigma_space else cells
        scale, unlike = self.sampler.guidance_scale, bool(self.negative_prompt)
        output: torch.Tensor = self.pipeline.guided(scaled, self._timesteps[step], conditions.wish, conditions.blank, scale, unlike=unlike)
        if conditions.cells is not None and conditions.given is not None:
            alpha = 1 / (self.noise_levels[step] ** 2 + 1) ** 0.5
            noise = {"alpha": alpha, "sigma": self.noise_levels[step] * alpha, "prediction_type": self._predicts}
            output = replace_known(output, scaled, conditions.cells, conditions.given, **noise)
        return output

    def solver(self, first: int, last: int) -> _Phase:
        return _Phase(self._scheduler(), first, self.sampler.eta, self.stochastic)

    @torch.no_grad()
    def decode(self, cells: torch.Tensor) -> torch.Tensor:
        return self.pipeline.decode(cells)


class LatentTileModel:
    """A plain latent model as a `rsgeo.tilemodel.TileModel`: one level."""

    def __init__(self, pipeline: SatPipeline, sampler: Sampler, negative_prompt: str = "") -> None:
        self.pipeline = pipeline
        self.levels = (LatentLevel(pipeline, sampler, negative_prompt),)

    def to_device(self, array: Any) -> torch.Tensor:
        return torch.from_numpy(array).to(self.pipeline._execution_device)
