"""`SatUNet` against the original's outputs, and what rsgeo's own encoding promises."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from rsgeo.models.loading import load_module
from rsgeo.models.sat_unet import SatUNet

GOLDEN = Path(__file__).parents[1] / "data" / "diffusionsat"
ARCHIVE = GOLDEN / "archive"
SINUSOID = "unet_metadata_checkpoint_bin"
CASES = {  # name: folder of the UNet in the archive
    SINUSOID: "checkpoint-3/unet",
    "unet_metadata_root_safetensors": "unet",
    "unet_without_metadata": "checkpoint-3/unet",
}
CALLS = [(name, call["id"]) for name in CASES for call in json.loads((GOLDEN / "cases" / name / "case.json").read_text())["calls"]]


def tensors(name: str, which: str) -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / "cases" / name / f"{which}.safetensors")


def close(got: torch.Tensor, expected: torch.Tensor, atol: float = 1e-4) -> None:
    torch.testing.assert_close(got, expected, rtol=0, atol=atol)


@pytest.fixture(scope="module")
def unets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SatUNet]:
    return {
        name: load_module(SatUNet, without_metadata(tmp_path_factory.mktemp("plain")) if name == "unet_without_metadata" else ARCHIVE / folder)
        for name, folder in CASES.items()
    }


def without_metadata(folder: Path) -> Path:
    """The checkpoint as plain Stable Diffusion would have it: neither metadata weights nor a word about metadata in its configuration."""
    source = ARCHIVE / CASES["unet_without_metadata"]
    config = json.loads((source / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({key: config[key] for key in config.keys() - {"use_metadata", "num_metadata"}}))
    weights = load_file(source / "diffusion_pytorch_model.safetensors")
    kept = {key: value for key, value in weights.items() if not key.startswith("metadata_embedding.")}
    save_file(kept, folder / "diffusion_pytorch_model.safetensors")
    return folder


@pytest.mark.parametrize(("name", "call_id"), CALLS, ids=[f"{name}-{call}" for name, call in CALLS])
@torch.no_grad()
def test_golden(unets: dict[str, SatUNet], name: str, call_id: str) -> None:
    calls = json.loads((GOLDEN / "cases" / name / "case.json").read_text())["calls"]
    call = next(call for call in calls if call["id"] == call_id)
    inputs, outputs, unet = tensors(name, "inputs"), tensors(name, "outputs"), unets[name]
    timestep = inputs[call["timestep"]] if isinstance(call["timestep"], str) else call["timestep"]
    metadata = inputs[call["metadata"]] if "metadata" in call else None
    seen: list[torch.Tensor] = []
    hook = unet.down_blocks[0].register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs["temb"]), with_kwargs=True)
    sample = unet(inputs[call["sample"]], timestep, inputs[call["encoder_hidden_states"]], metadata=metadata).sample
    hook.remove()
    close(sample, outputs[f"{call_id}/sample"])
    close(seen[0], outputs[f"{call_id}/emb"])


@torch.no_grad()
def test_golden_parts(unets: dict[str, SatUNet]) -> None:
    unet, inputs, outputs = unets[SINUSOID], tensors(SINUSOID, "inputs"), tensors(SINUSOID, "outputs")
    waves = torch.stack([unet.time_proj(column) for column in inputs["metadata"].unbind(1)], dim=1)
    close(waves, outputs["parts/metadata_sinusoid"])
    embedded = torch.stack([embed(waves[:, i]) for i, embed in enumerate(unet.metadata_embedding)], dim=1)
    close(embedded, outputs["parts/metadata_field_embeddings"])


@pytest.mark.parametrize(
    ("key", "dim", "dtype"),
    [
        ("dim32", 32, torch.float32),
        ("dim320", 320, torch.float32),
        ("dim320_fp16_input", 320, torch.float16),
        ("dim320_bf16_input", 320, torch.bfloat16),
    ],
)
def test_golden_sinusoid(unets: dict[str, SatUNet], key: str, dim: int, dtype: torch.dtype) -> None:
    golden = load_file(GOLDEN / "data" / "sinusoid.safetensors")
    waves = type(unets[SINUSOID].time_proj)(dim, flip_sin_to_cos=True, downscale_freq_shift=0)(golden["values"].to(dtype).float())
    small = golden["values"].abs() <= 1000
    close(waves[small], golden[key][small])
    close(waves[~small], golden[key][~small], atol=2e-3)


def test_metadata_of_another_shape_is_an_error(unets: dict[str, SatUNet]) -> None:
    inputs = tensors(SINUSOID, "inputs")
    for metadata in (None, torch.zeros(7), torch.zeros(2, 5), torch.zeros(1, 7)):
        with pytest.raises(ValueError, match=r"metadata must have shape \(2, 7\)"):
            unets[SINUSOID](inputs["sample"], 1, inputs["encoder_hidden_states"], metadata=metadata)


@pytest.mark.parametrize("number", [1, 5, 12])
@torch.no_grad()
def test_any_number_of_metadata(tmp_path: Path, number: int) -> None:
    """Each number counts, and a folder whose configuration does not say how many there are is understood."""
    unet = small(metadata_encoding="sinusoid", metadata_features=None, num_metadata=number)
    inputs = {**inputs_of_small(), "metadata": torch.linspace(10, 900, number)[None]}
    plain = unet(**inputs).sample
    for index in range(number):
        other = inputs["metadata"].clone()
        other[0, index] += 50
        assert not torch.allclose(unet(**{**inputs, "metadata": other}).sample, plain)
    unet.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({key: config[key] for key in config.keys() - {"use_metadata", "num_metadata"}}))
    loaded = load_module(SatUNet, tmp_path)
    assert loaded.config.num_metadata == number
    close(loaded(**inputs).sample, plain, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_halves_keep_metadata_in_float32(dtype: torch.dtype) -> None:
    """In halves of their own the metadata would move the result by 0.0105 and 0.122 (measured on the original)."""
    unet, inputs = load_module(SatUNet, ARCHIVE / "checkpoint-3/unet", dtype), tensors(SINUSOID, "inputs")
    expected = tensors(SINUSOID, "outputs")["md_t250/sample"]
    got = unet(inputs["sample"].to(dtype), 250, inputs["encoder_hidden_states"].to(dtype), metadata=inputs["metadata"]).sample
    assert got.dtype == dtype
    close(got.float(), expected, atol={torch.float16: 0.006, torch.bfloat16: 0.06}[dtype])


@torch.no_grad()
def test_a_gsd_of_100_m_is_finite_in_fp16() -> None:
    unet, inputs = load_module(SatUNet, ARCHIVE / "checkpoint-3/unet", torch.float16), tensors(SINUSOID, "inputs")
    metadata = inputs["metadata"].clone()
    metadata[:, 2] = 100_000  # more than a half can hold
    got = unet(inputs["sample"].half(), 250, inputs["encoder_hidden_states"].half(), metadata=metadata).sample
    assert torch.isfinite(got).all()


def small(**settings: Any) -> SatUNet:
    """A UNet of rsgeo-mini's kind: fields of 3 and 2 features, a prompt vector of 8 numbers."""
    torch.manual_seed(0)
    fixed = {
        "sample_size": 8, "in_channels": 4, "out_channels": 4, "block_out_channels": (32, 32), "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 2, "cross_attention_dim": 8, "metadata_encoding": "rsgeo", "metadata_features": [3, 2], "text_embeds_dim": 8,
    }  # fmt: skip
    return SatUNet(**{**fixed, **settings}).eval()


