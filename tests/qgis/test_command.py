"""`qgis_process` in an empty home, with the plugin copied into it: what a script or a server does. No QGIS module is needed here.

The pixels are compared with the command line's; the worker is the real one, of RSGEO_PYTHON or the Python that runs these tests.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "qgis_plugin" / "rsgeo_qgis"
FIELD = ROOT / "examples" / "field.geojson"
ZONES = ROOT / "examples" / "zones.geojson"

rasterio = pytest.importorskip("rasterio", reason="rasterio is not in this Python")

# Debian's wrapper hands on an option that the program does not know.
QGIS_PROCESS = shutil.which("qgis_process.bin", path="/usr/bin") or shutil.which("qgis_process", path="/usr/bin")
pytestmark = pytest.mark.skipif(QGIS_PROCESS is None, reason="QGIS is not installed")

METADATA = """[general]
name=rsgeo
description=for tests
version=0.0.0
qgisMinimumVersion=3.22
author=rsgeo
email=nobody@example.org
hasProcessingProvider=yes
"""

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home with ä")
    plugin = home / ".local" / "share" / "QGIS" / "QGIS3" / "profiles" / "default" / "python" / "plugins" / "rsgeo_qgis"
    shutil.copytree(PLUGIN, plugin, ignore=shutil.ignore_patterns("__pycache__"))
    if not (plugin / "metadata.txt").exists():
        (plugin / "metadata.txt").write_text(METADATA, encoding="utf-8")
    (home / "run").mkdir(mode=0o700)
    subprocess.run([QGIS_PROCESS, "plugins", "enable", "rsgeo_qgis"], env=environment(home), check=True, capture_output=True, timeout=60)
    return home


def environment(home: Path, python: str = "") -> dict[str, str]:
    """All that QGIS sees: never the virtual environment that these tests run in, on which it would crash."""
    own = {"PATH": "/usr/bin:/bin", "HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), "QT_QPA_PLATFORM": "offscreen", "LANG": "C.UTF-8"}
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), "RSGEO_CACHE": os.environ["RSGEO_CACHE"]}
    return {**own, **threads, "RSGEO_PYTHON": python or os.environ.get("RSGEO_PYTHON", sys.executable)}


@pytest.fixture
def process(home: Path) -> Run:
    def run(algorithm: str, *, python: str = "", code: int = 0, **parameters: object) -> dict[str, Any]:
        words = [QGIS_PROCESS, "run", algorithm, "--json", "--", *(f"{name}={value}" for name, value in parameters.items())]
        done = subprocess.run(words, env=environment(home, python), capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout) if code == 0 else {"said": done.stdout + done.stderr}

    return run


def command_line(*words: str) -> None:
    python = os.environ.get("RSGEO_PYTHON", sys.executable)
    subprocess.run([python, "-m", "rsgeo", *words], check=True, capture_output=True, timeout=300, cwd=ROOT)


def pixels(path: Path) -> tuple[Any, ...]:
    with rasterio.open(path) as dataset:
        return dataset.crs, dataset.transform, dataset.shape, dataset.read().tobytes(), dataset.dataset_mask().tobytes()


@pytest.mark.slow
def test_generate_is_the_command_line_to_the_pixel(process: Run, tmp_path: Path) -> None:
    here, there, again = (tmp_path / name for name in ("my image.tif", "there.tif", "again.tif"))
    done = process("rsgeo:generate", AOI=FIELD, PROMPT="green fields", GSD=20, STEPS=2, SEED=4, WRITE_REQUEST=1, OUTPUT=here)
    assert done["results"]["USED_SEED"] == "4" and Path(done["results"]["SIDECAR"]).is_file()
    options = ["--prompt", "green fields", "--gsd", "20", "--num-inference-steps", "2", "--seed", "4"]
    command_line("generate", "--aoi", str(FIELD), *options, str(there))
    assert pixels(here) == pixels(there)
    # What "copy as command line" gives makes the same pixels once more.
    command_line("generate", "--request", str(tmp_path / "my image.request.json"), str(again))
    assert pixels(here) == pixels(again)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "gsd"), [("am_split.json", 20_000), ("curvepolygon.gpkg", 5000), ("polygonwithhole.geojson", 1000)])
def test_real_areas_are_the_command_lines_to_the_pixel(process: Run, tmp_path: Path, name: str, gsd: int) -> None:
    # Across the antimeridian; curves in Lambert-93; a hole.
    area, here, there = Path(shutil.copy(ROOT / "tests" / "data" / "aoi" / name, tmp_path)), tmp_path / "here.tif", tmp_path / "there.tif"
    process("rsgeo:generate", AOI=area, PROMPT="meadows", GSD=gsd, STEPS=2, OUTPUT=here)
    command_line("generate", "--aoi", str(area), "--prompt", "meadows", "--gsd", str(gsd), "--num-inference-steps", "2", str(there))
    assert pixels(here) == pixels(there)


@pytest.mark.slow
def test_prompts_by_polygon_are_the_command_line_to_the_pixel(process: Run, tmp_path: Path) -> None:
    here, there = tmp_path / "here.tif", tmp_path / "there.tif"
    process("rsgeo:generate", AOI=ZONES, PROMPT_FIELD="use", GSD=20, STEPS=2, CRS="EPSG:3035", OUTPUT=here)
    options = ["--prompt-field", "use", "--gsd", "20", "--crs", "EPSG:3035", "--num-inference-steps", "2"]
    command_line("generate", "--aoi", str(ZONES), *options, str(there))
    assert pixels(here) == pixels(there)


@pytest.mark.slow
def test_extend_is_the_command_line_to_the_pixel(process: Run, tmp_path: Path) -> None:
    first, here, there = tmp_path / "first.tif", tmp_path / "here.tif", tmp_path / "there.tif"
    bounds = ["5.98", "50.09", "5.99", "50.1"]
    command_line("generate", "--bounds", *bounds, "--prompt", "a forest", "--gsd", "20", "--num-inference-steps", "2", str(first))
    process("rsgeo:extend", INPUT=first, EXTENT="5.98,6.0,50.09,50.1 [EPSG:4326]", OUTPUT=here)
    command_line("extend", str(first), "--bounds", "5.98", "50.09", "6.0", "50.1", str(there))
    assert pixels(here) == pixels(there)


@pytest.mark.slow
def test_inpaint_is_the_command_line_to_the_pixel(process: Run, tmp_path: Path) -> None:
    series = ROOT / "tests" / "data" / "rasters" / "series"
    raster, mask = Path(shutil.copy(series / "S2_L2A_31UDS_20180416T105619.tif", tmp_path)), tmp_path / "clouds.tif"
    with rasterio.open(raster) as dataset:
        profile = {**dataset.profile, "count": 1, "dtype": "uint8", "nodata": None}
        bright = (dataset.read(1) > 2000).astype("uint8")
    with rasterio.open(mask, "w", **profile) as dataset:
        dataset.write(bright, 1)
    here, there = tmp_path / "here.tif", tmp_path / "there.tif"
    process("rsgeo:inpaint", INPUT=raster, MASK=mask, STEPS=2, OUTPUT=here)
    command_line("inpaint", str(raster), "--mask", str(mask), "--num-inference-steps", "2", str(there))
    assert pixels(here) == pixels(there)


def test_scene_metadata_of_a_raster(process: Run, tmp_path: Path) -> None:
    # QGIS writes statistics beside a raster.
    series = ROOT / "tests" / "data" / "rasters" / "series"
    name = "S2_L2A_31UDS_20180923T105020"
    for path in series.glob(f"{name}*"):
        shutil.copy(path, tmp_path)
    raster = tmp_path / f"{name}.tif"
    results = process("rsgeo:scenemetadata", INPUT=raster, OUTPUT=tmp_path / "metadata.json")["results"]
    assert results["DATE"] == "2018-09-23T10:50:20Z" and results["CRS"] == "EPSG:32631" and results["GSD"].startswith("10.004")
    assert json.loads((tmp_path / "metadata.json").read_text(encoding="utf-8"))["cloud_cover_percent"]["value"] == pytest.approx(1.1719)


@pytest.mark.parametrize("name", ["au-3577-rotated.tif", "inverted_lat.tif"])
def test_scene_metadata_of_a_turned_raster_is_that_of_the_command_line(process: Run, tmp_path: Path, name: str) -> None:
    raster = Path(shutil.copy(ROOT / "tests" / "data" / "rasters" / "transforms" / name, tmp_path))
    process("rsgeo:scenemetadata", INPUT=raster, OUTPUT=tmp_path / "metadata.json")
    told = subprocess.run(
        [os.environ.get("RSGEO_PYTHON", sys.executable), "-m", "rsgeo", "info", "--json", str(raster)], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads((tmp_path / "metadata.json").read_text(encoding="utf-8")) == json.loads(told)


@pytest.mark.slow
def test_extend_of_a_turned_raster_is_the_command_line_to_the_pixel(process: Run, tmp_path: Path) -> None:
    first, here, there = tmp_path / "first.tif", tmp_path / "here.tif", tmp_path / "there.tif"
    like = ROOT / "tests" / "data" / "rasters" / "transforms" / "au-3577-rotated.tif"
    command_line("generate", "--like", str(like), "--prompt", "a forest", "--num-inference-steps", "2", str(first))
    with rasterio.open(first) as image:
        x, y = image.xy(image.height // 2, image.width + 10)
        size = abs(image.transform.a) * 20
    west, south, east, north = x - size, y - size, x + size, y + size
    process("rsgeo:extend", INPUT=first, EXTENT=f"{west},{east},{south},{north} [EPSG:3577]", OUTPUT=here)
    command_line("extend", str(first), "--bounds", *map(str, (west, south, east, north)), "--aoi-crs", "EPSG:3577", str(there))
    assert pixels(here) == pixels(there)


def test_check_installation(process: Run) -> None:
    report = json.loads(process("rsgeo:checkinstallation")["results"]["REPORT"])
    assert {"rsgeo-mini", "rsgeo-mini-inpaint", "rsgeo-mini-superres"} <= {model["name"] for model in report["models"]}
    assert report["devices"][0]["kind"] == "cpu"


def test_a_mistake_ends_with_code_1_and_a_sentence(process: Run, tmp_path: Path) -> None:
    outside = process("rsgeo:generate", code=1, EXTENT="0,20,40,60 [EPSG:4326]", GSD=1, OUTPUT=tmp_path / "out.tif")
    assert "billion pixels" in outside["said"] and "Traceback" not in outside["said"]
    assert "polygon layer or an extent" in process("rsgeo:generate", code=1, OUTPUT=tmp_path / "out.tif")["said"]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def under_way(home: Path, fake_python: Callable[..., str], tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    """A long run: `qgis_process`, the worker's process id, and the folder of the output."""
    folder = tmp_path / "out"
    folder.mkdir()
    words = [str(QGIS_PROCESS), "run", "rsgeo:generate", "--", "EXTENT=0,1,0,1 [EPSG:4326]", f"OUTPUT={folder / 'out.tif'}"]
    env = environment(home, fake_python("ok", "--steps", "10000", "--delay", "0.05"))
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        until = time.monotonic() + 30
        while not (parts := list(folder.iterdir())) and time.monotonic() < until:
            time.sleep(0.05)
        yield process, int(parts[0].suffixes[-2][1:], 16), folder
        process.kill()


def gone_within(pid: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text(encoding="ascii").split()[2] == "Z":
            return True
        time.sleep(0.02)
    return False


def test_a_killed_qgis_leaves_no_worker_and_no_file(under_way: tuple[subprocess.Popen[str], int, Path]) -> None:
    process, worker, folder = under_way
    process.kill()
    assert gone_within(worker, 2.0)
    assert list(folder.iterdir()) == []


def test_an_interrupt_is_a_cancel_and_scripts_notice(under_way: tuple[subprocess.Popen[str], int, Path]) -> None:
    process, worker, folder = under_way
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1 and "Cancelled" in said
    assert gone_within(worker, 1.0)
    assert list(folder.iterdir()) == []
