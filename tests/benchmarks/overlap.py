"""Do two areas that overlap by half agree in the overlap?

    python tests/benchmarks/overlap.py [--aoi-folder DIR] [--quick]

Each real area (the polygons in ``tests/data/aoi`` that rsgeo reads, or those of another folder) is put on a grid of its own CRS at a GSD that
makes it about ``--side`` pixels long, 0.6 m at the finest. It is cut into two that each cover two thirds of it: half of each lies in the other. Both
are made as files with `rsgeo-mini` and compared where both are valid; so are the same pixels made with other batch sizes, and a window of
the overlap asked for from Python, in memory. The last row does it with prompts by polygon, from one layer.

Bars: 0 grey levels at a fixed batch size, at most 1 between batch sizes. The full run takes about 20 minutes on two cores, --quick less
than one.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import AREAS, EXAMPLES, Machine, table
from numpy.typing import NDArray
from shapely.geometry import box

import rsgeo
from rsgeo.errors import InputError, RsgeoError, RsgeoWarning
from rsgeo.geo import aoi as aois
from rsgeo.geo import grid, lonlat
from rsgeo.geo.crs import parse_crs
from rsgeo.geo.raster_open import open_raster

BATCHES = (1, 4)
LEAST_GSD_M = 0.6
ZONES = {"prompt": "meadows", "prompt_layer": EXAMPLES / "zones.geojson", "prompt_field": "use"}


@dataclass(frozen=True)
class Case:
    """A real area on its grid, in two halves that overlap, and what is asked of both."""

    name: str
    halves: tuple[Any, Any]
    crs: str
    resolution: str
    wish: dict[str, Any]


def case(path: Path, side: int, number: int, wish: dict[str, Any]) -> Case:
    """Cut the area in ``path`` from west to east or, every other one, from south to north. Raises RsgeoError when it is none."""
    area = aois.of(path)
    metres = grid.for_aoi(area, gsd="1")
    cells = grid.for_aoi(area, gsd=f"{max(LEAST_GSD_M, max(metres.width, metres.height) / side):.3g}")
    resolution = grid.resolution_of(cells)
    assert resolution is not None
    there = lonlat.repair(lonlat.transform(lonlat.densify(area.geometry, area.crs), area.crs, parse_crs(cells.crs)))
    west, south, east, north = there.bounds
    third_x, third_y = ((east - west) / 3, 0.0) if number % 2 == 0 else (0.0, (north - south) / 3)
    first = there.intersection(box(west, south, east - third_x, north - third_y))
    second = there.intersection(box(west + third_x, south + third_y, east, north))
    if first.intersection(second).area < 4 * float(resolution) ** 2:
        raise InputError(f"{path.name} is of parts that lie too far from each other to be cut in halves that overlap.")
    return Case(path.name, (first, second), cells.crs, resolution, wish)


def cases(folder: Path, side: int) -> Iterator[Case]:
    """The areas of a folder, saying which files hold none."""
    left_out = []
    for number, path in enumerate(sorted(path for path in folder.iterdir() if path.is_file() and path.suffix != ".md")):
        try:
            yield case(path, side, number, {"prompt": "a satellite image of forest"})
        except RsgeoError:
            left_out.append(path.name)
    if left_out:
        print(f"Left out, for rsgeo makes no area of them: {', '.join(left_out)}.\n")


@dataclass(frozen=True)
class Picture:
    row: int
    col: int
    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def make(case: Case, out: Path | None, batch: int, sampler: dict[str, Any], **place: Any) -> Picture:
    """A picture of the case's world as a file, or in memory without ``out``."""
    runtime = rsgeo.Runtime(batch_size=batch, sidecar=False, overwrite=True)
    options = {"aoi_crs": case.crs, "crs": case.crs, "resolution": case.resolution, **case.wish, **sampler, **place}
    result = rsgeo.generate(out, runtime=runtime, **options)
    at = result.request.grid
    if out is None:
        assert result.pixels is not None and result.mask is not None
        return Picture(at.row, at.col, result.pixels, result.mask)
    with open_raster(out) as dataset:
        return Picture(at.row, at.col, dataset.read(), dataset.dataset_mask() > 0)


def compare(one: Picture, other: Picture) -> tuple[int, int]:
    """Largest difference in grey levels where both are valid, and how many pixels that is."""
    top, left = max(one.row, other.row), max(one.col, other.col)
    bottom = min(one.row + one.mask.shape[0], other.row + other.mask.shape[0])
    right = min(one.col + one.mask.shape[1], other.col + other.mask.shape[1])
    if bottom <= top or right <= left:
        return 0, 0
    here, there = ((slice(top - p.row, bottom - p.row), slice(left - p.col, right - p.col)) for p in (one, other))
    both = one.mask[here] & other.mask[there]
    gap = np.abs(one.pixels[:, *here].astype(np.int16) - other.pixels[:, *there])[:, both]
    return int(gap.max(initial=0)), int(both.sum())


def measure(case: Case, batch: int, sampler: dict[str, Any]) -> tuple[object, ...]:
    """A row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        first = make(case, Path(folder) / "first.tif", batch, sampler, aoi=case.halves[0])
        second = make(case, Path(folder) / "second.tif", batch, sampler, aoi=case.halves[1])
        same, pixels = compare(first, second)
        others = [compare(make(case, Path(folder) / "other.tif", size, sampler, aoi=case.halves[1]), first)[0] for size in BATCHES]
    window = case.halves[0].intersection(case.halves[1]).representative_point().buffer(20 * float(case.resolution), cap_style="square").bounds
    seen, inside = compare(make(case, None, batch, sampler, bounds=window), first)
    return case.name, f"{float(case.resolution):g}", pixels, same, *others, f"{seen} ({inside} px)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aoi-folder", type=Path, default=AREAS)
    parser.add_argument("--side", type=int, default=320, help="pixels of an area's longer side")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--quick", action="store_true", help="three areas of 96 px, two steps without guidance")
    args = parser.parse_args()
    warnings.simplefilter("ignore", RsgeoWarning)
    machine = Machine(products=False)
    side = 96 if args.quick else args.side
    sampler = {"num_inference_steps": 2, "guidance_scale": 1.0} if args.quick else {}
    found = list(cases(args.aoi_folder, side))
    found = [*(found[:2] if args.quick else found), case(EXAMPLES / "field.geojson", side, 1, ZONES)]
    rows = [measure(one, args.batch_size, sampler) for one in found]
    batches = [f"batch {size} against {args.batch_size}" for size in BATCHES]
    print(table(["area", "CRS units a pixel", "pixels in both", f"batch {args.batch_size}", *batches, "window in memory"], rows))
    worst = max(row[3] for row in rows), max(max(row[4:-1]) for row in rows)
    print(machine.report(areas=len(rows), worst=f"{worst[0]} at a fixed batch size (bar 0), {worst[1]} between batch sizes (bar 1)"))


if __name__ == "__main__":
    main()
