"""Seams of the shipped plans, on the exact denoiser of a Gaussian random field (`gaussian`): every error seen here is the tiling's."""

from __future__ import annotations

import numpy as np
import pytest
from gaussian import LEVELS, SIDE, TILE, synthesise, truth

from rsgeo.request import PhaseRecord
from rsgeo.synthesis import engine
from rsgeo.synthesis.phases import plan_k

STRIDE = 12


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
