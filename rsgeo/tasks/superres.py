"""Superres: a raster becomes a finer picture on its own lattice, subdivided."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from rsgeo.errors import InputError, RsgeoWarning
from rsgeo.geo import nested
from rsgeo.hub import catalog
from rsgeo.hub.catalog import CatalogRecord
from rsgeo.request import Ask, RequestedScene
from rsgeo.runtime import Result, Runtime
from rsgeo.tasks import conditioned
from rsgeo.tasks.conditioned import Given
from rsgeo.tasks.generate import run
from rsgeo.tasks.resolve import Resolved, area_of, checked, request_of

_FAR_OFF = 1.5


def superres(references: Sequence[str | Path] | str | Path, ask: Ask, out: str | Path | None = None, runtime: Runtime | None = None) -> Result:
    """The first of ``references`` as a red, green and blue picture of ``ask.gsd`` metres; `Result.report` says how consistent it is with that.

    A reference is a raster, or a Sentinel-2 product: a ``.SAFE`` folder, or the ZIP of one (`rsgeo.geo.optical`). The area of the ask, if it names
    one, is cut out. Raises what `resolve_superres` and `rsgeo.tasks.generate.run` raise.
    """
    paths = [references] if isinstance(references, str | Path) else list(references)
    return run(resolve_superres(paths, ask), None if out is None else Path(out), runtime or Runtime())


def resolve_superres(paths: Sequence[str | Path], ask: Ask) -> Resolved:
    """The request for a finer picture of the first image; further ones are shown to a model that sees several.

    Raises:
        InputError: an image cannot be read, lacks bands or shows nothing of the area, or the ask says what does not go with this.
        GeoreferenceError: an image has no grid.
        ModelError: no model at hand does this, or the one named sees another number of images.
    """
    conditioned.check_asked(ask, conditioned.WISHES, "superres")
    if ask.gsd is None:
        raise InputError("Say how fine: --gsd METRES.")
    record = catalog.for_task("superres", ask.model)
    condition = conditioned.condition_of(record)
    images = conditioned.given(paths, ask, condition)
    if len(images) != condition.images and not condition.series:
        raise InputError(f"{record.name} sees {condition.images} image, not {len(images)}; give one, or a model that sees a series.")
    first = images[0]
    whole, ratio = nested.subdivided(first.cells, ask.gsd)
    if condition.gsd is None and not condition.scale / _FAR_OFF <= ratio <= condition.scale * _FAR_OFF:
        warnings.warn(
            f"{record.name} learned to make images {condition.scale} times finer, and {float(ratio):.3g} times are asked for;"
            f" it sees {first.image.name} as if its pixels were {condition.scale} times the size of the result's.",
            RsgeoWarning,
            stacklevel=3,
        )
    area = area_of(ask, None)
    cells = conditioned.cut_to_area(whole, area)
    scene = _scene(ask, first, record)
    references = conditioned.references_of(images, "low_res", record, cells, scene)
    request = request_of(ask, None, record, cells, area, task="superres", scene=scene, references=references)
    return checked(request, record, ask, files={one.sha256: one.image.path for one in images})


def _scene(ask: Ask, first: Given, record: CatalogRecord) -> RequestedScene:
    """The date and clouds that are said, else those of the image where the model was taught such: the same moment is wished for."""
    scene, taught = first.image.scene, record.trained_fields
    said = conditioned.scene_of(ask)
    return RequestedScene(
        date=said.date or (first.date if "date" in taught else None),
        cloud_cover_percent=said.cloud_cover_percent or (scene.cloud_cover_percent if "cloud_cover" in taught else None),
    )
