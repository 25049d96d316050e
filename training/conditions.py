"""What the ControlNets of rsgeo-mini are shown of a picture, made from the picture itself; a pure function of it and a random generator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
Mask = NDArray[np.bool_]


def box_averaged(pixels: Pixels, factor: int) -> Pixels:
    """(batch, band, height, width) -> the means of ``factor`` x ``factor`` boxes, as a coarser sensor would see them."""
    batch, bands, height, width = pixels.shape
    averaged: Pixels = pixels.reshape(batch, bands, height // factor, factor, width // factor, factor).mean(axis=(3, 5), dtype=np.float32)
    return averaged


def known_pixels(side: int, rng: np.random.Generator) -> Mask:
    """A mask (side, side), True where the picture is known: gaps as areas, clouds and the edges of real rasters leave them."""
    kind = rng.random()
    if kind < 0.35:
        return _clouds(side, rng)
    if kind < 0.65:
        return _edge(side, rng)
    if kind < 0.92:
        return _boxes(side, rng)
    return np.zeros((side, side), np.bool_)


def masked(pixels: Pixels, known: Mask) -> Pixels:
    """(batch, 3, side, side) in [-1, 1] and ``known`` (batch, side, side) -> (batch, 4, side, side) in [0, 1]: unknown pixels 0, then the mask."""
    shown = (pixels + 1) / 2 * known[:, None]
    return np.concatenate([shown, known[:, None]], axis=1).astype(np.float32)


def _clouds(side: int, rng: np.random.Generator) -> Mask:
    """Level sets of a smooth random field; a tenth to nine tenths of it is gap."""
    frequencies = np.hypot(np.fft.fftfreq(2 * side)[:, None], np.fft.rfftfreq(2 * side)[None])
    spectrum = np.fft.rfft2(rng.standard_normal((2 * side, 2 * side))) / np.maximum(frequencies, 1 / side) ** rng.uniform(1.5, 3)
    field = np.fft.irfft2(spectrum)[:side, :side]
    known: Mask = field > np.quantile(field, rng.uniform(0.1, 0.9))
    return known


def _edge(side: int, rng: np.random.Generator) -> Mask:
    """What lies on one side of a straight line of any direction; half of the lines run along the axes."""
    angle = rng.integers(4) * np.pi / 2 if rng.random() < 0.5 else rng.uniform(0, 2 * np.pi)
    rows, cols = np.mgrid[:side, :side] - (side - 1) / 2
    known: Mask = rows * np.sin(angle) + cols * np.cos(angle) > rng.uniform(-0.45, 0.45) * side
    return known


def _boxes(side: int, rng: np.random.Generator) -> Mask:
    """One to four rectangles are gap, or all but one is."""
    gap = np.zeros((side, side), np.bool_)
    for _ in range(rng.integers(1, 5)):
        height, width = rng.integers(side // 8, side * 3 // 4, 2)
        top, left = rng.integers(-height // 2, side - height // 2), rng.integers(-width // 2, side - width // 2)
        gap[max(top, 0) : top + height, max(left, 0) : left + width] = True
    return gap if rng.random() < 0.15 else ~gap
