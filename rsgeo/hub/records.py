"""What is known of a model without opening its weights: its record, as it stands in a folder's meta.json."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rsgeo.request import CASCADE_SCHEDULERS, SCHEDULERS

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

    @property
    def most_steps(self) -> int:
        """The most steps that a sampler may take."""
        return self.num_train_timesteps

    @property
    def schedulers(self) -> tuple[str, ...]:
        """The names of the solvers that run it."""
        return SCHEDULERS

    def start_of(self, scheduler: str) -> float:
        """The time at which a solver starts, 1 being noise alone."""
        return 1.0


class LogSNRSchedule(_Part):
    """A schedule in continuous time (`rsgeo.models.log_snr_scheduler`), 1 being noise alone: its name, the time at which few steps start, and that of
    the noise on a stage before the next one reads it.
    """

    log_snr: Literal["cosine", "linear"]
    start_time: float = Field(default=0.99, gt=0, le=1)
    lowres_noise_level: float = Field(default=0.2, ge=0, le=1)

    @property
    def most_steps(self) -> int:
        """The most steps that a sampler may take: as many as the original does."""
        return 1000

    @property
    def schedulers(self) -> tuple[str, ...]:
        """The names of the solvers that run it."""
        return CASCADE_SCHEDULERS

    def start_of(self, scheduler: str) -> float:
        """The time at which a solver starts, 1 being noise alone: where few steps do best, or as the original does."""
        return 1.0 if scheduler == "ancestral" else self.start_time


class Stage(_Part):
    """One stage of a cascade: its window side in pixels, and its GSD in that of the finest stage."""

    tile: int = Field(gt=1)
    gsd_factor: int = Field(ge=1)


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


class Look(_Part):
    """What pictures a model was trained with look like at a GSD in metres, black being 0 and white 1.

    ``mean`` of red, green and blue and the ``deviation`` of a band are over all pixels. ``brightness``, ``red_less_green`` and ``blue_less_green``
    are where the means of whole pictures lie, the 2nd to the 98th percentile.
    """

    gsd: float = Field(gt=0)
    mean: tuple[float, float, float]
    deviation: float = Field(gt=0)
    brightness: tuple[float, float]
    red_less_green: tuple[float, float]
    blue_less_green: tuple[float, float]

    def knows(self, mean: Sequence[float]) -> bool:
        """Whether pictures of that mean colour were among them."""
        red, green, blue = mean
        places = ((sum(mean) / 3, self.brightness), (red - green, self.red_less_green), (blue - green, self.blue_less_green))
        return all(low <= value <= high for value, (low, high) in places)


class Archive(_Part):
    """The file a model was published as: where, and its bytes and SHA-256 where they are known."""

    url: str
    bytes: int | None = Field(default=None, ge=0)
    sha256: str | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]

    @property
    def hub_id(self) -> str | None:
        """The model of the Hugging Face hub whose file it is."""
        found = re.match(r"https://huggingface\.co/([^/]+/[^/]+)/resolve/", self.url)
        return found[1] if found else None


class CatalogRecord(_Part):
    """One model: where it is, what it may be used for, what it sees and what it does by default.

    ``family`` "latent" is a `rsgeo.pipelines.sat_pipeline.SatPipeline`; "cascade" is a `rsgeo.pipelines.rsdiff_pipeline.RSDiffPipeline`, whose
    ``stages`` run coarse to fine, each conditioned on the one before.

    ``tile`` is the window side in cells (of a cascade's last stage), ``scale`` pixels a cell. ``gsd_*`` are metres a pixel, all None where training
    had no fixed GSD: it is then what the user states. ``trained_on`` names the training data. ``trained_fields`` are the metadata that training
    data taught ("place", "gsd", "date", "cloud_cover"); every other field reaches the network as unknown. ``trained_region`` is (west, south, east,
    north) in degrees, outside of which the place is unknown to it as well. ``encoding`` says how metadata become numbers, and with that what unknown
    becomes (`rsgeo.encoding`). ``window_bytes`` is the memory that each window of a batch takes while the network runs, about.

    ``looks`` say what colours it knows, where that is known; at a GSD between them the nearest holds.

    ``tasks`` are what the model can do, ``default_for`` those for which it is taken where no model is named. ``base`` names the record whose UNet,
    and whatever else the folder lacks, a ControlNet works with; what its own record leaves out is as there. ``condition`` is what it sees.
    ``checkpoint`` names the folder of the UNet where a model has several, ``base_checkpoint`` that of the base.

    ``folder`` is where the files lie, ``address`` what `rsgeo.hub.catalog.find` takes to give this record again; neither is stored.
    """

    schema_version: Literal[1] = 1
    name: str
    family: Literal["latent", "cascade"]
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
    stages: tuple[Stage, ...] = ()
    window_bytes: int = Field(default=0, ge=0)
    gsd_native: float | None = None
    gsd_min: float | None = None
    gsd_max: float | None = None
    trained_on: str = ""
    encoding: Literal["rsgeo", "sinusoid"] = "rsgeo"
    trained_fields: tuple[FieldName, ...]
    trained_region: tuple[float, float, float, float] | None = None
    trained_region_name: str = ""
    looks: tuple[Look, ...] = ()
    schedule: Schedule | LogSNRSchedule
    defaults: Defaults
    training: dict[str, Any] = Field(default_factory=dict)
    scores: dict[str, Any] = Field(default_factory=dict)
    folder: Path = Field(default=Path(), exclude=True)
    address: str = Field(default="", exclude=True)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.family == "cascade") != bool(self.stages) or (self.family == "cascade") != isinstance(self.schedule, LogSNRSchedule):
            raise ValueError("a cascade, and only that, has stages and a schedule in log-SNR")
        if self.stages and (
            self.stages[-1] != Stage(tile=self.tile, gsd_factor=1) or any(one.gsd_factor <= two.gsd_factor for one, two in pairwise(self.stages))
        ):
            raise ValueError("the stages must run coarse to fine, the last one with the record's tile and factor 1")
        if len({value is None for value in (self.gsd_native, self.gsd_min, self.gsd_max)}) > 1:
            raise ValueError("gsd_native, gsd_min and gsd_max must be given together")
        return self

    @property
    def levels(self) -> list[tuple[int, int]]:
        """Tile and GSD factor of each level that covers an area, coarse to fine."""
        return [(stage.tile, stage.gsd_factor) for stage in self.stages] or [(self.tile, 1)]

    @property
    def gsd_range(self) -> tuple[float, float] | None:
        """The finest and the coarsest GSD of training in metres; None where it had no fixed one."""
        return None if self.gsd_min is None or self.gsd_max is None else (self.gsd_min, self.gsd_max)

    @property
    def gsd_words(self) -> str:
        """`gsd_range` for people to read."""
        return "no fixed GSD" if self.gsd_range is None else f"{self.gsd_range[0]:g} to {self.gsd_range[1]:g} m"


NOT_OF_THE_BASE = frozenset({
    "schema_version", "name", "title", "licence", "citation", "sha256", "archive", "tasks", "default_for", "base", "base_checkpoint", "checkpoint",
    "condition", "files", "training", "scores", "folder", "address",
})  # fmt: skip
"""Fields that a ControlNet's record does not take over from its base."""
