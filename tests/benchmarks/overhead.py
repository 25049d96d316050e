"""How much of the time goes into all that is not the model?

    python tests/benchmarks/overhead.py [--sides 640 1536] [--quick]

`rsgeo.generate` of a square with default settings, in this process, with clocks around what it calls. The time from the model being loaded to
the finished file is divided into the model (`predict`, `conditions`, and `decode`, which is left aside) and everything else: solver
steps, noise, gathering and blending windows, the mask, writing. Bar: everything else takes at most 5 %. Small areas pay for starting up and
for the rim, so a second row shows a job on disk.

The full run takes about 5 minutes on two cores, --quick about half a minute. On a GPU the clocks would need to wait for the device: CPU only.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import Machine, square_ask, table

import rsgeo
from rsgeo.errors import RsgeoWarning
from rsgeo.geo.raster import CogWriter
from rsgeo.pipelines.tile_view import LatentLevel, _Phase
from rsgeo.runtime import Progress
from rsgeo.synthesis import engine
from rsgeo.synthesis.job import JobDir

CLOCKED: dict[str, list[tuple[Any, str]]] = {
    "network": [(LatentLevel, "predict"), (LatentLevel, "conditions")],
    "decode": [(LatentLevel, "decode")],
    "solver": [(LatentLevel, "solver"), (_Phase, "step")],
    "noise": [(engine, "noise_normal")],
    "gathering": [(engine.Maker, "_gather")],
    "job's disk": [(JobDir, "put"), (JobDir, "get")],
    "writing": [(CogWriter, "write_band"), (CogWriter, "_finish")],
}


@contextlib.contextmanager
def clocks(spent: Counter[str]) -> Iterator[None]:
    """Adds to ``spent`` the seconds inside the functions of `CLOCKED`, none of which calls another."""

    def clocked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            begin = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                spent[name] += time.perf_counter() - begin

        return call

    kept = [(owner, attribute, getattr(owner, attribute)) for places in CLOCKED.values() for owner, attribute in places]
    for name, places in CLOCKED.items():
        for owner, attribute in places:
            setattr(owner, attribute, clocked(name, getattr(owner, attribute)))
    try:
        yield
    finally:
        for owner, attribute, function in kept:
            setattr(owner, attribute, function)


def measure(side: int, sampler: dict[str, Any]) -> tuple[Counter[str], float]:
    """Seconds by part, and of the whole without loading the model."""
    loaded, spent = 0.0, Counter[str]()

    def note(step: Progress) -> None:
        nonlocal loaded
        if step.stage == "load" and step.done == step.total:
            spent.clear()  # what was picked for this machine may have been measured just now
            loaded = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder, clocks(spent):
        runtime = rsgeo.Runtime(progress=note, sidecar=False, device="cpu")
        rsgeo.generate(Path(folder) / "out.tif", runtime=runtime, prompt="forest", **square_ask(side), **sampler)
        return spent, time.perf_counter() - loaded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[640, 1536])
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    warnings.simplefilter("ignore", RsgeoWarning)
    sides = [128] if args.quick else args.sides
    sampler = {"num_inference_steps": 2} if args.quick else {}
    machine = Machine(quick=args.quick)
    rows, shares = [], []
    for side in sides:
        spent, whole = measure(side, sampler)
        shares.append((whole - spent["network"] - spent["decode"]) / (whole - spent["decode"]))
        other = whole - spent.total()
        parts = [f"{100 * seconds / whole:.1f} %" for seconds in (*(spent[name] for name in CLOCKED), other)]
        rows.append((f"{side} x {side}", f"{whole:.1f} s", *parts, f"{100 * shares[-1]:.1f} %"))
    print(table(["pixels", "whole", *CLOCKED, "other", "around the model"], rows))
    worst = f"{100 * max(shares):.1f} % of the time without decoding (bar 5 %)"
    print(machine.report(around_the_model=worst, sampler="two steps" if args.quick else "default settings, guidance on"))


if __name__ == "__main__":
    main()
