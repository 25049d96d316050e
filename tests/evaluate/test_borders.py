"""Gradients across patch borders."""

from __future__ import annotations

import numpy as np
import pytest

from rsgeo.evaluate import borders


def test_a_ramp_has_no_borders() -> None:
    ramp = np.broadcast_to((np.arange(32) * 3).astype(np.uint8)[None, None, :, None], (2, 32, 32, 3))
    found = borders.gradients(ramp)
    assert found.ratio == pytest.approx(1.0)
    assert found.across == pytest.approx(1.5)  # 3 along rows, 0 along columns


def test_flat_patches_change_across_their_borders_only() -> None:
    rng = np.random.default_rng(0)
    tiles = rng.integers(0, 255, (3, 8, 8, 3), dtype=np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    found = borders.gradients(tiles)
    assert found.inside == 0.0
    assert found.across > 50
    assert borders.gradients(tiles[:, 1:, 1:]).inside > 0  # borders that lie elsewhere are not taken for patches'


def test_noise_has_a_ratio_near_one() -> None:
    tiles = np.random.default_rng(1).integers(0, 255, (20, 64, 64, 3), dtype=np.uint8)
    assert borders.gradients(tiles).ratio == pytest.approx(1.0, abs=0.02)
