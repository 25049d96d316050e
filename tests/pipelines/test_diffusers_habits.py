"""What a user of diffusers knows works here; on a plain checkpoint `SatPipeline` is `StableDiffusionPipeline`, argument by argument."""

from __future__ import annotations

import copy
import inspect
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.callbacks import SDCFGCutoffCallback
from diffusers.loaders import StableDiffusionLoraLoaderMixin, TextualInversionLoaderMixin
from diffusers.pipelines.pipeline_utils import StableDiffusionMixin
from diffusers.schedulers import KarrasDiffusionSchedulers
from diffusers.utils import is_accelerate_available
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from transformers.integrations.peft import MIN_PEFT_VERSION
from transformers.utils import check_peft_version

from rsgeo.models.sat_controlnet import SatControlNet
from rsgeo.models.sat_unet import SatUNet
from rsgeo.pipelines.sat_controlnet_pipeline import SatControlNetPipeline
from rsgeo.pipelines.sat_img2img_pipeline import SatImg2ImgPipeline
from rsgeo.pipelines.sat_inpaint_pipeline import SatInpaintPipeline
from rsgeo.pipelines.sat_pipeline import SatPipeline

PIPELINES = [SatPipeline, SatImg2ImgPipeline, SatInpaintPipeline, SatControlNetPipeline]
SCHEDULERS = [scheduler.name for scheduler in KarrasDiffusionSchedulers]


