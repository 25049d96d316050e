"""Frechet distance between two sets of features, each taken as a Gaussian (Dowson and Landau 1982; as a score: Heusel et al. 2017)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsgeo.errors import InputError

Array = NDArray[np.float64]


def distance(first: NDArray[Any], second: NDArray[Any]) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1^1/2 C2 C1^1/2)^1/2) of two feature sets (n, features), in float64.

    It is biased upwards by an amount that falls with n, so the sets must be of one size, and a distance says something only beside
    a real-against-real one of the same size.

    Raises:
        InputError: the sets differ in shape, hold fewer than two rows, or hold NaN or Inf.
    """
    if first.ndim != 2 or first.shape != second.shape or len(first) < 2:
        raise InputError(f"The Frechet distance takes two sets of one shape (n >= 2, features), not {first.shape} and {second.shape}.")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise InputError("The features hold NaN or Inf; look at the pictures that they come from.")
    mean_1, covariance_1 = _moments(first)
    mean_2, covariance_2 = _moments(second)
    root = _root(covariance_1)
    # The product is symmetric, so its root's trace is the sum of the roots of its eigenvalues; rounding makes tiny ones negative.
    cross = np.sqrt(np.linalg.eigvalsh(root @ covariance_2 @ root).clip(min=0.0)).sum()
    total = np.square(mean_1 - mean_2).sum() + np.trace(covariance_1) + np.trace(covariance_2) - 2.0 * cross
    return max(0.0, float(total))


def _moments(features: NDArray[Any]) -> tuple[Array, Array]:
    rows = features.astype(np.float64)
    return rows.mean(axis=0), np.atleast_2d(np.cov(rows, rowvar=False))


def _root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    root: Array = (vectors * np.sqrt(values.clip(min=0.0))) @ vectors.T
    return root
