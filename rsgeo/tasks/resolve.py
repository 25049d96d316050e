"""From what was typed (`Ask`) to the complete `Request`. Torch is not needed."""

from __future__ import annotations

import math
import secrets
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from pydantic import ValidationError

from rsgeo.errors import AreaError, InputError, ModelError, RsgeoWarning
from rsgeo.geo import aoi as aois
from rsgeo.geo import derive, grid, prompts, provenance, reference
from rsgeo.geo.aoi import AOI
from rsgeo.geo.raster_read import PlacedImage
from rsgeo.hub import catalog
from rsgeo.hub.catalog import CatalogRecord, Task
from rsgeo.hub.records import LogSNRSchedule
from rsgeo.request import (
    MOST_SAMPLES,
    AoiRecord,
    Ask,
    GridRecord,
    ModelRecord,
    PromptRegion,
    Reference,
    Request,
    RequestedScene,
    Sampler,
    SamplesRecord,
    Synthesis,
)
from rsgeo.scene import DateValue, Value
from rsgeo.synthesis import phases
from rsgeo.tasks import references
from rsgeo.tasks.told import in_region

T = TypeVar("T")

_LARGEST_REQUEST_FILE = 10_000_000
_SAME_GSD = 1.01


@dataclass(frozen=True)
class Resolved:
    """A request with what was looked up for it: the model's record and the area (None: the whole grid).

    ``known`` is an image on the same grid whose pixels are taken as they are (`rsgeo.tasks.extend`). ``made`` are the facts of the run that made
    the file which the request was read from. ``files`` says where the files lie that the request names, by their hashes.
    ``truth`` is an image that the result is compared with (`rsgeo.tasks.predict`); it decides no pixel.
    """

    request: Request
    record: CatalogRecord
    aoi: AOI | None
    known: PlacedImage | None = None
    made: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    truth: tuple[Reference, Path] | None = None


def resolve(ask: Ask, task: Task = "generate") -> Resolved:
    """Fill what the ask leaves open from its area or raster, the stored request it starts from, and the model's record.

    A stored request that was made with references keeps its task, grid and references; their files have to be given again.

    Raises:
        RsgeoError: what was asked is contradictory, unreadable, too large or impossible; one sentence.
    """
    for name, given in (("--mask", ask.mask is not None), ("--mask-values", ask.mask_values), ("--bands", ask.bands)):
        if given:
            raise InputError(f"{name} says what of a raster to make anew; give it to rsgeo inpaint or extend.")
    stored, made = _stored(ask)
    if stored is not None and stored.references:
        _stay_in_place(ask, stored)
        task = cast(Task, stored.task)
    record = _model(ask, stored, task)
    _refuse_what_no_cascade_does(ask, stored, record)
    area = area_of(ask, stored)
    cells = _grid(ask, stored, record, area)
    request = request_of(ask, stored, record, cells, area, task=task)
    return checked(request, record, ask, made=made, files=references.found(request.references, ask.references))


def request_of(ask: Ask, stored: Request | None, record: CatalogRecord, cells: GridRecord, area: AOI | None, **fields: Any) -> Request:
    """The request for a grid and an area: what the ask leaves open is as in ``stored``, else the model's own. ``fields`` are further ones, or others.

    Raises InputError for numbers that are out of range.
    """
    sampler = sampler_of(ask, stored, record)
    synthesis = _synthesis(ask, sampler, stored, record)
    samples = _samples(ask, stored)
    usual = {
        "task": stored.task if stored else "generate",
        "model": ModelRecord(name=record.name, sha256=catalog.model_sha256(record), adapters=ask.adapters),
        "grid": cells,
        "aoi": None if area is None else _same_area(area, stored),
        "prompt": _first(ask.prompt, stored.prompt if stored else None, ""),
        "negative_prompt": _first(ask.negative_prompt, stored.negative_prompt if stored else None, ""),
        "scene": _scene(ask, stored),
        "sampler": sampler,
        "seed": _seed(ask, stored, 1 if samples is None else samples.count),
        "samples": samples,
        "synthesis": synthesis,
        "regions": regions_of(ask, stored, cells, phases.plan_halo(synthesis, record.scale)),
        "references": stored.references if stored else (),
    }
    return Request(**{**usual, **fields})


def checked(request: Request, record: CatalogRecord, ask: Ask, **found: Any) -> Resolved:
    """The resolved request, after its size was checked and what the model cannot see was said; ``found`` are further fields of `Resolved`.

    Raises TooLargeError, or InputError where the area holds no pixel.
    """
    # The mask is always rasterised from the stored area, so that a replay has the same one.
    kept = None if request.aoi is None else aois.from_record(request.aoi)
    grid.check_size(request.grid, kept, ask.max_pixels)
    _warn_of_untrained(request, record)
    return Resolved(request, record, kept, **found)


