"""What the tests of tasks share: a small area in Slovenia, a quick way to a picture, and a model folder that may be spoilt."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import condition_models
import pytest
import torch
from transformers import PreTrainedTokenizerFast

import rsgeo
from rsgeo.hub import catalog
from rsgeo.models.log_snr_scheduler import LogSNRScheduler
from rsgeo.models.rsdiff_unet import RSDiffUNet
from rsgeo.models.word_piece_encoder import WordPieceEncoder
from rsgeo.pipelines.rsdiff_pipeline import RSDiffPipeline

RING = [[14.5, 46.0], [14.507, 46.0], [14.503, 46.005], [14.5, 46.0045], [14.5, 46.0]]
QUICK = {"num_inference_steps": 2, "guidance_scale": 1.0}
REPEATS = {"from_file", "request_file"}


@pytest.fixture(scope="session")
def area(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GeoJSON file with a slanted polygon of about 55 x 57 pixels at 10 m."""
    path = tmp_path_factory.mktemp("area") / "area.geojson"
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [RING]}))
    return path


@pytest.fixture(scope="session")
def make(area: Path) -> Callable[..., rsgeo.Result]:
    """`rsgeo.generate` of ``area`` in two steps without guidance, where nothing else is said."""

    def make(out: Path | None = None, *, runtime: rsgeo.Runtime | None = None, **asked: Any) -> rsgeo.Result:
        quick = {} if REPEATS & asked.keys() else QUICK
        place = {} if (REPEATS | {"aoi", "bounds", "like"}) & asked.keys() else {"aoi": area}
        return rsgeo.generate(out, runtime=runtime, **{**quick, **place, **asked})

    return make


@pytest.fixture(scope="session")
def picture(make: Callable[..., rsgeo.Result], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished file that tests may read and copy, not change."""
    path = tmp_path_factory.mktemp("picture") / "picture.tif"
    make(path, prompt="fields beside a river", seed=5)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the embedded model."""
    return Path(shutil.copytree(catalog.EMBEDDED / catalog.DEFAULT_MODEL, tmp_path / "model"))


@pytest.fixture(scope="session")
def condition_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with models that see images, weights random: test-superres, test-means, test-inpaint of rsgeo-mini; tiny-fmow, tiny-texas."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RSGEO_HOME", str(home))
        condition_models.add_superres(home)
        condition_models.add_superres(home, "test-means", keeps_means=True)
        condition_models.add_inpaint(home)
        condition_models.add_diffusionsat(home)
    return home


@pytest.fixture
def condition_models_at_hand(condition_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """These models, and no others but the embedded ones."""
    monkeypatch.setenv("RSGEO_HOME", str(condition_home))
    return condition_home


@pytest.fixture(scope="session")
def cascade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cascade of 32 and 64 pixels with random weights and the text encoder of rsgeo-mini, as `save_pretrained` writes it."""
    embedded = catalog.EMBEDDED / catalog.DEFAULT_MODEL
    encoder = WordPieceEncoder.from_pretrained(embedded / "text_encoder")
    shape = {
        "dim": 8, "cond_dim": 16, "dim_mults": (1, 2), "layer_attns": (False, False), "layer_cross_attns": (False, True), "attn_heads": 2,
        "attn_dim_head": 8, "text_embed_dim": encoder.config.dim, "max_text_len": encoder.config.max_length,
    }  # fmt: skip
    torch.manual_seed(0)
    base, sr = RSDiffUNet(sample_size=32, **shape), RSDiffUNet(sample_size=64, lowres_cond=True, **shape)
    for stage in (base, sr):
        torch.nn.init.normal_(stage.final_conv.weight, std=0.1)  # fresh, it is 0, and so is all that the network says
    tokenizer = PreTrainedTokenizerFast.from_pretrained(embedded / "tokenizer")
    out = tmp_path_factory.mktemp("cascade") / "tiny"
    RSDiffPipeline(base, sr, LogSNRScheduler(), LogSNRScheduler("linear"), encoder, tokenizer).save_pretrained(out)
    return out
