"""How much faster are two workers than one?

    python tests/benchmarks/scaling.py [--side 1536] [--quick]

A Dask scheduler and workers are started as the README does, each worker pinned to one core with one thread; the client, which writes the
file, is not pinned. Each round makes a small picture first, so that the workers have loaded the model, then the same large one;
pixels per second are those of the whole call of `rsgeo.generate`, the writing included. In the same run one process multiplies fp32 matrices
on one core, then two on two: what this machine's second core is worth.

Bar: 2 workers reach 1.7 times the pixels per second of one, or 0.9 of what two processes of matrix products reach. The full run takes about
12 minutes on two cores, --quick about one. Linux only (pinning).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import Machine, calibrate, matmul_process, square_ask, table

import rsgeo
from rsgeo.errors import RsgeoWarning

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def pinned(core: int) -> dict[str, Any]:
    """Options of a process that stays on one core and takes one thread."""
    return {"preexec_fn": lambda: os.sched_setaffinity(0, {core}), "env": {**os.environ, **ONE_THREAD}}


@contextlib.contextmanager
def cluster(cores: list[int], folder: Path) -> Iterator[str]:
    """The address of a scheduler with a worker on each core."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "dask"]
    host, port = address.removeprefix("tcp://").split(":")
    processes = [subprocess.Popen([*dask, "scheduler", "--host", host, "--port", port, "--no-dashboard"], **quiet)]
    worker = [*dask, "worker", address, "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder)]
    processes += [subprocess.Popen([*worker, "--name", str(core)], **quiet, **pinned(core)) for core in cores]
    try:
        wait_for(address, len(cores))
        yield address
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


def wait_for(address: str, workers: int) -> None:
    from distributed import Client

    with Client(address, timeout="120s") as client:
        client.wait_for_workers(workers, timeout=300)


def seconds(address: str, side: int, sampler: dict[str, Any], folder: Path) -> float:
    """Of a square of ``side`` pixels, made and written."""
    begin = time.perf_counter()
    runtime = rsgeo.Runtime(dask=address, sidecar=False, overwrite=True)
    rsgeo.generate(folder / "out.tif", runtime=runtime, prompt="forest", **square_ask(side), **sampler)
    return time.perf_counter() - begin


def products(cores: list[int], length: float) -> float:
    """GFLOP/s together of one process a core."""
    processes = [matmul_process(length, 1, **pinned(core)) for core in cores]
    return sum(float(process.communicate()[0]) for process in processes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1536)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        parser.error("two cores are needed")
    warnings.simplefilter("ignore", RsgeoWarning)
    side, length = (384, 0.5) if args.quick else (args.side, 20.0)
    sampler = {"num_inference_steps": 2, "guidance_scale": 1.0} if args.quick else {}
    machine = Machine(products=False)
    calibrate()
    rates, flops = [], []
    for chosen in (cores[:1], cores):
        flops.append(products(chosen, length))
        with tempfile.TemporaryDirectory() as name, cluster(chosen, Path(name)) as address:
            seconds(address, 64, sampler, Path(name))
            rates.append(side**2 / seconds(address, side, sampler, Path(name)))
    gain, best = rates[1] / rates[0], flops[1] / flops[0]
    rows = [
        ("rsgeo, whole call", f"{rates[0]:,.0f} px/s", f"{rates[1]:,.0f} px/s", f"{gain:.2f}"),
        ("matrix products", f"{flops[0]:.0f} GFLOP/s", f"{flops[1]:.0f} GFLOP/s", f"{best:.2f}"),
    ]
    print(table(["", "1 worker on 1 core", "2 workers on 2 cores", "gain"], rows))
    print(machine.report(area=f"{side} x {side} px", share=f"{gain / best:.2f} of what matrix products gain (bar 0.9, or a gain of 1.7)"))


if __name__ == "__main__":
    main()
