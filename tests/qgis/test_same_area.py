"""A layer in QGIS asks for the very area that its file asks for on the command line: equal requests give equal pixels.

With the real `rsgeo worker`, of RSGEO_PYTHON or the checkout's .venv; no model is run.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("qgis.core", reason="QGIS is not in this Python; tests/qgis/run.sh runs these")
pytest.importorskip("pytest_qgis", reason="pytest-qgis is not in this Python; tests/qgis/run.sh runs these")

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsFeatureRequest,
    QgsProcessingContext,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProject,
    QgsVectorFileWriter,
    QgsVectorLayer,
)
from rsgeo_qgis.algorithms import Extend, Generate
from rsgeo_qgis.plugin import Plugin
from rsgeo_qgis.running import ask, run_folder, told

DATA = Path(__file__).resolve().parents[1] / "data" / "aoi"
ROOT = DATA.parents[2]
RSGEO_PYTHON = os.environ.get("RSGEO_PYTHON", str(ROOT / ".venv" / "bin" / "python"))

COMMAND_LINE = """
import json, sys, warnings
from rsgeo.request import Ask
from rsgeo.tasks.resolve import resolve
warnings.simplefilter("ignore")
print(resolve(Ask(**json.loads(sys.argv[1]))).request.canonical_json())
"""


@pytest.fixture(scope="module", autouse=True)
def rsgeo(qgis_app: QgsApplication) -> Iterator[None]:
    if not os.path.exists(RSGEO_PYTHON):
        pytest.skip(f"there is no Python with rsgeo at {RSGEO_PYTHON}; run make, or set RSGEO_PYTHON")
    patch = pytest.MonkeyPatch()
    patch.setenv("RSGEO_PYTHON", RSGEO_PYTHON)
    plugin = Plugin(None)
    plugin.initProcessing()
    yield
    plugin.unload()
    patch.undo()


def in_qgis(tmp_path: Path, algorithm: Generate | Extend | None = None, **parameters: object) -> dict:
    """The complete request that the plugin's parameters come to."""
    algorithm = algorithm or Generate()
    algorithm.initAlgorithm({})
    context, feedback = QgsProcessingContext(), QgsProcessingFeedback(False)
    context.setProject(QgsProject.instance())
    parameters.setdefault("OUTPUT", "TEMPORARY_OUTPUT")
    good, said = algorithm.checkParameterValues(parameters, context)
    assert good, said
    output = tmp_path / "request.json"
    with told(feedback), run_folder() as folder:
        assert algorithm.prepareAlgorithm(parameters, context, feedback)
        ask(folder, feedback, "request", request=algorithm.asked(parameters, context, feedback, folder), output=str(output))
    return json.loads(output.read_text(encoding="utf-8"))


def on_the_command_line(**typed: object) -> dict:
    """What `rsgeo generate` comes to with these options."""
    words = [RSGEO_PYTHON, "-c", COMMAND_LINE, json.dumps(typed)]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True, cwd=ROOT).stdout)


FILES = {
    "grenada.geojson": "30", "svn_border.geojson": "200", "lux1_aoi.geojson": "10", "am_one-hole.json": "2000",
    "am_split.json": "2000", "am_over-180.json": "2000", "mp_overlapping.fgb": "100", "curvepolygon.gpkg": "100", "hourglass.geojson": "100",
    "polygonwithhole.geojson": "100",
}  # fmt: skip


@pytest.mark.parametrize(("name", "gsd"), FILES.items())
def test_a_file_as_a_layer(tmp_path: Path, name: str, gsd: str) -> None:
    layer = QgsVectorLayer(str(DATA / name), name, "ogr")
    assert layer.isValid()
    assert in_qgis(tmp_path, AOI=layer, GSD=float(gsd), SEED=3) == on_the_command_line(aoi=str(DATA / name), gsd=gsd, seed=3, model="rsgeo-mini")


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:32633", "EPSG:3035", "EPSG:4258", "ESRI:54009", "+proj=laea +lat_0=50 +lon_0=6 +datum=WGS84"])
def test_a_memory_layer_in_any_crs(tmp_path: Path, crs: str) -> None:
    system = QgsCoordinateReferenceSystem.fromProj(crs) if crs.startswith("+") else QgsCoordinateReferenceSystem(crs)
    source = QgsVectorLayer(str(ROOT / "examples" / "field.geojson"), "field", "ogr")
    layer = source.materialize(QgsFeatureRequest().setDestinationCrs(system, QgsProject.instance().transformContext()))
    layer.setCrs(system)
    path = tmp_path / "field.gpkg"
    options = QgsVectorFileWriter.SaveVectorOptions()
    QgsVectorFileWriter.writeAsVectorFormatV3(layer, str(path), QgsProject.instance().transformContext(), options)
    assert in_qgis(tmp_path, AOI=layer, GSD=10) == on_the_command_line(aoi=str(path), gsd="10", seed=0, model="rsgeo-mini")


