"""Time and memory of `rsgeo generate` on an area of 512 x 512 pixels with default settings, model load included.

    python tests/benchmarks/generate_512.py [more options of rsgeo generate]

The command runs as a fresh process, as a user starts it; its time, CPU seconds and peak memory are the operating system's own account of
that process. The rate at which this machine multiplies matrices is measured in the same run, with as many threads as the command used, before
and after it: it says how fast the machine was while it was measured. What is picked for the machine once (`rsgeo plan --calibrate`) is picked
before.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
from pathlib import Path

from common import calibrate, matmul_rate, run

SIDE_M = 5120
BOUNDS = [str(value) for value in (461000, 5090000, 461000 + SIDE_M, 5090000 + SIDE_M)]
COMMAND = ["generate", "--bounds", *BOUNDS, "--aoi-crs", "EPSG:32633", "--crs", "EPSG:32633", "--gsd", "10"]


def main() -> None:
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    calibrate()
    before = matmul_rate()
    with tempfile.TemporaryDirectory() as folder:
        done = run([*COMMAND, *sys.argv[1:], Path(folder) / "out.tif"])
    threads = re.search(r"(\d+) threads", done.said)
    assert threads is not None
    after = matmul_rate(int(threads[1]))
    rows = {
        "command": " ".join(["rsgeo", *COMMAND, *sys.argv[1:], "out.tif"]),
        **dict(re.split(r"  +", line, maxsplit=1) for line in done.said.splitlines() if line.startswith(("grid ", "sampler ", "model ", "run "))),
        "wall": f"{done.wall:.1f} s",
        "CPU": f"{done.user:.1f} s user, {done.system:.1f} s system",
        "peak memory": f"{done.peak_bytes / 1e9:.2f} GB",
        "matrix products": f"{before:.0f} GFLOP/s fp32 before, {after:.0f} after, {threads[1]} threads",
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "load before": load,
    }
    width = max(map(len, rows))
    print("\n".join(f"{name:<{width}}  {value}" for name, value in rows.items()))


if __name__ == "__main__":
    main()
