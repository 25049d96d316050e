"""Generate: an area or a grid and a wish become a synthetic raster."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsgeo.errors import InputError, RsgeoError
from rsgeo.geo import grid, preview, provenance, raster, sidecars
from rsgeo.geo.aoi import AOI
from rsgeo.hub.catalog import CatalogRecord
from rsgeo.request import Ask, Request
from rsgeo.runtime import Progress, Result, Runtime
from rsgeo.scene import SceneMetadata, Value
from rsgeo.synthesis import plan as plans
from rsgeo.synthesis.plan import SynthesisPlan
from rsgeo.tasks.resolve import Resolved, in_region, resolve


def generate(ask: Ask, out: str | Path | None = None, runtime: Runtime | None = None) -> Result:
    """Make the picture that ``ask`` describes, as a COG at ``out``, or in memory without ``out``.

    Raises:
        RsgeoError: one sentence; nothing is written.
    """
    return run(resolve(ask), None if out is None else Path(out), runtime or Runtime())


def plan(resolved: Resolved) -> SynthesisPlan:
    """Windows, evaluations and sizes of a request, without loading the model."""
    record = resolved.record
    return plans.plan(
        resolved.request,
        scale=record.scale,
        channels=record.channels,
        decoder_tile=record.decoder_tile,
        decoder_stride=record.decoder_stride,
        valid=valid_pixels(resolved),
    )


def run(resolved: Resolved, out: Path | None, runtime: Runtime) -> Result:
    """Compute a resolved request and write it, or keep it in memory when ``out`` is None."""
    request, record = resolved.request, resolved.record
    geobox = grid.geobox(request.grid)
    if out is not None:
        _check_outputs(out, geobox, runtime)
    bands, facts = _bands(resolved, runtime)
    if out is None:
        pixels = np.zeros((3, request.grid.height, request.grid.width), np.uint8)
        mask = np.zeros(pixels.shape[1:], np.bool_)
        for band in bands:
            rows = slice(band.row0, band.row0 + band.pixels.shape[1])
            pixels[:, rows], mask[rows] = band.pixels, band.mask
        return Result(request=request, geobox=geobox, path=None, pixels=pixels, mask=mask, run=facts)
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


def _bands(resolved: Resolved, runtime: Runtime) -> tuple[Iterator[Any], dict[str, Any]]:
    """The engine's bands, and the facts of the run (PROVENANCE.md section 6)."""
    # Torch is imported here for the first time, after everything that can be refused without it was refused.
    import diffusers
    import rasterio
    import torch

    from rsgeo._version import __version__
    from rsgeo.hub.load import load_pipeline
    from rsgeo.pipelines.tile_view import LatentTileModel
    from rsgeo.synthesis import engine

    request, record = resolved.request, resolved.record
    _report(runtime, Progress("load", 0, 1))
    pipeline = load_pipeline(
        str(record.folder), device=runtime.device, dtype=runtime.dtype, compile=runtime.compile, adapters=request.model.adapters
    )
    _report(runtime, Progress("load", 1, 1))
    batch_size = runtime.batch_size or record.defaults.batch_size
    if batch_size < 1:
        raise InputError(f"--batch-size must be 1 or more, got {batch_size}.")
    bands = engine.bands(
        LatentTileModel(pipeline, request.sampler, request.negative_prompt),
        request,
        batch_size=batch_size,
        valid=valid_pixels(resolved),
        scene_at=scenes_of_windows(request, record),
        progress=runtime.progress,
        cancelled=runtime.cancelled,
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