def test_a_filter_and_a_selection(tmp_path: Path) -> None:
    path = str(ROOT / "examples" / "land_use.geojson")
    layer = QgsVectorLayer(path, "land use", "ogr")
    field = layer.fields()[0].name()
    value = next(layer.getFeatures())[field]
    where = f"\"{field}\" = '{value}'"
    there = on_the_command_line(aoi=path, where=where, gsd="10", seed=0, model="rsgeo-mini")
    layer.selectByExpression(where)
    QgsProject.instance().addMapLayer(layer)
    selected = QgsProcessingFeatureSourceDefinition(layer.id(), selectedFeaturesOnly=True)
    assert in_qgis(tmp_path, AOI=selected, GSD=10) == there
    layer.setSubsetString(where)
    assert in_qgis(tmp_path, AOI=layer, GSD=10) == there
    assert there != on_the_command_line(aoi=path, gsd="10", seed=0, model="rsgeo-mini")
    QgsProject.instance().clear()


def test_prompts_by_polygon(tmp_path: Path) -> None:
    path = str(ROOT / "examples" / "land_use.geojson")
    layer = QgsVectorLayer(path, "land use", "ogr")
    field = layer.fields()[0].name()
    here = in_qgis(tmp_path, AOI=layer, PROMPT="fields", PROMPT_FIELD=field, GSD=10)
    assert here["regions"]
    assert here == on_the_command_line(aoi=path, prompt="fields", prompt_field=field, gsd="10", seed=0, model="rsgeo-mini")


@pytest.mark.parametrize(
    ("extent", "crs"),
    [
        ((6.0, 50.0, 6.02, 50.02), "EPSG:4326"),
        ((179.99, -17.01, 180.01, -16.99), "EPSG:4326"),  # across the antimeridian, as the map shows it
        ((300_000.0, 5_550_000.0, 301_000.0, 5_551_000.0), "EPSG:32632"),
        ((700_000.0, 6_600_000.0, 701_000.0, 6_601_000.0), "EPSG:3857"),
    ],
)
def test_an_extent(tmp_path: Path, extent: tuple[float, float, float, float], crs: str) -> None:
    west, south, east, north = extent
    text = f"{west},{east},{south},{north} [{crs}]"
    there = on_the_command_line(bounds=extent, aoi_crs=crs, gsd="10", seed=0, model="rsgeo-mini")
    assert in_qgis(tmp_path, EXTENT=text, GSD=10) == there


def test_all_that_can_be_typed(tmp_path: Path) -> None:
    typed = {"PROMPT": "a lake", "NEGATIVE_PROMPT": "towns", "GSD": 0.6, "DATE": "2024-05-06", "CLOUD": 20, "CRS": "EPSG:3035", "SEED": 9}
    here = in_qgis(tmp_path, EXTENT="6,6.01,50,50.01 [EPSG:4326]", STEPS=5, GUIDANCE=1.5, **typed)
    there = on_the_command_line(
        bounds=(6, 50, 6.01, 50.01), aoi_crs="EPSG:4326", prompt="a lake", negative_prompt="towns", gsd="0.6", date="2024-05-06", cloud_cover=20.0,
        crs="EPSG:3035", seed=9, num_inference_steps=5, guidance_scale=1.5, model="rsgeo-mini",
    )  # fmt: skip
    assert here == there


def test_what_rsgeo_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    from qgis.core import QgsProcessingException

    with pytest.raises(QgsProcessingException, match="billion pixels"):
        in_qgis(tmp_path, EXTENT="0,20,40,60 [EPSG:4326]", GSD=1)
