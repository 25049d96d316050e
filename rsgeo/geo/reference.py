"""The grid of a reference raster."""

from __future__ import annotations

from rsgeo.errors import GeoreferenceError
from rsgeo.geo import derive, grid
from rsgeo.geo.crs import crs_text
from rsgeo.geo.measure import earth_crs
from rsgeo.geo.raster_open import ImagePath, open_raster
from rsgeo.request import GridRecord


def grid_of(path: ImagePath) -> GridRecord:
    """The raster's own grid, exactly: rotated, south-up and unaligned ones included.

    Raises:
        GeoreferenceError: the raster has no transform and CRS (control points and RPCs give no grid).
        InputError: it cannot be opened.
    """
    with open_raster(path) as dataset:
        found = derive.georeference(dataset)
        if found.kind == "none":
            raise GeoreferenceError(f"{path} says nothing about where it lies; give --aoi, or --crs and --bounds, instead of --like.")
        if found.kind != "transform" or found.crs is None:
            raise GeoreferenceError(f"{path} has no grid of its own, only control points or RPCs; give --aoi or --bounds with --crs and --gsd.")
        return grid.from_transform(crs_text(earth_crs(found.crs)), dataset.transform, dataset.width, dataset.height)
