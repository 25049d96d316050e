"""RSICD in each of its layouts, made here: nothing of the data set itself."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rsgeo.data import rsicd
from rsgeo.errors import InputError, RsgeoWarning

PARTS: dict[str, list[str]] = {
    "train": ["airport_1.jpg", "airport_2.jpg", "00623.jpg"],
    "test": ["storage_tanks_3.jpg"],
    "val": ["pond_9.jpg", "pond_10.jpg"],
}
GREYS = {name: 20 + 30 * number for number, name in enumerate(name for names in PARTS.values() for name in names)}

pytestmark = pytest.mark.filterwarnings("ignore:RSICD in .* pictures in the part")


def jpeg(grey: int) -> bytes:
    blob = io.BytesIO()
    Image.new("RGB", (24, 20), (grey, grey, grey)).save(blob, "JPEG")
    return blob.getvalue()


def sentences(name: str, count: int = 5) -> list[str]:
    return [f"Sentence {n} of {name.partition('.')[0]}." for n in range(1, count + 1)]


def rows() -> list[dict[str, Any]]:
    listed = [(part, name) for part, names in PARTS.items() for name in names]
    return [{"filename": name, "split": part, "imgid": number} for number, (part, name) in enumerate(listed)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "RSICD_images").mkdir()
    for name, grey in GREYS.items():
        (tmp_path / "RSICD_images" / name).write_bytes(jpeg(grey))
    return tmp_path


def write_csv(root: Path, table: list[dict[str, Any]]) -> None:
    with (root / "dataset_rsicd.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["filename", "split", "imgid", *(f"sent{n}" for n in range(1, 6)), "label"])
        writer.writeheader()
        for row in table:
            writer.writerow({**row, **{f"sent{n}": text for n, text in enumerate(sentences(row["filename"]), 1)}, "label": "?"})


def write_json(root: Path, table: list[dict[str, Any]]) -> None:
    images = [{**row, "sentences": [{"raw": text} for text in sentences(row["filename"])]} for row in table]
    (root / "dataset_rsicd.json").write_text(json.dumps({"dataset": "rsicd", "images": images}))


def write_mirror(root: Path, **changes: Any) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    (root / "data").mkdir(exist_ok=True)
    for part, names in PARTS.items():
        columns = {
            "filename": [f"rsicd_images/{name}" for name in names],
            "captions": [sentences(name, 3 if name == "airport_2.jpg" else 7) for name in names],
            "image": [{"bytes": jpeg(GREYS[name]), "path": None} for name in names],
        }
        columns = {key: value for key, value in {**columns, **changes}.items() if value is not None}
        parquet.write_table(pyarrow.table(columns), root / "data" / f"{'valid' if part == 'val' else part}-00000-of-00001.parquet")


@pytest.mark.parametrize("write", [write_csv, write_json])
@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_folders(folder: Path, write: Any, part: Any) -> None:
    write(folder, rows())
    images = rsicd.read_split(folder, part)
    assert [image.filename for image in images] == PARTS[part]
    for image in images:
        assert image.captions == tuple(f"sentence {n} of {image.filename.partition('.')[0]} ." for n in range(1, 6))
        pixels = rsicd.read_pixels(image)
        assert pixels.shape == (20, 24, 3) and pixels.dtype == np.uint8 and abs(int(pixels.mean()) - GREYS[image.filename]) <= 1
    assert [rows()[image.image_id]["filename"] for image in images] == PARTS[part]


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_the_mirror(tmp_path: Path, part: Any) -> None:
    write_mirror(tmp_path)
    images = rsicd.read_split(tmp_path, part)
    assert [image.filename for image in images] == PARTS[part]
    assert [image.image_id for image in images] == {"train": [0, 1, 2], "test": [3], "val": [4, 5]}[part]
    for image in images:
        assert abs(int(rsicd.read_pixels(image).mean()) - GREYS[image.filename]) <= 1 and len(image.captions) == 5
        assert image.captions[4] == f"sentence {3 if image.filename == 'airport_2.jpg' else 5} of {image.filename.partition('.')[0]} ."


def test_a_part_that_is_not_the_official_one_is_told(folder: Path) -> None:
    write_csv(folder, rows())
    with pytest.warns(RsgeoWarning, match="1 pictures in the part 'test', the official one 1093"):
        rsicd.read_split(folder, "test")


def test_the_official_split_is_silent(folder: Path, recwarn: pytest.WarningsRecorder) -> None:
    names = [f"pond_{number}.jpg" for number in range(rsicd.OFFICIAL["test"])]
    for name in names:
        (folder / "RSICD_images" / name).touch()
    write_csv(folder, [{"filename": name, "split": "test", "imgid": number} for number, name in enumerate(names)])
    assert len(rsicd.read_split(folder, "test")) == 1093 and not recwarn.list
    assert sum(rsicd.OFFICIAL.values()) == 10921


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("airport_12.jpg", "airport"),
        ("baseballfield_1.jpg", "baseballfield"),
        ("00623.jpg", "00623"),
        ("storage_tanks_3.jpg", "storage_tanks"),
        ("a_b_c_10.jpeg", "a_b_c"),
        ("noext", "noext"),
        ("dotted.name_2.jpg", "dotted.name"),
    ],
)
def test_labels_as_the_original_reads_them(name: str, label: str) -> None:
    assert rsicd.label_of(name) == label


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("Many planes are parked next to a long building in an airport.", "many planes are parked next to a long building in an airport ."),
        ("many planes are parked .", "many planes are parked ."),
        ("  Some boats IN the port  ", "some boats in the port"),
        ("A river, with trees..", "a river, with trees. ."),
        ("A pond .  ", "a pond ."),
        ("Two stadiums. One road.", "two stadiums. one road ."),
        (".", " ."),
        (" . ", " ."),
        ("Ends with space before period  .", "ends with space before period  ."),
        ("Is it a park?", "is it a park?"),
        ("Éven Àccents.", "éven àccents ."),
    ],
)
def test_captions_as_the_original_writes_them(typed: str, normal: str) -> None:
    assert rsicd.normal_caption(typed) == normal


def test_a_picture_that_is_missing_or_damaged_is_named(folder: Path, tmp_path: Path) -> None:
    write_csv(folder, rows())
    (folder / "RSICD_images" / "pond_9.jpg").write_bytes(jpeg(9)[:100])
    broken, sound = rsicd.read_split(folder, "val")
    with pytest.raises(InputError, match=r"pond_9\.jpg of RSICD cannot be read"):
        rsicd.read_pixels(broken)
    assert rsicd.read_pixels(sound).shape == (20, 24, 3)
    (folder / "RSICD_images" / "pond_9.jpg").unlink()
    with pytest.raises(InputError, match=r"pond_9\.jpg of RSICD is missing"):
        rsicd.read_split(folder, "val")
    (folder / "RSICD_images" / "pond_9.jpg").write_text("<html>not found</html>")
    with pytest.raises(InputError, match=r"pond_9\.jpg of RSICD cannot be read"):
        rsicd.read_pixels(rsicd.read_split(folder, "val")[0])


def test_no_name_leads_out_of_the_folder(folder: Path) -> None:
    (folder / "secret.jpg").write_bytes(jpeg(1))
    for name in ("../secret.jpg", "/etc/hostname", "..", ""):
        write_csv(folder, [{"filename": name, "split": "test", "imgid": 0}])
        with pytest.raises(InputError, match="which is no name of a file"):
            rsicd.read_split(folder, "test")


def test_a_list_that_is_damaged_is_one_sentence(folder: Path) -> None:
    table = rows()
    for faulty, message in [
        (table + table[:1], r"airport_1\.jpg 2 times"),
        ([{**table[0], "split": "holdout"}], "a part 'holdout'"),
        (table[-1:], "no picture of the part 'train'"),
        ([{**table[0], "imgid": "first"}], "is damaged"),
    ]:
        write_csv(folder, faulty)
        with pytest.raises(InputError, match=message):
            rsicd.read_split(folder, "train")
    (folder / "dataset_rsicd.csv").unlink()
    for text in ("{", "[]", '{"images": [{"filename": "a.jpg"}]}', "[" * 100_000):
        (folder / "dataset_rsicd.json").write_text(text)
        with pytest.raises(InputError, match="is damaged"):
            rsicd.read_split(folder, "train")
    (folder / "dataset_rsicd.json").unlink()
    with pytest.raises(InputError, match="holds no RSICD"):
        rsicd.read_split(folder, "train")


def test_a_mirror_that_is_damaged_is_one_sentence(tmp_path: Path) -> None:
    write_mirror(tmp_path, captions=None)
    with pytest.raises(InputError, match="has no column captions"):
        rsicd.read_split(tmp_path, "test")
    write_mirror(tmp_path)
    (tmp_path / "data" / "test-00000-of-00001.parquet").write_bytes(b"PAR1" + bytes(40))
    with pytest.raises(InputError, match="is no parquet file that can be read"):
        rsicd.read_split(tmp_path, "test")