def inputs_of_small(batch: int = 1) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(batch, *shape, generator=generator)

    return {
        "sample": draw(4, 8, 8), "timestep": 400, "encoder_hidden_states": draw(6, 8),
        "text_embeds": draw(8), "metadata": draw(5),
    }  # fmt: skip


@torch.no_grad()
def test_unknown_field_is_a_learned_vector() -> None:
    unet, inputs = small(), inputs_of_small()
    nothing = inputs["metadata"].clone()
    nothing[:, 3:] = torch.nan
    known, unknown = unet(**inputs).sample, unet(**{**inputs, "metadata": nothing}).sample
    assert torch.isfinite(unknown).all()
    assert not torch.allclose(known, unknown)
    unet.metadata_embedding[1].unknown += 1.0
    assert torch.equal(unet(**inputs).sample, known)
    assert not torch.allclose(unet(**{**inputs, "metadata": nothing}).sample, unknown)


def test_unknown_field_gives_no_nan_gradients() -> None:
    unet, inputs = small(), inputs_of_small(batch=2)
    inputs["metadata"][0, :3] = torch.nan
    unet(**inputs).sample.square().mean().backward()
    gradients = [parameter.grad for parameter in unet.parameters() if parameter.grad is not None]
    assert gradients and all(torch.isfinite(gradient).all() for gradient in gradients)


