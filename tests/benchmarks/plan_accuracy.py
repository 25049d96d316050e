"""Does `rsgeo plan` say what a run then takes?

    python tests/benchmarks/plan_accuracy.py [--quick]

For each area `rsgeo plan --json` is asked first, then `rsgeo generate` is run with the same options in a process of its own; its wall time and
peak memory are the operating system's account, the evaluations are those that the engine reports as done. Before the first
area the machine's pace is measured (`rsgeo plan --calibrate`).

Bars: evaluations exact, time within a factor of 1.5, memory of 1.3, file size of 1.5. Three areas: a small polygon, an archipelago at a
coarse GSD of which most pixels are sea, and a square that is large enough for a job directory. The full run takes about 7 minutes on two
cores, --quick about two.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from common import AREAS, EXAMPLES, Machine, calibrate, run, square, table

CASES = {
    "polygon, 5 m": ["--aoi", EXAMPLES / "field.geojson", "--gsd", 5, "--prompt", "a village among fields"],
    "islands, 400 m": ["--aoi", AREAS / "Hawaii.json", "--gsd", 400, "--prompt", "forest"],
    "square, 10 m": [*square(1280), "--prompt", "annual crop land"],
}
QUICK = ["--num-inference-steps", 2, "--guidance-scale", 1]
# The command itself, with an ear for what the engine reports.
LISTENING = """
import sys
from pathlib import Path
from rsgeo.cli import main, show
def listening(quiet):
    from contextlib import contextmanager
    @contextmanager
    def progress():
        seen = {}
        yield lambda step: seen.update({step.stage: step.done})
        print("evaluations done:", seen["synthesis"])
    return progress()
show.progress = listening
main(prog_name="rsgeo")
"""


def factor(said: float | None, found: float) -> str:
    """How far apart, 1 or more; the bars are factors either way."""
    return "unknown" if not said else f"{max(said / found, found / said):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two steps without guidance, without the square")
    args = parser.parse_args()
    machine = Machine(quick=args.quick)
    extra = QUICK if args.quick else []
    calibrate()
    rows = []
    for name, options in list(CASES.items())[: 2 if args.quick else None]:
        planned = json.loads(run(["plan", *options, *extra, "--json"]).said.splitlines()[-1])
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out.tif"
            done = run(["generate", *options, *extra, "--no-sidecar", out], program=[sys.executable, "-c", LISTENING])
            size = out.stat().st_size
        evaluations = int(done.said.split("evaluations done:")[1].split()[0])
        exact = "exact" if evaluations == planned["evaluations"] else f"WRONG: {planned['evaluations']} planned"
        seconds = planned["seconds"]
        rows.append(
            (
                name,
                f"{evaluations} ({exact})",
                *("unknown" if seconds is None else f"{seconds:.0f} s", f"{done.wall:.0f} s", factor(seconds, done.wall)),
                *(f"{count / 1e6:.0f} MB" for count in (planned["memory_bytes"], done.peak_bytes)),
                factor(planned["memory_bytes"], done.peak_bytes),
                *(f"{count / 1e6:.2f} MB" for count in (planned["file_bytes"], size)),
                factor(planned["file_bytes"], size),
            )
        )
        print("* " + ", ".join(rows[-1]), file=sys.stderr, flush=True)
    measures = [f"{what} {kind}" for what in ("time", "memory", "file") for kind in ("planned", "found", "factor")]
    print(table(["area", "evaluations", *measures], rows))
    print(machine.report(bars="evaluations exact, time 1.5, memory 1.3, file 1.5"))


if __name__ == "__main__":
    main()
