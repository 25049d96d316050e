"""The commands as they are typed: what they print, what they write, how they end."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result
from PIL import Image
from rio_cogeo import cog_validate
from safetensors.torch import load_file, save_file

from rsgeo.cli import main
from rsgeo.hub import catalog

RING = [[14.5, 46.0], [14.507, 46.0], [14.503, 46.005], [14.5, 46.0045], [14.5, 46.0]]
QUICK = ("--num-inference-steps", "2", "--guidance-scale", "1")
THREE_FILES = ["out.qmd", "out.stac.json", "out.tif"]
PROGRAM = [sys.executable, "-c", "from rsgeo.cli import main; main(prog_name='rsgeo')"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: an area, and an empty folder for what is made."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "area.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [RING]}))
    (tmp_path / "made").mkdir()
    return tmp_path


def rsgeo(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def good(*arguments: str | Path) -> Result:
    result = rsgeo(*arguments)
    assert result.exit_code == 0, result.output
    return result


def generate(*arguments: str | Path, out: str = "made/out.tif") -> Result:
    return good("generate", "--aoi", "area.geojson", *QUICK, *arguments, out)


def sentence(result: Result) -> str:
    """The one sentence a command that failed ends with."""
    said = [line for line in result.stderr.splitlines() if not line.startswith(("Warning: ", "Computing: ", "Measuring "))]
    assert result.exit_code == 1 and result.stdout == "", result.output
    assert len(said) == 1 and said[0].startswith("Error: ") and said[0].endswith("."), result.stderr
    return said[0]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def stored_request(path: str | Path) -> dict[str, object]:
    with rasterio.open(path) as dataset:
        return dict(json.loads(dataset.tags()["RSGEO_REQUEST"]))


def pixels(path: str | Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


class TestGenerate:
    def test_prints_every_setting_that_decides_the_picture(self, folder: Path) -> None:
        said = generate("--prompt", "a wood", "--seed", "41", "--preview", "made/out.png", "--scheduler", "ddim").stdout
        grid = ("55 x 57 px", "10 m", "EPSG:32633")
        wish = ("a wood", "seed 41", "2 steps", "guidance 1", "ddim", "rsgeo-mini", "Apache-2.0")
        for word in ("made/out.tif", "made/out.png", "SYNTHETIC", *grid, *wish):
            assert word in said, word
        assert len(said.splitlines()) < 24
        assert names(folder / "made") == sorted([*THREE_FILES, "out.png"])
        assert cog_validate("made/out.tif", strict=True)[0]

    def test_writes_the_grid_that_rsgeo_grid_prints(self, folder: Path) -> None:
        generate("--gsd", "12.5")
        features = json.loads(good("grid", "--aoi", "area.geojson", "--gsd", "12.5").stdout)["features"]
        printed = features[0]["properties"]
        with rasterio.open("made/out.tif") as dataset:
            assert list(dataset.transform[:6]) == printed["transform"]
            assert dataset.crs == rasterio.CRS.from_string(printed["crs"])
            assert dataset.shape == (printed["height"], printed["width"])

    def test_quiet_prints_warnings_only(self, folder: Path) -> None:
        result = generate("--quiet", "--date", "2021-07-01")
        assert result.stdout == ""
        assert result.stderr == "Warning: rsgeo-mini was not taught a date; it is recorded and does not change the picture.\n"

    def test_prints_each_warning_once(self, folder: Path) -> None:
        wish = ("--cloud-cover", "30", "--prompt", "many words " * 40, "--bounds", "-58", "-34.62", "-57.996", "-34.617", "--gsd", "25")
        result = good("generate", *wish, *QUICK, "made/out.tif")
        said = [line for line in result.stderr.splitlines() if line.startswith("Warning: ")]
        assert len(said) == 4
        for word in ("not taught cloud cover", "does not see", "outside of what rsgeo-mini was trained on", "Europe only"):
            assert sum(word in line for line in said) == 1, word
        request = stored_request("made/out.tif")
        assert request["scene"] == {"date": None, "cloud_cover_percent": {"value": 30.0, "source": "option"}}

    def test_the_preview_is_transparent_outside_of_the_area(self, folder: Path) -> None:
        generate("--preview", "made/out.png")
        picture = np.asarray(Image.open("made/out.png"))
        with rasterio.open("made/out.tif") as dataset:
            np.testing.assert_array_equal(picture[..., 3], dataset.dataset_mask())
            np.testing.assert_array_equal(picture[..., :3], np.moveaxis(dataset.read(), 0, -1))

    def test_options_of_writing_are_heeded(self, folder: Path) -> None:
        generate("--no-sidecar", "--reproducible", "--copyright", "CC0", "--co", "COMPRESS=WEBP")
        assert names(folder / "made") == ["out.tif"]
        with rasterio.open("made/out.tif") as dataset:
            assert dataset.compression.name == "webp"
            assert dataset.tags()["TIFFTAG_COPYRIGHT"] == "CC0"
            assert "RSGEO_CREATED" not in dataset.tags()

    def test_overwrite_replaces_all_that_belongs_to_the_old_file(self, folder: Path) -> None:
        generate("--seed", "1")
        before = pixels("made/out.tif")
        generate("--seed", "2", "--overwrite")
        assert (pixels("made/out.tif") != before).any()
        assert json.loads((folder / "made" / "out.stac.json").read_text())["properties"]["rsgeo:seed"] == 2

    def test_a_random_seed_is_printed_and_stored(self, folder: Path) -> None:
        said = generate("--seed", "random").stdout
        assert f"seed {stored_request('made/out.tif')['seed']}\n" in said

    def test_a_dry_run_says_the_size_writes_nothing_and_loads_no_torch(self, folder: Path) -> None:
        code = "import sys\nfrom rsgeo.cli import main\ntry:\n    main()\nfinally:\n    print('torch' in sys.modules)"
        arguments = ["generate", "--aoi", "area.geojson", "--dry-run", "made/out.tif"]
        run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        assert "evaluations" in run.stdout and run.stdout.endswith("False\n")
        assert names(folder / "made") == []

    def test_a_request_in_a_file_makes_the_same_picture(self, folder: Path) -> None:
        generate("--prompt", "a lake")
        Path("request.json").write_text(json.dumps(stored_request("made/out.tif")))
        good("generate", "--request", "request.json", "made/again.tif")
        assert stored_request("made/again.tif") == stored_request("made/out.tif")
        np.testing.assert_array_equal(pixels("made/again.tif"), pixels("made/out.tif"))

    def test_from_makes_the_same_picture_or_another_one_that_says_so(self, folder: Path) -> None:
        generate("--prompt", "a lake")
        good("generate", "--from", "made/out.tif", "made/again.tif")
        np.testing.assert_array_equal(pixels("made/again.tif"), pixels("made/out.tif"))
        good("generate", "--from", "made/out.tif", "--seed", "8", "made/other.tif")
        assert stored_request("made/other.tif") == {**stored_request("made/out.tif"), "seed": 8}
        assert (pixels("made/other.tif") != pixels("made/out.tif")).any()

    def test_a_private_file_is_not_made_again(self, folder: Path) -> None:
        generate("--prompt", "zebras", "--private")
        assert "--private, which removed prompt and area" in sentence(rsgeo("generate", "--from", "made/out.tif", "made/again.tif"))
        assert names(folder / "made") == THREE_FILES


class TestAboutAFile:
    def test_info_says_that_it_is_synthetic(self, folder: Path) -> None:
        generate("--date", "2021-07-01")
        said = good("info", "made/out.tif").stdout
        assert "ALL: this is not an observation of the Earth" in said and "2021-07-01" in said
        found = json.loads(good("info", "--json", "made/out.tif").stdout)
        assert found["synthetic"] == "ALL" and found["date"] is None

    def test_verify_ends_well_on_a_good_file(self, folder: Path) -> None:
        generate()
        assert "as written" in good("verify", "made/out.tif").stdout
        assert "made again  equal" in good("verify", "--regenerate", "made/out.tif").stdout

    def test_verify_ends_with_1_when_a_pixel_was_changed(self, folder: Path) -> None:
        generate()
        with rasterio.open("made/out.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
            changed = dataset.read()
            row, column = np.argwhere(dataset.dataset_mask() > 0)[0]
            changed[0, row, column] ^= 1
            dataset.write(changed)
        result = rsgeo("verify", "made/out.tif")
        assert result.exit_code == 1 and "CHANGED" in result.stdout
        result = rsgeo("verify", "--regenerate", "made/out.tif")
        assert result.exit_code == 1 and "1 pixels differ, by at most 1 grey levels" in result.stdout

    def test_doctor_names_the_model_and_finds_its_files_sound(self) -> None:
        said = good("doctor").stdout
        assert "device cpu" in said
        assert next(line for line in said.splitlines() if line.startswith("model rsgeo-mini")).endswith("files sound")


def spoilt_model(folder: Path, part: str, factors: dict[str, float]) -> Path:
    """A copy of the embedded model with some tensors of one part multiplied."""
    model = Path(shutil.copytree(catalog.EMBEDDED / catalog.DEFAULT_MODEL, folder / "model"))
    file = model / part / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    save_file({**weights, **{name: weights[name] * factor for name, factor in factors.items()}}, file, metadata={"format": "pt"})
    return model


class TestNothingIsLeft:
    @pytest.mark.parametrize(
        ("part", "factors", "words"),
        [
            ("unet", {"conv_out.bias": float("nan")}, "not finite"),
            ("vae", {"basis": 0.0, "mean": 0.0}, "one single colour"),
        ],
        ids=["NaN", "constant"],
    )
    def test_by_a_broken_model(self, part: str, factors: dict[str, float], words: str, folder: Path) -> None:
        model = spoilt_model(folder, part, factors)
        result = rsgeo("generate", "--aoi", "area.geojson", *QUICK, "--model", model, "--preview", "made/out.png", "made/out.tif")
        assert words in sentence(result)
        assert names(folder / "made") == []

    def test_by_control_c_while_it_computes(self, folder: Path) -> None:
        arguments = ["generate", "--bounds", "14.5", "46", "14.62", "46.08", "--preview", "made/out.png", "made/out.tif"]
        # A test started in the background may have been told to ignore the signal.
        heeding = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        run = subprocess.Popen(PROGRAM + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heeding)
        try:
            assert run.stderr is not None and run.stderr.readline().startswith("Computing: ")
            assert [name for name in names(folder / "made") if name.startswith(".out.tif")]
            time.sleep(0.5)
            run.send_signal(signal.SIGINT)
            output, said = run.communicate(timeout=60)
        finally:
            run.kill()
        assert run.returncode == 130
        assert output == "" and said == "Error: Interrupted; nothing was written.\n"
        assert names(folder / "made") == []

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; the next test mounts a read-only folder")
    def test_by_a_folder_without_permission_to_write(self, folder: Path) -> None:
        (folder / "made").chmod(0o500)
        try:
            result = rsgeo("generate", "--aoi", "area.geojson", *QUICK, "made/out.tif")
        finally:
            (folder / "made").chmod(0o700)
        assert "read-only" in sentence(result)
        assert names(folder / "made") == []


@pytest.fixture
def disk(folder: Path) -> Iterator[Path]:
    """A disk of 256 kB at ``made``; only root can mount one, and not everywhere."""
    made = folder / "made"
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(made)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield made
    finally:
        subprocess.run(["umount", str(made)], check=True)


class TestADisk:
    def test_that_is_read_only_is_refused_at_once(self, disk: Path) -> None:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert "read-only" in sentence(rsgeo("generate", "--aoi", "area.geojson", *QUICK, "made/out.tif"))
        assert names(disk) == []

    # The image takes 11 kB, while it is made twice that; beside it come 8, 1 and 5 kB: each size ends in another place.
    @pytest.mark.parametrize("free_kb", [8, 20, 24, 28, 40])
    def test_that_is_full_leaves_all_or_nothing(self, free_kb: int, disk: Path) -> None:
        (disk / "filler").write_bytes(bytes((256 - free_kb) * 1024))
        result = rsgeo("generate", "--aoi", "area.geojson", *QUICK, "--preview", "made/out.png", "made/out.tif")
        if result.exit_code == 0:
            assert names(disk) == sorted(["filler", "out.png", *THREE_FILES])
            assert rsgeo("verify", "made/out.tif").exit_code == 0
        else:
            assert "free" in sentence(result)
            assert names(disk) == ["filler"]
