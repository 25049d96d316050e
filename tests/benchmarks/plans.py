"""What does each plan cost, and what does it show: seams, contrast, classes?

    python tests/benchmarks/plans.py [--eurosat DIR] [--side 640] [--seeds N] [--quick]

Areas of their own, one a class (and seed), are made with `rsgeo-mini` and default settings under each plan: butt-joined windows; independent
tiles feathered at the end, as naive tiling does (noise of their own, linear ramps in pixels); MultiDiffusion (Bar-Tal et al. 2023: each
step all windows are moved and averaged with equal weights); the plans of `rsgeo.synthesis.phases`; and a pyramid, which is tried here only: the
area at twice the GSD, enlarged, put back to the noise of the middle steps and refined from there in two phases. A second table shows
the same seams for the exact engine of a Gaussian field, where every error is the tiling's (`tests/synthesis/gaussian.py`); it has one level,
so no pyramid.

* cost: evaluations of the network over those of one window a tile of ground; over a boundless area, charged to an area of 8 x 8 tiles
  (mean over where it lies on the lattice), and charged to the areas made.
* seam: gradient across the edges of the last lattice's windows over that of tile interiors at the same offset in the codec's blocks, with
  95 % of the bootstrap over stretches of one period; across rows and across columns. Bar for the default: 0.98 to 1.02.
* worst: largest deviation from 1 of the gradient by offset in the common period of all phases, smoothed over 5 px, in the worse axis; in
  brackets the same at periods one block shorter and longer, which nothing has: what finite pictures give anyway. Bar: 0.1.
* contrast: standard deviation within an area in grey levels, mean over areas.
* judge: patches of 64 px, cut at offsets that meet every place of the lattice alike, in which the judge sees the class asked for.
* Frechet: distance of those patches' features to those of as many real test tiles of the same classes; under the table the floor, that of
  real training tiles. Needs ``--eurosat`` (or RSGEO_SHARED_DATA), the folder of the packed EuroSAT.

The full run takes about 30 minutes on two cores, --quick about one.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import JUDGE, ROOT, Machine, table
from numpy.typing import NDArray
from PIL import Image

from rsgeo.errors import RsgeoWarning
from rsgeo.evaluate import borders, frechet
from rsgeo.evaluate.judge import EUROSAT_CLASSES, load, look
from rsgeo.geo import grid
from rsgeo.hub.load import load_pipeline
from rsgeo.pipelines.tile_view import LatentTileModel
from rsgeo.request import Ask, GridRecord, PhaseRecord, Synthesis
from rsgeo.runtime import DType, Runtime
from rsgeo.scene import SceneMetadata, Value
from rsgeo.synthesis import phases as planning
from rsgeo.synthesis import plan as plans
from rsgeo.synthesis.lattice import Lattice, weight_2d, windows_touching
from rsgeo.synthesis.noise import noise_normal
from rsgeo.tasks import making
from rsgeo.tasks.generate import run
from rsgeo.tasks.resolve import Resolved, resolve

sys.path.insert(0, str(ROOT / "tests" / "synthesis"))
import gaussian

# Prompt, and a place where EuroSAT has such tiles.
CLASSES = {
    "AnnualCrop": ("annual crop land", 1.8, 48.2),
    "Forest": ("forest", 13.4, 48.9),
    "HerbaceousVegetation": ("herbaceous vegetation", -5.9, 39.5),
    "Industrial": ("industrial buildings", 7.2, 51.5),
    "Residential": ("residential buildings", 4.4, 51.2),
    "SeaLake": ("sea or lake", 4.0, 53.3),
}
BATCH = 16
DTYPE: DType = "bf16"
STRIDES = (("3/4", 0.75), ("7/8", 0.875))
ALL = (STRIDES[0], ("13/16", 0.8125), STRIDES[1])
FACTOR = 2  # of the pyramid: at 10 m its coarser level has 20 m, the coarsest that rsgeo-mini knows
REFINED_FROM, REFINED_BORDER = 2.3, 0.6  # noise levels at which refining begins, and at which its windows shift
PATCH, PATCH_STEP = 64, 71  # 71 has no factor in common with any stride, so that patches begin at every offset
Phases = tuple[PhaseRecord, ...]
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Area:
    """A square of ``side`` cells of one prompt: what a level needs to fill it. ``resolved`` is None for the exact engine."""

    level: Any
    side: int
    seed: int
    prompt: str
    scene_at: Callable[[list[tuple[int, int]]], list[SceneMetadata]]
    resolved: Resolved | None = None


@dataclass(frozen=True)
class Made:
    """A picture (height, width, bands), and the world's index of its first row and column as its lattice counts."""

    pixels: NDArray[Any]
    row: int
    col: int


