"""Batches for `train_cascade.py`: pictures and captions, each batch a pure function of (seed, process, step)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mini_data import dihedral, resized
from numpy.typing import NDArray

from rsgeo.data import captions, packed, rsicd

DATA_SETS = {
    "ucmerced": "UC Merced Land Use (Yang and Newsam 2010; USGS imagery, public domain)",
    "rsicd": "RSICD (Lu et al. 2018), which states no licence",
}
LICENCES = {"ucmerced": "Apache-2.0", "rsicd": "none stated by the data"}

Words = Callable[[np.random.Generator], str]


@dataclass(frozen=True)
class Pictures:
    """``pixels`` (n, side, side, 3) uint8 and, for each, what draws one of its captions."""

    pixels: NDArray[np.uint8]
    words: list[Words]

    def batch(self, size: int, *, seed: int, process: int, step: int, drop_text: float) -> tuple[NDArray[np.float32], list[str]]:
        """Batch ``step`` of a process: pixels (size, 3, side, side) in [-1, 1], each in one of the eight positions of the square, and captions.

        A share ``drop_text`` of the captions is empty.
        """
        rng = np.random.default_rng([seed, process, step])
        picked = rng.integers(len(self.pixels), size=size)
        turned = np.stack([dihedral(self.pixels[index], rng) for index in picked])
        texts = ["" if rng.random() < drop_text else self.words[index](rng) for index in picked]
        return signed(turned), texts


def read(name: str, root: Path, split: str, side: int) -> Pictures:
    """One part ("train", "val" or "test") of a data set, its pictures resized to ``side`` and held in memory.

    ``root`` is the folder of RSICD as `rsgeo.data.rsicd.read_split` takes it, or that of the packed UC Merced.

    Raises:
        InputError: a picture is missing or cannot be read, or the folder is none of the data set.
    """
    if name == "rsicd":
        listed = rsicd.read_split(root, split)  # type: ignore[arg-type]
        return Pictures(np.stack([resized(rsicd.read_pixels(image), side) for image in listed]), [_one_of(image.captions) for image in listed])
    rows = packed.rows(root, lambda row: row["split_random"] == split)
    pixels = np.stack([resized(tile, side) for tile in packed.pixels(root, rows)])
    return Pictures(pixels, [_wording(row) for row in rows])


def signed(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, side, side, 3) uint8 -> (n, 3, side, side) in [-1, 1]."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).astype(np.float32) / 127.5 - 1.0


def _one_of(sentences: tuple[str, ...]) -> Words:
    return lambda rng: sentences[rng.integers(len(sentences))]


def _wording(image: packed.PackedImage) -> Words:
    return lambda rng: captions.caption(image.label, image.caption_name, image.country, rng)
