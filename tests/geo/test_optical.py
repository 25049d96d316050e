"""Which band is which and what its numbers are: told, stated, or guessed with a warning."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio

from rsgeo.errors import InputError, RsgeoWarning
from rsgeo.geo import optical
from rsgeo.geo.sentinel2 import BY_COUNT, COMMON_NAME, common_name

SHIPPED = Path(__file__).parents[1] / "data" / "rasters"
SLOVENIA = SHIPPED / "series" / "S2_L1C_slovenia_20150711T100008.tif"
L2A = SHIPPED / "sentinel2" / "S2L2A_38D_378R_2_3_cut.tif"


def write(path: Path, count: int, dtype: str = "uint16", names: Sequence[str] = (), scale: float = 1.0, top: float = 3000.0, **tags: str) -> Path:
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_094_000)}
    with rasterio.open(path, "w", driver="GTiff", width=8, height=8, count=count, dtype=dtype, **place) as dataset:
        dataset.write(np.linspace(1, top, 64 * count).reshape(count, 8, 8).astype(dtype))
        dataset.descriptions = names or (None,) * count
        dataset.scales = (scale,) * count
        dataset.update_tags(**tags)
    return path


def read(path: Path, **told: object) -> tuple[optical.Optical, list[str]]:
    """What is read, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = optical.read(path, **told)
    assert all(issubclass(warning.category, RsgeoWarning) for warning in caught)
    return found, [str(warning.message) for warning in caught]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("B02", "blue"), ("B2", "blue"), ("b8a", "nir08"), ("B8A, central wavelength 865 nm", "nir08"), ("T33TUM_B11_20m", "swir16"),
        ("B12", "swir22"), ("Red", "red"), ("rededge1", "rededge071"), ("Red Edge 3", "rededge078"), ("NIR", "nir"), ("nir_2", "nir08"),
        ("bands", None), ("B13", None), ("SCL", None), ("AOT", None), ("WVP", None), ("", None), (None, None), ("ABB02", None), ("B020", None),
    ],
)  # fmt: skip
def test_a_band_is_known_by_any_of_its_names(text: str | None, name: str | None) -> None:
    assert common_name(text) == name


def test_a_stac_item_beside_the_image_says_it_all() -> None:
    found, told = read(SLOVENIA)
    assert not told and found.level == "L1C"
    assert [*found.bands] == [*COMMON_NAME.values()]
    assert found.bands["red"] == optical.BandSource(SLOVENIA, 4, 0.0001, 0.0)
    assert found.scene.date is not None and found.scene.date.value == "2015-07-11T10:00:08Z"


def test_the_offset_of_a_stac_item_is_taken(tmp_path: Path) -> None:
    path = shutil.copy(SLOVENIA, tmp_path)
    item = json.loads(SLOVENIA.with_suffix(".json").read_text())
    for band in item["assets"]["data"]["bands"]:
        band["raster:offset"] = -0.1
    (tmp_path / "item.json").write_text(json.dumps(item))
    found, told = read(Path(path))
    assert not told and {source.offset for source in found.bands.values()} == {-0.1}


