"""What the benchmarks share: `rsgeo` as a process of its own, how fast the machine was meanwhile, and Markdown tables.

Nothing heavy is imported here: the peak memory of a child process is never less than what its parent held when it started it.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
AREAS = ROOT / "tests" / "data" / "aoi"
EXAMPLES = ROOT / "examples"
JUDGE = ROOT / "training" / "judge"
PROGRAM = [sys.executable, "-m", "rsgeo"]

CRS, GSD_M = "EPSG:32632", 10
WEST, NORTH = 500_000, 5_400_000  # a place in the south-west of Germany, on no multiple of a tile or stride

MATMUL = """
import sys, time, torch
side, seconds = 2048, float(sys.argv[1])
if len(sys.argv) > 2:
    torch.set_num_threads(int(sys.argv[2]))
a, b = torch.rand(side, side), torch.rand(side, side)
a @ b
begin = now = time.perf_counter()
count = 0
while now - begin < seconds:
    a @ b
    count, now = count + 1, time.perf_counter()
print(2 * side**3 * count / (now - begin) / 1e9)
"""


@dataclass(frozen=True)
class Finished:
    """What the operating system says of a process that ended: seconds, bytes at the peak, and what it printed."""

    wall: float
    user: float
    system: float
    peak_bytes: int
    said: str


def run(arguments: Sequence[object], *, program: Sequence[str] = PROGRAM) -> Finished:
    """Run ``rsgeo`` with ``arguments`` to its end; ends this script with its words when it fails."""
    with tempfile.TemporaryFile("w+") as said:
        begin = time.perf_counter()
        process = subprocess.Popen([*program, *map(str, arguments)], stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        said.seek(0)
        text = said.read()
    if status:
        sys.exit(f"{' '.join(map(str, arguments))}\n{text}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Finished(wall, usage.ru_utime, usage.ru_stime, peak, text)


def calibrate() -> None:
    """Have number type and batch size picked for this machine, so that no measured run spends time on that."""
    run(["plan", *square(64), "--calibrate"])


def square(side_px: int) -> list[str]:
    """Options of ``rsgeo`` for a square of ``side_px`` pixels at 10 m."""
    bounds = WEST, NORTH - side_px * GSD_M, WEST + side_px * GSD_M, NORTH
    return ["--bounds", *map(str, bounds), "--aoi-crs", CRS, "--crs", CRS, "--gsd", str(GSD_M)]


def square_ask(side_px: int) -> dict[str, Any]:
    """The same as fields of `rsgeo.Ask`."""
    bounds = WEST, NORTH - side_px * GSD_M, WEST + side_px * GSD_M, NORTH
    return {"bounds": bounds, "aoi_crs": CRS, "crs": CRS, "gsd": str(GSD_M)}


def matmul_process(seconds: float = 2.0, threads: int | None = None, **options: Any) -> subprocess.Popen[str]:
    """A process that multiplies fp32 matrices and prints its GFLOP/s."""
    arguments = [str(seconds), *([str(threads)] if threads else [])]
    return subprocess.Popen([sys.executable, "-c", MATMUL, *arguments], stdout=subprocess.PIPE, text=True, **options)


def matmul_rate(threads: int | None = None, seconds: float = 2.0) -> float:
    """GFLOP/s of products of fp32 matrices, mean over ``seconds``: how fast the machine is just now."""
    said, _ = matmul_process(seconds, threads).communicate()
    return float(said)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


class Clock:
    """Seconds spent in a function: of the CPU in this process, or by the clock where a GPU computes."""

    def __init__(self, device: str) -> None:
        self.gpu = device != "cpu"
        self.spent = 0.0

    def now(self) -> float:
        if not self.gpu:
            return time.process_time()
        import torch

        torch.cuda.synchronize()
        return time.perf_counter()

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **settings: Any) -> Any:
            begin = self.now()
            result = function(*args, **settings)
            self.spent += self.now() - begin
            return result

        return call


class Machine:
    """Notes the load when it is made; `report` says what was measured on."""

    def __init__(self, *, products: bool = True, quick: bool = False) -> None:
        self.load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
        self.seconds = 0.3 if quick else 2.0
        self.before = matmul_rate(seconds=self.seconds) if products else None
        self.begin = time.perf_counter()

    def report(self, **facts: object) -> str:
        """Lines for under a table: machine, versions, the rate of matrix products before and after, and ``facts``."""
        threads = os.environ.get("OMP_NUM_THREADS", "default")
        lines = {
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, OMP_NUM_THREADS {threads}, load before {self.load}",
            "versions": f"Python {platform.python_version()}, torch {version('torch')}",
        }
        if self.before is not None:
            after = matmul_rate(seconds=self.seconds)
            lines["matrix products"] = f"{self.before:.0f} GFLOP/s fp32 before, {after:.0f} after"
        lines["took"] = f"{time.perf_counter() - self.begin:.0f} s"
        lines |= {name.replace("_", " "): str(value) for name, value in facts.items()}
        return "\n" + "\n".join(f"* {name}: {text}" for name, text in lines.items())
