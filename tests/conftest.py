"""What all tests share: no network, few threads, and where more real data may lie."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # pictures are small here; several processes do more than several threads
# Dask sets these to 1, for good, where they are not set; processes started later would then be other machines to calibrate.
for _name in ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, os.environ["OMP_NUM_THREADS"])
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "Agg")

# What this machine was found to be good at is measured once a session and forgotten with it.
_CACHE = tempfile.TemporaryDirectory(prefix="rsgeo-cache-")
os.environ["RSGEO_CACHE"] = _CACHE.name
os.environ["RSGEO_HOME"] = str(Path(_CACHE.name) / "home")  # whoever runs the tests may have models of their own

# Real files that are too many or not free enough for the repository; tests that know them run on more where they are.
for _kind in ("data", "reference"):
    _shared, _name = ROOT.parent / "shared" / _kind, f"RSGEO_SHARED_{_kind.upper()}"
    if _name not in os.environ and _shared.is_dir():
        os.environ[_name] = str(_shared)


@pytest.fixture(scope="session")
def pack() -> Callable[[Path, Iterable[tuple[dict[str, str], bytes]]], None]:
    """Writes a packed image set: rows of ``metadata.csv`` (without shard, offset, length) with the bytes of their image files."""

    def pack(root: Path, images: Iterable[tuple[dict[str, str], bytes]]) -> None:
        root.mkdir(exist_ok=True)
        rows, blob = [], b""
        for row, data in images:
            rows.append({**row, "shard": "a.bin", "offset": str(len(blob)), "length": str(len(data))})
            blob += data
        (root / "a.bin").write_bytes(blob)
        with (root / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)

    return pack
