"""rsgeo turns a place and a wish into a georeferenced synthetic satellite image.

    import rsgeo

    result = rsgeo.generate(aoi="field.geojson", prompt="a village among fields", out="village.tif")

The public names are listed in ``__all__``. They are loaded when first used, so that ``import rsgeo`` stays quick and needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsgeo._version import __version__

if TYPE_CHECKING:
    from rsgeo.geo.info import describe as describe
    from rsgeo.hub.load import load_pipeline as load_pipeline
    from rsgeo.request import Ask as Ask
    from rsgeo.request import Request as Request
    from rsgeo.runtime import Result as Result
    from rsgeo.runtime import Runtime as Runtime
    from rsgeo.scene import SceneMetadata as SceneMetadata
    from rsgeo.tasks.verify import verify as verify


__all__ = [
    "generate",
    "extend",
    "superres",
    "predict",
    "verify",
    "describe",
    "load_pipeline",
    "Ask",
    "Request",
    "Runtime",
    "Result",
    "SceneMetadata",
    "__version__",
]

_HOME = {
    "verify": "rsgeo.tasks.verify",
    "describe": "rsgeo.geo.info",
    "load_pipeline": "rsgeo.hub.load",
    "Ask": "rsgeo.request",
    "Request": "rsgeo.request",
    "Runtime": "rsgeo.runtime",
    "Result": "rsgeo.runtime",
    "SceneMetadata": "rsgeo.scene",
}


def generate(out: str | Path | None = None, *, runtime: Runtime | None = None, **asked: Any) -> Result:
    """Generate a synthetic image of a place; ``asked`` are the fields of `Ask`, of which one of ``aoi``, ``like``, ``bounds`` is needed.

    With ``out`` the picture is written there as a Cloud Optimized GeoTIFF with all its marks; without, `Result.pixels` is
    (band, y, x) uint8 and `Result.mask` (y, x) bool, True where valid; `Result.bands` names the bands, which with ``samples`` are more than red,
    green and blue. Raises `rsgeo.errors.RsgeoError`.
    """
    from rsgeo.request import Ask
    from rsgeo.runtime import Runtime
    from rsgeo.tasks.generate import generate as task

    return task(Ask(**asked), Path(out) if out is not None else None, runtime or Runtime())


def extend(existing: str | Path, out: str | Path | None = None, *, runtime: Runtime | None = None, **asked: Any) -> Result:
    """Continue a synthetic image over more ground: its pixels unchanged, new ones of the same world beyond them.

    ``asked`` are the fields of `Ask` that name the area (``aoi`` or ``bounds`` and what reads them), its polygons' prompts and the limits; all
    else is as it was. ``out`` and the result are as in `generate`. Raises `rsgeo.errors.RsgeoError`.
    """
    from rsgeo.request import Ask
    from rsgeo.tasks.extend import extend as task

    return task(existing, Ask(**asked), out, runtime)


def superres(references: str | Path | Sequence[str | Path], out: str | Path | None = None, *, runtime: Runtime | None = None, **asked: Any) -> Result:
    """Make a raster finer: its place in red, green and blue at ``gsd`` metres, on its lattice subdivided.

    ``references`` is a raster or a Sentinel-2 product (``.SAFE`` folder or ZIP), or several of which the first is refined. ``asked`` are the fields
    of `Ask` that wish (``gsd`` is needed), cut out an area, or tell of the raster (``radiometry``, ``band_names``). ``out`` and the result are as in
    `generate`; `Result.report` says how consistent the picture is with the raster. Raises `rsgeo.errors.RsgeoError`.
    """
    from rsgeo.request import Ask
    from rsgeo.tasks.superres import superres as task

    return task(references, Ask(**asked), out, runtime)


def predict(
    references: Sequence[str | Path],
    out: str | Path | None = None,
    *,
    truth: str | Path | None = None,
    runtime: Runtime | None = None,
    **asked: Any,
) -> Result:
    """Paint the place of a series of dated rasters as it may look at another ``date``, on the grid of the finest of them.

    ``asked`` are the fields of `Ask` that wish (``date`` is needed), cut out an area, or tell of the rasters (``radiometry``, ``band_names``,
    ``reference_dates``). ``out`` and the result are as in `generate`; with ``truth``, an image of that date, `Result.report` holds the error beside
    those of plain guesses. Raises `rsgeo.errors.RsgeoError`.
    """
    from rsgeo.request import Ask
    from rsgeo.tasks.predict import predict as task

    return task(references, Ask(**asked), out, runtime, truth=truth)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rsgeo' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
