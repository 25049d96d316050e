"""Which device and number type to compute with, and what this machine offers."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from rsgeo.errors import DeviceError

if TYPE_CHECKING:
    import torch

DISTRIBUTIONS = (
    "rsgeo", "torch", "diffusers", "transformers", "tokenizers", "accelerate", "safetensors", "peft", "numpy", "rasterio", "pyogrio",
    "geopandas", "shapely", "pyproj", "odc-geo", "xarray", "rioxarray", "pydantic", "pystac",
)  # fmt: skip


def pick_device(name: str) -> torch.device:
    """The device called ``name``; "auto" is CUDA, else MPS, else the CPU.

    Raises:
        DeviceError: this machine has no such device.
    """
    import torch

    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if present[kind])
    if not present.get(name, False):
        there = ", ".join(kind for kind, there in present.items() if there)
        raise DeviceError(f"This machine has no device {name!r} that torch can use; there is {there}.")
    return torch.device(name)


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The number type called ``name`` (fp32 and float32 are one); "auto" is bf16 on a CUDA device that computes it natively, else fp32."""
    import torch

    if name == "auto":
        native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        name = "bf16" if native else "fp32"
    short = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    return short[name] if name in short else {str(dtype).removeprefix("torch."): dtype for dtype in short.values()}[name]


def versions() -> dict[str, str | None]:
    """Installed versions of what rsgeo stands on; None is missing."""

    def installed(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    return {name: installed(name) for name in DISTRIBUTIONS}


def describe() -> list[dict[str, Any]]:
    """The devices of this machine: kind, name, and memory in bytes where it is known."""
    import torch

    found: list[dict[str, Any]] = [{"kind": "cpu", "name": f"{torch.get_num_threads()} threads", "memory": None}]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found.append({"kind": "cuda", "name": properties.name, "memory": properties.total_memory})
    if torch.backends.mps.is_available():
        found.append({"kind": "mps", "name": "Apple GPU", "memory": None})
    return found