def test_raster_and_eo_extensions_of_older_items_are_put_together(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", 2)
    item = json.loads(SLOVENIA.with_suffix(".json").read_text())
    bands = {
        "eo:bands": [{"name": "x", "common_name": "red"}, {"name": "B03"}],
        "raster:bands": [{"scale": 0.0001, "offset": -0.1}, {"scale": 0.0002}],
    }
    item |= {"stac_version": "1.0.0", "stac_extensions": [], "assets": {"data": {"href": "https://example.com/a.tif?x=1", **bands}}}
    (tmp_path / "a.json").write_text(json.dumps(item))
    found, told = read(path)
    assert not told
    assert found.bands == {"red": optical.BandSource(path, 1, 0.0001, -0.1), "green": optical.BandSource(path, 2, 0.0002, 0.0)}


@pytest.mark.parametrize("count", [4, 10, 12, 13])
def test_bands_without_names_are_taken_by_their_number_with_a_warning(tmp_path: Path, count: int) -> None:
    found, told = read(write(tmp_path / "a.tif", count), radiometry="dn")
    assert [*found.bands] == [COMMON_NAME[band] for band in BY_COUNT[count]]
    assert len(told) == 1 and f"its {count} bands are taken as {', '.join(BY_COUNT[count])} of Sentinel-2" in told[0]


def test_real_level_2a_of_twelve_bands_has_no_cirrus_band() -> None:
    found, told = read(L2A)
    assert found.bands["swir16"].number == 11 and "cirrus" not in found.bands
    assert ["names no bands" in told[0], "does not say what its numbers are" in told[1]] == [True, True]


def test_other_numbers_of_bands_have_to_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", 5)
    found, _ = read(path, radiometry="dn")
    with pytest.raises(InputError, match=r"a\.tif lacks B04 \(red\), B03 \(green\), B02 \(blue\), which the model sees; it has no band with a name"):
        found.of(["red", "green", "blue"])
    named, told = read(path, radiometry="dn", bands=["B04", "-", "green", "B02", "B8A"])
    assert not told and [source.number for source in named.of(["red", "green", "blue"])] == [1, 3, 4]


@pytest.mark.parametrize(
    ("bands", "words"),
    [
        (["B02"], "has 4 bands, and --bands names 1"),
        (["B02", "B03", "B04", "purple"], "no band 'purple'"),
        (["B02", "blue", "-", "-"], "names a band twice"),
    ],
)
def test_bands_that_cannot_be_as_told_are_refused(tmp_path: Path, bands: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        optical.read(write(tmp_path / "a.tif", 4), bands=bands)


def test_names_in_the_file_come_before_its_number_of_bands(tmp_path: Path) -> None:
    found, told = read(write(tmp_path / "a.tif", 4, names=["B4", "B3", "B2", "B08"]), radiometry="dn")
    assert not told and found.bands["red"].number == 1 and found.bands["nir"].number == 4


@pytest.mark.parametrize(
    ("name", "tags", "offset"),
    [
        ("S2A_MSIL2A_20230722T105631_N0509_R094_T31TCN_20230722T171159.tif", {}, -0.1),
        ("S2A_MSIL2A_20210722T105631_N0301_R094_T31TCN_20210722T171159.tif", {}, 0.0),
        ("a.tif", {"PROCESSING_BASELINE": "05.09"}, -0.1),
        ("a.tif", {"PROCESSING_BASELINE": "03.01"}, 0.0),
        ("a.tif", {"PRODUCT_URI": "S2B_MSIL1C_20220413T150759_N0400_R025_T33XWJ_20220414T082126.SAFE"}, -0.1),
    ],
)
def test_the_processing_baseline_says_whether_numbers_hold_an_offset(tmp_path: Path, name: str, tags: dict[str, str], offset: float) -> None:
    found, told = read(write(tmp_path / name, 4, names=["B02", "B03", "B04", "B08"], **tags))
    assert not told and found.bands["red"] == optical.BandSource(tmp_path / name, 3, 1e-4, offset)


def test_scales_in_the_file_are_taken(tmp_path: Path) -> None:
    found, told = read(write(tmp_path / "a.tif", 4, names=["B02", "B03", "B04", "B08"], scale=0.0002))
    assert not told and found.bands["red"].scale == pytest.approx(0.0002)


@pytest.mark.parametrize(
    ("dtype", "top", "scale", "words"),
    [
        ("uint16", 3000, 1e-4, "reflectance times 10000"),
        ("float32", 0.9, 1.0, "reflectance, 1 being all light"),
        ("float32", 9000, 1e-4, "times 10000"),
    ],
)
def test_numbers_that_nothing_is_said_of_are_guessed_with_a_warning(tmp_path: Path, dtype: str, top: float, scale: float, words: str) -> None:
    found, told = read(write(tmp_path / "a.tif", 3, dtype, names=["B02", "B03", "B04"], top=top))
    assert len(told) == 1 and words in told[0]
    assert found.bands["red"].scale == pytest.approx(scale)


def test_eight_bit_pictures_are_grey_levels() -> None:
    found, told = read(SHIPPED / "sentinel2" / "S2RGB_38D_378R_2_3.tif")
    assert not told and [found.bands[name] for name in ("red", "green", "blue")] == [
        optical.BandSource(SHIPPED / "sentinel2" / "S2RGB_38D_378R_2_3.tif", number) for number in (1, 2, 3)
    ]


@pytest.mark.parametrize(("radiometry", "scale", "offset"), [("dn", 1e-4, 0), ("dn+1000", 1e-4, -0.1), ("reflectance", 1, 0), ("rgb", None, None)])
def test_what_is_told_is_taken(tmp_path: Path, radiometry: str, scale: float | None, offset: float | None) -> None:
    found, told = read(write(tmp_path / "a.tif", 3, names=["B02", "B03", "B04"]), radiometry=radiometry)
    assert not told and (found.bands["red"].scale, found.bands["red"].offset) == (scale, offset)


def test_another_radiometry_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--radiometry is one of dn, dn\+1000, reflectance, rgb, not db"):
        optical.read(write(tmp_path / "a.tif", 3), radiometry="db")
