"""Builds a Sentinel-2 product in the real layout from a real clip: JPEG 2000 images, one a band and resolution, under a real product's metadata."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

RASTERS = Path(__file__).parent / "data" / "rasters"
METADATA = {
    "L1C": RASTERS / "sentinel2/S2A_MSIL1C_20200717T221941_R029_T01LAC_20200717T234135.SAFE/MTD_MSIL1C.xml",
    "L2A": RASTERS / "sentinel2/S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126.SAFE/MTD_MSIL2A.xml",
}
CLIPS = {"L1C": RASTERS / "series/S2_L1C_slovenia_20150711T100008.tif", "L2A": RASTERS / "sentinel2/S2L2A_38D_378R_2_3_cut.tif"}
CRS, SIDE = "EPSG:32633", 48
TOP_LEFT = (465_180, 5_080_260)
L1C = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
BANDS = {"L1C": L1C, "L2A": tuple(band for band in L1C if band != "B10")}
METRES = dict.fromkeys(L1C, 20) | dict.fromkeys(("B02", "B03", "B04", "B08"), 10) | dict.fromkeys(("B01", "B09", "B10"), 60)
OFFSET = {"L1C": 0, "L2A": 1000}  # baselines 02.09 and 04.00


def clip(level: str) -> NDArray[np.uint16]:
    """The clip's upper left 48 x 48 pixels, reflectance times 10000, by `BANDS`."""
    with rasterio.open(CLIPS[level]) as dataset:
        return dataset.read()[:, :SIDE, :SIDE].astype(np.uint16)


def build(folder: Path, level: str) -> Path:
    """A ``.SAFE`` folder in ``folder``. Stored numbers carry the offset of the product's baseline; a strip at the left is no data, which is 0."""
    text = METADATA[level].read_text(encoding="utf-8")
    product = folder / METADATA[level].parent.name
    values = dict(zip(BANDS[level], clip(level) + OFFSET[level], strict=True))
    for name in re.findall(r"<IMAGE_FILE>([^<]+)</IMAGE_FILE>", text):
        match = re.search(r"_(B\d\d|B8A)(?:_(\d\d)m)?$", name)
        if match is None:
            continue
        band, metres = match[1], int(match[2] or METRES[match[1]])
        step = metres // 10
        pixels = values[band].reshape(SIDE // step, step, SIDE // step, step).mean(axis=(1, 3)).round().astype(np.uint16)
        pixels[:, : 12 // step] = 0
        path = product / f"{name}.jp2"
        path.parent.mkdir(parents=True, exist_ok=True)
        place = {"crs": CRS, "transform": rasterio.Affine(metres, 0, TOP_LEFT[0], 0, -metres, TOP_LEFT[1])}
        lossless = {"QUALITY": "100", "REVERSIBLE": "YES"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            raster = rasterio.open(
                path, "w", driver="JP2OpenJPEG", width=pixels.shape[1], height=pixels.shape[0], count=1, dtype="uint16", **place, **lossless
            )
        with raster:
            raster.write(pixels, 1)
        for rest in path.parent.glob("*.aux.xml"):
            rest.unlink()
    (product / METADATA[level].name).write_text(text, encoding="utf-8")
    return product


def pack(product: Path) -> Path:
    """The folder as a ZIP archive beside it, as it is delivered: the folder within."""
    path = product.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(product.rglob("*")):
            archive.write(file, file.relative_to(product.parent).as_posix())
    return path
