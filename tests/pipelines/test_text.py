"""Prompts to embeddings."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast, T5EncoderModel

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


T5 = tuple[T5EncoderModel, PreTrainedTokenizerFast]
CAPTIONS = ["a river .", "there are some farmlands near the sea .", ""]


def by_t5(t5: T5, captions: list[str], limit: int | None = 256) -> tuple[torch.Tensor, torch.Tensor]:
    embedded = text.encode(captions, t5[1], t5[0], limit, padding="longest")
    assert embedded.mask is not None and embedded.pooled is None
    return embedded.states, embedded.mask


def test_t5_as_the_original(t5: T5) -> None:
    """RSDiff's text: padded to the longest caption, the end mark a token, the states 0 at padding."""
    tokens = t5[1](CAPTIONS, padding="longest", return_tensors="pt")
    with torch.no_grad():
        hidden = t5[0](tokens.input_ids, attention_mask=tokens.attention_mask)[0]
    states, mask = by_t5(t5, CAPTIONS)
    assert torch.equal(mask, tokens.attention_mask.float()) and torch.equal(states, hidden * mask[..., None])
    lengths = mask.sum(dim=1).int().tolist()
    assert lengths[1] == states.shape[1] > lengths[0] > lengths[2] == 1
    assert [row[length - 1] for row, length in zip(tokens.input_ids.tolist(), lengths, strict=True)] == [t5[1].eos_token_id] * 3
    assert (states[0, lengths[0] :] == 0).all() and (states[0, : lengths[0]] != 0).any(dim=-1).all()


def test_the_batch_does_not_change_what_t5_says(t5: T5) -> None:
    together, _ = by_t5(t5, CAPTIONS)
    for row, caption in enumerate(CAPTIONS):
        alone, mask = by_t5(t5, [caption])
        assert mask.all()
        torch.testing.assert_close(together[row : row + 1, : alone.shape[1]], alone, rtol=0, atol=1e-6)
    full = text.encode(CAPTIONS, t5[1], t5[0], 64)
    assert full.states.shape == (3, 64, 32)
    torch.testing.assert_close(full.states[:, : together.shape[1]], together, rtol=0, atol=1e-6)


def test_a_long_caption_for_t5_keeps_its_end_mark(t5: T5) -> None:
    tokenizer, long = t5[1], "a river goes through a dense forest ."
    ids = tokenizer(long).input_ids
    with pytest.warns(RsgeoWarning, match=r"\(5 tokens\); it does not see '.*forest \.'"):
        states, mask = by_t5(t5, [long, ""], limit=5)
    assert states.shape == (2, 5, 32) and mask.tolist() == [[1] * 5, [1, 0, 0, 0, 0]]
    with torch.no_grad():
        cut = t5[0](torch.tensor([[*ids[:4], tokenizer.eos_token_id]]))[0]
    torch.testing.assert_close(states[:1], cut, rtol=0, atol=1e-6)


def test_clip_is_never_padded_to_the_longest(archive: SatPipeline) -> None:
    with pytest.raises(ValueError, match="attends to its padding"):
        text.encode(TEXTS, archive.tokenizer, archive.text_encoder, padding="longest")
