"""Blocks: which windows an area needs, against brute force, and an order of work in which nothing is missing or kept too long."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsgeo.errors import InputError
from rsgeo.request import GridRecord, PhaseRecord, Synthesis
from rsgeo.synthesis.blocks import Block, Graph, block_side, wanted_windows, windows_read
from rsgeo.synthesis.lattice import Lattice, window_bounds

LATTICES = st.integers(2, 12).flatmap(lambda tile: st.builds(Lattice, st.just(tile), st.integers(1, tile), st.integers(0, 12)))


def grid(row, col, height, width):
    return GridRecord(crs="EPSG:32633", lattice=("10", "0", "0", "0", "-10", "0"), col=col, row=row, width=width, height=height)


def covers(lattice, i, j):
    (top, bottom), (left, right) = window_bounds(i, lattice), window_bounds(j, lattice)
    return {(row, col) for row in range(top, bottom) for col in range(left, right)}


@settings(deadline=None)
@given(
    lattice=LATTICES,
    row=st.integers(-30, 30),
    col=st.integers(-30, 30),
    scale=st.integers(1, 3),
    rows_at_once=st.integers(1, 5),
    pattern=st.integers(1, 2**24 - 1),
)
def test_wanted_windows_are_exactly_those_over_a_valid_pixel(lattice, row, col, scale, rows_at_once, pattern):
    mask = np.array([pattern >> k & 1 for k in range(24)], bool).reshape(4, 6)
    (found,) = wanted_windows(grid(row, col, 4, 6), scale, [lattice], lambda r, c, h, w: mask[r : r + h, c : c + w], rows_at_once=rows_at_once)
    cells = {((row + r) // scale, (col + c) // scale) for r, c in zip(*np.nonzero(mask), strict=True)}
    brute = [(i, j) for i in range(-60, 60) for j in range(-60, 60) if not cells.isdisjoint(covers(lattice, i, j))]
    assert [tuple(window) for window in found.tolist()] == brute


@settings(deadline=None)
@given(lattice=LATTICES, reader=LATTICES, windows=st.sets(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=1, max_size=5))
def test_windows_read_are_exactly_those_under_a_reader(lattice, reader, windows):
    cells = set().union(*(covers(reader, i, j) for i, j in windows))
    found = windows_read(lattice, reader, np.array(sorted(windows)))
    rows = [i for i in range(-120, 120) if any(window_bounds(i, lattice)[0] <= row < window_bounds(i, lattice)[1] for row, _ in cells)]
    cols = [j for j in range(-120, 120) if any(window_bounds(j, lattice)[0] <= col < window_bounds(j, lattice)[1] for _, col in cells)]
    assert [tuple(window) for window in found.tolist()] == [(i, j) for i in rows for j in cols if not cells.isdisjoint(covers(lattice, i, j))]


PLAN = Synthesis(plan="test", phases=tuple(PhaseRecord(first=n, last=n + 1, tile=8, stride=6, shift=3 * n) for n in range(2)))
MASK = np.zeros((150, 400), bool)
MASK[3:20, 100:103] = MASK[120:140, 310:399] = True


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("decoder", [{}, {"decoder_tile": 12, "decoder_stride": 9}], ids=["local", "overlap"])
def test_every_block_is_made_once_after_what_it_reads_and_freed_after_its_last_reader(masked, decoder):
    valid = (lambda r, c, h, w: MASK[r : r + h, c : c + w]) if masked else None
    graph = Graph(grid(-37, 61, 150, 400), PLAN, scale=4, valid=valid, **decoder)
    held, made = set(), Counter()
    for _, pictures, waves in graph.walk():
        for wave in waves:
            assert len({block.stage for block in wave.blocks}) == 1
            for block in wave.blocks:
                assert set(graph.needs(block)) <= held
            made.update(wave.blocks)
            held.update(wave.blocks)
            held.difference_update(wave.free)
        assert set(pictures) <= held
        held.difference_update(pictures)
    assert not held
    assert set(made) == set(graph.blocks()) and set(made.values()) == {1}
    # A block reads exactly the windows under it.
    for block in graph.blocks():
        if 0 < block.stage < graph.picture:
            stage, before = graph.stages[block.stage], graph.stages[block.stage - 1]
            under = {tuple(w) for w in windows_read(before.lattice, stage.lattice, graph.windows(block)).tolist()}
            assert under <= {tuple(w) for need in graph.needs(block) for w in graph.windows(need).tolist()}


def test_rows_without_a_wanted_pixel_come_too_and_cost_nothing():
    valid = np.zeros((3000, 40), bool)
    valid[0, 0] = valid[-1, -1] = True
    graph = Graph(grid(5, 5, 3000, 40), PLAN, scale=4, valid=lambda r, c, h, w: valid[r : r + h, c : c + w])
    rows = [(span, len(pictures), len(waves)) for span, pictures, waves in graph.walk()]
    starts, heights = zip(*(span for span, _, _ in rows), strict=True)
    assert list(starts) == list(np.cumsum([0, *heights[:-1]])) and starts[-1] + heights[-1] == 3000
    assert [count for _, count, _ in rows if count] == [1, 1] and sum(waves for _, _, waves in rows) == 6


def test_work_that_is_done_is_not_done_again():
    graph = Graph(grid(0, 0, 900, 900), PLAN, scale=4)
    order = [block for _, _, waves in graph.walk() for wave in waves for block in wave.blocks]
    for count in (1, 5, len(order) - 1):
        done = set(order[:count])
        again = [block for _, _, waves in graph.walk(done) for wave in waves for block in wave.blocks]
        assert again == order[count:] or set(again) == set(order[count:])


def test_the_walk_recomputes_what_was_freed_when_a_reader_is_missing():
    graph = Graph(grid(0, 0, 900, 900), PLAN, scale=4)
    everything = set(graph.blocks())
    lost = Block(graph.picture, 1, 1)
    done = {block for block in everything if block.stage == graph.picture} - {lost}
    again = {block for _, _, waves in graph.walk(done) for wave in waves for block in wave.blocks}
    assert lost in again and {block.stage for block in again} == {0, 1, 2}
    assert len(again) < len(everything) / 2


@pytest.mark.parametrize("tile, scale, side", [(16, 4, 96), (64, 8, 192), (8, 1, 384), (256, 1, 768)])
def test_sides_are_whole_tiles_and_not_small(tile, scale, side):
    assert block_side(tile, scale) == side


def test_an_area_without_pixels_is_refused():
    with pytest.raises(InputError, match="no pixel"):
        Graph(grid(0, 0, 9, 9), PLAN, scale=4, valid=lambda r, c, h, w: np.zeros((h, w), bool))
