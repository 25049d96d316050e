"""What is asked (`Ask`), and the complete answer to it (`Request`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from rsgeo.scene import DateValue, SceneMetadata, Value

SCHEMA_VERSION = 1

COLOURS = ("red", "green", "blue")
"""The bands of one world, in order."""

MOST_SAMPLES = 64
"""Worlds in one output: all of them are 192 bands, and a deviation of 64 is known to 9 %."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class GridRecord(_Record):
    """The target grid, exactly: a lattice in a CRS and an integer rectangle on it.

    ``crs`` is an authority code ("EPSG:32633") or, without one, WKT2:2019. ``lattice`` holds the six coefficients (a, b, c, d, e, f) of
    x = a col + b row + c, y = d col + e row + f as exact decimal text. ``col`` and ``row`` are the world cell of the upper left pixel.
    For areas of interest the lattice is (r, 0, 0, 0, -r, 0): it starts at the CRS origin and rows grow south.
    """

    crs: str
    lattice: tuple[str, str, str, str, str, str]
    col: int
    row: int
    width: int = Field(gt=0, lt=2**31)
    height: int = Field(gt=0, lt=2**31)


class AoiRecord(_Record):
    """The polygon whose pixels are valid, in the CRS it came in, coordinates rounded (1e-9 degree or 1e-3 m), as GeoJSON geometry.

    With ``--private`` only ``sha256`` (of the canonical JSON of crs and geometry) is left.
    """

    crs: str | None = None
    geometry: Mapping[str, Any] | None = None
    sha256: str | None = None


class ModelRecord(_Record):
    """Which model: its catalogue name, the hash over its files, and the hashes of LoRA adapters in order."""

    name: str
    sha256: str
    adapters: tuple[str, ...] = ()


class RequestedScene(_Record):
    """The date and cloud cover wished for; None is unknown. Place and GSD follow from the grid and are not stored twice."""

    date: DateValue | None = None
    cloud_cover_percent: Value | None = None


SCHEDULERS = ("ddim", "dpmsolver++", "euler", "sde-dpmsolver++", "unipc")
"""Solvers that can be cut into phases: they keep no history across a phase border, or start it afresh (SYNTHESIS.md 5.3)."""

CASCADE_SCHEDULERS = ("ancestral", "dpmsolver++", "sde-dpmsolver++")
"""Those of cascades (`rsgeo.models.log_snr_scheduler`)."""


