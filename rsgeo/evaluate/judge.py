"""`Judge`: a small classifier of 64 px tiles, trained on real images only, that says what a generated tile looks like."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from numpy.typing import NDArray
from torch import nn

from rsgeo.errors import InputError, ModelError

EUROSAT_CLASSES = (
    "AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial",
    "Pasture", "PermanentCrop", "Residential", "River", "SeaLake",
)  # fmt: skip


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.second(self.first(x)))


class Judge(ModelMixin, ConfigMixin):
    """A convolutional classifier: a tile halved four times and averaged gives ``channels[-1]`` features; one linear layer, the classes."""

    config_name = "config.json"

    @register_to_config
    def __init__(self, channels: tuple[int, ...] = (32, 64, 96, 128), classes: tuple[str, ...] = EUROSAT_CLASSES) -> None:
        super().__init__()
        first, second, third, last = channels
        self.body = nn.Sequential(
            _convolution(3, first, stride=2),
            _convolution(first, second, stride=2),
            _Residual(second),
            _convolution(second, third, stride=2),
            _Residual(third),
            _convolution(third, last, stride=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(last, len(classes))

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels (batch, 3, height, width) in [0, 1] -> (batch, ``channels[-1]``), the features that Frechet distances are measured in."""
        # Mean and spread of EuroSAT, rounded: only the start of training depends on them.
        out: torch.Tensor = self.body((pixels - 0.37) / 0.15)
        return out

    def logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels (batch, 3, height, width) in [0, 1] -> (batch, classes)."""
        return self.forward(pixels)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.features(pixels))
        return out


def load(folder: Path) -> Judge:
    """The judge saved in ``folder``, in float32 and evaluation mode.

    Raises:
        ModelError: there is no judge in ``folder``.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} holds no judge; train one with training/train_judge.py or name its folder.")
    judge: Judge = Judge.from_pretrained(folder, torch_dtype=torch.float32)
    judge.eval()
    return judge


@torch.inference_mode()
def look(judge: Judge, tiles: NDArray[np.uint8], batch_size: int = 256) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Features (n, features) and the index of the recognised class (n,) of tiles (n, height, width, 3).

    Raises:
        InputError: ``tiles`` is not (n, height, width, 3) uint8, or is empty.
    """
    if tiles.dtype != np.uint8 or tiles.ndim != 4 or tiles.shape[-1] != 3 or not len(tiles):
        raise InputError(f"The judge takes tiles as (n, height, width, 3) uint8, not {tiles.shape} {tiles.dtype}; convert them first.")
    parts = [judge.features(batch) for batch in _batches(tiles, batch_size)]
    features = torch.cat(parts)
    return features.double().numpy(), judge.head(features).argmax(dim=1).numpy()


def _batches(tiles: NDArray[np.uint8], size: int) -> Iterator[torch.Tensor]:
    for start in range(0, len(tiles), size):
        yield torch.from_numpy(np.ascontiguousarray(tiles[start : start + size].transpose(0, 3, 1, 2))).float() / 255.0


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    layers: list[Any] = [nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)
