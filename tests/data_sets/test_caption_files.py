"""Captions from text, tables and RSICD's list, and which of them are drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rsgeo.data import caption_files
from rsgeo.data.caption_files import draw, read_captions
from rsgeo.errors import InputError

TABLE = 'filename,split,sent1,sent2\na.jpg,test,"a river, wide",x\nb.jpg,train,a field,y\nc.jpg,test,"a ""pond""\nand trees",\n'


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rsicd(folder: Path, **changes: object) -> Path:
    image = {"filename": "a.jpg", "split": "test", "imgid": 0, "sentences": [{"raw": "A River."}, {"raw": "water ."}], **changes}
    return written(folder, "dataset_rsicd.json", json.dumps({"images": [image, {**image, "split": "val", "sentences": [{"raw": "a wood ."}]}]}))


def test_text_is_a_caption_a_line(tmp_path: Path) -> None:
    path = written(tmp_path, "captions.txt", "\ufeffA river, wide.\r\n\r\n  été\u2028au lac \r\n")
    assert read_captions(path) == ["A river, wide.", "été au lac"]


def test_a_table_by_split_and_column(tmp_path: Path) -> None:
    path = written(tmp_path, "dataset.csv", TABLE)
    assert read_captions(path) == ["a river, wide", "a field", 'a "pond" and trees']
    assert read_captions(path, split="test") == ["a river, wide", 'a "pond" and trees']
    assert read_captions(path, split="train", column="sent2") == ["y"]


def test_a_table_needs_no_split_where_none_is_asked_for(tmp_path: Path) -> None:
    assert read_captions(written(tmp_path, "a.CSV", "caption\na lake\n"), column="caption") == ["a lake"]


def test_the_list_of_rsicd_reads_as_its_table(tmp_path: Path) -> None:
    path = rsicd(tmp_path)
    assert read_captions(path) == ["a river .", "a wood ."]
    assert read_captions(path, split="test", column="sent5") == ["water ."]  # the last is repeated where there are fewer than five
    assert read_captions(path, split="val") == ["a wood ."]


@pytest.mark.parametrize(
    ("name", "content", "how", "message"),
    [
        ("captions.txt", "", {}, "captions.txt holds no captions"),
        ("captions.txt", "a\n", {"split": "test"}, "has no splits"),
        ("captions.txt", "a\n", {"column": "sent1"}, "has no columns"),
        ("captions.txt", b"\xff\xfe\x00", {}, "cannot be read as text in UTF-8"),
        ("captions.txt", "a\nb\x00c\n", {}, "number 2 holds control characters"),
        ("a.csv", TABLE, {"split": "val"}, "no captions of the split 'val'; it has 2 of 'test', 1 of 'train'"),
        ("a.csv", TABLE, {"column": "caption"}, "no column 'caption'; it has filename, split, sent1, sent2"),
        ("a.csv", "sent1\na\n", {"split": "test"}, "no column 'split'"),
        ("a.csv", TABLE, {"column": "sent2"}, "has 3 captions, and number 3 is empty"),
        ("a.csv", "filename,sent1\na.jpg\n", {}, "number 1 is empty"),
        ("a.csv", 'sent1\n"a\n', {}, "no table that can be read"),
        ("a.csv", "", {}, "no column 'sent1'; it has none"),
        ("a.json", '{"images": [{}]}', {}, "is damaged"),
        ("a.json", "[" * 100_000, {}, "is damaged"),
        ("a caption, not a file, " * 20, None, {}, "cannot be read .*give the name of a file with captions"),
        ("missing.txt", None, {}, "There is no file .*missing.txt with captions"),
    ],
)
def test_what_holds_no_captions_is_refused(tmp_path: Path, name: str, content: str | bytes | None, how: dict[str, str], message: str) -> None:
    if content is not None:
        written(tmp_path, name, content)
    with pytest.raises(InputError, match=message):
        read_captions(tmp_path / name, **how)


@pytest.mark.parametrize(("changes", "message"), [({"split": ["test"]}, "its parts are"), ({"sentences": [{"raw": "\ud800"}]}, "control characters")])
def test_a_list_that_is_odd_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_captions(rsicd(tmp_path, **changes))
    with pytest.raises(InputError, match="no column 'sent6'"):
        read_captions(rsicd(tmp_path), column="sent6")


def test_a_file_too_large_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption_files, "LARGEST_FILE", 3)
    with pytest.raises(InputError, match="too large"):
        read_captions(written(tmp_path, "captions.txt", "a lake"))


def test_the_draw_is_that_of_the_original() -> None:
    """``pandas.DataFrame.sample(n, random_state=17)`` over 1093 rows, as recorded with RSDiff's code; a smaller draw begins a larger one."""
    rows = [str(number) for number in range(1093)]
    whole = draw(rows, 1093, 17)
    first = [854, 624, 894, 912, 929, 18, 64, 913, 983, 667, 643, 676, 590, 427, 200, 535]
    assert whole[:16] == [str(row) for row in first] and whole[-4:] == ["752", "406", "143", "623"]
    assert draw(rows, 64, 17)[-4:] == ["821", "28", "25", "933"] and draw(rows, 64, 17) == whole[:64]
    assert sorted(whole) == sorted(rows) and draw(rows, 16, 18) != whole[:16]
    pandas = pytest.importorskip("pandas")
    assert pandas.DataFrame({"sent1": rows}).sample(200, random_state=np.int64(5))["sent1"].tolist() == draw(rows, 200, 5)


def test_no_more_are_drawn_than_there_are() -> None:
    with pytest.raises(InputError, match="There are 2 captions, fewer than --n 3"):
        draw(["a", "b"], 3, 0)
