"""Exact numbers of the world lattice: coefficients are decimals, cells are integers, and nothing is rounded twice (SYNTHESIS.md 5.1)."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from typing import Any

from rsgeo.errors import InputError

Lattice = tuple[str, str, str, str, str, str]
"""(a, b, c, d, e, f) of x = a col + b row + c, y = d col + e row + f, as decimal text."""

_PLAIN_DECIMAL = re.compile(r"-?\d{1,400}(\.\d{1,1200})?", re.ASCII)


def positive_decimal(text: str, option: str) -> Fraction:
    """The exact value of decimal text as typed. Raises InputError, naming ``option``, unless it is a number above 0 of sane size."""
    typed = str(text).strip()
    try:
        value = Decimal(typed[:40])
    except InvalidOperation as error:
        raise InputError(f"{option} {typed[:40]!r} is not a number; write it as 10 or 0.6.") from error
    if len(typed) > 40 or not value.is_finite() or not Decimal("1e-12") < value < Decimal("1e9"):
        raise InputError(f"{option} {typed[:40]} cannot be used; give a number above 0.")
    return Fraction(value)


def exact(value: float) -> Fraction:
    """The shortest decimal that names a float, which is what its writer meant: 0.1 is one tenth."""
    return Fraction(repr(float(value)))


def decimal_text(value: Fraction) -> str:
    """A fraction whose denominator divides a power of ten, written out without an exponent."""
    digits = 0
    while (10**digits * value.numerator) % value.denominator:
        digits += 1
    scaled = 10**digits * value.numerator // value.denominator
    sign, number = ("-" if scaled < 0 else ""), str(abs(scaled)).rjust(digits + 1, "0")
    return sign + (f"{number[:-digits]}.{number[-digits:]}" if digits else number)


@lru_cache(maxsize=64)
def fractions(lattice: Lattice) -> tuple[Fraction, ...]:
    """The coefficients exactly. Raises InputError if the text is no plain decimals."""
    if not all(_PLAIN_DECIMAL.fullmatch(text) for text in lattice):
        raise InputError("The lattice of the stored grid is no decimal numbers; the file it comes from was edited.")
    return tuple(Fraction(text) for text in lattice)


def floats(lattice: Lattice) -> tuple[float, float, float, float, float, float]:
    """The coefficients, each rounded once."""
    a, b, c, d, e, f = map(float, fractions(lattice))
    return a, b, c, d, e, f


def solve(a: Any, b: Any, d: Any, e: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """(u, v) with a u + b v = x and d u + e v = y."""
    determinant = a * e - b * d
    return (e * x - b * y) / determinant, (a * y - d * x) / determinant
