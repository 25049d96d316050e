"""A user's own folder of models, and ControlNets of the embedded model's kind with random weights in it."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rsgeo.hub import catalog
from rsgeo.models.loading import load_module
from rsgeo.models.sat_controlnet import SatControlNet
from rsgeo.models.sat_unet import SatUNet

ARCHIVE = Path(__file__).parents[1] / "data" / "diffusionsat" / "archive"

RECORDS: dict[str, dict[str, Any]] = {
    "rsgeo-mini-superres": {
        "tasks": ["superres"],
        "default_for": ["superres"],
        "condition": {"bands": ["red", "green", "blue"], "scale": 4},
    },
    "rsgeo-mini-inpaint": {
        "tasks": ["inpaint", "extend"],
        "default_for": ["inpaint", "extend"],
        "condition": {"bands": ["red", "green", "blue", "known"]},
    },
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of the user's models."""
    monkeypatch.setenv("RSGEO_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "models").mkdir(parents=True)
    return tmp_path / "home" / "models"


@pytest.fixture
def write_record() -> Callable[..., Path]:
    """Writes a record that says only what is given, into a new folder."""

    def write(folder: Path, **fields: Any) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        record = {"schema_version": 1, "name": folder.name, "family": "latent", "title": folder.name, "licence": "Apache-2.0", **fields}
        (folder / "meta.json").write_text(json.dumps(record))
        return folder

    return write


@pytest.fixture
def mini_controlnets(home: Path, write_record: Callable[..., Path]) -> Path:
    """The home with two ControlNets of rsgeo-mini, whose last layers are not the zeros of an untrained one."""
    torch.manual_seed(0)
    unet = load_module(SatUNet, catalog.EMBEDDED / "rsgeo-mini" / "unet")
    for name, fields in RECORDS.items():
        condition = fields["condition"]
        net = SatControlNet.from_unet(
            unet, conditioning_in_channels=len(condition["bands"]), conditioning_scale=condition.get("scale", 1), latent_factor=4
        )
        for zero in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
            torch.nn.init.normal_(zero.weight, std=0.1)
        folder = write_record(home / name, base="rsgeo-mini", **fields)
        net.half().save_pretrained(folder / "controlnet")
    return home


@pytest.fixture
def controlnet() -> Path:
    """DiffusionSat's 2D ControlNet with random weights; see tests/data/diffusionsat/ORIGIN.md."""
    return next((ARCHIVE.parent / "controlnets").glob("controlnet_*"))


@pytest.fixture(scope="session")
def controlnets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of DiffusionSat's ControlNets, what is packed in the repository unpacked."""
    root = tmp_path_factory.mktemp("controlnets")
    shutil.copytree(ARCHIVE.parent / "controlnets", root, dirs_exist_ok=True)
    for packed in root.rglob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    return root
