"""A sheet of 10 x 10 generated tiles beside 10 x 10 real ones: ``python training/sheets.py --model DIR --eurosat DIR --out sheet.png``.

Rows are the classes. The generated tiles are the first hundred that `score_mini.py` judges, the real ones the first ten test tiles of each
class as they are stored: neither side is chosen.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from score_mini import RealTiles, add_model_options, class_patches, generate, load_pipeline, settings

from rsgeo.evaluate.judge import EUROSAT_CLASSES

GAP, HEADER, LABELS = 2, 22, 165


def grid(tiles: NDArray[np.uint8], scale: int) -> Image.Image:
    """A hundred tiles, classes in turn, as ten rows of one class each."""
    side = tiles.shape[1] * scale
    sheet = Image.new("RGB", (10 * (side + GAP) - GAP,) * 2, "white")
    for i, tile in enumerate(tiles):
        picture = Image.fromarray(tile).resize((side, side), Image.Resampling.NEAREST)
        sheet.paste(picture, (i // 10 * (side + GAP), i % 10 * (side + GAP)))
    return sheet


def compose(generated: NDArray[np.uint8], real: NDArray[np.uint8], scale: int) -> Image.Image:
    """Both grids with class names and headings."""
    left, right = grid(generated, scale), grid(real, scale)
    sheet = Image.new("RGB", (LABELS + left.width + 16 + right.width, HEADER + left.height), "white")
    sheet.paste(left, (LABELS, HEADER))
    sheet.paste(right, (LABELS + left.width + 16, HEADER))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    draw.text((LABELS, 2), "generated (synthetic)", fill="black", font=font)
    draw.text((LABELS + left.width + 16, 2), "real: EuroSAT test tiles", fill="black", font=font)
    pitch = left.height / 10
    for row, name in enumerate(EUROSAT_CLASSES):
        draw.text((4, HEADER + (row + 0.5) * pitch - 8), name, fill="black", font=font)
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_options(parser)
    parser.add_argument("--scale", type=int, default=1, help="whole factor by which the sheet is enlarged")
    parser.add_argument("--out", type=Path, required=True, help="PNG file")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    real, pipe = RealTiles(args.eurosat), load_pipeline(args.model, args.words)
    generated = generate(pipe, class_patches(real, 100, args.places), settings(args), args.batch_size)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    compose(generated, real.evenly("test", 100), args.scale).save(args.out, optimize=True)
    print(args.out)


if __name__ == "__main__":
    main()
