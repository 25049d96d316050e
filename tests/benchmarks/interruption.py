"""Does a job survive ``kill -9`` at any moment?

    python tests/benchmarks/interruption.py [--kills N] [--quick]

`rsgeo generate --reproducible` of an area large enough for a job directory is run once undisturbed. Then the same command is started again and
again and killed at a random moment, drawn evenly over the time that the undisturbed run took: while it starts, computes, writes or
tidies up. Killed runs are resumed by the next start; a run that ends before its moment is compared with the undisturbed file, byte by byte,
and the next one begins afresh. The last job is left to end. All the while a second thread looks at the output's path every 5 ms: what is
there must be the whole file.

Bars: every finished file has the undisturbed one's bytes; the path never held anything else. The full run (20 kills) takes about 10 minutes
on two cores, --quick (2 kills, a small area that is made to be a job by a worker) about one.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from common import PROGRAM, Machine, calibrate, run, square, table


class Watch(threading.Thread):
    """Looks at a path until it is told to stop, and keeps the hash of every file it ever saw there."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.path, self.hashes, self.looks = path, set[str](), 0
        self._last: tuple[int, int, int] | None = None
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(0.005):
            self.looks += 1
            try:
                found = self.path.stat()
                sight = found.st_ino, found.st_size, found.st_mtime_ns
                if sight != self._last:
                    self.hashes.add(sha256(self.path))
                    self._last = sight
            except FileNotFoundError:
                continue

    def stop(self) -> None:
        self._stopped.set()
        self.join()


@dataclass
class Seen:
    """What the kills met."""

    moments: list[tuple[float, int]] = field(default_factory=list)
    """Seconds after the start, and blocks that were finished then."""
    finished: int = 0
    different: int = 0


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def blocks_done(out: Path) -> int:
    journal = out.with_name(out.name + ".job") / "journal.jsonl"
    return journal.read_bytes().count(b"\n") if journal.is_file() else 0


def attempt(arguments: list[str], moment: float | None) -> bool:
    """Start the command and kill it at ``moment`` (None: let it end); True when it ended by itself."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen([*PROGRAM, *arguments], stdout=said, stderr=subprocess.STDOUT)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False
        said.seek(0)
        if process.returncode:
            raise SystemExit(f"The resumed command failed:\n{said.read()}")
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--side", type=int, default=1536, help="pixels of the square area; from 1536 on it is a job")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    kills, side = (2, 256) if args.quick else (args.kills, args.side)
    machine = Machine(products=False)
    calibrate()
    rng, seen = random.Random(args.seed), Seen()
    options = ["--prompt", "forest", "--num-inference-steps", "2" if args.quick else "4", "--guidance-scale", "1", "--reproducible", "--quiet"]
    options += ["--workers", "1"] if args.quick else []
    with tempfile.TemporaryDirectory() as folder:
        whole, out = Path(folder) / "whole.tif", Path(folder) / "out.tif"
        undisturbed = run(["generate", *square(side), *options, whole]).wall
        expected = sha256(whole)
        command = ["generate", *square(side), *options, str(out)]
        watch = Watch(out)
        watch.start()

        def compare() -> None:
            seen.finished += 1
            seen.different += sha256(out) != expected
            for path in Path(folder).glob("out.*"):
                if path.is_file():
                    path.unlink()

        while len(seen.moments) < kills:
            moment = rng.uniform(0, undisturbed)
            if attempt(command, moment):
                compare()
                continue
            seen.moments.append((moment, blocks_done(out)))
            if out.exists():  # killed after the file was in its place: the job is done, its folder may be left
                compare()
        if attempt(command, None):
            compare()
        time.sleep(0.1)
        watch.stop()
        left = sorted(path.name for path in Path(folder).iterdir() if not path.name.startswith("whole"))
    print(table(["kill", "after", "blocks finished then"], [(n, f"{at:.1f} s", done) for n, (at, done) in enumerate(seen.moments, start=1)]))
    partial = watch.hashes - {expected}
    print(
        machine.report(
            area=f"{side} x {side} px, {undisturbed:.1f} s undisturbed",
            kills=len(seen.moments),
            finished_files=f"{seen.finished}, of which {seen.different} differ from the undisturbed one (bar 0)",
            output_path=f"looked at {watch.looks} times, held {len(partial)} other files (bar 0)",
            left_behind=", ".join(left) or "nothing",
        )
    )
    if seen.different or partial:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
