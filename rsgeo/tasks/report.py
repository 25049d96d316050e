"""What is measured of a finished picture: how consistent it is with the image it refines, or how far from the truth it predicts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsgeo.geo import grid, looks, optical, provenance, reference
from rsgeo.geo.atomic import replacing
from rsgeo.geo.consistency import Comparison, averaged
from rsgeo.geo.raster_read import Mask, PlacedImage
from rsgeo.geo.seen_raster import SeenRaster
from rsgeo.geo.series import baselines, day_of
from rsgeo.geo.world import fractions
from rsgeo.request import COLOURS, GridRecord, Reference
from rsgeo.tasks.conditioned import condition_of
from rsgeo.tasks.resolve import Resolved

Read = Callable[[int, int, int, int], tuple[NDArray[np.uint8], Mask]]
"""``read(row0, col0, height, width)``: a window of a finished picture, from its upper left pixel: (bands, height, width) and where it is valid."""

_ROWS_AT_ONCE = 64
_GREY = 255.0
_DIGITS = 3
_WHOLLY_SEEN = 0.999


def of_file(resolved: Resolved, out: Path) -> dict[str, Any] | None:
    """`measured` of a picture that was written."""
    if not is_due(resolved):
        return None
    cells = resolved.request.grid
    return measured(resolved, PlacedImage(out, 0, 0, (len(resolved.request.bands), cells.height, cells.width)).read)


def of_pixels(resolved: Resolved, pixels: NDArray[np.uint8], mask: Mask) -> dict[str, Any] | None:
    """`measured` of a picture in memory."""

    def read(row0: int, col0: int, height: int, width: int) -> tuple[NDArray[np.uint8], Mask]:
        window = slice(row0, row0 + height), slice(col0, col0 + width)
        return pixels[:, *window], mask[window]

    return measured(resolved, read)


def measured(resolved: Resolved, read: Read) -> dict[str, Any] | None:
    """Plain values for JSON: "consistency" of a refined raster, "prediction" beside the baselines where the truth is known; else None.

    Of several worlds each is measured, or their mean where only that is written.
    """
    if not is_due(resolved):
        return None
    if resolved.request.task == "superres":
        return {"consistency": _each(resolved, read, _consistency)}
    return {"prediction": _each(resolved, read, _prediction)}


def is_due(resolved: Resolved) -> bool:
    """Whether there is something to measure."""
    return resolved.request.task == "superres" or resolved.truth is not None


def write(out: Path, report: Mapping[str, Any]) -> Path:
    """Write a report beside the finished file ``out``. Raises OutputError if it cannot be written."""
    path = provenance.report_path(out)
    with replacing(path) as part:
        part.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def _each(resolved: Resolved, read: Read, measure: Callable[[Resolved, Read, int], dict[str, Any]]) -> dict[str, Any]:
    samples = resolved.request.samples
    if samples is None or samples.write_as == "statistics":
        return measure(resolved, read, 0)
    return {f"sample {number}": measure(resolved, read, number * len(COLOURS)) for number in range(samples.count)}


def _consistency(resolved: Resolved, read: Read, band0: int) -> dict[str, Any]:
    """The first reference against the picture, averaged to its pixels, where these are seen as a whole."""
    request, condition = resolved.request, condition_of(resolved.record)
    first = looks.as_colours(request.references[0], condition.bands, condition.radiometry)
    path = resolved.files[first.sha256]
    own = min((reference.grid_of(source.image) for source in optical.sources(path, first.bands)), key=lambda cells: grid.ground(cells).gsd_m)
    image = SeenRaster(path, first, own, resampling="nearest")
    ratio, cells = _ratio(own, request.grid), request.grid
    rows, cols = (range(math.ceil(start / ratio - 1e-6), math.floor((start + size) / ratio + 1e-6)) for start, size in _sides(cells))
    comparison = Comparison((len(rows), len(cols)))
    edges = [col * ratio - cells.col for col in range(cols.start, cols.stop + 1)]
    for start in range(rows.start, rows.stop, _ROWS_AT_ONCE):
        height = min(_ROWS_AT_ONCE, rows.stop - start)
        lines = np.arange(start, start + height + 1, dtype=np.float64) * ratio - cells.row
        top, bottom = max(math.floor(lines[0]), 0), min(math.ceil(lines[-1]), cells.height)
        pixels, mask = read(top, 0, bottom - top, cells.width)
        share = averaged(mask, lines - top, edges)
        made = averaged(pixels[band0 : band0 + len(COLOURS)] * mask, lines - top, edges) / np.maximum(share, _WHOLLY_SEEN)
        given, there = image.read(start, cols.start, height, len(cols))
        comparison.add(start - rows.start, 0, given * _GREY, made, there & (share >= _WHOLLY_SEEN))
    found = comparison.result()
    about = {"reference": first.name, "unit": "grey levels, 0 to 255", "ratio": round(ratio, _DIGITS), "pixels": 0 if found is None else found.pixels}
    if found is None:
        return about
    gsd_m = grid.ground(own).gsd_m
    shift = None if found.shift_px is None else [round(value, 2) for value in found.shift_px]
    return about | {
        "rmse": {colour: round(value, _DIGITS) for colour, value in zip(COLOURS, found.rmse, strict=True)},
        "spectral_angle_deg": {"median": round(found.angle_median_deg, _DIGITS), "percentile_95": round(found.angle_95_deg, _DIGITS)},
        "shift_px": shift,
        "shift_m": None if shift is None else [round(value * gsd_m, 2) for value in shift],
    }


def _prediction(resolved: Resolved, read: Read, band0: int) -> dict[str, Any]:
    """Mean absolute differences from the truth, of the prediction and of each guess from the series, where all are known."""
    request, condition = resolved.request, condition_of(resolved.record)
    assert resolved.truth is not None and request.scene.date is not None
    record_of_truth, path = resolved.truth
    cells, series = request.grid, [one for one in request.references if one.role == "series"]
    days = [day_of(one.date) for one in series if one.date is not None]

    def shown(one: Reference, file: Path) -> SeenRaster:
        return SeenRaster(file, looks.as_colours(one, condition.bands, condition.radiometry), cells)

    images, known = [shown(one, resolved.files[one.sha256]) for one in series], shown(record_of_truth, path)
    total: dict[str, float] = {}
    count = 0
    for row in range(0, cells.height, _ROWS_AT_ONCE):
        height = min(_ROWS_AT_ONCE, cells.height - row)
        place = (cells.row + row, cells.col, height, cells.width)
        wanted, there = known.read(*place)
        parts = [image.read(*place) for image in images]
        made, valid = read(row, 0, height, cells.width)
        there = np.logical_and.reduce([there, valid, *(mask for _, mask in parts)])
        guesses = baselines(np.stack([pixels for pixels, _ in parts]) * _GREY, days, day_of(request.scene.date))
        for name, guess in {"prediction": made[band0 : band0 + len(COLOURS)].astype(np.float64), **guesses}.items():
            total[name] = total.get(name, 0.0) + float(np.abs(guess - wanted * _GREY)[:, there].sum())
        count += int(there.sum())
    errors = {name: round(value / (count * len(COLOURS)), _DIGITS) for name, value in total.items()} if count else {}
    return {"truth": record_of_truth.name, "unit": "mean absolute difference in grey levels, 0 to 255", "pixels": count, "errors": errors}


def _ratio(coarse: GridRecord, fine: GridRecord) -> float:
    """Pixels of ``fine`` along a pixel of ``coarse``, on one lattice."""
    (a, b, _, d, e, _), (p, q, _, r, s, _) = fractions(coarse.lattice), fractions(fine.lattice)
    return math.sqrt(abs((a * e - b * d) / (p * s - q * r)))


def _sides(cells: GridRecord) -> tuple[tuple[int, int], tuple[int, int]]:
    """(first row, rows) and (first column, columns)."""
    return (cells.row, cells.height), (cells.col, cells.width)
