"""The networks at full size have the original's weights, name by name and shape by shape (no memory is taken for them)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from accelerate import init_empty_weights

from rsgeo.models.sat_controlnet import SatControlNet
from rsgeo.models.sat_controlnet3d import SatControlNet3D
from rsgeo.models.sat_unet import SatUNet

MANIFESTS = sorted((Path(__file__).parents[1] / "data" / "diffusionsat" / "manifests").glob("*.json.gz"))
CLASSES = {"SatUNet": SatUNet, "ControlNetModel": SatControlNet, "ControlNetModel3D": SatControlNet3D}


def test_all_published_configurations_are_here() -> None:
    assert len(MANIFESTS) == 7


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.name.partition(".")[0])
def test_full_size(file: Path) -> None:
    manifest = json.loads(gzip.decompress(file.read_bytes()))
    with init_empty_weights():
        net, unused = CLASSES[manifest["model_class"]].from_config(manifest["config"], return_unused_kwargs=True)
    assert not unused
    assert {name: list(value.shape) for name, value in net.state_dict().items()} == manifest["state_dict"]
    assert sum(parameter.numel() for parameter in net.parameters()) == manifest["num_parameters"]
    assert sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad) == manifest["num_requires_grad"]
