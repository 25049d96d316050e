"""Whether the edge of inpainted pixels shows in real pictures, and whether what is made there goes with what is round it.

    python tests/benchmarks/inpaint_edge.py --data DIR [--model NAME] [--quick] [--mosaics N] [--tiles N]

DIR (default RSGEO_SHARED_DATA) holds ``eurosat`` and ``series``. Discs are made anew in mosaics of held-out EuroSAT tiles and in NAIP pictures, and
mosaics and pictures are extended on all sides. The gradient from observed to made pixels is divided by the mean of those among observed and among
made pixels up to 8 px off, and by that among made pixels alone: 1 means that nothing shows. Beside it stands the same of the picture before
anything was made, and of another world pasted into the discs, whose edge has to show.

Half of each of some held-out tiles is made anew, without a prompt and with that of its class: how often does the judge (`training/judge`) still see
what it saw in the whole tile? Last, the clouds of a Sentinel-2 picture are filled and compared with the same ground three days later, beside the
errors of copying other dates.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import rasterio
from common import JUDGE, Machine, table
from numpy.typing import NDArray
from pyproj import Transformer

import rsgeo
from rsgeo.data import packed
from rsgeo.data.captions import caption
from rsgeo.errors import RsgeoWarning
from rsgeo.evaluate import judge
from rsgeo.evaluate.borders import made_edge

CLOUDY, CLEAR = "S2_L2A_31UDS_20180416T105619", "S2_L2A_31UDS_20180419T110127"
Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def write(path: Path, pixels: NDArray[np.generic], place: rasterio.Affine, crs: str) -> Path:
    """A GeoTIFF of (bands, height, width); three bands are red, green and blue."""
    shape = {"count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2]}
    rgb = {"photometric": "RGB"} if len(pixels) == 3 else {}
    with rasterio.open(path, "w", driver="GTiff", dtype=pixels.dtype, crs=crs, transform=place, **shape, **rgb) as dataset:
        dataset.write(pixels)
    return path


def discs(height: int, width: int, number: int) -> Mask:
    """Three discs that meet the codec's blocks anywhere."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:height, :width]
    mask = np.zeros((height, width), np.bool_)
    for middle in ((0.28, 0.3), (0.65, 0.6), (0.3, 0.75)):
        row, col = (part * side + rng.uniform(-4, 4) for part, side in zip(middle, (height, width), strict=True))
        mask |= (y - row) ** 2 + (x - col) ** 2 < rng.uniform(0.09, 0.14) ** 2 * height * width
    return mask


def place_of(image: packed.PackedImage) -> tuple[rasterio.Affine, str]:
    """A tile's upper left corner on the 10 m grid of its UTM zone."""
    crs = f"EPSG:{32601 + int((image.lon + 180) // 6)}"
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(image.lon, image.lat)
    return rasterio.Affine(10, 0, round(x / 10) * 10 - 320, 0, -10, round(y / 10) * 10 + 320), crs


def edges(kind: str, rasters: list[Path], folder: Path, settings: dict[str, object]) -> list[list[str]]:
    """Rows of the table for some pictures of one kind."""
    inpainted, before, pasted, extended = [], [], [], []
    last = None
    for number, path in enumerate(rasters):
        with rasterio.open(path) as dataset:
            place, crs, old = dataset.transform, dataset.crs.to_wkt(), dataset.read([1, 2, 3])
        mask = discs(*old.shape[1:], number)
        marks = write(folder / "marks.tif", mask[None].astype(np.uint8), place, crs)
        new = rsgeo.inpaint(path, mask=marks, seed=number, runtime=rsgeo.Runtime(keep_loaded=True), **settings).pixels[:3]
        assert np.array_equal(new[:, ~mask], old[:, ~mask])
        inpainted.append(made_edge(new, mask))
        before.append(made_edge(old, mask))
        if last is not None:
            pasted.append(made_edge(np.where(mask, last, old), mask))
        last = rsgeo.generate(like=path, seed=number, **{**settings, "model": None}).pixels
        (west, north), (east, south) = place * (-24, -24), place * (old.shape[2] + 24, old.shape[1] + 24)
        wide = rsgeo.extend(
            path, bounds=(west, south, east, north), aoi_crs=crs, seed=number, runtime=rsgeo.Runtime(keep_loaded=True), **settings
        ).pixels
        extended.append(made_edge(wide[:3], wide[-1] == 1))
    rows = {"inpainted": inpainted, "extended": extended, "as it was": before, "another world pasted": pasted}
    table_rows = []
    for name, values in rows.items():
        if values:
            both, made = np.array(values).T
            table_rows.append([kind, name, f"{both.mean():.3f}", f"{both.max():.3f}", f"{made.mean():.3f}", str(len(values))])
    return table_rows


def mosaic(tiles: list[Picture], side: int = 3) -> Picture:
    """Tiles (height, width, 3) side by side, as (3, ...)."""
    rows = [np.concatenate(tiles[side * row : side * (row + 1)], axis=1) for row in range(side)]
    return np.ascontiguousarray(np.concatenate(rows).transpose(2, 0, 1))


