"""What a worker tells on the way, in words and per cent. No QGIS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Where a stage begins and ends on the way from 0 to 100: computing takes nearly all of the time.
SHARES = {"load": (0, 10), "sample": (10, 95), "decode": (95, 97), "write": (97, 100)}
WORDS = {"load": "Loading the model", "sample": "Computing", "decode": "Decoding", "write": "Writing"}


class Way:
    """How far a run is: never back, whatever order the stages come in."""

    def __init__(self) -> None:
        self.percent = 0.0
        self.stage = ""

    def step(self, event: Mapping[str, Any]) -> bool:
        """Takes a ``progress`` event in; True if a new stage began."""
        stage = str(event.get("stage", ""))
        begin, end = SHARES.get(stage, (self.percent, self.percent))
        total = event.get("total") or 0
        share = min(max(event.get("done", 0) / total, 0.0), 1.0) if total else 0.0
        self.percent = max(self.percent, begin + (end - begin) * share)
        new, self.stage = stage != self.stage, stage
        return new


def stage_words(event: Mapping[str, Any]) -> str:
    """A stage and the time left, for people; no time where none is known."""
    words = WORDS.get(str(event.get("stage")), str(event.get("stage", "")))
    left = event.get("eta_s")
    return words if left is None else f"{words}, {duration(left)} left"


def plan_lines(planned: Mapping[str, Any]) -> list[str]:
    """What a run will give and cost, from the answer to ``plan``."""
    plan = {**planned.get("plan", {}), **planned.get("grid", {})}
    lines = []
    if plan.get("width") and plan.get("height"):
        gsd = plan.get("gsd_m")
        lines.append(f"Size: {plan['width']} × {plan['height']} px" + (f" of {gsd:.4g} m" if gsd else ""))
    if plan.get("memory_bytes"):
        lines.append(f"Memory: about {plan['memory_bytes'] / 1e9:.2g} GB")
    if plan.get("file_bytes"):
        lines.append(f"File: about {plan['file_bytes'] / 1e6:.2g} MB")
    seconds = plan.get("seconds")
    lines.append("Time: unknown until the model ran here once" if seconds is None else f"Time: about {duration(seconds)}")
    return lines


def duration(seconds: float) -> str:
    """Seconds in the unit that people would take."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
