"""The prompts of a request's regions, as masks on the world's cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rsgeo.geo import aoi as aois
from rsgeo.geo import grid
from rsgeo.request import Request
from rsgeo.synthesis.wishes import Wish, WishesAt, blend, soft


def wishes_of(request: Request, scale: int) -> WishesAt | None:
    """What each window is wished to show, where the finest cells are of ``scale`` pixels; None where one prompt holds everywhere.

    A pixel belongs to the regions that hold its centre, else to the request's own prompt: a function of place alone.
    """
    if not request.regions:
        return None
    cells = request.grid
    areas = [aois.from_record(region.area) for region in request.regions]
    prompts = [request.prompt, *(region.prompt for region in request.regions)]

    def wishes_at(corners: Sequence[tuple[int, int]], tile: int, factor: int) -> list[tuple[Wish, ...]]:
        tops, pixels = np.array(corners), scale * factor
        (row0, col0), (row1, col1) = tops.min(axis=0) - 1, tops.max(axis=0) + tile + 1
        at = (row0 * pixels - cells.row, col0 * pixels - cells.col, (row1 - row0) * pixels, (col1 - col0) * pixels)
        covers = [grid.valid_mask(cells, area, *map(int, at)) for area in areas]
        rest = ~np.logical_or.reduce(covers)
        shares = np.stack([soft(cover, pixels) for cover in (rest, *covers)])
        places = tops - (row0 + 1, col0 + 1)
        return [blend(prompts, shares[:, row : row + tile, col : col + tile]) for row, col in places.tolist()]

    return wishes_at
