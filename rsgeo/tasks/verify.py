"""Verify: is a file still what rsgeo wrote, and does its stored request make the same pixels again?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rsgeo.errors import InputError
from rsgeo.geo import provenance, raster_read
from rsgeo.geo.layout import Layout
from rsgeo.geo.raster_open import open_raster
from rsgeo.request import Ask
from rsgeo.runtime import Runtime
from rsgeo.tasks import composite
from rsgeo.tasks.generate import run
from rsgeo.tasks.resolve import resolve


@dataclass(frozen=True)
class Verification:
    """What was found.

    ``pixels_intact`` is None where the file stores no hash of its pixels. ``max_difference`` (grey levels) and ``differing_pixels`` compare the file
    with a new run of its request; None where none was asked for.
    """

    path: Path
    synthetic: str
    request_intact: bool
    pixels_intact: bool | None
    max_difference: int | None = None
    differing_pixels: int | None = None

    @property
    def good(self) -> bool:
        """Whether nothing was found amiss: marks and pixels are as written, and a new run differs by no grey level."""
        return self.request_intact and bool(self.pixels_intact) and not self.max_difference


def verify(
    path: str | Path,
    *,
    regenerate: bool = False,
    references: Sequence[str | Path] = (),
    runtime: Runtime | None = None,
    model_anyway: bool = False,
) -> Verification:
    """Compare a file with the hashes stored in it and, with ``regenerate``, with a new run of its request.

    A new run takes device kind, number type and batch size from the file's own run where the runtime leaves them open, and needs the files that
    the request was made with, if any, as ``references``.

    Raises:
        InputError: the file is no rsgeo file or cannot be read; with ``regenerate`` also if it is private, or no longer of its first size.
    """
    stored = provenance.read_request(path, allow_private=not regenerate)
    expected = stored.run.get("pixels_sha256")
    intact = None if expected is None else raster_read.pixels_sha256(path) == expected
    found = Verification(Path(path), stored.synthetic, stored.sha_matches, intact)
    if not regenerate:
        return found
    resolved = resolve(Ask(from_file=path, references=tuple(references), model_anyway=model_anyway))
    cells, joined = resolved.request.grid, composite.of(resolved)
    layout = Layout.of_worlds(resolved.request.bands) if joined is None else joined.layout
    with open_raster(path) as dataset:
        found_shape, shape = (dataset.count, *dataset.shape), (len(layout.names), cells.height, cells.width)
        if found_shape != shape or set(dataset.dtypes) != {layout.dtype}:
            raise InputError(f"{Path(path).name} was cut, resampled or converted after it was written; it cannot be compared pixel by pixel.")
    again = run(resolved, None, runtime or Runtime())
    assert again.pixels is not None and again.mask is not None
    largest = differing = 0
    for row0, pixels, mask in raster_read.read_rows(path):
        rows = slice(row0, row0 + pixels.shape[1])
        new = np.where(again.mask[rows], again.pixels[:, rows], 0)
        difference = np.abs(new.astype(np.float64) - pixels).max(axis=0)
        difference = np.maximum(difference, np.where(mask != again.mask[rows], 255, 0))
        largest, differing = max(largest, math.ceil(difference.max())), differing + int((difference > 0).sum())
    return replace(found, max_difference=largest, differing_pixels=differing)
