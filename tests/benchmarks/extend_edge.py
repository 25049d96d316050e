"""Whether the border between old and new pixels of an extended picture shows.

    python tests/benchmarks/extend_edge.py [--quick] [--pictures N]

Pictures of `rsgeo-mini` are continued on all four sides by `rsgeo.extend`. The gradient across the border is divided by that elsewhere in the same
picture, at the same place within the codec's blocks of pixels (whose own borders have another gradient). 1 means that nothing shows. The same is
measured with the old pixels pasted into a picture of another seed, where the border has to show.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import rsgeo
from rsgeo.errors import RsgeoWarning
from rsgeo.hub import catalog

CRS, GSD = "EPSG:32633", 10
COL, ROW = 50_000, -510_000
PROMPTS = ("a village among fields", "forest", "residential buildings", "a river", "vineyards", "annual crop land", "a lake", "an industrial area")


def bounds(row: int, col: int, side: int) -> tuple[float, float, float, float]:
    """Of a square of world pixels, in metres: west, south, east, north."""
    return (col * GSD, -(row + side) * GSD, (col + side) * GSD, -row * GSD)


def ratios(pixels: NDArray[np.uint8], row: int, col: int, side: int, block: int) -> list[float]:
    """Gradient across each side of a square at (row, col) of a picture (band, y, x) over the mean of that across lines elsewhere.

    Those lines are parallel, as long, in the same rows or columns, lie alike in the codec's blocks, and are a block or more from the square's sides.
    """
    found = []
    for axis, start, along in ((1, row, slice(col, col + side)), (2, col, slice(row, row + side))):
        steps = np.abs(np.diff(pixels.astype(np.int16), axis=axis)).mean(axis=0)
        lines = (steps[:, along] if axis == 1 else steps[along].T).mean(axis=1)  # line i lies between pixels i and i + 1
        for border in (start - 1, start + side - 1):
            alike = [i for i in range(len(lines)) if (i - border) % block == 0 and min(abs(i - start + 1), abs(i - start - side + 1)) >= block]
            found.append(float(lines[border] / lines[alike].mean()))
    return found


def mean(values: list[float]) -> str:
    """With the standard error."""
    return f"{np.mean(values):.3f} +- {np.std(values, ddof=1) / len(values) ** 0.5:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few, small pictures in few steps: whether the script runs")
    parser.add_argument("--pictures", type=int, help="how many; default 24, or 2 with --quick")
    options = parser.parse_args()
    count, side = options.pictures or (2 if options.quick else 24), 48 if options.quick else 128
    steps = {"num_inference_steps": 3} if options.quick else {}
    block = catalog.find(catalog.DEFAULT_MODEL).scale
    begin, same, pasted, before = time.perf_counter(), [], [], None
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            # The border moves through all places in the codec's blocks.
            row = col = side // 2 + number % block
            old = Path(folder) / f"{number}.tif"
            asked = {"prompt": PROMPTS[number % len(PROMPTS)], "seed": number, "crs": CRS, "gsd": str(GSD), **steps}
            rsgeo.generate(old, bounds=bounds(ROW + row, COL + col, side), aoi_crs=CRS, runtime=rsgeo.Runtime(sidecar=False), **asked)
            pixels = rsgeo.extend(old, bounds=bounds(ROW, COL, 2 * side), aoi_crs=CRS).pixels
            assert pixels is not None and pixels.shape == (3, 2 * side, 2 * side)
            same += ratios(pixels, row, col, side, block)
            if before is not None:
                other = before.copy()
                inside = (slice(None), slice(row, row + side), slice(col, col + side))
                other[inside] = pixels[inside]
                pasted += ratios(other, row, col, side, block)
            before = pixels
    rows = {
        "extended": f"{mean(same)} of the gradient elsewhere ({len(same)} borders of {side} px, {count} pictures)",
        "worst picture": f"{np.reshape(same, (count, 4)).mean(axis=1).max():.3f}",
        "pasted into another world": f"{mean(pasted)}" if pasted else "needs two pictures",
        "wall": f"{time.perf_counter() - begin:.0f} s",
        "machine": f"{platform.system()} {platform.machine()}, rsgeo {rsgeo.__version__}",
    }
    width = max(map(len, rows))
    print("\n".join(f"{name:<{width}}  {value}" for name, value in rows.items()))


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RsgeoWarning)
        main()
