"""Generate: an area or a grid and a wish become a synthetic raster."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rsgeo._version import __version__
from rsgeo.errors import CancelledError, InputError, RsgeoError, RsgeoWarning
from rsgeo.geo import grid, preview, provenance, raster, sidecars
from rsgeo.geo.aoi import AOI
from rsgeo.hub.catalog import CatalogRecord
from rsgeo.request import Ask, Request
from rsgeo.runtime import Progress, Result, Runtime
from rsgeo.scene import SceneMetadata, Value
from rsgeo.synthesis import job
from rsgeo.synthesis import plan as plans
from rsgeo.synthesis.blocks import Graph
from rsgeo.synthesis.job import JobDir
from rsgeo.synthesis.plan import SynthesisPlan
from rsgeo.synthesis.store import MemoryStore
from rsgeo.tasks.regions import wishes_of
from rsgeo.tasks.resolve import Resolved, in_region, resolve

_SMALL_BLOCKS = 9
"""An area of so many blocks is made again faster than a job directory is worth."""

def generate(ask: Ask, out: str | Path | None = None, runtime: Runtime | None = None) -> Result:
    """Make the picture that ``ask`` describes, as a COG at ``out``, or in memory without ``out``.

    Raises:
        RsgeoError: one sentence; nothing is written.
    """
    return run(resolve(ask), None if out is None else Path(out), runtime or Runtime())


def plan(resolved: Resolved) -> SynthesisPlan:
    """Windows, evaluations and sizes of a request, without loading the model."""
    return plans.plan(
        resolved.request,
        graph(resolved),
        channels=resolved.record.channels,
        valid=valid_pixels(resolved),
        wishes_at=wishes_of(resolved.request, resolved.record.scale),
    )


def graph(resolved: Resolved) -> Graph:
    """The windows and blocks of a request."""
    request, record = resolved.request, resolved.record
    return Graph(
        request.grid,
        request.synthesis.phases,
        scale=record.scale,
        decoder_tile=record.decoder_tile,
        decoder_stride=record.decoder_stride,
        valid=valid_pixels(resolved),
    )


def run(resolved: Resolved, out: Path | None, runtime: Runtime) -> Result:
    """Compute a resolved request and write it, or keep it in memory when ``out`` is None.

    A large area is computed in a job directory beside ``out``: the same call goes on where an interrupted one stopped.
    """
    request = resolved.request
    geobox = grid.geobox(request.grid)
    if out is not None:
        _check_outputs(out, geobox, runtime)
    pieces = graph(resolved)
    if out is None:
        pixels = np.zeros((3, request.grid.height, request.grid.width), np.uint8)
        mask = np.zeros(pixels.shape[1:], np.bool_)
        bands, facts = _bands(resolved, pieces, runtime, MemoryStore())
        for band in bands:
            rows = slice(band.row0, band.row0 + band.pixels.shape[1])
            pixels[:, rows], mask[rows] = band.pixels, band.mask
        return Result(request=request, geobox=geobox, path=None, pixels=pixels, mask=mask, run=facts)
    if len(pieces.pictures) <= _SMALL_BLOCKS:
        return _write(resolved, pieces, out, geobox, runtime, MemoryStore())
    how = _how(runtime, resolved.record)
    with JobDir(job.folder_of(out), request, pieces.picture, how, fresh=runtime.fresh) as store:
        try:
            result = _write(resolved, pieces, out, geobox, _as_begun(runtime, how, store.how), store)
        except (KeyboardInterrupt, CancelledError) as error:
            raise CancelledError(f"Interrupted; what is finished stays in {store.folder}, and the same command goes on from there.") from error
        store.remove()
    return result


def _write(resolved: Resolved, pieces: Graph, out: Path, geobox: GeoBox, runtime: Runtime, store: MemoryStore | JobDir) -> Result:
    request, record = resolved.request, resolved.record
    bands, facts = _bands(resolved, pieces, runtime, store)
    marks = provenance.Marks(
        request=request,
        run=facts,
        created=provenance.creation_time(runtime.reproducible),
        private=runtime.private,
        copyright=runtime.copyright,
        model_licence=record.licence,
        model_citation=record.citation,
    )
    writer = raster.CogWriter(
        out, geobox, marks=marks, overwrite=runtime.overwrite, creation_options=runtime.creation_options, threads=facts["threads"]
    )
    with writer:
        for band in bands:
            writer.write_band(band.row0, band.pixels, band.mask)
            _report(runtime, Progress("write", band.row0 + band.pixels.shape[1], request.grid.height))
    try:
        if runtime.sidecar:
            sidecars.write_sidecars(out, writer.marks, geobox)
        if runtime.preview is not None:
            preview.write_preview(out, runtime.preview, writer.marks)
    except (RsgeoError, OSError, KeyboardInterrupt):
        # The image alone is not what was asked for, and whoever interrupts is told that nothing was written.
        for path in (out, *provenance.sidecar_paths(out)):
            path.unlink(missing_ok=True)
        raise
    return Result(request=request, geobox=geobox, path=out, pixels=None, mask=None, run=dict(writer.marks.run))


def _how(runtime: Runtime, record: CatalogRecord) -> dict[str, Any]:
    """What of the runtime could be seen in the last bits of the pixels, and is therefore kept for a whole job."""
    from rsgeo.hub.devices import pick_device, pick_dtype

    device = pick_device(runtime.device)
    dtype = {str(found): name for name, found in ((name, pick_dtype(name, device)) for name in ("fp32", "bf16", "fp16"))}
    return {
        "batch_size": _batch_size(runtime, record),
        "dtype": dtype[str(pick_dtype(runtime.dtype, device))],
        "device": device.type,
        "rsgeo": __version__,
    }


def _as_begun(runtime: Runtime, how: dict[str, Any], begun: dict[str, Any]) -> Runtime:
    """The runtime of the run that began the job, as far as this machine can; what differs is said."""
    for name, said, here in (("batch_size", runtime.batch_size, how["batch_size"]), ("dtype", runtime.dtype != "auto", how["dtype"])):
        if said and here != begun[name]:
            warnings.warn(f"The interrupted run that goes on here had {name} {begun[name]}; so has this one.", RsgeoWarning, stacklevel=3)
    for name in ("device", "rsgeo"):
        if how[name] != begun[name]:
            words = f"The interrupted run that goes on here used {name} {begun[name]}, this one uses {how[name]}; pixels may differ by a grey level."
            warnings.warn(words, RsgeoWarning, stacklevel=3)
    return replace(runtime, batch_size=begun["batch_size"], dtype=begun["dtype"])


def _batch_size(runtime: Runtime, record: CatalogRecord) -> int:
    batch_size = runtime.batch_size or record.defaults.batch_size
    if batch_size < 1:
        raise InputError(f"--batch-size must be 1 or more, got {batch_size}.")
    return batch_size


def valid_pixels(resolved: Resolved) -> Callable[[int, int, int, int], NDArray[np.bool_]] | None:
    """``valid(row0, col0, height, width)``: which pixels lie in the area; None when all do."""
    area: AOI | None = resolved.aoi
    if area is None:
        return None
    cells = resolved.request.grid
    return lambda row0, col0, height, width: grid.valid_mask(cells, area, row0, col0, height, width)


def scenes_of_windows(request: Request, record: CatalogRecord) -> Callable[[NDArray[Any], NDArray[Any]], list[SceneMetadata]]:
    """What the model may know at places of the grid (pixels from its upper left corner): only fields that it was taught, each window its own."""
    taught = record.trained_fields

    def scenes(xs: NDArray[Any], ys: NDArray[Any]) -> list[SceneMetadata]:
        lons, lats = grid.centres_lonlat(request.grid, xs, ys)
        return [_scene(*place) for place in zip(lons, lats, grid.gsd_at(request.grid, xs, ys), strict=True)]

    def _scene(lon: float, lat: float, gsd: float) -> SceneMetadata:
        placed = "place" in taught and np.isfinite(lon) and np.isfinite(lat) and in_region(lon, lat, record)
        sized = "gsd" in taught and np.isfinite(gsd)
        seen_gsd = min(max(float(gsd), record.gsd_min), record.gsd_max) if sized else None
        return SceneMetadata(
            lon=Value(value=float(lon), source="window centre") if placed else None,
            lat=Value(value=float(lat), source="window centre") if placed else None,
            gsd=Value(value=seen_gsd, source="window centre") if seen_gsd is not None else None,
            date=request.scene.date if "date" in taught else None,
            cloud_cover_percent=request.scene.cloud_cover_percent if "cloud_cover" in taught else None,
        )

    return scenes


def _bands(resolved: Resolved, pieces: Graph, runtime: Runtime, store: MemoryStore | JobDir) -> tuple[Iterator[Any], dict[str, Any]]:
    """The engine's bands, and the facts of the run (PROVENANCE.md section 6)."""
    # Torch is imported here for the first time, after everything that can be refused without it was refused.
    import diffusers
    import rasterio
    import torch

    from rsgeo.hub.load import load_pipeline
    from rsgeo.pipelines.tile_view import LatentTileModel
    from rsgeo.synthesis import engine

    request, record = resolved.request, resolved.record
    _report(runtime, Progress("load", 0, 1))
    pipeline = load_pipeline(
        str(record.folder), device=runtime.device, dtype=runtime.dtype, compile=runtime.compile, adapters=request.model.adapters
    )
    _report(runtime, Progress("load", 1, 1))
    batch_size = _batch_size(runtime, record)
    bands = engine.bands(
        LatentTileModel(pipeline, request.sampler, request.negative_prompt),
        request,
        pieces,
        batch_size=batch_size,
        scene_at=scenes_of_windows(request, record),
        wishes_at=wishes_of(request, record.scale),
        valid=valid_pixels(resolved),
        progress=runtime.progress,
        cancelled=runtime.cancelled,
        store=store,
    )
    facts = {
        "rsgeo": __version__,
        "batch_size": batch_size,
        "python": ".".join(platform.python_version_tuple()[:2]),
        "torch": str(torch.__version__),
        "diffusers": diffusers.__version__,
        "device": pipeline.device.type,
        "dtype": str(pipeline.unet.dtype).removeprefix("torch."),
        "deterministic": pipeline.device.type == "cpu",
        "attention": "sdpa",
        "threads": torch.get_num_threads(),
        "gdal": rasterio.__gdal_version__,
    }
    return bands, facts


def _check_outputs(out: Path, geobox: Any, runtime: Runtime) -> None:
    """Refuse before any work what could not be written after it."""
    raster.cog_options(runtime.creation_options)
    if runtime.preview is not None:
        preview.check_preview(runtime.preview, overwrite=runtime.overwrite)
    needed = raster.DISK_FACTOR * raster.raw_bytes(geobox)
    beside = provenance.sidecar_paths(out) if runtime.sidecar else ()
    raster.check_output(out, overwrite=runtime.overwrite, needed_bytes=needed, beside=beside)


def _report(runtime: Runtime, progress: Progress) -> None:
    if runtime.progress is not None:
        runtime.progress(progress)

