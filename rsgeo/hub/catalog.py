"""The catalogue: what is known of each model without opening its weights. Never imports torch."""

from __future__ import annotations

import difflib
import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rsgeo.errors import ModelError

EMBEDDED = Path(__file__).resolve().parents[1] / "weights"
DEFAULT_MODEL = "rsgeo-mini"
_RECORD = "meta.json"
_NOT_HASHED = {".md", ".png", ".csv"}


class Schedule(BaseModel):
    """The noise schedule a model was trained with, as diffusers names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    beta_schedule: Literal["squaredcos_cap_v2", "scaled_linear", "linear"]
    beta_start: float = 0.0001
    beta_end: float = 0.02
    num_train_timesteps: int = 1000
    rescale_zero_snr: bool = False


class Defaults(BaseModel):
    """Sampler settings used where a request leaves them open."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheduler: str
    num_inference_steps: int = Field(ge=1)
    guidance_scale: float = Field(ge=0)
    phases: int = Field(default=2, ge=1, le=3)
    batch_size: int = Field(default=16, ge=1)


class CatalogRecord(BaseModel):
    """One model: where it is, what it may be used for, what it sees and what it does by default.

    ``tile`` is the window side in cells, ``scale`` pixels a cell, ``gsd_*`` metres a pixel. ``trained_fields`` are the metadata that training
    data taught ("place", "gsd", "date", "cloud_cover"); every other field reaches the network as unknown. ``trained_region`` is (west, south, east,
    north) in degrees, outside of which the place is unknown to it as well. ``window_bytes`` is the memory that each window of a batch takes while
    the network runs, about.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    name: str
    family: Literal["latent"]
    title: str
    licence: str
    citation: str = ""
    sha256: str | None = None
    tile: int
    scale: int
    channels: int
    decoder_tile: int | None = None
    decoder_stride: int | None = None
    window_bytes: int = Field(default=0, ge=0)
    gsd_native: float
    gsd_min: float
    gsd_max: float
    trained_fields: tuple[Literal["place", "gsd", "date", "cloud_cover"], ...]
    trained_region: tuple[float, float, float, float] | None = None
    trained_region_name: str = ""
    schedule: Schedule
    defaults: Defaults
    training: dict[str, Any] = Field(default_factory=dict)
    scores: dict[str, Any] = Field(default_factory=dict)
    folder: Path = Field(default=Path(), exclude=True)


def names() -> list[str]:
    """Names of the models that are at hand."""
    return sorted(path.parent.name for path in EMBEDDED.glob(f"*/{_RECORD}"))


def find(name_or_path: str) -> CatalogRecord:
    """The record of a model by its name, or of a folder that this project wrote.

    Raises:
        ModelError: no such model (near names are listed), or its record is damaged.
    """
    for folder in (EMBEDDED / name_or_path, Path(name_or_path)):
        if name_or_path in names() and folder.parent != EMBEDDED:
            continue
        if (folder / _RECORD).is_file():
            return _read(folder.resolve())
    if Path(name_or_path).is_dir():
        raise ModelError(f"The folder {name_or_path} holds no {_RECORD}; give a model folder written by rsgeo.")
    near = difflib.get_close_matches(name_or_path.lower(), names(), n=3, cutoff=0.3) or names()
    raise ModelError(f"There is no model {name_or_path!r}; there is {', '.join(near)}.")


def model_sha256(record: CatalogRecord) -> str:
    """SHA-256 over the sorted lines ``relative-path NUL sha256(file)`` of all weight and configuration files (PROVENANCE.md section 5)."""
    files = sorted(path for path in record.folder.rglob("*") if path.is_file() and path.name != _RECORD and path.suffix not in _NOT_HASHED)
    lines = [f"{path.relative_to(record.folder).as_posix()}\0{_file_sha256(path, *_stamp(path))}\n" for path in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _read(folder: Path) -> CatalogRecord:
    try:
        record = CatalogRecord.model_validate(json.loads((folder / _RECORD).read_text(encoding="utf-8")))
    except (ValidationError, ValueError) as error:
        raise ModelError(f"The record {folder.name}/{_RECORD} of a model is damaged; install the model again.") from error
    return record.model_copy(update={"folder": folder})


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=256)
def _file_sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