def kept_classes(
    images: list[packed.PackedImage], tiles: list[Picture], folder: Path, settings: dict[str, object], with_prompt: bool
) -> tuple[float, float]:
    """How often the judge sees in a tile half made anew what it saw in the whole one, and how often in the half that stays with the rest grey."""
    made, halves = [], []
    for number, (image, tile) in enumerate(zip(images, tiles, strict=True)):
        place, crs = place_of(image)
        path = write(folder / "tile.tif", np.ascontiguousarray(tile.transpose(2, 0, 1)), place, crs)
        half = np.zeros((64, 64), np.bool_)
        half[(slice(None), slice(32, None)) if number % 2 else (slice(32, None),)] = True
        marks = write(folder / "half.tif", half[None].astype(np.uint8), place, crs)
        words = caption(image.label, image.caption_name, image.country, np.random.default_rng(number))
        prompt = {"prompt": words} if with_prompt else {}
        result = rsgeo.inpaint(path, mask=marks, seed=number, runtime=rsgeo.Runtime(keep_loaded=True), **settings, **prompt)
        made.append(result.pixels[:3].transpose(1, 2, 0).copy())
        halves.append(np.where(half[..., None], np.uint8(tile[~half].mean()), tile))
    network = judge.load(JUDGE)
    saw, sees, guesses = (judge.look(network, np.stack(pictures))[1] for pictures in (tiles, made, halves))
    return float((saw == sees).mean()), float((saw == guesses).mean())


def clouds(series: Path, settings: dict[str, object]) -> list[list[str]]:
    """The mean absolute error of a cloudy picture's fill in stored units, and those of copying."""
    folder = series / "s2_31UDS"
    with rasterio.open(folder / f"{CLEAR}.tif") as dataset:
        truth = dataset.read([3, 2, 1]).astype(float)
    result = rsgeo.inpaint(folder / f"{CLOUDY}.tif", mask=folder / f"{CLOUDY}_cloud.tif", **settings)
    made = result.pixels[-1] == 1
    error = np.abs(result.pixels[[2, 1, 0]][:, made] - truth[:, made]).mean()
    with rasterio.open(folder / f"{CLOUDY}.tif") as dataset:
        cloudy = np.abs(dataset.read([3, 2, 1])[:, made] - truth[:, made]).mean()
    rows = [["made anew", f"{error:.0f}"], ["the cloud itself", f"{cloudy:.0f}"]]
    for stem in ("S2_L2A_31UDS_20180228T110435", "S2_L2A_31UDS_20180504T110230"):
        with rasterio.open(folder / f"{stem}.tif") as dataset:
            rows.append([f"copied from {stem[13:21]}", f"{np.abs(dataset.read([3, 2, 1])[:, made] - truth[:, made]).mean():.0f}"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RSGEO_SHARED_DATA", "missing")), help="folder with eurosat and series")
    parser.add_argument("--model", help="name or folder; default what rsgeo takes")
    parser.add_argument("--quick", action="store_true", help="few pictures in few steps: whether the script runs")
    parser.add_argument("--mosaics", type=int, help="how many; default 20, or 1 with --quick")
    parser.add_argument("--tiles", type=int, help="how many are half made anew; default 200, or 2 with --quick")
    options = parser.parse_args()
    count, halves = options.mosaics or (1 if options.quick else 20), options.tiles or (2 if options.quick else 200)
    settings: dict[str, object] = {"model": options.model} if options.model else {}
    if options.quick:
        settings["num_inference_steps"] = 2
    machine = Machine(quick=options.quick)
    root = options.data / "eurosat"
    held = packed.rows(root, lambda row: row["split_spatial"] == "test")
    order = np.random.default_rng(0).permutation(len(held))
    chosen = [held[index] for index in order[: 9 * count + halves]]
    tiles = list(packed.pixels(root, chosen))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rasters = []
        for number in range(count):
            place, crs = place_of(chosen[9 * number])
            rasters.append(write(folder / f"mosaic{number}.tif", mosaic(tiles[9 * number : 9 * number + 9]), place, crs))
        rows = edges("EuroSAT", rasters, folder, settings)
        naip = sorted((options.data / "series" / "naip_4709963").glob("*.tif"))
        rows += edges("NAIP, 5 m", naip[:count], folder, settings)
        print(table(("pictures", "edge", "over both sides", "worst picture", "over the made side", "pictures of it"), rows), flush=True)
        kept = {prompt: kept_classes(chosen[9 * count :], tiles[9 * count :], folder, settings, prompt) for prompt in (False, True)}
    words = {False: "half made anew, no prompt", True: "half made anew, prompt of its class"}
    rows = [[words[prompt], f"{100 * share:.0f} %"] for prompt, (share, _) in kept.items()]
    print("\n" + table(("tiles", "seen as before"), [*rows, ["half grey", f"{100 * kept[False][1]:.0f} %"]]))
    print("\n" + table(("clouds of 2018-04-16, against 2018-04-19", "mean absolute error"), clouds(options.data / "series", settings)))
    model = json.dumps(options.model or "default")
    print(machine.report(model=model, tiles=halves, mosaics=count))


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RsgeoWarning)
        main()
