"""Sweep: one field of the scene varied and all else held, to see what a dial of a model does, and whether it does anything."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from rsgeo.errors import CancelledError, InputError, ModelError, RsgeoWarning, TooLargeError
from rsgeo.geo import preview, provenance, strip
from rsgeo.hub import catalog
from rsgeo.hub.catalog import CatalogRecord
from rsgeo.request import Sampler, canonical_json
from rsgeo.runtime import Progress, Runtime
from rsgeo.scene import SceneMetadata
from rsgeo.synthesis.noise import noise_normal
from rsgeo.tasks import told
from rsgeo.tasks.wished import UNKNOWN, value_of

if TYPE_CHECKING:
    from rsgeo.tilemodel import TileModel

Field = Literal["gsd", "date", "lon", "lat", "cloud_cover_percent"]

FIELDS: dict[str, str] = {"gsd": "gsd", "date": "date", "lon": "place", "lat": "place", "cloud_cover_percent": "cloud_cover"}
"""What can be varied, and by what name a catalogue record says that it was taught."""

DEFAULT_SAMPLES = 8
MOST_SAMPLES = 64
MOST_VALUES = 24
MOST_PICTURES = 512

_UNITS = {"gsd": " in metres", "lon": " in degrees", "lat": " in degrees", "cloud_cover_percent": "", "date": ""}
_SEEDS_SHOWN = 3
_MIDDLE = (10.0, 45.0)
_REDRAWN = 0.5


@dataclass(frozen=True)
class SweepAsk:
    """What to vary and what to hold.

    ``values`` are decimal numbers (metres, degrees, percent), dates (YYYY-MM-DD or YYYY-MM), or "unknown"; the first is what the others are
    compared with. ``samples`` pictures of the seeds ``seed``, ``seed`` + 1, ... are made of each value. ``lon``, ``lat``, ``gsd``, ``date`` and
    ``cloud_cover`` are held: unknown, but for the GSD (the model's own) and, while longitude or latitude is varied, the other of the two (the middle
    of the model's region).
    """

    field: str
    values: Sequence[str | float]
    prompt: str = ""
    negative_prompt: str = ""
    seed: int = 0
    samples: int = DEFAULT_SAMPLES
    lon: float | None = None
    lat: float | None = None
    gsd: float | None = None
    date: str | None = None
    cloud_cover: float | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    model: str = catalog.DEFAULT_MODEL


@dataclass(frozen=True)
class SweepRow:
    """How the pictures of one value differ from those of the first, in grey levels.

    ``colour`` is the mean over the bands of how far the bands' means moved, ``structure`` how far the mean gradient did (grey levels a pixel), both
    of the averages over all seeds. ``picture`` is the mean difference of pixels of equal seeds.
    """

    value: str
    colour: float
    structure: float
    picture: float
    verdict: str


@dataclass(frozen=True)
class SweepResult:
    """The table of a sweep, and the pictures (value, seed, height, width, 3) uint8 of its first seeds.

    ``colour_floor`` and ``structure_floor`` are what two other sets of as many seeds, all else equal, differ by: the spread between seeds (standard
    deviation, pooled over the values) times sqrt(2 / samples). ``picture_floor`` is the mean difference of pixels between two seeds.
    """

    field: str
    rows: tuple[SweepRow, ...]
    colour_floor: float
    structure_floor: float
    picture_floor: float
    verdict: str
    model: str
    path: Path | None
    pictures: NDArray[np.uint8]

    def as_dict(self) -> dict[str, Any]:
        """The table as plain values, without the pictures."""
        return {
            "model": self.model,
            "field": self.field,
            "verdict": self.verdict,
            "noise_floor": {"colour": self.colour_floor, "structure": self.structure_floor, "picture": self.picture_floor},
            "rows": [asdict(row) for row in self.rows],
        }


def sweep(ask: SweepAsk, out: str | Path | None = None, runtime: Runtime | None = None) -> SweepResult:
    """Vary one field, and say what it changes; with ``out`` the pictures are written side by side there, as a PNG that carries the marks.

    Warns (RsgeoWarning) of values that the model cannot see, as its record says.

    Raises:
        RsgeoError: one sentence; nothing is written.
    """
    how, path = runtime or Runtime(), None if out is None else Path(out)
    record = catalog.for_task("generate", ask.model)
    if record.family == "cascade":
        raise InputError(f"{record.name} reads captions alone and no metadata; vary a field of another model.")
    labels, scenes = _scenes(ask, record)
    _check(ask, record)
    if path is not None:
        preview.check_preview(path, overwrite=how.overwrite)
    sampler = _sampler(ask, record)
    seen = [told.seen(scene, record) for scene in scenes]
    _warn_of_unseen(ask.field, labels, scenes, seen, record)

    pictures = _pictures(ask, seen, sampler, record, how)
    result = _table(ask, record.name, labels, pictures, path)
    if path is not None:
        _write(ask, result, sampler, record, path, how)
    return result


def _check(ask: SweepAsk, record: CatalogRecord) -> None:
    if not 2 <= ask.samples <= MOST_SAMPLES:
        raise InputError(f"--samples must be from 2 to {MOST_SAMPLES}, got {ask.samples}: without a second seed nobody knows what is chance.")
    if ask.samples * len(ask.values) > MOST_PICTURES:
        words = f"{len(ask.values)} values of {ask.samples} samples are {ask.samples * len(ask.values)} pictures"
        raise TooLargeError(f"{words}; take fewer, {MOST_PICTURES} at most.")
    if not 0 <= ask.seed <= 2**63 - ask.samples:
        raise InputError(f"--seed must be a whole number from 0 to 2^63 - {ask.samples}, got {ask.seed}.")


def _sampler(ask: SweepAsk, record: CatalogRecord) -> Sampler:
    defaults = record.defaults
    steps = defaults.num_inference_steps if ask.num_inference_steps is None else ask.num_inference_steps
    guidance = defaults.guidance_scale if ask.guidance_scale is None else ask.guidance_scale
    if not 1 <= steps <= record.schedule.most_steps:
        raise InputError(f"--num-inference-steps must be from 1 to {record.schedule.most_steps}, got {steps}.")
    if not 0.0 <= guidance <= 100.0:
        raise InputError(f"--guidance-scale must be from 0 to 100, got {guidance:g}.")
    return Sampler(scheduler=defaults.scheduler, num_inference_steps=steps, guidance_scale=guidance)


def _scenes(ask: SweepAsk, record: CatalogRecord) -> tuple[list[str], list[SceneMetadata]]:
    """The words for each value, and its scene."""
    if ask.field not in FIELDS:
        raise InputError(f"There is no field {ask.field!r}; vary one of {', '.join(FIELDS)}.")
    if not 2 <= len(ask.values) <= MOST_VALUES:
        raise InputError(f"--values must be from 2 to {MOST_VALUES} values, got {len(ask.values)}; the first is what the others are compared with.")
    place = _middle(record) if ask.field in ("lon", "lat") else (None, None)
    held = {
        "lon": place[0] if ask.lon is None else ask.lon,
        "lat": place[1] if ask.lat is None else ask.lat,
        "gsd": record.gsd_native if ask.gsd is None else ask.gsd,
        "date": ask.date,
        "cloud_cover_percent": ask.cloud_cover,
    }
    base = SceneMetadata(**{name: value_of(name, value) for name, value in held.items() if name != ask.field and value is not None})
    labels = [str(value).strip() for value in ask.values]
    if repeated := sorted({label for label in labels if labels.count(label) > 1}):
        raise InputError(f"--values names {', '.join(repeated)} twice; name each value once.")
    values = [value_of(ask.field, label) for label in labels]
    return labels, [base.model_copy(update={ask.field: value}) for value in values]


def _middle(record: CatalogRecord) -> tuple[float, float]:
    if record.trained_region is None:
        return _MIDDLE
    west, south, east, north = record.trained_region
    return (west + east) / 2, (south + north) / 2


def _warn_of_unseen(field: str, labels: list[str], scenes: list[SceneMetadata], seen: list[SceneMetadata], record: CatalogRecord) -> None:
    """Say which values do not reach the network as they are."""
    if FIELDS[field] not in record.trained_fields:
        words = f"{record.name} was not taught {field}; every value reaches it as unknown, and no picture can change."
        warnings.warn(words, RsgeoWarning, stacklevel=3)
        return
    changed = [
        f"{label} as {UNKNOWN if (value := getattr(after, field)) is None else format(value.value, 'g')}"
        for label, before, after in zip(labels, scenes, seen, strict=True)
        if getattr(after, field) != getattr(before, field)
    ]
    if changed:
        where = f"knows places in {record.trained_region_name} only" if field in ("lon", "lat") else f"knows {record.gsd_words}"
        warnings.warn(f"{record.name} {where}; it sees {', '.join(changed)}.", RsgeoWarning, stacklevel=3)


def _pictures(ask: SweepAsk, scenes: list[SceneMetadata], sampler: Sampler, record: CatalogRecord, how: Runtime) -> NDArray[np.uint8]:
    """The picture of each value and seed, (value, seed, height, width, 3)."""
    from rsgeo.hub.load import kept_pipeline, load_pipeline
    from rsgeo.pipelines.views import tile_model

    report = how.progress or (lambda _: None)
    report(Progress("load", 0, 1))
    loaded = kept_pipeline if how.keep_loaded else load_pipeline
    model = tile_model(loaded(record.address, device=how.device, dtype=how.dtype, compile=how.compile), sampler, ask.negative_prompt)
    report(Progress("load", 1, 1))
    batch, total = how.batch_size or record.defaults.batch_size, len(scenes) * ask.samples
    side = record.tile * record.scale
    made = np.empty((total, side, side, 3), np.uint8)
    for first in range(0, total, batch):
        if how.cancelled is not None and how.cancelled():
            raise CancelledError("Interrupted; nothing was written.")
        numbers = range(first, min(first + batch, total))
        # A batch is always full, so that each picture comes from the same arithmetic whatever stands beside it.
        places = [divmod(number % total, ask.samples) for number in range(first, first + batch)]
        tiles = _tiles(model, ask, [scenes[value] for value, _ in places], [ask.seed + sample for _, sample in places])
        made[numbers.start : numbers.stop] = tiles[: len(numbers)]
        report(Progress("synthesis", numbers.stop, total))
    return made.reshape(len(scenes), ask.samples, side, side, 3)


def _tiles(model: TileModel, ask: SweepAsk, scenes: list[SceneMetadata], seeds: list[int]) -> NDArray[np.uint8]:
    """One tile of each scene and seed, (batch, height, width, 3), from the noise at the origin of the seed's world."""
    level = model.levels[-1]

    def noise(of: str) -> Any:
        return model.to_device(np.stack([noise_normal(seed, of, 0, 0, level.tile, level.tile, level.channels) for seed in seeds]))

    cells, conditions, steps = level.start(noise("L0/init")), level.conditions([ask.prompt] * len(scenes), scenes), len(level.noise_levels)
    solver = level.solver(0, steps)
    for step in range(steps):
        cells = solver.step(cells, level.predict(cells, step, conditions), noise(f"L0/step{step}") if level.stochastic else None)
    pixels = level.decode(cells).float().cpu().numpy()
    if not np.isfinite(pixels).all():
        raise ModelError("The model gave numbers that are not finite; check its files, or try --dtype fp32.")
    grey: NDArray[np.uint8] = np.rint(np.clip((pixels + 1) * 127.5, 0, 255)).astype(np.uint8)
    return np.moveaxis(grey, 1, -1)


def _table(ask: SweepAsk, model: str, labels: list[str], pictures: NDArray[np.uint8], path: Path | None) -> SweepResult:
    colours = pictures.mean(axis=(2, 3), dtype=np.float64)
    structures = np.array([[_mean_gradient(picture) for picture in of_value] for of_value in pictures])
    chance = math.sqrt(2 / ask.samples)
    colour_floor = float(_spread(colours).mean()) * chance
    structure_floor = float(_spread(structures)) * chance
    picture_floor = float(np.mean([_apart(one, other) for one, other in _neighbours(pictures[0])]))
    rows: list[SweepRow] = []
    for label, of_value, colour, structure in zip(labels, pictures, colours, structures, strict=True):
        moved = float(np.abs(colour.mean(axis=0) - colours[0].mean(axis=0)).mean())
        rougher = float(abs(structure.mean() - structures[0].mean()))
        redrawn = float(np.mean([_apart(one, other) for one, other in zip(of_value, pictures[0], strict=True)]))
        verdict = _verdict(moved > colour_floor, rougher > structure_floor, redrawn, picture_floor) if rows else "compared with"
        rows.append(SweepRow(label, moved, rougher, redrawn, verdict))
    return SweepResult(
        ask.field,
        tuple(rows),
        colour_floor,
        structure_floor,
        picture_floor,
        _all_together(ask.field, model, [row.verdict for row in rows[1:]]),
        model,
        path,
        pictures[:, :_SEEDS_SHOWN],
    )


def _mean_gradient(picture: NDArray[np.uint8]) -> float:
    """Mean absolute difference of neighbouring pixels along both axes, of the mean of the bands; grey levels a pixel."""
    grey = picture.mean(axis=-1, dtype=np.float64)
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()) / 2


