"""DiffusionSat's ControlNets with random weights, as its code writes them; see tests/data/diffusionsat/ORIGIN.md."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "data" / "diffusionsat"


@pytest.fixture(scope="session")
def controlnets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Archives by their name, each with a folder ``controlnet``; what is packed in the repository is unpacked."""
    root = tmp_path_factory.mktemp("controlnets")
    shutil.copytree(GOLDEN / "controlnets", root, dirs_exist_ok=True)
    for packed in root.rglob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    return root
