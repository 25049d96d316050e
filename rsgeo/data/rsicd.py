"""RSICD (Lu et al. 2018): 10 921 pictures with five captions each, as an image folder or as its parquet mirror.

The data set states no licence; it is read where the user has it, and nothing of it is shipped.
"""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from rsgeo.errors import InputError, RsgeoWarning

Split = Literal["train", "val", "test"]

OFFICIAL: dict[Split, int] = {"train": 8734, "val": 1094, "test": 1093}
"""Pictures in each part of the official split."""

CAPTIONS = 5
IMAGE_FOLDER = "RSICD_images"

_SPLITS: dict[str, Split] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_MIRROR_ORDER = ("train", "test", "val")
_MOST_PIXELS = 4096 * 4096
_FORMATS = ("JPEG", "PNG", "TIFF")


@dataclass(frozen=True)
class RsicdImage:
    """One picture: its name, number and label, and its five captions. `read_pixels` gives what it shows."""

    filename: str
    image_id: int
    label: str
    captions: tuple[str, ...]
    read: Callable[[], bytes]


def read_split(root: Path, split: Split) -> list[RsicdImage]:
    """The pictures of one part of the split, in the order of the files.

    ``root`` holds ``dataset_rsicd.csv`` or ``dataset_rsicd.json`` with the folder ``RSICD_images``, or the parquet files of the mirror (``train-*``,
    ``test-*``, ``valid-*``, in ``root`` or in ``root``/data), which need pyarrow. Warns (RsgeoWarning) if the part has not as many pictures as the
    official one: figures on it do not compare with published ones.

    Raises:
        InputError: no such layout, a file that is damaged, a picture that is missing or named twice (with its name), or no picture of this part.
    """
    if split not in OFFICIAL:
        raise InputError(f"RSICD has no part {split!r}; take one of {', '.join(OFFICIAL)}.")
    images = _listed(root, split)
    name, times = Counter(image.filename for image in images).most_common(1)[0] if images else ("", 0)
    if times > 1:
        raise InputError(f"RSICD in {root} names the picture {name} {times} times; fetch the data set again.")
    if not images:
        raise InputError(f"RSICD in {root} has no picture of the part {split!r}.")
    if len(images) != OFFICIAL[split]:
        words = f"RSICD in {root} has {len(images)} pictures in the part {split!r}, the official one {OFFICIAL[split]}"
        warnings.warn(f"{words}; figures on it do not compare with published ones.", RsgeoWarning, stacklevel=2)
    return images


def read_pixels(image: RsicdImage) -> NDArray[np.uint8]:
    """What a picture shows, (height, width, 3) uint8. Raises InputError, with the picture's name, if it cannot be read."""
    try:
        with Image.open(io.BytesIO(image.read()), formats=_FORMATS) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise InputError(f"The picture {image.filename} of RSICD is {picture.width} x {picture.height} pixels, which none of RSICD's is.")
            return np.asarray(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"The picture {image.filename} of RSICD cannot be read ({error}); fetch it again.") from error


