"""Names that the captions use: fMoW's classes, countries by their ISO 3166 codes, and Satlas' tasks with their classes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def vocabularies() -> dict[str, Any]:
    """``fmow_categories``, ``country_names_code3`` and ``country_names_code2`` (names by code), ``satlas_tasks``."""
    words: dict[str, Any] = json.loads(Path(__file__).with_name("vocabularies.json").read_text(encoding="utf-8"))
    return words


def words(identifier: str) -> str:
    """A class name as a caption says it."""
    return identifier.replace("_", " ")
