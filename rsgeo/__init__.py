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
    from rsgeo.tasks.sample import SampleResult as SampleResult
    from rsgeo.tasks.sweep import SweepResult as SweepResult
    from rsgeo.tasks.verify import verify as verify


__all__ = [
    "generate",
    "extend",
    "inpaint",
    "sweep",
    "sample",
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
    "SweepResult",
    "SampleResult",
    "__version__",
]

_HOME = {
    "SweepResult": "rsgeo.tasks.sweep",
    "SampleResult": "rsgeo.tasks.sample",
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
    """Continue an image over more ground: its pixels unchanged, new ones beyond them.

    ``asked`` are fields of `Ask`. To a synthetic image they name the area (``aoi`` or ``bounds`` and what reads them), its polygons' prompts and the
    limits; all else is as it was. Any other image keeps its pixels bit for bit, and they may also say the wish, the model and ``bands``; then the
    result's last band says which pixels were made. ``out`` and the result are as in `generate`. Raises `rsgeo.errors.RsgeoError`.
    """
    from rsgeo.request import Ask
    from rsgeo.tasks.extend import extend as task

    return task(existing, Ask(**asked), out, runtime)


def inpaint(raster: str | Path, out: str | Path | None = None, *, mask: Any, runtime: Runtime | None = None, **asked: Any) -> Result:
    """Make the pixels of a raster anew that ``mask`` (a raster, an area, or "nodata") marks; all others stay bit for bit.

    ``asked`` are the fields of `Ask` that say the wish and the model, and ``mask_values``, ``bands`` and what reads an area. `Result.pixels` is of
    the raster's own type, with one band more, last, that says which pixels were made; ``out`` is as in `generate`. Raises `rsgeo.errors.RsgeoError`.
    """
    from rsgeo.request import Ask
    from rsgeo.tasks.inpaint import inpaint as task

    return task(raster, Ask(mask=mask, **asked), out, runtime)


def sweep(field: str, values: Sequence[str | float], out: str | Path | None = None, *, runtime: Runtime | None = None, **asked: Any) -> SweepResult:
    """Vary one field of the scene ("gsd", "date", "lon", "lat", "cloud_cover_percent") and see how much a model's pictures change.

    ``asked`` are further fields of `rsgeo.tasks.sweep.SweepAsk`, such as ``prompt``, ``seed``, ``samples`` and ``model``. With ``out`` the pictures
    are written there side by side, as a PNG that carries the marks. Raises `rsgeo.errors.RsgeoError`.
    """
    from rsgeo.tasks.sweep import SweepAsk
    from rsgeo.tasks.sweep import sweep as task

    return task(SweepAsk(field, values, **asked), out, runtime)


def sample(captions: str | Path | Sequence[str], out: str | Path, *, runtime: Runtime | None = None, **asked: Any) -> SampleResult:
    """Make a picture of each caption, of a list or of a file (text, CSV, or RSICD's JSON), in the folder ``out``; the same call goes on with it.

    ``asked`` are further fields of `rsgeo.tasks.sample.SampleAsk`, such as ``split``, ``n``, ``seed`` and ``model``. A picture is the same whatever
    the batch size and whichever others are made. Raises `rsgeo.errors.RsgeoError`.
    """
    from rsgeo.tasks.sample import SampleAsk
    from rsgeo.tasks.sample import sample as task

    return task(SampleAsk(captions, **asked), out, runtime)


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
