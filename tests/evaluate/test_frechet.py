"""The Frechet distance against what can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rsgeo.errors import InputError
from rsgeo.evaluate import frechet

FEATURES = hnp.arrays(np.float64, (12, 4), elements=st.floats(-10, 10, width=32))


@settings(max_examples=30, deadline=None)
@given(FEATURES)
def test_a_set_is_nowhere_but_at_itself(features: np.ndarray) -> None:
    assert frechet.distance(features, features) == pytest.approx(0.0, abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(FEATURES, FEATURES)
def test_it_is_symmetric_and_never_negative(first: np.ndarray, second: np.ndarray) -> None:
    there, back = frechet.distance(first, second), frechet.distance(second, first)
    assert there >= 0.0
    assert there == pytest.approx(back, rel=1e-5, abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(FEATURES, hnp.arrays(np.float64, 4, elements=st.floats(-5, 5)))
def test_a_shift_costs_its_squared_length(features: np.ndarray, shift: np.ndarray) -> None:
    assert frechet.distance(features, features + shift) == pytest.approx(np.square(shift).sum(), rel=1e-5, abs=1e-4)


def test_doubling_costs_the_squared_mean_and_the_variance() -> None:
    features = np.random.default_rng(0).normal(3.0, 2.0, (500, 6))
    variance = np.trace(np.cov(features, rowvar=False))
    # tr(C + 4C - 2 * 2C) = tr C, and the means are one mean apart.
    assert frechet.distance(features, 2 * features) == pytest.approx(np.square(features.mean(axis=0)).sum() + variance)


def test_gaussians_that_do_not_commute() -> None:
    """Two covariances without common axes; the root of a 2 x 2 product has trace sqrt(tr + 2 sqrt(det))."""
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(400, 2)) @ [[2.0, 0.5], [0.0, 1.0]], rng.normal(size=(400, 2)) @ [[1.0, 0.0], [-0.7, 3.0]]
    c1, c2 = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    cross = np.sqrt(np.trace(c1 @ c2) + 2 * np.sqrt(np.linalg.det(c1 @ c2)))
    expected = np.square(first.mean(axis=0) - second.mean(axis=0)).sum() + np.trace(c1) + np.trace(c2) - 2 * cross
    assert frechet.distance(first, second) == pytest.approx(expected)


def test_the_bias_of_small_sets_is_why_a_floor_of_equal_size_is_needed() -> None:
    rng = np.random.default_rng(2)
    small, large = (frechet.distance(rng.normal(size=(n, 32)), rng.normal(size=(n, 32))) for n in (100, 1000))
    assert small > 5 * large


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.zeros((5, 3)), np.zeros((6, 3))),
        (np.zeros((5, 3)), np.zeros((5, 4))),
        (np.zeros((1, 3)), np.zeros((1, 3))),
        (np.zeros(5), np.zeros(5)),
        (np.full((5, 3), np.nan), np.zeros((5, 3))),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(first: np.ndarray, second: np.ndarray) -> None:
    with pytest.raises(InputError):
        frechet.distance(first, second)
