"""A folder of pictures from captions: names, marks, and what counts as made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rsgeo.errors import InputError, OutputError
from rsgeo.geo.picture_folder import PictureFolder, name_of, slug
from rsgeo.geo.provenance import synthetic_state
from rsgeo.request import CaptionRequest, ModelRecord, Sampler

CAPTIONS = ("a river", "a wood", "Häuser, a road")
SAMPLER = Sampler(scheduler="ddim", num_inference_steps=2, guidance_scale=1.0)
RUN = {"rsgeo": "0.1.0", "device": "cpu"}


def folder_at(path: Path, **changes: Any) -> PictureFolder:
    usual: dict[str, Any] = {"model": ModelRecord(name="m", sha256="0" * 64), "captions": CAPTIONS, "sampler": SAMPLER, "seed": 3, "dtype": "float32"}
    return PictureFolder(path, CaptionRequest(**{**usual, **changes}))


def picture(grey: int = 90) -> Image.Image:
    return Image.fromarray(np.random.default_rng(grey).integers(0, 255, (16, 16, 3), np.uint8))


def filled(path: Path, **changes: Any) -> PictureFolder:
    folder = folder_at(path, **changes)
    folder.begin(RUN, overwrite=False)
    for index in range(len(folder.request.captions)):
        folder.write(index, picture(index), created=None, copyright=None, licence="CC0-1.0")
    folder.finish(2, title=["title"], created=None)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("there's a green pool like an airplane closing the house with a grey roof .", "there_s_a_green_pool_like_an_airplane_cl"),
        ("Many planes!! are -- parked", "many_planes_are_parked"),
        ("a", "a"),
        ("ÀÉ über 3 ponds", "àé_über_3_ponds"),
        (" ... ", ""),
    ],
)
def test_slugs_as_the_original(caption: str, expected: str) -> None:
    assert slug(caption) == expected


@pytest.mark.parametrize(("count", "digits"), [(1, 2), (9, 2), (10, 2), (16, 2), (100, 2), (101, 3), (1000, 3), (1093, 4), (10000, 4)])
def test_numbers_are_padded_as_by_the_original(count: int, digits: int) -> None:
    assert name_of(0, count, "a pond") == f"{'0' * digits}_a_pond.png"


@given(caption=st.text(max_size=200), index=st.integers(0, 2000))
def test_no_caption_leaves_the_folder(caption: str, index: int) -> None:
    name = name_of(index, 2001, caption)
    assert Path(name).name == name and name.startswith(f"{index:04d}_") and name.endswith(".png") and len(name.encode()) < 255 and "\\" not in name


def test_a_picture_carries_its_marks_and_what_made_it(tmp_path: Path) -> None:
    folder = filled(tmp_path / "out")
    assert names(folder.path) == ["00_a_river.png", "01_a_wood.png", "02_häuser_a_road.png", "_grid.png", "captions.txt", "sample.json"]
    assert (folder.path / "captions.txt").read_text(encoding="utf-8") == "a river\na wood\nHäuser, a road\n"
    for file in folder.path.glob("*.png"):
        with rasterio.open(file) as dataset:
            assert synthetic_state(dataset) == "ALL"
    with Image.open(folder.file(2)) as opened:
        text = opened.text  # type: ignore[attr-defined]
        np.testing.assert_array_equal(np.asarray(opened), np.asarray(picture(2)))
    assert text["Description"].startswith("SYNTHETIC IMAGE") and text["RSGEO_MODEL_LICENCE"] == "CC0-1.0"
    said = json.loads(text["RSGEO_SAMPLE"])
    assert (said["caption"], said["index"], said["seed"], said["model"]["name"]) == ("Häuser, a road", 2, 3, "m") and "captions" not in said


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_a_damaged_picture_is_still_to_be_made(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = filled(tmp_path_factory.mktemp("damaged") / "out")
    whole = folder.file(1).read_bytes()
    last = len(whole) - 13  # what follows is the empty chunk at the end
    if data.draw(st.booleans(), label="cut"):
        spoilt = whole[: data.draw(st.integers(0, last), label="length")]
    else:
        place = data.draw(st.integers(0, last), label="place")
        spoilt = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255), label="change")]) + whole[place + 1 :]
    folder.file(1).write_bytes(spoilt)
    assert folder.missing() == [1]


def test_only_pictures_of_the_request_count(tmp_path: Path) -> None:
    folder = filled(tmp_path / "out")
    assert folder.missing() == []
    folder.file(0).write_bytes(folder.file(1).read_bytes())
    folder.file(2).unlink()
    assert folder.missing() == [0, 2]
    assert folder_at(folder.path, seed=4).missing() == [0, 1, 2]


def test_what_a_killed_run_left_is_no_obstacle(tmp_path: Path) -> None:
    folder = folder_at(tmp_path)
    (tmp_path / ".sample.json.0123abcd.part").write_text("half")
    assert folder.check(overwrite=False) == {}
    folder.begin(RUN, overwrite=False)
    assert names(tmp_path) == ["captions.txt", "sample.json"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 4}, "seed 3, here 4"),
        ({"captions": CAPTIONS[:2]}, "3 captions, not these 2"),
        ({"captions": ("a lake", *CAPTIONS[1:])}, "other captions"),
        ({"model": ModelRecord(name="m", sha256="1" * 64)}, "model sha256 0000"),
        ({"sampler": SAMPLER.model_copy(update={"num_inference_steps": 9})}, "sampler num inference steps 2, here 9"),
        ({"dtype": "bfloat16"}, "dtype float32, here bfloat16"),
    ],
)
def test_pictures_of_other_settings_are_refused_and_overwritten_as_a_whole(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    filled(tmp_path / "out")
    other = folder_at(tmp_path / "out", **changes)
    with pytest.raises(OutputError, match=words):
        other.check(overwrite=False)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    other.check(overwrite=True)
    other.begin(RUN, overwrite=True)
    assert names(other.path) == ["captions.txt", "notes.txt", "sample.json"]


def test_the_same_request_is_told_who_began_it(tmp_path: Path) -> None:
    assert folder_at(tmp_path / "new").check(overwrite=False) == {}
    assert filled(tmp_path / "out").check(overwrite=False) == RUN


def test_places_that_are_no_place_for_samples(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="does not exist"):
        folder_at(tmp_path / "no" / "out").check(overwrite=True)
    with pytest.raises(OutputError, match="is not a folder"):
        folder_at(tmp_path / "file").check(overwrite=True)
    with pytest.raises(OutputError, match="cannot be used"):
        folder_at(tmp_path / ("x" * 300)).check(overwrite=True)
    with pytest.raises(OutputError, match="holds other files"):
        folder_at(tmp_path).check(overwrite=True)
    for content in ("{}", "not JSON", '{"request": {}, "run": {}}', "[" * 200_000):
        (tmp_path / "sample.json").write_text(content)
        with pytest.raises(InputError, match="is damaged; choose another folder"):
            folder_at(tmp_path).check(overwrite=True)
    assert names(tmp_path) == ["file", "sample.json"]
