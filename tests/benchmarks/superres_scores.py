"""Super-resolution of held-out EuroSAT tiles by a model, beside bicubic interpolation.

    python tests/benchmarks/superres_scores.py [--model NAME] [--tiles N] [--out scores.json]

Test tiles of the spatial split (64 px, 10 m, 20 km from every training tile) are averaged over 4 x 4 pixels, as the model's training did, and made
finer again: by bicubic interpolation (Pillow), and by the model, each tile in its place and at its GSD, without a prompt. Both are compared with the
tile itself by

* the Frechet distance of the judge's features, beside that of another half of real tiles of the same number (the floor);
* the judge perceptual distance: the feature maps of the judge's stages, each position's vector scaled to length 1, squared differences averaged over
  positions and added over stages, as LPIPS (Zhang et al., CVPR 2018, equation 1) with all weights 1 and this project's own network. It is no LPIPS;
* PSNR and SSIM (Wang et al. 2004, a Gaussian window of 1.5 px), means over tiles;
* the consistency of averages over 4 x 4 pixels with the input: RMSE and spectral angle, as `rsgeo superres` reports them.

The tiles lie under ``RSGEO_SHARED_DATA`` (eurosat), or the folder of --data.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from rsgeo.evaluate import frechet
from rsgeo.evaluate.judge import Judge, load, look
from rsgeo.geo.consistency import Comparison
from rsgeo.hub import catalog
from rsgeo.hub.load import load_pipeline
from rsgeo.pipelines.tile_view import LatentTileModel
from rsgeo.request import Sampler
from rsgeo.scene import SceneMetadata, Value
from rsgeo.synthesis.noise import noise_normal
from rsgeo.tilemodel import Seen

JUDGE = Path(__file__).resolve().parents[2] / "training" / "judge"
RATIO = 4
Tiles = NDArray[np.uint8]


def read(root: Path, count: int, seed: int) -> tuple[Tiles, list[dict[str, str]]]:
    """(n, 64, 64, 3) test tiles drawn by ``seed``, and their rows of metadata.csv; as many again follow them for the floor."""
    with (root / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split_spatial"] == "test"]
    order = np.random.default_rng(seed).permutation(len(rows))[: 2 * count]
    if len(order) < 2 * count:
        raise SystemExit(f"there are {len(rows)} test tiles; --tiles {len(rows) // 2} at most")
    picked, tiles = [rows[at] for at in order], []
    for row in picked:
        with (root / row["shard"]).open("rb") as file:
            file.seek(int(row["offset"]))
            tiles.append(np.asarray(Image.open(io.BytesIO(file.read(int(row["length"])))).convert("RGB")))
    return np.stack(tiles), picked


def averaged(tiles: NDArray[Any]) -> NDArray[np.float64]:
    """(n, 64, 64, 3) -> means over 4 x 4 pixels (n, 16, 16, 3)."""
    count, height, width, bands = tiles.shape
    found: NDArray[np.float64] = tiles.reshape(count, height // RATIO, RATIO, width // RATIO, RATIO, bands).mean(axis=(2, 4))
    return found


def bicubic(low: NDArray[np.float64]) -> Tiles:
    """Each band by Pillow's bicubic filter in float32."""
    side = low.shape[1] * RATIO
    bands = [
        [Image.fromarray(image[..., band].astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC) for band in range(3)] for image in low
    ]
    made = np.stack([np.stack([np.asarray(band) for band in image], axis=-1) for image in bands])
    return np.clip(np.rint(made), 0, 255).astype(np.uint8)


