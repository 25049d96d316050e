"""From a resolved request to what the engine needs: its blocks, its mask, what each window may know, and a model to make it with."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rsgeo._version import __version__
from rsgeo.errors import InputError, ModelError, RsgeoWarning
from rsgeo.geo import aoi as aois
from rsgeo.geo import grid
from rsgeo.geo.aoi import AOI
from rsgeo.geo.raster_read import PlacedImage
from rsgeo.hub import calibration, catalog
from rsgeo.hub.calibration import Calibration
from rsgeo.hub.catalog import CatalogRecord
from rsgeo.request import Request, canonical_json
from rsgeo.runtime import DType, Progress, Runtime
from rsgeo.scene import SceneMetadata, Value
from rsgeo.synthesis.blocks import Block, Graph, Valid
from rsgeo.synthesis.feather import REACH_PX
from rsgeo.synthesis.job import read_block, read_header, write_block
from rsgeo.synthesis.phases import check_levels
from rsgeo.tasks import references
from rsgeo.tasks.regions import wishes_of
from rsgeo.tasks.resolve import Resolved
from rsgeo.tasks.told import seen

if TYPE_CHECKING:
    from rsgeo.synthesis.engine import Maker
    from rsgeo.tilemodel import TileModel


DTYPES: dict[DType, str] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


_START = """
import os, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()  # it ends with whoever started it
import rsgeo.tasks.generate, rsgeo.synthesis.engine
from rsgeo.hub.load import load_pipeline
load_pipeline(sys.argv[1], device=sys.argv[2])
"""


@dataclass(frozen=True)
class Settings:
    """What of the runtime may show in the last bits of pixels, settled for this machine; ``model`` is the record's address."""

    device: str
    dtype: str
    batch_size: int
    model: str

    def of_job(self, resolved: Resolved) -> dict[str, Any]:
        """What a job's workers, and whoever goes on with it, must know beside the request; plain values."""
        image = resolved.known
        known = None if image is None else [str(image.path.resolve()), image.row, image.col, *image.shape]
        files = {sha256: str(path.resolve()) for sha256, path in resolved.files.items()}
        return {**asdict(self), "rsgeo": __version__, "known": known, "files": files}


def settings(runtime: Runtime, resolved: Resolved) -> Settings:
    """What runs here: what is asked for, else what made the file that is made again, else what was picked for this machine.

    The pick is measured now if there is none yet. Raises InputError for a device that this machine has not, or a batch of nothing.
    """
    import torch

    from rsgeo.hub.devices import pick_device, pick_dtype

    if runtime.batch_size is not None and runtime.batch_size < 1:
        raise InputError(f"--batch-size must be 1 or more, got {runtime.batch_size}.")
    record, device = resolved.record, pick_device(runtime.device)
    known = calibration.find(record, device.type, torch.get_num_threads()) or calibrate(runtime, record)
    asked = as_made(runtime, resolved.made, device.type)
    dtype = known.dtype if asked.dtype == "auto" else str(pick_dtype(asked.dtype, device)).removeprefix("torch.")
    return Settings(device.type, dtype, asked.batch_size or known.batch_size, record.address)


def as_made(runtime: Runtime, made: Mapping[str, Any], device: str) -> Runtime:
    """The runtime with number type and batch size of the run that made a file, where it leaves them open and this device can."""
    batch_size, dtype = made.get("batch_size"), made.get("dtype")
    found = next((short for short, long in DTYPES.items() if long == dtype), None)
    if found == "fp16" and device != made.get("device") and runtime.dtype == "auto":
        words = f"The file was made in fp16 on {made.get('device')}; on {device} it is made in another number type, and pixels may differ."
        warnings.warn(words, RsgeoWarning, stacklevel=4)
        found = None
    return replace(
        runtime,
        batch_size=runtime.batch_size or (batch_size if isinstance(batch_size, int) and 1 <= batch_size <= 1024 else None),
        dtype=found if runtime.dtype == "auto" and found else runtime.dtype,
    )


def calibrate(runtime: Runtime, record: CatalogRecord) -> Calibration:
    """Measure a model on this machine, for some seconds, and keep what was found. Raises InputError for a device that is not there."""
    from rsgeo.hub.devices import pick_device

    report = runtime.progress or (lambda _: None)
    report(Progress("calibrate", 0, 1))
    device = pick_device(runtime.device).type
    known = calibration.measure(record, device, start_seconds=_start_seconds(record, device))
    calibration.keep(known)
    report(Progress("calibrate", 1, 1))
    return known


