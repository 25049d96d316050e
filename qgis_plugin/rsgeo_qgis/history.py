"""The requests made in the dock, newest first, as they are kept between sessions. No QGIS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

MOST_KEPT = 50


@dataclass(frozen=True)
class Entry:
    """A request that was carried out: when (ISO 8601), what was asked, and the file, if it was more than a preview."""

    when: str
    request: Mapping[str, Any]
    output: str

    @property
    def prompt(self) -> str:
        return str(self.request["ask"].get("prompt", ""))

    @property
    def seed(self) -> int:
        return int(self.request["ask"].get("seed", 0))


def added(entries: list[Entry], entry: Entry) -> list[Entry]:
    """With one more, and as many as are kept."""
    return [entry, *entries][:MOST_KEPT]


def to_text(entries: list[Entry]) -> str:
    """For the settings."""
    return json.dumps([asdict(entry) for entry in entries], ensure_ascii=False)


def from_text(text: str) -> list[Entry]:
    """What `to_text` wrote; what an older or newer version wrote differently is left out."""
    try:
        rows = json.loads(text)
    except ValueError:
        return []
    names = {"when", "request", "output"}
    good = [row for row in rows if isinstance(row, dict) and set(row) == names] if isinstance(rows, list) else []
    return [Entry(**row) for row in good if isinstance(row["request"], dict) and isinstance(row["request"].get("ask"), dict)]
