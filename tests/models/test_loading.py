"""Strict loading: whatever does not fit is an error that names it."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from rsgeo.errors import ModelError
from rsgeo.models.loading import load_module
from rsgeo.models.patch_codec import PatchCodec
from rsgeo.models.sat_unet import SatUNet
from rsgeo.models.word_piece_encoder import WordPieceEncoder

ARCHIVE = Path(__file__).parents[1] / "data" / "diffusionsat" / "archive"
WEIGHTS = "diffusion_pytorch_model.safetensors"
FIRST = "metadata_embedding.0.linear_1.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the archive's smaller UNet."""
    return Path(shutil.copytree(ARCHIVE / "unet", tmp_path / "unet"))


def rewrite(folder: Path, **changes: torch.Tensor | None) -> None:
    """Weights with some replaced, or left out where None; names with a dot as in ``**{"a.b": ...}``."""
    weights: dict[str, Any] = {**load_file(folder / WEIGHTS), **changes}
    save_file({name: value for name, value in weights.items() if value is not None}, folder / WEIGHTS)


def reconfigure(folder: Path, **changes: Any) -> None:
    config = {**json.loads((folder / "config.json").read_text()), **changes}
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def test_missing_weights_are_named(folder: Path) -> None:
    rewrite(folder, **{FIRST: None})
    with pytest.raises(ModelError, match=rf"missing: {FIRST}\)"):
        load_module(SatUNet, folder)


def test_many_missing_weights_are_counted(folder: Path) -> None:
    names = [name for name in load_file(folder / WEIGHTS) if name.startswith("metadata_embedding.")]
    rewrite(folder, **dict.fromkeys(names))
    with pytest.raises(ModelError, match=r"missing: metadata_embedding\.0\.linear_1\.bias, .* and 24 more"):
        load_module(SatUNet, folder)


def test_unexpected_weights_are_named(folder: Path) -> None:
    rewrite(folder, **{"controlnet.weight": torch.zeros(1)})
    with pytest.raises(ModelError, match=r"unexpected: controlnet\.weight\)"):
        load_module(SatUNet, folder)


def test_metadata_weights_that_the_configuration_denies_are_unexpected(folder: Path) -> None:
    reconfigure(folder, use_metadata=False)
    with pytest.raises(ModelError, match=r"unexpected: metadata_embedding\.0\.linear_1\.bias"):
        load_module(SatUNet, folder)


def test_misshapen_weights_are_named(folder: Path) -> None:
    rewrite(folder, **{FIRST: torch.zeros(64, 8)})
    with pytest.raises(ModelError, match=rf"of another shape: {FIRST} \(64, 8\) instead of \(64, 16\)"):
        load_module(SatUNet, folder)


def test_metadata_is_told_from_the_weights(folder: Path) -> None:
    reconfigure(folder, use_metadata=None, num_metadata=None)
    unet = load_module(SatUNet, folder)
    assert unet.config.use_metadata and unet.config.num_metadata == 7
    rewrite(folder, **{name: None for name in load_file(folder / WEIGHTS) if name.startswith("metadata_embedding.")})
    assert not load_module(SatUNet, folder).config.use_metadata


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_dtype_and_mode(folder: Path, dtype: torch.dtype) -> None:
    unet = load_module(SatUNet, folder, dtype)
    assert {parameter.dtype for parameter in unet.parameters()} == {dtype}
    assert not unet.training


def test_bin_equals_safetensors(folder: Path) -> None:
    expected = load_module(SatUNet, folder)
    torch.save(load_file(folder / WEIGHTS), folder / "diffusion_pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    got = load_module(SatUNet, folder)
    assert all(torch.equal(value, expected.state_dict()[name]) for name, value in got.state_dict().items())


def test_pickled_code_is_not_run(folder: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (folder / "sprung",)

    (folder / WEIGHTS).unlink()
    torch.save({"weight": Trap()}, folder / "diffusion_pytorch_model.bin")
    with pytest.raises(ModelError, match="holds more than weights"):
        load_module(SatUNet, folder)
    assert not (folder / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"not weights at all", pickle.dumps([1, 2])], ids=["empty", "text", "pickle"])
@pytest.mark.parametrize("name", [WEIGHTS, "diffusion_pytorch_model.bin"])
def test_broken_weights(folder: Path, name: str, content: bytes) -> None:
    (folder / WEIGHTS).unlink()
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        load_module(SatUNet, folder)


def test_truncated_weights(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1000])
    with pytest.raises(ModelError, match="broken"):
        load_module(SatUNet, folder)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"block_out_channels": "wide"}', '{"down_block_types": ["Nonsense"]}'])
def test_broken_configuration(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"config\.json"):
        load_module(SatUNet, folder)


@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
def test_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name.partition(".")[0]):
        load_module(SatUNet, folder)


def test_vae_of_the_old_code() -> None:
    """Its attention weights bear the names of diffusers before 0.18."""
    vae = load_module(AutoencoderKL, ARCHIVE / "vae")
    assert vae.decode(torch.zeros(1, 4, 2, 2)).sample.shape == (1, 3, 16, 16)


def test_text_encoder_of_transformers(tmp_path: Path) -> None:
    assert load_module(CLIPTextModel, ARCHIVE / "text_encoder", torch.float16).dtype == torch.float16
    folder = Path(shutil.copytree(ARCHIVE / "text_encoder", tmp_path / "text_encoder"))
    weights = torch.load(folder / "pytorch_model.bin", weights_only=True)
    lost = weights.pop(next(name for name in weights if name.endswith("final_layer_norm.weight")))
    torch.save({**weights, "surplus.weight": lost}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"missing: .*final_layer_norm\.weight.*unexpected: .*surplus\.weight"):
        load_module(CLIPTextModel, folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match="cannot be loaded as CLIPTextModel"):
        load_module(CLIPTextModel, folder)


def test_own_modules(tmp_path: Path) -> None:
    encoder, codec = WordPieceEncoder(vocab_size=20, dim=8, num_layers=1, num_heads=2, max_length=5), PatchCodec(4, 6)
    encoder.set_table(torch.randn(20, 8))
    codec.fit(torch.rand(2, 3, 32, 32) * 2 - 1)
    for module in (encoder, codec):
        folder = tmp_path / type(module).__name__
        module.half().save_pretrained(folder)
        got = load_module(type(module), folder)
        for name, value in module.state_dict().items():
            assert torch.equal(got.state_dict()[name], value.float() if value.is_floating_point() else value), name
    assert load_module(WordPieceEncoder, tmp_path / "WordPieceEncoder").table.dtype == torch.int8
