"""Pipelines of every family, bound to a sampler, as sampling from captions sees them: captions and generators to pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from rsgeo.errors import InputError, ModelError
from rsgeo.models.log_snr_scheduler import LogSNRScheduler
from rsgeo.pipelines import schedulers
from rsgeo.pipelines.rsdiff_pipeline import RSDiffPipeline
from rsgeo.pipelines.sat_pipeline import SatPipeline
from rsgeo.request import CaptionRequest


@dataclass(frozen=True)
class CaptionView:
    """A pipeline bound to a request: ``settings`` are the arguments of its call that are the same for every batch.

    ``evaluations`` is how many steps a batch takes in all.
    """

    pipeline: Any
    request: CaptionRequest
    settings: Mapping[str, Any]
    evaluations: int

    def __call__(self, indices: Sequence[int], tell: Callable[[], None]) -> list[Image.Image]:
        """The pictures of these captions of the request, in one batch; ``tell`` is called after every step."""

        def told(*_: Any) -> dict[str, Any]:
            tell()
            return {}

        captions = [self.request.captions[index] for index in indices]
        numbers = generators(self.request.seed, indices)
        images: list[Image.Image] = self.pipeline(captions, generator=numbers, callback_on_step_end=told, **self.settings).images
        return images


def view(pipeline: SatPipeline | RSDiffPipeline, request: CaptionRequest) -> CaptionView:
    """The pipeline, whose scheduler is changed, bound to the sampler and the wishes of a request. A cascade reads no scene.

    Raises:
        InputError: there is no such scheduler, or a cascade is given a negative prompt.
        ModelError: the pipeline has no text encoder.
    """
    sampler, steps = request.sampler, request.sampler.num_inference_steps
    settings: dict[str, Any] = {"num_inference_steps": steps, "guidance_scale": sampler.guidance_scale}
    if isinstance(pipeline, SatPipeline):
        pipeline.scheduler = schedulers.make(sampler.scheduler, dict(pipeline.scheduler.config))
        settings |= {"scenes": request.scene, "negative_prompt": request.negative_prompt, "eta": sampler.eta}
        return CaptionView(pipeline, request, settings, steps)
    if request.negative_prompt:
        raise InputError("A cascade reads no negative prompt; leave it out.")
    if pipeline.text_encoder is None:
        raise ModelError("This cascade has no text encoder, so it reads no captions; convert it again with --text-encoder.")
    own = pipeline.scheduler.config
    pipeline.scheduler = LogSNRScheduler.from_config(own, algorithm_type=sampler.scheduler, start_time=sampler.start_time or 1.0)
    stages = ["base"] if pipeline.sr_unet is None else ["base", "sr"]
    if sampler.lowres_noise_level is not None:
        settings["lowres_noise_level"] = sampler.lowres_noise_level
    return CaptionView(pipeline, request, {**settings, "stop_after": stages[-1]}, steps * len(stages))


def generators(seed: int, indices: Sequence[int]) -> list[torch.Generator]:
    """A generator for each picture of a seed, by its index; no two of one seed draw the same numbers.

    They draw on the CPU, whose numbers are the same on every machine. Its generator reads 32 bits of a seed, so indices count on from a number that
    ``seed`` is scattered to.
    """
    first = int(np.random.SeedSequence(seed).generate_state(1)[0])
    return [torch.Generator().manual_seed((first + index) % 2**32) for index in indices]
