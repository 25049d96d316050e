"""An `RSDiffPipeline` bound to a sampler, as the synthesis engine sees it (`rsgeo.tilemodel.TileModel`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch.nn import functional

from rsgeo.errors import ModelError
from rsgeo.models.log_snr_scheduler import LogSNRScheduler
from rsgeo.pipelines.rsdiff_pipeline import Captions, RSDiffPipeline
from rsgeo.request import Sampler
from rsgeo.scene import SceneMetadata
from rsgeo.tilemodel import Coarser, Known, Seen

Conditions = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""The guided output of a stage for a batch of windows and their log-SNR."""


class _Phase:
    """The solver of one phase: a fresh scheduler that starts in the middle of the one list of time steps."""

    def __init__(self, scheduler: LogSNRScheduler, first: int) -> None:
        self.scheduler = scheduler
        self.timesteps = iter(scheduler.timesteps[first:])

    def step(self, cells: torch.Tensor, output: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        if (noise is not None) != self.scheduler.is_stochastic:
            raise ValueError("a stochastic solver, and only that, needs noise at each step")
        moved: torch.Tensor = self.scheduler.step(output, next(self.timesteps), cells, noise=noise, return_dict=False)[0]
        return moved


class CascadeLevel:
    """One stage of a cascade; see `rsgeo.tilemodel.Level` for the members. A cell is a pixel."""

    scale = 1
    decoder_tile: int | None = None
    decoder_stride: int | None = None
    conditioning_scale = Fraction(1)
    thresholding = False
    """Whether what is predicted of the clean pixels is bounded by each window's own quantile; else it is clipped, so that neighbours agree."""

    def __init__(self, pipeline: RSDiffPipeline, unet: Any, gsd_factor: int, sampler: Sampler) -> None:
        self.pipeline, self.unet, self.gsd_factor, self.sampler = pipeline, unet, gsd_factor, sampler
        self.tile, self.channels = int(unet.config.sample_size), int(unet.config.channels)
        scheduler = self._scheduler()
        self.stochastic, self._timesteps = scheduler.is_stochastic, scheduler.timesteps
        self.noise_levels = tuple((-self._timesteps.double() / 2).exp().tolist())
        self._captions: dict[str, Captions] = {}

    def _scheduler(self) -> LogSNRScheduler:
        scheduler: LogSNRScheduler = LogSNRScheduler.from_config(
            self.pipeline.scheduler.config,
            algorithm_type=self.sampler.scheduler,
            start_time=self.sampler.start_time or 1.0,
            thresholding=self.thresholding,
            clip_sample=True,
        )
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
        if seen is not None or known is not None:
            raise ValueError("a cascade sees no images and no given pixels")
        pipeline, config = self.pipeline, self.pipeline.config
        captions, lowres = self._told(prompts), {} if coarser is None else self._lowres(coarser)
        return pipeline.predictor(self.unet, captions, self.sampler.guidance_scale, config.guidance_rule, config.keep_parallel, lowres)

    def _lowres(self, coarser: Coarser) -> dict[str, Any]:
        """What the stage reads of the one before: its pixels, each repeated to those it covers, with noise (as `RSDiffPipeline` does)."""
        scheduler = self.pipeline.lowres_scheduler
        level = scheduler.log_snr(self.sampler.lowres_noise_level or 0.0)
        pixels = functional.interpolate(coarser.cells.clamp(-1.0, 1.0), (self.tile, self.tile), mode="nearest")
        return {"lowres_sample": scheduler.add_noise(pixels, coarser.noise, level).to(self.unet.dtype), "lowres_timestep": level}

    def _told(self, prompts: Sequence[str]) -> Captions:
        """Each caption is encoded once, whatever the number of windows."""
        for prompt in set(prompts) - self._captions.keys():
            self._captions[prompt] = self._encoded(prompt)
        told = [self._captions[prompt] for prompt in prompts]
        return Captions(*(torch.cat([getattr(one, part) for one in told]) for part in ("embeds", "mask", "keep")))

    def _encoded(self, prompt: str) -> Captions:
        """One caption, filled up to the network's length: a batch's arithmetic must not depend on how long its captions are."""
        pipeline = self.pipeline
        if pipeline.text_encoder is not None:
            told = pipeline.captions(prompt)
            missing = int(self.unet.config.max_text_len) - told.embeds.shape[1]
            return Captions(functional.pad(told.embeds, (0, 0, 0, missing)), functional.pad(told.mask, (0, missing)), told.keep)
        if prompt.strip():
            raise ModelError("The model has no text encoder to read a prompt; write it anew with rsgeo models convert --text-encoder.")
        nothing = torch.zeros(1, 1, int(self.unet.config.text_embed_dim), device=pipeline._execution_device)
        return Captions(nothing, torch.zeros_like(nothing[..., 0], dtype=torch.bool), torch.zeros_like(nothing[:, 0, 0], dtype=torch.bool))

    def start(self, noise: torch.Tensor) -> torch.Tensor:
        return noise

    @torch.no_grad()
    def predict(self, cells: torch.Tensor, step: int, conditions: Conditions) -> torch.Tensor:
        return conditions(cells, self._timesteps[step])

    def solver(self, first: int, last: int) -> _Phase:
        return _Phase(self._scheduler(), first)

    def decode(self, cells: torch.Tensor) -> torch.Tensor:
        return cells


class CascadeTileModel:
    """A cascade as a `rsgeo.tilemodel.TileModel`: a level for each stage, coarse to fine.

    Raises ValueError where ``sampler`` is one of no cascade, ModelError where stages are missing or their pixels do not nest.
    """

    def __init__(self, pipeline: RSDiffPipeline, sampler: Sampler) -> None:
        unets = [unet for unet in (pipeline.base_unet, pipeline.sr_unet) if unet is not None]
        finest = unets[-1].config.sample_size if unets else 0
        if pipeline.base_unet is None or any(finest % unet.config.sample_size for unet in unets):
            raise ModelError("The cascade has no base stage, or its stages' pixels do not nest; choose another model for areas.")
        self.pipeline = pipeline
        self.levels = tuple(CascadeLevel(pipeline, unet, finest // unet.config.sample_size, sampler) for unet in unets)

    def to_device(self, array: Any) -> torch.Tensor:
        return torch.from_numpy(array).to(self.pipeline._execution_device)
