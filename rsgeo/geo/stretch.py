"""The numbers of a raster as the 0 to 1 that a model sees, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Stretch = Sequence[tuple[float, float]]
"""For each band the numbers (low, high) that are shown as 0 and 1."""


_PERCENT = (2, 98)


def ends_of(numbers: NDArray[Any]) -> tuple[float, float]:
    """What is shown as 0 and 1 of numbers that no one has said it of: their 2nd and 98th percentile, NaN left out."""
    low, high = (float(value) for value in np.nanpercentile(numbers, _PERCENT))
    return low, high


def shown(pixels: NDArray[Any], stretch: Stretch) -> NDArray[np.float32]:
    """Pixels (bands, ...) as a model sees them: float32 in [0, 1], clipped there."""
    low, span = _ends(stretch, pixels.ndim)
    return np.clip((pixels - low) / span, 0.0, 1.0).astype(np.float32)


def stored(seen: NDArray[Any], stretch: Stretch, dtype: DTypeLike) -> NDArray[Any]:
    """What a model sees (bands, ...) in [0, 1] as the raster's numbers: the inverse of `shown`, rounded for whole numbers and held in their range."""
    low, span = _ends(stretch, seen.ndim)
    values, kind = seen * span + low, np.dtype(dtype)
    if kind.kind in "iu":
        info = np.iinfo(kind)
        values = np.clip(np.rint(values), info.min, info.max)
    return np.asarray(values.astype(kind))


def _ends(stretch: Stretch, ndim: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, high = np.array(stretch, np.float64).T.reshape(2, -1, *(1,) * (ndim - 1))
    return low, high - low
