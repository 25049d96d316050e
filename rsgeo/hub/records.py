"""What is known of a model without opening its weights: its record, as it stands in a folder's meta.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Task = Literal["generate", "superres", "predict", "inpaint", "extend"]
FieldName = Literal["place", "gsd", "date", "cloud_cover"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Schedule(_Part):
    """The noise schedule a model was trained with, as diffusers names it."""

    beta_schedule: Literal["squaredcos_cap_v2", "scaled_linear", "linear"]
    beta_start: float = 0.0001
    beta_end: float = 0.02
    num_train_timesteps: int = 1000
    rescale_zero_snr: bool = False


class Defaults(_Part):
    """Sampler settings used where a request leaves them open."""

    scheduler: str
    num_inference_steps: int = Field(ge=1)
    guidance_scale: float = Field(ge=0)
    phases: int = Field(default=2, ge=1, le=3)
    batch_size: int = Field(default=16, ge=1)


class Condition(_Part):
    """The images that a ControlNet was trained to see beside the noise.

    ``bands`` names an image's bands in their order, by colour or as the product does ("B8A"); "known" is a mask, 1 where pixels are known and 0, as
    the pixels then are, where they are to be made. ``images`` is how many there were in training; a ``series`` may be of any number, each image with
    its date. ``scale``: pixels of the picture for one of the condition, along an axis.

    ``metadata`` says whose metadata go with an image: nobody's, those of the picture ("target") or its own. ``gsd`` is what they say as GSD, in
    metres, whatever the image has; None: its own. ``radiometry`` says how numbers become [0, 1]: "colours" as they are shown, 0 to 255, or
    "fmow-sentinel2", each band of digital numbers from its mean - 2 deviations to its mean + 2 deviations over fMoW-Sentinel, cut to bytes.
    """

    bands: tuple[str, ...] = Field(min_length=1)
    images: int = Field(default=1, ge=1)
    series: bool = False
    scale: int = Field(default=1, ge=1)
    metadata: Literal["none", "target", "own"] = "none"
    gsd: float | None = Field(default=None, gt=0)
    radiometry: Literal["colours", "fmow-sentinel2"] = "colours"


class Archive(_Part):
    """The file a model was published as: where, and its bytes and SHA-256 where they are known."""

    url: str
    bytes: int | None = Field(default=None, ge=0)
    sha256: str | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]


class CatalogRecord(_Part):
    """One model: where it is, what it may be used for, what it sees and what it does by default.

    ``tile`` is the window side in cells, ``scale`` pixels a cell, ``gsd_*`` metres a pixel. ``trained_fields`` are the metadata that training
    data taught ("place", "gsd", "date", "cloud_cover"); every other field reaches the network as unknown. ``trained_region`` is (west, south, east,
    north) in degrees, outside of which the place is unknown to it as well. ``encoding`` says how metadata become numbers, and with that what unknown
    becomes (`rsgeo.encoding`). ``window_bytes`` is the memory that each window of a batch takes while the network runs, about.

    ``tasks`` are what the model can do, ``default_for`` those for which it is taken where no model is named. ``base`` names the record whose UNet,
    and whatever else the folder lacks, a ControlNet works with; what its own record leaves out is as there. ``condition`` is what it sees.
    ``checkpoint`` names the folder of the UNet where a model has several, ``base_checkpoint`` that of the base.

    ``folder`` is where the files lie, ``address`` what `rsgeo.hub.catalog.find` takes to give this record again; neither is stored.
    """

    schema_version: Literal[1] = 1
    name: str
    family: Literal["latent"]
    title: str
    licence: str
    citation: str = ""
    sha256: str | None = None
    archive: Archive | None = None
    tasks: tuple[Task, ...] = ("generate", "inpaint", "extend")
    default_for: tuple[Task, ...] = ()
    base: str | None = None
    base_checkpoint: str | None = None
    checkpoint: str | None = None
    condition: Condition | None = None
    files: str | None = None
    tile: int
    scale: int
    channels: int
    decoder_tile: int | None = None
    decoder_stride: int | None = None
    window_bytes: int = Field(default=0, ge=0)
    gsd_native: float
    gsd_min: float
    gsd_max: float
    encoding: Literal["rsgeo", "sinusoid"] = "rsgeo"
    trained_fields: tuple[FieldName, ...]
    trained_region: tuple[float, float, float, float] | None = None
    trained_region_name: str = ""
    schedule: Schedule
    defaults: Defaults
    training: dict[str, Any] = Field(default_factory=dict)
    scores: dict[str, Any] = Field(default_factory=dict)
    folder: Path = Field(default=Path(), exclude=True)
    address: str = Field(default="", exclude=True)


NOT_OF_THE_BASE = frozenset({
    "schema_version", "name", "title", "licence", "citation", "sha256", "archive", "tasks", "default_for", "base", "base_checkpoint", "checkpoint",
    "condition", "files", "training", "scores", "folder", "address",
})  # fmt: skip
"""Fields that a ControlNet's record does not take over from its base."""
