"""The COG writer: what lands on the disk, that it lands whole or not at all, and that it is what was given."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, MaskFlags
from rio_cogeo.cogeo import cog_validate

from rsgeo.errors import InputError, OutputError, TooLargeError
from rsgeo.geo.provenance import Marks
from rsgeo.geo.raster import CogWriter, check_output, cog_options, raw_bytes
from rsgeo.geo.raster_read import fingerprint, pixels_sha256, read_decimated, read_rows
from rsgeo.request import GridRecord, ModelRecord, PhaseRecord, Request, Sampler, SamplesRecord, Synthesis

UTM = "EPSG:32633"
NORTH_UP = Affine(10, 0, 460_000, 0, -10, 5_075_000)
LAEA = (
    'PROJCRS["rsgeo LAEA",BASEGEOGCRS["WGS 84",DATUM["World Geodetic System 1984",ELLIPSOID["WGS 84",6378137,298.257223563]]],'
    'CONVERSION["c",METHOD["Lambert Azimuthal Equal Area",ID["EPSG",9820]],PARAMETER["Latitude of natural origin",50,'
    'ANGLEUNIT["degree",0.0174532925199433]],PARAMETER["Longitude of natural origin",10,ANGLEUNIT["degree",0.0174532925199433]],'
    'PARAMETER["False easting",0,LENGTHUNIT["metre",1]],PARAMETER["False northing",0,LENGTHUNIT["metre",1]]],CS[Cartesian,2],'
    'AXIS["easting",east],AXIS["northing",north],LENGTHUNIT["metre",1]]'
)


def marks_for(geobox: GeoBox) -> Marks:
    height, width = geobox.shape
    request = Request(
        task="generate",
        model=ModelRecord(name="rsgeo-mini", sha256="0" * 64),
        grid=GridRecord(crs=UTM, lattice=("10", "0", "0", "0", "-10", "0"), col=46_000, row=-507_500, width=width, height=height),
        aoi=None,
        prompt="vineyards on terraces",
        sampler=Sampler(scheduler="dpmsolver++", num_inference_steps=12, guidance_scale=4.0),
        seed=42,
        synthesis=Synthesis(plan="k1", phases=(PhaseRecord(first=0, last=12, tile=16, stride=8, shift=0),)),
    )
    return Marks(request, run={"device": "cpu"})


def grid(height: int, width: int, affine: Affine = NORTH_UP, crs: str = UTM) -> GeoBox:
    return GeoBox((height, width), affine, crs)


def picture(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture with noise, and a mask that leaves out a corner and single pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    wave = 100 + 60 * np.sin(x / 40) + 60 * np.cos(y / 55)
    pixels = np.clip(wave + rng.normal(0, 6, (3, height, width)), 0, 255).astype("uint8")
    return pixels, (x + y > (height + width) // 5) & (rng.random((height, width)) > 0.001)


def write(out: Path, geobox: GeoBox, pixels: np.ndarray, mask: np.ndarray, rows: int = 96, **options) -> Marks:
    with CogWriter(out, geobox, marks=marks_for(geobox), **options) as writer:
        for row in range(0, mask.shape[0], rows):
            writer.write_band(row, pixels[:, row : row + rows], mask[row : row + rows])
    return writer.marks


@pytest.mark.parametrize("shape", [(1, 1), (40, 1), (1, 700), (64, 64), (511, 513), (512, 512), (2000, 3000)])
def test_a_written_file_is_a_strict_cog_and_reads_back_as_given(tmp_path, shape):
    pixels, mask = picture(*shape)
    mask[-1, -1] = True
    out = tmp_path / "out.tif"
    write(out, grid(*shape), pixels, mask)
    valid, errors, warnings = cog_validate(str(out), strict=True, quiet=True)
    assert (valid, errors, warnings) == (True, [], [])
    with rasterio.open(out) as dataset:
        assert (dataset.read() == np.where(mask, pixels, 0)).all()
        assert ((dataset.dataset_mask() == 255) == mask).all()
        assert dataset.mask_flag_enums == ([MaskFlags.per_dataset],) * 3
        assert dataset.nodata is None
        assert dataset.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        assert bool(dataset.overviews(1)) == (max(shape) > 512)
    assert os.listdir(tmp_path) == ["out.tif"]


def test_black_valid_pixels_stay_valid(tmp_path):
    out = tmp_path / "black.tif"
    write(out, grid(20, 30), np.zeros((3, 20, 30), "uint8"), np.ones((20, 30), bool))
    with rasterio.open(out) as dataset:
        assert (dataset.dataset_mask() == 255).all()


def test_overviews_are_averages_that_masked_pixels_do_not_darken(tmp_path):
    pixels = np.full((3, 1024, 1024), 200, "uint8")
    pixels[:, ::2] = 100
    mask = np.ones((1024, 1024), bool)
    mask[:, :333] = False
    out = tmp_path / "out.tif"
    write(out, grid(1024, 1024), pixels, mask)
    with rasterio.open(out, overview_level=0) as overview:
        values, valid = overview.read(), overview.dataset_mask() > 0
    assert abs(values[:, valid].astype(int) - 150).max() <= 1
    assert not valid[:, :166].any()
    assert valid[:, 167:].all()


@pytest.mark.parametrize(
    ("affine", "crs"),
    [
        pytest.param(NORTH_UP, UTM, id="north-up"),
        pytest.param(Affine(10, 0, 460_000, 0, 10, 5_075_000), UTM, id="south-up"),
        pytest.param(Affine(0.52, 0.3, 460_000.3, 0.3, -0.52, 5_075_000.7), UTM, id="rotated"),
        pytest.param(Affine(1 / 3, 0.05, 14.5, 0.02, -1 / 7, 46.1), "EPSG:4326", id="sheared geographic"),
        pytest.param(Affine(0.6, 0, 111_319.8, 0, -0.6, 5_621_521.2), "EPSG:3857", id="web mercator"),
        pytest.param(Affine(1000, 0, -3000, 0, -1000, 3000), LAEA, id="without code"),
    ],
)
def test_the_grid_is_kept_exactly(tmp_path, affine, crs):
    geobox = grid(600, 520, affine, crs)
    out = tmp_path / "out.tif"
    write(out, geobox, *picture(600, 520))
    with rasterio.open(out) as dataset:
        assert tuple(dataset.transform)[:6] == tuple(affine)[:6]
        assert GeoBox.from_rio(dataset).crs == geobox.crs
        assert dataset.tags()["AREA_OR_POINT"] == "Area"
    assert cog_validate(str(out), strict=True, quiet=True)[0]


def test_the_stored_hash_is_that_of_the_text_the_pixels_and_the_mask(tmp_path):
    pixels, mask = picture(70, 90)
    marks = write(tmp_path / "out.tif", grid(70, 90), pixels, mask)
    shown = np.where(mask, pixels, 0).astype("uint8")
    expected = hashlib.sha256(b"90x70x3 uint8" + np.moveaxis(shown, 0, -1).tobytes() + np.where(mask, 255, 0).astype("uint8").tobytes())
    assert marks.run["pixels_sha256"] == expected.hexdigest() == pixels_sha256(tmp_path / "out.tif")
    assert marks.run["device"] == "cpu"


@settings(max_examples=25, deadline=None)
@given(data=st.data(), height=st.integers(1, 150), width=st.integers(1, 90))
def test_any_division_into_row_bands_gives_the_same_file(tmp_path_factory, data, height, width):
    folder = tmp_path_factory.mktemp("bands")
    pixels, mask = picture(height, width)
    write(folder / "one.tif", grid(height, width), pixels, mask, rows=height)
    write(folder / "many.tif", grid(height, width), pixels, mask, rows=data.draw(st.integers(1, height)))
    assert (folder / "one.tif").read_bytes() == (folder / "many.tif").read_bytes()


def test_equal_input_gives_equal_bytes_with_one_thread_or_two(tmp_path):
    pixels, mask = picture(1100, 1300)
    for name, threads in (("a", 1), ("b", 1), ("c", 2)):
        write(tmp_path / f"{name}.tif", grid(1100, 1300), pixels, mask, threads=threads)
    one, two, three = ((tmp_path / f"{name}.tif").read_bytes() for name in "abc")
    assert one == two == three


@pytest.mark.parametrize(
    "options", [{"COMPRESS": "JPEG", "QUALITY": "80"}, {"compress": "webp"}, {"COMPRESS": "NONE"}, {"COMPRESS": "ZSTD", "BLOCKSIZE": "256"}]
)
def test_with_other_compressions_the_stored_hash_is_that_of_the_file(tmp_path, options):
    pixels, mask = picture(700, 600)
    out = tmp_path / "out.tif"
    marks = write(out, grid(700, 600), pixels, mask, creation_options=options)
    assert marks.run["pixels_sha256"] == pixels_sha256(out)
    assert cog_validate(str(out), strict=True, quiet=True)[0]
    with rasterio.open(out) as dataset:
        assert ((dataset.dataset_mask() == 255) == mask).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"COMPRES": "JPEG"}, "COMPRES "),
        ({"TILING_SCHEME": "GoogleMapsCompatible"}, "TILING_SCHEME"),
        ({"COMPRESS": "RAR"}, "RAR"),
        ({"QUALITY": "400"}, "1 to 100"),
        ({"QUALITY": "nan"}, "nan"),
        ({"COMPRESS": "JPEG", "PREDICTOR": "YES"}, "PREDICTOR"),
    ],
)
def test_unknown_creation_options_are_named(options, said):
    with pytest.raises(InputError, match=said):
        cog_options(options)


def test_an_existing_file_is_kept_unless_overwriting(tmp_path):
    out = tmp_path / "out.tif"
    out.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists"):
        write(out, grid(8, 8), *picture(8, 8))
    assert out.read_bytes() == b"precious"
    write(out, grid(8, 8), *picture(8, 8), overwrite=True)
    assert pixels_sha256(out)


def test_sidecars_of_the_replaced_file_go_with_it(tmp_path):
    out = tmp_path / "out.tif"
    write(out, grid(8, 8), *picture(8, 8))
    stale = ["out.tif.aux.xml", "out.tif.ovr", "out.tif.msk", "out.stac.json", "out.qmd"]
    for name in stale:
        (tmp_path / name).write_text("<PAMDataset><SRS>EPSG:3857</SRS></PAMDataset>")
    write(out, grid(8, 8), *picture(8, 8), overwrite=True)
    assert os.listdir(tmp_path) == ["out.tif"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, MemoryError])
def test_an_interrupted_run_leaves_nothing_behind_and_the_old_file_alone(tmp_path, error):
    out = tmp_path / "out.tif"
    write(out, grid(300, 300), *picture(300, 300))
    before = out.read_bytes()
    pixels, mask = picture(300, 300, seed=1)
    with pytest.raises(error), CogWriter(out, grid(300, 300), marks=marks_for(grid(300, 300)), overwrite=True) as writer:
        writer.write_band(0, pixels[:, :200], mask[:200])
        raise error
    assert os.listdir(tmp_path) == ["out.tif"]
    assert out.read_bytes() == before


def test_a_missing_band_is_an_error_and_leaves_nothing(tmp_path):
    pixels, mask = picture(30, 30)
    with (
        pytest.raises(ValueError, match="10 of 30"),
        CogWriter(tmp_path / "out.tif", grid(30, 30), marks=marks_for(grid(30, 30))) as writer,
    ):
        writer.write_band(0, pixels[:, :10], mask[:10])
    with (
        pytest.raises(ValueError, match="expected rows"),
        CogWriter(tmp_path / "o.tif", grid(30, 30), marks=marks_for(grid(30, 30))) as writer,
    ):
        writer.write_band(10, pixels[:, 10:20], mask[10:20])
    assert os.listdir(tmp_path) == []


def test_bad_places_are_refused_before_any_work(tmp_path):
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe.tif")
    for name, said in [
        ("missing/out.tif", "does not exist"),
        ("file/out.tif", "not a folder"),
        ("folder.tif", "is a folder"),
        ("pipe.tif", "not a regular file"),
        ("out.png", "end in .tif"),
        ("x" * 300 + ".tif", "cannot be written"),
    ]:
        with pytest.raises(OutputError, match=said) as caught:
            check_output(tmp_path / name, overwrite=True)
        assert str(caught.value).endswith(".")


def test_the_longest_names_a_disk_allows_can_be_written(tmp_path):
    out = tmp_path / ("\N{EARTH GLOBE EUROPE-AFRICA}" * 62 + ".tif")
    write(out, grid(8, 8), *picture(8, 8))
    assert out.is_file()


def test_files_written_beside_are_looked_at_too(tmp_path):
    (tmp_path / "preview.png").touch()
    with pytest.raises(OutputError, match=r"preview\.png exists"):
        check_output(tmp_path / "out.tif", overwrite=False, beside=[tmp_path / "preview.png"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="read-only"):
            check_output(tmp_path / "out.tif", overwrite=False)
    finally:
        tmp_path.chmod(0o700)


def test_too_little_disk_is_said_with_the_number_before_any_work(tmp_path):
    huge = grid(20_000_000, 20_000_000)
    assert raw_bytes(huge) == 3 * 20_000_000**2
    with pytest.raises(TooLargeError, match=r"needs 2400000\.0 GB"), CogWriter(tmp_path / "out.tif", huge, marks=marks_for(grid(1, 1))):
        pass
    assert os.listdir(tmp_path) == []


WRITE_WITH_LIMIT = """
    import resource, signal, sys
    import numpy as np
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path
    spec = spec_from_file_location("helpers", sys.argv[1])
    helpers = module_from_spec(spec)
    spec.loader.exec_module(helpers)
    from rsgeo.errors import OutputError
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 1000, 1000), dtype="uint8")
    try:
        helpers.write(Path(sys.argv[2]), helpers.grid(1000, 1000), pixels, np.ones((1000, 1000), bool))
    except OutputError as error:
        print(error)
        sys.exit(7)