@torch.no_grad()
def test_metadata_and_prompt_vector_change_the_output() -> None:
    unet, inputs = small(), inputs_of_small()
    plain = unet(**inputs).sample
    for name in ("metadata", "text_embeds", "encoder_hidden_states"):
        assert not torch.allclose(unet(**{**inputs, name: inputs[name] + 1}).sample, plain), name


def test_a_missing_prompt_vector_is_an_error() -> None:
    with pytest.raises(ValueError, match="text_embeds must have shape"):
        small()(**{**inputs_of_small(), "text_embeds": None})


def test_settings_that_cannot_be_are_errors() -> None:
    with pytest.raises(ValueError, match="'sinusoid' or 'rsgeo'"):
        small(metadata_encoding="learned")
    with pytest.raises(ValueError, match="metadata_features"):
        small(metadata_features=None)


@torch.no_grad()
def test_masked_tokens_do_not_count() -> None:
    unet, inputs = small(), inputs_of_small()
    mask = torch.tensor([[1, 1, 1, 0, 0, 0]])
    plain = unet(**inputs, encoder_attention_mask=mask).sample
    inputs["encoder_hidden_states"][:, 3:] += 5
    close(unet(**inputs, encoder_attention_mask=mask).sample, plain, atol=1e-6)


@torch.no_grad()
def test_save_and_load(tmp_path: Path) -> None:
    unet, inputs = small(), inputs_of_small()
    unet.save_pretrained(tmp_path)
    assert torch.equal(load_module(SatUNet, tmp_path)(**inputs).sample, unet(**inputs).sample)
    assert torch.equal(SatUNet.from_pretrained(tmp_path)(**inputs).sample, unet(**inputs).sample)


@torch.no_grad()
def test_lora(tmp_path: Path) -> None:
    """A fresh adapter changes nothing; a trained one is saved, loaded into another copy, and taken out again."""
    peft = pytest.importorskip("peft")
    unet, inputs = small(), inputs_of_small()
    plain = unet(**inputs).sample
    unet.add_adapter(peft.LoraConfig(r=2, target_modules=["to_q", "to_v", "linear_1"]))
    assert torch.equal(unet(**inputs).sample, plain)
    for name, parameter in unet.named_parameters():
        if "lora_B" in name:
            parameter += 0.5
    changed = unet(**inputs).sample
    assert not torch.allclose(changed, plain)
    unet.save_lora_adapter(tmp_path)
    other = small()
    other.load_lora_adapter(tmp_path, weight_name="pytorch_lora_weights.safetensors", prefix=None, use_safetensors=True)
    close(other(**inputs).sample, changed, atol=1e-6)
    other.unload_lora()
    assert torch.equal(other(**inputs).sample, plain)


@torch.no_grad()
def test_traced_as_one_graph_gives_the_same() -> None:
    unet, inputs = tiniest(), inputs_of_small()
    close(torch.compile(unet, backend="eager", fullgraph=True)(**inputs).sample, unet(**inputs).sample)


@pytest.mark.slow
@torch.no_grad()
def test_compiled_gives_the_same() -> None:
    if not any(shutil.which(name) for name in ("g++", "c++", "clang++")):
        pytest.skip("torch.compile needs a C++ compiler and there is none")
    unet, inputs = tiniest(), inputs_of_small()
    try:
        compiled = torch.compile(unet)(**inputs).sample
    except torch._dynamo.exc.BackendCompilerFailed as error:
        pytest.skip(f"the C++ compiler cannot build what torch.compile makes: {str(error)[:200]}")
    close(compiled, unet(**inputs).sample)


def tiniest() -> SatUNet:
    """As small as goes: compilation takes its time by the module, not by the number."""
    return small(block_out_channels=(32,), down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), attention_head_dim=2)
