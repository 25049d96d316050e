"""The published configurations of `rsgeo.models.rsdiff_unet.RSDiffUNet`."""

from __future__ import annotations

from typing import Any

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "rsdiff1.5-base": {
        "sample_size": 128, "dim": 128, "cond_dim": 256, "dim_mults": [1, 2, 2, 2], "num_resnet_blocks": 0,
        "layer_attns": [False, True, True, True], "layer_cross_attns": [False, True, True, True],
    },
    "rsdiff1.5-sr": {
        "sample_size": 256, "dim": 128, "cond_dim": 512, "dim_mults": [1, 2, 3, 4], "num_resnet_blocks": [2, 2, 2, 2],
        "layer_attns": [False, False, False, True], "layer_cross_attns": [False, False, False, True], "lowres_cond": True,
    },
    "rsdiff1-base": {
        "sample_size": 128, "dim": 128, "cond_dim": 512, "dim_mults": [1, 2, 4, 8], "num_resnet_blocks": 3,
        "layer_attns": [False, True, True, True], "layer_cross_attns": [False, True, True, True],
    },
    "rsdiff1-sr": {
        "sample_size": 256, "dim": 128, "cond_dim": 512, "dim_mults": [1, 2, 4, 8], "num_resnet_blocks": [2, 4, 8, 8],
        "layer_attns": [False, False, False, True], "layer_cross_attns": [False, False, False, True], "lowres_cond": True,
    },
}  # fmt: skip
"""Every published configuration, as the cascade builds it: its super-resolution stages see the low-resolution image."""