def load_request(path: str | Path) -> Request:
    """A request from a JSON file, as `Request.canonical_json` writes it.

    Raises:
        InputError: no file, no JSON, or no request of a version known here.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"There is no file {path}.")
    if file.stat().st_size > _LARGEST_REQUEST_FILE:
        raise InputError(f"{path} is too large to be a request.")
    try:
        return Request.model_validate_json(file.read_bytes())
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "the whole"
        raise InputError(f"{path} is not a request of this version of rsgeo: {where} is wrong.") from error


def _first(*values: T | None) -> T:
    return next(value for value in values if value is not None)


def _stored(ask: Ask) -> tuple[Request | None, Mapping[str, Any]]:
    """The request to start from, and the facts of the run that made the file it stands in."""
    if ask.from_file is not None and ask.request_file is not None:
        raise InputError("Give --from or --request, not both.")
    if ask.request_file is not None:
        return ask.request_file if isinstance(ask.request_file, Request) else load_request(ask.request_file), {}
    if ask.from_file is None:
        return None, {}
    found = provenance.read_request(ask.from_file)
    return found.request, found.run


def _stay_in_place(ask: Ask, stored: Request) -> None:
    """Refuse to move what was made with references: they hold for its own grid."""
    places = (ask.aoi, ask.bounds, ask.like, ask.crs, ask.gsd, ask.resolution)
    if any(place is not None for place in places):
        raise InputError(f"The stored request was made by rsgeo {stored.task} for its references' grid; leave out the options that name another.")


def _model(ask: Ask, stored: Request | None, task: Task) -> CatalogRecord:
    named = _first_or_none(ask.model, stored.model.name if stored else None)
    if named is None and not any(task in record.default_for and catalog.is_at_hand(record) for record in catalog.doing(task)):
        named = catalog.DEFAULT_MODEL
    record = catalog.for_task(task, named)
    if stored is not None and ask.model is None and catalog.model_sha256(record) != stored.model.sha256:
        sentence = f"The file was made with another version of {record.name} (other weights)"
        if not ask.model_anyway:
            raise ModelError(f"{sentence}; say --model-anyway to use the one installed here.")
        warnings.warn(f"{sentence}; the pixels will differ.", RsgeoWarning, stacklevel=3)
    return record


def _refuse_what_no_cascade_does(ask: Ask, stored: Request | None, record: CatalogRecord) -> None:
    if record.family != "cascade":
        return
    if ask.adapters:
        raise InputError(f"Adapters are for latent models, and {record.name} is a cascade; leave them out.")
    if _first(ask.negative_prompt, stored.negative_prompt if stored else None, ""):
        raise InputError(f"{record.name} is a cascade and heeds no negative prompt; leave out --negative-prompt.")
    wished = _first(ask.prompt, stored.prompt if stored else None, "") or ask.prompt_field is not None or (stored is not None and stored.regions)
    if wished and "text_encoder" not in catalog.layout_of(record).parts:
        words = f"{record.name} has no text encoder to read a prompt"
        raise InputError(f"{words}; rsgeo models convert {record.address} FOLDER --text-encoder T5 makes a model with one.")


def area_of(ask: Ask, stored: Request | None) -> AOI | None:
    if ask.aoi is not None and ask.bounds is not None:
        raise InputError("Give --aoi or --bounds, not both.")
    if ask.aoi is None and any(value is not None for value in (ask.layer, ask.where, ask.buffer_m)):
        raise InputError("--layer, --where and --buffer say what to take from a file; give it with --aoi.")
    if ask.aoi is None and ask.bounds is None and ask.aoi_crs is not None:
        raise InputError("--aoi-crs says how to read an area; give one with --aoi or --bounds.")
    if ask.aoi is not None:
        return aois.of(ask.aoi, layer=ask.layer, where=ask.where, crs=ask.aoi_crs, buffer_m=ask.buffer_m)
    if ask.bounds is not None:
        return aois.from_bounds(*ask.bounds, crs=ask.aoi_crs or "EPSG:4326")
    if ask.like is None and stored is not None and stored.aoi is not None:
        return aois.from_record(stored.aoi)
    return None


def _same_area(area: AOI, stored: Request | None) -> AoiRecord:
    if stored is not None and stored.aoi is not None and aois.from_record(stored.aoi).geometry.equals(area.geometry):
        return stored.aoi
    return area.to_record()


def _grid(ask: Ask, stored: Request | None, record: CatalogRecord, area: AOI | None) -> GridRecord:
    if ask.gsd is not None and ask.resolution is not None:
        raise InputError("Give --gsd (metres) or --resolution (CRS units), not both.")
    shaped = (ask.crs, ask.gsd, ask.resolution)
    if ask.like is not None:
        if any(shaped):
            raise InputError("--like takes the grid of the raster as it is; leave out --crs, --gsd and --resolution.")
        return reference.grid_of(ask.like)
    moved = any(shaped) or ask.aoi is not None or ask.bounds is not None
    if stored is not None and not moved:
        return _sound(stored.grid)
    if area is None:
        if stored is not None:
            raise InputError("The stored request has a raster's grid and no area; give --aoi or --bounds with --crs, --gsd or --resolution.")
        raise AreaError("Say where: --aoi FILE, --bounds W S E N, --like RASTER, --from FILE or --request FILE.")
    gsd, resolution, crs = ask.gsd, ask.resolution, ask.crs
    if stored is not None:
        # What was not said stays: another area of the stored request lies in the same world.
        crs = crs or stored.grid.crs
        resolution = resolution if gsd is not None or resolution is not None or ask.crs else grid.resolution_of(_sound(stored.grid))
    if gsd is None and resolution is None:
        if record.gsd_native is None:
            raise InputError(f"{record.name} was trained on images of no fixed GSD{_of_data(record)}; state one in metres with --gsd.")
        gsd = format(record.gsd_native, "g")
    return grid.for_aoi(area, gsd=gsd, resolution=resolution, crs=crs)


def _sound(cells: GridRecord) -> GridRecord:
    """A stored grid, after checking that its numbers are those of one."""
    try:
        pixel_area = abs(grid.geobox(cells).affine.determinant)
    except OverflowError:
        pixel_area = math.inf
    if not 0 < pixel_area < math.inf:
        raise InputError("The stored grid has pixels without a size; the file it comes from was edited.")
    return cells


def _scene(ask: Ask, stored: Request | None) -> RequestedScene:
    date: DateValue | None = stored.scene.date if stored else None
    cloud: Value | None = stored.scene.cloud_cover_percent if stored else None
    if ask.date is not None:
        date = derive.parse_requested_date(ask.date)
    elif date is not None:
        derive.parse_requested_date(date.value)  # raises if the stored one is no date
    percent = ask.cloud_cover if ask.cloud_cover is not None else cloud.value if cloud else 0.0
    if not 0.0 <= percent <= 100.0:
        raise InputError(f"Cloud cover is a percentage from 0 to 100, got {percent:g}.")
    if ask.cloud_cover is not None:
        cloud = Value(value=ask.cloud_cover, source="option")
    return RequestedScene(date=date, cloud_cover_percent=cloud)


def sampler_of(ask: Ask, stored: Request | None, record: CatalogRecord) -> Sampler:
    """The sampler that is asked for; what the ask leaves open is as in ``stored``, else the model's own. Raises InputError for what cannot be."""
    base = stored.sampler if stored and stored.model.name == record.name else None
    steps = _first(ask.num_inference_steps, base.num_inference_steps if base else None, record.defaults.num_inference_steps)
    guidance = _first(ask.guidance_scale, base.guidance_scale if base else None, record.defaults.guidance_scale)
    if not 1 <= steps <= record.schedule.most_steps:
        raise InputError(f"--num-inference-steps must be from 1 to {record.schedule.most_steps}, got {steps}.")
    if not 0.0 <= guidance <= 100.0:
        raise InputError(f"--guidance-scale must be from 0 to 100, got {guidance:g}.")
    scheduler = _first(ask.scheduler, base.scheduler if base else None, record.defaults.scheduler)
    if scheduler not in record.schedule.schedulers:
        whose = f"a cascade such as {record.name}" if record.family == "cascade" else record.name
        raise InputError(f"There is no scheduler {scheduler!r} for {whose}; use one of {', '.join(record.schedule.schedulers)}.")
    of_cascade = {}
    if isinstance(record.schedule, LogSNRSchedule):
        start_time = record.schedule.start_of(scheduler)
        if base is not None and base.scheduler == scheduler:
            start_time = _first(base.start_time, start_time)
        kept = None if base is None else base.lowres_noise_level
        of_cascade = {"start_time": start_time, "lowres_noise_level": _first(kept, record.schedule.lowres_noise_level)}
    return Sampler(
        scheduler=scheduler,
        num_inference_steps=steps,
        guidance_scale=guidance,
        eta=base.eta if base else 0.0,
        **of_cascade,
    )


