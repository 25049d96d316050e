"""Rasters open only as what they are: no other file, no network, one sentence for what is broken."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

from rsgeo.errors import InputError, RsgeoWarning
from rsgeo.geo.raster_open import alpha_is_data, open_raster, regular_file

SHIPPED = Path(__file__).parents[1] / "data" / "rasters"
UTM = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500000, 0, -10, 5094000)}
VRT = """<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">
<SourceFilename>/etc/hostname</SourceFilename></VRTRasterBand></VRTDataset>"""


def write(path: Path, driver: str = "GTiff", count: int = 1, **profile: object) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        raster = rasterio.open(path, "w", driver=driver, width=4, height=4, count=count, dtype="uint8", **profile)
    with raster:
        raster.write(np.arange(16 * count, dtype=np.uint8).reshape(count, 4, 4))
    for rest in path.parent.glob(f"{path.name}.aux.xml"):
        rest.unlink()
    return path


def refused(path: str | Path, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as error, open_raster(path):
        pass
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("driver", "suffix"), [("GTiff", "tif"), ("PNG", "png"), ("JPEG", "jpg"), ("JP2OpenJPEG", "jp2")])
def test_the_four_formats_open_whatever_their_name(driver: str, suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a.{suffix}", driver).rename(tmp_path / "no-suffix")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_raster(path) as dataset:
            assert (dataset.driver, dataset.width) == (driver, 4)
    assert dataset.closed


def test_a_big_tiff_opens(tmp_path: Path) -> None:
    with open_raster(write(tmp_path / "a.tif", BIGTIFF="YES")) as dataset:
        assert dataset.driver == "GTiff"


@pytest.mark.parametrize(
    "content",
    [VRT, '<GDAL_WMS><Service name="TMS"><ServerUrl>http://example.com/</ServerUrl></Service></GDAL_WMS>', "hello", '{"type":"Feature"}'],
    ids=["vrt", "wms", "text", "json"],
)
def test_text_named_like_an_image_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    path.write_text(content)
    refused(path, r"x\.tif is not an image rsgeo can read \(GeoTIFF, JPEG 2000, PNG, JPEG\)")


@pytest.mark.parametrize(
    "path",
    ["https://example.com/a.tif", "s3://bucket/a.tif", "zip://a.zip!b.tif", "/vsicurl/https://example.com/a.tif", "/vsizip/a.zip/b.tif",
     " /VSIMEM/a", "a\0.tif"],
)  # fmt: skip
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    refused(path, "is not a file on this computer")


def test_missing_empty_and_odd_files(tmp_path: Path) -> None:
    refused(tmp_path / "no.tif", r"There is no file .*no\.tif")
    refused(f"GTIFF_DIR:1:{write(tmp_path / 'a.tif')}", "There is no file GTIFF_DIR")
    refused(tmp_path, "is a folder")
    (tmp_path / "empty.tif").touch()
    refused(tmp_path / "empty.tif", "is empty")
    os.mkfifo(tmp_path / "pipe.tif")
    refused(tmp_path / "pipe.tif", "is not a regular file")
    refused("x" * 5000, "cannot be read")


def test_a_link_to_a_file_is_that_file(tmp_path: Path) -> None:
    write(tmp_path / "a.tif")
    (tmp_path / "link.tif").symlink_to(tmp_path / "a.tif")
    (tmp_path / "dead.tif").symlink_to(tmp_path / "gone.tif")
    assert regular_file(tmp_path / "link.tif") == tmp_path / "link.tif"
    refused(tmp_path / "dead.tif", "There is no file")


@pytest.mark.parametrize("kept", [9, 100, 300])
def test_a_file_cut_off_at_its_head(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "cut.tif"
    path.write_bytes((SHIPPED / "masks" / "cog_rgb.tif").read_bytes()[:kept])
    refused(path, "is cut off or damaged at its head; copy it again")


@pytest.mark.parametrize(("driver", "suffix"), [("PNG", "png"), ("JPEG", "jpg"), ("JP2OpenJPEG", "jp2")])
def test_only_the_magic_bytes_are_there(driver: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(write(tmp_path / f"a.{suffix}", driver).read_bytes()[:18])
    refused(path, "is cut off or damaged at its head")


@pytest.mark.parametrize("suffix", [".msk", ".ovr"])
def test_masks_and_overviews_beside_must_be_tiffs(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif")
    (tmp_path / f"a.tif{suffix}").write_text(VRT)
    refused(path, "is no TIFF and may lead to another file")


def test_overviews_named_in_metadata_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif")
    metadata = '<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">/etc/hostname</MDI></Metadata>'
    (tmp_path / "a.tif.aux.xml").write_text(f"<PAMDataset>{metadata}</PAMDataset>")
    refused(path, "names another file as its overviews")


MOVED = "<PAMDataset><SRS>EPSG:32633</SRS><GeoTransform>400000, 10, 0, 5094000, 0, -10</GeoTransform></PAMDataset>"


def test_a_sidecar_that_moves_the_image_is_obeyed_and_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", **UTM)
    (tmp_path / "a.tif.aux.xml").write_text(MOVED)
    with pytest.warns(RsgeoWarning, match=r"a\.tif\.aux\.xml"), open_raster(path) as dataset:
        assert dataset.transform.c == 400000


def test_sidecars_that_move_nothing_are_silent(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stated = write(tmp_path / "statistics.tif", **UTM)
        (tmp_path / "statistics.tif.aux.xml").write_text("<PAMDataset><Metadata><MDI key='a'>b</MDI></Metadata></PAMDataset>")
        with open_raster(stated) as dataset:
            assert dataset.transform == UTM["transform"]
        bare = write(tmp_path / "world.tif")
        (tmp_path / "world.tif.aux.xml").write_text(MOVED)
        with open_raster(bare) as dataset:
            assert dataset.crs.to_epsg() == 32633


def test_band_names_in_another_encoding_are_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif")
    with rasterio.open(path, "r+") as raster:
        raster.set_band_description(1, "Qqqqqqqq")
    path.write_bytes(path.read_bytes().replace(b"Qqqqqqqq", b"\xfcqqqqqqq"))
    refused(path, "not UTF-8")


def test_near_infrared_called_alpha_is_data_and_a_mask_is_none(tmp_path: Path) -> None:
    with open_raster(SHIPPED / "naip" / "m_3211605_ne_11_060_20200415.tif") as dataset:
        assert alpha_is_data(dataset)
    with open_raster(SHIPPED / "dtypes" / "RGBA.uint16.tif") as dataset:
        assert not alpha_is_data(dataset)
    path = write(tmp_path / "mask.tif", count=4)
    with rasterio.open(path, "r+") as raster:
        raster.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
        raster.write(np.full((4, 4), 255, np.uint8), 4)
    with open_raster(path) as dataset:
        assert not alpha_is_data(dataset)


def test_opening_reads_no_pixels(tmp_path: Path) -> None:
    """Two million pixels on a side open at once: nothing is read of what would be terabytes."""
    path = tmp_path / "huge.tif"
    size = {"width": 2_000_000, "height": 2_000_000, "count": 4, "dtype": "uint8"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        rasterio.open(path, "w", driver="GTiff", tiled=True, blockxsize=16384, blockysize=16384, SPARSE_OK=True, BIGTIFF="YES", **size).close()
    with open_raster(path) as dataset:
        assert dataset.width == 2_000_000
        assert not alpha_is_data(dataset)