def _spread(of_seeds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation between seeds, (value, seed, ...) to (...), pooled over the values."""
    pooled: NDArray[np.float64] = np.sqrt(of_seeds.var(axis=1, ddof=1).mean(axis=0))
    return pooled


def _neighbours(of_seeds: NDArray[np.uint8]) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    return zip(of_seeds, np.roll(of_seeds, 1, axis=0), strict=True)


def _apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())


def _verdict(colour: bool, structure: bool, redrawn: float, between_seeds: float) -> str:
    if redrawn == 0:
        return "changes nothing"
    if colour or structure:
        return "changes " + " and ".join(name for name, changed in (("colour", colour), ("structure", structure)) if changed)
    return "draws another, alike" if redrawn > _REDRAWN * between_seeds else "changes almost nothing"


def _all_together(field: str, model: str, verdicts: list[str]) -> str:
    changing = sum(verdict not in ("changes nothing", "changes almost nothing") for verdict in verdicts)
    if all(verdict == "changes nothing" for verdict in verdicts):
        return f"{field} changes nothing in {model}."
    if not changing:
        return f"{field} changes almost nothing in {model}."
    return f"{field} changes the picture of {model} at {changing} of {len(verdicts)} values."


def _write(ask: SweepAsk, result: SweepResult, sampler: Sampler, record: CatalogRecord, path: Path, how: Runtime) -> None:
    shown = np.swapaxes(result.pictures, 0, 1)
    seeds = f"seeds {ask.seed} to {ask.seed + ask.samples - 1}"
    sheet = strip.strip(
        shown,
        title=[
            f"SYNTHETIC, not an observation: {record.name}, {ask.field}{_UNITS[ask.field]} varied",
            f"prompt: {ask.prompt or '(none)'}",
            f"{sampler.num_inference_steps} steps, guidance {sampler.guidance_scale:g}; verdicts from {seeds}",
        ],
        columns=[row.value for row in result.rows],
        rows=[f"seed {ask.seed + number}" for number in range(len(shown))],
        notes=[row.verdict for row in result.rows],
    )
    # The model by its name, for the path that was typed is nobody's business.
    model = {"model": record.name, "model_sha256": catalog.model_sha256(record)}
    asked = {**asdict(ask), **model, "values": [str(value) for value in ask.values], **sampler.model_dump()}
    preview.write_png(
        sheet,
        path,
        synthetic="ALL",
        created=provenance.creation_time(how.reproducible),
        copyright=how.copyright,
        said={"RSGEO_SWEEP": canonical_json(asked)},
    )
