"""A reference of a request as a model sees it: its bands on the request's lattice, as numbers from 0 to 1."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsgeo.geo import optical
from rsgeo.geo.raster_open import ImagePath
from rsgeo.geo.raster_read import Mask
from rsgeo.geo.stretch import shown
from rsgeo.geo.warp import Resampling, WarpedRaster
from rsgeo.request import GridRecord, Reference


class SeenRaster:
    """The bands of a reference, wherever each of them lies; ``factor`` and the errors are those of `WarpedRaster`."""

    def __init__(
        self, path: Path, reference: Reference, grid: GridRecord, *, factor: int | Fraction = 1, resampling: Resampling | None = None
    ) -> None:
        self.reference = reference
        found = optical.sources(path, reference.bands)
        images: dict[ImagePath, list[int]] = {}
        for place, source in enumerate(found):
            images.setdefault(source.image, []).append(place)
        self._parts = [
            (
                places,
                WarpedRaster(
                    image,
                    grid,
                    [found[place].number for place in places],
                    resampling or reference.resampling,
                    factor=factor,
                    nodata=found[places[0]].nodata,
                ),
            )
            for image, places in images.items()
        ]

    def read(self, row: int, col: int, height: int, width: int) -> tuple[NDArray[np.float32], Mask]:
        """Pixels (bands, height, width) float32 in [0, 1], 0 without data, and the mask: True where all bands' images have data."""
        stored, mask = np.zeros((len(self.reference.bands), height, width), np.float32), np.ones((height, width), np.bool_)
        for places, raster in self._parts:
            stored[places], there = raster.read(row, col, height, width)
            mask &= there
        return np.where(mask, shown(stored, self.reference.stretch), np.float32(0)), mask
