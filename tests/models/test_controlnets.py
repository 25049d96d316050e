"""`SatControlNet` and `SatControlNet3D` against the original's outputs, and what both promise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from rsgeo.errors import ModelError
from rsgeo.models.loading import load_controlnet, load_module
from rsgeo.models.sat_controlnet import SatControlNet
from rsgeo.models.sat_controlnet3d import SatControlNet3D
from rsgeo.models.sat_unet import SatUNet

GOLDEN = Path(__file__).parents[1] / "data" / "diffusionsat"
CLAMPED = "controlnet3d_temporal_mixing_clamped"
CASES = {
    name: json.loads((GOLDEN / "cases" / name / "case.json").read_text())
    for name in ("controlnet2d_superres", "controlnet3d_plain", "controlnet3d_temporal", CLAMPED)
}
CALLS = [(name, call["id"]) for name, case in CASES.items() for call in case["calls"]]
ARCHIVES = {Path(case["controlnet"]).name for case in CASES.values()}
FLAT, PLAIN, TEMPORAL = "controlnet_tiny_md7norm_fmow_condres", "controlnet3d_tiny_md7norm_plain", "controlnet3d-mixattn_tiny_md7norm_texas"
WEIGHTS = "diffusion_pytorch_model.safetensors"

ControlNet = SatControlNet | SatControlNet3D


def tensors(name: str, which: str) -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / "cases" / name / f"{which}.safetensors")


def close(got: torch.Tensor, expected: torch.Tensor, atol: float = 1e-4) -> None:
    torch.testing.assert_close(got, expected, rtol=0, atol=atol)


def net_of(name: str, controlnets: Path, dtype: torch.dtype = torch.float32) -> ControlNet:
    """The case's ControlNet, by its configuration's word for the class."""
    net = load_controlnet(controlnets / Path(CASES[name]["controlnet"]).name / "controlnet", dtype)
    for key, value in CASES[name].get("override_state", {}).items():
        net.state_dict()[key].fill_(value)
    return net


@pytest.fixture(scope="module")
def nets(controlnets: Path) -> dict[str, ControlNet]:
    return {name: net_of(name, controlnets) for name in CASES}


@pytest.fixture(scope="module")
def unet() -> SatUNet:
    return load_module(SatUNet, GOLDEN / "archive" / "checkpoint-3" / "unet")


def arguments(name: str, call_id: str) -> dict[str, Any]:
    call, inputs = next(call for call in CASES[name]["calls"] if call["id"] == call_id), tensors(name, "inputs")
    named = ("sample", "encoder_hidden_states", "controlnet_cond", "metadata", "cond_metadata")
    plain = ("timestep", "conditioning_scale", "guess_mode")
    return {**{key: inputs[call[key]] for key in named if key in call}, **{key: call[key] for key in plain if key in call}}


def halve(given: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """All but the metadata in ``dtype``."""
    return {key: value.to(dtype) if torch.is_tensor(value) and "metadata" not in key else value for key, value in given.items()}


@pytest.mark.parametrize(("name", "call_id"), CALLS, ids=[f"{name}-{call}" for name, call in CALLS])
@torch.no_grad()
def test_golden(nets: dict[str, ControlNet], unet: SatUNet, name: str, call_id: str) -> None:
    net, given = nets[name], arguments(name, call_id)
    expected = {key.partition("/")[2]: value for key, value in tensors(name, "outputs").items() if key.startswith(f"{call_id}/")}
    got: dict[str, torch.Tensor] = {}
    hooks = [
        net.down_blocks[0].register_forward_pre_hook(lambda _, args, kwargs: got.update(emb=kwargs["temb"]), with_kwargs=True),
        net.controlnet_cond_embedding.register_forward_hook(lambda _, args, result: got.update(cond_embedding=result)),
    ]
    out = net(**given)
    for hook in hooks:
        hook.remove()
    got |= {f"down_{index:02d}": skip for index, skip in enumerate(out.down_block_res_samples)} | {"mid": out.mid_block_res_sample}
    residuals = {"down_block_additional_residuals": out.down_block_res_samples, "mid_block_additional_residual": out.mid_block_res_sample}
    if "unet_sample" in expected:
        inputs = [given[key] for key in ("sample", "timestep", "encoder_hidden_states")]
        got["unet_sample"] = unet(*inputs, metadata=given["metadata"], **residuals).sample
    assert len(expected) >= 4
    for key, value in expected.items():
        close(got[key], value)


@pytest.mark.parametrize("block", CASES["controlnet3d_temporal"]["temporal_parts"]["blocks"])
@torch.no_grad()
def test_golden_temporal_transformer(nets: dict[str, ControlNet], block: int) -> None:
    series = tensors("controlnet3d_temporal", "inputs")["temporal_in"]
    got = nets["controlnet3d_temporal"].temporal_blocks[block](series, num_frames=3).sample
    close(got, tensors("controlnet3d_temporal", "outputs")[f"parts/temporal_block_{block}"])


@pytest.mark.parametrize("archive", sorted(ARCHIVES))
def test_the_original_configuration_is_understood_to_the_last_key(controlnets: Path, archive: str) -> None:
    config = json.loads((controlnets / archive / "controlnet" / "config.json").read_text())
    cls = SatControlNet3D if "3d" in archive else SatControlNet
    net, unused = cls.from_config(config, return_unused_kwargs=True)
    assert all(key.startswith("_") for key in unused)
    public = {key: value for key, value in config.items() if not key.startswith("_")}
    assert {key: net.config[key] for key in public} == public


@pytest.mark.parametrize("name", list(CASES))
@torch.no_grad()
def test_save_and_load(nets: dict[str, ControlNet], tmp_path: Path, name: str) -> None:
    net, given = nets[name], arguments(name, CASES[name]["calls"][0]["id"])
    net.save_pretrained(tmp_path)
    expected = net(**given)
    for loaded in (type(net).from_pretrained(tmp_path), load_controlnet(tmp_path), load_module(type(net), tmp_path)):
        assert type(loaded) is type(net)
        same_weights(loaded, net)
        got = loaded(**given)
        for left, right in zip(
            (*got.down_block_res_samples, got.mid_block_res_sample), (*expected.down_block_res_samples, expected.mid_block_res_sample), strict=True
        ):
            close(left, right, atol=2e-5)  # weights mapped from a file lie elsewhere in memory, which moves the last digits


def same_weights(left: ControlNet, right: ControlNet) -> None:
    expected = right.state_dict()
    assert left.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in left.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["controlnet2d_superres", "controlnet3d_temporal"])
@torch.no_grad()
def test_halves_keep_metadata_in_float32(controlnets: Path, tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    """Cast metadata would move the residuals by 0.24 in fp16 and 1.8 in bf16 (measured on the original)."""
    net, given = net_of(name, controlnets, dtype), halve(arguments(name, CASES[name]["calls"][0]["id"]), dtype)
    expected = tensors(name, "outputs")[f"{CASES[name]['calls'][0]['id']}/mid"]
    out = net(**given)
    assert {skip.dtype for skip in (*out.down_block_res_samples, out.mid_block_res_sample)} == {dtype}
    close(out.mid_block_res_sample.float(), expected, atol={torch.float16: 0.03, torch.bfloat16: 0.3}[dtype])
    net.save_pretrained(tmp_path)
    same_weights(type(net).from_pretrained(tmp_path, torch_dtype=dtype), net)


@pytest.mark.parametrize("name", ["controlnet2d_superres", "controlnet3d_temporal"])
@torch.no_grad()
def test_a_batch_is_its_samples(nets: dict[str, ControlNet], name: str) -> None:
    given = arguments(name, CASES[name]["calls"][0]["id"])
    whole = nets[name](**given, return_dict=False)
    single = nets[name](**{key: value[1:] if torch.is_tensor(value) else value for key, value in given.items()}, return_dict=False)
    for all_of_them, one in zip((*whole[0], whole[1]), (*single[0], single[1]), strict=True):
        close(all_of_them[1:], one)


@pytest.mark.parametrize("name", ["controlnet2d_superres", "controlnet3d_temporal"])
@torch.no_grad()
def test_sliced_attention_gives_the_same(controlnets: Path, name: str) -> None:
    net, given = net_of(name, controlnets), arguments(name, CASES[name]["calls"][0]["id"])
    plain = net(**given).mid_block_res_sample
    net.set_attention_slice("auto")
    processors = {type(processor).__name__ for processor in net.attn_processors.values()}
    assert processors == {"SlicedAttnProcessor"}
    close(net(**given).mid_block_res_sample, plain)


@pytest.mark.parametrize("name", ["controlnet2d_superres", "controlnet3d_temporal"])
@torch.no_grad()
def test_traced_as_one_graph_gives_the_same(nets: dict[str, ControlNet], name: str) -> None:
    given = arguments(name, CASES[name]["calls"][0]["id"])
    got = torch.compile(nets[name], backend="eager", fullgraph=True)(**given)
    close(got.mid_block_res_sample, nets[name](**given).mid_block_res_sample)


def test_a_folder_of_the_other_kind_is_refused(controlnets: Path) -> None:
    """A 2D file has convolutions of another rank than a 3D one."""
    with pytest.raises(ModelError, match=r"SatControlNet3D .*of another shape: controlnet_cond_embedding"):
        load_module(SatControlNet3D, controlnets / FLAT / "controlnet")
    with pytest.raises(ModelError, match=r"SatControlNet .*of another shape: controlnet_cond_embedding"):
        load_module(SatControlNet, controlnets / PLAIN / "controlnet")
    with pytest.raises(ModelError, match=r"names SatUNet where one of SatControlNet, .* is needed"):
        load_controlnet(GOLDEN / "archive" / "unet")


def test_what_does_not_fit_is_named(controlnets: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(controlnets / TEMPORAL / "controlnet", tmp_path / "controlnet"))
    weights = load_file(folder / WEIGHTS)
    moved = weights.pop("mixing_attns.2")
    save_file({**weights, "mixing_attns.9": moved}, folder / WEIGHTS)
    with pytest.raises(ModelError, match=r"missing: mixing_attns\.2; unexpected: mixing_attns\.9\)"):
        load_controlnet(folder)
    shutil.copy(controlnets / PLAIN / "controlnet" / "config.json", folder)
    with pytest.raises(ModelError, match=r"unexpected: mixing_attns\.0, .* more"):
        load_controlnet(folder)


@pytest.mark.parametrize("archive", [FLAT, PLAIN])
def test_metadata_is_told_from_the_weights(controlnets: Path, tmp_path: Path, archive: str) -> None:
    folder = Path(shutil.copytree(controlnets / archive / "controlnet", tmp_path / "controlnet"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({key: config[key] for key in config.keys() - {"use_metadata", "num_metadata"}}))
    assert load_controlnet(folder).num_metadata_values == 7
    save_file({key: value for key, value in load_file(folder / WEIGHTS).items() if not key.startswith("metadata_embedding.")}, folder / WEIGHTS)
    net = load_controlnet(folder)
    assert not net.config.use_metadata and net.num_metadata_values == 0


@torch.no_grad()
def test_wrong_shapes_are_errors(nets: dict[str, ControlNet]) -> None:
    flat, series = nets["controlnet2d_superres"], nets["controlnet3d_temporal"]
    given = arguments("controlnet2d_superres", "cond2d")
    for metadata in (None, torch.zeros(7), torch.zeros(2, 5)):
        with pytest.raises(ValueError, match=r"^metadata must have shape \(2, 7\)"):
            flat(**{**given, "metadata": metadata})
    with pytest.raises(ValueError, match="cond_metadata must have shape"):
        flat(**{**given, "cond_metadata": torch.zeros(1, 7)})
    with pytest.raises(ValueError, match="controlnet_cond must have 10 channels, got 3"):
        flat(**{**given, "controlnet_cond": given["controlnet_cond"][:, :3]})
    with pytest.raises(ValueError, match=r"of \(64, 96\) px becomes \(16, 24\) cells, but the latents have \(8, 12\)"):
        flat(**{**given, "controlnet_cond": torch.zeros(2, 10, 64, 96)})
    given = arguments("controlnet3d_temporal", "per_frame")
    with pytest.raises(ValueError, match=r"must have shape \(batch, channels, images, height, width\)"):
        series(**{**given, "controlnet_cond": given["controlnet_cond"][:, :, 0]})
    with pytest.raises(ValueError, match=r"cond_metadata must have shape \(2, 7, 3\) or \(2, 7\), got \(2, 7, 2\)"):
        series(**{**given, "cond_metadata": given["cond_metadata"][:, :, :2]})


def small(cls: type[ControlNet] = SatControlNet, **settings: Any) -> Any:
    """Of rsgeo-mini's kind: 4 px a latent cell, fields of 3 and 2 features, a prompt vector of 8 numbers, two bands."""
    torch.manual_seed(0)
    return cls.from_unet(
        small_unet(), conditioning_in_channels=2, conditioning_embedding_out_channels=(4, 8, 8), latent_factor=4, **settings
    ).eval()  # fmt: skip


