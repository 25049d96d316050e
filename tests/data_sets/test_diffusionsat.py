"""The data sets of DiffusionSat against captions, numbers and pictures that the original code gave."""

from __future__ import annotations

import json
import random
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file

from rsgeo import encoding
from rsgeo.data.diffusionsat import fmow, pictures
from rsgeo.data.diffusionsat.example import Adapter, metadata_in_words
from rsgeo.data.diffusionsat.fmow import fmow_superres, fmow_temporal, frames_of, read_places
from rsgeo.data.diffusionsat.satlas import satlas
from rsgeo.data.diffusionsat.spacenet import spacenet
from rsgeo.data.diffusionsat.texas import texas
from rsgeo.data.diffusionsat.xbd import xbd
from rsgeo.errors import InputError
from rsgeo.scene import DateValue, SceneMetadata, Value

DATA = Path(__file__).parents[1] / "data" / "diffusionsat" / "data"
CASES = json.loads((DATA / "adapters.json").read_text(encoding="utf-8"))
PLACES = read_places(DATA / "fmow_meta_sample.csv")
ZOO = {("zoo", 1, 1): (-70.0, -33.0)}  # its caption is a case, its place is not
ARRAYS = load_file(DATA / "preprocessing.safetensors")
SQUARE = [16, 16, 3]


def blank(shape: list[int]) -> NDArray[np.uint8]:
    return np.zeros(shape, np.uint8)


def case(dataset: str, record: dict[str, Any], args: dict[str, Any]) -> tuple[dict[str, Any], Adapter]:
    """The sample of a case in the published layout, with blank pictures, and the adapter with what the case tells it."""
    sample, shape = dict(record), args.get("shape") or args.get("rgb_shape") or record.get("shape") or SQUARE
    if dataset == "fmow":
        return {**sample, "input.npy": blank(shape)}, partial(fmow.fmow, places={**PLACES, **ZOO})
    if dataset == "spacenet":
        return {**sample, "rgb.npy": blank(shape)}, spacenet
    if dataset == "satlas":
        scale = {} if args.get("scale_factor") is None else {"scale_factor": args["scale_factor"]}
        targets = {**record["targets"], **scale}
        return {"__key__": record["__key__"], "info.json": record["info"], "targets.json": targets, "rgb.npy": blank(record["rgb_shape"])}, satlas
    if dataset == "texas":
        target = args.get("img_key", "tif.rgb-2018.npy")
        pair = {"tif.rgb-2016.npy": blank(shape), "tif.rgb-2018.npy": blank(shape)}
        return {**sample, **pair, target: blank(shape)}, partial(texas, task="past" if target == "tif.rgb-2016.npy" else "future")
    pair = {"pre-input.npy": blank(shape), "post-input.npy": blank(shape)}
    return {**sample, **pair}, partial(xbd, task="past" if args["md_key"].startswith("pre") else "future")


def words_of(group: dict[str, Any]) -> str:
    return f"{group['dataset']}-{group['record'].get('info', {}).get('task_name') or group['record'].get('__key__') or ''}"


@pytest.mark.parametrize("group", CASES["captions"], ids=words_of)
def test_captions(group: dict[str, Any]) -> None:
    sample, adapter = case(group["dataset"], group["record"], group["args"])
    for drop, seed, caption in group["captions"]:
        arguments = {} if drop is None else {"drop": drop}
        assert partial(adapter, **arguments)(sample, 256, random.Random(seed)).caption == caption


SATLAS = next(group["record"] for group in CASES["captions"] if group["dataset"] == "satlas")


@pytest.mark.parametrize("group", CASES["numbers"], ids=lambda group: f"{group['dataset']}-{str(group['record'])[:40]}")
def test_numbers(group: dict[str, Any]) -> None:
    for args, expected in group["numbers"]:
        record = SATLAS if group["dataset"] == "satlas" else group["record"]
        sample, adapter = case(group["dataset"], record, args)
        key = args.get("img_key", "")
        if "sentinel" in key:
            example = partial(texas, task="future")({**sample, key: sample["tif.rgb-2016.npy"]}, args["target_resolution"], random.Random(0))
            scene = example.conditions[1].scene
        else:
            scene = adapter(sample, args["target_resolution"], random.Random(0)).scene
        np.testing.assert_allclose(encoding.diffusionsat(scene), expected, rtol=1e-6, atol=1e-4)


FMOW = next(group["record"] for group in CASES["captions"] if group["dataset"] == "fmow")


