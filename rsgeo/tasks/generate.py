"""Generate: an area or a grid and a wish become a synthetic raster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from odc.geo.geobox import GeoBox

from rsgeo.errors import CancelledError, OutputError, RsgeoError
from rsgeo.geo import grid, preview, provenance, raster, raster_read, sidecars
from rsgeo.geo.layout import Layout
from rsgeo.request import COLOURS, Ask
from rsgeo.runtime import Progress, Result, Runtime
from rsgeo.synthesis import job, samples
from rsgeo.synthesis import plan as plans
from rsgeo.synthesis.blocks import Block, Graph
from rsgeo.synthesis.job import JobDir
from rsgeo.synthesis.store import MemoryStore, Store
from rsgeo.tasks import composite, making, report
from rsgeo.tasks import plan as planning
from rsgeo.tasks.composite import Composite
from rsgeo.tasks.regions import wishes_of
from rsgeo.tasks.resolve import Resolved, resolve

if TYPE_CHECKING:
    from rsgeo.synthesis.engine import Band


def generate(ask: Ask, out: str | Path | None = None, runtime: Runtime | None = None) -> Result:
    """Make the picture that ``ask`` describes, as a COG at ``out``, or in memory without ``out``.

    Raises:
        RsgeoError: one sentence; nothing is written.
    """
    return run(resolve(ask), None if out is None else Path(out), runtime or Runtime())


def run(resolved: Resolved, out: Path | None, runtime: Runtime) -> Result:
    """Compute a resolved request and write it, or keep it in memory when ``out`` is None.

    A large area is computed in a job directory beside ``out``: the same call goes on where an interrupted one stopped. Several worlds
    (`rsgeo.request.SamplesRecord`) are made side by side, each as it would be alone.
    """
    request, joined = resolved.request, composite.of(resolved)
    geobox, layout = grid.geobox(request.grid), Layout.of_worlds(request.bands) if joined is None else joined.layout
    if out is not None:
        _check_outputs(out, resolved, geobox, layout, runtime)
    pieces = making.graph(resolved)
    settings = making.settings(runtime, resolved)
    if runtime.max_hours is not None or runtime.max_memory is not None:
        planning.check(planning.plan(resolved, runtime, pieces), runtime)
    if out is None:
        pixels = np.zeros((len(layout.names), request.grid.height, request.grid.width), layout.dtype)
        mask = np.zeros(pixels.shape[1:], np.bool_)
        for band in _with_known(_bands(resolved, pieces, settings, runtime, [MemoryStore() for _ in request.worlds]), resolved, joined):
            rows = slice(band.row0, band.row0 + band.pixels.shape[1])
            pixels[:, rows], mask[rows] = band.pixels, band.mask
        facts, names = making.facts(settings), _names(joined)
        measured = report.of_pixels(resolved, pixels, mask)
        return Result(request=request, geobox=geobox, path=None, pixels=pixels, mask=mask, run=facts, report=measured, names=names)
    distributed = runtime.workers is not None or runtime.dask is not None
    if pieces.is_small(len(request.worlds)) and not distributed:
        bands = _bands(resolved, pieces, settings, runtime, [MemoryStore() for _ in request.worlds])
        return _write(resolved, joined, out, geobox, settings, runtime, bands)
    how, known = settings.of_job(resolved), "" if resolved.known is None else raster_read.pixels_sha256(resolved.known.path)
    with JobDir(job.folder_of(out), request, pieces.picture, how, known=known, fresh=runtime.fresh) as work:
        settings = making.as_begun(settings, runtime, work.how)
        try:
            with work.worlds() as stores:
                by_workers = _bands_of_workers(resolved, pieces, runtime, stores) if distributed else None
                bands = by_workers or _bands(resolved, pieces, settings, runtime, stores)
                result = _write(resolved, joined, out, geobox, settings, runtime, bands, scratch=work.scratch)
        except (KeyboardInterrupt, CancelledError) as error:
            raise CancelledError(f"Interrupted; what is finished stays in {work.folder}, and the same command goes on from there.") from error
        work.remove()
    return result


def _write(
    resolved: Resolved,
    joined: Composite | None,
    out: Path,
    geobox: GeoBox,
    settings: making.Settings,
    runtime: Runtime,
    bands: Iterator[Band],
    *,
    scratch: Path | None = None,
) -> Result:
    """Write the bands with all marks, whole or not at all; ``scratch`` as `raster.CogWriter` takes it."""
    request, record = resolved.request, resolved.record
    facts = making.facts(settings)
    marks = provenance.Marks(
        request=request,
        run=facts,
        synthetic="ALL" if joined is None else joined.synthetic,
        created=provenance.creation_time(runtime.reproducible),
        private=runtime.private,
        copyright=runtime.copyright,
        model_licence=record.licence,
        model_citation=record.citation,
        layout=None if joined is None else joined.layout,
    )
    writer = raster.CogWriter(
        out,
        geobox,
        marks=marks,
        overwrite=runtime.overwrite,
        creation_options=runtime.creation_options,
        threads=facts["threads"],
        scratch=scratch,
    )
    with writer:
        for band in _with_known(bands, resolved, joined):
            writer.write_band(band.row0, band.pixels, band.mask)
            _report(runtime, Progress("write", band.row0 + band.pixels.shape[1], request.grid.height))
    try:
        measured = report.of_file(resolved, out)
        if runtime.sidecar:
            sidecars.write_sidecars(out, writer.marks, geobox, measured)
            if measured is not None:
                report.write(out, measured)
        if runtime.preview is not None:
            preview.write_preview(out, runtime.preview, writer.marks)
    except (RsgeoError, OSError, KeyboardInterrupt):
        # The image alone is not what was asked for, and whoever interrupts is told that nothing was written.
        for path in (out, *_beside(out, resolved)):
            path.unlink(missing_ok=True)
        raise
    facts, names = dict(writer.marks.run), _names(joined)
    return Result(request=request, geobox=geobox, path=out, pixels=None, mask=None, run=facts, report=measured, names=names)


def _names(joined: Composite | None) -> tuple[str, ...]:
    return () if joined is None else tuple(composite.own_names(joined.layout))


def _bands(resolved: Resolved, pieces: Graph, settings: making.Settings, runtime: Runtime, stores: Sequence[Store]) -> Iterator[Band]:
    """The picture's bands, made here; each world has its store."""
    from rsgeo.synthesis import engine

    _report(runtime, Progress("load", 0, 1))
    model, request = making.load(resolved, settings, compile=runtime.compile, keep=runtime.keep_loaded), resolved.request
    _report(runtime, Progress("load", 1, 1))
    makers = [making.maker(model, replace(resolved, request=world), pieces, settings, cancelled=runtime.cancelled) for world in request.worlds]
    told = zip(makers, stores, _tellers(resolved, pieces, stores, runtime), strict=True)
    worlds = [engine.bands(maker, store=store, progress=tell) for maker, store, tell in told]
    return samples.combined(worlds, request.samples)


