"""Noise levels and phased plans."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsgeo.errors import InputError
from rsgeo.request import Synthesis
from rsgeo.synthesis.phases import PLANS, check_plan, name_of, noise_levels, plan_cost, plan_halo, plan_k, plan_named

SD = ("scaled_linear", 0.00085, 0.012, 1000)


def of(phases):
    return Synthesis(plan="test", phases=phases)


@pytest.mark.parametrize("steps", [1, 2, 7, 16, 50, 333, 1000])
@pytest.mark.parametrize("zero_snr", [False, True])
@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_levels_are_those_of_diffusers(schedule, zero_snr, steps):
    diffusers = pytest.importorskip("diffusers")
    config = {
        "beta_schedule": schedule,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "num_train_timesteps": 1000,
        "timestep_spacing": "trailing",
        "rescale_betas_zero_snr": zero_snr,
    }
    timesteps, levels = noise_levels(schedule, 0.00085, 0.012, 1000, steps, zero_snr)
    assert len(levels) == steps
    for scheduler in (diffusers.DDIMScheduler(**config), diffusers.DPMSolverMultistepScheduler(**config)):
        scheduler.set_timesteps(steps)
        assert tuple(scheduler.timesteps.tolist()) == timesteps
        bar = scheduler.alphas_cumprod.numpy().astype(np.float64)[list(timesteps)]
        np.testing.assert_allclose(1 / (1 + np.array(levels) ** 2), bar, rtol=2e-4, atol=2e-7)


def test_levels_descend_and_zero_snr_starts_in_pure_noise():
    _, levels = noise_levels(*SD, 20)
    assert levels[0] == pytest.approx(14.6, abs=0.05) and list(levels) == sorted(levels, reverse=True)
    assert noise_levels(*SD, 20, rescale_zero_snr=True)[1][0] == np.inf


def test_impossible_schedules_are_refused():
    with pytest.raises(InputError, match="from 1 to 1000"):
        noise_levels(*SD, 1001)
    with pytest.raises(InputError, match="not known"):
        noise_levels("sigmoid", 0, 1, 1000, 10)


def test_the_specified_plans_for_stable_diffusion():
    _, levels = noise_levels(*SD, 50)
    assert [(p.first, p.last, p.stride, p.shift) for p in plan_k(levels, 64, 3)] == [(0, 7, 48, 0), (7, 32, 48, 16), (32, 50, 48, 32)]
    k2 = plan_k(levels, 64, 2)
    assert [p.shift for p in k2] == [0, 24] and levels[k2[1].first] == pytest.approx(3.8, abs=0.2)
    assert len(plan_k(levels, 64, 1)) == 1
    assert [plan_halo(of(plan_k(levels, 64, k)), 8) for k in (1, 2, 3)] == [504, 696, 1016]
    assert plan_cost(of(k2)) == pytest.approx(16 / 9)
    assert plan_cost(of(plan_k(levels, 64, 3, stride=64))) == 1


@settings(deadline=None)
@given(
    levels=st.lists(st.floats(0.01, 100) | st.just(float("inf")), min_size=1, max_size=30).map(lambda s: sorted(s, reverse=True)),
    k=st.integers(1, 4),
    tile=st.integers(3, 64),
)
def test_phases_walk_through_every_step_once_whatever_their_number(levels, k, tile):
    phases = plan_k(levels, tile, k)
    assert [step for p in phases for step in range(p.first, p.last)] == list(range(len(levels)))
    assert all(p.tile == tile and 0 <= p.shift < p.stride <= tile for p in phases)


@settings(deadline=None)
@given(steps=st.integers(1, 60), k=st.integers(1, 4), tile=st.integers(2, 64), name=st.sampled_from(list(PLANS)))
def test_a_named_plan_runs_any_number_of_steps_and_says_its_name(steps, k, tile, name):
    plan = plan_named(name, noise_levels(*SD, steps)[1], tile, k)
    check_plan(plan.phases, tile, steps)
    assert name_of(plan.plan) == name
    assert len(plan.phases) <= (1 if name == "preview" else k)


def test_economy_overlaps_less_and_preview_is_blended_once():
    _, levels = noise_levels(*SD, 12)
    default, economy, preview = (plan_named(name, levels, 16, 2) for name in ("default", "economy", "preview"))
    assert default.phases == plan_k(levels, 16, 2)
    assert [(p.stride, p.shift) for p in economy.phases] == [(13, 0), (13, 6)]
    assert [(p.stride, p.shift) for p in preview.phases] == [(12, 0)]
    # the default's name and phases are hashed in every file there is
    assert [plan.plan for plan in (default, economy, preview)] == ["k2", "k2-economy", "k1-preview"]


def test_a_border_does_not_part_a_step_of_two_evaluations():
    levels = [80.0, 10.0, 10.0, 4.0, 4.0, 1.0, 1.0]
    assert plan_k(levels, 16, 2)[1].first == 4


def test_unknown_plans_are_refused():
    with pytest.raises(InputError, match="5 phases"):
        plan_k([1.0], 16, 5)
    with pytest.raises(InputError, match="default, economy, preview"):
        plan_named("cheap", [1.0], 16, 2)
    for stored in ("benchmark", "k2-cheap", "k2-", "economy"):
        with pytest.raises(InputError, match="--plan"):
            name_of(stored)
    with pytest.raises(InputError, match="stride of 17"):
        plan_k([1.0], 16, 2, stride=17)