def test_superres_sees_ten_bands_and_a_gsd_of_10_m() -> None:
    record = {**FMOW, "rgb.npy": blank(FMOW["shape"]), "multispectral.npy": ARRAYS["ms_input"]}
    example = fmow_superres(record, 512, random.Random(0), places=PLACES, condition_side=16, drop=0)
    (view,) = example.conditions
    np.testing.assert_allclose(encoding.diffusionsat(view.scene), CASES["superres_condition"][0]["normalized"], rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(view.image, ARRAYS["ms_resized_16"], atol=1e-5)
    assert example.image.shape == (3, 512, 512)
    assert fmow_superres(record, 32, random.Random(0), places=PLACES).conditions[0].image.shape == (10, 16, 16)


def test_bands_of_superres() -> None:
    scaled = pictures.sentinel_bytes(ARRAYS["ms_input"])
    np.testing.assert_array_equal(scaled, ARRAYS["ms_normalized_u8"])
    unit = np.moveaxis(scaled[:, :, pictures.SUPERRES_BANDS], 2, 0).astype(np.float32) / np.float32(255)
    np.testing.assert_allclose(unit, ARRAYS["ms_dropped"], atol=1e-7)


@pytest.mark.parametrize("side", [16, 48])
def test_targets(side: int) -> None:
    np.testing.assert_allclose(pictures.target(ARRAYS["rgb_input_u8"], side), ARRAYS[f"target_{side}"], atol=1e-5)


def test_conditions_stay_between_0_and_1() -> None:
    np.testing.assert_allclose(pictures.condition(ARRAYS["rgb_input_u8"], 16), ARRAYS["cond_16"], atol=1e-5)


def test_spacenet_stretches_what_is_not_bytes() -> None:
    counts = ARRAYS["percentile_input_i32"]
    np.testing.assert_allclose(pictures.stretched(counts), ARRAYS["percentile_per_channel_f64"], atol=1e-9)
    record = {"__key__": "SN_spacenet_train_paris_img0001", "metadata.json": {"features": []}}
    for array in (counts, np.moveaxis(counts, 2, 0)):
        example = spacenet({**record, "rgb.npy": array}, 16, random.Random(0))
        np.testing.assert_allclose(example.image, ARRAYS["percentile_then_target_16_f64"], atol=1e-5)


@pytest.mark.parametrize("selection", json.loads((DATA / "temporal_selection.json").read_text()), ids=lambda row: f"{row['num_frames']}")
def test_dates_of_a_series(selection: dict[str, Any]) -> None:
    sample = dict.fromkeys(selection["available"], 0)
    frames = frames_of(sample, selection["num_frames"], random.Random(selection["random_seed"]) if selection["is_random"] else None)
    assert [metadata for _, metadata in frames] == selection["metadata_keys"]
    assert [float(image.split("-")[1].split(".")[0]) for image, _ in frames] == selection["frame_values"]


def test_a_series_has_a_scene_for_each_date_and_the_caption_of_the_first() -> None:
    series: dict[str, Any] = {"output.cls": 3}
    for number, country in enumerate(("AUS", "IN", "FR", "DE")):
        metadata = {**FMOW["metadata.json"], "timestamp": f"201{number}-02-11T00:41:22Z", "country_code": country}
        series |= {f"input-{number}.npy": np.full((32, 32, 3), 60 * number, np.uint8), f"metadata-{number}.json": metadata}
    example = fmow_temporal(series, 16, random.Random(1), places=PLACES, drop=0)
    years = [int(scene.date.value[3]) for scene in (example.scene, *(view.scene for view in example.conditions)) if scene.date]
    assert example.caption == "a fmow satellite image of a amusement park in Australia"
    assert sorted(years) == [0, 1, 2, 3] and years != [0, 1, 2, 3]
    for year, view in zip(years[1:], example.conditions, strict=True):
        np.testing.assert_allclose(view.image, 60 * year / 255, atol=1e-6)
    np.testing.assert_allclose(example.image, 2 * 60 * years[0] / 255 - 1, atol=1e-6)


def test_texas_is_seen_from_the_other_year_and_from_sentinel_2() -> None:
    record = next(group["record"] for group in CASES["captions"] if group["dataset"] == "texas")
    greys = {"tif.rgb-2016.npy": 10, "tif.rgb-2018.npy": 20, "tif.sentinel-2016.npy": 30, "tif.sentinel-2018.npy": 40}
    sample = {**record, **{key: np.full((224, 224, 3), grey, np.uint8) for key, grey in greys.items()}}
    example = texas(sample, 256, random.Random(0), task="future")
    assert [round(float(view.image.mean()) * 255) for view in example.conditions] == [10, 30, 40]
    assert [view.scene.gsd.value for view in example.conditions if view.scene.gsd] == [0.875, 8.75, 8.75]  # as the published notebook says
    assert {texas(sample, 16, random.Random(seed)).scene.date.value[:4] for seed in range(9)} == {"2016", "2018"}  # type: ignore[union-attr]


def test_xbd_is_seen_from_the_other_date() -> None:
    record = next(group["record"] for group in CASES["captions"] if group["dataset"] == "xbd")
    sample = {**record, "pre-input.npy": np.full((32, 32, 3), 51, np.uint8), "post-input.npy": np.full((32, 32, 3), 102, np.uint8)}
    example = xbd(sample, 16, random.Random(0), task="past")
    assert float(example.conditions[0].image.mean()) == pytest.approx(0.4) and float(example.image.mean()) == pytest.approx(-0.6)
    assert example.conditions[0].scene.date is not None and example.conditions[0].scene.date.value == "2018-06-06"


@pytest.mark.parametrize("row", json.loads((DATA / "text_metadata.json").read_text()), ids=lambda row: str(row["metadata"][4]))
def test_metadata_in_words(row: dict[str, Any]) -> None:
    lon, lat, gsd, _, year, month, day = row["metadata"]
    date = DateValue(value=f"{year:04.0f}-{month:02.0f}-{day:02.0f}", precision="day", source="test") if year and month and day else None
    lon, lat, gsd = (Value(value=value, source="test") for value in (lon - 180, lat - 90, gsd))
    assert metadata_in_words(row["caption"], SceneMetadata(lon=lon, lat=lat, gsd=gsd, date=date)) == row["text"]


@given(height=st.integers(1, 60), width=st.integers(1, 60), side=st.integers(1, 40))
def test_a_grey_picture_of_any_size_stays_grey(height: int, width: int, side: int) -> None:
    np.testing.assert_allclose(pictures.condition(np.full((height, width, 3), 51, np.uint8), side), np.full((3, side, side), 0.2), atol=1e-6)


def changed(sample: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {**sample, **{key.replace("__", "."): value for key, value in members.items()}}


def test_faults_are_named() -> None:
    sample, adapter = case("fmow", FMOW, {})
    metadata = FMOW["metadata.json"]

    def refused(message: str, faulty: dict[str, Any], adapter: Adapter = adapter) -> None:
        with pytest.raises(InputError, match=message):
            adapter(faulty, 16, random.Random(0))

    sample["__key__"] = "fmow-7"
    refused("fmow-7 has no input.npy", {key: value for key, value in sample.items() if key != "input.npy"})
    refused("fmow-7 has no metadata.json/gsd", changed(sample, metadata__json={key: value for key, value in metadata.items() if key != "gsd"}))
    refused("'much' for metadata.json/gsd, which is no number", changed(sample, metadata__json={**metadata, "gsd": "much"}))
    refused("date '2017-02-31", changed(sample, metadata__json={**metadata, "timestamp": "2017-02-31T00:00:00Z"}))
    refused(
        "image 4 of amusement_park 12, which the metadata CSV lacks", changed(sample, metadata__json={**metadata, "img_filename": "a_12_4_rgb.jpg"})
    )
    refused("classes 0 to 61", changed(sample, output__cls=62))
    refused(r"must be \(height, width, 3\)", changed(sample, input__npy=blank([16, 16, 4])))
    sample, adapter = case("satlas", SATLAS, {})
    refused("names 2 pictures and holds 1", changed(sample, rgb__npy=blank([1, 64, 64, 3])), adapter)
    refused("none of the task 'airplane'", changed(sample, targets__json={"labels": [9], "boxes": [[0, 0, 1, 1]]}), adapter)
    refused("the task 'treasure'", changed(sample, info__json={**sample["info.json"], "task_name": "treasure"}), adapter)
    refused("does not tell its place", {**sample, "__key__": "satlas"}, adapter)
    paris = {"__key__": "SN_spacenet_train_paris_img1", "metadata.json": {"features": [{"geometry": {"type": "Point"}}]}, "rgb.npy": blank(SQUARE)}
    refused("no GeoJSON geometry", paris, spacenet)
    far = {"geometry": {"type": "Point", "coordinates": [200.0, 10.0]}}
    refused("lon 200, lat 10, which is not on the Earth", {**paris, "metadata.json": {"features": [far]}}, spacenet)
    refused("its place is unknown", {**paris, "__key__": "SN_spacenet_train_atlantis_img1", "metadata.json": {}}, spacenet)


def test_places_name_each_image_once(tmp_path: Path) -> None:
    text = (DATA / "fmow_meta_sample.csv").read_text()
    twice = tmp_path / "twice.csv"
    twice.write_text(text + text.splitlines()[1] + "\n")
    with pytest.raises(InputError, match="names an image twice"):
        read_places(twice)
    bad = tmp_path / "bad.csv"
    bad.write_text("category,location_id,image_id,polygon\nzoo,1,1,POLYGON((0 0, 1\n")
    with pytest.raises(InputError, match="no fMoW metadata CSV"):
        read_places(bad)
