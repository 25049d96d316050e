"""The rasters that a request names: found by their content, and read on the request's lattice as its windows see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsgeo.errors import InputError, ModelError
from rsgeo.geo import optical
from rsgeo.geo.fill import spread
from rsgeo.geo.known_raster import KnownRaster
from rsgeo.geo.raster_read import Mask
from rsgeo.geo.seen_raster import SeenRaster
from rsgeo.hub.catalog import CatalogRecord
from rsgeo.request import Reference, Request
from rsgeo.scene import SceneMetadata
from rsgeo.synthesis.blocks import Valid
from rsgeo.tilemodel import Level, Seen

SceneAt = Callable[[NDArray[np.float64], NDArray[np.float64]], list[SceneMetadata]]


sha256_of = optical.sha256

_MOST_RINGS = 32
_GREY_LEVELS = 255


def found(references: Iterable[Reference], given: Iterable[str | Path]) -> dict[str, Path]:
    """Where the files are that a request's references name, by their hashes; ``given`` may have any names and order.

    Raises InputError, naming it, for a file that is missing, or that is given and not one of them.
    """
    needed: dict[str, str] = {}
    for reference in references:
        needed[reference.sha256] = reference.name
        if reference.mask is not None and reference.mask.sha256 is not None:
            needed[reference.mask.sha256] = reference.mask.name or "the mask"
    files: dict[str, Path] = {}
    for path in given:
        sha256 = sha256_of(path)
        if sha256 not in needed:
            names = ", ".join(needed.values()) or "no file"
            raise InputError(f"{path} is not what the request was made with ({names}), or was changed since; give the very same file.")
        files[sha256] = Path(path)
    missing = [name for sha256, name in needed.items() if sha256 not in files]
    if missing:
        raise InputError(f"The request was made with {', '.join(missing)}; give the same again with --reference.")
    return files


def known_raster(request: Request, files: Mapping[str, Path]) -> KnownRaster | None:
    """The raster whose pixels stay in the result, if the request names one."""
    for reference in request.references:
        if reference.role == "known":
            mask = None if reference.mask is None or reference.mask.sha256 is None else files[reference.mask.sha256]
            return KnownRaster(files[reference.sha256], reference, request.grid, mask)
    return None


def seen_at(
    request: Request, files: Mapping[str, Path], record: CatalogRecord, level: Level, scene_at: SceneAt
) -> Callable[[Sequence[tuple[int, int]]], list[Seen]] | None:
    """What windows show of the request's condition images, in its order of references; None where it has none.

    The images have equally many bands. Raises ModelError when their pixels do not nest in the model's cells.
    """
    images = [reference for reference in request.references if reference.role != "known"]
    if not images:
        return None
    factor, cells = level.conditioning_scale, Fraction(level.scale) / level.conditioning_scale
    if cells.denominator != 1:
        raise ModelError(
            f"{record.name} wants images at 1/{factor} of a size that its cells of {level.scale} px do not divide into; it does not fit."
        )
    rasters = [SeenRaster(files[one.sha256], one, request.grid, factor=factor) for one in images]
    cut_to_bytes = record.condition is not None and record.condition.radiometry == "fmow-sentinel2"
    step, side = int(cells), int(cells) * level.tile

    def seen(corners: Sequence[tuple[int, int]]) -> list[Seen]:
        centres = (np.array(corners, np.float64) + level.tile / 2) * level.scale
        scenes = scene_at(centres[:, 1] - request.grid.col, centres[:, 0] - request.grid.row)
        return [_seen(row * step, col * step, scene) for (row, col), scene in zip(corners, scenes, strict=True)]

    def _seen(row: int, col: int, scene: SceneMetadata) -> Seen:
        read = [_filled(raster, row, col, side) for raster in rasters]
        pixels = np.stack([values for values, _ in read])
        if cut_to_bytes:
            pixels = (np.floor(pixels * _GREY_LEVELS) / _GREY_LEVELS).astype(np.float32)
        return Seen(pixels, np.stack([mask for _, mask in read]), tuple(_scene_of(one, scene, record) for one in images))

    return seen


def _filled(raster: SeenRaster, row: int, col: int, side: int) -> tuple[NDArray[np.float32], Mask]:
    """A square of an image and where it has data; what has none is filled from around, for models were shown whole images only."""
    pixels, mask = raster.read(row, col, side, side)
    if mask.all():
        return pixels, mask
    rings = min(side, _MOST_RINGS)
    wide = spread(*raster.read(row - rings, col - rings, side + 2 * rings, side + 2 * rings), rings)
    return wide[:, rings : rings + side, rings : rings + side], mask


def covered(request: Request, files: Mapping[str, Path]) -> Valid | None:
    """Which pixels of the grid the condition images cover: those where any has data; None where there are no such images."""
    images = [reference for reference in request.references if reference.role != "known"]
    if not images:
        return None
    cells = request.grid
    rasters = [SeenRaster(files[one.sha256], one, cells, resampling="nearest") for one in images]

    def valid(row0: int, col0: int, height: int, width: int) -> NDArray[np.bool_]:
        masks = [raster.read(cells.row + row0, cells.col + col0, height, width)[1] for raster in rasters]
        seen: NDArray[np.bool_] = np.logical_or.reduce(masks)
        return seen

    return valid


def _scene_of(reference: Reference, scene: SceneMetadata, record: CatalogRecord) -> SceneMetadata:
    """What the model may know of a condition image at a window's place: fields that it was taught."""
    taught = record.trained_fields
    return scene.model_copy(
        update={
            "gsd": reference.gsd if "gsd" in taught else None,
            "date": reference.date if "date" in taught else None,
            "cloud_cover_percent": reference.cloud_cover_percent if "cloud_cover" in taught else None,
        }
    )
