"""Window lattices: cover, weights, and what depends on what, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsgeo.synthesis.lattice import (
    Lattice,
    cone,
    weight_1d,
    weight_2d,
    window_bounds,
    windows_touching,
)

LATTICES = st.integers(2, 12).flatmap(lambda tile: st.builds(Lattice, st.just(tile), st.integers(1, tile), st.integers(0, 12)))


@settings(deadline=None)
@given(lattice=LATTICES, start=st.integers(-60, 60), length=st.integers(0, 40))
def test_touching_windows_are_exactly_those_that_share_a_cell(lattice, start, length):
    stop = start + length
    brute = []
    for j in range(-200, 200):
        first, end = window_bounds(j, lattice)
        if max(first, start) < min(end, stop):
            brute.append(j)
    assert list(windows_touching(start, stop, lattice)) == brute


def test_indices_of_64_bits_are_exact():
    lattice = Lattice(16, 12, 6)
    for place in (2**62 + 1, -(2**62) - 1):
        touching = windows_touching(place, place + 1, lattice)
        assert len(touching) in (1, 2)
        assert all(window_bounds(j, lattice)[0] <= place < window_bounds(j, lattice)[1] for j in touching)


@settings(deadline=None)
@given(lattice=LATTICES)
def test_weights_of_every_cell_sum_to_one(lattice):
    line = weight_1d(lattice)
    total = np.zeros(200)
    for j in windows_touching(60, 140, lattice):
        first, end = window_bounds(j, lattice)
        total[first:end] += line
    np.testing.assert_allclose(total[60:140], 1, atol=1e-12)
    assert (line > 0).all()


@pytest.mark.parametrize("tile, stride", [(16, 12), (64, 48), (64, 56), (16, 8)])
def test_the_ramp_alone_sums_to_one_and_nearly_vanishes_at_the_edge(tile, stride):
    line = weight_1d(Lattice(tile, stride))
    cell = 0.5 / (tile - stride)
    assert line[0] == pytest.approx(np.sin(np.pi / 2 * cell) ** 2)
    assert np.array_equal(line, line[::-1]) and line.max() == pytest.approx(1, abs=0.02 if stride > tile / 2 else 0.05)
    assert weight_2d(Lattice(tile, stride)).dtype == np.float32


def test_butt_joined_windows_weigh_one():
    assert (weight_2d(Lattice(8, 8)) == 1).all()


@settings(deadline=None)
@given(lattices=st.lists(LATTICES, min_size=1, max_size=3), start=st.integers(-40, 40), length=st.integers(1, 10))
def test_the_cone_is_what_brute_force_finds(lattices, start, length):
    cells = set(range(start, start + length))
    for lattice in reversed(lattices):
        windows = [range(*window_bounds(j, lattice)) for j in range(-120, 120)]
        cells = {cell for window in windows if not cells.isdisjoint(window) for cell in window}
    assert cone(start, start + length, lattices) == (min(cells), max(cells) + 1)
