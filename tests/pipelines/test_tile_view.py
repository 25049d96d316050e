"""The engine's view of a pipeline: step by step it is the pipeline."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from rsgeo import encoding
from rsgeo.errors import InputError
from rsgeo.models.sat_controlnet import SatControlNet
from rsgeo.pipelines import schedulers
from rsgeo.pipelines.sat_controlnet_pipeline import SatControlNetPipeline
from rsgeo.pipelines.sat_pipeline import SatPipeline
from rsgeo.pipelines.tile_view import LatentLevel, LatentTileModel
from rsgeo.request import Sampler
from rsgeo.scene import SceneMetadata, Value
from rsgeo.tilemodel import Known, Seen

NAMES = ["ddim", "euler", "dpmsolver++", "sde-dpmsolver++", "unipc"]
SAMPLERS = [Sampler(scheduler=name, num_inference_steps=6, guidance_scale=2.0) for name in NAMES]
SAMPLERS.append(Sampler(scheduler="ddim", num_inference_steps=6, guidance_scale=2.0, eta=0.7))
PROMPTS = ["a forest", "a satellite image of a river"]
SCENES = [SceneMetadata(gsd=Value(value=10, source="test")), SceneMetadata()]


def label(sampler: Sampler) -> str:
    return f"{sampler.scheduler}-eta{sampler.eta}" if sampler.eta else sampler.scheduler


def level_of(pipeline: SatPipeline, sampler: Sampler, negative_prompt: str = "") -> LatentLevel:
    return LatentTileModel(pipeline, sampler, negative_prompt).levels[0]


def walk(level: LatentLevel, noise: torch.Tensor, phases: list[tuple[int, int]], seed: int = 5) -> torch.Tensor:
    """Cells after all phases; noise of stochastic solvers is drawn step after step."""
    draws = noises(tuple(noise.shape), seed)
    conditions = level.conditions(PROMPTS[: len(noise)], SCENES[: len(noise)])
    cells = level.start(noise)
    for first, last in phases:
        solver = level.solver(first, last)
        for step in range(first, last):
            output = level.predict(cells, step, conditions)
            cells = solver.step(cells, output, next(draws) if level.stochastic else None)
    return cells


def noises(shape: tuple[int, ...], seed: int) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randn(shape, generator=generator)


def start(batch: int = 2, channels: int = 6, side: int = 4) -> torch.Tensor:
    return torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("negative_prompt", ["", "sea"])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=label)
def test_one_phase_is_the_pipeline(mini: SatPipeline, sampler: Sampler, negative_prompt: str) -> None:
    level, noise = level_of(mini, sampler, negative_prompt), start()
    cells = walk(level, noise, [(0, 6)])
    mini.scheduler = schedulers.make(sampler.scheduler, dict(mini.scheduler.config))
    latents = mini(
        PROMPTS, SCENES, negative_prompt=negative_prompt, latents=noise, num_inference_steps=6, guidance_scale=2.0, eta=sampler.eta,
        generator=torch.Generator().manual_seed(5), output_type="latent",
    ).images  # fmt: skip
    torch.testing.assert_close(cells, latents, rtol=0, atol=1e-4)
    torch.testing.assert_close(level.decode(cells), mini.decode(latents), rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_schedulers_log_no_complaints(mini: SatPipeline, name: str, caplog: pytest.LogCaptureFixture) -> None:
    walk(level_of(mini, Sampler(scheduler=name, num_inference_steps=4, guidance_scale=1.0)), start(), [(0, 2), (2, 4)])
    assert not caplog.records


@pytest.mark.parametrize("name", ["ddim", "unipc"])
def test_one_phase_is_the_pipeline_of_diffusionsat(archive: SatPipeline, name: str) -> None:
    """Another schedule, a model without masks and prompt vectors, and a decoder that is not local."""
    sampler = Sampler(scheduler=name, num_inference_steps=3, guidance_scale=5.0)
    level, noise = level_of(archive, sampler), start(1, 4, 16)
    assert (level.tile, level.scale, level.channels, level.decoder_tile, level.decoder_stride) == (16, 8, 4, 16, 12)
    cells = walk(level, noise, [(0, 3)])
    archive.scheduler = schedulers.make(name, dict(archive.scheduler.config))
    settings = {"num_inference_steps": 3, "guidance_scale": 5.0, "output_type": "latent"}
    torch.testing.assert_close(cells, archive(PROMPTS[:1], SCENES[:1], latents=noise, **settings).images, rtol=0, atol=1e-4)
    assert level.decode(cells).shape == (1, 3, 128, 128)


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s.scheduler in ("ddim", "euler")], ids=label)
def test_solvers_of_single_steps_may_be_cut_anywhere(mini: SatPipeline, sampler: Sampler) -> None:
    level, noise = level_of(mini, sampler), start()
    whole = walk(level, noise, [(0, 6)])
    for phases in ([(0, 2), (2, 6)], [(0, 1), (1, 5), (5, 6)]):
        assert torch.equal(walk(level, noise, phases), whole)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=label)
def test_a_phase_has_no_history(mini: SatPipeline, sampler: Sampler) -> None:
    """Cut in two it goes on from the cells alone, whatever ran before."""
    level, noise = level_of(mini, sampler), start()
    cut = walk(level, noise, [(0, 3), (3, 6)])
    walk(level, noise + 1, [(0, 6)])
    assert torch.equal(walk(level, noise, [(0, 3), (3, 6)]), cut)
    assert torch.equal(walk(level_of(mini, sampler), noise, [(0, 3), (3, 6)]), cut)
    assert torch.isfinite(cut).all()


@pytest.mark.parametrize("name", ["dpmsolver++", "unipc", "euler"])
def test_a_phase_begins_with_a_step_of_first_order(mini: SatPipeline, name: str) -> None:
    """DPM-Solver++, UniPC's predictor and Euler are all DDIM where there is no history (Lu et al. 2022, section 4.1)."""
    settings = {"num_inference_steps": 10, "guidance_scale": 2.0}
    ddim, other = (level_of(mini, Sampler(scheduler=kind, **settings)) for kind in ("ddim", name))
    cells, step = start(), 4
    output = ddim.predict(cells, step, ddim.conditions(PROMPTS, SCENES))
    expected = ddim.solver(step, 10).step(cells, output, None)
    # Euler keeps data + s * noise where the others keep alpha * (data + s * noise)
    here, there = ((other.noise_levels[i] ** 2 + 1) ** 0.5 if name == "euler" else 1.0 for i in (step, step + 1))
    got = other.solver(step, 10).step(cells * here, output, None) / there
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=label)
@pytest.mark.parametrize("which", ["mini", "archive"])
def test_noise_levels_are_the_schedulers(request: pytest.FixtureRequest, which: str, sampler: Sampler) -> None:
    pipeline = request.getfixturevalue(which)
    level = level_of(pipeline, sampler)
    trained = pipeline.scheduler.alphas_cumprod
    scheduler = schedulers.make(sampler.scheduler, dict(pipeline.scheduler.config))
    scheduler.set_timesteps(6)
    torch.testing.assert_close(scheduler.alphas_cumprod, trained)
    levels = torch.tensor(level.noise_levels)
    assert len(levels) == 6 and (levels.diff() < 0).all()
    if hasattr(scheduler, "sigmas"):
        torch.testing.assert_close(levels, scheduler.sigmas[:-1].float(), rtol=1e-4, atol=1e-4)
        assert scheduler.sigmas[-1] == 0
    else:
        alphas = trained[scheduler.timesteps]
        torch.testing.assert_close(levels, ((1 - alphas) / alphas).sqrt(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=label)
def test_noise_is_asked_for_where_it_is_used(mini: SatPipeline, sampler: Sampler) -> None:
    level, cells = level_of(mini, sampler), start()
    assert level.stochastic == (sampler.scheduler.startswith("sde") or sampler.eta > 0)
    wrong = None if level.stochastic else cells
    with pytest.raises(ValueError, match="stochastic"):
        level.solver(0, 6).step(cells, cells, wrong)
    if level.stochastic:
        one, other = (level.solver(2, 6).step(cells, cells, noise) for noise in (start(), -start()))
        assert not torch.allclose(one, other)


def test_eta_is_ddims(mini: SatPipeline) -> None:
    with pytest.raises(InputError, match="Only the scheduler 'ddim' has an eta"):
        level_of(mini, Sampler(scheduler="euler", num_inference_steps=6, guidance_scale=2.0, eta=0.5))


def test_conditions_know_each_window(mini: SatPipeline) -> None:
    level = level_of(mini, SAMPLERS[0])
    conditions = level.conditions(["a forest", "a river", "a forest"], [SCENES[0], SCENES[1], SCENES[1]])
    wish, blank = conditions.wish, conditions.blank
    assert blank is not None
    assert torch.equal(wish["encoder_hidden_states"][0], wish["encoder_hidden_states"][2])
    assert not torch.equal(wish["encoder_hidden_states"][0], wish["encoder_hidden_states"][1])
    assert torch.isfinite(wish["metadata"][0]).any() and torch.isnan(wish["metadata"][1:]).all() and torch.isnan(blank["metadata"]).all()
    plain = level_of(mini, Sampler(scheduler="ddim", num_inference_steps=6, guidance_scale=1.0))
    assert plain.conditions(PROMPTS, SCENES).blank is None


def test_a_window_does_not_see_its_batch(mini: SatPipeline) -> None:
    level, noise = level_of(mini, SAMPLERS[2]), start()
    torch.testing.assert_close(walk(level, noise, [(0, 6)])[:1], walk(level, noise[:1], [(0, 6)]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 12, 16, 30, 50])
def test_all_schedulers_walk_the_same_steps(mini: SatPipeline, steps: int) -> None:
    lists = []
    for name in NAMES:
        scheduler = schedulers.make(name, dict(mini.scheduler.config))
        scheduler.set_timesteps(steps)
        lists.append([round(float(timestep)) for timestep in scheduler.timesteps])
    assert len(lists[0]) == steps and all(other == lists[0] for other in lists)


def test_a_schedule_without_signal_at_its_end_is_kept(mini: SatPipeline) -> None:
    config = {**mini.scheduler.config, "rescale_betas_zero_snr": True}
    for name in NAMES:
        assert float(schedulers.make(name, config).alphas_cumprod[-1]) < 1e-6


def test_unknown_schedulers_are_named(mini: SatPipeline) -> None:
    with pytest.raises(InputError, match="no scheduler 'lms' for areas; use one of ddim, dpmsolver"):
        schedulers.make("lms", dict(mini.scheduler.config))


def given(side: int, seed: int = 0) -> Known:
    """Pixels of a window of 16, given in three cells of each row and in one pixel more."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((side, side), np.bool_)
    mask[:, :13] = True
    return Known((rng.uniform(-1, 1, (3, side, side)) * mask).astype(np.float32), mask)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=label)
def test_every_solver_ends_at_the_given_cells(mini: SatPipeline, sampler: Sampler) -> None:
    level, draws, known = level_of(mini, sampler), noises((2, 6, 4, 4), 5), [given(16), given(16, 1)]
    conditions = level.conditions(PROMPTS, SCENES, known=known)
    cells = level.start(start())
    for first, last in [(0, 3), (3, 6)]:
        solver = level.solver(first, last)
        for step in range(first, last):
            output = level.predict(cells, step, conditions)
            cells = solver.step(cells, output, next(draws) if level.stochastic else None)
    there = torch.from_numpy(np.stack([one.pixels for one in known]))
    # Two cells are held; the third, beside one that is given in part, is the model's like that. DDIM ends a hair above no noise.
    torch.testing.assert_close(cells[..., :2], mini.encode(there)[..., :2], rtol=0, atol=0.03 if sampler.scheduler == "ddim" else 1e-4)
    free = walk(level, start(), [(0, 3), (3, 6)])
    assert (cells[..., 2] - mini.encode(there)[..., 2]).abs().max() > 0.1
    assert not torch.equal(cells[..., 2:], free[..., 2:])


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_given_cells_are_what_the_network_is_taken_to_say(mini: SatPipeline, prediction: str) -> None:
    mini.scheduler.register_to_config(prediction_type=prediction)
    level = level_of(mini, Sampler(scheduler="ddim", num_inference_steps=5, guidance_scale=2.0))
    cells = level.start(start(1))
    solver, known = level.solver(0, 5), given(16)
    conditions = level.conditions(PROMPTS[:1], SCENES[:1], known=[known])
    for step in range(5):
        cells = solver.step(cells, level.predict(cells, step, conditions), None)
    torch.testing.assert_close(cells[..., :2], mini.encode(torch.from_numpy(known.pixels)[None])[..., :2], rtol=0, atol=1e-4)


def test_images_are_refused_by_a_model_that_sees_none(mini: SatPipeline) -> None:
    seen = Seen(np.zeros((1, 3, 16, 16), np.float32), np.ones((1, 16, 16), np.bool_), (SceneMetadata(),))
    with pytest.raises(ValueError, match="sees no images"):
        level_of(mini, SAMPLERS[0]).conditions(PROMPTS[:1], SCENES[:1], seen=[seen])


def test_a_controlnet_reads_given_pixels_and_their_mask(mini: SatPipeline) -> None:
    """Four channels in [0, 1]: red, green, blue, 0 where nothing is given, then 1 where something is."""
    level, read = level_of(steered(mini, 4), SAMPLERS[2]), []
    level.pipeline.controlnet.register_forward_pre_hook(lambda *call: read.append(call[2]), with_kwargs=True)
    known = [given(16), given(16, 1)]
    conditions = level.conditions(PROMPTS, SCENES, known=known)
    output = level.predict(start(), 0, conditions)
    (images,) = {tuple(call["controlnet_cond"].shape): call["controlnet_cond"] for call in read}.values()
    assert images.shape == (4, 4, 16, 16) and torch.equal(images[:2], images[2:])  # both halves of guidance
    mask = torch.from_numpy(np.stack([one.mask for one in known])).float()
    assert torch.equal(images[2:, 3], mask) and not images[:, :3, :, 13:].any()
    expected = (torch.from_numpy(np.stack([one.pixels for one in known])) + 1) / 2 * mask[:, None]
    torch.testing.assert_close(images[2:, :3], expected, rtol=0, atol=1e-6)
    plain = level_of(mini, SAMPLERS[2])
    assert not torch.equal(output[..., 2:], plain.predict(start(), 0, plain.conditions(PROMPTS, SCENES, known=known))[..., 2:])
    with pytest.raises(ValueError, match="needs images or given pixels"):
        level.conditions(PROMPTS, SCENES)


def test_a_controlnet_sees_images_at_its_own_scale(mini: SatPipeline) -> None:
    level = level_of(steered(mini, 6, scale=4), SAMPLERS[2])
    assert level.conditioning_scale == 4
    rng = np.random.default_rng(0)
    seen = [Seen(rng.random((2, 3, 4, 4), np.float32), np.ones((2, 4, 4), np.bool_), (SceneMetadata(), SceneMetadata())) for _ in PROMPTS]
    conditions = level.conditions(PROMPTS, SCENES, seen)
    control = conditions.wish["control"]
    assert torch.equal(control.images, torch.from_numpy(np.stack([one.pixels for one in seen])).flatten(1, 2))
    assert control.metadata.shape == (2, sum(encoding.RSGEO_FIELDS.values()), 2)
    assert torch.isfinite(level.predict(start(), 0, conditions)).all()


def steered(pipeline: SatPipeline, channels: int, scale: int = 1) -> SatControlNetPipeline:
    """The pipeline with an untrained ControlNet that does something."""
    torch.manual_seed(1)
    net = SatControlNet.from_unet(
        pipeline.unet, conditioning_in_channels=channels, conditioning_scale=scale, latent_factor=4, conditioning_embedding_out_channels=[8, 8, 8]
    )
    for weight in (*net.controlnet_down_blocks.parameters(), *net.controlnet_mid_block.parameters()):
        torch.nn.init.normal_(weight, std=0.1)
    torch.nn.init.normal_(net.controlnet_cond_embedding.conv_out.weight, std=0.1)
    made = SatControlNetPipeline(**pipeline.components, controlnet=net.eval())
    made.set_progress_bar_config(disable=True)
    return made
