"""Plan: what a request would cost on this machine, before any work and without torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from rsgeo.geo import grid, raster
from rsgeo.hub import calibration, catalog
from rsgeo.hub.catalog import CatalogRecord
from rsgeo.runtime import Runtime
from rsgeo.synthesis import plan as plans
from rsgeo.synthesis.blocks import Graph
from rsgeo.synthesis.lattice import corners
from rsgeo.synthesis.plan import Machine, SynthesisPlan
from rsgeo.tasks import composite, making
from rsgeo.tasks.regions import wishes_of
from rsgeo.tasks.resolve import Resolved

# Measured (tests/benchmarks/plan_accuracy.py): Python with torch, diffusers and GDAL loaded; weights are stored in half precision.
_PROCESS_BYTES = 400_000_000
_COPIES_OF_WEIGHTS = 3


def plan(resolved: Resolved, runtime: Runtime | None = None, pieces: Graph | None = None) -> SynthesisPlan:
    """Windows, evaluations, sizes and, where this machine's pace is known, time of a request; ``pieces`` are its blocks if at hand.

    Raises InputError when its area holds no pixel.
    """
    how, joined = runtime or Runtime(), composite.of(resolved)
    return plans.plan(
        resolved.request,
        pieces or making.graph(resolved),
        channels=resolved.record.channels,
        machine=_machine(how, resolved),
        compression=raster.cog_options(how.creation_options, bands=len(resolved.request.bands))["COMPRESS"],
        valid=making.valid_pixels(resolved),
        wishes_at=wishes_of(resolved.request, resolved.record.scale),
        composite_bytes=None if joined is None else len(joined.layout.names) * np.dtype(joined.layout.dtype).itemsize,
    )


def check(planned: SynthesisPlan, runtime: Runtime) -> None:
    """Raises TooLargeError or InputError when a plan is beyond what the runtime allows."""
    plans.check_budget(planned, max_hours=runtime.max_hours, max_memory=runtime.max_memory)


def windows(resolved: Resolved) -> dict[str, Any]:
    """Every window that would run, as a GeoJSON FeatureCollection in degrees: phase, row and column index of its lattice, steps.

    Windows of a cascade say their level too; the finest is 0.
    """
    request, pieces = resolved.request, making.graph(resolved)
    features = []
    for number, stage in enumerate(pieces.stages):
        phase, scale = stage.phase, pieces.scale * stage.factor
        if phase is None:
            continue
        side = phase.tile * scale
        for (row, col), (top, left) in zip(stage.windows.tolist(), corners(stage.lattice, stage.windows).tolist(), strict=True):
            place = grid.window(request.grid, top * scale - request.grid.row, left * scale - request.grid.col, side, side)
            properties = {"phase": number, "row": row, "col": col, "first_step": phase.first, "last_step": phase.last}
            properties |= {"level": stage.level} if request.synthesis.coarser else {}
            features.append({"type": "Feature", "geometry": grid.footprint_lonlat(place), "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def _machine(runtime: Runtime, resolved: Resolved) -> Machine:
    """What is known of this machine."""
    record = resolved.record
    known = calibration.find(record, None if runtime.device == "auto" else runtime.device)
    asked = making.as_made(runtime, resolved.made, known.device if known else "cpu")
    if known is None:
        batch_size = asked.batch_size or record.defaults.batch_size
        return Machine(None, None, 0.0, batch_size, _resting_bytes(record, batch_size))
    dtype, batch_size = making.DTYPES.get(asked.dtype, known.dtype), asked.batch_size or known.batch_size
    name = f"{known.device}, {dtype}, batch {batch_size}, {known.threads} threads"
    return Machine(name, known.pace(dtype, batch_size), known.start_seconds, batch_size, _resting_bytes(record, batch_size))


def _resting_bytes(record: CatalogRecord, batch_size: int) -> int:
    """The memory of a process that has loaded a model and runs a batch of windows, before a cell of the area is held; an estimate."""
    weights = sum(path.stat().st_size for path in catalog.layout_of(record).files() if path.suffix in (".safetensors", ".bin"))
    return _PROCESS_BYTES + _COPIES_OF_WEIGHTS * weights + batch_size * record.window_bytes
