"""Sentinel-2 products as delivered, folder and ZIP alike: bands, offsets and georeference of real pixels, and nothing outside of the product."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import safe_product

from rsgeo.errors import InputError
from rsgeo.geo import optical, safe
from rsgeo.geo.raster_open import Packed, open_raster
from rsgeo.geo.sentinel2 import COMMON_NAME
from rsgeo.geo.warp import WarpedRaster
from rsgeo.request import GridRecord

GRID = GridRecord(crs=safe_product.CRS, lattice=("10", "0", "0", "0", "-10", "0"), col=46_518, row=-508_026, width=48, height=48)


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("products")
    return {level: safe_product.build(folder, level) for level in ("L1C", "L2A")}


def reflectance(source: optical.BandSource) -> tuple[np.ndarray, np.ndarray]:
    raster = WarpedRaster(source.image, GRID, [source.number], "nearest", nodata=source.nodata)
    pixels, mask = raster.read(GRID.row, GRID.col, GRID.height, GRID.width)
    assert source.scale is not None and source.offset is not None
    return pixels[0] * source.scale + source.offset, mask


@pytest.mark.parametrize("level", ["L1C", "L2A"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_band_is_the_real_reflectance_in_its_place(products: dict[str, Path], level: str, packed: bool) -> None:
    path = safe_product.pack(products[level]) if packed else products[level]
    found = optical.read(path)
    assert found.level == level
    assert [*found.bands] == [COMMON_NAME[band] for band in safe_product.BANDS[level]]
    truth = dict(zip(safe_product.BANDS[level], safe_product.clip(level) / 10_000, strict=True))
    for band in ("B02", "B03", "B04", "B08"):
        pixels, mask = reflectance(found.bands[COMMON_NAME[band]])
        # Stored 0 is no data in a product, though its images do not say so.
        assert np.array_equal(mask, np.arange(48)[None] >= np.full((48, 1), 12))
        assert np.abs(pixels - truth[band])[mask].max() < 1e-6
    pixels, mask = reflectance(found.bands["swir16"])
    halves = truth["B11"].reshape(24, 2, 24, 2).mean(axis=(1, 3)).repeat(2, axis=0).repeat(2, axis=1)
    assert np.abs(pixels - halves)[mask].max() <= 0.5e-4 + 1e-7


def test_a_product_tells_its_date_and_clouds_and_how_its_numbers_count(products: dict[str, Path]) -> None:
    found = optical.read(products["L2A"])
    assert found.scene.date is not None and found.scene.date.value == "2022-04-13T15:07:59.024Z"
    assert found.scene.cloud_cover_percent is not None and found.scene.cloud_cover_percent.value == pytest.approx(98.944211)
    assert found.scene.gsd is not None and found.scene.gsd.value == pytest.approx(10, rel=1e-3)
    assert "baseline 04.00, offset -1000" in found.numbers
    assert {found.bands[band].offset for band in found.bands} == {-0.1}
    assert {source.offset for source in optical.read(products["L1C"]).bands.values()} == {0.0}


def test_the_finest_image_of_a_band_is_taken(products: dict[str, Path]) -> None:
    images = safe.read(products["L2A"]).images
    assert [images[band].name[-8:] for band in ("blue", "rededge071", "nir09")] == ["_10m.jp2", "_20m.jp2", "_60m.jp2"]


def test_bands_that_were_not_downloaded_are_missed_by_name(products: dict[str, Path], tmp_path: Path) -> None:
    path = safe_product.build(tmp_path, "L1C")
    next(path.rglob("*_B8A.jp2")).unlink()
    next(path.rglob("*_B12.jp2")).unlink()
    with pytest.raises(InputError, match=r"lacks B8A \(nir08\), B12 \(swir22\), which the model sees; it has B01"):
        optical.read(path).of(["red", "nir08", "swir22"])


def test_what_the_metadata_lists_outside_of_the_product_is_not_opened(tmp_path: Path) -> None:
    path = safe_product.build(tmp_path, "L1C")
    metadata, secret = path / "MTD_MSIL1C.xml", tmp_path / "secret_B02.jp2"
    next(path.rglob("*_B02.jp2")).rename(secret)
    text = metadata.read_text(encoding="utf-8")
    listed = next(line for line in text.splitlines() if "_B02<" in line)
    for name in ("../secret_B02", str(secret.with_suffix("")), "GRANULE/../../secret_B02"):
        metadata.write_text(text.replace(listed, f"<IMAGE_FILE>{name}</IMAGE_FILE>"), encoding="utf-8")
        assert "blue" not in safe.read(path).images
    metadata.write_text(text, encoding="utf-8")
    link = next(path.rglob("*_B03.jp2")).parent / listed.strip().removeprefix("<IMAGE_FILE>").removesuffix("</IMAGE_FILE>").rpartition("/")[2]
    link.with_name(f"{link.name}.jp2").symlink_to(secret)
    assert "blue" not in safe.read(path).images


def test_an_archive_of_something_else_is_refused_with_a_sentence(products: dict[str, Path], tmp_path: Path) -> None:
    other, two, cut = tmp_path / "other.zip", tmp_path / "two.zip", tmp_path / "cut.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with zipfile.ZipFile(two, "w") as archive:
        for level, product in products.items():
            archive.write(product / f"MTD_MSI{level}.xml", f"{product.name}/MTD_MSI{level}.xml")
    cut.write_bytes(safe_product.pack(products["L1C"]).read_bytes()[:9000])
    for path, words in ((other, "holds 0 Sentinel-2 products"), (two, "holds 2 Sentinel-2 products"), (cut, "copy it again")):
        with pytest.raises(InputError, match=words):
            optical.read(path)


def test_nothing_beside_an_image_in_an_archive_is_obeyed(products: dict[str, Path], tmp_path: Path) -> None:
    image = next(products["L1C"].rglob("*_B04.jp2"))
    sidecar = "<PAMDataset><SRS>EPSG:3857</SRS><GeoTransform>0, 1, 0, 0, 0, -1</GeoTransform></PAMDataset>"
    path = tmp_path / "with}sidecar.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(image, "a/image.jp2")
        archive.writestr("a/image.jp2.aux.xml", sidecar)
    with pytest.raises(InputError, match="brace in its path"), open_raster(Packed(path, "a/image.jp2")):
        pass
    with open_raster(Packed(path.rename(tmp_path / "with sidecar.zip"), "a/image.jp2")) as dataset:
        assert dataset.crs == safe_product.CRS and len(dataset.files) <= 1


def test_a_file_in_an_archive_opens_as_what_it_is_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.jp2", '<VRTDataset rasterXSize="4" rasterYSize="4"></VRTDataset>')
    for member, words in (("x.jp2", "is not an image"), ("y.jp2", r"holds no y\.jp2"), ("../x.jp2", "holds no")):
        with pytest.raises(InputError, match=words), open_raster(Packed(path, member)):
            pass


def test_told_radiometry_does_not_go_with_a_product(products: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="says itself what it holds"):
        optical.read(products["L1C"], radiometry="dn")
