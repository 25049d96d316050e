"""Seams of the shipped plans, on the exact denoiser of a Gaussian random field: every error seen here is the tiling's.

The world is a stationary Gaussian field of isotropic spectrum (1/L^2 + k^2)^(-3/2). The best denoiser of a tile is the Wiener filter of
the tile's covariance, and the probability-flow ODE has an exact solution in its eigenbasis: a mode of variance v goes from noise level a to
b by the factor sqrt((v + b^2) / (v + a^2)).
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rsgeo.request import GridRecord, ModelRecord, PhaseRecord, Request, Sampler, Synthesis
from rsgeo.scene import SceneMetadata
from rsgeo.synthesis import engine
from rsgeo.synthesis.blocks import Graph
from rsgeo.synthesis.phases import plan_k

TILE, STRIDE, SIDE = 16, 12, 480
LEVELS = tuple((80 ** (1 / 7) + i / 23 * (0.02 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(24))  # Karras et al. 2022, equation 5


def spectrum(length):
    k = 2 * np.pi * np.fft.fftfreq(512)
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

    def conditions(self, prompts, scenes, references=None):
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
    graph = Graph(request.grid, phases, scale=1)
    maker = engine.Maker(Model(Exact(length)), request, graph, batch_size=64, scene_at=lambda xs, ys: [SceneMetadata()] * len(xs))
    found = engine.bands(maker)
    return (np.concatenate([band.pixels for band in found], axis=1) / 127.5 - 1) * 4


def truth(length):
    noise = np.fft.fft2(np.random.default_rng(0).standard_normal((3, 512, 512)))
    return np.fft.ifft2(noise * np.sqrt(spectrum(length))).real[:, :SIDE, :SIDE]


def profile(field, order, period):
    """By offset modulo ``period``: mean |gradient| (order 1) or mean square of the second difference (order 2), over its mean.

    Both axes together; entry o belongs to the step from cell o - 1 to cell o, or to the bend at cell o.
    """
    total = np.zeros(period)
    for axis in (1, 2):
        change = np.abs(np.moveaxis(np.diff(field, n=order, axis=axis), axis, 0)) ** order
        by_offset = change[period - 1 : (SIDE // period - 1) * period - 1].reshape(-1, period, 3 * SIDE)
        total += by_offset.mean(axis=(0, 2))
    return total / total.mean()


def measure(field, period=STRIDE, edges=()):
    """Gradient at the last lattice's edges against the rest, worst of the smoothed gradient profile, worst of the fine power's."""
    gradient, fine = profile(field, 1, period), profile(field, 2, period)
    seam = gradient[list(edges)].mean() / np.median(np.delete(gradient, edges))
    smooth = (np.roll(gradient, -1) + gradient + np.roll(gradient, 1)) / 3
    return seam, np.abs(smooth - 1).max(), np.abs(fine - 1).max()


def seamless(found, margin):
    seam, worst, fine = found
    return abs(seam - 1) <= margin and worst <= 0.1 and fine <= 0.05


def measured(length, k):
    """`measure` of a shipped plan, and the field's variance."""
    phases = plan_k(LEVELS, TILE, k)
    field = synthesise(length, phases)
    edges = phases[-1].shift % STRIDE, (phases[-1].shift + TILE) % STRIDE
    return measure(field, STRIDE, edges), field.var()


@pytest.mark.parametrize("length", [4.0, 16.0])
def test_the_true_field_passes_the_measure(length):
    assert seamless(measure(truth(length), STRIDE, (0, 4)), 0.02)


# Margin and variance by plan and correlation length: what phases cost in contrast is known and must not grow.
@pytest.mark.parametrize(
    "k, length, margin, variance",
    [(2, 4.0, 0.02, 0.97), (3, 4.0, 0.02, 0.96), (2, 16.0, 0.03, 0.84), (3, 16.0, 0.03, 0.79)],
)
def test_phased_plans_show_no_seams_at_any_offset(k, length, margin, variance):
    found, contrast = measured(length, k)
    assert seamless(found, margin), found
    assert contrast == pytest.approx(variance, abs=0.04)


def test_butt_joined_tiles_are_caught():
    field = synthesise(4.0, (PhaseRecord(first=0, last=len(LEVELS), tile=TILE, stride=TILE, shift=0),))
    found = measure(field, TILE, (0,))
    assert not seamless(found, 0.5) and found[0] > 2


def test_box_weights_are_caught(monkeypatch):
    def box(lattice):
        offsets = np.arange(lattice.tile) % lattice.stride
        line = 1 / np.bincount(offsets)[offsets]
        return np.outer(line, line).astype(np.float32)

    monkeypatch.setattr(engine, "weight_2d", box)
    found, _ = measured(4.0, 2)
    assert not seamless(found, 0.1) and found[0] > 1.1


def test_one_phase_fades_contrast_in_the_overlaps_and_is_for_previews_only():
    found, _ = measured(16.0, 1)
    assert found[1] > 0.15
