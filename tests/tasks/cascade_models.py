"""A tiny cascade with random weights, which reads captions by rsgeo-mini's text encoder: base 8 px, super-resolution 16 px."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from rsgeo.hub import catalog
from rsgeo.models.loading import load_module
from rsgeo.models.log_snr_scheduler import LogSNRScheduler
from rsgeo.models.rsdiff_unet import RSDiffUNet
from rsgeo.models.word_piece_encoder import WordPieceEncoder
from rsgeo.pipelines.rsdiff_pipeline import RSDiffPipeline

_SMALL: dict[str, Any] = {
    "dim": 8, "cond_dim": 16, "dim_mults": [1, 2], "layer_attns": [False, True], "layer_cross_attns": [False, True],
    "max_text_len": 32, "attn_pool_num_latents": 4,
}  # fmt: skip


def tiny_cascade(*, words: bool = True) -> RSDiffPipeline:
    """The cascade; without ``words`` it has no text encoder. Its last layers are not the zeros of an untrained one."""
    encoder = load_module(WordPieceEncoder, catalog.EMBEDDED / "rsgeo-mini" / "text_encoder")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(catalog.EMBEDDED / "rsgeo-mini" / "tokenizer")
    torch.manual_seed(0)
    width = encoder.config.dim
    unets = [RSDiffUNet(sample_size=side, text_embed_dim=width, lowres_cond=side == 16, **_SMALL).eval() for side in (8, 16)]
    for unet in unets:
        torch.nn.init.normal_(unet.final_conv.weight, std=0.2)
    text = (encoder, tokenizer) if words else (None, None)
    pipeline = RSDiffPipeline(*unets, LogSNRScheduler(), LogSNRScheduler("linear"), *text)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save(folder: Path, *, words: bool = True) -> Path:
    """Write `tiny_cascade` as `save_pretrained` does."""
    tiny_cascade(words=words).save_pretrained(folder)
    return folder
