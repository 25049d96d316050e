"""Predict on real aerial series whose grids shift between dates: the grid, what the model sees and the bars are right, whatever it paints."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from rasterio.warp import calculate_default_transform, reproject

import rsgeo
from rsgeo.cli import main
from rsgeo.errors import InputError, ModelError, RsgeoWarning
from rsgeo.geo import grid, provenance, reference
from rsgeo.request import Ask, Reference
from rsgeo.scene import Value
from rsgeo.tasks import references, report
from rsgeo.tasks.predict import resolve_prediction
from rsgeo.worker import tasks as worker_tasks

SERIES = Path(__file__).parents[1] / "data" / "rasters" / "series"
NAIP = {
    year: SERIES / f"m_4709963_se_14_1_{day}_cut.tif"
    for year, day in ((2010, "20100629"), (2015, "20150926"), (2017, "20170827"), (2019, "20190904"))
}
REFERENCES, TRUTH = (NAIP[2010], NAIP[2017], NAIP[2019]), NAIP[2015]
QUICK = {"date": "2015-09-26", "num_inference_steps": 1, "guidance_scale": 1.0, "model": "tiny-texas"}
CPU = rsgeo.Runtime(device="cpu", dtype="fp32", batch_size=2)

pytestmark = pytest.mark.usefixtures("condition_models_at_hand")


def stored(path: Path, *bands: int) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read(bands or None)


def test_the_request_holds_the_series_on_the_grid_nearest_in_time() -> None:
    resolved = resolve_prediction(REFERENCES, Ask(**QUICK))
    request = resolved.request
    assert request.task == "predict" and request.scene.date is not None and request.scene.date.value == "2015-09-26"
    assert request.grid == reference.grid_of(NAIP[2017]) != reference.grid_of(NAIP[2010])
    assert [one.name for one in request.references] == [path.name for path in REFERENCES]
    for one, year in zip(request.references, (2010, 2017, 2019), strict=True):
        assert (one.role, one.bands, one.stretch) == ("series", (1, 2, 3), ((0.0, 255.0),) * 3)
        assert one.date is not None and one.date.value.startswith(str(year))
        assert one.gsd is not None and one.gsd.value == pytest.approx(5, rel=1e-2)


def test_the_model_sees_each_image_in_its_place() -> None:
    """That of the grid is itself; one whose grid lies off by parts of a pixel is weighted by area, never taken by its index."""
    resolved = resolve_prediction(REFERENCES, Ask(**QUICK))
    cells = resolved.request.grid
    level = SimpleNamespace(scale=1, tile=64, conditioning_scale=Fraction(1))
    at = references.seen_at(resolved.request, resolved.files, resolved.record, level, lambda xs, ys: [rsgeo.SceneMetadata()] * len(xs))
    assert at is not None
    (one,) = at([(cells.row, cells.col)])
    assert one.pixels.shape == (3, 3, 64, 64) and one.mask[1].all()
    assert np.allclose(one.pixels[1], stored(NAIP[2017], 1, 2, 3) / 255, rtol=0, atol=1e-6)
    box, own = grid.geobox(cells).affine, grid.geobox(reference.grid_of(NAIP[2010])).affine
    right, down = (box.c - own.c) / 5, (own.f - box.f) / 5
    assert (right, down) != (0, 0) and max(abs(right), abs(down)) < 1
    pixels = stored(NAIP[2010], 1, 2, 3) / 255
    across = (1 - right % 1) * pixels + right % 1 * np.roll(pixels, -1, axis=2)
    both = (1 - down % 1) * across + down % 1 * np.roll(across, -1, axis=1)
    moved = np.roll(both, (-int(np.floor(down)), -int(np.floor(right))), axis=(1, 2))
    assert np.allclose(one.pixels[0][:, 2:-2, 2:-2], moved[:, 2:-2, 2:-2], rtol=0, atol=1e-5)
    assert [scene.date.value[:4] for scene in one.scenes if scene.date] == ["2010", "2017", "2019"]


def test_a_prediction_is_printed_beside_plain_guesses(tmp_path: Path) -> None:
    out = tmp_path / "then.tif"
    result = rsgeo.predict(REFERENCES, out, truth=TRUTH, runtime=CPU, **QUICK)
    with rasterio.open(out) as dataset, rasterio.open(NAIP[2017]) as like:
        assert (dataset.crs, dataset.transform, dataset.shape) == (like.crs, like.transform, like.shape)
        assert dataset.tags()["RSGEO_TASK"] == "predict" and dataset.tags()["RSGEO_REQUESTED_DATE"] == "2015-09-26"
        assert (dataset.dataset_mask() > 0).all()
    assert result.report is not None
    found = result.report["prediction"]
    assert found["truth"] == TRUTH.name and {*found["errors"]} == {"prediction", "copy_previous", "copy_next", "linear_in_time", "mean_of_all"}
    assert json.loads(provenance.report_path(out).read_text()) == result.report
    item = json.loads(provenance.sidecar_paths(out)[0].read_text())
    assert item["properties"]["rsgeo:prediction"] == found
    assert item["properties"]["rsgeo:requested_datetime"] == "2015-09-26"


def test_errors_are_those_computed_by_hand(tmp_path: Path) -> None:
    """On one grid, without resampling: every number of the report, from the files alone."""
    same = []
    for path in (*REFERENCES, TRUTH):
        with rasterio.open(NAIP[2015]) as like, rasterio.open(tmp_path / path.name, "w", **like.profile) as dataset:
            dataset.write(stored(path))
        same.append(tmp_path / path.name)
    *series, truth = same
    result = rsgeo.predict(series, truth=truth, runtime=CPU, **QUICK)
    assert result.report is not None and result.pixels is not None
    known = stored(truth, 1, 2, 3).astype(float)
    first, second, third = (stored(path, 1, 2, 3).astype(float) for path in series)
    share = (np.datetime64("2015-09-26") - np.datetime64("2010-06-29")) / (np.datetime64("2017-08-27") - np.datetime64("2010-06-29"))
    guesses = {
        "prediction": result.pixels.astype(float), "copy_previous": first, "copy_next": second,
        "linear_in_time": (1 - share) * first + share * second, "mean_of_all": (first + second + third) / 3,
    }  # fmt: skip
    there = np.all([(stored(path) != 0).any(axis=0) for path in same], axis=0)
    expected = {name: np.abs(guess - known)[:, there].mean() for name, guess in guesses.items()}
    assert result.report["prediction"]["errors"] == pytest.approx(expected, abs=2e-3)


def test_clouds_are_no_bar_to_beat() -> None:
    cloudy = Value(value=71.0, source="stac:eo:cloud_cover")
    one, other = (
        Reference(role="series", sha256=letter * 64, name=letter, cloud_cover_percent=clouds) for letter, clouds in (("a", cloudy), ("b", None))
    )
    assert report._clear([one, other]) == [other]
    assert report._clear([one]) == [one]


def test_the_command_says_whether_the_picture_is_any_better(tmp_path: Path) -> None:
    options = [option for path in REFERENCES for option in ("--reference", str(path))]
    quick = ["--date", "2015-09-26", "--num-inference-steps", "1", "--guidance-scale", "1", "--model", "tiny-texas", "--batch-size", "2"]
    done = CliRunner().invoke(main, ["predict", *options, *quick, "--truth", str(TRUTH), str(tmp_path / "then.tif")])
    assert done.exit_code == 0, done.output
    assert f"of 255 grey levels against {TRUTH.name}" in done.output
    assert "copy of the date before" in done.output and "no better than" in done.output


def test_without_a_temporal_model_the_archives_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RSGEO_HOME", str(tmp_path / "empty"))
    with pytest.raises(ModelError, match=r"controlnet3d-mixattn_sd21_md7norm_texas\.zip") as error:
        resolve_prediction(REFERENCES, Ask(date="2015-09-26"))
    assert "(rsgeo models fetch diffusionsat-texas)" in str(error.value) and "finetune_sd21_sn-satlas-fmow_snr5_md7norm_bs64.zip" in str(error.value)
    assert "\n" not in str(error.value)


def test_another_crs_and_gsd_come_to_the_grid(tmp_path: Path) -> None:
    """The first image in degrees and coarser: it covers the grid, and is the finest no more."""
    path = tmp_path / "degrees.tif"
    with rasterio.open(NAIP[2017]) as dataset:
        transform, width, height = calculate_default_transform(dataset.crs, "EPSG:4326", 64, 64, *dataset.bounds, resolution=2e-4)
        profile = {"driver": "GTiff", "count": 4, "dtype": "uint8", "crs": "EPSG:4326", "transform": transform, "width": width, "height": height}
        with rasterio.open(path, "w", nodata=0, **profile) as out:
            pixels = np.zeros((4, height, width), np.uint8)
            reproject(dataset.read(), pixels, src_transform=dataset.transform, src_crs=dataset.crs, dst_transform=transform, dst_crs="EPSG:4326")
            out.write(pixels)
            out.descriptions = dataset.descriptions
    asked = Ask(**QUICK, reference_dates=("2017-08-27", "2010-06-29", "2019-09-04"))
    resolved = resolve_prediction([path, NAIP[2010], NAIP[2019]], asked)
    assert resolved.request.grid == reference.grid_of(NAIP[2019])
    assert [one.resampling for one in resolved.request.references] == ["bilinear", "average", "average"]
    level = SimpleNamespace(scale=1, tile=64, conditioning_scale=Fraction(1))
    at = references.seen_at(resolved.request, resolved.files, resolved.record, level, lambda xs, ys: [rsgeo.SceneMetadata()] * len(xs))
    assert at is not None
    (one,) = at([(resolved.request.grid.row, resolved.request.grid.col)])
    like = stored(NAIP[2017], 1, 2, 3) / 255
    assert one.mask[0].mean() > 0.8
    assert np.corrcoef(one.pixels[0][:, one.mask[0]].ravel(), like[:, one.mask[0]].ravel())[0, 1] > 0.7


def test_a_worker_is_asked_the_same() -> None:
    asked = {"task": "predict", "references": [str(path) for path in REFERENCES], "truth": str(TRUTH), "ask": dict(QUICK)}
    found = worker_tasks.resolve(asked)
    assert found.request == resolve_prediction(REFERENCES, Ask(**QUICK)).request
    assert found.truth is not None and found.truth[1] == TRUTH


def test_images_without_a_date_are_refused_unless_told(tmp_path: Path) -> None:
    path = Path(shutil.copy(NAIP[2010], tmp_path / "photo.tif"))
    with pytest.raises(InputError, match=r"photo\.tif does not say when it was taken; give --reference-date for each reference"):
        resolve_prediction([path, NAIP[2017], NAIP[2019]], Ask(**QUICK))
    told = resolve_prediction([path, NAIP[2017], NAIP[2019]], Ask(**QUICK, reference_dates=("2010-06", "2017-08-27", "2019-09-04")))
    assert [one.date.value for one in told.request.references if one.date] == ["2010-06", "2017-08-27", "2019-09-04"]


def test_images_of_another_place_are_refused_by_name() -> None:
    far = SERIES / "S2_L2A_31UDS_20180416T105619.tif"
    with pytest.raises(InputError, match=rf"{far.name} shows nothing of the area; leave it out"):
        resolve_prediction([far, NAIP[2017], NAIP[2019]], Ask(**QUICK))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"date": None}, "Say which date to paint"),
        ({"date": "soon"}, "soon"),
        ({"like": NAIP[2010]}, "like does not go with predict"),
        ({"gsd": "10"}, "--gsd 10 is not finer"),
        ({"reference_dates": ("2012-01-01",)}, "3 references and 1 dates of them"),
    ],
)
def test_what_cannot_be_is_one_sentence(asked: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        resolve_prediction(REFERENCES, Ask(**{**QUICK, **asked}))


def test_another_number_of_images_than_in_training_is_said() -> None:
    with pytest.warns(RsgeoWarning, match="learned from 3 images at a time and sees 2 here"):
        resolve_prediction(REFERENCES[:2], Ask(**QUICK))


def test_a_truth_of_another_date_is_said() -> None:
    with pytest.warns(RsgeoWarning, match="is of 2015-09-26, and 2013-01-01 is asked for"):
        resolve_prediction(REFERENCES, Ask(**{**QUICK, "date": "2013-01-01"}), truth=TRUTH)


def test_several_worlds_of_another_date() -> None:
    every = rsgeo.predict(REFERENCES, samples=2, samples_as="all", seed=5, runtime=CPU, **QUICK)
    alone = rsgeo.predict(REFERENCES, seed=6, runtime=CPU, **QUICK)
    assert every.pixels.shape[0] == 6 and np.array_equal(every.pixels[3:], alone.pixels) and not np.array_equal(every.pixels[:3], alone.pixels)
