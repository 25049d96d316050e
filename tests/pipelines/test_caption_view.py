"""Pipelines as sampling from captions sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast, T5EncoderModel

from rsgeo.errors import InputError
from rsgeo.models.log_snr_scheduler import LogSNRScheduler
from rsgeo.models.rsdiff_unet import RSDiffUNet
from rsgeo.pipelines.caption_view import view
from rsgeo.pipelines.rsdiff_pipeline import RSDiffPipeline
from rsgeo.pipelines.sat_pipeline import SatPipeline
from rsgeo.request import CaptionRequest, ModelRecord, Sampler

CAPTIONS = ("a river .", "there are some farmlands near the sea and a dense forest .", "an airport .")


def request(scheduler: str, **changes: Any) -> CaptionRequest:
    sampler = Sampler(scheduler=scheduler, num_inference_steps=3, guidance_scale=3.0)
    usual = {"model": ModelRecord(name="m", sha256="0" * 64), "captions": CAPTIONS, "sampler": sampler, "seed": 3, "dtype": "float32"}
    return CaptionRequest(**{**usual, **changes})


def pictures(pipeline: Any, asked: CaptionRequest, indices: list[int]) -> Any:
    """The pictures (index, height, width, 3); checks that every evaluation is told."""
    told: list[None] = []
    make = view(pipeline, asked)
    made = np.stack([np.asarray(picture) for picture in make(indices, lambda: told.append(None))]).astype(np.int16)
    assert len(told) == make.evaluations
    return made


@pytest.fixture
def cascade(t5: tuple[T5EncoderModel, PreTrainedTokenizerFast]) -> RSDiffPipeline:
    """A cascade that reads captions by T5, weights random."""
    torch.manual_seed(1)
    shape = {
        "dim": 8, "cond_dim": 16, "dim_mults": (1, 2), "layer_attns": (False, True), "layer_cross_attns": (False, True), "attn_heads": 2,
        "attn_dim_head": 8, "text_embed_dim": t5[0].config.d_model, "max_text_len": 64,
    }  # fmt: skip
    base, sr = RSDiffUNet(sample_size=8, **shape), RSDiffUNet(sample_size=16, lowres_cond=True, **shape)
    for stage in (base, sr):
        torch.nn.init.normal_(stage.final_conv.weight, std=0.1)  # fresh, it is 0, and so is all that the network says
    pipeline = RSDiffPipeline(base.eval(), sr.eval(), LogSNRScheduler(), LogSNRScheduler("linear"), t5[0], t5[1])
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("scheduler", ["ancestral", "dpmsolver++", "sde-dpmsolver++"])
def test_company_does_not_change_a_picture_of_a_cascade_with_t5(cascade: RSDiffPipeline, scheduler: str) -> None:
    together = pictures(cascade, request(scheduler), [0, 1, 2])
    assert together.shape == (3, 16, 16, 3)
    for index in range(3):
        assert np.abs(pictures(cascade, request(scheduler), [index])[0] - together[index]).max() <= 1
    other = pictures(cascade, request(scheduler, captions=(CAPTIONS[1], CAPTIONS[1], CAPTIONS[2])), [0, 1])
    assert np.abs(other[0] - together[0]).max() > 1 and np.abs(other[1] - together[1]).max() <= 1


def test_a_cascade_starts_where_it_is_told(cascade: RSDiffPipeline) -> None:
    few = Sampler(scheduler="dpmsolver++", num_inference_steps=3, guidance_scale=3.0, start_time=0.9, lowres_noise_level=0.4)
    assert view(cascade, request("dpmsolver++", sampler=few)).settings["lowres_noise_level"] == 0.4
    assert cascade.scheduler.config.start_time == 0.9 and cascade.scheduler.config.algorithm_type == "dpmsolver++"
    view(cascade, request("ancestral"))
    assert cascade.scheduler.config.start_time == 1.0 and cascade.scheduler.config.schedule == "cosine"


def test_a_latent_model_is_told_of_every_evaluation_too(mini: SatPipeline) -> None:
    words = {"captions": ("a river", "a forest")}
    plain = pictures(mini, request("ddim", **words), [0, 1])
    assert plain.shape == (2, 16, 16, 3) and np.array_equal(pictures(mini, request("ddim", **words), [0, 1]), plain)
    assert not np.array_equal(pictures(mini, request("ddim", **words, seed=4), [0, 1]), plain)


def test_a_cascade_refuses_a_negative_prompt(cascade: RSDiffPipeline) -> None:
    with pytest.raises(InputError, match="no negative prompt"):
        view(cascade, request("ancestral", negative_prompt="a road"))
