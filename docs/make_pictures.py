"""Make the pictures of the README with the installed model: ``python docs/make_pictures.py``.

Four previews of real areas and rasters from ``tests/data``, and one grid that shows what prompt, seed, GSD and place change.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import rsgeo
from rsgeo.errors import RsgeoWarning

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
AOI = ROOT / "tests" / "data" / "aoi"

PREVIEWS: dict[str, dict[str, Any]] = {
    "luxembourg": {"aoi": ROOT / "examples" / "field.geojson", "prompt": "green meadows and farmland", "seed": 1},
    "montpellier": {"aoi": AOI / "trio.geojson", "gsd": "0.6", "prompt": "houses with gardens", "seed": 2},
    "bornholm": {"aoi": AOI / "mp_overlapping.fgb", "gsd": "100", "prompt": "a satellite image of annual crop land", "seed": 3},
    "grenada": {"aoi": AOI / "grenada.geojson", "gsd": "100", "prompt": "forest", "seed": 4},
}

PLACE = (8.40, 49.00)
BASE: dict[str, Any] = {"prompt": "a satellite image of farmland", "seed": 0, "gsd": "10", "place": PLACE}
ROWS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "prompt": [
        ("forest", {"prompt": "a satellite image of forest"}),
        ("residential buildings", {"prompt": "a satellite image of residential buildings"}),
        ("industrial buildings", {"prompt": "a satellite image of industrial buildings"}),
        ("river", {"prompt": "a satellite image of river"}),
    ],
    "seed": [(str(seed), {"seed": seed}) for seed in range(4)],
    "GSD": [
        (f"{gsd} m, {prompt}", {"gsd": gsd, "prompt": prompt})
        for gsd, prompt in (("20", "farmland"), ("10", "farmland"), ("1.2", "houses"), ("0.6", "houses"))
    ],
    "place": [
        (name, {"place": place, "prompt": "a satellite image of annual crop land"})
        for name, place in (("Andalusia", (-5.3, 37.6)), ("Brittany", (-3.0, 48.1)), ("Bavaria", (12.4, 48.7)), ("Finland", (23.0, 62.6)))
    ],
}
SIDE_PX = 160


def square(place: tuple[float, float], gsd: str) -> tuple[float, float, float, float]:
    """West, south, east, north of about `SIDE_PX` pixels around a place."""
    half = SIDE_PX / 2 * float(gsd)
    lon, lat = place
    east, north = half / (111_320 * np.cos(np.radians(lat))), half / 110_950
    return lon - east, lat - north, lon + east, lat + north


def panel(options: dict[str, Any]) -> Image.Image:
    """One picture of the grid."""
    asked = {**BASE, **options}
    bounds = square(asked.pop("place"), asked["gsd"])
    result = rsgeo.generate(bounds=bounds, **asked)
    assert result.pixels is not None
    return Image.fromarray(result.pixels.transpose(1, 2, 0)).crop((8, 8, SIDE_PX - 8, SIDE_PX - 8)).resize((240, 240), Image.Resampling.LANCZOS)


def grid_picture() -> Image.Image:
    """All rows, each panel with its value above."""
    font = ImageFont.load_default(15)
    sheet = Image.new("RGB", (90 + 4 * 250, len(ROWS) * 272), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (name, columns) in enumerate(ROWS.items()):
        draw.text((8, row * 272 + 130), name, "black", font)
        for column, (label, options) in enumerate(columns):
            left, top = 90 + column * 250, row * 272
            draw.text((left, top + 4), label, "black", font)
            sheet.paste(panel(options), (left, top + 26))
    return sheet


def main() -> None:
    warnings.simplefilter("ignore", RsgeoWarning)
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, options in PREVIEWS.items():
            runtime = rsgeo.Runtime(preview=IMAGES / f"{name}.png", overwrite=True, sidecar=False)
            rsgeo.generate(out=Path(folder) / f"{name}.tif", runtime=runtime, **options)
    grid_picture().save(IMAGES / "dials.jpg", quality=88)


if __name__ == "__main__":
    main()