def close(got: torch.Tensor, expected: torch.Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(got, expected, rtol=0, atol=atol)


def quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def run(pipeline: Any, **settings: Any) -> torch.Tensor:
    common: dict[str, Any] = {"num_inference_steps": 3, "guidance_scale": 5.0, "output_type": "latent"}
    if not {"prompt", "prompt_embeds"} & settings.keys():
        common["prompt"] = "a forest"
    common = {**common, "generator": torch.Generator().manual_seed(2), **settings}
    if common.keys() & {"timesteps", "sigmas"}:
        del common["num_inference_steps"]
    images: torch.Tensor = pipeline(**common).images
    return images


@pytest.fixture
def plain(archive: SatPipeline) -> SatPipeline:
    """The archive's pipeline with a UNet of diffusers' own class, without metadata."""
    known = set(inspect.signature(UNet2DConditionModel.__init__).parameters)
    unet = UNet2DConditionModel(**{key: value for key, value in archive.unet.config.items() if key in known})
    unet.load_state_dict({name: value for name, value in archive.unet.state_dict().items() if "metadata" not in name})
    archive.unet = unet.eval()
    return archive


def theirs(pipeline: SatPipeline, cls: type = StableDiffusionPipeline) -> Any:
    return quiet(cls(**pipeline.components, safety_checker=None, feature_extractor=None, requires_safety_checker=False))


def kind(pipeline: SatPipeline, cls: type[SatPipeline]) -> tuple[Any, dict[str, Any]]:
    """A pipeline of another class with the same components, and what its call needs besides a prompt."""
    side = pipeline._tile_side()
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(1, 1, side, side)
    mask[..., : side // 2] = 1
    if cls is SatControlNetPipeline:
        net = SatControlNet.from_unet(pipeline.unet, latent_factor=pipeline.latent_factor)
        generator = torch.Generator().manual_seed(4)
        for weight in net.parameters():
            if not weight.any():
                weight.data.copy_(0.05 * torch.randn(weight.shape, generator=generator))
        return quiet(cls(**pipeline.components, controlnet=net.eval())), {"image": image}
    needs = {SatPipeline: {}, SatImg2ImgPipeline: {"image": image}, SatInpaintPipeline: {"image": image, "mask_image": mask}}
    return quiet(cls(**pipeline.components)), needs[cls]


def test_the_arguments_of_stable_diffusion_are_a_subset() -> None:
    """But for IP-adapters, and the deprecated rest."""
    asked = {name for name in inspect.signature(StableDiffusionPipeline.__call__).parameters if not name.startswith("ip_adapter")}
    assert asked - {"kwargs"} <= inspect.signature(SatPipeline.__call__).parameters.keys()


@pytest.mark.parametrize("mixin", [StableDiffusionMixin, TextualInversionLoaderMixin, StableDiffusionLoraLoaderMixin])
@pytest.mark.parametrize("cls", PIPELINES)
def test_mixins_are_inherited(cls: type, mixin: type) -> None:
    assert issubclass(cls, mixin)


SETTINGS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "without guidance": {"guidance_scale": 1.0},
    "size": {"height": 64, "width": 96},
    "number of images": {"prompt": ["a forest", "a river"], "num_images_per_prompt": 2},
    "negative prompt": {"negative_prompt": "clouds"},
    "negative prompts": {"prompt": ["a forest", "a river"], "negative_prompt": ["clouds", "snow"]},
    "rescale": {"guidance_rescale": 0.7},
    "eta": {"eta": 0.6},
    "embeddings": {"prompt_embeds": torch.randn(1, 77, 32), "negative_prompt_embeds": torch.randn(1, 77, 32), "num_images_per_prompt": 2},
    "latents": {"latents": torch.randn(1, 4, 16, 16)},
    "generators": {"prompt": ["a forest", "a river"], "generator": [torch.Generator().manual_seed(7), torch.Generator().manual_seed(8)]},
    "pixels": {"output_type": "pt"},
}  # fmt: skip


@pytest.mark.parametrize("what", SETTINGS)
def test_a_plain_checkpoint_gives_what_diffusers_gives(plain: SatPipeline, what: str) -> None:
    def settings() -> dict[str, Any]:
        given = dict(SETTINGS[what])
        if "generator" in given:
            given["generator"] = [torch.Generator().manual_seed(one.initial_seed()) for one in given["generator"]]
        return given

    close(run(plain, **settings()), run(theirs(plain), **settings()))


STEPS: list[tuple[str, dict[str, Any]]] = [
    ("EulerDiscrete", {"sigmas": [10.0, 3.0, 0.5, 0.0]}),
    ("EulerDiscrete", {"timesteps": [900, 500, 100]}),
    ("DDPM", {"timesteps": [900, 500, 100]}),
]


@pytest.mark.parametrize(("scheduler", "own"), STEPS)
def test_lists_of_the_callers_steps(plain: SatPipeline, scheduler: str, own: dict[str, Any]) -> None:
    cls = getattr(diffusers, f"{scheduler}Scheduler")
    plain.scheduler = cls.from_config(plain.scheduler.config)
    got = run(plain, **own)
    assert len(plain.scheduler.timesteps) == 3
    close(got, run(theirs(plain), **own), atol=1e-4)


def test_steps_that_cannot_be_are_errors(plain: SatPipeline) -> None:
    with pytest.raises(ValueError, match="either timesteps or sigmas"):
        run(plain, timesteps=[9, 3], sigmas=[2.0, 1.0])
    with pytest.raises(ValueError, match="DDIMScheduler takes no sigmas"):
        run(plain, sigmas=[2.0, 1.0])


def test_clip_skip(archive: SatPipeline) -> None:
    """Without its last layer the encoder is one with a layer less."""
    whole, layers = archive.embed(["a forest"]).states, archive.text_encoder.config.num_hidden_layers
    skipped, run_ = archive.embed(["a forest"], clip_skip=1).states, run(archive, clip_skip=1)
    assert not torch.allclose(skipped, whole) and not torch.allclose(run_, run(archive))
    close(archive.embed(["a forest"], clip_skip=0).states, whole)
    trunk = getattr(archive.text_encoder, "text_model", archive.text_encoder)
    del trunk.encoder.layers[-1]
    archive.text_encoder.config.num_hidden_layers = layers - 1
    close(archive.embed(["a forest"]).states, skipped)
    close(run(archive), run_)


def test_clip_skip_that_cannot_be(archive: SatPipeline, mini: SatPipeline) -> None:
    with pytest.raises(ValueError, match="clip_skip must be 0 to 2"):
        archive.embed(["a forest"], clip_skip=3)
    with pytest.raises(ValueError, match="clip_skip is for CLIP text encoders; this is a WordPieceEncoder"):
        mini.embed(["a forest"], clip_skip=1)


def test_arguments_that_exclude_each_other(archive: SatPipeline) -> None:
    with pytest.raises(ValueError, match="either prompt or prompt_embeds"):
        run(archive, prompt="a forest", prompt_embeds=torch.zeros(1, 77, 32))
    with pytest.raises(ValueError, match="as many of negative_prompt as prompts are needed, got 3 for 2"):
        run(archive, prompt=["a", "b"], negative_prompt=["c", "d", "e"])
    with pytest.raises(ValueError, match="may be latents, prompt_embeds, negative_prompt_embeds, got image"):
        run(archive, callback_on_step_end=lambda *_: {}, callback_on_step_end_tensor_inputs=["image"])


def test_a_plain_tuple(archive: SatPipeline) -> None:
    (images,) = archive("a forest", num_inference_steps=1, output_type="latent", return_dict=False)
    assert images.shape == (1, 4, 16, 16)


@pytest.mark.parametrize("cls", PIPELINES)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_of_the_karras_family_runs(mini: SatPipeline, golden: Path, cls: type[SatPipeline], scheduler: str) -> None:
    """With the noise schedule of Stable Diffusion; that of rsgeo-mini ends in more noise than some of diffusers' solvers bear."""
    pipeline, needs = kind(mini, cls)
    # This one's step takes no generator.
    seed = {"noise_sampler_seed": 0} if scheduler == "DPMSolverSDEScheduler" else {}
    pipeline.scheduler = getattr(diffusers, scheduler).from_pretrained(golden / "archive" / "scheduler", **seed)
    if scheduler == "EDMEulerScheduler" and cls is SatInpaintPipeline:
        with pytest.raises(ValueError, match="EDMEulerScheduler tells no noise level"):
            run(pipeline, **needs)
        return
    first, again = (run(pipeline, num_inference_steps=5, **needs) for _ in range(2))
    assert first.shape == (1, 6, 4, 4) and torch.isfinite(first).all()
    assert torch.equal(first, again)  # all noise comes from the caller's generator, on the CPU


def test_a_callback_hears_and_changes_what_it_asks_for(archive: SatPipeline) -> None:
    names = ["latents", "prompt_embeds", "negative_prompt_embeds"]
    heard: list[dict[str, Any]] = []

    def listen(_: Any, step: int, timestep: Any, state: dict[str, Any]) -> dict[str, Any]:
        heard.append({**state, "step": step, "timestep": int(timestep)})
        return {}

    expected = run(archive, callback_on_step_end=listen, callback_on_step_end_tensor_inputs=names)
    assert [one["step"] for one in heard] == [0, 1, 2]
    assert [one["timestep"] for one in heard] == archive.scheduler.timesteps.tolist()
    assert torch.equal(heard[-1]["latents"], expected)
    assert torch.equal(heard[0]["prompt_embeds"], archive.embed(["a forest"]).states)
    assert torch.equal(heard[0]["negative_prompt_embeds"], archive.embed([""]).states)

    def change(what: str) -> Callable[..., dict[str, Any]]:
        return lambda _, __, ___, state: {what: state[what] * 0.5}

    for what in names:
        assert not torch.allclose(run(archive, callback_on_step_end=change(what), callback_on_step_end_tensor_inputs=[what]), expected)


def test_diffusers_own_callbacks_and_interrupting(plain: SatPipeline) -> None:
    expected = run(theirs(plain), num_inference_steps=4, callback_on_step_end=SDCFGCutoffCallback(cutoff_step_ratio=None, cutoff_step_index=1))
    got = run(plain, num_inference_steps=4, callback_on_step_end=SDCFGCutoffCallback(cutoff_step_ratio=None, cutoff_step_index=1))
    close(got, expected)
    assert not torch.allclose(got, run(plain, num_inference_steps=4))
    heard: list[torch.Tensor] = []

    def stop(pipeline: Any, step: int, _: Any, state: dict[str, Any]) -> dict[str, Any]:
        heard.append(state["latents"])
        pipeline._interrupt = step == 1
        return {}

    assert torch.equal(run(plain, num_inference_steps=4, callback_on_step_end=stop), heard[1])
    assert len(heard) == 2


@pytest.mark.parametrize("cls", PIPELINES)
def test_a_batch_is_its_members(mini: SatPipeline, cls: type[SatPipeline]) -> None:
    pipeline, needs = kind(mini, cls)
    noise, prompts = torch.randn(4, 6, 4, 4), ["a forest", "a river"]
    whole = run(pipeline, prompt=prompts, num_images_per_prompt=2, latents=noise, **needs)
    for i in range(4):
        close(run(pipeline, prompt=prompts[i // 2], latents=noise[i : i + 1], **needs), whole[i : i + 1])


@pytest.mark.parametrize("cls", PIPELINES)
def test_sliced_attention_gives_the_same(archive: SatPipeline, cls: type[SatPipeline]) -> None:
    pipeline, needs = kind(archive, cls)
    expected = run(pipeline, **needs)
    pipeline.enable_attention_slicing("max")
    assert {type(one).__name__ for one in pipeline.unet.attn_processors.values()} == {"SlicedAttnProcessor"}
    close(run(pipeline, **needs), expected)


def test_the_vae_slices_and_tiles_where_it_can(archive: SatPipeline) -> None:
    expected = run(archive, prompt=["a forest", "a river"], output_type="pt")
    archive.vae.enable_slicing()
    close(run(archive, prompt=["a forest", "a river"], output_type="pt"), expected)
    archive.vae.enable_tiling()
    assert torch.isfinite(run(archive, output_type="pt")).all()


@pytest.mark.parametrize("cls", PIPELINES)
def test_offloaded_models_give_the_same(mini: SatPipeline, cls: type[SatPipeline]) -> None:
    if not torch.cuda.is_available() or not is_accelerate_available():
        pytest.skip("offloading needs an accelerator")
    pipeline, needs = kind(mini, cls)
    expected = run(pipeline.to("cuda"), output_type="np", **needs)
    pipeline.to("cpu")
    pipeline.enable_model_cpu_offload()
    got = run(pipeline, output_type="np", **needs)
    close(torch.from_numpy(got), torch.from_numpy(expected), atol=1e-4)
    assert pipeline.unet.device.type == "cpu"


@pytest.mark.parametrize("cls", PIPELINES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("which", ["mini", "archive"])
def test_save_and_load(request: pytest.FixtureRequest, tmp_path: Path, which: str, cls: type[SatPipeline], dtype: torch.dtype) -> None:
    pipeline, needs = kind(request.getfixturevalue(which), cls)
    pipeline.to(dtype)
    expected = run(pipeline, output_type="pt", **needs)
    pipeline.save_pretrained(tmp_path)
    loaded = quiet(cls.from_pretrained(tmp_path, torch_dtype=dtype))
    assert {type(part) for part in loaded.components.values()} == {type(part) for part in pipeline.components.values()}
    got = run(loaded, output_type="pt", **needs)
    assert got.dtype == torch.float32
    close(got, expected, atol={torch.float32: 1e-4, torch.float16: 0.02, torch.bfloat16: 0.1}[dtype])


@pytest.mark.slow
@pytest.mark.parametrize("cls", PIPELINES)
def test_compiled_gives_the_same(mini: SatPipeline, cls: type[SatPipeline]) -> None:
    if not any(shutil.which(name) for name in ("g++", "c++", "clang++")):
        pytest.skip("torch.compile needs a C++ compiler and there is none")
    pipeline, needs = kind(mini, cls)
    expected = run(pipeline, **needs)
    pipeline.unet.compile()
    if cls is SatControlNetPipeline:
        pipeline.controlnet.compile()
    try:
        got = run(pipeline, **needs)
    except torch._dynamo.exc.BackendCompilerFailed as error:
        pytest.skip(f"the C++ compiler cannot build what torch.compile makes: {str(error)[:200]}")
    close(got, expected, atol=1e-4)


@pytest.mark.parametrize("cls", PIPELINES)
def test_traced_as_one_graph_gives_the_same(mini: SatPipeline, cls: type[SatPipeline]) -> None:
    """What torch.compile must be able to do with the networks, without its compiler."""
    pipeline, needs = kind(mini, cls)
    expected = run(pipeline, **needs)
    pipeline.unet.compile(backend="eager", fullgraph=True)
    if cls is SatControlNetPipeline:
        pipeline.controlnet.compile(backend="eager", fullgraph=True)
    close(run(pipeline, **needs), expected)


def trained(module: Any, targets: list[str]) -> dict[str, torch.Tensor]:
    """Weights of a LoRA adapter of ``module`` by peft, as if training had moved them."""
    config = LoraConfig(r=2, lora_alpha=2, target_modules=targets, init_lora_weights=False)
    return dict(get_peft_model_state_dict(inject_adapter_in_model(config, copy.deepcopy(module))))


def test_lora_of_both_networks(archive: SatPipeline, tmp_path: Path) -> None:
    """Trained with peft, saved and loaded as in diffusers: it changes the output, by as much as told, and goes again."""
    try:
        check_peft_version(min_version=MIN_PEFT_VERSION)
    except ValueError as error:
        pytest.skip(f"transformers loads no adapter into a text encoder here: {error}")
    torch.manual_seed(0)
    before, states = run(archive), archive.embed(["a forest"]).states
    unet, encoder = trained(archive.unet, ["to_q", "to_v"]), trained(archive.text_encoder, ["q_proj", "v_proj"])
    SatPipeline.save_lora_weights(tmp_path, unet_lora_layers=unet, text_encoder_lora_layers=encoder)
    assert torch.equal(run(archive), before)
    archive.load_lora_weights(tmp_path, weight_name="pytorch_lora_weights.safetensors", adapter_name="rivers")
    after = run(archive)
    assert archive.get_active_adapters() == ["rivers"]
    assert not torch.allclose(after, before, atol=1e-3)
    assert not torch.allclose(archive.embed(["a forest"]).states, states, atol=1e-3)
    close(run(archive, cross_attention_kwargs={"scale": 1.0}), after)
    close(run(archive, cross_attention_kwargs={"scale": 0.0}), before)
    half = run(archive, cross_attention_kwargs={"scale": 0.5})
    assert not torch.allclose(half, after, atol=1e-3) and not torch.allclose(half, before, atol=1e-3)
    close(run(archive), after)  # the weight of one call does not stay
    archive.fuse_lora()
    close(run(archive), after, atol=1e-4)
    archive.unfuse_lora()
    archive.unload_lora_weights()
    close(run(archive), before, atol=1e-4)


@pytest.mark.parametrize("cls", PIPELINES)
def test_lora_in_every_pipeline(mini: SatPipeline, cls: type[SatPipeline], tmp_path: Path) -> None:
    torch.manual_seed(0)
    pipeline, needs = kind(mini, cls)
    before = run(pipeline, **needs)
    cls.save_lora_weights(tmp_path, unet_lora_layers=trained(pipeline.unet, ["to_q", "to_v", "linear_1"]))
    pipeline.load_lora_weights(tmp_path, weight_name="pytorch_lora_weights.safetensors")
    assert not torch.allclose(run(pipeline, **needs), before, atol=1e-3)
    close(run(pipeline, cross_attention_kwargs={"scale": 0.0}, **needs), before)
    pipeline.unload_lora_weights()
    assert torch.equal(run(pipeline, **needs), before)


def test_lora_trained_on_a_plain_checkpoint_does_what_it_does_in_diffusers(plain: SatPipeline, tmp_path: Path) -> None:
    torch.manual_seed(0)
    SatPipeline.save_lora_weights(tmp_path, unet_lora_layers=trained(plain.unet, ["to_q", "to_v"]))
    plain.load_lora_weights(tmp_path, weight_name="pytorch_lora_weights.safetensors")
    for scale in (None, {"scale": 0.3}):
        close(run(plain, cross_attention_kwargs=scale), run(theirs(plain), cross_attention_kwargs=scale))


@pytest.mark.parametrize("vectors", [1, 3])
def test_textual_inversion(plain: SatPipeline, tmp_path: Path, vectors: int) -> None:
    """A learned word, of one vector or several."""
    before = run(plain, prompt="a forest <here>")
    learned = torch.randn(vectors, 32, generator=torch.Generator().manual_seed(5))
    torch.save({"<here>": learned}, tmp_path / "learned.bin")
    plain.load_textual_inversion(str(tmp_path), weight_name="learned.bin", use_safetensors=False)
    after = run(plain, prompt="a forest <here>")
    assert not torch.allclose(after, before, atol=1e-3)
    close(after, run(theirs(plain), prompt="a forest <here>"))


@pytest.mark.parametrize("scheduler", ["DDIM", "DDPM", "EulerDiscrete", "DPMSolverMultistep", "HeunDiscrete", "UniPCMultistep", "PNDM"])
@pytest.mark.parametrize("strength", [0.3, 0.8])
def test_image_to_image_is_diffusers_own(plain: SatPipeline, scheduler: str, strength: float) -> None:
    """From latents; of pixels ours takes the mean of the latents' distribution and theirs a sample."""
    plain.scheduler = getattr(diffusers, f"{scheduler}Scheduler").from_config(plain.scheduler.config)
    ours, image = quiet(SatImg2ImgPipeline.from_pipe(plain)), torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(9))
    settings: dict[str, Any] = {"image": image, "strength": strength, "num_inference_steps": 6}
    close(run(ours, **settings), run(theirs(plain, StableDiffusionImg2ImgPipeline), **settings), atol=1e-4)


def test_from_pipe_shares_the_weights(archive: SatPipeline) -> None:
    for cls in PIPELINES[:3]:
        other = cls.from_pipe(archive)
        assert all(getattr(other, name) is part for name, part in archive.components.items() if name != "scheduler")
    assert isinstance(SatPipeline.from_pipe(SatInpaintPipeline.from_pipe(archive)).unet, SatUNet)
