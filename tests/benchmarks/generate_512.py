"""Time and memory of `rsgeo generate` on an area of 512 x 512 pixels with default settings, model load included.

    python tests/benchmarks/generate_512.py [more options of rsgeo generate]

The command runs as a fresh process, as a user starts it; its time, CPU seconds and peak memory are the operating system's own account of
that process. The rate at which this machine multiplies matrices is measured in the same run, with as many threads as the command used, before
and after it: it says how fast the machine was while it was measured.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIDE_M = 5120
BOUNDS = [str(value) for value in (461000, 5090000, 461000 + SIDE_M, 5090000 + SIDE_M)]
COMMAND = ["generate", "--bounds", *BOUNDS, "--aoi-crs", "EPSG:32633", "--crs", "EPSG:32633", "--gsd", "10"]
PROGRAM = [sys.executable, "-c", "from rsgeo.cli import main; main(prog_name='rsgeo')"]

MATMUL = """
import sys, time, torch
side, seconds = 2048, 2.0
if len(sys.argv) > 1:
    torch.set_num_threads(int(sys.argv[1]))
a, b = torch.rand(side, side), torch.rand(side, side)
a @ b
begin = now = time.perf_counter()
count = 0
while now - begin < seconds:
    a @ b
    count, now = count + 1, time.perf_counter()
print(2 * side**3 * count / (now - begin) / 1e9)
"""


def matmul_rate(threads: str | None = None) -> float:
    """GFLOP/s of a product of fp32 matrices, mean over two seconds."""
    run = subprocess.run([sys.executable, "-c", MATMUL, *([threads] if threads else [])], capture_output=True, text=True, check=True)
    return float(run.stdout)


def main() -> None:
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    before = matmul_rate()
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "said", "w+") as said:
        begin = time.perf_counter()
        process = subprocess.Popen([*PROGRAM, *COMMAND, *sys.argv[1:], str(Path(folder) / "out.tif")], stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        said.seek(0)
        text = said.read()
    if status:
        sys.exit(text)
    threads = re.search(r"(\d+) threads", text)
    assert threads is not None
    after = matmul_rate(threads[1])
    peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    rows = {
        "command": " ".join(["rsgeo", *COMMAND, *sys.argv[1:], "out.tif"]),
        **dict(re.split(r"  +", line, maxsplit=1) for line in text.splitlines() if line.startswith(("grid ", "sampler ", "model ", "run "))),
        "wall": f"{wall:.1f} s",
        "CPU": f"{usage.ru_utime:.1f} s user, {usage.ru_stime:.1f} s system",
        "peak memory": f"{peak_bytes / 1e9:.2f} GB",
        "matrix products": f"{before:.0f} GFLOP/s fp32 before, {after:.0f} after, {threads[1]} threads",
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "load before": load,
    }
    width = max(map(len, rows))
    print("\n".join(f"{name:<{width}}  {value}" for name, value in rows.items()))


if __name__ == "__main__":
    main()
