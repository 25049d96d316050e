"""The guide of `training/make_guide.py`: another noise schedule, and small files."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler
from safetensors.torch import load_file

from rsgeo.models.loading import load_module
from rsgeo.models.sat_unet import SatUNet

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "training"))

import make_guide

CONFIG = {
    "sample_size": 4, "in_channels": 6, "out_channels": 6, "block_out_channels": (32,), "layers_per_block": 1, "use_metadata": False,
    "down_block_types": ("CrossAttnDownBlock2D",), "up_block_types": ("CrossAttnUpBlock2D",), "attention_head_dim": 2, "cross_attention_dim": 16,
}  # fmt: skip


def levels(tmp_path: Path, schedule: str) -> torch.Tensor:
    DPMSolverMultistepScheduler(beta_schedule=schedule).save_pretrained(tmp_path / schedule)
    return make_guide.levels(tmp_path / schedule)


def test_a_network_of_another_schedule_is_told_the_time_of_equal_noise(tmp_path: Path) -> None:
    torch.manual_seed(0)
    before, after = levels(tmp_path, "squaredcos_cap_v2"), levels(tmp_path, "linear")
    unet = SatUNet(**CONFIG).eval()
    moved = copy.deepcopy(unet)
    assert make_guide.retime(moved, before, after, steps=600) < 0.5
    step = 600
    same = int((before - after[step]).abs().argmin())
    with torch.no_grad():
        was, now, unmoved = (net.time_embedding(net.time_proj(torch.tensor([t]))) for net, t in ((unet, same), (moved, step), (unet, step)))
    assert (now - was).square().mean() < 0.2 * (unmoved - was).square().mean()


def test_is_stored_in_a_byte_a_weight_and_read_as_any_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    unet = SatUNet(**CONFIG)
    unet.save_config(tmp_path)
    make_guide.store(unet.state_dict(), tmp_path)
    stored = load_file(tmp_path / make_guide.FILE)
    assert stored["mid_block.resnets.0.conv1.weight"].dtype == torch.float8_e4m3fn
    assert stored["conv_in.weight"].dtype == stored["mid_block.resnets.0.conv1.bias"].dtype == torch.float16
    read = load_module(SatUNet, tmp_path)
    for key, value in unet.state_dict().items():
        torch.testing.assert_close(read.state_dict()[key], value, rtol=0.07, atol=1e-3)