"""


@pytest.mark.parametrize("limit", [0, 1_500_000, 3_050_000, 3_500_000, 3_700_000])
@pytest.mark.skipif(sys.platform == "win32", reason="no file size limits there")
def test_a_disk_that_gives_up_at_any_point_is_one_sentence_and_leaves_nothing(tmp_path, limit):
    """A limit on the size of files stands for the full disk: GDAL meets the same failing writes, the silent ones at closing included."""
    script = textwrap.dedent(WRITE_WITH_LIMIT)
    run = subprocess.run([sys.executable, "-c", script, __file__, str(tmp_path / "out.tif"), str(limit)], capture_output=True, text=True, check=False)
    assert run.returncode == 7, run.stderr
    assert "could not be written" in run.stdout or "disk is full" in run.stdout
    assert run.stdout.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_rows_and_decimated_reads_agree_with_rasterio(tmp_path):
    pixels, mask = picture(1500, 1000)
    out = tmp_path / "out.tif"
    write(out, grid(1500, 1000), pixels, mask)
    for row, band, valid in read_rows(out):
        rows = slice(row, row + valid.shape[0])
        assert (band == np.where(mask, pixels, 0)[:, rows]).all()
        assert (valid == mask[rows]).all()
    small, small_mask = read_decimated(out, 300)
    assert small.shape == (3, 300, 200)
    means = np.where(mask, pixels, 0)[:, 1000:1500, 500:].mean()
    assert abs(small[:, 200:, 100:].mean() - means) < 1
    assert not small_mask[0, 0]
    assert small_mask[-1, -1]


@pytest.mark.parametrize("share", [0.25, 0.5, 0.8, 0.995])
def test_damage_is_an_error_or_another_hash(tmp_path, share):
    out = tmp_path / "out.tif"
    write(out, grid(700, 700), *picture(700, 700))
    intact, content = fingerprint(out), bytearray(out.read_bytes())
    start = int(len(content) * share)
    content[start : start + 1000] = bytes(1000)
    out.write_bytes(content)
    try:
        assert fingerprint(out) != intact
    except InputError as error:
        assert "damaged" in str(error)


def test_a_cut_off_file_is_one_sentence(tmp_path):
    out = tmp_path / "out.tif"
    write(out, grid(700, 700), *picture(700, 700))
    out.write_bytes(out.read_bytes()[:-300_000])
    with pytest.raises(InputError, match="damaged"):
        pixels_sha256(out)


def test_a_file_of_one_huge_block_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "strip.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=17_008,
        height=17_008,
        count=1,
        dtype="uint8",
        blockxsize=17_008,
        blockysize=17_008,
        tiled=True,
        compress="DEFLATE",
        sparse_ok=True,
        transform=NORTH_UP,
    ):
        pass
    with pytest.raises(InputError, match="blocks too large"):
        pixels_sha256(path)


@pytest.mark.parametrize(("count", "write_as"), [(2, "statistics"), (30, "all")])
@pytest.mark.parametrize("resampling", ["AVERAGE", "NEAREST"])
def test_many_bands_are_a_strict_cog_with_the_overviews_of_three(tmp_path, count, write_as, resampling):
    pixels, mask = picture(704, 1152)
    write(tmp_path / "three.tif", grid(704, 1152), pixels, mask, creation_options={"BLOCKSIZE": "128", "OVERVIEW_RESAMPLING": resampling})
    marks = marks_for(grid(704, 1152))
    marks = replace(marks, request=marks.request.model_copy(update={"samples": SamplesRecord(count=count, write_as=write_as)}))
    many = np.tile(pixels, (len(marks.request.bands) // 3, 1, 1))
    options = {"BLOCKSIZE": "128", "OVERVIEW_RESAMPLING": resampling}
    with CogWriter(tmp_path / "many.tif", grid(704, 1152), marks=marks, creation_options=options) as writer:
        for row in range(0, 704, 99):
            writer.write_band(row, many[:, row : row + 99], mask[row : row + 99])
    assert cog_validate(str(tmp_path / "many.tif"), strict=True, quiet=True) == (True, [], [])
    with rasterio.open(tmp_path / "many.tif") as dataset:
        assert dataset.descriptions == tuple(f"synthetic {name}" for name in marks.request.bands)
        assert (dataset.read() == np.where(mask, many, 0)).all() and ((dataset.dataset_mask() == 255) == mask).all()
        factors = dataset.overviews(1)
    with rasterio.open(tmp_path / "three.tif") as three:
        assert three.overviews(1) == factors == [2, 4, 8, 16]
    for level in range(len(factors)):
        with rasterio.open(tmp_path / "many.tif", overview_level=level) as one, rasterio.open(tmp_path / "three.tif", overview_level=level) as other:
            assert (one.dataset_mask() == other.dataset_mask()).all()
            seen = np.where(one.dataset_mask() > 0, one.read(), 0).astype(int)
            off = abs(seen[-3:] - np.where(other.dataset_mask() > 0, other.read(), 0))
            # GDAL's two ways round at each halving, or at the end; single masked pixels then weigh a little more.
            assert off.max() <= (1 if level == 0 else 8) and off.mean() < 0.5
