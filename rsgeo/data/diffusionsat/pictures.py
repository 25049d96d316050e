"""Arrays of samples to pictures as the original prepared them, in numpy and Pillow."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rsgeo.data.diffusionsat.example import Sample, member, name
from rsgeo.errors import InputError

SENTINEL_MEAN = np.array(
    [
        *(1370.19151926, 1184.3824625, 1120.77120066, 1136.26026392, 1263.73947144, 1645.40315151, 1846.87040806),
        *(1762.59530783, 1972.62420416, 582.72633433, 14.77112979, 1732.16362238, 1247.91870117),
    ]
)
"""Mean of the 13 Sentinel-2 bands (B1 to B8, B8A, B9 to B12) by which the original scales them."""

SENTINEL_STD = np.array(
    [
        *(633.15169573, 650.2842772, 712.12507725, 965.23119807, 948.9819932, 1108.06650639, 1258.36394548),
        *(1233.1492281, 1364.38688993, 472.37967789, 14.3114637, 1310.36996126, 1087.6020813),
    ]
)

SUPERRES_BANDS = (3, 2, 1, 4, 5, 6, 7, 8, 11, 12)
"""The bands of the 13 that condition super-resolution, in the network's order: B4, B3, B2, B5, B6, B7, B8, B8A, B11, B12."""


def array_of(sample: Sample, member_name: str, *, bands: int = 3) -> NDArray[Any]:
    """The (height, width, bands) array of a sample. Raises InputError if it has another shape or no numbers."""
    array = np.asarray(member(sample, member_name))
    if array.ndim != 3 or array.shape[2] != bands or 0 in array.shape or array.dtype.kind not in "uif":
        raise InputError(f"{member_name} of the sample {name(sample)} is {array.dtype} {array.shape}; it must be (height, width, {bands}) numbers.")
    return array


def target(array: NDArray[Any], side: int) -> NDArray[np.float32]:
    """A picture to be generated: (height, width, 3), uint8 or already in [0, 1], becomes (3, side, side) in [-1, 1]."""
    return condition(array, side) * np.float32(2) - np.float32(1)


def condition(array: NDArray[Any], side: int) -> NDArray[np.float32]:
    """A picture to be seen: the same as `target`, but it stays in [0, 1], as the original's ControlNets were trained."""
    unit = array.astype(np.float32) / np.float32(255) if array.dtype == np.uint8 else array.astype(np.float32)
    return fitted(np.moveaxis(unit, 2, 0), side)


def fitted(bands: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """(bands, height, width) resized until the shorter side is ``side`` (bilinear, antialiased), then the middle (bands, side, side)."""
    _, height, width = bands.shape
    shorter = min(height, width)
    rows, columns = side * height // shorter, side * width // shorter
    resized = np.stack([np.asarray(Image.fromarray(band).resize((columns, rows), Image.Resampling.BILINEAR)) for band in bands])
    top, left = round((rows - side) / 2), round((columns - side) / 2)
    return resized[:, top : top + side, left : left + side]


def stretched(array: NDArray[Any]) -> NDArray[np.float64]:
    """(height, width, bands) stretched to [0, 1], the 2nd to the 98th percentile of each band."""
    low, high = np.percentile(array, (2, 98), axis=(0, 1))
    unit: NDArray[np.float64] = np.clip((array - low) / (high - low + 1e-5), 0.0, 1.0)
    return unit


def sentinel_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """(height, width, 13) of Sentinel-2 scaled to 0 to 255, mean less and plus two deviations, cut off (not rounded) as in training."""
    low, high = SENTINEL_MEAN - 2 * SENTINEL_STD, SENTINEL_MEAN + 2 * SENTINEL_STD
    scaled: NDArray[np.float64] = np.clip((array - low) / (high - low) * 255.0, 0, 255)
    return scaled.astype(np.uint8)


def superres_condition(array: NDArray[Any], side: int) -> NDArray[np.float32]:
    """(height, width, 13) of Sentinel-2 as the published super-resolution ControlNet sees it: (10, side, side) in [0, 1], `SUPERRES_BANDS`."""
    return condition(sentinel_bytes(array)[:, :, SUPERRES_BANDS], side)
