"""`LogSNRScheduler` against the original's tables and steps, and what its deterministic solver promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from rsgeo.models.log_snr_scheduler import LogSNRScheduler

GOLDEN = Path(__file__).parents[1] / "data" / "rsdiff"
TABLES = load_file(GOLDEN / "schedule" / "schedule.safetensors")
STEPS = load_file(GOLDEN / "sampling" / "posterior_steps.safetensors")
STEP_CASES = json.loads((GOLDEN / "sampling" / "posterior_steps.json").read_text())
SCHEDULES = ("cosine", "linear")
PREDICTIONS = {"noise": "epsilon", "v": "v_prediction", "x_start": "sample"}  # the original's names and diffusers'


def close(got: torch.Tensor, expected: torch.Tensor, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    torch.testing.assert_close(got, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedule_tables(schedule: str) -> None:
    scheduler, ones = LogSNRScheduler(schedule), torch.ones(len(TABLES["t"]))
    log_snr = scheduler.log_snr(TABLES["t"])
    close(log_snr, TABLES[f"{schedule}/log_snr"], rtol=0, atol=1e-4)
    close(scheduler.add_noise(ones, 0 * ones, log_snr), TABLES[f"{schedule}/alpha"], atol=1e-12)
    close(scheduler.add_noise(0 * ones, ones, log_snr), TABLES[f"{schedule}/sigma"], atol=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("objective", PREDICTIONS)
def test_loss_weights(schedule: str, objective: str) -> None:
    scheduler = LogSNRScheduler(schedule, prediction_type=PREDICTIONS[objective])
    close(scheduler.loss_weights(scheduler.log_snr(TABLES["t"])), TABLES[f"{schedule}/min_snr5_weight_{objective}"], atol=1e-12)


def test_the_schedule_is_in_float32_whatever_the_times_are() -> None:
    """In float64 the cosine schedule ends at -74.7, a number that no published network knows."""
    scheduler = LogSNRScheduler()
    for one in (1.0, 1, torch.tensor(1.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.bfloat16)):
        assert float(scheduler.log_snr(one)) == pytest.approx(-33.8913, abs=1e-4)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("count", [4, 10, 1000])
def test_posterior_tables(schedule: str, count: int) -> None:
    scheduler = LogSNRScheduler(schedule)
    scheduler.set_timesteps(count)
    golden = {key: TABLES[f"posterior/{schedule}/T{count}/{key}"] for key in ("t", "t_next", "coef_x_t", "coef_x_start", "variance")}
    here, there = scheduler.log_snr(golden["t"]), scheduler.log_snr(golden["t_next"])
    assert torch.equal(scheduler.timesteps, here)
    ones = torch.ones(count)
    of_sample, variance = scheduler.posterior(ones, 0 * ones, here, there)
    of_original, _ = scheduler.posterior(0 * ones, ones, here, there)
    close(of_sample, golden["coef_x_t"], atol=1e-9)
    close(of_original, golden["coef_x_start"], atol=1e-9)
    close(variance, golden["variance"], atol=1e-12)
    close(variance.clamp_min(1e-20).log(), TABLES[f"posterior/{schedule}/T{count}/log_variance_clipped"])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_noising_and_back(schedule: str) -> None:
    original, noise = TABLES["q/x_start"], TABLES["q/noise"]
    scheduler = LogSNRScheduler(schedule)
    here, there = scheduler.log_snr(TABLES["q/t"]), scheduler.log_snr(TABLES["q/t_to"])
    noisy = scheduler.add_noise(original, noise, here)
    close(noisy, TABLES[f"q/{schedule}/x_t"])
    close(scheduler.renoise(noisy, noise, here, there), TABLES[f"q/{schedule}/x_from_to"])
    close(scheduler.predict_original(noise, here, noisy), TABLES[f"q/{schedule}/x_start_from_noise"])
    by_v = LogSNRScheduler(schedule, prediction_type="v_prediction")
    close(by_v.predict_original(noise, here, noisy), TABLES[f"q/{schedule}/x_start_from_v"])
    close(by_v.predict_original(by_v.get_velocity(original, noise, here), here, noisy), original)


@pytest.mark.parametrize("case", STEP_CASES, ids=lambda case: case["case"])
def test_posterior_steps(case: dict[str, Any]) -> None:
    golden = {key.split("/")[1]: value for key, value in STEPS.items() if key.startswith(f"{case['case']}/")}
    scheduler = LogSNRScheduler(prediction_type=PREDICTIONS[case.get("objective", "noise")], thresholding=case["dynamic"])
    scheduler.set_timesteps(case["T"])
    timestep, noise = scheduler.timesteps[case["index"]], torch.randn(STEPS["x"].shape, generator=torch.Generator().manual_seed(0))
    if "x_start_raw" in golden:
        close(scheduler.predict_original(STEPS["eps"], timestep, STEPS["x"]), golden["x_start_raw"])
    output = scheduler.step(STEPS["eps"], timestep, STEPS["x"], noise=noise)
    close(output.pred_original_sample, golden["x_start"])
    last = case["index"] == case["T"] - 1
    deviation = 0.0 if last else (0.5 * golden["log_variance"]).exp()[:, None, None, None]
    close(output.prev_sample, golden["mean"] + deviation * noise)


def test_noise_is_drawn_by_the_generator_at_each_step_and_at_the_last() -> None:
    scheduler, generator = LogSNRScheduler(), torch.Generator().manual_seed(3)
    scheduler.set_timesteps(2)
    drawn = torch.randn((2, *STEPS["x"].shape), generator=torch.Generator().manual_seed(3))
    for timestep, noise in zip(scheduler.timesteps, drawn, strict=True):
        by_generator = scheduler.step(STEPS["eps"], timestep, STEPS["x"], generator=generator).prev_sample
        assert torch.equal(by_generator, scheduler.step(STEPS["eps"], timestep, STEPS["x"], noise=noise).prev_sample)
    again = torch.Generator().manual_seed(3)
    torch.randn((2, *STEPS["x"].shape), generator=again)
    assert torch.equal(generator.get_state(), again.get_state())


def test_halves_are_stepped_in_float32() -> None:
    scheduler = LogSNRScheduler()
    scheduler.set_timesteps(10)
    eps, x = STEPS["eps"].bfloat16(), STEPS["x"].bfloat16()
    output = scheduler.step(eps, scheduler.timesteps[5], x, noise=torch.zeros_like(STEPS["x"]))
    expected = scheduler.step(eps.float(), scheduler.timesteps[5], x.float(), noise=torch.zeros_like(STEPS["x"]))
    assert output.prev_sample.dtype == torch.bfloat16
    assert torch.equal(output.prev_sample, expected.prev_sample.bfloat16())
    assert torch.equal(output.pred_original_sample, expected.pred_original_sample)


def test_without_any_threshold_the_prediction_stays_as_it_is() -> None:
    original = 3 * STEPS["x"]
    assert torch.equal(LogSNRScheduler(thresholding=False, clip_sample=False).threshold(original), original)
    assert float(LogSNRScheduler(thresholding=False).threshold(original).abs().max()) == 1.0


def sample_gaussian(count: int, **settings: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels of deviation 0.5, with the exact denoiser: what the solver makes of noise, and the exact solution of its differential equation."""
    spread = 0.5
    scheduler = LogSNRScheduler(algorithm_type="dpmsolver++", prediction_type="sample", thresholding=False, clip_sample=False, **settings)
    scheduler.set_timesteps(count)
    times = torch.tensor([scheduler.config.start_time, 0.0])
    signal, noise = torch.sigmoid(scheduler.log_snr(times)), torch.sigmoid(-scheduler.log_snr(times))
    deviation = (signal * spread**2 + noise).sqrt()
    x = deviation[0] * torch.linspace(-2, 2, 48).reshape(1, 3, 4, 4)
    exact = x * deviation[1] / deviation[0]
    for timestep in scheduler.timesteps:
        alpha2, sigma2 = torch.sigmoid(timestep), torch.sigmoid(-timestep)
        x = scheduler.step(alpha2.sqrt() * spread**2 / (alpha2 * spread**2 + sigma2) * x, timestep, x).prev_sample
    return x, exact