class Model:
    """A model of the catalogue that sees images at a quarter of its tile's pixels."""

    def __init__(self, name: str, device: str, dtype: str, batch_size: int, steps: int | None, guidance: float | None, seed: int) -> None:
        record = catalog.for_task("superres", name)
        usual = record.defaults
        self.sampler = Sampler(
            scheduler=usual.scheduler,
            num_inference_steps=steps or usual.num_inference_steps,
            guidance_scale=usual.guidance_scale if guidance is None else guidance,
        )
        self.record, self.batch_size, self.seed = record, batch_size, seed
        self.tile_model = LatentTileModel(load_pipeline(record.address, device=device, dtype=dtype), self.sampler)
        self.level = self.tile_model.levels[0]
        if (self.level.tile * self.level.scale, self.level.conditioning_scale) != (64, RATIO):
            raise SystemExit(f"{record.name} makes tiles of another size or ratio than EuroSAT's 64 px by {RATIO}")

    def __call__(self, low: NDArray[np.float64], rows: list[dict[str, str]]) -> Tiles:
        return np.concatenate(list(self._batches(low, rows)))

    @torch.inference_mode()
    def _batches(self, low: NDArray[np.float64], rows: list[dict[str, str]]) -> Iterator[Tiles]:
        level = self.level
        for start in range(0, len(low), self.batch_size):
            part = slice(start, start + self.batch_size)
            seen = [self._seen(image) for image in low[part]]
            scenes = [self._scene(row) for row in rows[part]]
            conditions = level.conditions([""] * len(seen), scenes, seen)
            noise = [
                noise_normal(self.seed, "L0/init", 0, (start + k) * level.tile, level.tile, level.tile, level.channels) for k in range(len(seen))
            ]
            cells = level.start(self.tile_model.to_device(np.stack(noise)))
            solver = level.solver(0, len(level.noise_levels))
            for step in range(len(level.noise_levels)):
                cells = solver.step(cells, level.predict(cells, step, conditions), None)
            pixels = level.decode(cells).float().cpu().numpy().transpose(0, 2, 3, 1)
            yield np.clip(np.rint((pixels + 1) * 127.5), 0, 255).astype(np.uint8)

    def _seen(self, image: NDArray[np.float64]) -> Seen:
        pixels = (image / 255).astype(np.float32).transpose(2, 0, 1)[None]
        return Seen(pixels, np.ones((1, *image.shape[:2]), np.bool_), (SceneMetadata(),))

    def _scene(self, row: dict[str, str]) -> SceneMetadata:
        lon, lat, gsd = (Value(value=float(row[name]), source="EuroSAT") for name in ("lon", "lat", "gsd_m"))
        taught = self.record.trained_fields
        return SceneMetadata(lon=lon if "place" in taught else None, lat=lat if "place" in taught else None, gsd=gsd if "gsd" in taught else None)


@torch.inference_mode()
def perceptual(judge: Judge, first: Tiles, second: Tiles) -> float:
    """The judge perceptual distance, mean over tiles."""
    stages = [stage for stage in judge.body if not isinstance(stage, torch.nn.AdaptiveAvgPool2d | torch.nn.Flatten)]
    total = 0.0
    for start in range(0, len(first), 256):
        one, other = (
            (torch.from_numpy(np.ascontiguousarray(tiles[start : start + 256].transpose(0, 3, 1, 2))).float() / 255 - 0.37) / 0.15
            for tiles in (first, second)
        )
        for stage in stages:
            one, other = stage(one), stage(other)
            units = [torch.nn.functional.normalize(maps, dim=1, eps=1e-6) for maps in (one, other)]
            total += float((units[0] - units[1]).square().sum(dim=1).mean(dim=(1, 2)).sum())
    return total / len(first)


def psnr(first: Tiles, second: Tiles) -> float:
    """dB, mean over tiles; equal tiles count as 99."""
    errors = np.square(first.astype(np.float64) - second).mean(axis=(1, 2, 3))
    return float(np.where(errors > 0, 10 * np.log10(255**2 / np.maximum(errors, 1e-12)), 99.0).mean())


def ssim(first: Tiles, second: Tiles) -> float:
    """Mean over tiles and bands."""
    offsets = np.arange(-5, 6)
    kernel = np.exp(-(offsets**2) / (2 * 1.5**2))
    kernel /= kernel.sum()

    def blur(images: NDArray[np.float64]) -> NDArray[np.float64]:
        lines = np.apply_along_axis(np.convolve, 1, images, kernel, mode="valid")
        found: NDArray[np.float64] = np.apply_along_axis(np.convolve, 2, lines, kernel, mode="valid")
        return found

    one, other = first.astype(np.float64), second.astype(np.float64)
    mean_1, mean_2 = blur(one), blur(other)
    variance_1, variance_2, both = blur(one * one) - mean_1**2, blur(other * other) - mean_2**2, blur(one * other) - mean_1 * mean_2
    low, high = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * mean_1 * mean_2 + low) * (2 * both + high) / ((mean_1**2 + mean_2**2 + low) * (variance_1 + variance_2 + high))
    return float(similarity.mean())


