"""How fast a model runs on this machine: measured once and then kept, so that what was picked stays the same.

One small JSON file a model and device, in the user's cache folder or in the folder that ``RSGEO_CACHE`` names. Reading it needs no torch.
"""

from __future__ import annotations

import math
import os
import platform
import statistics
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rsgeo.errors import RsgeoWarning
from rsgeo.hub import catalog, places
from rsgeo.hub.catalog import CatalogRecord
from rsgeo.hub.records import Condition
from rsgeo.scene import SceneMetadata
from rsgeo.tilemodel import Coarser, Known, Level, Seen

if TYPE_CHECKING:
    from rsgeo.pipelines.cascade_view import CascadeTileModel
    from rsgeo.pipelines.tile_view import LatentTileModel

    BoundModel: TypeAlias = LatentTileModel | CascadeTileModel

DTYPES = ("float32", "bfloat16")
"""What "auto" chooses from. float16 is never picked: it overflows, and few CPUs compute it."""

_WORTH_ANOTHER_DTYPE = 1.15  # how much faster bfloat16 must be, so that chance does not decide
_WORTH_A_LARGER_BATCH = 1.15  # and a larger batch, which small areas fill up with windows that nobody needs
_MOST_DOUBLINGS = 2
_LEAST_RUNS = 3
_TRIAL_S = 0.4
_LONG_TRIAL_S = 2.0


class Pace(BaseModel):
    """One way to run: seconds an evaluation of the network by one window usually takes, and the most memory of a GPU in use at it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: str
    batch_size: int = Field(ge=1)
    seconds: float = Field(gt=0)
    device_bytes: int = Field(default=0, ge=0)


class Calibration(BaseModel):
    """What is known of a model on a device of this machine; ``dtype`` and ``batch_size`` are what "auto" takes.

    ``start_seconds`` is what a fresh process takes until it has loaded the model: Python, its libraries, the weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[2] = 2
    model_sha256: str
    device: str
    device_name: str
    threads: int
    start_seconds: float = Field(ge=0)
    dtype: str
    batch_size: int
    paces: tuple[Pace, ...] = Field(min_length=1)

    def pace(self, dtype: str, batch_size: int) -> Pace | None:
        """The pace of that way to run; of another batch size where only such is known, None where the number type was never tried."""
        alike = [pace for pace in self.paces if pace.dtype == dtype]
        return min(alike, key=lambda pace: abs(pace.batch_size - batch_size), default=None)


class _Version(BaseModel):
    """Of a kept file, whatever else is in it."""

    schema_version: int


def folder() -> Path:
    """Where calibrations are kept."""
    return places.cache() / "calibration"


def find(record: CatalogRecord, device: str | None = None, threads: int | None = None) -> Calibration | None:
    """What is kept of a model; of several devices or numbers of threads, where they are not given, the one kept last."""
    found = []
    for path in folder().glob(f"{catalog.model_sha256(record)[:16]}-*.json"):
        try:
            text = path.read_bytes()
            if _Version.model_validate_json(text).schema_version != Calibration.model_fields["schema_version"].default:
                continue  # another version of rsgeo kept it; it is measured anew and replaced
            known = Calibration.model_validate_json(text)
        except (OSError, ValidationError):
            warnings.warn(f"{path} is damaged and is ignored; --calibrate measures anew.", RsgeoWarning, stacklevel=2)
            continue
        here = known.device != "cpu" or known.device_name == _cpu_name()
        if here and device in (None, known.device) and threads in (None, known.threads):
            found.append((path.stat().st_mtime_ns, known))
    return max(found, key=lambda pair: pair[0])[1] if found else None


