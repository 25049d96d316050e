"""What the ControlNets are shown in training."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "training"))

from conditions import box_averaged, known_pixels, masked


def test_a_box_average_keeps_the_mean_of_each_box() -> None:
    pixels = np.random.default_rng(0).uniform(-1, 1, (2, 3, 8, 8)).astype(np.float32)
    averaged = box_averaged(pixels, 4)
    assert averaged.shape == (2, 3, 2, 2)
    assert np.allclose(averaged[1, 2, 0, 1], pixels[1, 2, :4, 4:].mean(), atol=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_a_mask_is_a_function_of_its_generator(seed: int) -> None:
    first, again = (known_pixels(64, np.random.default_rng(seed)) for _ in range(2))
    assert first.shape == (64, 64) and first.dtype == np.bool_ and np.array_equal(first, again)


def test_masks_leave_every_share_of_a_picture_to_be_made() -> None:
    gaps = np.array([1 - known_pixels(64, np.random.default_rng(seed)).mean() for seed in range(400)])
    shares, _ = np.histogram(gaps, bins=[0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert (shares > 20).all() and 10 < (gaps == 1).sum() < 80


def test_unknown_pixels_are_black_and_told_by_the_mask() -> None:
    pixels, known = np.full((1, 3, 4, 4), 0.5, np.float32), np.zeros((1, 4, 4), np.bool_)
    known[0, 1] = True
    seen = masked(pixels, known)
    assert seen.shape == (1, 4, 4, 4) and seen.dtype == np.float32
    assert (seen[0, :3, 1] == 0.75).all() and (seen[0, :, 2] == 0).all() and (seen[0, 3, 1] == 1).all()