def consistency(low: NDArray[np.float64], made: Tiles) -> dict[str, Any]:
    """RMSE of all bands, and the spectral angle, of averages over 4 x 4 pixels."""
    comparison = Comparison((16, 16))
    for given, image in zip(low, averaged(made), strict=True):
        comparison.add(0, 0, given.transpose(2, 0, 1), image.transpose(2, 0, 1), np.ones((16, 16), np.bool_))
    found = comparison.result()
    assert found is not None
    rmse = math.sqrt(float(np.square(found.rmse).mean()))
    return {"consistency_rmse": rmse, "angle_median_deg": found.angle_median_deg, "angle_95_deg": found.angle_95_deg}


def scores(judge: Judge, tiles: Tiles, low: NDArray[np.float64], make: Callable[[], Tiles]) -> dict[str, Any]:
    begun = time.perf_counter()
    made = make()
    seconds = time.perf_counter() - begun
    features, recognised = look(judge, made)
    real, classes = look(judge, tiles)
    return {
        "frechet": frechet.distance(features, real),
        "judge_perceptual": perceptual(judge, made, tiles),
        "same_class": float((recognised == classes).mean()),
        "psnr_db": psnr(made, tiles),
        "ssim": ssim(made, tiles),
        **consistency(low, made),
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="rsgeo-mini-superres", help="name or folder")
    parser.add_argument("--tiles", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RSGEO_SHARED_DATA", "../shared/data")) / "eurosat")
    parser.add_argument("--judge", type=Path, default=JUDGE)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--sheet", type=Path, help="write a picture of some tiles: input, bicubic, model, truth")
    options = parser.parse_args()

    tiles, rows = read(options.data, options.tiles, options.seed)
    tiles, others = tiles[: options.tiles], tiles[options.tiles :]
    low, judge = averaged(tiles), load(options.judge)
    model = Model(options.model, options.device, options.dtype, options.batch_size, options.steps, options.guidance, options.seed)
    pictures: dict[str, Tiles] = {}

    def kept(name: str, make: Callable[[], Tiles]) -> Callable[[], Tiles]:
        def made() -> Tiles:
            pictures[name] = make()
            return pictures[name]

        return made

    found = {
        "bicubic": scores(judge, tiles, low, kept("bicubic", lambda: bicubic(low))),
        model.record.name: scores(judge, tiles, low, kept("model", lambda: model(low, rows[: options.tiles]))),
    }
    floor = frechet.distance(look(judge, others)[0], look(judge, tiles)[0])
    names = [*next(iter(found.values()))]
    print(f"{options.tiles} tiles of the spatial test split; real against other real tiles: Frechet {floor:.3f}")
    print(f"{'':<20}" + "".join(f"{name:>18}" for name in names))
    for name, values in found.items():
        print(f"{name:<20}" + "".join(f"{values[key]:>18.4f}" for key in names))
    if options.out is not None:
        sampler = model.sampler.model_dump()
        facts = {"tiles": options.tiles, "seed": options.seed, "frechet_floor": floor, "model_sha256": catalog.model_sha256(model.record), **sampler}
        options.out.write_text(json.dumps({**facts, "scores": found}, indent=1) + "\n", encoding="utf-8")
    if options.sheet is not None:
        write_sheet(options.sheet, low, pictures, tiles)


def write_sheet(path: Path, low: NDArray[np.float64], pictures: dict[str, Tiles], tiles: Tiles, columns: int = 12) -> None:
    """Rows: input (pixels repeated), bicubic, model, truth."""
    coarse = np.rint(low[:columns]).astype(np.uint8).repeat(RATIO, axis=1).repeat(RATIO, axis=2)
    lines = [np.concatenate(list(images[:columns]), axis=1) for images in (coarse, pictures["bicubic"], pictures["model"], tiles)]
    Image.fromarray(np.concatenate(lines, axis=0)).resize((columns * 128, 4 * 128), Image.Resampling.NEAREST).save(path)


if __name__ == "__main__":
    main()
