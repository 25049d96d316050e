"""What a model is told of a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from rsgeo.cli import main
from rsgeo.geo.info import AreaInfo, describe
from rsgeo.hub import catalog
from rsgeo.scene import DateValue, SceneMetadata, Value
from rsgeo.tasks.told import Told, seen, told

ROOT = Path(__file__).parents[2]
NAIP = ROOT / "tests/data/rasters/naip/m_3211605_ne_11_060_20200415.tif"
MINI, LARGE = (catalog.about(name) for name in ("rsgeo-mini", "diffusionsat-512"))


def field(view: Told, name: str) -> dict[str, object]:
    return next(field for field in view.fields if field.name == name).model_dump()


class TestDiffusionSat:
    def test_known_fields_become_its_numbers(self) -> None:
        """By the formulas of the paper's code: (lon + 180) / 360, (year - 1980) / 120, month / 12, day / 31, each times 1000."""
        view = told(describe(NAIP), LARGE)
        place, date = field(view, "place"), field(view, "date")
        assert place["encoded"] == pytest.approx({"lon": (-116.381687 + 180) / 0.36, "lat": (32.971671 + 90) / 0.18}, abs=1e-3)
        assert date["raw"]["date"]["value"] == "2020-04-15"  # type: ignore[index]
        assert date["encoded"] == pytest.approx({"year": 40 / 0.12, "month": 4 / 0.012, "day": 15 / 0.031}, abs=1e-3)
        assert date["unknown_reads_as"] is None

    def test_unknown_is_zero_and_says_what_that_reads_as(self) -> None:
        view = told(AreaInfo(path="nowhere", kind="aoi"), LARGE)
        assert [set(one.encoded.values()) for one in view.fields] == [{0.0}] * 4
        assert [one.unknown_reads_as for one in view.fields] == ["lon -180, lat -90", "0 m", "the year 1980, month 0, day 0", "a clear sky"]


class TestMini:
    def test_what_it_was_not_taught_and_a_place_beyond_its_region_are_unknown(self) -> None:
        view = told(describe(NAIP), MINI)
        for name, taught in (("place", True), ("date", False), ("cloud_cover", False)):
            one = field(view, name)
            assert one["taught"] is taught and one["encoded"] == {name: None} and "learned" in str(one["unknown_reads_as"])
        assert field(view, "gsd")["seen"] == {"gsd": MINI.gsd_min}


@given(
    lon=st.none() | st.floats(-180, 180, exclude_max=True),
    lat=st.none() | st.floats(-90, 90),
    gsd=st.none() | st.floats(0.01, 1e4),
    dated=st.booleans(),
    model=st.sampled_from([MINI, LARGE]),
)
def test_a_model_sees_only_what_it_was_taught(
    lon: float | None, lat: float | None, gsd: float | None, dated: bool, model: catalog.CatalogRecord
) -> None:
    values = (None if number is None else Value(value=number, source="test") for number in (lon, lat, gsd))
    date = DateValue(value="2020-02-29", precision="day", source="test") if dated else None
    shown = seen(SceneMetadata(**dict(zip(("lon", "lat", "gsd"), values, strict=True)), date=date), model)
    assert (shown.lon is None) == (shown.lat is None)
    assert shown.gsd is None or model.gsd_min <= shown.gsd.value <= model.gsd_max
    assert shown.date == (date if "date" in model.trained_fields else None)


class TestInfoForModel:
    def test_says_raw_encoded_and_unknown(self) -> None:
        result = CliRunner().invoke(main, ["info", str(NAIP), "--for-model", "diffusionsat-512"])
        assert result.exit_code == 0, result.output
        for words in (
            "was taught place, gsd, date, cloud_cover",
            "lon 176.718, lat 683.176",
            "(not in the file): cloud_cover 0, that is a clear sky",
        ):
            assert words in result.stdout, words

    def test_as_json(self) -> None:
        plain, more = (
            json.loads(CliRunner().invoke(main, ["info", "--json", str(NAIP), *extra]).stdout) for extra in ([], ["--for-model", "rsgeo-mini"])
        )
        assert more.pop("for_model")["model"] == "rsgeo-mini" and more == plain

    def test_of_an_unknown_model(self) -> None:
        result = CliRunner().invoke(main, ["info", str(NAIP), "--for-model", "rsgeo-mni"])
        assert result.exit_code == 1 and "there is rsgeo-mini" in result.stderr and result.stdout == ""
