"""`SatPipeline` against the original's pipeline, and its own habits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file

from rsgeo.errors import ModelError
from rsgeo.models.loading import load_module
from rsgeo.models.sat_unet import SatUNet
from rsgeo.pipelines.sat_pipeline import SatPipeline
from rsgeo.scene import DateValue, SceneMetadata, Value

CASES = {  # name: folder of the UNet in the archive
    "pipe_text2image_ddim_cfg": "checkpoint-3/unet",
    "pipe_text2image_ddim_nocfg_eta": "checkpoint-3/unet",
    "pipe_text2image_epsilon_ddpm_batch2": "checkpoint-3/unet",
    "pipe_text2image_prompt_string": "unet",
}


def close(got: torch.Tensor, expected: torch.Tensor, atol: float = 1e-4) -> None:
    torch.testing.assert_close(got, expected, rtol=0, atol=atol)


def scene(lon: float = 153.3, lat: float = -27.9, gsd: float = 0.41, day: str = "2017-02-11") -> SceneMetadata:
    lon_, lat_, gsd_ = (Value(value=value, source="test") for value in (lon, lat, gsd))
    return SceneMetadata(lon=lon_, lat=lat_, gsd=gsd_, date=DateValue(value=day, precision="day", source="test"))


@pytest.mark.parametrize("name", CASES)
def test_golden(archive: SatPipeline, golden: Path, name: str) -> None:
    """Every step's network output (both halves of guidance) and latents, time steps, last latents and picture."""
    folder = golden / "cases" / name
    case = json.loads((folder / "case.json").read_text())
    inputs = load_file(folder / "inputs.safetensors") if (folder / "inputs.safetensors").exists() else {}
    outputs = load_file(folder / "outputs.safetensors")
    archive.unet = load_module(SatUNet, golden / "archive" / CASES[name])
    arguments = {key: inputs[value[1:]] if str(value).startswith("@") else value for key, value in case["args"].items()}
    changes = {**case.get("scheduler_overrides", {}), **case.get("scheduler_overrides_diffusers_0_42", {})}
    archive.scheduler = getattr(diffusers, case["scheduler"]).from_config(archive.scheduler.config, **changes)
    if "seed" in case:
        arguments["generator"] = torch.Generator().manual_seed(case["seed"])

    seen: dict[str, torch.Tensor] = {}
    timesteps: list[int] = []

    def note(_: Any, step: int, timestep: Any, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        seen[f"step{step}/latents"] = state["latents"]
        timesteps.append(int(timestep))
        return {}

    archive.unet.register_forward_hook(lambda _, __, output: seen.update({f"step{len(timesteps)}/unet_out": output[0]}))
    image = archive(**arguments, output_type="np", callback_on_step_end=note).images
    assert timesteps == outputs["timesteps"].tolist()
    steps = [key for key in outputs if key.startswith("step")]
    assert len(steps) == 2 * len(timesteps)
    for key in steps:
        close(seen[key], outputs[key])
    close(seen[f"step{len(timesteps) - 1}/latents"], outputs["latents"])
    close(torch.from_numpy(image), outputs["image"])


def test_scenes_are_encoded_as_the_original_metadata(archive: SatPipeline) -> None:
    row = [(153.3 + 180) / 360 * 1000, (90 - 27.9) / 180 * 1000, 410, 0, 37 / 120 * 1000, 2 / 12 * 1000, 11 / 31 * 1000]
    common: dict[str, Any] = {"height": 64, "width": 64, "num_inference_steps": 2, "output_type": "latent"}
    given = archive("a forest", metadata=row, generator=torch.Generator().manual_seed(1), **common).images
    derived = archive("a forest", scene(), generator=torch.Generator().manual_seed(1), **common).images
    close(derived, given, atol=1e-4)
    row[2] += 1  # centimetres of GSD
    other = archive("a forest", metadata=row, generator=torch.Generator().manual_seed(1), **common).images
    assert (other - given).abs().max() > 1e-3


def run(pipeline: SatPipeline, *arguments: Any, **settings: Any) -> torch.Tensor:
    settings = {"num_inference_steps": 3, "output_type": "latent", **settings}
    images: torch.Tensor = pipeline(*arguments, generator=torch.Generator().manual_seed(3), **settings).images
    return images


def test_same_seed_same_picture_and_everything_asked_for_counts(mini: SatPipeline) -> None:
    plain = run(mini, "a forest", scene())
    assert torch.equal(run(mini, "a forest", scene()), plain)
    assert not torch.equal(run(mini, "a river", scene()), plain)
    assert not torch.equal(run(mini, "a forest", scene(lon=10)), plain)
    assert not torch.equal(run(mini, "a forest", scene(), guidance_scale=4.0), plain)
    assert not torch.equal(run(mini, "a forest", scene(), negative_prompt="river"), plain)
    assert torch.equal(run(mini, "a forest", scene(), guidance_scale=1.0), run(mini, "a forest", scene(), guidance_scale=0.5))


def test_a_batch_is_its_members(mini: SatPipeline) -> None:
    noise = torch.randn(2, 6, 4, 4)
    scenes = [scene(), SceneMetadata()]
    both = run(mini, ["a forest", "a river"], scenes, latents=noise)
    for i, prompt in enumerate(["a forest", "a river"]):
        close(run(mini, prompt, scenes[i], latents=noise[i : i + 1]), both[i : i + 1], atol=1e-5)


@pytest.mark.parametrize("kind", ["DDIM", "DDPM", "DPMSolverMultistep", "EulerDiscrete", "EulerAncestralDiscrete", "HeunDiscrete", "UniPCMultistep"])
def test_any_scheduler_fits(mini: SatPipeline, kind: str) -> None:
    mini.scheduler = getattr(diffusers, f"{kind}Scheduler").from_config(mini.scheduler.config)
    latents = run(mini, "a forest", num_inference_steps=4, eta=0.3)
    assert latents.shape == (1, 6, 4, 4) and torch.isfinite(latents).all()
    assert torch.equal(run(mini, "a forest", num_inference_steps=4, eta=0.3), latents)  # all noise comes from the generator


def test_output_types_and_sizes(mini: SatPipeline) -> None:
    assert run(mini, output_type="pil")[0].size == (16, 16)
    assert run(mini, ["a", "of"], output_type="np", height=32, width=24).shape == (2, 32, 24, 3)
    pixels = run(mini, output_type="pt")
    assert pixels.shape == (1, 3, 16, 16) and pixels.amin() >= 0 and pixels.amax() <= 1


def test_what_cannot_be_is_an_error(mini: SatPipeline, archive: SatPipeline) -> None:
    with pytest.raises(ValueError, match="multiples of 4, got 18 and 16"):
        mini(height=18)
    with pytest.raises(ValueError, match="as many scenes as prompts"):
        mini(["a", "of"], [scene()])
    with pytest.raises(ValueError, match=r"latents must have shape \(1, 6, 4, 4\)"):
        mini(latents=torch.zeros(1, 4, 4, 4))
    with pytest.raises(ValueError, match="vector of the whole prompt"):
        mini(prompt_embeds=torch.zeros(1, 8, 16))
    with pytest.raises(ValueError, match=r"metadata must have shape \(1, 7\) or \(7,\), got \(5,\)"):
        archive(metadata=torch.zeros(5), height=64, width=64)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_weights_stay_near(mini: SatPipeline, dtype: torch.dtype) -> None:
    """Only the network in halves, as `hub` loads it, and everything in halves."""
    plain = run(mini, "a forest", scene(gsd=100), guidance_scale=1.0)
    mini.unet.to(dtype)
    some = run(mini, "a forest", scene(gsd=100), guidance_scale=1.0)
    mini.to(dtype)
    every = run(mini, "a forest", scene(gsd=100), guidance_scale=1.0)
    for latents in (some, every):
        assert latents.dtype == torch.float32
        assert (latents - plain).abs().mean() < 0.1 * plain.abs().mean()
    assert torch.isfinite(run(mini, "a forest", output_type="pt")).all()


def test_numbers_that_are_not_finite_are_an_error(mini: SatPipeline) -> None:
    torch.nn.init.constant_(mini.unet.conv_out.bias, float("nan"))
    with pytest.raises(ModelError, match=r"not finite in torch\.float32"):
        mini("a forest")
