"""Consistency: a picture averaged back is compared with the image it was made from."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from rsgeo.geo import consistency
from rsgeo.geo.consistency import Comparison, averaged, shift

REAL = Path(__file__).parents[1] / "data" / "rasters" / "sentinel2" / "S2RGB_38D_378R_2_3.tif"


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    with rasterio.open(REAL) as dataset:
        return dataset.read().astype(np.float64)


def moved(image: np.ndarray, right: float, down: float) -> np.ndarray:
    """The image moved within itself by the Fourier shift theorem, round its edges."""
    rows, cols = np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1])[None]
    return np.fft.ifft2(np.fft.fft2(image) * np.exp(-2j * np.pi * (down * rows + right * cols))).real


@pytest.mark.parametrize(("right", "down"), [(0, 0), (0.25, 0), (-0.4, 0.31), (3, -2), (1.5, 0.07), (-5.24, 4.4)])
def test_a_shift_of_a_real_picture_is_found_to_a_fiftieth_of_a_pixel(picture: np.ndarray, right: float, down: float) -> None:
    image = picture.mean(axis=0)
    found = shift(image[16:-16, 16:-20], moved(image, right, down)[16:-16, 16:-20])
    assert found == pytest.approx((right, down), abs=0.02)


def test_a_shift_is_found_in_another_picture_of_the_same_place(picture: np.ndarray) -> None:
    found = shift(picture[0], moved(picture[2], 0.3, -0.2))
    assert found == pytest.approx((0.3, -0.2), abs=0.1)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_averages_over_whole_pixels_are_means_of_blocks(parts: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (3, 4 * parts, 6 * parts))
    found = averaged(pixels, range(0, 4 * parts + 1, parts), range(0, 6 * parts + 1, parts))
    assert np.allclose(found, pixels.reshape(3, 4, parts, 6, parts).mean(axis=(2, 4)))


def test_pixels_that_are_cut_count_by_area() -> None:
    found = averaged(np.array([[0.0, 10.0, 20.0, 30.0]]), [0, 1], [Fraction(0), Fraction(4, 3), Fraction(8, 3), Fraction(4)])
    assert found == pytest.approx(np.array([[2.5, 15.0, 27.5]]))


def test_beyond_the_pixels_are_zeros() -> None:
    assert averaged(np.ones((2, 2)), [-1, 1, 3], [0, 2]) == pytest.approx(np.array([[0.5], [0.5]]))


def compare(given: np.ndarray, made: np.ndarray, mask: np.ndarray | None = None, rows: int = 7) -> consistency.Consistency | None:
    shape = given.shape[1:]
    there = np.ones(shape, bool) if mask is None else mask
    comparison = Comparison(shape)
    for row in range(0, shape[0], rows):
        strip = slice(row, row + rows)
        comparison.add(row, 0, given[:, strip], made[:, strip], there[strip])
    return comparison.result()


def test_the_same_picture_is_wholly_consistent(picture: np.ndarray) -> None:
    found = compare(picture, picture)
    assert found is not None and found.pixels == picture[0].size
    assert found.rmse == (0, 0, 0) and found.angle_95_deg == pytest.approx(0, abs=0.01) and found.shift_px == (0, 0)


def test_levels_colours_and_place_are_told_apart(picture: np.ndarray) -> None:
    brighter = compare(picture, picture * 1.1)
    redder = compare(picture, picture + np.array([20, 0, 0])[:, None, None])
    off = compare(picture, np.stack([moved(band, 0.5, -0.25) for band in picture]))
    assert brighter is not None and redder is not None and off is not None
    assert brighter.rmse == pytest.approx(0.1 * np.sqrt(np.square(picture).mean(axis=(1, 2)))) and brighter.angle_95_deg < 0.01
    assert redder.rmse == pytest.approx((20, 0, 0)) and redder.angle_median_deg > 2
    assert off.shift_px == pytest.approx((0.5, -0.25), abs=0.03)


def test_median_and_95_percent_are_those_of_the_pixels(picture: np.ndarray) -> None:
    made = picture + np.random.default_rng(0).normal(0, 15, picture.shape)
    one, other = picture.reshape(3, -1), made.reshape(3, -1)
    angles = np.degrees(np.arccos((one * other).sum(axis=0) / np.linalg.norm(one, axis=0) / np.linalg.norm(other, axis=0)))
    found = compare(picture, made)
    assert found is not None
    assert (found.angle_median_deg, found.angle_95_deg) == pytest.approx(np.percentile(angles, [50, 95]), abs=0.01)


def test_masked_pixels_do_not_count(picture: np.ndarray) -> None:
    mask = np.ones(picture.shape[1:], bool)
    mask[:40, :40] = False
    spoilt = np.where(mask, picture, 255.0)
    found = compare(picture, spoilt, mask)
    assert found is not None and found.rmse == (0, 0, 0) and found.pixels == mask.sum() and found.shift_px == (0, 0)
    assert compare(picture, spoilt, np.zeros_like(mask)) is None


def test_a_flat_picture_has_no_shift() -> None:
    flat = np.full((3, 64, 64), 80.0)
    found = compare(flat, flat + 1)
    assert found is not None and found.shift_px is None and found.rmse == pytest.approx((1, 1, 1))