def _start_seconds(record: CatalogRecord, device: str) -> float:
    """What a fresh process takes until it has loaded a model; 0 where this Python cannot be started anew."""
    begin = time.perf_counter()
    try:
        command = [sys.executable or "", "-c", _START, record.address, device]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            failed = process.wait()
    except OSError:
        return 0.0
    return 0.0 if failed else time.perf_counter() - begin


def as_begun(now: Settings, runtime: Runtime, begun: dict[str, Any]) -> Settings:
    """The settings of the run that began a job, as far as this machine can; what was asked for and is not done is said."""
    for name, said in (("batch_size", runtime.batch_size is not None), ("dtype", runtime.dtype != "auto")):
        if said and getattr(now, name) != begun[name]:
            warnings.warn(f"The interrupted run that goes on here had {name} {begun[name]}; so has this one.", RsgeoWarning, stacklevel=3)
    for name, here in (("device", now.device), ("rsgeo", __version__)):
        if here != begun[name]:
            words = f"The interrupted run that goes on here used {name} {begun[name]}, this one uses {here}; pixels may differ by a grey level."
            warnings.warn(words, RsgeoWarning, stacklevel=3)
    return replace(now, batch_size=begun["batch_size"], dtype=begun["dtype"])


def graph(resolved: Resolved) -> Graph:
    """The windows and blocks of a request. Raises InputError when its plan is not for the model or its area holds no pixel."""
    request, record = resolved.request, resolved.record
    check_levels(request.synthesis, record.levels, request.sampler.num_inference_steps)
    return Graph(
        request.grid,
        request.synthesis,
        scale=record.scale,
        decoder_tile=record.decoder_tile,
        decoder_stride=record.decoder_stride,
        valid=valid_pixels(resolved),
        margin=-(-REACH_PX // record.scale) if any(reference.role == "known" for reference in request.references) else 0,
    )


def area_pixels(resolved: Resolved) -> Valid | None:
    """``valid(row0, col0, height, width)``: which pixels lie in the area; None when all do."""
    area: AOI | None = resolved.aoi
    if area is None:
        return None
    cells = resolved.request.grid
    return lambda row0, col0, height, width: grid.valid_mask(cells, area, row0, col0, height, width)


def _both(one: Valid | None, other: Valid | None) -> Valid | None:
    """Which pixels two masks have in common; None is all."""
    if one is None or other is None:
        return one or other
    return lambda row0, col0, height, width: one(row0, col0, height, width) & other(row0, col0, height, width)


def valid_pixels(resolved: Resolved) -> Valid | None:
    """Which pixels have to be made: those of the area that are not known, or of a raster those that do not stay."""
    area, known, cells = _both(area_pixels(resolved), references.covered(resolved.request, resolved.files)), resolved.known, resolved.request.grid
    raster = references.known_raster(resolved.request, resolved.files)
    if raster is not None:

        def to_make(row0: int, col0: int, height: int, width: int) -> NDArray[np.bool_]:
            place = (cells.row + row0, cells.col + col0, height, width)
            return raster.to_make(*place) if area is None else area(row0, col0, height, width) & ~raster.stays(*place)

        return to_make
    if known is None:
        return area

    def unknown(row0: int, col0: int, height: int, width: int) -> NDArray[np.bool_]:
        there = known.mask(row0, col0, height, width)
        return ~there if area is None else area(row0, col0, height, width) & ~there

    return unknown


def scenes_of_windows(request: Request, record: CatalogRecord) -> Callable[[NDArray[Any], NDArray[Any]], list[SceneMetadata]]:
    """What the model may know at places of the grid (pixels from its upper left corner): only fields that it was taught, each window its own."""

    def scenes(xs: NDArray[Any], ys: NDArray[Any]) -> list[SceneMetadata]:
        lons, lats = grid.centres_lonlat(request.grid, xs, ys)
        return [_scene(*place) for place in zip(lons, lats, grid.gsd_at(request.grid, xs, ys), strict=True)]

    def _scene(*place: float) -> SceneMetadata:
        lon, lat, gsd = (Value(value=float(number), source="window centre") if np.isfinite(number) else None for number in place)
        wished = request.scene
        return seen(SceneMetadata(lon=lon, lat=lat, gsd=gsd, date=wished.date, cloud_cover_percent=wished.cloud_cover_percent), record)

    return scenes


def make_block(folder: str, sha256: str, stage: int, row: int, col: int) -> tuple[int, int]:
    """Make one block of a job in its folder, and give its size and CRC-32: what a worker of a cluster does.

    ``sha256`` is the request's: the model is loaded once a process, and once for all worlds that differ in their seeds alone.
    """
    where, block = Path(folder), Block(stage, row, col)
    made = _maker_of_job(folder, sha256)
    for _, array in made.make([block], lambda need: read_block(where, need)):
        return write_block(where, block, array)
    raise ValueError(f"nothing was made of {block}")


@lru_cache(maxsize=1)
def _maker_of_job(folder: str, sha256: str) -> Maker:
    request, how = read_header(Path(folder), sha256)
    resolved, pieces, chosen, model = _loaded(request.model_copy(update={"seed": 0}).canonical_json(), canonical_json(how))
    return maker(model, replace(resolved, request=request), pieces, chosen)


@lru_cache(maxsize=1)
def _loaded(request_json: str, how_json: str) -> tuple[Resolved, Graph, Settings, TileModel]:
    """What a worker needs of a request, whatever its seed."""
    request, how = Request.model_validate_json(request_json), json.loads(how_json)
    record = catalog.find(how["model"])
    if catalog.model_sha256(record) != request.model.sha256:
        raise ModelError(f"A worker on {platform.node()} has other weights of {record.name}; install the same version of rsgeo everywhere.")
    known = None
    if how["known"] is not None:
        path, row, col, *shape = how["known"]
        known = PlacedImage(Path(path), row, col, tuple(shape))
    area = None if request.aoi is None else aois.from_record(request.aoi)
    resolved = Resolved(request, record, area, known, files={sha256: Path(path) for sha256, path in how["files"].items()})
    chosen = Settings(how["device"], how["dtype"], how["batch_size"], how["model"])
    if chosen.device == "cuda":
        _take_own_gpu()
    return resolved, graph(resolved), chosen, load(resolved, chosen)


def _take_own_gpu() -> None:
    """Workers on one machine take its GPUs in turn, by their number."""
    import torch
    from distributed import get_worker

    name = str(get_worker().name)
    if name.isdigit():
        torch.cuda.set_device(int(name) % torch.cuda.device_count())


def load(resolved: Resolved, chosen: Settings, *, compile: bool = False, keep: bool = False) -> TileModel:
    """Load the model, or take the one that was kept, and bind it to a request's sampler and negative prompt."""
    # Torch is imported here for the first time, after everything that can be refused without it was refused.
    from rsgeo.hub.load import kept_pipeline, load_pipeline
    from rsgeo.pipelines.views import tile_model

    request, record = resolved.request, resolved.record
    loaded = kept_pipeline if keep else load_pipeline
    pipeline = loaded(record.address, device=chosen.device, dtype=chosen.dtype, compile=compile, adapters=request.model.adapters)
    return tile_model(pipeline, request.sampler, request.negative_prompt)


def maker(model: TileModel, resolved: Resolved, pieces: Graph, chosen: Settings, *, cancelled: Callable[[], bool] | None = None) -> Maker:
    """Bind a loaded model to a request, which is of one world."""
    from rsgeo.synthesis.engine import Maker

    request, record = resolved.request, resolved.record
    scene_at, raster = scenes_of_windows(request, record), references.known_raster(request, resolved.files)
    return Maker(
        model,
        request,
        pieces,
        batch_size=chosen.batch_size,
        scene_at=scene_at,
        wishes_at=wishes_of(request, record.scale),
        seen_at=references.seen_at(request, resolved.files, record, model.levels[-1], scene_at),
        known_in=None if raster is None else raster.known,
        valid=valid_pixels(resolved),
        cancelled=cancelled,
    )


def facts(chosen: Settings) -> dict[str, Any]:
    """The facts of a run (PROVENANCE.md section 6)."""
    import diffusers
    import rasterio
    import torch

    return {
        "rsgeo": __version__,
        "batch_size": chosen.batch_size,
        "python": ".".join(platform.python_version_tuple()[:2]),
        "torch": str(torch.__version__),
        "diffusers": diffusers.__version__,
        "device": chosen.device,
        "dtype": chosen.dtype,
        "deterministic": chosen.device == "cpu",
        "attention": "sdpa",
        "threads": torch.get_num_threads(),
        "gdal": rasterio.__gdal_version__,
    }
