"""Does each polygon show what it asks for?

    python tests/benchmarks/polygons.py [--seeds N] [--picture PNG] [--quick]

``examples/land_use.geojson``, 17 polygons of 6 kinds over the Ljubljana basin, is the wish (`--prompt-field kind`, `--prompt-map`) and the area.
`rsgeo-mini` fills it at 10 m with default settings, once a seed. Patches of 64 px that lie inside one polygon, disjoint, are shown to the judge
(``training/judge``), which must see the class that the polygon's kind stands for. Bar: 75 % of the patches.

``--picture`` writes the plan beside the first result with the polygons' outlines drawn, for the README (``docs/images/land_use.png``). The full
run takes about 5 minutes on two cores (3 seeds), --quick about one.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import EXAMPLES, JUDGE, Machine, table
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rasterio.features import rasterize

import rsgeo
from rsgeo.errors import RsgeoWarning
from rsgeo.evaluate.judge import EUROSAT_CLASSES, load, look
from rsgeo.geo import aoi as aois

LAYER, PROMPTS = EXAMPLES / "land_use.geojson", EXAMPLES / "land_use.json"
CLASSES = {
    "arable": "AnnualCrop", "woodland": "Forest", "housing": "Residential", "works": "Industrial", "grassland": "Pasture", "water": "SeaLake",
}  # fmt: skip
COLOURS = {
    "arable": "#e8d37a", "woodland": "#3f7d46", "housing": "#d98880", "works": "#9a9a9a", "grassland": "#a9d08e", "water": "#6fa8dc",
}  # fmt: skip
CRS, PATCH, SEARCH = "EPSG:32633", 64, 4


def polygons(result: rsgeo.Result) -> list[tuple[str, Any]]:
    """Kind and geometry in pixels of the result's grid."""
    area = aois.of(LAYER)
    assert area.features is not None
    frame = area.features.to_crs(CRS)
    a, b, c, d, e, f = (~result.geobox.affine)[:6]
    moved = frame.geometry.affine_transform([a, b, d, e, c, f])
    return list(zip(frame["kind"], moved, strict=True))


def patches(inside: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Upper left corners of disjoint patches that lie wholly ``inside``, found row by row."""
    free = inside.copy()
    for row in range(0, inside.shape[0] - PATCH + 1, SEARCH):
        for col in range(0, inside.shape[1] - PATCH + 1, SEARCH):
            at = slice(row, row + PATCH), slice(col, col + PATCH)
            if free[at].all():
                free[at] = False
                yield row, col


def picture(result: rsgeo.Result, found: list[tuple[str, Any]], path: Path, side: int = 620) -> None:
    """The plan with its kinds, beside the result with outlines."""
    assert result.pixels is not None
    made = Image.fromarray(np.where(result.mask, result.pixels, 255).astype(np.uint8).transpose(1, 2, 0))
    plan = Image.new("RGB", made.size, "white")
    font, drawing = ImageFont.load_default(made.width // 38), (ImageDraw.Draw(plan), ImageDraw.Draw(made))
    for kind, polygon in found:
        ring = list(polygon.exterior.coords)
        drawing[0].polygon(ring, fill=COLOURS[kind])
        for draw, colour in zip(drawing, ("#404040", "white"), strict=True):
            draw.line(ring, fill=colour, width=max(1, made.width // 500))
        middle = polygon.centroid
        drawing[0].text((middle.x, middle.y), kind, "black", font, anchor="mm")
    both = Image.new("RGB", (2 * side + 12, side * made.height // made.width), "white")
    for left, image in ((0, plan), (side + 12, made)):
        both.paste(image.resize((side, both.height), Image.Resampling.LANCZOS), (left, 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    both.save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--quick", action="store_true", help="one seed, at 20 m in three steps")
    args = parser.parse_args()
    warnings.simplefilter("ignore", RsgeoWarning)
    machine, judge = Machine(quick=args.quick), load(JUDGE)
    options: dict[str, Any] = {"gsd": "20", "num_inference_steps": 3} if args.quick else {"gsd": "10"}
    right: dict[str, list[bool]] = {kind: [] for kind in CLASSES}
    seen_instead: dict[str, list[str]] = {kind: [] for kind in CLASSES}
    result = None
    for seed in range(1 if args.quick else args.seeds):
        result = rsgeo.generate(aoi=LAYER, prompt_field="kind", prompt_map=PROMPTS, crs=CRS, seed=seed, **options)
        assert result.pixels is not None
        for kind, polygon in polygons(result):
            # Pixels that the outline touches are left out.
            inside = rasterize([polygon.buffer(-1)], out_shape=result.geobox.shape).astype(bool)
            corners = list(patches(inside))
            if not corners:
                continue
            cut = np.stack([result.pixels[:, row : row + PATCH, col : col + PATCH].transpose(1, 2, 0) for row, col in corners])
            names = [EUROSAT_CLASSES[index] for index in look(judge, cut)[1]]
            right[kind] += [name == CLASSES[kind] for name in names]
            seen_instead[kind] += [name for name in names if name != CLASSES[kind]]
        if args.picture is not None and seed == 0:
            picture(result, polygons(result), args.picture)
    assert result is not None
    prompts = json.loads(PROMPTS.read_text())
    rows = [
        (kind, prompts[kind], CLASSES[kind], len(hits), f"{np.mean(hits):.2f}" if hits else "", ", ".join(sorted(set(seen_instead[kind]))))
        for kind, hits in right.items()
    ]
    every = [hit for hits in right.values() for hit in hits]
    rows.append(("all", "", "", len(every), f"{np.mean(every):.3f}" if every else "", ""))
    print(table(["kind", "prompt", "class", "patches", "recognised", "seen instead"], rows))
    height, width = result.geobox.shape
    area = f"{width} x {height} px at {options['gsd']} m, {len(polygons(result))} polygons of {len(CLASSES)} kinds"
    print(machine.report(area=area, bar="0.75 of the patches"))


if __name__ == "__main__":
    main()
