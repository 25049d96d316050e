"""Grids that lie in a raster's: finer ones on its lattice, and the part that two have in common."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

from rsgeo.errors import InputError
from rsgeo.geo import grid
from rsgeo.geo.world import decimal_text, fractions, positive_decimal
from rsgeo.request import GridRecord

_WHOLE = 0.01
_DIGITS = 40


def subdivided(cells: GridRecord, gsd: str) -> tuple[GridRecord, Fraction]:
    """The grid of about ``gsd`` metres (decimal text) on the lattice of ``cells``, over all of it, and how many pixels go in one.

    Where that ratio is a whole number to 1 %, it is taken as one, and pixels nest exactly: 10 m pixels that are 10.004 m on the ground are cut in
    4 for 2.5 m. Else, for square pixels whose size is that on the ground to 1 %, a pixel is exactly ``gsd`` units of the CRS; the edges are then
    moved outward to whole pixels. Raises InputError where ``gsd`` is no number, or not finer.
    """
    wished, ground = positive_decimal(gsd, "--gsd"), grid.ground(cells).gsd_m
    ratio = Fraction(ground) / wished
    if ratio <= 1 + _WHOLE:
        raise InputError(f"--gsd {gsd} is not finer than the reference, whose pixels are {ground:.4g} m; give a smaller number.")
    whole, resolution = round(ratio), grid.resolution_of(cells)
    if abs(ratio - whole) <= _WHOLE * ratio:
        ratio = Fraction(whole)
    elif resolution is not None and abs(float(resolution) / ground - 1) <= _WHOLE:
        ratio = Fraction(resolution) / wished
    else:
        ratio = Fraction(f"{float(ratio):.4g}")
    a, b, c, d, e, f = fractions(cells.lattice)
    size = [_text(value / ratio) for value in (a, b, d, e)]
    col, row = math.floor(cells.col * ratio), math.floor(cells.row * ratio)
    finer = {
        "lattice": (size[0], size[1], decimal_text(c), size[2], size[3], decimal_text(f)),
        "col": col,
        "row": row,
        "width": math.ceil((cells.col + cells.width) * ratio) - col,
        "height": math.ceil((cells.row + cells.height) * ratio) - row,
    }
    return cells.model_copy(update=finer), ratio


def common(one: GridRecord, other: GridRecord) -> GridRecord | None:
    """What two grids on one lattice have in common; None where that is nothing."""
    col, row = max(one.col, other.col), max(one.row, other.row)
    right, bottom = min(one.col + one.width, other.col + other.width), min(one.row + one.height, other.row + other.height)
    if right <= col or bottom <= row:
        return None
    return one.model_copy(update={"col": col, "row": row, "width": right - col, "height": bottom - row})


def _text(value: Fraction) -> str:
    """A number as decimal text: exactly where it ends within 40 digits, else rounded there, which moves no pixel of the Earth by an atom."""
    with localcontext() as context:
        context.prec = _DIGITS
        return f"{(Decimal(value.numerator) / Decimal(value.denominator)).normalize():f}"