@pytest.mark.parametrize("settings", [{}, {"timestep_spacing": "log_snr", "start_time": 0.99}])
def test_the_deterministic_solver_is_of_second_order(settings: dict[str, Any]) -> None:
    errors = []
    for count in (25, 80, 160, 320):
        got, exact = sample_gaussian(count, **settings)
        errors.append(float((got - exact).abs().max()))
    assert errors[0] < 0.01
    assert errors[2] < errors[1] / 3 and errors[3] < errors[2] / 3


def test_few_steps_of_the_stochastic_solver_keep_the_distribution() -> None:
    """Pixels of deviation 0.5, with the exact denoiser: 25 ancestral steps lose some of it."""

    def deviation(algorithm: str) -> float:
        spread, generator = 0.5, torch.Generator().manual_seed(0)
        scheduler = LogSNRScheduler(
            algorithm_type=algorithm, prediction_type="sample", thresholding=False, clip_sample=False, start_time=0.99, timestep_spacing="log_snr"
        )
        scheduler.set_timesteps(25)
        alpha2, sigma2 = torch.sigmoid(scheduler.timesteps[0]), torch.sigmoid(-scheduler.timesteps[0])
        x = torch.randn((1, 3, 400, 400), generator=generator) * (alpha2 * spread**2 + sigma2).sqrt()
        for timestep in scheduler.timesteps:
            alpha2, sigma2 = torch.sigmoid(timestep), torch.sigmoid(-timestep)
            x = scheduler.step(alpha2.sqrt() * spread**2 / (alpha2 * spread**2 + sigma2) * x, timestep, x, generator=generator).prev_sample
        return float(x.std())

    lost = {algorithm: abs(deviation(algorithm) - 0.5) for algorithm in ("ancestral", "sde-dpmsolver++")}
    assert lost["sde-dpmsolver++"] < 0.01 and lost["sde-dpmsolver++"] < lost["ancestral"] / 5, lost


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_steps_even_in_log_snr_begin_and_end_where_those_even_in_time_do(schedule: str) -> None:
    in_time, even = (LogSNRScheduler(schedule, start_time=0.99, timestep_spacing=spacing) for spacing in ("time", "log_snr"))
    for scheduler in (in_time, even):
        scheduler.set_timesteps(25)
    assert len(even.timesteps) == 25 and float(even.timesteps[0]) == pytest.approx(float(in_time.timesteps[0]))
    end = float(even.log_snr(0.0))
    steps = torch.diff(torch.cat([even.timesteps, torch.tensor([end])]))
    close(steps, torch.full_like(steps, (end - float(even.timesteps[0])) / 25), rtol=1e-4)


