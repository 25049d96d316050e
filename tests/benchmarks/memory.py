"""Does memory grow with the area?

    python tests/benchmarks/memory.py [--sides 1024 4096 8192] [--quick]

`rsgeo generate` as a process of its own on squares of 10 m pixels, two steps without guidance so that it ends; the peak resident size is
the operating system's account of that process. Bar: largest over smallest peak at most 1.2.

The full run takes about 10 minutes on two cores and 1.5 GB of disk; --quick (512 and 1024 px) about half a minute.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from common import Machine, calibrate, run, square, table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[1024, 4096, 8192], metavar="PX")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    machine = Machine(quick=args.quick)
    calibrate()
    rows, peaks = [], []
    for side in [512, 1024] if args.quick else args.sides:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out.tif"
            options = ["--prompt", "forest", "--num-inference-steps", args.steps, "--guidance-scale", 1, "--quiet", out]
            done = run(["generate", *square(side), *options])
            size = out.stat().st_size
        peaks.append(done.peak_bytes)
        rate = side**2 / done.wall / 1e6
        rows.append((f"{side} x {side}", f"{done.peak_bytes / 1e6:.0f} MB", f"{done.wall:.0f} s", f"{rate:.2f} Mpx/s", f"{size / 1e6:.1f} MB"))
        print(f"* {side} px done", flush=True)
    print(table(["pixels", "peak memory", "wall", "rate", "file"], rows))
    print(machine.report(largest_over_smallest=f"{max(peaks) / min(peaks):.2f} (bar 1.2)", sampler=f"{args.steps} steps, guidance 1"))


if __name__ == "__main__":
    main()
