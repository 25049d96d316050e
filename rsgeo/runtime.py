"""How to run (`Runtime`) and what came out (`Result`); neither decides what is in the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from odc.geo.geobox import GeoBox

    from rsgeo.request import Request

Device = Literal["auto", "cpu", "cuda", "mps"]
DType = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class Progress:
    """How far a run is: ``done`` of ``total`` units of one stage ("calibrate", "load", "synthesis", "write")."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class Runtime:
    """Device, number type, batch size and hooks of one run.

    ``cancelled`` is asked between batches; when it answers True the run ends with nothing written. ``fresh`` discards the finished work of an
    earlier run that was interrupted. ``workers`` processes on this machine, or those of the Dask scheduler at the address ``dask``, do the work.
    ``keep_loaded`` keeps the model in memory for the next run. A run that would take more than ``max_hours``, or more than ``max_memory`` bytes,
    is refused before it begins.
    """

    device: Device = "auto"
    dtype: DType = "auto"
    batch_size: int | None = None
    max_hours: float | None = None
    max_memory: float | None = None
    compile: bool = False
    keep_loaded: bool = False
    overwrite: bool = False
    fresh: bool = False
    workers: int | None = None
    dask: str | None = None
    reproducible: bool = False
    sidecar: bool = True
    private: bool = False
    copyright: str | None = None
    creation_options: dict[str, str] = field(default_factory=dict)
    preview: Path | None = None
    progress: Callable[[Progress], None] | None = None
    cancelled: Callable[[], bool] | None = None


@dataclass(frozen=True)
class Result:
    """What a task gives back.

    ``pixels`` is (band, y, x), uint8 or of the type of the raster whose pixels stay in it, and ``mask`` (y, x) bool, True where valid; both are None
    when the result was written to ``path``. ``bands`` names the bands: `Request.bands`, or ``names`` where a raster's own are among them. ``run``
    holds the facts of PROVENANCE.md section 6. ``report`` is what was measured of the picture (`rsgeo.tasks.report.measured`), None for tasks that
    measure nothing.
    """

    request: Request
    geobox: GeoBox
    path: Path | None
    pixels: np.ndarray[Any, Any] | None
    mask: np.ndarray[Any, Any] | None
    run: dict[str, Any]
    warnings: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    report: dict[str, Any] | None = None

    @property
    def bands(self) -> tuple[str, ...]:
        """The names of the bands, in order."""
        return self.names or self.request.bands