@pytest.mark.parametrize("algorithm", ["dpmsolver++", "sde-dpmsolver++"])
def test_solvers_of_second_order_begin_anew_where_a_step_is_left_out_or_the_steps_are_set_again(algorithm: str) -> None:
    scheduler = LogSNRScheduler(algorithm_type=algorithm)

    def step(index: int) -> torch.Tensor:
        result: torch.Tensor = scheduler.step(STEPS["eps"], scheduler.timesteps[index], STEPS["x"], noise=0 * STEPS["x"]).prev_sample
        return result

    scheduler.set_timesteps(10)
    fresh = step(5)
    step(3)
    assert torch.equal(step(5), fresh)
    step(4)
    second_order = step(5)
    assert not torch.allclose(second_order, fresh, atol=1e-4)
    step(4)
    scheduler.set_timesteps(10)
    assert torch.equal(step(5), fresh)


def test_a_time_step_of_another_list_is_an_error() -> None:
    scheduler = LogSNRScheduler()
    with pytest.raises(ValueError, match="call set_timesteps"):
        scheduler.step(STEPS["eps"], 0.0, STEPS["x"])
    scheduler.set_timesteps(10)
    with pytest.raises(ValueError, match=r"0\.25 is none of the scheduler's timesteps"):
        scheduler.step(STEPS["eps"], 0.25, STEPS["x"])


@pytest.mark.parametrize(
    "settings",
    [
        {"schedule": "sigmoid"},
        {"prediction_type": "noise"},
        {"algorithm_type": "ddim"},
        {"start_time": 0.0},
        {"start_time": 1.5},
        {"timestep_spacing": "karras"},
    ],
)
def test_settings_that_cannot_be_are_errors(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(settings))} must be"):
        LogSNRScheduler(**settings)


def test_no_steps_are_an_error() -> None:
    with pytest.raises(ValueError, match="at least one step"):
        LogSNRScheduler().set_timesteps(0)


def test_save_and_load(tmp_path: Path) -> None:
    scheduler = LogSNRScheduler("linear", prediction_type="v_prediction", algorithm_type="dpmsolver++", start_time=0.99)
    scheduler.save_pretrained(tmp_path)
    loaded = LogSNRScheduler.from_pretrained(tmp_path)
    assert {key: loaded.config[key] for key in scheduler.config if not key.startswith("_")} == {
        key: value for key, value in scheduler.config.items() if not key.startswith("_")
    }
    assert LogSNRScheduler.from_config(loaded.config, algorithm_type="ancestral").config.schedule == "linear"
