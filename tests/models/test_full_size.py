"""The networks at full size, with weights made by a formula, give what the original gives (memory for two networks: about 6 GB)."""

from __future__ import annotations

import gzip
import json
import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import init_empty_weights
from safetensors.torch import load_file

from rsgeo.models.sat_controlnet import SatControlNet
from rsgeo.models.sat_controlnet3d import SatControlNet3D
from rsgeo.models.sat_unet import SatUNet

REFERENCE = Path(os.environ.get("RSGEO_SHARED_REFERENCE", "missing")) / "diffusionsat" / "fullsize"
MANIFESTS = Path(__file__).parents[1] / "data" / "diffusionsat" / "manifests"
MIXING = {0: 0.4, 3: 0.3, 6: 0.6, 9: 0.7}
METADATA = [925.8798, 345.2111, 411.4541, 0.0, 308.3333, 166.6667, 354.8387]  # 153.3 E 27.9 S, 0.41 m, 11 February 2017

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not REFERENCE.is_dir(), reason="the full-size outputs lie outside the repository; RSGEO_SHARED_REFERENCE says where"),
]


def draw(text: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(text.encode()))


def weight(tag: str, name: str, shape: torch.Size) -> torch.Tensor:
    if name.startswith("mixing_attns."):
        return torch.tensor(MIXING.get(int(name.partition(".")[2]), 0.5)).half().float()
    values = draw(f"{tag}:{name}").standard_normal(shape)
    if len(shape) > 1:
        values *= 0.9 / math.sqrt(math.prod(shape[1:]))
    else:
        values = 1 + 0.1 * values if name.endswith(".weight") else 0.05 * values
    return torch.from_numpy(values.astype(np.float16)).float()


def network(cls: Any, manifest: str, tag: str) -> Any:
    with init_empty_weights():
        net = cls.from_config(json.loads(gzip.decompress((MANIFESTS / f"{manifest}.json.gz").read_bytes()))["config"])
    net.load_state_dict({name: weight(tag, name, value.shape) for name, value in net.state_dict().items()}, assign=True)
    return net.eval()


def given(name: str) -> torch.Tensor:
    probe = json.loads((REFERENCE / "inputs_probe.json").read_text())[name]
    values = torch.from_numpy(getattr(draw(probe["seed_string"]), probe["draw"])(probe["shape"]).astype(np.float32))
    assert values.flatten()[:4].tolist() == probe["first4"]
    return values


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    return load_file(REFERENCE / "outputs.safetensors")


@pytest.fixture(scope="module")
def unet() -> SatUNet:
    net: SatUNet = network(SatUNet, "unet_single_image", "full_unet")
    return net


def close(got: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-3)


def residuals_are(out: Any, golden: dict[str, torch.Tensor], call: str, unet: SatUNet, metadata: torch.Tensor) -> None:
    skips, mid = out
    close(skips[11], golden[f"{call}/down_11"])
    close(mid, golden[f"{call}/mid"])
    for index, skip in enumerate(skips):
        close(torch.stack([skip.mean(), skip.std()]), golden[f"{call}/down_{index:02d}_mean_std"])
    sample = unet(
        given("sample16"), 300, given("ehs"), metadata=metadata,
        down_block_additional_residuals=[0.1 * skip for skip in skips], mid_block_additional_residual=0.1 * mid,
    ).sample  # fmt: skip
    close(sample, golden[f"{call}/unet_sample_residuals_x0_1"])


@torch.no_grad()
def test_unet(golden: dict[str, torch.Tensor], unet: SatUNet) -> None:
    seen: list[torch.Tensor] = []
    hook = unet.down_blocks[0].register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs["temb"]), with_kwargs=True)
    sample = unet(given("sample"), 500, given("ehs"), metadata=torch.tensor([METADATA])).sample
    hook.remove()
    close(sample, golden["unet/sample"])
    close(seen[0], golden["unet/emb"])


@torch.no_grad()
def test_super_resolution(golden: dict[str, torch.Tensor], unet: SatUNet) -> None:
    net, metadata = network(SatControlNet, "controlnet2d_fmow_superres", "full_superres"), torch.tensor([METADATA])
    sentinel = metadata.clone()
    sentinel[:, 2] = 10_000
    out = net(given("sample16"), 300, given("ehs"), given("cond_superres"), metadata=metadata, cond_metadata=sentinel, return_dict=False)
    residuals_are(out, golden, "superres", unet, metadata)


@torch.no_grad()
def test_texas(golden: dict[str, torch.Tensor], unet: SatUNet) -> None:
    net, metadata = network(SatControlNet3D, "controlnet3d_texas", "full_texas"), torch.tensor([METADATA])
    sentinel = metadata.clone()
    sentinel[:, 2] = 10_000
    series = torch.stack([metadata, sentinel, 0.9 * metadata], dim=-1)
    out = net(given("sample16"), 300, given("ehs"), given("cond_texas"), metadata=metadata, cond_metadata=series, return_dict=False)
    residuals_are(out, golden, "texas", unet, metadata)
