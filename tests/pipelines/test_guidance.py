"""Guidance against the original's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rsgeo.pipelines import guidance

GOLDEN = load_file(Path(__file__).parents[1] / "data" / "rsdiff" / "unet" / "guidance_only.safetensors")
WISH, BLANK = GOLDEN["cond"], GOLDEN["null"]
SCALES = [0, 1, 3, 5, 8]


def close(got: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", SCALES)
def test_classic(scale: int) -> None:
    close(guidance.classic(WISH, BLANK, scale), GOLDEN[f"classic/s{scale}"])


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("keep", ["0", "0.3", "1"])
def test_orthogonal(scale: int, keep: str) -> None:
    close(guidance.orthogonal(WISH, BLANK, scale, float(keep)), GOLDEN[f"orth/frac{keep}/s{scale}"])


def test_what_is_added_is_orthogonal_to_the_wish() -> None:
    added = guidance.orthogonal(WISH, BLANK, 2.0) - WISH
    close(added, GOLDEN["project/orthogonal"])
    assert float((added * WISH).flatten(1).sum(dim=1).abs().max()) < 1e-3
