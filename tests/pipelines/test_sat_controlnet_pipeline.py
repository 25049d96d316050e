"""`SatControlNetPipeline` against the original's pipeline, and what it promises beyond."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from rsgeo.models.loading import load_controlnet
from rsgeo.models.sat_controlnet import SatControlNet
from rsgeo.models.sat_controlnet3d import SatControlNet3D
from rsgeo.pipelines.sat_controlnet_pipeline import Control, SatControlNetPipeline
from rsgeo.pipelines.sat_pipeline import SatPipeline
from rsgeo.scene import DateValue, SceneMetadata, Value

CASES = [
    "pipe_controlnet2d_superres_ddim_cfg",
    "pipe_controlnet3d_temporal_ddim_nocfg",
    "pipe_controlnet3d_temporal_ddim_cfg",
    "pipe_controlnet3d_plain_unipc_cfg",
]


def close(got: torch.Tensor, expected: torch.Tensor, atol: float = 1e-4) -> None:
    torch.testing.assert_close(got, expected, rtol=0, atol=atol)


def beside(pipeline: SatPipeline, controlnet: Any) -> SatControlNetPipeline:
    """``pipeline`` with a ControlNet."""
    whole = SatControlNetPipeline(**pipeline.components, controlnet=controlnet)
    whole.set_progress_bar_config(disable=True)
    return whole


def argument(value: Any, inputs: dict[str, torch.Tensor]) -> Any:
    """What a word of case.json stands for: a tensor, or frames as PIL images in a nested list."""
    if not isinstance(value, str):
        return value
    if value.startswith("pil:"):
        return [[Image.fromarray(frame.numpy()) for frame in inputs[value[4:]]]]
    return inputs[value[1:]] if value.startswith("@") else value


@pytest.mark.parametrize("name", CASES)
def test_golden(archive: SatPipeline, golden: Path, controlnets: Path, name: str) -> None:
    """Every step's network output (both halves of guidance) and latents, what goes into the UNet, time steps, last latents and picture."""
    folder = golden / "cases" / name
    case, inputs, outputs = (
        json.loads((folder / "case.json").read_text()),
        load_file(folder / "inputs.safetensors"),
        load_file(folder / "outputs.safetensors"),
    )
    pipeline = beside(archive, load_controlnet(controlnets / Path(case["controlnet"]).name / "controlnet"))
    changes = case.get("scheduler_overrides_diffusers_0_42", {})
    pipeline.scheduler = getattr(diffusers, case["scheduler"]).from_config(archive.scheduler.config, **changes)
    # Whether the condition is a series is told by the ControlNet here.
    arguments = {key: argument(value, inputs) for key, value in case["args"].items() if key != "is_temporal"}

    seen: dict[str, torch.Tensor] = {}
    timesteps: list[int] = []

    def note(_: Any, step: int, timestep: Any, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        seen[f"step{step}/latents"] = state["latents"]
        timesteps.append(int(timestep))
        return {}

    def note_unet(_: Any, __: Any, kwargs: dict[str, Any], output: Any) -> None:
        seen[f"step{len(timesteps)}/unet_out"] = output[0]
        seen.update({f"unet_in/{key}": kwargs[key] for key in ("encoder_hidden_states", "metadata")})

    pipeline.unet.register_forward_hook(note_unet, with_kwargs=True)
    seen["image"] = torch.from_numpy(pipeline(**arguments, output_type="np", callback_on_step_end=note).images)
    assert timesteps == outputs.pop("timesteps").tolist()
    seen["latents"] = seen[f"step{len(timesteps) - 1}/latents"]
    assert outputs.keys() == seen.keys()
    for key, expected in outputs.items():
        close(seen[key], expected)


def scene(gsd: float, day: str = "2017-02-11") -> SceneMetadata:
    return SceneMetadata(gsd=Value(value=gsd, source="test"), date=DateValue(value=day, precision="day", source="test"))


def alive(controlnet: SatControlNet | SatControlNet3D) -> Any:
    """Random weights where training begins with zeros, small enough that the picture stays one."""
    generator = torch.Generator().manual_seed(4)
    for weight in controlnet.parameters():
        if not weight.any():
            weight.data.copy_(0.05 * torch.randn(weight.shape, generator=generator))
    return controlnet.eval()


@pytest.fixture
def superres(mini: SatPipeline) -> SatControlNetPipeline:
    """Of rsgeo-mini's kind: three channels at a quarter of the picture's size, 4 x 4 px for 16 x 16."""
    net = SatControlNet.from_unet(mini.unet, conditioning_in_channels=3, conditioning_scale=4, latent_factor=4)
    return beside(mini, alive(net))


@pytest.fixture
def series(mini: SatPipeline) -> SatControlNetPipeline:
    net = SatControlNet3D.from_unet(mini.unet, conditioning_in_channels=3, latent_factor=4)
    return beside(mini, alive(net))


def run(pipeline: SatPipeline, *arguments: Any, **settings: Any) -> torch.Tensor:
    settings = {"num_inference_steps": 3, "output_type": "latent", "generator": torch.Generator().manual_seed(3), **settings}
    images: torch.Tensor = pipeline(*arguments, **settings).images
    return images


def condition(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_all_that_is_given_counts(superres: SatControlNetPipeline) -> None:
    image = condition(1, 3, 4, 4)
    plain = run(superres, "a forest", image, scene(10), cond_scenes=scene(40))
    assert plain.shape == (1, 6, 4, 4)
    assert torch.equal(run(superres, "a forest", image, scene(10), cond_scenes=scene(40)), plain)
    for changed in (
        run(superres, "a river", image, scene(10), cond_scenes=scene(40)),
        run(superres, "a forest", 1 - image, scene(10), cond_scenes=scene(40)),
        run(superres, "a forest", image, scene(20), cond_scenes=scene(40)),
        run(superres, "a forest", image, scene(10), cond_scenes=scene(80)),
        run(superres, "a forest", image, scene(10)),
        run(superres, "a forest", image, scene(10), cond_scenes=scene(40), controlnet_conditioning_scale=0.5),
        run(superres, "a forest", image, scene(10), cond_scenes=scene(40), guess_mode=True),
        run(superres, "a forest", image, scene(10), cond_scenes=scene(40), guidance_scale=1.0),
    ):
        assert not torch.allclose(changed, plain)


@pytest.mark.parametrize("kind", ["superres", "series"])
def test_weight_zero_is_the_pipeline_without_it(request: pytest.FixtureRequest, mini: SatPipeline, kind: str) -> None:
    pipeline = request.getfixturevalue(kind)
    image = condition(1, 3, 4, 4) if kind == "superres" else condition(1, 3, 2, 16, 16)
    steered = run(pipeline, "a forest", image, scene(10), controlnet_conditioning_scale=0.0)
    close(steered, run(mini, "a forest", scene(10)), atol=1e-6)


@pytest.mark.parametrize("kind", ["superres", "series"])
@pytest.mark.parametrize("guess_mode", [False, True])
def test_a_batch_is_its_members(request: pytest.FixtureRequest, kind: str, guess_mode: bool) -> None:
    """Other prompts, scenes, images and scenes of images; both halves of guidance."""
    pipeline, noise = request.getfixturevalue(kind), torch.randn(2, 6, 4, 4)
    images = condition(2, 3, 4, 4) if kind == "superres" else condition(2, 3, 2, 16, 16)
    dates = [[scene(40)], [scene(80)]] if kind == "superres" else [[scene(40), scene(40, "2019-05-01")], [scene(80), SceneMetadata()]]
    prompts, scenes = ["a forest", "a river"], [scene(10), SceneMetadata()]
    both = run(pipeline, prompts, images, scenes, cond_scenes=dates, latents=noise, guess_mode=guess_mode)
    for i in range(2):
        one = run(pipeline, prompts[i], images[i : i + 1], scenes[i], cond_scenes=dates[i : i + 1], latents=noise[i : i + 1], guess_mode=guess_mode)
        close(one, both[i : i + 1], atol=1e-5)


def test_guided_is_both_halves_by_themselves(superres: SatControlNetPipeline) -> None:
    """The unconditional half sees the same image, of which nothing is known; with masks and prompt vectors."""
    latents, image = torch.randn(1, 6, 4, 4), condition(1, 3, 4, 4)
    rows = superres.encode_control_metadata([[scene(40)]])
    unknown = superres.encode_control_metadata([[SceneMetadata()]])
    blank_rows = superres.unconditional_metadata(1)
    wish = superres.condition(superres.embed(["a forest"]), superres.encode_metadata([scene(10)]), Control(image, rows))
    blank = superres.condition(superres.embed([""]), blank_rows)
    alone = superres.condition(superres.embed([""]), blank_rows, Control(image, unknown))
    with torch.no_grad():
        got = superres.guided(latents, 500, wish, blank, 3.0)
        with_, without = (superres.guided(latents, 500, half, None, 1.0) for half in (wish, alone))
    close(got, without + 3 * (with_ - without), atol=1e-5)


@pytest.mark.parametrize("use_metadata", [True, False])
def test_a_controlnet_without_metadata_beside_a_unet_with(mini: SatPipeline, use_metadata: bool) -> None:
    net = alive(SatControlNet.from_unet(mini.unet, latent_factor=4, conditioning_in_channels=4, use_metadata=use_metadata))
    pipeline, image = beside(mini, net), condition(1, 4, 16, 16)
    assert (pipeline.encode_control_metadata([[scene(40)]]) is None) != use_metadata
    plain = run(pipeline, "a forest", image, scene(10))
    changed = run(pipeline, "a forest", image, scene(10), cond_scenes=scene(40))
    assert torch.equal(plain, changed) != use_metadata


def test_ways_to_give_a_series(series: SatControlNetPipeline) -> None:
    pixels = [torch.randint(0, 256, (16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    pictures = [Image.fromarray(one.numpy()) for one in pixels]
    tensors = [one.permute(2, 0, 1) / 255 for one in pixels]
    dates = [scene(10, f"201{i}-06-01") for i in range(3)]
    rows = series.encode_control_metadata([dates])
    assert rows is not None
    plain = run(series, "a forest", torch.stack(tensors, dim=1)[None], cond_metadata=rows)
    for image in (pictures, [pictures], tensors, [tensors], torch.cat(tensors)[None]):
        for given in ({"cond_scenes": dates}, {"cond_scenes": [dates]}, {"cond_metadata": rows[0]}):
            assert torch.equal(run(series, "a forest", image, **given), plain)
    assert not torch.allclose(run(series, "a forest", pictures[::-1], cond_scenes=dates[::-1]), plain)  # the order of images matters


def test_ways_to_give_one_image(superres: SatControlNetPipeline) -> None:
    pixels = torch.randint(0, 256, (4, 4, 3), dtype=torch.uint8)
    picture, tensor = Image.fromarray(pixels.numpy()), pixels.permute(2, 0, 1) / 255
    rows = superres.encode_control_metadata([[scene(40)]])
    assert rows is not None
    plain = run(superres, "a forest", tensor[None], cond_metadata=rows)
    large = picture.resize((8, 8), Image.Resampling.NEAREST)
    for image in (picture, [picture], [[picture]], tensor[None], [tensor]):
        for given in ({"cond_scenes": scene(40)}, {"cond_scenes": [scene(40)]}, {"cond_metadata": rows[0, :, 0]}, {"cond_metadata": rows[..., 0]}):
            assert torch.equal(run(superres, "a forest", image, **given), plain)
    assert run(superres, "a forest", large, height=16, width=16).shape == (1, 6, 4, 4)
    assert run(superres, "a forest", large).shape == (1, 6, 8, 8)


def test_one_condition_serves_all_prompts(superres: SatControlNetPipeline) -> None:
    noise = torch.randn(2, 6, 4, 4)
    shared = run(superres, ["a forest", "a river"], condition(1, 3, 4, 4), latents=noise, cond_scenes=scene(40))
    each = run(superres, ["a forest", "a river"], condition(1, 3, 4, 4).repeat(2, 1, 1, 1), latents=noise, cond_scenes=[scene(40)] * 2)
    assert torch.equal(shared, each)


def test_what_cannot_be_is_an_error(superres: SatControlNetPipeline, series: SatControlNetPipeline, mini: SatPipeline) -> None:
    image = condition(1, 3, 4, 4)
    with pytest.raises(ValueError, match="either image or control"):
        superres("a forest")
    with pytest.raises(ValueError, match="as many condition images as prompts are needed, or one, got 2 for 3"):
        superres(["a", "of", "a"], condition(2, 3, 4, 4))
    with pytest.raises(ValueError, match=r"image must have 4 axes for this ControlNet, got \(1, 3, 2, 4, 4\)"):
        superres("a", condition(1, 3, 2, 4, 4))
    with pytest.raises(ValueError, match="frames of 3 channels, got 4 channels"):
        series("a", condition(1, 4, 16, 16))
    with pytest.raises(ValueError, match="must have 3 channels, got 4"):
        superres("a", condition(1, 4, 4, 4))
    with pytest.raises(ValueError, match=r"condition images|becomes"):
        superres("a", image, height=32, width=32)
    with pytest.raises(ValueError, match="cond_metadata must have shape"):
        superres("a", image, cond_metadata=torch.zeros(5))
    with pytest.raises(ValueError, match="no ControlNet"):
        mini("a", control=Control(image))


@pytest.mark.parametrize("kind", ["superres", "series"])
def test_save_and_load(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    pipeline = request.getfixturevalue(kind)
    image = condition(1, 3, 4, 4) if kind == "superres" else condition(1, 3, 2, 16, 16)
    pipeline.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    name = type(pipeline.controlnet).__name__
    assert index["controlnet"] == [type(pipeline.controlnet).__module__, name]
    loaded = SatControlNetPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    close(run(loaded, "a forest", image, cond_scenes=scene(40)), run(pipeline, "a forest", image, cond_scenes=scene(40)), atol=1e-5)