def keep(known: Calibration) -> None:
    """Keep a calibration for later runs; warns where the cache folder cannot be written."""
    path = folder() / f"{known.model_sha256[:16]}-{known.device}-{known.threads}.json"
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(known.model_dump_json(indent=1), encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        words = f"The calibration cannot be kept in {path.parent} ({error.strerror}); it is made again next time. RSGEO_CACHE names another folder."
        warnings.warn(words, RsgeoWarning, stacklevel=2)


def measure(record: CatalogRecord, device: str, *, start_seconds: float) -> Calibration:
    """Run a model for some seconds in each number type, and in larger batches as long as that pays, and pick the fastest; nothing is kept yet.

    ``start_seconds`` as in `Calibration`: no process can measure its own.
    """
    import torch

    from rsgeo.hub.load import load_pipeline
    from rsgeo.pipelines.views import tile_model
    from rsgeo.request import Sampler

    settings = record.defaults
    sampler = Sampler(scheduler=settings.scheduler, num_inference_steps=settings.num_inference_steps, guidance_scale=settings.guidance_scale)
    models = {dtype: tile_model(load_pipeline(record.address, device=device, dtype=dtype), sampler) for dtype in DTYPES}
    trials = {dtype: _Trial(model, record.condition, settings.batch_size) for dtype, model in models.items()}
    _race(trials.values())
    found = {dtype: trial.pace(dtype) for dtype, trial in trials.items()}
    faster = found["bfloat16"].seconds * _WORTH_ANOTHER_DTYPE <= found["float32"].seconds
    dtype = "bfloat16" if faster else "float32"
    larger = list(_larger(models[dtype], record.condition, found[dtype]))
    return Calibration(
        model_sha256=catalog.model_sha256(record),
        device=device,
        device_name=torch.cuda.get_device_name() if device == "cuda" else _cpu_name(),
        threads=torch.get_num_threads(),
        start_seconds=start_seconds,
        dtype=dtype,
        batch_size=[found[dtype], *larger][-1].batch_size,
        paces=(*found.values(), *larger),
    )


class _Trial:
    """A batch through the network, again and again; the median counts, for a long run meets what slows some of them down as well.

    Of a cascade the mean of its levels counts: an area takes about as many evaluations of each.
    """

    def __init__(self, model: BoundModel, condition: Condition | None, batch_size: int) -> None:
        self.batch_size = batch_size
        self.on_gpu = model.pipeline.device.type == "cuda"
        self.evaluations = batch_size * len(model.levels) * (2 if model.levels[-1].sampler.guidance_scale > 1 else 1)
        self.inputs: list[tuple[Level, Any, Any]] = []
        before = None
        for level in model.levels:
            cells = model.to_device(np.zeros((batch_size, level.channels, level.tile, level.tile), np.float32))
            images = {} if condition is None else _images(condition, level, batch_size)
            coarser = None if before is None else Coarser(before, cells)
            self.inputs.append((level, cells, level.conditions([""] * batch_size, [SceneMetadata()] * batch_size, coarser=coarser, **images)))
            before = cells
        self.times: list[float] = []
        self.device_bytes = 0

    @property
    def over(self) -> bool:
        """A first time is longer than all others, for libraries then choose their kernels; it counts only on a CPU that takes long anyway."""
        if not self.times:
            return False
        return (self.times[0] > _LONG_TRIAL_S and not self.on_gpu) or (len(self.times) > _LEAST_RUNS and sum(self.times[1:]) > _TRIAL_S)

    def run(self) -> None:
        import torch

        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()
        with torch.inference_mode():
            begin = time.perf_counter()
            for level, cells, conditions in self.inputs:
                level.predict(cells, 0, conditions).sum().item()
            self.times.append(time.perf_counter() - begin)
        if self.on_gpu:
            self.device_bytes = max(self.device_bytes, torch.cuda.max_memory_allocated())

    def pace(self, dtype: str) -> Pace:
        seconds = statistics.median(self.times[1:] or self.times) / self.evaluations
        return Pace(dtype=dtype, batch_size=self.batch_size, seconds=seconds, device_bytes=self.device_bytes)


def _images(condition: Condition, level: Level, batch_size: int) -> dict[str, Any]:
    """Dark images for a batch of windows, as many and as large as a model sees."""
    side = level.tile * level.scale
    if "known" in condition.bands:
        return {"known": [Known(np.zeros((3, side, side), np.float32), np.zeros((side, side), np.bool_))] * batch_size}
    number, shown = condition.images, int(side / level.conditioning_scale)
    pixels, mask = np.zeros((number, len(condition.bands), shown, shown), np.float32), np.ones((number, shown, shown), np.bool_)
    return {"seen": [Seen(pixels, mask, (SceneMetadata(),) * number)] * batch_size}


def _race(trials: Iterable[_Trial]) -> None:
    """Run each to its end, in turn, so that whatever else the machine does slows all."""
    running = list(trials)
    while any(not trial.over for trial in running):
        for trial in running:
            trial.run()


def _larger(model: BoundModel, condition: Condition | None, last: Pace) -> Iterator[Pace]:
    """The pace at twice the batch, and twice that, as long as it pays."""
    for _ in range(_MOST_DOUBLINGS):
        if 2 * last.device_bytes > _free_device_bytes(model) or last.seconds * last.batch_size > _LONG_TRIAL_S:
            return
        trials = [_Trial(model, condition, number * last.batch_size) for number in (1, 2)]
        _race(trials)
        before, pace = (trial.pace(last.dtype) for trial in trials)
        if pace.seconds * _WORTH_A_LARGER_BATCH > before.seconds:
            return
        yield pace
        last = pace


def _free_device_bytes(model: BoundModel) -> float:
    if model.pipeline.device.type != "cuda":
        return math.inf  # batches of a CPU stay small, for larger ones do not pay
    import torch

    return float(torch.cuda.mem_get_info()[0])


def _cpu_name() -> str:
    """What tells one kind of machine from another where a home folder is shared."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