class Sampler(_Record):
    """How noise becomes a picture; ``scheduler`` is one of `SCHEDULERS` or, of a cascade, of `CASCADE_SCHEDULERS`.

    Of a cascade alone: ``start_time`` is where in time (1 is noise alone) sampling starts; ``lowres_noise_level`` the time of the noise that is put
    on a level before the next finer one reads it (Saharia et al., Imagen, NeurIPS 2022, section 2.4: noise conditioning augmentation).
    """

    scheduler: str
    num_inference_steps: int = Field(ge=1)
    guidance_scale: float = Field(ge=0)
    eta: float = Field(default=0.0, ge=0)
    start_time: float | None = Field(default=None, gt=0, le=1)
    lowres_noise_level: float | None = Field(default=None, ge=0, le=1)

    @model_serializer(mode="wrap")
    def _without_what_is_not_its_own(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A sampler of no cascade reads, and is hashed, as before there were any."""
        fields: dict[str, Any] = serialise(self)
        for name in ("start_time", "lowres_noise_level"):
            if fields.get(name) is None:
                fields.pop(name, None)
        return fields


class PhaseRecord(_Record):
    """One phase of the synthesis: a lattice of windows, in cells, that run the solver steps ``first`` (included) to ``last`` (excluded).

    Windows cover [j * stride + shift, j * stride + shift + tile) for every integer j, in rows and columns alike (SYNTHESIS.md 5.3).
    """

    first: int = Field(ge=0)
    last: int = Field(gt=0)
    tile: int = Field(gt=1)
    stride: int = Field(gt=0)
    shift: int = Field(ge=0)


class LevelRecord(_Record):
    """A level of a cascade: its GSD in that of the finest one, and its phases, whose windows are in its own cells.

    The levels' lattices begin at the same place of the world, so that ``gsd_factor`` x ``gsd_factor`` cells of the finest level nest in one.
    """

    gsd_factor: int = Field(ge=1)
    phases: tuple[PhaseRecord, ...] = Field(min_length=1)


class Synthesis(_Record):
    """The plan by which windows cover the area.

    ``plan`` is its name (`rsgeo.synthesis.phases.plan_named`); ``version`` changes whenever the same plan would give other pixels. ``phases`` are
    those of the finest level; ``coarser`` are the levels that a cascade runs before it, coarse to fine.
    """

    plan: str
    version: Literal[1] = 1
    phases: tuple[PhaseRecord, ...] = Field(min_length=1)
    coarser: tuple[LevelRecord, ...] = ()

    @model_serializer(mode="wrap")
    def _without_levels_that_are_not(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The plan of a model of one level reads, and is hashed, as before there were others."""
        fields: dict[str, Any] = serialise(self)
        if not self.coarser:
            fields.pop("coarser", None)
        return fields

    @property
    def levels(self) -> tuple[LevelRecord, ...]:
        """All levels, coarse to fine."""
        return (*self.coarser, LevelRecord(gsd_factor=1, phases=self.phases))


MOST_GROWTH_PX = 256
"""How far a mask may grow."""


class MaskRecord(_Record):
    """Which pixels of a reference are made anew: those that a raster marks, those of an area, or those that have no data.

    A "raster" is told by ``sha256`` and ``name``; its first band marks by any of ``values``, or by anything but 0 where there are none. The "area" is
    stored as it is. Pixels up to ``grow_px`` from a marked one are marked as well.
    """

    kind: Literal["raster", "area", "nodata"]
    sha256: str | None = None
    name: str | None = None
    values: tuple[int, ...] = ()
    grow_px: int = Field(default=0, ge=0, le=MOST_GROWTH_PX)
    area: AoiRecord | None = None


class Reference(_Record):
    """A raster that conditions the result, or whose pixels stay in it; told by content hash and base name, never by path.

    ``role``: "known" (its pixels stay where ``mask`` does not say otherwise), "low_res" (it is refined), "series" (one of several dates).
    ``bands`` count from 1, in a Sentinel-2 product in the order of `rsgeo.geo.sentinel2.COMMON_NAME`; ``stretch`` is for each of them the numbers
    (low, high) that the model sees as black and white. ``resampling`` is how it comes to the model's lattice. ``gsd`` (metres), ``date`` and
    ``cloud_cover_percent`` are what the model is told of it.
    """

    role: Literal["known", "low_res", "series"]
    sha256: str
    name: str
    bands: tuple[int, ...] = ()
    stretch: tuple[tuple[float, float], ...] = ()
    resampling: Literal["nearest", "bilinear", "cubic", "lanczos", "average"] = "nearest"
    gsd: Value | None = None
    date: DateValue | None = None
    cloud_cover_percent: Value | None = None
    mask: MaskRecord | None = None


class SamplesRecord(_Record):
    """Several worlds in one output: those of the seeds ``seed``, ``seed + 1``, ..., ``seed + count - 1`` of the request.

    ``write_as`` "statistics" is the mean and the standard deviation of each colour over the worlds, in grey levels, rounded to whole ones. The
    deviation is the sample's, divided by count - 1; it is 180 at most, so a byte holds it. "all" is one world after the other.
    """

    count: int = Field(ge=2, le=MOST_SAMPLES)
    write_as: Literal["statistics", "all"]


class PromptRegion(_Record):
    """Where a prompt of its own holds: the dissolved polygons of a prompt layer that share it, as far as they are within reach."""

    prompt: str
    area: AoiRecord


class Request(_Record):
    """Everything that determines the pixels, and nothing else: equal requests give equal pixels."""

    schema_version: Literal[1] = 1
    task: str
    model: ModelRecord
    grid: GridRecord
    aoi: AoiRecord | None
    prompt: str
    negative_prompt: str = ""
    prompt_sha256: str | None = None
    regions: tuple[PromptRegion, ...] = ()
    scene: RequestedScene = RequestedScene()
    sampler: Sampler
    seed: int = Field(ge=0, lt=2**63)
    noise: Literal["rsgeo-noise/1"] = "rsgeo-noise/1"
    synthesis: Synthesis
    references: tuple[Reference, ...] = ()
    samples: SamplesRecord | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_not_asked(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A request without prompts by region, or of one world, reads, and is hashed, as before there were any."""
        fields: dict[str, Any] = serialise(self)
        if not self.regions:
            fields.pop("regions", None)
        if self.samples is None:
            fields.pop("samples", None)
        return fields

    @property
    def bands(self) -> tuple[str, ...]:
        """The names of the output's bands, in order: what all that writes or reads an output goes by."""
        if self.samples is None:
            return COLOURS
        samples = [f"sample {number}" for number in range(self.samples.count)]
        parts = ["mean", "deviation"] if self.samples.write_as == "statistics" else samples
        return tuple(f"{part} {colour}" for part in parts for colour in COLOURS)

    @property
    def worlds(self) -> tuple[Request, ...]:
        """The request of each world that the output is made from: itself alone, or one with the seed of each sample."""
        if self.samples is None:
            return (self,)
        return tuple(self.model_copy(update={"seed": self.seed + number, "samples": None}) for number in range(self.samples.count))

    def canonical_json(self) -> str:
        """JSON with sorted keys and no blanks; the text that is stored and hashed (PROVENANCE.md section 5)."""
        return canonical_json(self.model_dump(mode="json"))

    def sha256(self) -> str:
        """SHA-256 (hex) of the canonical JSON in UTF-8."""
        return sha256_text(self.canonical_json())


class CaptionRequest(_Record):
    """Everything that determines the pictures that are made from captions, one each: equal requests give equal pictures.

    Picture ``index`` is made of ``captions[index]`` and the numbers of ``seed`` and its index alone. ``scene`` is what the model is told of each,
    ``dtype`` what its network computes with.
    """

    schema_version: Literal[1] = 1
    task: Literal["sample"] = "sample"
    model: ModelRecord
    captions: tuple[str, ...] = Field(min_length=1)
    negative_prompt: str = ""
    scene: SceneMetadata = SceneMetadata()
    sampler: Sampler
    seed: int = Field(ge=0, lt=2**32)
    noise: Literal["torch-cpu/1"] = "torch-cpu/1"
    dtype: str

    def of_picture(self, index: int) -> str:
        """Canonical JSON of what determines one picture: what it says of itself."""
        settings = self.model_dump(mode="json", exclude={"captions"})
        return canonical_json({**settings, "index": index, "caption": self.captions[index]})


@dataclass(frozen=True)
class Ask:
    """What was typed: paths and options, with None where nothing was said. `rsgeo.tasks.resolve` turns it into a `Request`.

    Exactly one place is needed: ``aoi``, ``bounds``, ``like``, ``from_file`` or ``request_file`` (``like`` may come with ``aoi``).
    ``aoi`` is a path, a GeoJSON mapping, a geometry or a GeoDataFrame. ``bounds`` is (west, south, east, north) in ``aoi_crs``, degrees by
    default. ``request_file`` is a JSON file of a `Request`, or a `Request`. ``gsd`` is metres, ``resolution`` CRS units; both are decimal text
    so that the lattice is exact. ``cloud_cover`` is percent.
    ``prompt_field`` names the attribute that holds each polygon's prompt, in ``prompt_layer`` (what ``aoi`` may be; default all features of
    ``aoi``); ``prompt_map``, a mapping or a JSON file of one, says what prompt an attribute's value stands for. ``samples`` (2 to `MOST_SAMPLES`)
    draws so many worlds, of which sample k (from 0) is exactly the world of ``seed`` + k alone; ``samples_as`` says what of them is written
    (`SamplesRecord`; default statistics). 1 takes one world alone out of a stored request of several. ``plan`` names one of
    `rsgeo.synthesis.phases.PLANS`: "default", "economy" (less overlap, less work) or "preview" (one phase, for looking only).
    ``references`` are the files by which a stored request that needs some is made again; whatever their names, their contents have to be the same.
    ``mask`` (a raster, whatever ``aoi`` may be, or "nodata") says what `rsgeo.tasks.inpaint` makes anew, ``mask_values`` which numbers of a raster
    do; ``buffer_m`` widens it, of whatever kind it is. ``bands`` are the red, green and blue band of a raster, counted from 1. ``radiometry`` and
    ``band_names`` tell of references what `rsgeo.geo.optical` would else recognise, ``reference_dates`` when each was taken, in their order.
    """

    aoi: Any = None
    bounds: tuple[float, float, float, float] | None = None
    like: str | Path | None = None
    from_file: str | Path | None = None
    request_file: str | Path | Request | None = None
    layer: str | None = None
    where: str | None = None
    aoi_crs: str | None = None
    buffer_m: float | None = None
    crs: str | None = None
    gsd: str | None = None
    resolution: str | None = None
    date: str | None = None
    cloud_cover: float | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    prompt_field: str | None = None
    prompt_map: str | Path | Mapping[str, str] | None = None
    prompt_layer: Any = None
    seed: int | Literal["random"] | None = None
    samples: int | None = None
    samples_as: Literal["statistics", "all"] | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    scheduler: str | None = None
    plan: str | None = None
    model: str | None = None
    adapters: tuple[str, ...] = ()
    references: tuple[str | Path, ...] = ()
    mask: Any = None
    mask_values: tuple[int, ...] = ()
    bands: tuple[int, ...] = ()
    radiometry: str | None = None
    band_names: tuple[str, ...] = ()
    reference_dates: tuple[str, ...] = ()
    max_pixels: int = 400_000_000
    model_anyway: bool = False


def canonical_json(value: Any) -> str:
    """Canonical JSON text: sorted keys, separators ',' and ':', UTF-8 unescaped, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_text(text: str) -> str:
    """SHA-256 (hex) of a text in UTF-8."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
