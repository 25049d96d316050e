"""Batches for `train_mini.py`: pictures, captions and scenes, each batch a pure function of (seed, process, step)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rsgeo.data import captions, packed
from rsgeo.scene import SceneMetadata, Value

TILE = 64
BLOCK_PITCH_M = 650.0


@dataclass(frozen=True)
class Batch:
    """``pixels`` (batch, 3, 64, 64) float32 in [-1, 1]; one caption and one scene a picture, with what training dropped already blank."""

    pixels: NDArray[np.float32]
    captions: list[str]
    scenes: list[SceneMetadata]


@dataclass(frozen=True)
class _Set:
    images: list[packed.PackedImage]
    pixels: list[NDArray[np.uint8]]


class MiniData:
    """EuroSAT (spatial split, train), its 2 x 2 blocks halved to 20 m, and UC Merced (train) reduced by the configuration's factors."""

    def __init__(self, eurosat: Path, ucmerced: Path, config: dict[str, object]) -> None:
        self.config = config
        self.eurosat = _load(eurosat, "split_spatial")
        self.ucmerced = _load(ucmerced, "split_random")
        self.blocks = _blocks(self.eurosat.images)
        labels = sorted({image.label for image in self.eurosat.images})
        self.by_label = [[i for i, image in enumerate(self.eurosat.images) if image.label == label] for label in labels]
        weights = np.array([dict(config["class_weights"]).get(label, 1.0) for label in labels])  # type: ignore[call-overload]
        self.label_shares = weights / weights.sum()

    def batch(self, size: int, *, process: int, step: int) -> Batch:
        """Batch ``step`` of a process; the same for the same arguments and seed. EuroSAT's classes are drawn by their weights."""
        rng = np.random.default_rng([int(self.config["seed"]), process, step])
        drawn = [self._draw(rng) for _ in range(size)]
        pixels = np.stack([dihedral(tile, rng) for tile, _, _ in drawn])
        signed = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).astype(np.float32) / 127.5 - 1.0
        return Batch(signed, [text for _, text, _ in drawn], [scene for _, _, scene in drawn])

    def _draw(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], str, SceneMetadata]:
        kind = rng.random()
        share, halved = float(self.config["ucmerced_share"]), float(self.config["halved_share"])
        if kind < share:
            tile, image, gsd = self._draw_ucmerced(rng)
        elif kind < share + halved and self.blocks:
            tile, image = self._draw_block(rng)
            gsd = 20.0
        else:
            members = self.by_label[rng.choice(len(self.by_label), p=self.label_shares)]
            index = members[rng.integers(len(members))]
            tile, image, gsd = self.eurosat.pixels[index], self.eurosat.images[index], 10.0
        if rng.random() < float(self.config["drop_all"]):
            return tile, "", SceneMetadata()
        text = captions.caption(image.label, image.caption_name, image.country, rng)
        if rng.random() < float(self.config["drop_text"]):
            text = ""
        return tile, text, self._scene(image, gsd, rng)

    def _scene(self, image: packed.PackedImage, gsd: float, rng: np.random.Generator) -> SceneMetadata:
        keep_place, keep_gsd = rng.random(2) >= float(self.config["drop_field"])
        placed = keep_place and image.lon is not None and image.lat is not None
        return SceneMetadata(
            lon=Value(value=image.lon, source="data set") if placed else None,
            lat=Value(value=image.lat, source="data set") if placed else None,
            gsd=Value(value=gsd, source="data set") if keep_gsd else None,
        )

    def _draw_ucmerced(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], packed.PackedImage, float]:
        index = rng.integers(len(self.ucmerced.images))
        shares = dict(self.config["ucmerced_factors"])  # type: ignore[call-overload]
        factor = int(rng.choice(list(shares), p=list(shares.values())))
        reduced = _reduce(self.ucmerced.pixels[index], factor)
        row, col = (rng.integers(side - TILE + 1) for side in reduced.shape[:2])
        return reduced[row : row + TILE, col : col + TILE], self.ucmerced.images[index], 0.3 * factor

    def _draw_block(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], packed.PackedImage]:
        block = self.blocks[rng.integers(len(self.blocks))]
        north_west, north_east, south_west, south_east = (self.eurosat.pixels[i] for i in block)
        whole = np.concatenate([np.concatenate([north_west, north_east], axis=1), np.concatenate([south_west, south_east], axis=1)])
        return _reduce(whole, 2), self.eurosat.images[block[0]]


def _load(root: Path, split: str) -> _Set:
    images = packed.rows(root, lambda row: row[split] == "train")
    # 44 UC Merced pictures deviate by a few pixels; those under 256 could not give a 64 px tile at a quarter.
    tiles = list(packed.pixels(root, images))
    kept = [i for i, tile in enumerate(tiles) if min(tile.shape[:2]) in (TILE,) or min(tile.shape[:2]) >= 4 * TILE]
    return _Set([images[i] for i in kept], [tiles[i] for i in kept])


def _reduce(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    height, width = (side // factor for side in pixels.shape[:2])
    boxes = pixels[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    return np.round(boxes.mean(axis=(1, 3))).astype(np.uint8)


def _blocks(images: list[packed.PackedImage]) -> list[tuple[int, int, int, int]]:
    """Indices (NW, NE, SW, SE) of tiles of one class that lie 650 m apart in both directions, found by their places."""
    places = np.array([(image.lon, image.lat) for image in images], dtype=float)
    north = np.radians(places[:, 1])
    metres = np.stack([places[:, 0] * 111_320.0 * np.cos(north), places[:, 1] * 110_950.0], axis=1)
    buckets: dict[tuple[int, int], list[int]] = {}
    for index, (east, up) in enumerate(metres // 200.0):
        buckets.setdefault((int(east), int(up)), []).append(index)

    def neighbour(index: int, east: float, up: float) -> int | None:
        # Longitude metres hold for the tile's own latitude only; over 650 m the error is a metre.
        scale = 111_320.0 * np.cos(north[index])
        target = np.array([places[index, 0] + east / scale, places[index, 1] + up / 110_950.0])
        col, row = (int(v) for v in (target[0] * 111_320.0 * np.cos(np.radians(target[1])) // 200.0, target[1] * 110_950.0 // 200.0))
        near = [i for dc in (-1, 0, 1) for dr in (-1, 0, 1) for i in buckets.get((col + dc, row + dr), [])]
        close = [
            i
            for i in near
            if images[i].label == images[index].label
            and abs((places[i, 0] - target[0]) * scale) < 60.0
            and abs((places[i, 1] - target[1]) * 110_950.0) < 60.0
        ]
        return close[0] if close else None

    found = []
    for index in range(len(images)):
        corners = [index] + [neighbour(index, e, u) for e, u in ((BLOCK_PITCH_M, 0), (0, -BLOCK_PITCH_M), (BLOCK_PITCH_M, -BLOCK_PITCH_M))]
        if None not in corners:
            found.append(tuple(corners))
    return found  # type: ignore[return-value]


def resized(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """(height, width, 3) to (side, side, 3), bicubic, averaged where it shrinks."""
    return pixels if pixels.shape[:2] == (side, side) else np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))


def dihedral(tile: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The tile in one of the eight positions of the square."""
    turned = np.rot90(tile, int(rng.integers(4)))
    return turned[:, ::-1] if rng.random() < 0.5 else turned
