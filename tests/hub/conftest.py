"""A user's own folder of models, and the published ControlNets with random weights."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ARCHIVE = Path(__file__).parents[1] / "data" / "diffusionsat" / "archive"


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
