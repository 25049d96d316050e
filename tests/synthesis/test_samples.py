"""Several worlds as one output: exact statistics, row by row."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsgeo.request import MOST_SAMPLES, SamplesRecord
from rsgeo.synthesis import samples
from rsgeo.synthesis.engine import Band
from rsgeo.synthesis.samples import combined, statistics

VALUES = st.lists(st.integers(0, 255), min_size=2, max_size=MOST_SAMPLES)


def column(values: list[int]) -> list[np.ndarray]:
    return [np.full((1, 1, 1), value, np.uint8) for value in values]


@given(VALUES)
def test_both_statistics_are_the_nearest_grey_levels(values: list[int]) -> None:
    mean, deviation = map(int, statistics(column(values))[:, 0, 0])
    assert abs(Fraction(sum(values), len(values)) - mean) <= Fraction(1, 2)
    count = len(values)
    variance = Fraction(count * sum(v * v for v in values) - sum(values) ** 2, count * (count - 1))
    assert max(Fraction(2 * deviation - 1, 2), Fraction(0)) ** 2 <= variance <= Fraction(2 * deviation + 1, 2) ** 2


@given(VALUES, st.randoms())
def test_the_order_of_worlds_changes_nothing(values: list[int], random) -> None:
    shuffled = random.sample(values, len(values))
    np.testing.assert_array_equal(statistics(column(values)), statistics(column(shuffled)))


@pytest.mark.parametrize("count", [2, 3, 8, MOST_SAMPLES])
def test_they_are_those_of_numpy(count: int) -> None:
    worlds = np.random.default_rng(count).integers(0, 256, (count, 3, 40, 50), np.uint8)
    wide = worlds.astype(np.float64)
    expected = np.rint(np.concatenate([wide.mean(axis=0), wide.std(axis=0, ddof=1)]))
    np.testing.assert_array_equal(statistics(list(worlds)), expected)


def test_the_largest_deviation_there_can_be_fits_a_byte() -> None:
    assert statistics(column([0, 255])).ravel().tolist() == [128, 180]
    assert statistics(column([0] * 32 + [255] * 32)).ravel().tolist() == [128, 129]


def bands(world: int, heights: tuple[int, ...] = (5, 1, 4)) -> list[Band]:
    rng, row, found = np.random.default_rng(world), 0, []
    for height in heights:
        mask = np.random.default_rng(row).random((height, 6)) > 0.3
        found.append(Band(row, rng.integers(0, 256, (3, height, 6), np.uint8) * mask, mask))
        row += height
    return found


def joined(found: list[Band]) -> tuple[np.ndarray, np.ndarray]:
    assert [band.row0 for band in found] == np.cumsum([0, *(band.mask.shape[0] for band in found)])[:-1].tolist()
    return np.concatenate([band.pixels for band in found], axis=1), np.concatenate([band.mask for band in found])


@pytest.mark.parametrize("at_once", [1, 8 * 6 * 3 * 3 * 2, 2**25])
@pytest.mark.parametrize("write_as", ["statistics", "all"])
def test_rows_come_out_in_order_whatever_fits_at_once(monkeypatch: pytest.MonkeyPatch, at_once: int, write_as: str) -> None:
    monkeypatch.setattr(samples, "_BYTES_AT_ONCE", at_once)
    worlds = [bands(number) for number in range(3)]
    pixels, mask = joined(list(combined([iter(world) for world in worlds], SamplesRecord(count=3, write_as=write_as))))
    whole = [joined(world)[0] for world in worlds]
    np.testing.assert_array_equal(mask, joined(worlds[0])[1])
    np.testing.assert_array_equal(pixels, statistics(whole) if write_as == "statistics" else np.concatenate(whole))


def test_one_world_passes_as_it_is() -> None:
    world = bands(0)
    assert list(combined([iter(world)], None)) == world


def test_no_row_is_asked_for_before_the_one_before_it_is_taken() -> None:
    asked: list[tuple[int, int]] = []

    def world(number: int):
        for band in bands(number):
            asked.append((number, band.row0))
            yield band

    out = combined([world(0), world(1)], SamplesRecord(count=2, write_as="all"))
    next(out)
    assert asked == [(0, 0), (1, 0)]
