"""Prompts to embeddings."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rsgeo.errors import RsgeoWarning
from rsgeo.pipelines import text
from rsgeo.pipelines.sat_pipeline import SatPipeline

TEXTS = ["", "a fmow satellite image of a amusement park in Australia", "a satlas satellite image of houses  built in 2014 covering 0.1929 acres"]


def test_clip_as_the_original(archive: SatPipeline, golden: Path) -> None:
    outputs = load_file(golden / "cases" / "text_encoder" / "outputs.safetensors")
    ids = archive.tokenizer(TEXTS, padding="max_length", max_length=77, return_tensors="pt").input_ids
    assert torch.equal(ids, outputs["input_ids"])
    embedded = archive.embed(TEXTS)
    torch.testing.assert_close(embedded.states, outputs["hidden"], rtol=0, atol=1e-4)
    assert embedded.mask is None and embedded.pooled is None


def test_neighbours_do_not_change_a_prompt(mini: SatPipeline) -> None:
    alone = mini.embed(["a forest"])
    together = mini.embed(["a satellite image of a river", "a forest", ""])
    stacked = text.stack([mini.embed(["a satellite image of a river"]), alone])
    assert together.mask is not None and alone.mask is not None and alone.pooled is not None and together.pooled is not None
    assert alone.states.shape == (1, 8, 16) and together.mask[1].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    torch.testing.assert_close(together.states[1:2], alone.states, rtol=0, atol=2e-6)
    torch.testing.assert_close(together.pooled[1:2], alone.pooled, rtol=0, atol=2e-6)
    torch.testing.assert_close(stacked.states, together.states[:2], rtol=0, atol=2e-6)


def test_a_long_prompt_warns_and_says_what_is_lost(mini: SatPipeline) -> None:
    with pytest.warns(RsgeoWarning, match=r"longer than the model takes \(8 tokens\); it does not see 'green fields with sea'"):
        cut = mini.embed(["a satellite image of a river green fields with sea"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        short = mini.embed(["a satellite image of a river"])
    assert torch.equal(cut.states, short.states)


def test_a_long_prompt_for_clip(archive: SatPipeline) -> None:
    with pytest.warns(RsgeoWarning, match=r"\(77 tokens\); it does not see '.*zebra'"):
        states = archive.embed(["forest " * 30 + "zebra"]).states
    assert states.shape == (1, 77, 32)


def test_a_tokenizer_without_a_limit_pads_to_what_the_encoder_takes(mini: SatPipeline) -> None:
    mini.tokenizer.model_max_length = int(1e30)
    assert mini.embed(["a forest"]).states.shape == (1, 8, 16)
