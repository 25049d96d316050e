"""The exact denoiser of a Gaussian random field, as a model for the engine: every error that is seen in its pictures is the tiling's.

The world is a stationary Gaussian field of isotropic spectrum (1/L^2 + k^2)^(-3/2). The best denoiser of a tile is the Wiener filter of
the tile's covariance, and the probability-flow ODE has an exact solution in its eigenbasis: a mode of variance v goes from noise level a to
b by the factor sqrt((v + b^2) / (v + a^2)) (SYNTHESIS.md 4.1).
"""

from __future__ import annotations

import numpy as np
import torch

from rsgeo.request import GridRecord, ModelRecord, Request, Sampler, Synthesis
from rsgeo.scene import SceneMetadata
from rsgeo.synthesis import engine
from rsgeo.synthesis.blocks import Graph

TILE, SIDE = 16, 480
LEVELS = tuple((80 ** (1 / 7) + i / 23 * (0.02 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(24))  # Karras et al. 2022, equation 5
TORUS = 512


def spectrum(length):
    k = 2 * np.pi * np.fft.fftfreq(TORUS)
    power = (1 / length**2 + k[:, None] ** 2 + k[None, :] ** 2) ** -1.5
    return power / power.mean()


def tile_covariance(length):
    field = np.fft.ifft2(spectrum(length)).real
    at = np.arange(TILE)
    lag = at[:, None] - at[None, :]
    return field[lag[:, None, :, None], lag[None, :, None, :]].reshape(TILE**2, TILE**2)


class Exact:
    """Three independent fields at once, one a band; the output of `predict` is the exact state at the next level."""

    tile, scale, channels, gsd_factor, stochastic, decoder_tile, decoder_stride = TILE, 1, 3, 1, False, None, None
    noise_levels = LEVELS

    def __init__(self, length):
        variance, modes = np.linalg.eigh(tile_covariance(length))
        self.variance, self.modes = torch.from_numpy(variance.clip(0)).float(), torch.from_numpy(modes).float()

    def conditions(self, prompts, scenes, seen=None, known=None, coarser=None):
        return None

    def start(self, noise):
        return LEVELS[0] * noise

    def predict(self, cells, step, conditions):
        now, after = LEVELS[step], (*LEVELS, 0.0)[step + 1]
        factor = torch.sqrt((self.variance + after**2) / (self.variance + now**2))
        return ((cells.flatten(2) @ self.modes) * factor @ self.modes.T).reshape(cells.shape)

    def solver(self, first, last):
        class Step:
            def step(self, cells, output, noise):
                return output

        return Step()

    def decode(self, cells):
        return cells / 4


class Model:
    def __init__(self, level):
        self.levels = (level,)

    def to_device(self, array):
        return torch.from_numpy(array)


def synthesise(length, phases):
    """Three fields (3, SIDE, SIDE) by the engine under a plan; the world's cell (0, 0) is the upper left one."""
    request = Request(
        task="generate",
        model=ModelRecord(name="exact", sha256="0"),
        grid=GridRecord(crs="EPSG:32633", lattice=("10", "0", "0", "0", "-10", "0"), col=0, row=0, width=SIDE, height=SIDE),
        aoi=None,
        prompt="",
        sampler=Sampler(scheduler="exact", num_inference_steps=len(LEVELS), guidance_scale=1),
        seed=1,
        synthesis=Synthesis(plan="test", phases=phases),
    )
    graph = Graph(request.grid, request.synthesis, scale=1)
    maker = engine.Maker(Model(Exact(length)), request, graph, batch_size=64, scene_at=lambda xs, ys: [SceneMetadata()] * len(xs))
    found = engine.bands(maker)
    return (np.concatenate([band.pixels for band in found], axis=1) / 127.5 - 1) * 4


def truth(length, seed=0):
    """Three untiled fields (3, SIDE, SIDE)."""
    noise = np.fft.fft2(np.random.default_rng(seed).standard_normal((3, TORUS, TORUS)))
    return np.fft.ifft2(noise * np.sqrt(spectrum(length))).real[:, :SIDE, :SIDE]
