"""The world's noise: known answers, independence, and that any window is a crop of the endless plane."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsgeo.synthesis.noise import noise_normal, noise_words, philox4x32

INDEX = st.integers(-(2**62), 2**62)


def _words(value):
    return (np.array(value, np.uint64),) * 4


@pytest.mark.parametrize(
    "word, key, answer",
    [
        (0, 0, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        (0xFFFFFFFF, 0xFFFFFFFF, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    ],
)
def test_philox_gives_the_published_words(word, key, answer):
    assert [int(w) for w in philox4x32(_words(word), (key, key))] == answer


@pytest.mark.parametrize(
    "row, col, answer",
    [
        (0, 0, [-0.065836, -0.748108, -3.004526, 0.518404]),
        (-1, -1, [-0.458801, 0.760761, -0.080331, 0.616666]),
        (123456789, -987654321, [-0.537392, -0.556449, 0.711686, 1.128803]),
    ],
)
def test_normals_are_the_specified_ones(row, col, answer):
    np.testing.assert_allclose(noise_normal(1, "init", row, col, 1, 1, 4).ravel(), answer, atol=1e-6)


@settings(deadline=None)
@given(row0=INDEX, col0=INDEX, top=st.integers(0, 20), left=st.integers(0, 20), height=st.integers(1, 9), width=st.integers(1, 9))
def test_a_window_is_a_crop_of_the_plane(row0, col0, top, left, height, width):
    plane = noise_normal(7, "L0/init", row0, col0, 29, 29, 5)
    window = noise_normal(7, "L0/init", row0 + top, col0 + left, height, width, 5)
    assert np.array_equal(window, plane[:, top : top + height, left : left + width])


def test_the_plane_has_no_seam_at_zero_nor_at_32_bits():
    for corner in (-3, 2**32 - 3, -(2**32) - 3):
        words = noise_words(0, "L0/init", 0, corner, corner, 6, 6)
        for k in range(6):
            assert np.array_equal(words[:, k, k], noise_words(0, "L0/init", 0, corner + k, corner + k, 1, 1)[:, 0, 0])
        assert len(np.unique(words[0])) == 36


def test_more_channels_leave_the_first_as_they_were():
    assert np.array_equal(noise_normal(3, "L0/init", 5, 6, 4, 4, 16)[:3], noise_normal(3, "L0/init", 5, 6, 4, 4, 3))


def test_the_noise_is_standard_normal_and_white():
    noise = noise_normal(11, "L0/init", -200, -300, 256, 256, 4).astype(np.float64)
    n = noise.size
    assert abs(noise.mean()) < 4 / n**0.5
    assert abs(noise.var() - 1) < 4 * (2 / n) ** 0.5
    assert abs((noise**3).mean()) < 4 * (15 / n) ** 0.5
    assert abs((noise**4).mean() - 3) < 4 * (96 / n) ** 0.5
    power = np.abs(np.fft.fft2(noise)) ** 2 / 256**2
    assert abs(power.mean() - 1) < 0.01 and abs(power.var() - 1) < 0.06


@pytest.mark.parametrize(
    "other",
    [(12, "L0/init", 0), (11, "L0/step1", 0), (11, "L0/init", 1)],
    ids=["neighbouring seed", "other field", "other channel"],
)
def test_neighbouring_planes_are_uncorrelated_at_every_lag(other):
    seed, field, channel = other
    a = noise_normal(11, "L0/init", 0, 0, 256, 256, 1)[0]
    b = noise_normal(seed, field, 0, 0, 256, 256, channel + 1)[channel]
    correlation = np.fft.ifft2(np.fft.fft2(a) * np.conj(np.fft.fft2(b))).real / 256
    assert np.abs(correlation).max() < 6


def test_products_over_rectangles_vanish():
    """Schemes that join a hash of the row and one of the column linearly fail here."""
    z = noise_normal(5, "L0/init", 0, 0, 256, 256, 1)[0].astype(np.float64)
    product = z[::2, ::2] * z[1::2, ::2] * z[::2, 1::2] * z[1::2, 1::2]
    assert abs(product.sum() / product.size**0.5) < 4.5


def test_lattice_and_noise_need_numpy_only():
    script = "import sys, rsgeo.synthesis.lattice, rsgeo.synthesis.noise; print(*{name.split('.')[0] for name in sys.modules})"
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert not {"torch", "rasterio", "shapely", "pyproj", "pydantic", "scipy"} & set(found) and "numpy" in found


def test_lattice_noise_phases_and_plan_need_no_torch():
    modules = ", ".join(f"rsgeo.synthesis.{name}" for name in ("lattice", "noise", "phases", "plan"))
    subprocess.run([sys.executable, "-c", f"import sys, {modules}; assert 'torch' not in sys.modules"], check=True)
