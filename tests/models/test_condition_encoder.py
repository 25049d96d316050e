"""The condition encoder meets the latent grid, whatever the size of the condition."""

from __future__ import annotations

import pytest
import torch

from rsgeo.models.condition_encoder import ConditionEncoder, condition_strides


@pytest.mark.parametrize(
    ("scale", "factor", "strides"),
    [
        (1, 8, [2, 2, 2]),
        (2, 8, [2, 2, 1]),
        (4, 8, [2, 1, 1]),
        (8, 8, [1, 1, 1]),
        (3, 8, [2, 2, 1]),
        (16, 8, [1, 1, 1]),
        (1, 4, [2, 2, 1]),
        (4, 4, [1, 1, 1]),
    ],
)
def test_strides(scale: int, factor: int, strides: list[int]) -> None:
    """For a factor of 8 as measured on the original."""
    assert condition_strides(scale, factor, pairs=3) == strides


def test_too_few_convolutions_are_an_error() -> None:
    assert condition_strides(2, 8, pairs=2) == [2, 2]
    with pytest.raises(ValueError, match="conditioning_embedding_out_channels needs more entries"):
        condition_strides(1, 8, pairs=2)


def test_frames_are_never_merged_and_see_their_neighbours_only() -> None:
    torch.manual_seed(0)
    encoder = ConditionEncoder(2, 6, (4, 4, 4), [2, 2], temporal=True)
    torch.nn.init.normal_(encoder.conv_out.weight)
    series = torch.rand(1, 2, 15, 8, 8)
    changed = series.clone()
    changed[:, :, 0] += 1
    plain, other = encoder(series), encoder(changed)
    assert plain.shape == (1, 6, 15, 2, 2)
    moved = (plain != other).amax(dim=(0, 1, 3, 4))
    assert moved.tolist() == [1] * 5 + [0] * 10  # four convolutions reach one frame further each, the strided ones none


def test_it_starts_silent() -> None:
    assert not ConditionEncoder(3, 6, (4, 4), [2])(torch.rand(1, 3, 8, 8)).any()