def _tellers(resolved: Resolved, pieces: Graph, stores: Sequence[Store], runtime: Runtime) -> list[Callable[[Progress], None]]:
    """For each world what to tell its progress to, which is reported as that of all together."""
    done = [_evaluations_done(resolved, pieces, store) for store in stores]

    def teller(number: int) -> Callable[[Progress], None]:
        def tell(step: Progress) -> None:
            done[number] = step.done
            _report(runtime, Progress(step.stage, sum(done), len(stores) * step.total))

        return tell

    return [teller(number) for number in range(len(stores))]


def _evaluations_done(resolved: Resolved, pieces: Graph, store: Store) -> int:
    wishes_at = wishes_of(resolved.request, resolved.record.scale)
    return sum(plans.evaluations_of(block, resolved.request, pieces, wishes_at) for block in store.done)


def _with_known(bands: Iterator[Band], resolved: Resolved, joined: Composite | None) -> Iterator[Band]:
    """The bands with the pixels that were known beforehand in their places."""
    known = resolved.known
    for band in bands:
        if joined is not None:
            yield from joined.joined(band)
            continue
        if known is not None:
            pixels, there = known.read(band.row0, 0, *band.mask.shape)
            band = replace(band, pixels=np.where(there, pixels, band.pixels), mask=band.mask | there)
        yield band


def _bands_of_workers(resolved: Resolved, pieces: Graph, runtime: Runtime, stores: Sequence[JobDir]) -> Iterator[Band]:
    """The picture's bands, made by Dask workers, one world after the other."""
    from rsgeo.synthesis import cluster, engine

    request = resolved.request
    wishes_at = wishes_of(request, resolved.record.scale)
    total = len(stores) * plans.evaluations(request, pieces, wishes_at)
    done = sum(_evaluations_done(resolved, pieces, store) for store in stores)

    def count(block: Block) -> None:
        nonlocal done
        done += plans.evaluations_of(block, request, pieces, wishes_at)
        _report(runtime, Progress("synthesis", done, total))

    with cluster.connect(runtime.workers, runtime.dask) as client:
        for store in stores:
            cluster.compute(client, pieces, store, making.make_block, progress=count, cancelled=runtime.cancelled)
    valid = making.valid_pixels(resolved)
    return samples.combined([engine.finished_bands(pieces, store, valid) for store in stores], request.samples)


def _check_outputs(out: Path, resolved: Resolved, geobox: GeoBox, layout: Layout, runtime: Runtime) -> None:
    """Refuse before any work what could not be written after it."""
    request, itemsize = resolved.request, np.dtype(layout.dtype).itemsize
    exact = any(reference.role == "known" for reference in request.references)
    if any(out.exists() and out.samefile(path) for path in resolved.files.values()):
        raise OutputError(f"{out} is read for the picture; give it another name.")
    raster.cog_options(runtime.creation_options, bands=len(layout.names), itemsize=itemsize, exact=exact)
    if runtime.preview is not None:
        preview.check_preview(runtime.preview, overwrite=runtime.overwrite)
    needed = raster.DISK_FACTOR * itemsize * raster.raw_bytes(geobox, len(layout.names))
    if request.samples is not None:
        needed += raster.raw_bytes(geobox, request.samples.count * len(COLOURS))  # a job keeps every world until the file is written
    beside = _beside(out, resolved) if runtime.sidecar else ()
    raster.check_output(out, overwrite=runtime.overwrite, needed_bytes=needed, beside=beside)


def _beside(out: Path, resolved: Resolved) -> tuple[Path, ...]:
    """The files that belong to an output."""
    return (*provenance.sidecar_paths(out), *((provenance.report_path(out),) if report.is_due(resolved) else ()))


def _report(runtime: Runtime, progress: Progress) -> None:
    if runtime.progress is not None:
        runtime.progress(progress)
