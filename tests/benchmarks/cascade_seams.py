"""Do windows of a cascade show, and does dynamic thresholding make them?

    python tests/benchmarks/cascade_seams.py --model FOLDER [--side 384] [--seeds 1] [--steps 16] [--guidance 1] [--prompt TEXT]

Square areas are made by the engine under the default plan, with predicted pixels clipped (what rsgeo does) and bounded by each window's own quantile
(dynamic thresholding, Saharia et al. 2022), and with windows butt-joined at both levels.

* seam: gradient across the edges of the last lattice's windows over that elsewhere at the same offset in the cells of the coarser level, with 95 % of
  the bootstrap over stretches of one period; across rows and across columns.
* worst: largest deviation from 1 of the gradient by offset, smoothed over 5 px, in the worse axis; in brackets the same at periods of 2 px more and
  less, which nothing has.
* contrast: standard deviation in grey levels, mean over areas.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import table
from numpy.typing import NDArray

from rsgeo.errors import RsgeoWarning
from rsgeo.evaluate import borders
from rsgeo.pipelines.cascade_view import CascadeLevel
from rsgeo.request import Ask, LevelRecord, PhaseRecord, Synthesis
from rsgeo.runtime import Runtime
from rsgeo.tasks.generate import run
from rsgeo.tasks.resolve import Resolved, resolve

WEST, SOUTH = 500_000, 5_100_000
BATCH = 16


def butt_joined(synthesis: Synthesis) -> Synthesis:
    """The same steps without overlap and phases."""

    def joined(level: LevelRecord) -> LevelRecord:
        tile, last = level.phases[-1].tile, level.phases[-1].last
        return level.model_copy(update={"phases": (PhaseRecord(first=0, last=last, tile=tile, stride=tile, shift=0),)})

    *coarser, finest = map(joined, synthesis.levels)
    return Synthesis(plan="butt-joined", phases=finest.phases, coarser=tuple(coarser))


def made(resolved: Resolved) -> NDArray[Any]:
    pixels = run(resolved, None, Runtime(device="cpu", dtype="fp32", batch_size=BATCH, keep_loaded=True)).pixels
    assert pixels is not None
    return np.moveaxis(pixels, 0, -1)


def measured(pictures: list[NDArray[Any]], resolved: Resolved) -> list[str]:
    last, cells = resolved.request.synthesis.phases[-1], resolved.request.grid
    period, edges, block = last.stride, (last.shift, last.shift + last.tile), resolved.request.synthesis.levels[0].gsd_factor
    said, worst, noise = [], [], []
    for axis, start in ((0, cells.row), (1, cells.col)):
        starts = [start] * len(pictures)
        found = borders.seam(borders.by_offset(pictures, starts, axis, period), edges, block)
        said.append(f"{found.ratio:.3f} ({found.low:.3f}-{found.high:.3f}, n = {found.lines})")
        deviation = {
            length: float(np.abs(borders.profile(borders.by_offset(pictures, starts, axis, length), block) - 1).max())
            for length in (period, period - block, period + block)
        }
        worst.append(deviation.pop(period))
        noise.append(float(np.mean(list(deviation.values()))))
    return [*said, f"{max(worst):.3f} ({max(noise):.3f})"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--prompt", default="an aerial image of a forest")
    args = parser.parse_args()
    warnings.simplefilter("ignore", RsgeoWarning)
    rows = []
    for name in ("clipped", "dynamic thresholding", "butt-joined"):
        CascadeLevel.thresholding = name.startswith("dynamic")
        begin, pictures = time.perf_counter(), []
        for seed in range(args.seeds):
            resolved = resolve(
                Ask(
                    model=str(args.model),
                    bounds=(WEST, SOUTH, WEST + args.side, SOUTH + args.side),
                    aoi_crs="EPSG:32633",
                    crs="EPSG:32633",
                    resolution="1",
                    prompt=args.prompt,
                    seed=seed,
                    num_inference_steps=args.steps,
                    guidance_scale=args.guidance,
                )
            )
            if name == "butt-joined":
                request = resolved.request.model_copy(update={"synthesis": butt_joined(resolved.request.synthesis)})
                resolved = replace(resolved, request=request)
            pictures.append(made(resolved))
        contrast = np.mean([picture.std() for picture in pictures])
        rows.append((name, *measured(pictures, resolved), f"{contrast:.1f}", f"{(time.perf_counter() - begin) / args.seeds:.0f} s"))
    print(table(["", "seam across rows", "across columns", "worst (noise)", "contrast", "an area"], rows))


if __name__ == "__main__":
    main()