def _samples(ask: Ask, stored: Request | None) -> SamplesRecord | None:
    before = stored.samples if stored else None
    if ask.samples == 1 and ask.samples_as is None and before is not None:
        return None
    count = _first_or_none(ask.samples, before.count if before else None)
    if count is None:
        if ask.samples_as is not None:
            raise InputError("--samples-as says what to write of several worlds; say how many with --samples.")
        return None
    if not 2 <= count <= MOST_SAMPLES:
        raise InputError(f"--samples must be from 2 to {MOST_SAMPLES}, got {count}; leave it out for one world.")
    write_as: Literal["statistics", "all"] = _first(ask.samples_as, before.write_as if before else None, "statistics")
    if write_as not in ("statistics", "all"):
        raise InputError(f"--samples-as must be statistics or all, got {write_as}.")
    return SamplesRecord(count=count, write_as=write_as)


def _seed(ask: Ask, stored: Request | None, worlds: int) -> int:
    """The seed of the first world; each further one has the next."""
    if ask.seed == "random":
        return secrets.randbelow(2**31)
    seed = _first(ask.seed, stored.seed if stored else None, 0)
    if not 0 <= seed <= 2**63 - worlds:
        raise InputError(f"--seed must be a whole number from 0 to 2^63 - {worlds}, got {seed}.")
    return seed


