"""The tile view of a cascade: a window of the engine's is what the pipeline makes of the same noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from cascade_models import tiny_cascade

from rsgeo.errors import ModelError
from rsgeo.models import log_snr_scheduler
from rsgeo.models.log_snr_scheduler import LogSNRScheduler
from rsgeo.pipelines import rsdiff_pipeline
from rsgeo.pipelines.cascade_view import CascadeTileModel
from rsgeo.pipelines.rsdiff_pipeline import RSDiffPipeline
from rsgeo.pipelines.tile_view import LatentTileModel
from rsgeo.pipelines.views import tile_model
from rsgeo.request import Sampler
from rsgeo.scene import SceneMetadata
from rsgeo.tilemodel import Coarser, Known

STEPS = 4
PROMPTS = ["a forest", ""]
SCENES = [SceneMetadata()] * 2


@pytest.fixture(scope="module")
def cascade() -> RSDiffPipeline:
    return tiny_cascade()


def sampler(scheduler: str, guidance: float) -> Sampler:
    start = 1.0 if scheduler == "ancestral" else 0.99
    return Sampler(scheduler=scheduler, num_inference_steps=STEPS, guidance_scale=guidance, start_time=start, lowres_noise_level=0.2)


def noises(count: int, side: int, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, side, side, generator=generator) for _ in range(count)]


def walk(level: Any, start: torch.Tensor, steps: list[torch.Tensor], phases: list[tuple[int, int]], **more: Any) -> torch.Tensor:
    """Two windows through the phases, as the engine takes them."""
    cells, conditions = level.start(start), level.conditions(PROMPTS, SCENES, **more)
    for first, last in phases:
        solver = level.solver(first, last)
        for step in range(first, last):
            cells = solver.step(cells, level.predict(cells, step, conditions), steps[step] if level.stochastic else None)
    return cells


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("scheduler", ["ancestral", "dpmsolver++", "sde-dpmsolver++"])
@torch.inference_mode()
def test_a_window_is_what_the_pipeline_makes(monkeypatch: pytest.MonkeyPatch, cascade: RSDiffPipeline, scheduler: str, guidance: float) -> None:
    chosen = sampler(scheduler, guidance)
    base, fine = CascadeTileModel(cascade, chosen).levels
    assert (base.tile, base.gsd_factor, fine.tile, fine.gsd_factor) == (8, 2, 16, 1)
    start, steps, aug, fine_start, fine_steps = *noises(1, 8, 1), noises(STEPS, 8, 2), *noises(2, 16, 3), noises(STEPS, 16, 4)
    coarse = walk(base, start, steps, [(0, STEPS)])
    made = walk(fine, fine_start, fine_steps, [(0, STEPS)], coarser=Coarser(coarse, aug))

    stochastic = scheduler != "dpmsolver++"
    drawn: Iterator[torch.Tensor] = iter([start, *(steps if stochastic else []), aug, fine_start, *(fine_steps if stochastic else [])])
    for module in (rsdiff_pipeline, log_snr_scheduler):
        monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: next(drawn))
    solver = LogSNRScheduler(algorithm_type=scheduler, start_time=chosen.start_time or 1.0, thresholding=False)
    pipeline = RSDiffPipeline(**{**cascade.components, "scheduler": solver})
    pipeline.set_progress_bar_config(disable=True)
    pictures = pipeline(PROMPTS, num_inference_steps=STEPS, guidance_scale=guidance, output_type="pt").images
    torch.testing.assert_close((made.clamp(-1, 1) + 1) / 2, pictures, rtol=0, atol=1e-3)  # the pipeline rounds between its stages
    assert next(drawn, None) is None and pictures.std() > 0.05


@torch.inference_mode()
def test_a_phase_starts_afresh_and_windows_are_alone(cascade: RSDiffPipeline) -> None:
    base, _ = CascadeTileModel(cascade, sampler("dpmsolver++", 3.0)).levels
    (start,) = noises(1, 8, 1)
    cut, whole = (walk(base, start, [], phases) for phases in ([(0, 2), (2, 4)], [(0, 4)]))
    assert not torch.equal(cut, whole)
    fresh, _ = CascadeTileModel(cascade, sampler("dpmsolver++", 3.0)).levels
    assert torch.equal(walk(fresh, start, [], [(0, 2), (2, 4)]), cut)
    torch.testing.assert_close(walk(base, start.flip(0).flip(0), [], [(0, 4)]), whole, rtol=0, atol=0)
    other = start.clone()
    other[1] = 0
    assert torch.equal(walk(base, other, [], [(0, 4)])[0], whole[0])


def test_noise_levels_descend_from_the_start(cascade: RSDiffPipeline) -> None:
    levels = CascadeTileModel(cascade, sampler("dpmsolver++", 1.0)).levels[0].noise_levels
    assert len(levels) == STEPS and list(levels) == sorted(levels, reverse=True) and 40 < levels[0] < 100


def test_what_does_not_go_together_is_refused(cascade: RSDiffPipeline) -> None:
    base, fine = CascadeTileModel(cascade, sampler("ancestral", 1.0)).levels
    with pytest.raises(ValueError, match="no given pixels"):
        base.conditions(PROMPTS, SCENES, known=[Known(torch.zeros(3, 8, 8).numpy(), torch.zeros(8, 8).bool().numpy())] * 2)
    with pytest.raises(ValueError, match="lowres_sample"):
        walk(fine, *noises(1, 16, 1), noises(STEPS, 16, 2), [(0, 1)])
    with pytest.raises(ValueError, match="needs noise"):
        base.solver(0, 1).step(*noises(2, 8, 1), None)
    alone = RSDiffPipeline(**{**cascade.components, "base_unet": None})
    with pytest.raises(ModelError, match="no base stage"):
        CascadeTileModel(alone, sampler("ancestral", 1.0))


def test_each_family_has_its_view(cascade: RSDiffPipeline, mini: Any) -> None:
    assert isinstance(tile_model(cascade, sampler("ancestral", 1.0)), CascadeTileModel)
    assert isinstance(tile_model(mini, Sampler(scheduler="ddim", num_inference_steps=2, guidance_scale=1.0)), LatentTileModel)
