"""`ConditionEncoder`: condition images to features on the latent grid, as both ControlNets read them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.models.controlnets.controlnet import zero_module
from torch import nn
from torch.nn import functional


def condition_strides(conditioning_scale: float, latent_factor: int, pairs: int) -> list[int]:
    """Stride of each pair of convolutions: halve until the condition has come down to the latent grid.

    Args:
        conditioning_scale: pixels of the target for one of the condition, along one axis.
        latent_factor: pixels of the target for one latent cell, along one axis.
        pairs: how many pairs there are.

    Raises:
        ValueError: so few pairs do not reach the latent grid.
    """
    reached, strides = conditioning_scale, []
    for _ in range(pairs):
        strides.append(2 if reached < latent_factor else 1)
        reached *= strides[-1]
    if reached < latent_factor:
        raise ValueError(
            f"conditioning_embedding_out_channels needs more entries: {pairs} halvings of a condition at 1/{conditioning_scale} of the target's "
            f"size do not reach the latents at 1/{latent_factor}"
        )
    return strides


class ConditionEncoder(nn.Module):
    """Convolutions with SiLU, a pair for each step in ``block_out_channels``, the last one zero at first (Zhang et al., ControlNet, ICCV 2023).

    With ``temporal`` the images are a series: kernels reach one frame to either side, beyond the ends are zeros, and frames are never merged.
    """

    def __init__(
        self, in_channels: int, out_channels: int, block_out_channels: Sequence[int], strides: Sequence[int], temporal: bool = False
    ) -> None:
        super().__init__()
        conv = nn.Conv3d if temporal else nn.Conv2d
        first, last = block_out_channels[0], block_out_channels[-1]
        self.conv_in = conv(in_channels, first, kernel_size=3, padding=1)
        self.blocks = nn.ModuleList()
        for narrow, wide, stride in zip(block_out_channels[:-1], block_out_channels[1:], strides, strict=True):
            self.blocks.append(conv(narrow, narrow, kernel_size=3, padding=1))
            if temporal:
                self.blocks.append(nn.Conv3d(narrow, wide, kernel_size=(1, 3, 3), padding=(0, 1, 1), stride=(1, stride, stride)))
            else:
                self.blocks.append(nn.Conv2d(narrow, wide, kernel_size=3, padding=1, stride=stride))
        self.conv_out = zero_module(conv(last, out_channels, kernel_size=3, padding=1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(batch, channels, [frames,] height, width) -> (batch, out channels, [frames,] height / product of strides, width / the same)."""
        features = functional.silu(self.conv_in(images))
        for block in self.blocks:
            features = functional.silu(block(features))
        encoded: torch.Tensor = self.conv_out(features)
        return encoded