def regions_of(ask: Ask, stored: Request | None, cells: GridRecord, reach_px: int) -> tuple[PromptRegion, ...]:
    if ask.prompt_field is None:
        if ask.prompt_layer is not None or ask.prompt_map is not None:
            raise InputError("--prompt-layer and --prompt-map need --prompt-field, the attribute that holds the prompts.")
        return stored.regions if stored else ()
    source = _first_or_none(ask.prompt_layer, ask.aoi)
    if source is None:
        raise InputError("--prompt-field names an attribute of polygons; give them with --prompt-layer or --aoi.")
    own = ask.prompt_layer is None
    layer = aois.of(source, layer=ask.layer if own else None, crs=ask.aoi_crs if own else None, buffer_m=ask.buffer_m if own else None)
    words = None if ask.prompt_map is None else prompts.read_map(ask.prompt_map)
    found = prompts.regions(layer, ask.prompt_field, words, cells, reach_px)
    if not found:
        warnings.warn(f"No polygon with a prompt in {ask.prompt_field!r} is within reach; --prompt is taken everywhere.", RsgeoWarning, stacklevel=3)
    return found


def _first_or_none(*values: T | None) -> T | None:
    return next((value for value in values if value is not None), None)


def _synthesis(ask: Ask, sampler: Sampler, stored: Request | None, record: CatalogRecord) -> Synthesis:
    if ask.plan is None and stored is not None and stored.sampler == sampler and stored.model.name == record.name:
        return stored.synthesis
    name = ask.plan
    if name is None:
        name = "default" if stored is None else phases.name_of(stored.synthesis.plan)
    schedule, steps = record.schedule, sampler.num_inference_steps
    if isinstance(schedule, LogSNRSchedule):
        levels = phases.log_snr_noise_levels(schedule.log_snr, _first(sampler.start_time, 1.0), steps)
    else:
        _, levels = phases.noise_levels(
            schedule.beta_schedule,
            schedule.beta_start,
            schedule.beta_end,
            schedule.num_train_timesteps,
            steps,
            schedule.rescale_zero_snr,
        )
    return phases.plan_named(name, levels, record.tile, record.defaults.phases, record.levels[:-1])


def _of_data(record: CatalogRecord) -> str:
    return f" ({record.trained_on})" if record.trained_on else ""


def _warn_of_untrained(request: Request, record: CatalogRecord) -> None:
    """Say which wishes the model cannot see."""
    for name, wished, words in (
        ("date", request.scene.date, "a date"),
        ("cloud_cover", request.scene.cloud_cover_percent, "cloud cover"),
    ):
        if wished is not None and name not in record.trained_fields:
            warnings.warn(f"{record.name} was not taught {words}; it is recorded and does not change the picture.", RsgeoWarning, stacklevel=3)
    ground = grid.ground(request.grid)
    if record.gsd_range is None:
        words = f"{record.name} was trained on images of no fixed GSD{_of_data(record)}"
        warnings.warn(f"{words}; {ground.gsd_m:.4g} m is what was stated, and does not change what it paints.", RsgeoWarning, stacklevel=3)
    else:
        finest, coarsest = record.gsd_range
        # A pixel of 0.6 m on the map is 0.5998 or 0.6002 m on the ground; that is no news to anybody.
        if not finest / _SAME_GSD <= ground.gsd_m <= coarsest * _SAME_GSD:
            warnings.warn(
                f"The GSD of {ground.gsd_m:.4g} m is outside of what {record.name} was trained on ({record.gsd_words});"
                f" it paints as if for {min(max(ground.gsd_m, finest), coarsest):g} m.",
                RsgeoWarning,
                stacklevel=3,
            )
    if record.trained_region and not in_region(ground.lon, ground.lat, record):
        warnings.warn(
            f"{record.name} knows places in {record.trained_region_name} only; here the place does not change the picture.",
            RsgeoWarning,
            stacklevel=3,
        )
