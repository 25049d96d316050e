"""Baselines of dated series: copies, lines in time and means, against those computed apart from this package."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio

from rsgeo.geo import derive
from rsgeo.geo.series import baselines, day_of
from rsgeo.scene import DateValue

SHARED = Path(os.environ.get("RSGEO_SHARED_DATA", "missing")) / "series"
NAMES = {"copy_previous": "copy_previous", "copy_next": "copy_next", "linear_in_time": "linear_in_time", "mean_of_all": "mean_of_others"}


def test_guesses_lie_between_the_dates() -> None:
    images = np.arange(3.0)[:, None, None, None] * np.ones((1, 2, 2))
    assert {name: guess[0, 0, 0] for name, guess in baselines(images, [10, 20, 40], 25).items()} == {
        "copy_previous": 1, "copy_next": 2, "linear_in_time": 1.25, "mean_of_all": 1,
    }  # fmt: skip
    assert {*baselines(images, [10, 20, 40], 50)} == {"copy_previous", "mean_of_all"}
    assert {*baselines(images, [10, 20, 40], 5)} == {"copy_next", "mean_of_all"}


def test_the_order_of_the_images_does_not_matter() -> None:
    images = np.random.default_rng(0).random((4, 3, 5, 5))
    days = [30, 10, 40, 20]
    order = np.argsort(days)
    one, other = baselines(images, days, 25), baselines(images[order], sorted(days), 25)
    assert all(np.allclose(one[name], other[name]) for name in one)


def test_dates_of_any_precision_are_days() -> None:
    second, day, month = (
        day_of(DateValue(value=value, precision=precision, source="test"))
        for value, precision in (("2018-04-16T18:00:00Z", "second"), ("2018-04-16", "day"), ("2018-04", "month"))
    )
    assert (second - day, day - month) == (0.25, 1)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the real series")
@pytest.mark.parametrize("folder", ["s2_31UDS", "s2_slovenia", "naip_4709963"])
def test_baselines_of_the_real_series_are_those_computed_elsewhere(folder: str) -> None:
    truth = json.loads((SHARED / "expected.json").read_text())["series"][folder]
    clear = [name for name, facts in truth["files"].items() if facts.get("class", "clear") == "clear"]
    images, days = [], []
    for name in clear:
        with rasterio.open(SHARED / folder / name) as dataset:
            images.append(dataset.read().astype(np.float64))
        date = derive.scene_of_raster(SHARED / folder / name).date
        assert date is not None
        days.append(day_of(date))
    for number, name in enumerate(clear):
        others = [at for at in range(len(clear)) if at != number]
        guesses = baselines(np.stack([images[at] for at in others]), [days[at] for at in others], days[number])
        errors = {NAMES[guess]: np.abs(pixels - images[number]).mean() for guess, pixels in guesses.items()}
        assert errors == pytest.approx(truth["baselines_mae"]["per_date"][name], abs=0.006)