def read_captions(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Part and captions of each picture in a ``dataset_rsicd.json``, whether the pictures are there or not. Raises InputError if it is damaged."""
    return [(_split_of(part, path), _five(captions, filename)) for filename, part, _, captions in _json_rows(path)]


def normal_caption(caption: str) -> str:
    """A caption as the original wrote it: lower case, and a blank before the full stop."""
    text = caption.strip().lower()
    return f"{text[:-1].rstrip()} ." if text.endswith(".") and not text.endswith(" .") else text


def label_of(filename: str) -> str:
    """The class that a name tells: what stands before its last underscore, without the ending; a name that is a number is its own class."""
    stem = filename.rpartition(".")[0] or filename
    return stem.rpartition("_")[0] or stem


def _listed(root: Path, split: Split) -> list[RsicdImage]:
    parquet = sorted([*root.glob("*.parquet"), *root.glob("data/*.parquet")])
    if (root / "dataset_rsicd.csv").is_file():
        return _of_folder(root, split, _csv_rows(root / "dataset_rsicd.csv"))
    if (root / "dataset_rsicd.json").is_file():
        return _of_folder(root, split, _json_rows(root / "dataset_rsicd.json"))
    if parquet:
        return _of_mirror(root, split, parquet)
    raise InputError(f"{root} holds no RSICD: neither dataset_rsicd.csv or dataset_rsicd.json with {IMAGE_FOLDER}, nor parquet files of the mirror.")


Row = tuple[str, str, int, list[str]]
"""Filename, split, number and captions."""


def _csv_rows(path: Path) -> Iterable[Row]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return [(row["filename"], row["split"], int(row["imgid"]), [row[f"sent{n}"] for n in range(1, CAPTIONS + 1)]) for row in rows]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{path} is damaged ({error!r}); it has the columns filename, split, imgid and sent1 to sent{CAPTIONS}.") from error


def _json_rows(path: Path) -> Iterable[Row]:
    try:
        images = json.loads(path.read_text(encoding="utf-8"))["images"]
        return [(one["filename"], one["split"], int(one["imgid"]), [sentence["raw"] for sentence in one["sentences"]]) for one in images]
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error!r}); it lists images with filename, split, imgid and sentences.") from error


def _of_folder(root: Path, split: Split, rows: Iterable[Row]) -> list[RsicdImage]:
    folder, images = root / IMAGE_FOLDER, []
    for filename, part, number, captions in rows:
        if _split_of(part, root) != split:
            continue
        if not isinstance(filename, str) or filename in ("", ".", "..") or PurePosixPath(filename).name != filename or "\\" in filename:
            raise InputError(f"RSICD in {root} names a picture {filename!r}, which is no name of a file in {IMAGE_FOLDER}.")
        path = folder / filename
        if not path.is_file():
            raise InputError(f"The picture {filename} of RSICD is missing in {folder}; fetch it again.")
        images.append(RsicdImage(filename, number, label_of(filename), _five(captions, filename), path.read_bytes))
    return images


def _of_mirror(root: Path, split: Split, files: list[Path]) -> list[RsicdImage]:
    """Numbers count over the whole mirror, in the order of its parts."""
    images, number = [], 0
    ordered = sorted(files, key=lambda path: (_MIRROR_ORDER.index(_split_of(path.name.partition("-")[0], root)), path.name))
    for path in ordered:
        rows = _table(path, ("filename", "captions"))
        if _split_of(path.name.partition("-")[0], root) == split:
            for row, (name, captions) in enumerate(zip(rows["filename"], rows["captions"], strict=True)):
                filename = PurePosixPath(str(name)).name
                read = _reader(path, row, filename)
                images.append(RsicdImage(filename, number + row, label_of(filename), _five(captions, filename), read))
        number += len(rows["filename"])
    return images


def _split_of(name: Any, root: Path) -> Split:
    if not isinstance(name, str) or name not in _SPLITS:
        raise InputError(f"RSICD in {root} has a part {name!r}; its parts are train, val (or valid) and test.")
    return _SPLITS[name]


def _five(captions: Any, filename: str) -> tuple[str, ...]:
    """The first five captions; where there are fewer, the last is repeated."""
    if not isinstance(captions, list) or not captions or not all(isinstance(caption, str) and caption.strip() for caption in captions):
        raise InputError(f"The picture {filename} of RSICD has no caption, or an empty one; fetch the data set again.")
    return tuple(normal_caption(captions[min(number, len(captions) - 1)]) for number in range(CAPTIONS))


def _reader(path: Path, row: int, filename: str) -> Callable[[], bytes]:
    def read() -> bytes:
        data = _pictures(path)[row].as_py()
        if not isinstance(data, bytes):
            raise InputError(f"The picture {filename} of RSICD is missing in {path.name}; fetch the file again.")
        return data

    return read


@lru_cache(maxsize=8)
def _pictures(path: Path) -> Any:
    """The encoded pictures of a parquet file, by row; they are kept, as training asks for them in any order."""
    column = _arrow(path, ("image",))["image"]
    import pyarrow.compute

    try:
        return pyarrow.compute.struct_field(column, "bytes")
    except (KeyError, TypeError, pyarrow.ArrowException) as error:
        raise InputError(f"{path} holds its pictures in another way than RSICD's mirror; fetch it again.") from error


def _table(path: Path, columns: tuple[str, ...]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = _arrow(path, columns).to_pydict()
    return found


def _arrow(path: Path, columns: tuple[str, ...]) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise InputError('The parquet mirror of RSICD is read with pyarrow; install it (pip install "rsgeo[data]").') from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if missing := [column for column in columns if column not in file.schema_arrow.names]:
                raise InputError(f"{path} has no column {missing[0]}; it is no file of RSICD's mirror.")
            return file.read(columns=list(columns))
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"{path} is no parquet file that can be read ({error}); fetch it again.") from error
