"""Finer grids on a raster's lattice: their pixels nest in the raster's, wherever and however it lies."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from rsgeo.errors import InputError
from rsgeo.geo import grid, nested, reference
from rsgeo.request import GridRecord

RASTERS = Path(__file__).parents[1] / "data" / "rasters"
L2A = RASTERS / "series" / "S2_L2A_31UDS_20180416T105619.tif"


def corners(cells: GridRecord) -> list[tuple[float, float]]:
    affine = grid.geobox(cells).affine
    return [affine * place for place in ((0, 0), (cells.width, 0), (cells.width, cells.height))]


def test_ten_metres_are_cut_in_four_on_the_lattice_of_areas() -> None:
    cells = reference.grid_of(L2A)
    finer, ratio = nested.subdivided(cells, "2.5")
    assert ratio == 4
    assert finer.lattice == ("2.5", "0", "0", "0", "-2.5", "0")
    assert (finer.col, finer.row, finer.width, finer.height) == (4 * cells.col, 4 * cells.row, 256, 256)


def test_a_raster_whose_pixels_are_not_quite_ten_metres_is_cut_all_the_same() -> None:
    cells = reference.grid_of(RASTERS / "series" / "S2_L1C_slovenia_20150711T100008.tif")
    finer, ratio = nested.subdivided(cells, "2.5")
    assert ratio == 4 and (finer.width, finer.height) == (400, 404)
    assert np.allclose(corners(finer), corners(cells), rtol=0, atol=1e-9)


def test_a_third_of_ten_metres_nests_as_well() -> None:
    cells = reference.grid_of(L2A)
    finer, ratio = nested.subdivided(cells, "3.333")
    assert ratio == 3
    assert np.allclose(corners(finer), corners(cells), rtol=0, atol=1e-9)


def test_another_ratio_gives_exactly_the_size_asked_for_and_covers_the_raster() -> None:
    cells = reference.grid_of(L2A)
    finer, ratio = nested.subdivided(cells, "4")
    assert ratio == Fraction(10, 4) and finer.lattice == ("4", "0", "0", "0", "-4", "0")
    (left, top), _, (right, bottom) = corners(finer)
    (inner_left, inner_top), _, (inner_right, inner_bottom) = corners(cells)
    assert 0 <= inner_left - left < 4 and 0 <= top - inner_top < 4 and 0 <= right - inner_right < 4 and 0 <= inner_bottom - bottom < 4


@pytest.mark.parametrize("gsd", ["10", "12", "9.99"])
def test_what_is_not_finer_is_refused(gsd: str) -> None:
    with pytest.raises(InputError, match=f"--gsd {gsd} is not finer than the reference, whose pixels are 10 m"):
        nested.subdivided(reference.grid_of(L2A), gsd)


@given(
    size=st.floats(0.5, 40), turn=st.floats(-179, 179), x=st.floats(400_000, 600_000), y=st.floats(4_000_000, 6_000_000), parts=st.integers(2, 9)
)  # fmt: skip
def test_pixels_of_any_raster_nest(size: float, turn: float, x: float, y: float, parts: int) -> None:
    transform = Affine.translation(x, y) * Affine.rotation(turn) * Affine.scale(size, -size)
    cells = grid.from_transform("EPSG:32633", transform, 31, 17)
    gsd = f"{grid.ground(cells).gsd_m / parts:.6f}"
    finer, ratio = nested.subdivided(cells, gsd)
    assert ratio == parts
    assert (finer.width, finer.height) == (31 * parts, 17 * parts)
    assert np.allclose(corners(finer), corners(cells), rtol=0, atol=1e-6)


def test_the_common_part_of_two_grids() -> None:
    cells = GridRecord(crs="EPSG:32633", lattice=("1", "0", "0", "0", "-1", "0"), col=10, row=20, width=5, height=6)
    part = nested.common(cells, grid.window(cells, -2, 3, 4, 9))
    assert part is not None and (part.col, part.row, part.width, part.height) == (13, 20, 2, 2)
    assert nested.common(cells, grid.window(cells, 6, 0, 5, 5)) is None
