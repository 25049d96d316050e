"""The preview: what the eye gets, and that it says what it is."""

from __future__ import annotations

import os

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from PIL import Image

from rsgeo.errors import InputError, OutputError
from rsgeo.geo.preview import check_preview, write_preview
from rsgeo.geo.provenance import Marks, synthetic_state
from rsgeo.geo.raster import CogWriter
from rsgeo.request import GridRecord, ModelRecord, PhaseRecord, Request, Sampler, Synthesis


@pytest.fixture
def marks() -> Marks:
    return Marks(
        Request(
            task="generate",
            model=ModelRecord(name="rsgeo-mini", sha256="0" * 64),
            grid=GridRecord(crs="EPSG:32633", lattice=("1", "0", "0", "0", "-1", "0"), col=0, row=0, width=900, height=1300),
            aoi=None,
            prompt="",
            sampler=Sampler(scheduler="ddim", num_inference_steps=1, guidance_scale=1),
            seed=0,
            synthesis=Synthesis(plan="k1", phases=(PhaseRecord(first=0, last=1, tile=16, stride=8, shift=0),)),
        ),
        copyright="© me",
    )


@pytest.fixture
def image(tmp_path, marks):
    pixels = np.zeros((3, 1300, 900), "uint8")
    pixels[0], pixels[1, 650:], pixels[2, :, 450:] = 200, 100, 50
    mask = np.ones((1300, 900), bool)
    mask[:130, :90] = False
    with CogWriter(tmp_path / "out.tif", GeoBox((1300, 900), Affine(1, 0, 5e5, 0, -1, 5e6), "EPSG:32633"), marks=marks) as writer:
        writer.write_band(0, pixels, mask)
    return tmp_path / "out.tif"


def test_the_preview_is_the_image_made_small_with_the_mask_as_alpha(image, marks, tmp_path):
    write_preview(image, tmp_path / "p.png", marks, max_side=650)
    rgba = np.asarray(Image.open(tmp_path / "p.png"))
    assert rgba.shape == (650, 450, 4)
    assert (rgba[100, 100] == [200, 0, 0, 255]).all()
    assert (rgba[600, 400] == [200, 100, 50, 255]).all()
    assert (rgba[:64, :44, 3] == 0).all()
    assert (rgba[66:, 46:, 3] == 255).all()
    assert sorted(os.listdir(tmp_path)) == ["out.tif", "p.png"]


def test_small_images_keep_their_size(image, marks, tmp_path):
    write_preview(image, tmp_path / "p.png", marks, max_side=5000)
    assert Image.open(tmp_path / "p.png").size == (900, 1300)


def test_the_preview_carries_the_marks(image, marks, tmp_path):
    write_preview(image, tmp_path / "p.png", marks)
    chunks = Image.open(tmp_path / "p.png").text
    assert chunks["Description"].startswith("SYNTHETIC IMAGE")
    assert chunks["Software"].startswith("rsgeo ")
    assert chunks["Copyright"] == "© me"
    assert "trainedAlgorithmicMedia" in chunks["XML:com.adobe.xmp"]
    with rasterio.open(tmp_path / "p.png") as dataset:
        assert synthetic_state(dataset) == "ALL"


def test_previews_are_equal_for_equal_images(image, marks, tmp_path):
    for name in ("a.png", "b.png"):
        write_preview(image, tmp_path / name, marks)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_what_cannot_be_written_or_read_is_one_sentence(image, marks, tmp_path):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        write_preview(image, tmp_path / "folder.png", marks)
    with pytest.raises(OutputError, match="cannot be written"):
        write_preview(image, tmp_path / "missing" / "p.png", marks)
    with pytest.raises(InputError, match="no file"):
        write_preview(tmp_path / "no.tif", tmp_path / "p.png", marks)
    assert sorted(os.listdir(tmp_path)) == ["folder.png", "out.tif"]


def test_a_place_for_the_preview_is_checked_before_any_work(tmp_path):
    (tmp_path / "p.png").touch()
    check_preview(tmp_path / "new.png", overwrite=False)
    check_preview(tmp_path / "p.png", overwrite=True)
    for name, said in [("p.png", "exists"), ("p.jpg", r"end in \.png"), ("missing/p.png", "does not exist")]:
        with pytest.raises(OutputError, match=said):
            check_preview(tmp_path / name, overwrite=False)
