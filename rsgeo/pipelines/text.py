"""Prompts to embeddings: one face for every text encoder."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import CLIPTextModel, T5EncoderModel

from rsgeo.errors import RsgeoWarning
from rsgeo.models.word_piece_encoder import WordPieceEncoder


@dataclass(frozen=True)
class PromptEmbeddings:
    """What a text encoder makes of a batch of prompts."""

    states: torch.Tensor
    """(batch, tokens, dim)."""
    mask: torch.Tensor | None
    """(batch, tokens), 1 = token, 0 = padding; None where padding is attended to."""
    pooled: torch.Tensor | None
    """(batch, dim), a vector of the whole prompt, or None."""

    def repeated(self, times: int) -> PromptEmbeddings:
        """Each prompt so many times in a row."""
        parts = (self.states, self.mask, self.pooled)
        return PromptEmbeddings(*(None if part is None else part.repeat_interleave(times, dim=0) for part in parts))  # type: ignore[arg-type]


def encode(
    prompts: Sequence[str],
    tokenizer: Any,
    text_encoder: Any,
    limit: int | None = None,
    *,
    padding: Literal["max_length", "longest"] = "max_length",
    device: torch.device | None = None,
    clip_skip: int | None = None,
) -> PromptEmbeddings:
    """Embed prompts, whatever the text encoder: CLIP's, T5's or `WordPieceEncoder`.

    A prompt's embedding does not depend on its neighbours: padding is masked, or, CLIP's, always up to the full length. An end mark counts as a
    token. A prompt that is longer than the tokenizer takes, or than ``limit`` tokens, is cut, with a warning that says what was left out.

    Args:
        padding: "max_length" is up to the most tokens a prompt may have, "longest" up to the longest of these prompts.
        device: where the encoder computes, if that is not where its weights lie now.
        clip_skip: how many last layers of a CLIP encoder are left out.

    Raises:
        ValueError: ``clip_skip`` is given to another encoder, or is no number of its layers; or "longest" to one whose padding is attended to.
    """
    if padding == "longest" and isinstance(text_encoder, CLIPTextModel):
        raise ValueError("CLIP attends to its padding, which must be up to the full length; this needs a text encoder with a mask")
    lengths = (tokenizer.model_max_length, _capacity(text_encoder), limit)
    length = min(length for length in lengths if length is not None)
    tokens = tokenizer(list(prompts), padding=padding, max_length=length, truncation=True, return_tensors="pt")
    for prompt in dict.fromkeys(prompts):
        _warn_if_cut(prompt, tokenizer, length)
    device = device or next(text_encoder.parameters()).device
    ids, mask = tokens.input_ids.to(device), tokens.attention_mask.to(device)
    with torch.no_grad():
        if clip_skip is not None:
            return PromptEmbeddings(_clip_without_last(text_encoder, ids, clip_skip), None, None)
        if isinstance(text_encoder, WordPieceEncoder):
            states, pooled = text_encoder(ids, mask)
            return PromptEmbeddings(states, mask.to(states.dtype), pooled)
        if isinstance(text_encoder, T5EncoderModel):
            states = text_encoder(ids, attention_mask=mask)[0] * mask[..., None]
            return PromptEmbeddings(states, mask.to(states.dtype), None)
        # CLIP as Stable Diffusion uses it: padding is attended to, nothing is pooled.
        return PromptEmbeddings(text_encoder(ids)[0], None, None)


def _clip_without_last(text_encoder: Any, ids: torch.Tensor, layers: int) -> torch.Tensor:
    if not isinstance(text_encoder, CLIPTextModel):
        raise ValueError(f"clip_skip is for CLIP text encoders; this is a {type(text_encoder).__name__}")
    if not 0 <= layers <= text_encoder.config.num_hidden_layers:
        raise ValueError(f"clip_skip must be 0 to {text_encoder.config.num_hidden_layers}, the encoder's layers, got {layers}")
    hidden = text_encoder(ids, output_hidden_states=True).hidden_states[-(layers + 1)]
    # The trunk has been the model itself since transformers 5.
    normed: torch.Tensor = getattr(text_encoder, "text_model", text_encoder).final_layer_norm(hidden)
    return normed


def stack(parts: Sequence[PromptEmbeddings]) -> PromptEmbeddings:
    """One batch of several from the same encoder."""

    def join(tensors: list[torch.Tensor | None]) -> torch.Tensor | None:
        given = [tensor for tensor in tensors if tensor is not None]
        return torch.cat(given) if given else None

    states = torch.cat([part.states for part in parts])
    return PromptEmbeddings(states, join([part.mask for part in parts]), join([part.pooled for part in parts]))


def _capacity(text_encoder: Any) -> int | None:
    """The most tokens the encoder has positions for; a tokenizer saved without a limit would pad without end. T5's are relative: None."""
    if isinstance(text_encoder, T5EncoderModel):
        return None
    config = text_encoder.config
    return int(config.max_length if isinstance(text_encoder, WordPieceEncoder) else config.max_position_embeddings)


def _warn_if_cut(prompt: str, tokenizer: Any, length: int) -> None:
    whole = tokenizer(prompt, truncation=False, verbose=False).input_ids
    if len(whole) > length:
        lost = tokenizer.decode(whole[length - 1 : -1])  # the last token is the end mark, which a cut prompt keeps
        warnings.warn(f"The prompt is longer than the model takes ({length} tokens); it does not see {lost!r}.", RsgeoWarning, stacklevel=3)
