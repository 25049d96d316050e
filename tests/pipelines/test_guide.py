"""The other half of guidance, answered by a less trained network."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

import rsgeo
from rsgeo.hub import catalog
from rsgeo.pipelines.known_cells import noise_level
from rsgeo.pipelines.sat_inpaint_pipeline import SatInpaintPipeline
from rsgeo.pipelines.sat_pipeline import SatPipeline
from rsgeo.pipelines.tile_view import LatentLevel
from rsgeo.request import Sampler
from rsgeo.scene import SceneMetadata, Value

NOISY, NEARLY_DONE = 990, 100
FP32 = {"device": "cpu", "dtype": "fp32"}


@pytest.fixture
def guided(mini: SatPipeline) -> SatPipeline:
    """`mini` with other weights as its guide."""
    mini.register_modules(guide=copy.deepcopy(mini.unet))
    for weight in mini.guide.parameters():
        weight.data += 0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    return mini


def halves(pipeline: SatPipeline) -> tuple[torch.Tensor, dict[str, Any], dict[str, Any]]:
    """Latents, and the conditions of a wish and of no wish."""
    scene = SceneMetadata(gsd=Value(value=10.0, source="test"))
    wish = pipeline.condition(pipeline.embed(["a river"]), pipeline.encode_metadata([scene]))
    blank = pipeline.condition(pipeline.embed([""]), pipeline.unconditional_metadata(1))
    return torch.randn(1, 6, 4, 4, generator=torch.Generator().manual_seed(0)), wish, blank


def answer(network: Any, latents: torch.Tensor, timestep: int, conditions: dict[str, Any]) -> torch.Tensor:
    output: torch.Tensor = network(latents, torch.tensor(timestep), return_dict=False, **conditions)[0]
    return output


@torch.no_grad()
def test_answers_without_the_wish_first_and_with_it_later_but_for_what_is_not_wished(guided: SatPipeline) -> None:
    latents, wish, blank = halves(guided)
    for timestep, unlike, seen in ((NOISY, False, blank), (NEARLY_DONE, False, wish), (NEARLY_DONE, True, blank)):
        with_, without = answer(guided.unet, latents, timestep, wish), answer(guided.guide, latents, timestep, seen)
        got = guided.guided(latents, torch.tensor(timestep), wish, blank, 3.0, unlike=unlike)
        torch.testing.assert_close(got, without + 3.0 * (with_ - without))
    levels = [sigma / alpha for alpha, sigma in (noise_level(guided.scheduler, timestep) for timestep in (NOISY, NEARLY_DONE))]
    assert levels[0] > 15.0 > levels[1]


@torch.no_grad()
def test_the_network_as_its_own_guide_is_classifier_free_guidance_while_the_wish_decides(mini: SatPipeline) -> None:
    latents, wish, blank = halves(mini)
    plain = mini.guided(latents, torch.tensor(NOISY), wish, blank, 3.0)
    mini.guide = mini.unet
    torch.testing.assert_close(mini.guided(latents, torch.tensor(NOISY), wish, blank, 3.0), plain)
    later = mini.guided(latents, torch.tensor(NEARLY_DONE), wish, blank, 3.0)
    torch.testing.assert_close(later, answer(mini.unet, latents, NEARLY_DONE, wish))


def test_is_asked_under_guidance_only_and_heeds_the_negative_prompt(guided: SatPipeline) -> None:
    def picture(**settings: Any) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        made: torch.Tensor = guided("a river", num_inference_steps=4, generator=generator, output_type="latent", **settings).images
        return made

    usual, unlike = picture(), picture(negative_prompt="forest")
    asked: list[int] = []
    guided.guide.register_forward_hook(lambda *_: asked.append(1))
    alone = picture(guidance_scale=1.0)
    assert not asked
    assert not torch.equal(usual, unlike) and not torch.equal(usual, alone)
    guided.guide = None
    assert not torch.equal(picture(), usual) and torch.equal(picture(guidance_scale=1.0), alone)


@torch.no_grad()
@pytest.mark.parametrize("negative_prompt", ["", "forest"])
def test_windows_are_guided_as_tiles_are(guided: SatPipeline, negative_prompt: str) -> None:
    level = LatentLevel(guided, Sampler(scheduler="dpmsolver++", num_inference_steps=6, guidance_scale=3.0), negative_prompt)
    conditions = level.conditions(["a river"], [SceneMetadata()])
    noise = torch.randn(1, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    cells, solver = level.start(noise), level.solver(0, 6)
    for step in range(6):
        cells = solver.step(cells, level.predict(cells, step, conditions), None)
    guided.scheduler = level._scheduler()
    settings = {"negative_prompt": negative_prompt, "num_inference_steps": 6, "guidance_scale": 3.0}
    tile = guided("a river", latents=noise, output_type="latent", **settings).images
    torch.testing.assert_close(cells, tile, rtol=1e-4, atol=1e-4)


def test_goes_where_its_pipeline_goes(guided: SatPipeline, tmp_path: Path) -> None:
    assert SatInpaintPipeline(**guided.components).guide is guided.guide
    guided.save_pretrained(tmp_path)
    again = SatPipeline.from_pretrained(tmp_path)
    assert all(torch.equal(one, two) for one, two in zip(again.guide.parameters(), guided.guide.parameters(), strict=True))
    guided.guide = None
    assert "guide" not in guided.components and SatInpaintPipeline(**guided.components).guide is None
    guided.save_pretrained(tmp_path / "without")
    assert SatPipeline.from_pretrained(tmp_path / "without").guide is None


class TestOfTheEmbeddedModel:
    def test_is_part_of_the_model_and_of_its_hash(self) -> None:
        record = catalog.find("rsgeo-mini")
        assert catalog.layout_of(record).parts["guide"].is_dir() and catalog.is_sound(record, afresh=True)
        assert rsgeo.load_pipeline("rsgeo-mini", **FP32).guide is not None

    @pytest.mark.parametrize("name", ["rsgeo-mini-superres", "rsgeo-mini-inpaint"])
    def test_does_not_guide_a_controlnet(self, name: str) -> None:
        assert "guide" not in catalog.layout_of(catalog.find(name)).parts
        pipeline = rsgeo.load_pipeline(name, **FP32)
        assert pipeline.guide is None and "guide" not in pipeline.components

    def test_does_not_guide_an_adapted_network(self, tmp_path: Path) -> None:
        from diffusers.utils import convert_state_dict_to_diffusers
        from peft import LoraConfig
        from peft.utils import get_peft_model_state_dict
        from safetensors.torch import save_file

        unet = rsgeo.load_pipeline("rsgeo-mini", **FP32).unet
        unet.add_adapter(LoraConfig(r=2, target_modules=["to_q"]))
        save_file(convert_state_dict_to_diffusers(get_peft_model_state_dict(unet)), tmp_path / "adapter.safetensors")
        assert rsgeo.load_pipeline("rsgeo-mini", **FP32, adapters=(str(tmp_path / "adapter.safetensors"),)).guide is None
