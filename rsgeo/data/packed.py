"""Packed image sets: image files laid end to end in ``.bin`` shards with a ``metadata.csv`` that says where each one lies and what it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rsgeo.errors import InputError


@dataclass(frozen=True)
class PackedImage:
    """One row of ``metadata.csv``: what the picture shows, and its place where that is known (degrees, WGS 84)."""

    key: str
    label: str
    caption_name: str
    gsd_m: float
    lon: float | None
    lat: float | None
    country: str
    row: dict[str, str]


def rows(root: Path, keep: Callable[[dict[str, str]], bool] = lambda row: True) -> list[PackedImage]:
    """The images of a packed set whose CSV row passes ``keep``, in storage order.

    Raises:
        InputError: there is no ``metadata.csv`` in ``root``.
    """
    path = root / "metadata.csv"
    if not path.is_file():
        raise InputError(f"{root} holds no metadata.csv; give the folder of a packed image set.")
    with path.open(encoding="utf-8", newline="") as file:
        return [_image(row) for row in csv.DictReader(file) if keep(row)]


def pixels(root: Path, images: list[PackedImage]) -> Iterator[NDArray[np.uint8]]:
    """The pictures in the order of ``images``, each (height, width, 3) uint8."""
    shards: dict[str, bytes] = {}
    for image in images:
        row = image.row
        if row["shard"] not in shards:
            shards[row["shard"]] = (root / Path(row["shard"]).name).read_bytes()
        start, length = int(row["offset"]), int(row["length"])
        with Image.open(io.BytesIO(shards[row["shard"]][start : start + length]), formats=("WEBP", "PNG", "JPEG")) as picture:
            yield np.asarray(picture.convert("RGB"))


def _image(row: dict[str, str]) -> PackedImage:
    def number(key: str) -> Any:
        return float(row[key]) if row.get(key) else None

    return PackedImage(
        key=row["key"],
        label=row["class"],
        caption_name=row["caption_name"],
        gsd_m=float(row["gsd_m"]),
        lon=number("lon"),
        lat=number("lat"),
        country=row.get("country", ""),
        row=row,
    )
