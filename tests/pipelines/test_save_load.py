"""A saved pipeline comes back the same, without trusting any code in its folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from rsgeo.models.loading import load_module
from rsgeo.models.sat_unet import SatUNet
from rsgeo.pipelines.sat_pipeline import SatPipeline

PROMPT = "a satellite image of forests"


def picture(pipeline: SatPipeline, **settings: Any) -> torch.Tensor:
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(1)
    images: torch.Tensor = pipeline(PROMPT, generator=generator, num_inference_steps=2, output_type="pt", **settings).images
    return images


def test_mini_comes_back_the_same(mini: SatPipeline, tmp_path: Path) -> None:
    mini.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["unet"] == ["rsgeo.models.sat_unet", "SatUNet"]
    assert index["vae"] == ["rsgeo.models.patch_codec", "PatchCodec"]
    assert index["text_encoder"] == ["rsgeo.models.word_piece_encoder", "WordPieceEncoder"]
    loaded = SatPipeline.from_pretrained(tmp_path)
    assert torch.equal(picture(loaded), picture(mini))
    assert loaded.unet.config.metadata_features == mini.unet.config.metadata_features
    assert loaded.text_encoder.table.dtype == torch.int8


@pytest.mark.slow
def test_a_fresh_interpreter_loads_it(mini: SatPipeline, tmp_path: Path) -> None:
    mini.save_pretrained(tmp_path / "mini")
    code = "import sys; from rsgeo.pipelines.sat_pipeline import SatPipeline;print(type(SatPipeline.from_pretrained(sys.argv[1]).unet).__module__)"
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "mini")], capture_output=True, text=True)
    assert run.stdout.strip() == "rsgeo.models.sat_unet", run.stderr


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mini_in_halves(mini: SatPipeline, tmp_path: Path, dtype: torch.dtype) -> None:
    mini.save_pretrained(tmp_path)
    loaded = SatPipeline.from_pretrained(tmp_path, torch_dtype=dtype)
    assert loaded.unet.dtype == loaded.vae.dtype == loaded.text_encoder.dtype == dtype
    assert loaded.text_encoder.table.dtype == torch.int8
    assert torch.isfinite(picture(loaded)).all()


def test_a_saved_tokenizer_knows_its_words(mini: SatPipeline, tmp_path: Path) -> None:
    """Ways of loading a word list exist that turn every word into [UNK] without a word (transformers 5)."""
    ids = [2, 5, 6, 7, 8, 9, 10, 3]  # [CLS] a satellite image of forest ##s [SEP]
    mini.save_pretrained(tmp_path)
    for tokenizer in (
        mini.tokenizer, SatPipeline.from_pretrained(tmp_path).tokenizer, PreTrainedTokenizerFast.from_pretrained(tmp_path / "tokenizer"),
    ):  # fmt: skip
        assert tokenizer(PROMPT).input_ids == ids
        assert tokenizer("A SATELLITE image of Forests").input_ids == ids
        assert tokenizer("zebra").input_ids == [2, 1, 3]
        assert tokenizer.model_max_length == 8
        padded = tokenizer("a river", padding="max_length", max_length=8)
        assert padded.input_ids == [2, 5, 11, 3, 0, 0, 0, 0] and padded.attention_mask == [1, 1, 1, 1, 0, 0, 0, 0]


def test_diffusionsat_comes_back_the_same(archive: SatPipeline, tmp_path: Path) -> None:
    """Its VAE is a true AutoencoderKL, its text encoder CLIP."""
    archive.save_pretrained(tmp_path)
    loaded = SatPipeline.from_pretrained(tmp_path)
    size = {"height": 64, "width": 64}
    assert loaded.latent_factor == 8
    assert torch.equal(picture(loaded, **size), picture(archive, **size))


def test_the_published_layout_with_its_unet_elsewhere(archive: SatPipeline, golden: Path) -> None:
    root = golden / "archive"
    loaded = SatPipeline.from_pretrained(root, unet=load_module(SatUNet, root / "checkpoint-3/unet"))
    size = {"height": 64, "width": 64}
    assert torch.equal(picture(loaded, **size), picture(archive, **size))


def test_no_code_of_the_folder_is_run(mini: SatPipeline, tmp_path: Path) -> None:
    mini.save_pretrained(tmp_path)
    (tmp_path / "unet" / "trap.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\nfrom rsgeo.models.sat_unet import *\n")
    index = json.loads((tmp_path / "model_index.json").read_text())
    (tmp_path / "model_index.json").write_text(json.dumps({**index, "unet": ["trap", "SatUNet"]}))
    with pytest.raises(ValueError, match="trust_remote_code"):
        SatPipeline.from_pretrained(tmp_path)
    assert not (tmp_path / "sprung").exists()
