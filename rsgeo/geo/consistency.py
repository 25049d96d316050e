"""Whether a finer picture still says what the image says that it was made from: the picture averaged back, against the image.

Three questions: are the levels right (RMSE), are the colours right (spectral angle), does it lie where it should (shift). No truth is needed, and
none is approached by answering them: a picture may be consistent and invented all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Edges = Sequence[float | Fraction] | Floats

_BINS_PER_DEGREE = 200
_PATCH = 512
_LEAST_PATCH = 16
_LEAST_SPREAD = 0.5
_FINE_STEPS = 100
_FINE_REACH = 1.5


@dataclass(frozen=True)
class Consistency:
    """``rmse``: grey levels (0 to 255), by band. ``angle_*``: degrees between the colours of a pixel as vectors, median and 95th percentile.

    ``shift_px`` is how far the picture lies to the right of the image and below it, in the image's pixels; None where too little is to be seen.
    """

    pixels: int
    rmse: tuple[float, ...]
    angle_median_deg: float
    angle_95_deg: float
    shift_px: tuple[float, float] | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class Comparison:
    """Adds up what `Consistency` tells from strips of an image of ``shape`` (height, width), in flat memory.

    The shift is measured on the middle 512 x 512 pixels.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._squares, self._count = np.zeros(0), 0
        self._angles = np.zeros(180 * _BINS_PER_DEGREE + 1, np.int64)
        self._patch = tuple(min(side, _PATCH) for side in shape)
        self._corner = tuple((side - part) // 2 for side, part in zip(shape, self._patch, strict=True))
        self._seen = np.zeros((3, *self._patch))  # given, made, and where both are there

    def add(self, row: int, col: int, given: NDArray[Any], made: NDArray[Any], mask: Mask) -> None:
        """A strip whose upper left pixel lies at (row, col): both (bands, height, width) in grey levels, and where both are there."""
        one, other = given[:, mask].astype(np.float64), made[:, mask].astype(np.float64)
        squares = np.square(one - other).sum(axis=1)
        self._squares = squares if not self._count else self._squares + squares
        self._count += one.shape[1]
        lengths = np.linalg.norm(one, axis=0) * np.linalg.norm(other, axis=0)
        cosine = np.divide((one * other).sum(axis=0), lengths, out=np.ones_like(lengths), where=lengths > 0)
        bins = np.rint(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))) * _BINS_PER_DEGREE).astype(np.int64)
        self._angles += np.bincount(bins[lengths > 0], minlength=len(self._angles))
        self._keep(row, col, np.stack([given.mean(axis=0), made.mean(axis=0), mask.astype(np.float64)]))

    def _keep(self, row: int, col: int, strip: NDArray[Any]) -> None:
        """What of a strip lies in the middle."""
        top, left = row - self._corner[0], col - self._corner[1]
        first, start = max(top, 0), max(left, 0)
        last, end = min(top + strip.shape[1], self._patch[0]), min(left + strip.shape[2], self._patch[1])
        if first < last and start < end:
            self._seen[:, first:last, start:end] = strip[:, first - top : last - top, start - left : end - left]

    def result(self) -> Consistency | None:
        """What was found; None where no pixel was compared."""
        if not self._count:
            return None
        rmse = tuple(float(value) for value in np.sqrt(self._squares / self._count))
        given, made, there = self._seen
        shift = _shift_of(given, made, there > 0)
        return Consistency(self._count, rmse, self._angle(0.5), self._angle(0.95), shift)

    def _angle(self, share: float) -> float:
        total = np.cumsum(self._angles)
        if not total[-1]:
            return 0.0
        return float(np.searchsorted(total, share * total[-1])) / _BINS_PER_DEGREE


def averaged(pixels: NDArray[Any], rows: Edges, cols: Edges) -> Floats:
    """Means of ``pixels`` (..., height, width) over the rectangles between ``rows`` and ``cols``, edges in pixels, ascending; pixels count by area.

    Beyond the pixels are zeros.
    """
    down = _between(np.moveaxis(np.asarray(pixels, np.float64), -2, -1), rows)
    return _between(np.moveaxis(down, -1, -2), cols)


def _between(values: Floats, edges: Edges) -> Floats:
    """Means of (..., n) between edges, along the last axis: differences of the integral, which is linear within a pixel."""
    places = np.array([float(edge) for edge in edges])
    inside = np.clip(places, 0, values.shape[-1])
    integral = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, axis=-1)], axis=-1)
    whole = np.minimum(np.floor(inside).astype(np.int64), values.shape[-1] - 1)
    at = integral[..., whole] + values[..., whole] * (inside - whole)
    means: Floats = np.diff(at, axis=-1) / np.diff(places)
    return means


def shift(one: NDArray[Any], other: NDArray[Any]) -> tuple[float, float]:
    """(right, down) in pixels by which ``other`` (height, width) lies off ``one``, to a hundredth.

    Phase correlation (Kuglin and Hines, 1975), its peak refined by the Fourier transform at a finer step (Guizar-Sicairos et al., Efficient subpixel
    image registration algorithms, 2008).
    """
    height, width = one.shape
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[None, 1:-1]
    first, second = (np.fft.fft2((image - image.mean()) * window) for image in (np.asarray(one, np.float64), np.asarray(other, np.float64)))
    cross = second * np.conj(first)
    size = np.abs(cross)
    phase = np.divide(cross, size, out=np.zeros_like(cross), where=size > size.max() * 1e-9)
    peak = np.unravel_index(np.argmax(np.fft.ifft2(phase).real), phase.shape)
    row, col = ((int(place) + side // 2) % side - side // 2 for place, side in zip(peak, phase.shape, strict=True))
    steps = np.arange(-_FINE_REACH * _FINE_STEPS, _FINE_REACH * _FINE_STEPS + 1) / _FINE_STEPS
    down = np.exp(2j * np.pi * np.outer(row + steps, np.fft.fftfreq(height)))
    across = np.exp(2j * np.pi * np.outer(np.fft.fftfreq(width), col + steps))
    best_row, best_col = np.unravel_index(np.argmax((down @ phase @ across).real), (len(steps), len(steps)))
    return float(col + steps[best_col]), float(row + steps[best_row])


def _shift_of(given: Floats, made: Floats, there: Mask) -> tuple[float, float] | None:
    """The shift where there is enough to see: pixels that are missing become those that say nothing."""
    if min(given.shape) < _LEAST_PATCH or there.mean() < 0.5 or min(given[there].std(), made[there].std()) < _LEAST_SPREAD:
        return None
    return shift(*(np.where(there, image, image[there].mean()) for image in (given, made)))
