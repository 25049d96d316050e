"""Memory of this process and machine, where the system tells it in files (Linux)."""

from __future__ import annotations

import os
from pathlib import Path


def resident_mb() -> int | None:
    """Megabytes this process has in memory; None where that is not known."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") // 10**6


def available_bytes() -> int | None:
    """Bytes that a process may still take; None where that is not known."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