def small_unet() -> SatUNet:
    torch.manual_seed(0)
    return SatUNet(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(32, 32), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=2, cross_attention_dim=8, metadata_encoding="rsgeo", metadata_features=[3, 2], text_embeds_dim=8,
    ).eval()  # fmt: skip


def inputs_of_small(*images: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(1, *shape, generator=generator)

    return {
        "sample": draw(4, 8, 8), "timestep": 400, "encoder_hidden_states": draw(6, 8), "text_embeds": draw(8),
        "metadata": draw(5), "cond_metadata": draw(5, *images), "controlnet_cond": draw(2, *images, 32, 32),
    }  # fmt: skip


def wake(net: Any) -> Any:
    """The zero convolutions filled, as if trained."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in net.parameters():
            if not parameter.any():
                parameter.normal_(std=0.3)
    return net


@pytest.mark.parametrize(("cls", "images"), [(SatControlNet, ()), (SatControlNet3D, (3,))])
@torch.no_grad()
def test_beside_a_unet_it_starts_silent_and_with_its_weights(cls: type[ControlNet], images: tuple[int, ...]) -> None:
    net, unet, given = small(cls), small_unet(), inputs_of_small(*images)
    skips, mid = net(**given, return_dict=False)
    assert not any(skip.any() for skip in (*skips, mid))
    theirs = unet.state_dict()
    shared = {name.split(".")[0] for name, value in net.state_dict().items() if name in theirs and torch.equal(value, theirs[name])}
    assert shared == {"conv_in", "time_embedding", "metadata_embedding", "text_embeds_embedding", "down_blocks", "mid_block"}


@pytest.mark.parametrize(("cls", "images"), [(SatControlNet, ()), (SatControlNet, (3,)), (SatControlNet3D, (3,))])
@torch.no_grad()
def test_everything_given_counts(cls: type[ControlNet], images: tuple[int, ...]) -> None:
    net, given = wake(small(cls)), inputs_of_small(*images)
    if cls is SatControlNet:
        given["controlnet_cond"] = given["controlnet_cond"].reshape(1, 2, -1, 32, 32)[:, :, 0]
    plain = net(**given).mid_block_res_sample
    for name in ("metadata", "cond_metadata", "text_embeds", "encoder_hidden_states", "controlnet_cond"):
        assert not torch.allclose(net(**{**given, name: given[name] + 1}).mid_block_res_sample, plain), name


@torch.no_grad()
def test_unknown_metadata_are_learned_vectors() -> None:
    net, given = wake(small()), inputs_of_small()
    given["cond_metadata"][:, 3:] = torch.nan
    known = net(**given).mid_block_res_sample
    assert torch.isfinite(known).all()
    net.metadata_embedding[1].unknown += 1.0
    assert not torch.allclose(net(**given).mid_block_res_sample, known)


@torch.no_grad()
def test_masked_tokens_do_not_count() -> None:
    for net, given in ((wake(small()), inputs_of_small()), (wake(small(SatControlNet3D)), inputs_of_small(3))):
        mask = torch.tensor([[1, 1, 1, 0, 0, 0]])
        plain = net(**given, encoder_attention_mask=mask).mid_block_res_sample
        given["encoder_hidden_states"][:, 3:] += 5
        close(net(**given, encoder_attention_mask=mask).mid_block_res_sample, plain, atol=1e-5)


def test_bgr_is_turned() -> None:
    rgb, bgr, given = wake(small()), wake(small(controlnet_conditioning_channel_order="bgr")), inputs_of_small()
    turned = {**given, "controlnet_cond": given["controlnet_cond"].flip(1)}
    assert torch.equal(rgb(**given).mid_block_res_sample, bgr(**turned).mid_block_res_sample)
    with pytest.raises(ValueError, match="'rgb' or 'bgr', got 'gbr'"):
        small(controlnet_conditioning_channel_order="gbr")


def test_settings_of_other_families_are_errors() -> None:
    with pytest.raises(ValueError, match="addition_embed_type"):
        small(addition_embed_type="text")


def test_images_see_each_other_only_as_far_as_the_mixing_says() -> None:
    """At first not at all; its gradient is there at once, that of the transformer is not, and a value that left [0, 1] can come back."""
    net, given = wake(small(SatControlNet3D, use_temporal_transformer=True)), inputs_of_small(3)
    for mixing in net.mixing_attns:
        mixing.data.zero_()
    plain = wake(small(SatControlNet3D))
    plain.load_state_dict({name: net.state_dict()[name] for name in plain.state_dict()})
    close(net(**given).down_block_res_samples[0], plain(**given).down_block_res_samples[0], atol=1e-6)
    for value in (0.0, -0.4, 1.6):
        net.zero_grad()
        net.mixing_attns[0].data.fill_(value)
        net(**given).down_block_res_samples[0].square().sum().backward()
        assert net.mixing_attns[0].grad.abs() > 0
        weights = net.temporal_blocks[0].proj_in.weight.grad
        assert bool(weights.any()) == (value > 0)
    assert [mixing.requires_grad for mixing in net.mixing_attns] == [True, False, True, False]


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    for net, given in ((wake(small()), inputs_of_small()), (wake(small(SatControlNet3D)), inputs_of_small(3))):
        net.train()
        net(**given).mid_block_res_sample.square().sum().backward()
        expected = {name: parameter.grad for name, parameter in net.named_parameters() if parameter.grad is not None}
        net.zero_grad()
        net.enable_gradient_checkpointing()
        net(**given).mid_block_res_sample.square().sum().backward()
        for name, parameter in net.named_parameters():
            if name in expected:
                close(parameter.grad, expected[name], atol=1e-3)


@pytest.mark.parametrize(("cls", "images"), [(SatControlNet, ()), (SatControlNet3D, (3,))])
@torch.no_grad()
def test_lora(cls: type[ControlNet], images: tuple[int, ...], tmp_path: Path) -> None:
    """A fresh adapter changes nothing; a trained one is saved, loaded into another copy, and taken out again."""
    peft = pytest.importorskip("peft")
    net, given = wake(small(cls)), inputs_of_small(*images)
    plain = net(**given).mid_block_res_sample
    net.add_adapter(peft.LoraConfig(r=2, target_modules=["to_q", "to_v", "linear_1"]))
    assert torch.equal(net(**given).mid_block_res_sample, plain)
    for name, parameter in net.named_parameters():
        if "lora_B" in name:
            parameter += 0.5
    changed = net(**given).mid_block_res_sample
    assert not torch.allclose(changed, plain)
    net.save_lora_adapter(tmp_path)
    other = wake(small(cls))
    other.load_lora_adapter(tmp_path, weight_name="pytorch_lora_weights.safetensors", prefix=None, use_safetensors=True)
    close(other(**given).mid_block_res_sample, changed, atol=1e-5)
    other.unload_lora()
    assert torch.equal(other(**given).mid_block_res_sample, plain)
