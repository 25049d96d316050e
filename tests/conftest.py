"""What all tests share: no network, few threads, and where more real data may lie."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "2")  # pictures are small here; more threads only wait for each other
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "Agg")

# Real files that are too many or not free enough for the repository; tests that know them run on more where they are.
_SHARED_DATA = ROOT.parent / "shared" / "data"
if "RSGEO_SHARED_DATA" not in os.environ and _SHARED_DATA.is_dir():
    os.environ["RSGEO_SHARED_DATA"] = str(_SHARED_DATA)