@dataclass(frozen=True)
class Plan:
    """A way to fill an area. ``phases`` where the engine does it; else ``stride`` (of a tile) and ``how``."""

    name: str
    stride: float
    how: Callable[[Area, int], Made] | None = None
    phases: Callable[[Any, int, int], Phases] | None = None
    """``phases(noise levels, tile, stride)``."""

    def lattice(self, level: Any) -> tuple[int, int, tuple[int, int]]:
        """Period of the last lattice and of all together, and the edges of the last one's windows, in pixels."""
        stride, shift, period = int(self.stride * level.tile), 0, int(self.stride * level.tile)
        if self.phases is not None:
            found = self.phases(level.noise_levels, level.tile, stride)
            shift = found[-1].shift
            period = math.lcm(*(phase.stride for phase in found))
        edges = (shift * level.scale, (shift + level.tile) * level.scale)
        return stride * level.scale, period * level.scale, edges


def windows(side: int, tile: int, stride: int) -> tuple[int, list[tuple[int, int]]]:
    """Side of the canvas that whole windows from its corner on need to cover ``side`` cells, and their first cells."""
    count = max(0, -(-(side - tile) // stride))
    starts = [number * stride for number in range(count + 1)]
    return tile + count * stride, list(product(starts, starts))


def batches(places: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    for first in range(0, len(places), BATCH):
        yield places[first : first + BATCH]


def in_grey(pixels: torch.Tensor | Array) -> NDArray[np.uint8]:
    """(bands, height, width) in [-1, 1] to (height, width, bands)."""
    grey: NDArray[np.uint8] = np.rint(np.clip((np.asarray(pixels) + 1) * 127.5, 0, 255)).astype(np.uint8)
    return grey.transpose(1, 2, 0)


@torch.inference_mode()
def feathered(area: Area, stride: int) -> Made:
    """Independent tiles, each with noise of its own, blended by linear ramps across their overlap when they are finished."""
    level, scale = area.level, area.level.scale
    canvas, places = windows(area.side, level.tile, stride)
    size, overlap = level.tile * scale, (level.tile - stride) * scale
    near = np.minimum(np.arange(size) + 0.5, size - np.arange(size) - 0.5)
    ramp = np.clip(near / overlap, 0, 1)
    weight = np.outer(ramp, ramp).astype(np.float32)
    total, weights = np.zeros((3, canvas * scale, canvas * scale), np.float32), np.zeros((canvas * scale, canvas * scale), np.float32)
    for batch in batches(places):
        fields = [noise_normal(area.seed, f"tile {row} {col}", 0, 0, level.tile, level.tile, level.channels) for row, col in batch]
        cells = level.start(torch.from_numpy(np.stack(fields)))
        conditions = level.conditions([area.prompt] * len(batch), area.scene_at(batch))
        solver = level.solver(0, len(level.noise_levels))
        for step in range(len(level.noise_levels)):
            cells = solver.step(cells, level.predict(cells, step, conditions), None)
        for (row, col), tile in zip(batch, level.decode(cells).numpy(), strict=True):
            at = slice(row * scale, row * scale + size), slice(col * scale, col * scale + size)
            total[:, *at] += weight * tile
            weights[at] += weight
    kept = area.side * scale
    return Made(in_grey((total / weights)[:, :kept, :kept]), 0, 0)


@torch.inference_mode()
def multidiffusion(area: Area, stride: int) -> Made:
    """Each step moves all windows of one canvas by one first-order solver step and takes their plain mean."""
    level = area.level
    canvas, places = windows(area.side, level.tile, stride)
    cells = level.start(torch.from_numpy(noise_normal(area.seed, "L0/init", 0, 0, canvas, canvas, level.channels))[None])[0]
    conditions = [level.conditions([area.prompt] * len(batch), area.scene_at(batch)) for batch in batches(places)]
    for step in range(len(level.noise_levels)):
        total, count = torch.zeros_like(cells), torch.zeros(canvas, canvas)
        for batch, wish in zip(batches(places), conditions, strict=True):
            now = torch.stack([cells[:, row : row + level.tile, col : col + level.tile] for row, col in batch])
            moved = level.solver(step, step + 1).step(now, level.predict(now, step, wish), None)
            for (row, col), window in zip(batch, moved, strict=True):
                at = slice(row, row + level.tile), slice(col, col + level.tile)
                total[:, *at] += window
                count[at] += 1
        cells = total / count
    return Made(in_grey(level.decode(cells[None, :, : area.side, : area.side])[0]), 0, 0)


def by_engine(area: Area, phases: Phases) -> Made:
    """The area as `rsgeo.generate` makes it, under other phases."""
    assert area.resolved is not None
    resolved = with_phases(area.resolved, phases)
    result = run(resolved, None, Runtime(batch_size=BATCH, device="cpu", dtype=DTYPE))
    assert result.pixels is not None
    return Made(result.pixels.transpose(1, 2, 0), resolved.request.grid.row, resolved.request.grid.col)


def with_phases(resolved: Resolved, phases: Phases) -> Resolved:
    synthesis = Synthesis(plan="benchmark", phases=phases)
    return replace(resolved, request=resolved.request.model_copy(update={"synthesis": synthesis}))


@torch.inference_mode()
def pyramid(area: Area, stride: int) -> Made:
    """The area at `FACTOR` times its GSD under the default plan; its picture, enlarged, is encoded, put back to noise and refined in two phases."""
    assert area.resolved is not None
    level, tile, scale, cells = area.level, area.level.tile, area.level.scale, area.resolved.request.grid
    steps = level.noise_levels
    # World cells, a tile more on every side than the area, so that the windows of the last phase have what they read.
    row, col = cells.row // scale - 2 * tile, cells.col // scale - 2 * tile
    side = area.side + 4 * tile
    state = put_back(area, row, col, side, steps.index(nearest(steps, REFINED_FROM)))
    edges = [steps.index(nearest(steps, level)) for level in (REFINED_FROM, REFINED_BORDER)] + [len(steps)]
    weight = torch.from_numpy(weight_2d(Lattice(tile, stride)))
    for number, (first, last) in enumerate(pairwise(edges)):
        lattice = Lattice(tile, stride, number * stride // 2)
        starts = [[at * stride + lattice.shift for at in windows_touching(begin, begin + side, lattice)] for begin in (row, col)]
        places = [(i - row, j - col) for i, j in product(*starts) if 0 <= i - row <= side - tile and 0 <= j - col <= side - tile]
        total, weights = torch.zeros_like(state), torch.zeros(side, side)
        for batch in batches(places):
            inside = [(i + row - cells.row // scale, j + col - cells.col // scale) for i, j in batch]
            conditions, solver = level.conditions([area.prompt] * len(batch), area.scene_at(inside)), level.solver(first, last)
            moved = torch.stack([state[:, i : i + tile, j : j + tile] for i, j in batch])
            for step in range(first, last):
                moved = solver.step(moved, level.predict(moved, step, conditions), None)
            for (i, j), window in zip(batch, moved, strict=True):
                at = slice(i, i + tile), slice(j, j + tile)
                total[:, *at] += weight * window
                weights[at] += weight
        state = total / weights.clamp_min(1e-6)
    painted = in_grey(level.decode(state[None])[0])
    top, left = cells.row - row * scale, cells.col - col * scale
    return Made(painted[top : top + cells.height, left : left + cells.width], cells.row, cells.col)


def put_back(area: Area, row: int, col: int, side: int, step: int) -> torch.Tensor:
    """World cells [row, row + side) x [col, col + side) of the enlarged coarse picture, at the noise level before ``step``."""
    assert area.resolved is not None
    level, cells = area.level, area.resolved.request.grid
    margin = 8  # coarse pixels, for the kernel that enlarges
    first = [at * level.scale // FACTOR - margin for at in (row, col)]
    count = side * level.scale // FACTOR + 2 * margin + 1
    lattice = tuple(str(FACTOR * int(number)) for number in cells.lattice)
    coarse = cells.model_copy(update={"lattice": lattice, "row": first[0], "col": first[1], "width": count, "height": count})
    pixels = by_engine(replace(area, resolved=with_grid(area.resolved, coarse)), planning.plan_k(level.noise_levels, level.tile, 2)).pixels
    large = np.asarray(Image.fromarray(pixels).resize((count * FACTOR,) * 2, Image.Resampling.BICUBIC))
    top, left = (at * level.scale - begin * FACTOR for at, begin in zip((row, col), first, strict=True))
    cut = large[top : top + side * level.scale, left : left + side * level.scale].transpose(2, 0, 1)
    vae = level.pipeline.vae
    latents = vae.encode(torch.from_numpy(cut.astype(np.float32) / 127.5 - 1)[None]).latent_dist.mean[0] * vae.config.scaling_factor
    noise = torch.from_numpy(noise_normal(area.seed, "L0/init", row, col, side, side, level.channels))
    s = level.noise_levels[step]
    return (latents + s * noise) / math.sqrt(1 + s * s)


def nearest(levels: Any, wanted: float) -> float:
    return float(min(levels, key=lambda level: abs(math.log(level / wanted))))


def with_grid(resolved: Resolved, cells: GridRecord) -> Resolved:
    return replace(resolved, request=resolved.request.model_copy(update={"grid": cells}))


def k(number: int) -> Callable[[Any, int, int], Phases]:
    return lambda levels, tile, stride: planning.plan_k(levels, tile, number, stride)


def all_plans() -> list[Plan]:
    found = [
        Plan("butt-joined", 1, phases=k(1)),
        Plan("feathered at the end, 3/4", 0.75, how=feathered),
        Plan("MultiDiffusion, 1/2", 0.5, how=multidiffusion),
        Plan("MultiDiffusion, 3/4", 0.75, how=multidiffusion),
        *(Plan(f"K{number}, {name}", stride, phases=k(number)) for number, strides in ((1, STRIDES), (2, ALL), (3, ALL)) for name, stride in strides),
    ]
    return [*found, Plan("pyramid, 3/4", 0.75, how=pyramid)]


def areas(side_px: int, seeds: int, names: list[str], sampler: dict[str, Any]) -> list[tuple[str, Area]]:
    """Class and area, one a class and seed, with one loaded model."""
    pipeline, found = load_pipeline("rsgeo-mini", device="cpu", dtype=making.DTYPES[DTYPE]), []
    for (name, (words, lon, lat)), seed in product(((name, CLASSES[name]) for name in names), range(seeds)):
        crs = f"EPSG:{32600 + grid.utm_zone(lon, lat)}"
        x, y = (10 * round(value / 10) for value in grid.transformer(grid.parse_crs("EPSG:4326"), grid.parse_crs(crs)).transform(lon, lat))
        ask = Ask(bounds=(x, y - 10 * side_px, x + 10 * side_px, y), aoi_crs=crs, crs=crs, gsd="10", seed=seed, **sampler)
        resolved = resolve(replace(ask, prompt=f"a satellite image of {words}"))
        resolved = replace(resolved, aoi=None, request=resolved.request.model_copy(update={"aoi": None}))
        level = LatentTileModel(pipeline, resolved.request.sampler).levels[-1]
        found.append((name, Area(level, side_px // level.scale, seed, resolved.request.prompt, scenes_of(resolved, level), resolved)))
    return found


def scenes_of(resolved: Resolved, level: Any) -> Callable[[list[tuple[int, int]]], list[SceneMetadata]]:
    """The scene at the centre of windows that are given by their first cells, counted from the area's corner."""

    def scene_at(places: list[tuple[int, int]]) -> list[SceneMetadata]:
        centres = (np.array(places, np.float64) + level.tile / 2) * level.scale
        lons, lats = grid.centres_lonlat(resolved.request.grid, centres[:, 1], centres[:, 0])
        values = ([Value(value=float(number), source="window centre") for number in pair] for pair in zip(lons, lats, strict=True))
        return [SceneMetadata(lon=lon, lat=lat, gsd=Value(value=10.0, source="window centre")) for lon, lat in values]

    return scene_at


def costs(plan: Plan, area: Area) -> tuple[float, float, float]:
    """Evaluations over one a tile and step: over a boundless area, charged to 8 x 8 tiles, and charged to the area (NaN: not reckoned)."""
    level = area.level
    stride = int(plan.stride * level.tile)
    if plan.how is pyramid:
        refined = len(level.noise_levels) - level.noise_levels.index(nearest(level.noise_levels, REFINED_FROM))
        return (1 / FACTOR**2 + refined / len(level.noise_levels)) * (level.tile / stride) ** 2, math.nan, math.nan
    if plan.phases is None:
        counts = [len(windows(side, level.tile, stride)[1]) * (level.tile / side) ** 2 for side in (8 * level.tile, area.side)]
        return (level.tile / stride) ** 2, counts[0], counts[1]
    assert area.resolved is not None
    phases = plan.phases(level.noise_levels, level.tile, stride)
    resolved = with_phases(area.resolved, phases)
    eight = 8 * level.tile * level.scale
    places = product(range(0, stride * level.scale, level.scale * 2), repeat=2)
    anywhere = float(np.mean([charged(resolved, eight, at) for at in places]))
    return planning.plan_cost(resolved.request.synthesis), anywhere, charged(resolved, area.side * level.scale)


def charged(resolved: Resolved, side_px: int, offset: tuple[int, int] = (0, 0)) -> float:
    """Evaluations for a square at an offset from the area's corner, over one a tile and step."""
    cells = resolved.request.grid
    moved = {"row": cells.row + offset[0], "col": cells.col + offset[1], "width": side_px, "height": side_px}
    request = resolved.request.model_copy(update={"grid": cells.model_copy(update=moved)})
    evaluations = plans.evaluations(request, making.graph(replace(resolved, request=request)))
    tile = resolved.record.tile * resolved.record.scale
    return evaluations / plans.passes(request) / request.sampler.num_inference_steps / (side_px / tile) ** 2


def seams(made: list[Made], plan: Plan, level: Any, smooth: int) -> list[str]:
    """Cells of the table: seam across rows and across columns, and the worst of the profile beside its noise."""
    period, common, edges = plan.lattice(level)
    block = level.scale
    cells, worst, noise = [], [], []
    for axis in (0, 1):
        pictures, starts = [one.pixels for one in made], [(one.row, one.col)[axis] for one in made]
        found = borders.seam(borders.by_offset(pictures, starts, axis, period), edges, block)
        cells.append(f"{found.ratio:.3f} ({found.low:.3f}-{found.high:.3f}, n = {found.lines})")

        def deviation(length: int, pictures: list[Any] = pictures, starts: list[int] = starts, axis: int = axis) -> float:
            return float(np.abs(borders.profile(borders.by_offset(pictures, starts, axis, length), block, smooth) - 1).max())

        worst.append(deviation(common))
        noise.append(np.mean([deviation(common + change) for change in (-block, block)]))
    return [*cells, f"{max(worst):.3f} ({max(noise):.3f})"]


def patches(made: list[Made]) -> NDArray[np.uint8]:
    """Disjoint patches (n, 64, 64, 3) of each picture, as many of each."""
    cut = []
    for one in made:
        starts = range(0, one.pixels.shape[0] - PATCH + 1, PATCH_STEP)
        cut += [one.pixels[row : row + PATCH, col : col + PATCH] for row, col in product(starts, starts)]
    return np.stack(cut)


def real(folder: Path, split: str, names: list[str], each: int) -> NDArray[np.uint8]:
    """As many real tiles of each class, in their shuffled storage order."""
    from rsgeo.data import packed

    tiles = []
    for name in names:
        images = packed.rows(folder, lambda row, name=name: row["class"] == name and row["split_spatial"] == split)
        tiles += list(packed.pixels(folder, images[:each]))
    return np.stack(tiles)


def mini_table(args: argparse.Namespace, chosen: list[Plan], sampler: dict[str, Any]) -> dict[str, object]:
    """Prints the table of `rsgeo-mini`; gives facts for under it."""
    names = list(CLASSES)[:1] if args.quick else list(CLASSES)
    filled = areas(args.side, args.seeds, names, sampler)
    level, judge = filled[0][1].level, load(JUDGE)
    rows, count, floor = [], 0, "unknown, for want of --eurosat"
    test: NDArray[Any] | None = None
    for plan in chosen:
        begin = time.perf_counter()
        made = [fill(plan, area) for _, area in filled]
        seconds = (time.perf_counter() - begin) / len(made)
        cut = patches(made)
        count, each = len(cut), len(cut) // len(filled)
        features, seen = look(judge, cut)
        asked = np.repeat([EUROSAT_CLASSES.index(name) for name, _ in filled], each)
        if test is None and args.eurosat is not None:
            test, train = (look(judge, real(args.eurosat, split, names, each * args.seeds))[0] for split in ("test", "train"))
            floor = f"{frechet.distance(train, test):.2f}"
        distance = "" if test is None else f"{frechet.distance(features, test):.2f}"
        contrast = np.mean([one.pixels.std() for one in made])
        cost = [f"{value:.2f}" for value in costs(plan, filled[0][1])]
        accuracy = f"{(seen == asked).mean():.3f}"
        rows.append((plan.name, *cost, *seams(made, plan, level, 5), f"{contrast:.1f}", accuracy, distance, f"{seconds:.1f} s"))
        print(f"* {plan.name} done", file=sys.stderr, flush=True)
    header = ["plan, stride", "cost boundless", "8 x 8 tiles", "these areas", "seam across rows", "across columns", "worst (noise)"]
    print(table([*header, "contrast", "judge", "Frechet", "an area"], rows))
    return {
        "areas": f"{len(filled)} of {args.side} x {args.side} px at 10 m ({', '.join(names)}; {args.seeds} seeds), {len(level.noise_levels)} steps",
        "number type": DTYPE,
        "patches": f"{count}; Frechet floor, real training tiles against the same test tiles: {floor}",
    }


def fill(plan: Plan, area: Area) -> Made:
    if plan.how is not None:
        return plan.how(area, int(plan.stride * area.level.tile))
    assert plan.phases is not None
    return by_engine(area, plan.phases(area.level.noise_levels, area.level.tile, int(plan.stride * area.level.tile)))


def exact_table(chosen: list[Plan], lengths: tuple[float, ...]) -> None:
    """Prints the same seams of the exact engine."""
    rows = []
    for plan in chosen:
        cells: list[str] = []
        for length in lengths:
            level = gaussian.Exact(length)
            if plan.phases is None:
                area = Area(level, gaussian.SIDE, 1, "", lambda places: [SceneMetadata()] * len(places))
                made = fill(plan, area)
            else:
                field = gaussian.synthesise(length, plan.phases(level.noise_levels, level.tile, int(plan.stride * level.tile)))
                made = Made(field.transpose(1, 2, 0), 0, 0)
            variance = float(np.var(made.pixels.astype(np.float64)))
            # `feathered` and `multidiffusion` give grey levels, of which 127.5 are 4 standard deviations.
            variance *= (4 / 127.5) ** 2 if made.pixels.dtype == np.uint8 else 1.0
            cells += [*seams([made], plan, level, 3), f"{variance:.2f}"]
        rows.append((plan.name, *cells))
    untiled: list[str] = []
    for length in lengths:
        field = gaussian.truth(length)
        found = seams([Made(field.transpose(1, 2, 0), 0, 0)], Plan("", 0.75, phases=k(2)), gaussian.Exact(length), 3)
        untiled += [*found, f"{field.var():.2f}"]
    rows.append(("no tiles (truth)", *untiled))
    columns = ("seam across rows", "across columns", "worst (noise)", "variance")
    print("\n" + table(["exact engine", *(f"{name}, L = {length:g}" for length in lengths for name in columns)], rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = os.environ.get("RSGEO_SHARED_DATA")
    parser.add_argument("--eurosat", type=Path, default=Path(shared) / "eurosat" if shared else None)
    parser.add_argument("--side", type=int, default=640, help="pixels of an area's side")
    parser.add_argument("--seeds", type=int, default=1, help="areas a class")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these plans")
    parser.add_argument("--no-exact", action="store_true", help="leave out the exact engine")
    parser.add_argument("--no-mini", action="store_true", help="leave out rsgeo-mini")
    parser.add_argument("--quick", action="store_true", help="one area of 256 px in two steps, three plans")
    args = parser.parse_args()
    warnings.simplefilter("ignore", RsgeoWarning)
    machine = Machine(quick=args.quick)
    chosen = [plan for plan in all_plans() if args.only is None or plan.name in args.only]
    sampler: dict[str, Any] = {}
    if args.quick:
        args.side, args.seeds, sampler = 256, 1, {"num_inference_steps": 2, "guidance_scale": 1.0}
        chosen = [plan for plan in chosen if plan.name in ("feathered at the end, 3/4", "MultiDiffusion, 3/4", "K2, 3/4")]
    facts = {} if args.no_mini else mini_table(args, chosen, sampler)
    if not args.no_exact:
        exact_table([plan for plan in chosen if plan.how is not pyramid], (4.0,) if args.quick else (4.0, 16.0))
        facts["exact engine"] = f"3 fields of {gaussian.SIDE} x {gaussian.SIDE} cells, tile {gaussian.TILE}, L = correlation length in cells"
    print(machine.report(**facts))


if __name__ == "__main__":
    main()
