"""The networks at full size have the original's weights, name by name and shape by shape (no memory is taken for them)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch
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


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("controlnet2d_fmow_superres", (10, 256, 256)),
        ("controlnet2d_xbd", (3, 512, 512)),
        ("controlnet3d_texas", (3, 3, 512, 512)),
        ("controlnet3d_without_temporal_transformer", (3, 5, 512, 512)),
    ],
)
@torch.no_grad()
def test_a_condition_for_512_px_becomes_the_residuals_of_a_unet_for_512_px(name: str, condition: tuple[int, ...]) -> None:
    manifest = json.loads(gzip.decompress(next(file for file in MANIFESTS if file.name.startswith(f"{name}.")).read_bytes()))
    with init_empty_weights():
        net = CLASSES[manifest["model_class"]].from_config(manifest["config"])

    def empty(*shape: int) -> torch.Tensor:
        return torch.empty(2, *shape, device="meta")

    timestep = torch.tensor(500, device="meta")
    skips, mid = net(empty(4, 64, 64), timestep, empty(77, 1024), empty(*condition), metadata=empty(7), cond_metadata=empty(7), return_dict=False)
    shapes = [tuple(skip.shape[1:]) for skip in skips]
    assert shapes == ([(320, 64, 64)] * 3 + [(320, 32, 32)] + [(640, 32, 32)] * 2 + [(640, 16, 16)] + [(1280, 16, 16)] * 2 + [(1280, 8, 8)] * 3)
    assert tuple(mid.shape) == (2, 1280, 8, 8)
