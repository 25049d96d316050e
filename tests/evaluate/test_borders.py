"""Gradients across patch borders and across the edges of windows, planted faults included."""

from __future__ import annotations

import numpy as np
import pytest

from rsgeo.errors import InputError
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


def lattice_picture(jump: float = 0.0, fade: float = 0.0, seed: int = 0, side: int = 480, tile: int = 48) -> np.ndarray:
    """White noise under a codec's blocks of 4; tiles of columns differ by ``jump`` in brightness and lose contrast towards edges by ``fade``."""
    rng = np.random.default_rng(seed)
    columns = np.arange(side)
    wave = rng.normal(0, 10, (side, side, 3)) + np.repeat(rng.normal(0, 6, (side, side // 4, 1)), 4, axis=1)
    near = np.abs(columns % tile - tile / 2) > tile / 3
    tiles = rng.choice([-1.0, 1.0], side // tile + 1) * jump
    return 100 + wave * (1 - fade * near)[None, :, None] + tiles[columns // tile][None, :, None]


def test_pictures_without_tiles_show_no_seam_in_either_axis() -> None:
    pictures = [lattice_picture(seed=seed) for seed in range(4)]
    for axis in (0, 1):
        stretches = borders.by_offset(pictures, [7, 100, -13, 0], axis, 48)
        found = borders.seam(stretches, [0, 16], block=4)
        assert found.low < 1 < found.high and found.high - found.low < 0.03
        assert abs(borders.profile(stretches, 4) - 1).max() < 0.03
        assert found.lines == 2 * len(stretches) == 2 * 4 * 9


def test_tiles_that_differ_show_where_they_end_and_in_their_axis_only() -> None:
    pictures = [lattice_picture(jump=8, seed=seed) for seed in range(4)]
    across = borders.by_offset(pictures, [0] * 4, 1, 48)
    assert borders.seam(across, [0], block=4).low > 1.05
    assert borders.seam(across, [20], block=4).ratio < 1.02
    assert int(borders.profile(across, 4, smooth=1).argmax()) == 0
    assert borders.seam(borders.by_offset(pictures, [0] * 4, 0, 48), [0], block=4).low < 1.01


def test_offsets_are_the_worlds() -> None:
    picture = lattice_picture(jump=8)
    moved = borders.by_offset([picture[:, 5:]], [5], 1, 48)
    assert int(borders.profile(moved, 4, smooth=1).argmax()) == 0
    assert int(borders.profile(borders.by_offset([picture[:, 5:]], [0], 1, 48), 4, smooth=1).argmax()) == 43


def test_faded_overlaps_show_in_the_profile() -> None:
    stretches = borders.by_offset([lattice_picture(fade=0.25)], [0], 1, 48)
    assert abs(borders.profile(stretches, 4) - 1).max() > 0.1


def test_a_blockwise_codec_is_not_taken_for_a_seam() -> None:
    stretches = borders.by_offset([lattice_picture()], [0], 1, 48)
    assert borders.seam(stretches, [0, 16]).ratio > 1.05
    assert abs(borders.seam(stretches, [0, 16], block=4).ratio - 1) < 0.03


def test_lively_pictures_do_not_outweigh_quiet_ones() -> None:
    quiet, lively = lattice_picture(jump=8), 50 * lattice_picture(seed=1)
    both = borders.by_offset([quiet, lively], [0, 0], 1, 48)
    alone = borders.by_offset([quiet], [0], 1, 48)
    excess = [borders.seam(stretches, [0], block=4).ratio - 1 for stretches in (both, alone)]
    assert excess[0] == pytest.approx(excess[1] / 2, rel=0.2)


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(InputError, match="take larger ones"):
        borders.by_offset([lattice_picture(side=48)], [0], 1, 48)
    with pytest.raises(InputError, match="no interior"):
        borders.seam(np.ones((3, 4)), [0], block=4)


def test_a_made_edge_is_measured_against_both_sides() -> None:
    ramp = np.broadcast_to(np.arange(40.0) + np.arange(30.0)[:, None], (3, 30, 40)).copy()
    made = np.zeros((30, 40), np.bool_)
    made[:, 20:] = True
    assert borders.made_edge(ramp, made) == pytest.approx((1, 1))
    ramp[:, :, 20:] += 4
    assert borders.made_edge(ramp, made) == pytest.approx((5, 5))
