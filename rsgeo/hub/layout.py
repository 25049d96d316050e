"""Which files of a folder make a model: those that DiffusionSat's code wrote, and those that diffusers and this project write.

All have a folder for each part. DiffusionSat's training leaves its UNets in ``checkpoint-N/unet``, beside files that are of no use here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rsgeo.errors import ModelError

PARTS = ("unet", "guide", "controlnet", "vae", "base_unet", "sr_unet", "text_encoder", "tokenizer", "scheduler", "lowres_scheduler")
STAGES = ("base_unet", "sr_unet")
"""The networks of a cascade, coarse to fine."""
INDEX = "model_index.json"
ROOT = "root"
"""What ``checkpoint`` says for the UNet of the root's own ``unet/``."""

_CHECKPOINT = re.compile(r"checkpoint-(\d{1,12})")
_NOT_HASHED = {".md", ".png", ".csv"}


@dataclass(frozen=True)
class Layout:
    """The parts of a model that are there, by name, and the folder that they are in."""

    root: Path
    parts: Mapping[str, Path]

    def files(self) -> list[Path]:
        """The weight and configuration files, sorted by their path."""
        index = self.root / INDEX
        found = {path for part in self.parts.values() for path in part.rglob("*") if path.is_file() and path.suffix not in _NOT_HASHED}
        return sorted(found | ({index} if index.is_file() else set()))

    @property
    def is_cascade(self) -> bool:
        """Whether the parts are those of a cascade of pixels."""
        return any(stage in self.parts for stage in STAGES)


def root_of(folder: Path) -> Path:
    """``folder``, or the one folder in it where it has no parts itself, as an archive unpacked into a folder of its own has it."""
    if _holds_parts(folder):
        return folder
    inner = [path for path in folder.iterdir() if path.is_dir() and _holds_parts(path)]
    return inner[0] if len(inner) == 1 else folder


def of(folder: Path, checkpoint: str | None = None) -> Layout:
    """The parts in ``folder``. The UNet is that of the highest ``checkpoint-N``, else of the root, or of the ``checkpoint`` that is named.

    Raises:
        ModelError: there is no such checkpoint; those that there are are listed.
    """
    parts = {name: folder / name for name in PARTS if (folder / name).is_dir()}
    unets = _unets(folder)
    if checkpoint is not None:
        name = f"checkpoint-{checkpoint}" if checkpoint.isdigit() else checkpoint
        if name not in unets:
            raise ModelError(f"{folder.name} holds no UNet {checkpoint!r}; there is {', '.join(unets) or 'none'}.")
        parts["unet"] = unets[name]
    elif unets:
        parts["unet"] = next(iter(unets.values()))
    return Layout(folder, parts)


def _unets(folder: Path) -> dict[str, Path]:
    """The UNets of a folder by the name of their checkpoint: the highest first, the root's last."""
    numbered = []
    for path in folder.glob("checkpoint-*"):
        match = _CHECKPOINT.fullmatch(path.name)
        if match and (path / "unet").is_dir():
            numbered.append((int(match[1]), path))
    found = {path.name: path / "unet" for _, path in sorted(numbered, reverse=True)}
    return found | ({ROOT: folder / "unet"} if (folder / "unet").is_dir() else {})


def _holds_parts(folder: Path) -> bool:
    return (folder / INDEX).is_file() or bool(of(folder).parts)
