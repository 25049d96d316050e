"""Generate: an area or a grid and a wish become a synthetic raster."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from rsgeo._version import __version__
from rsgeo.errors import CancelledError, InputError, RsgeoError, RsgeoWarning
from rsgeo.geo import grid, preview, provenance, raster, sidecars
from rsgeo.hub.catalog import CatalogRecord
from rsgeo.request import Ask
from rsgeo.runtime import Progress, Result, Runtime
from rsgeo.synthesis import job
from rsgeo.synthesis import plan as plans
from rsgeo.synthesis.blocks import Graph
from rsgeo.synthesis.job import JobDir
from rsgeo.synthesis.plan import SynthesisPlan
from rsgeo.synthesis.store import MemoryStore
from rsgeo.tasks import making
from rsgeo.tasks.regions import wishes_of
from rsgeo.tasks.resolve import Resolved, resolve

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
        making.graph(resolved),
        channels=resolved.record.channels,
        valid=making.valid_pixels(resolved),
        wishes_at=wishes_of(resolved.request, resolved.record.scale),
    )


def run(resolved: Resolved, out: Path | None, runtime: Runtime) -> Result:
    """Compute a resolved request and write it, or keep it in memory when ``out`` is None.

    A large area is computed in a job directory beside ``out``: the same call goes on where an interrupted one stopped.
    """
    request = resolved.request
    geobox = grid.geobox(request.grid)
    if out is not None:
        _check_outputs(out, geobox, runtime)
    pieces = making.graph(resolved)
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


def _bands(resolved: Resolved, pieces: Graph, runtime: Runtime, store: MemoryStore | JobDir) -> tuple[Iterator[Any], dict[str, Any]]:
    """The picture's bands, and the facts of the run."""
    _report(runtime, Progress("load", 0, 1))
    made, facts = making.maker(
        resolved,
        pieces,
        device=runtime.device,
        dtype=runtime.dtype,
        batch_size=_batch_size(runtime, resolved.record),
        compile=runtime.compile,
        cancelled=runtime.cancelled,
    )
    _report(runtime, Progress("load", 1, 1))
    from rsgeo.synthesis import engine

    return engine.bands(made, store=store, progress=runtime.progress), facts


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

