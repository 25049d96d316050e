"""The algorithms in a real QGIS, without a screen: `tests/qgis/run.sh`. The worker is the fake one, which records what it was asked."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("qgis.core", reason="QGIS is not in this Python; tests/qgis/run.sh runs these")
pytest.importorskip("pytest_qgis", reason="pytest-qgis is not in this Python; tests/qgis/run.sh runs these")

import processing
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsGeometry,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QCoreApplication, QEventLoop, QSize, QTimer
from rsgeo_qgis.layers import Mark, Marker
from rsgeo_qgis.plugin import Plugin

FIELD = "POLYGON ((15 49.65, 15.01 49.65, 15.01 49.66, 15 49.66, 15 49.65))"
SECOND = "POLYGON ((15.02 49.65, 15.03 49.65, 15.03 49.66, 15.02 49.66, 15.02 49.65))"


@pytest.fixture
def provider(qgis_app: QgsApplication, qgis_processing: None) -> Iterator[None]:
    plugin = Plugin(None)
    plugin.initProcessing()
    yield
    plugin.unload()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, fake_python: Callable[..., str], tmp_path: Path) -> Callable[..., Callable[[], list[dict]]]:
    """Has the plugin use a fake worker; gives a function that tells what it was asked."""

    def use(mode: str = "ok", *arguments: str) -> Callable[[], list[dict]]:
        record = tmp_path / "asked.jsonl"
        monkeypatch.setenv("RSGEO_PYTHON", fake_python(mode, "--record", str(record), *arguments))
        return lambda: [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]

    return use


@pytest.fixture
def feedback() -> Feedback:
    return Feedback()


class Feedback(QgsProcessingFeedback):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(False)
        self.lines: list[str] = []
        self.percents: list[float] = []
        self.progressChanged.connect(self.percents.append)

    def pushInfo(self, info: str) -> None:
        self.lines.append(info)

    def pushWarning(self, warning: str) -> None:
        self.lines.append(f"Warning: {warning}")

    def pushConsoleInfo(self, info: str) -> None:
        self.lines.append(info)

    def pushCommandInfo(self, info: str) -> None:
        self.lines.append(info)


def polygons(*wkts: str, crs: str = "EPSG:4326", kind: str = "Polygon", prompts: tuple[object, ...] = ()) -> QgsVectorLayer:
    layer = QgsVectorLayer(f"{kind}?crs={crs}&field=fid:integer&field=cover:string", "fields", "memory")
    features = []
    for number, wkt in enumerate(wkts):
        feature = QgsFeature(layer.fields())
        feature.setGeometry(QgsGeometry.fromWkt(wkt))
        feature.setAttributes([7, prompts[number] if prompts else None])
        features.append(feature)
    layer.dataProvider().addFeatures(features)
    return layer


def handed_over(asked: list[dict], op: str = "run") -> dict:
    return next(message for message in asked if message["op"] == op)


@pytest.fixture
def areas(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[QgsFeature]]:
    """The features that were written for the worker, by layer: the file itself is gone with the run."""
    import rsgeo_qgis.layers as layers

    kept: dict[str, list[QgsFeature]] = {}
    write = layers._write

    def keep(*arguments: object) -> None:
        write(*arguments)
        path, layer = arguments[4], arguments[5]
        kept[layer] = [QgsFeature(feature) for feature in QgsVectorLayer(f"{path}|layername={layer}", "", "ogr").getFeatures()]

    monkeypatch.setattr(layers, "_write", keep)
    return kept


def test_a_polygon_becomes_a_marked_layer(provider, worker, feedback, tmp_path) -> None:
    asked = worker()
    output = str(tmp_path / "out.tif")
    parameters = {"PROMPT": "vineyards", "AOI": polygons(FIELD), "GSD": 10, "DATE": "2024-05-06", "SEED": 7, "OUTPUT": output}
    result = processing.run("rsgeo:generate", parameters, feedback=feedback)
    assert result["OUTPUT"] == output and result["USED_SEED"] == "7"
    layer = QgsRasterLayer(output)
    assert layer.crs().authid() == "EPSG:32633" and layer.width() == 16
    message = handed_over(asked())
    ask = message["request"]["ask"]
    assert {name: ask[name] for name in ("prompt", "gsd", "date", "seed", "model", "layer")} == {
        "prompt": "vineyards", "gsd": "10", "date": "2024-05-06", "seed": 7, "model": "rsgeo-mini", "layer": "aoi",
    }  # fmt: skip
    assert "crs" not in ask and "cloud_cover" not in ask and "prompt_field" not in ask
    assert message["output"] == output and message["runtime"] == {"device": "auto", "overwrite": True, "on_cancel": "exit"}
    assert not os.path.exists(os.path.dirname(ask["aoi"]))  # the run's folder is gone
    said = "\n".join(feedback.lines)
    assert "Size: 16 × 16 px" in said and "0.65 GB" in said and "about 12 s" in said
    assert said.count("Warning: A warning of the plan and the run.") == 1
    assert feedback.percents == sorted(feedback.percents) and feedback.percents[-1] == 100


def test_an_extent_keeps_its_own_crs(provider, worker, tmp_path) -> None:
    asked = worker()
    processing.run("rsgeo:generate", {"EXTENT": "500000,501000,5500000,5502000 [EPSG:32633]", "OUTPUT": str(tmp_path / "out.tif")})
    ask = handed_over(asked())["request"]["ask"]
    assert ask["bounds"] == [500000, 5500000, 501000, 5502000] and ask["aoi_crs"] == "EPSG:32633" and "aoi" not in ask


def test_a_crs_of_nobody_travels_as_wkt2(provider, worker, tmp_path) -> None:
    asked = worker()
    own = QgsCoordinateReferenceSystem.fromProj("+proj=laea +lat_0=49.5 +lon_0=15.5 +datum=WGS84 +units=m")
    processing.run("rsgeo:generate", {"EXTENT": "0,1,0,1 [EPSG:4326]", "CRS": own, "OUTPUT": str(tmp_path / "out.tif")})
    crs = handed_over(asked())["request"]["ask"]["crs"]
    assert crs.startswith("PROJCRS[") and "Lambert Azimuthal Equal Area" in crs


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "polygon layer or an extent"),
        ({"AOI": FIELD, "EXTENT": "0,1,0,1 [EPSG:4326]"}, "not both"),
        ({"EXTENT": "0,1,0,1 [EPSG:4326]", "PROMPT_FIELD": "cover"}, "belongs to a polygon layer"),
        ({"EXTENT": "0,1,0,1 [EPSG:4326]", "GSD": 0.01}, "GSD"),
        ({"EXTENT": "0,1,0,1 [EPSG:4326]", "DATE": "6 May 2024"}, "DATE"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_starts(provider, worker, tmp_path, changes, said) -> None:
    worker("absent")
    if "AOI" in changes:
        changes = {**changes, "AOI": polygons(changes["AOI"])}
    with pytest.raises(QgsProcessingException, match=said):
        processing.run("rsgeo:generate", {**changes, "OUTPUT": str(tmp_path / "out.tif")})


def test_selected_features_filter_and_whole_layer(provider, worker, areas, tmp_path) -> None:
    worker()
    layer = polygons(FIELD, SECOND)
    output = str(tmp_path / "out.tif")
    processing.run("rsgeo:generate", {"AOI": layer, "OUTPUT": output})
    assert len(areas["aoi"]) == 2
    layer.select(2)
    QgsProject.instance().addMapLayer(layer)
    selected = QgsProcessingFeatureSourceDefinition(layer.id(), selectedFeaturesOnly=True)
    processing.run("rsgeo:generate", {"AOI": selected, "OUTPUT": output})
    assert [feature.geometry().asWkt(2) for feature in areas["aoi"]] == [QgsGeometry.fromWkt(SECOND).asWkt(2)]
    layer.removeSelection()
    with pytest.raises(QgsProcessingException, match="no features"):
        processing.run("rsgeo:generate", {"AOI": selected, "OUTPUT": output})
    layer.setSubsetString("cover = 'none'")
    QgsProject.instance().removeMapLayer(layer)


def test_prompts_come_from_all_polygons_and_the_area_from_the_selected(provider, worker, areas, tmp_path) -> None:
    asked = worker()
    layer = polygons(FIELD, SECOND, SECOND, prompts=("vineyards", "a lake", None))
    layer.select(1)
    QgsProject.instance().addMapLayer(layer)
    selected = QgsProcessingFeatureSourceDefinition(layer.id(), selectedFeaturesOnly=True)
    processing.run("rsgeo:generate", {"AOI": selected, "PROMPT_FIELD": "cover", "OUTPUT": str(tmp_path / "out.tif")})
    assert len(areas["aoi"]) == 1
    assert [feature["prompt"] or "" for feature in areas["prompts"]] == ["vineyards", "a lake", ""]
    ask = handed_over(asked())["request"]["ask"]
    assert ask["prompt_field"] == "prompt" and ask["prompt_layer"] == {"path": ask["aoi"], "layer": "prompts"}
    QgsProject.instance().removeMapLayer(layer)


@pytest.mark.parametrize(
    ("kind", "wkt"),
    [
        ("MultiPolygon", "MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)), ((2 2, 3 2, 3 3, 2 2)))"),
        ("PolygonZ", "POLYGON Z ((0 0 5, 1 0 5, 1 1 5, 0 0 5))"),
        ("Polygon", "POLYGON ((0 0, 1 1, 1 0, 0 1, 0 0))"),  # crosses itself: rsgeo's to repair
        ("CurvePolygon", "CURVEPOLYGON (CIRCULARSTRING (0 0, 1 1, 2 0, 1 -1, 0 0))"),
    ],
)
def test_geometry_is_handed_over_as_it_is(provider, worker, areas, tmp_path, kind, wkt) -> None:
    worker()
    processing.run("rsgeo:generate", {"AOI": polygons(wkt, kind=kind), "OUTPUT": str(tmp_path / "out.tif")})
    (feature,) = areas["aoi"]
    assert feature.geometry().equals(QgsGeometry.fromWkt(wkt))


def test_a_layer_without_crs_is_refused(provider, worker, tmp_path) -> None:
    worker()
    layer = polygons(FIELD)
    layer.setCrs(QgsCoordinateReferenceSystem())
    with pytest.raises(QgsProcessingException, match="no coordinate reference system"):
        processing.run("rsgeo:generate", {"AOI": layer, "OUTPUT": str(tmp_path / "out.tif")})


@pytest.mark.parametrize(
    ("mode", "said", "detail"),
    [
        ("absent", "no working rsgeo", "No module named rsgeo"),
        ("rubbish", "no working rsgeo", "Welcome! Type help for help."),
        ("version", "speaks protocol 2", ""),
        ("crash", "memory ran out", "about to be killed"),
        ("exit", "ended with code 3", "ZeroDivisionError"),
        ("rubbish-later", "no message", "something printed"),
        ("error", "Take a smaller area", ""),
    ],
)
def test_each_failure_of_a_worker_is_one_clear_message(provider, worker, feedback, tmp_path, mode, said, detail) -> None:
    worker(mode)
    output = tmp_path / "folder with ä" / "out.tif"
    output.parent.mkdir()
    with pytest.raises(QgsProcessingException, match=said) as caught:
        processing.run("rsgeo:generate", {"EXTENT": "0,1,0,1 [EPSG:4326]", "OUTPUT": str(output)}, feedback=feedback)
    assert len(str(caught.value).splitlines()) <= 2 and "Traceback" not in str(caught.value)
    assert detail in str(caught.value) + "\n".join(feedback.lines)
    assert list(output.parent.iterdir()) == []


def test_a_python_that_is_none(provider, monkeypatch, tmp_path) -> None:
    parameters = {"EXTENT": "0,1,0,1 [EPSG:4326]", "OUTPUT": str(tmp_path / "out.tif")}
    monkeypatch.setenv("RSGEO_PYTHON", str(tmp_path / "no such python"))
    with pytest.raises(QgsProcessingException, match="cannot be started"):
        processing.run("rsgeo:generate", parameters)
    monkeypatch.delenv("RSGEO_PYTHON")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(QgsProcessingException, match="No Python with rsgeo is known"):
        processing.run("rsgeo:generate", parameters)


def test_a_silent_worker_is_not_waited_for(provider, worker, monkeypatch, tmp_path) -> None:
    import rsgeo_qgis.process as process

    monkeypatch.setattr(process, "HELLO_WITHIN_S", 0.5)
    worker("silent")
    with pytest.raises(QgsProcessingException, match="no working rsgeo"):
        processing.run("rsgeo:generate", {"EXTENT": "0,1,0,1 [EPSG:4326]", "OUTPUT": str(tmp_path / "out.tif")})


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class InThread:
    """A run as the toolbox makes it, in a thread, beside a timer that tells how long the main thread stood still."""

    def __init__(self, name: str, parameters: dict) -> None:
        self.context, self.feedback = QgsProcessingContext(), Feedback()
        self.parameters = parameters  # layers among them live as long as somebody keeps them
        self.context.setProject(QgsProject.instance())
        algorithm = QgsApplication.processingRegistry().createAlgorithmById(name)
        self.task = QgsProcessingAlgRunnerTask(algorithm, parameters, self.context, self.feedback)
        self.gaps: list[float] = []
        self.results: dict | None = None
        self.ok: bool | None = None
        self.task.executed.connect(self._done)
        self.active = True  # the task itself is gone when it ended
        self.task.taskCompleted.connect(self._ended)
        self.task.taskTerminated.connect(self._ended)

    def _ended(self) -> None:
        self.active = False

    def _done(self, ok: bool, results: dict) -> None:
        self.ok, self.results = ok, results

    def run(self, cancel_after: float | None = None, limit: float = 30.0) -> float:
        """Runs it; seconds from the cancel to the end."""
        loop, last = QEventLoop(), [time.monotonic()]

        def tick() -> None:
            now = time.monotonic()
            self.gaps.append(now - last[0])
            last[0] = now
            if not self.active or now - start > limit:
                loop.quit()

        timer = QTimer()
        timer.timeout.connect(tick)
        cancelled_at = [0.0]

        def cancel() -> None:
            cancelled_at[0] = time.monotonic()
            self.task.cancel()

        if cancel_after is not None:
            QTimer.singleShot(int(cancel_after * 1000), cancel)
        start = time.monotonic()
        QgsApplication.taskManager().addTask(self.task)
        timer.start(10)
        loop.exec()
        timer.stop()
        ended = time.monotonic()
        QCoreApplication.processEvents()
        return ended - cancelled_at[0]


def test_a_run_in_a_thread_leaves_the_window_alone(provider, worker, tmp_path) -> None:
    worker("ok", "--steps", "60", "--delay", "0.01")
    longest = []
    for number in range(3):  # best of three: other work on the machine stalls a window too
        output = tmp_path / f"out{number}.tif"
        run = InThread("rsgeo:generate", {"AOI": polygons(FIELD), "OUTPUT": str(output)})
        run.run()
        assert run.ok and output.is_file()
        longest.append(max(run.gaps))
    assert min(longest) < 0.3


@pytest.mark.parametrize(("mode", "limit"), [("ok", 1.0), ("hang", 5.0)])
def test_cancel_leaves_no_process_and_no_file(provider, worker, tmp_path, mode, limit) -> None:
    asked = worker(mode, "--steps", "1000", "--delay", "0.05")
    folder = tmp_path / "out"
    folder.mkdir()
    run = InThread("rsgeo:generate", {"EXTENT": "0,1,0,1 [EPSG:4326]", "OUTPUT": str(folder / "out.tif")})
    parts: list[Path] = []
    QTimer.singleShot(900, lambda: parts.extend(folder.iterdir()))
    seconds = run.run(cancel_after=1.0)
    assert parts
    part = next(path for path in parts if path.suffix == ".part" and path.suffixes[-2] != ".xyz")
    process_id = int(part.suffixes[-2][1:], 16)  # as the fake worker names it
    assert seconds < limit
    assert list(folder.iterdir()) == []
    assert not alive(process_id)
    assert "cancel" in [message["op"] for message in asked()]


def test_a_loaded_result_is_marked(provider, worker, tmp_path) -> None:
    worker()
    output = str(tmp_path / "out.tif")
    parameters = {"EXTENT": "0,1,0,1 [EPSG:4326]", "PROMPT": "a harbour", "OUTPUT": output}
    result = processing.runAndLoadResults("rsgeo:generate", parameters)
    (layer,) = [layer for layer in QgsProject.instance().mapLayers().values() if layer.source() == result["OUTPUT"]]
    assert layer.name() == "a harbour (synthetic)"
    assert "Synthetic image" in layer.metadata().abstract() and "a harbour" in layer.metadata().abstract()
    assert layer.metadata().keywords()["rsgeo"]
    assert not layer.temporalProperties().isActive()
    renderer = layer.renderer()
    assert (renderer.redBand(), renderer.greenBand(), renderer.blueBand()) == (1, 2, 3)
    assert not Marker.waiting  # used up
    QgsProject.instance().clear()


def test_what_lies_outside_of_the_area_stays_transparent(qgis_app, tmp_path) -> None:
    path = shutil.copy(Path(__file__).resolve().parents[1] / "data" / "rasters" / "masks" / "cog_uint8_rgb_mask.tif", tmp_path)
    layer = QgsRasterLayer(str(path))
    Mark("a lake", "rsgeo-mini", 3, "Apache-2.0").put_on(layer)
    assert layer.renderer().alphaBand() == 4
    assert layer.previewAsImage(QSize(64, 64)).hasAlphaChannel()
    assert layer.metadata().licenses() == ["Apache-2.0"]


def test_the_request_beside_the_output(provider, worker, feedback, tmp_path) -> None:
    worker()
    output = tmp_path / "my image.tif"
    processing.run("rsgeo:generate", {"EXTENT": "0,1,0,1 [EPSG:4326]", "SEED": 5, "WRITE_REQUEST": True, "OUTPUT": str(output)}, feedback=feedback)
    path = tmp_path / "my image.request.json"
    assert json.loads(path.read_text(encoding="utf-8"))["seed"] == 5
    assert f"rsgeo generate --request '{path}' '{output}'" in feedback.lines


def test_scene_metadata(provider, worker, tmp_path) -> None:
    asked = worker()
    # QGIS writes statistics beside a raster.
    raster = shutil.copy(Path(__file__).resolve().parents[1] / "data" / "rasters" / "transforms" / "au-3577.tif", tmp_path)
    report = tmp_path / "report.json"
    result = processing.run("rsgeo:scenemetadata", {"INPUT": str(raster), "OUTPUT": str(report)})
    assert handed_over(asked(), "info")["path"] == str(raster)
    assert result["GSD"] == "10.004" and result["CRS"] == "EPSG:32633" and result["DATE"] == ""
    assert json.loads(report.read_text(encoding="utf-8"))["center_lon"] == 15.0
    processing.run("rsgeo:scenemetadata", {"AOI": polygons(FIELD), "OUTPUT": str(tmp_path / "report.html")})
    assert "<td>15.0</td>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    with pytest.raises(QgsProcessingException, match="one of the two"):
        processing.run("rsgeo:scenemetadata", {})


def test_extend_continues_a_file(provider, worker, tmp_path) -> None:
    asked = worker()
    raster = str(tmp_path / "before.tif")
    processing.run("rsgeo:generate", {"AOI": polygons(FIELD), "OUTPUT": raster})
    output = str(tmp_path / "after.tif")
    processing.run("rsgeo:extend", {"INPUT": raster, "EXTENT": "15,15.02,49.65,49.67 [EPSG:4326]", "OUTPUT": output})
    message = [message for message in asked() if message["op"] == "run"][-1]
    assert message["request"] == {
        "schema_version": 1, "task": "extend", "existing": raster, "ask": {"bounds": [15, 49.65, 15.02, 49.67], "aoi_crs": "EPSG:4326"},
    }  # fmt: skip
    assert QgsRasterLayer(output).isValid()


def test_inpaint_hands_over_what_marks_the_pixels(provider, worker, areas, tmp_path, feedback) -> None:
    asked = worker()
    raster, mask = str(tmp_path / "before.tif"), str(tmp_path / "clouds.tif")
    for path in (raster, mask):
        processing.run("rsgeo:generate", {"AOI": polygons(FIELD), "OUTPUT": path})

    def inpaint(**parameters: object) -> dict:
        output = str(tmp_path / "after.tif")
        processing.run("rsgeo:inpaint", {"INPUT": raster, "OUTPUT": output, **parameters}, feedback=feedback)
        assert QgsRasterLayer(output).isValid()
        return [message for message in asked() if message["op"] == "run"][-1]["request"]

    assert inpaint(MASK=mask, MASK_VALUES="3, 9", PROMPT="a lake", SEED=4, STEPS=2) == {
        "schema_version": 1, "task": "inpaint", "raster": raster,
        "ask": {"mask": mask, "mask_values": [3, 9], "prompt": "a lake", "seed": 4, "num_inference_steps": 2},
    }  # fmt: skip
    assert inpaint(MASK=mask)["ask"] == {"mask": mask}
    assert inpaint(NODATA=True)["ask"] == {"mask": "nodata"}
    asked_of_area = inpaint(POLYGONS=polygons(FIELD, SECOND))["ask"]
    assert asked_of_area["mask"].endswith("area.gpkg") and asked_of_area["layer"] == "aoi" and len(areas["aoi"]) == 2
    for wrong, words in (
        ({}, "one of the three"),
        ({"MASK": mask, "NODATA": True}, "one of the three"),
        ({"NODATA": True, "MASK_VALUES": "3"}, "belong to a mask raster"),
        ({"MASK": mask, "MASK_VALUES": "three"}, "between commas"),
    ):
        with pytest.raises(QgsProcessingException, match=words):
            inpaint(**wrong)


def test_a_partly_synthetic_layer_says_so_and_keeps_its_look(provider, tmp_path, worker) -> None:
    worker()
    path = str(tmp_path / "before.tif")
    processing.run("rsgeo:generate", {"AOI": polygons(FIELD), "OUTPUT": path})
    layer = QgsRasterLayer(path)
    look = layer.renderer().type()
    request = {"model": {"name": "rsgeo-mini"}, "prompt": "a lake", "references": [{"role": "known"}]}
    Mark.of({"ask": {}}, {"request": request, "seed": 1}).put_on(layer)
    assert layer.name() == "a lake (partly synthetic)" and layer.metadata().abstract().lower().find("synthetic") >= 0
    assert layer.renderer().type() == look


def test_super_resolve_takes_a_raster_or_a_product(provider, worker, tmp_path) -> None:
    asked = worker()
    raster, output = str(tmp_path / "coarse.tif"), str(tmp_path / "fine.tif")
    processing.run("rsgeo:generate", {"AOI": polygons(FIELD), "OUTPUT": raster})
    processing.run("rsgeo:superres", {"INPUT": raster, "GSD": 2.5, "BANDS": "B04,B03,B02", "RADIOMETRY": "dn", "OUTPUT": output})
    message = [message for message in asked() if message["op"] == "run"][-1]
    assert message["request"] == {
        "schema_version": 1, "task": "superres", "references": [raster],
        "ask": {"gsd": "2.5", "band_names": ["B04", "B03", "B02"], "radiometry": "dn"},
    }  # fmt: skip
    product = tmp_path / "MTD_MSIL2A.xml"
    product.write_text("<x/>")
    processing.run("rsgeo:superres", {"PRODUCT": str(product), "GSD": 5, "EXTENT": "15,15.02,49.65,49.67 [EPSG:4326]", "OUTPUT": output})
    message = [message for message in asked() if message["op"] == "run"][-1]
    assert message["request"]["references"] == [str(product)]
    assert message["request"]["ask"] == {"bounds": [15, 49.65, 15.02, 49.67], "aoi_crs": "EPSG:4326", "gsd": "5"}
    for wrong in ({}, {"INPUT": raster, "PRODUCT": str(product)}):
        with pytest.raises(QgsProcessingException, match="a raster or a Sentinel-2 product"):
            processing.run("rsgeo:superres", {**wrong, "GSD": 2.5, "OUTPUT": output})


def test_predict_hands_over_the_series_in_its_order(provider, worker, tmp_path) -> None:
    asked = worker()
    rasters = [str(tmp_path / name) for name in ("b.tif", "a.tif")]
    for raster in rasters:
        processing.run("rsgeo:generate", {"AOI": polygons(FIELD), "OUTPUT": raster})
    said = {"DATE": "2021-06-01", "DATES": "2016-05-01,2018-05-01", "TRUTH": rasters[0], "MODEL": "texas", "OUTPUT": str(tmp_path / "then.tif")}
    processing.run("rsgeo:predict", {"SERIES": rasters, **said})
    message = [message for message in asked() if message["op"] == "run"][-1]
    assert message["request"] == {
        "schema_version": 1, "task": "predict", "references": rasters, "truth": rasters[0],
        "ask": {"date": "2021-06-01", "reference_dates": ["2016-05-01", "2018-05-01"], "model": "texas"},
    }  # fmt: skip


def test_a_raster_that_is_no_file(provider, worker) -> None:
    worker()
    layer = QgsRasterLayer("type=xyz&url=file:///nowhere/{z}/{x}/{y}.png", "tiles", "wms")
    with pytest.raises(QgsProcessingException, match="no raster file"):
        processing.run("rsgeo:scenemetadata", {"INPUT": layer})
    with pytest.raises(QgsProcessingException, match="no raster file"):
        processing.run("rsgeo:extend", {"INPUT": layer, "EXTENT": "0,1,0,1 [EPSG:4326]", "OUTPUT": "TEMPORARY_OUTPUT"})


def test_check_installation(provider, worker, feedback) -> None:
    worker()
    result = processing.run("rsgeo:checkinstallation", {}, feedback=feedback)
    assert result["VERSION"] == "9.8.7" and result["PYTHON"].endswith("python-ok")
    assert json.loads(result["REPORT"])["devices"][0]["kind"] == "cpu"
    assert any("rsgeo-mini" in line for line in feedback.lines)


def test_the_plugin_comes_and_goes_twice(qgis_app, qgis_iface) -> None:
    from rsgeo_qgis import classFactory

    registry = QgsApplication.processingRegistry()
    for _ in range(2):
        plugin = classFactory(qgis_iface)
        plugin.initGui()
        assert registry.algorithmById("rsgeo:generate") is not None
        plugin.unload()
        assert registry.providerById("rsgeo") is None


def test_a_model_chain(provider, worker, tmp_path) -> None:
    from qgis.core import (
        QgsProcessingModelAlgorithm,
        QgsProcessingModelChildAlgorithm,
        QgsProcessingModelChildParameterSource,
        QgsProcessingModelOutput,
        QgsProcessingModelParameter,
        QgsProcessingParameterExtent,
    )

    worker()
    source = QgsProcessingModelChildParameterSource
    model = QgsProcessingModelAlgorithm("synthetic statistics", "")
    model.addModelParameter(QgsProcessingParameterExtent("extent", "extent"), QgsProcessingModelParameter("extent"))
    first = QgsProcessingModelChildAlgorithm("rsgeo:generate")
    first.setChildId("generate")
    first.addParameterSources("EXTENT", [source.fromModelParameter("extent")])
    model.addChildAlgorithm(first)
    second = QgsProcessingModelChildAlgorithm("native:rasterlayerstatistics")
    second.setChildId("statistics")
    second.addParameterSources("INPUT", [source.fromChildOutput("generate", "OUTPUT")])
    second.addParameterSources("BAND", [source.fromStaticValue(2)])
    model.addChildAlgorithm(second)
    output = QgsProcessingModelOutput("report", "report")
    output.setChildId("statistics")
    output.setChildOutputName("OUTPUT_HTML_FILE")
    result = processing.run(model, {"extent": "0,1,0,1 [EPSG:4326]"})
    assert result["CHILD_RESULTS"]["statistics"]["MEAN"] == 120


def test_batch_rows_are_runs_of_their_own(provider, worker, tmp_path) -> None:
    asked = worker()
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("rsgeo:generate")
    for name, prompt in (("one", "vineyards"), ("two", "meadows")):  # as the batch window does: one algorithm, a context for each row
        parameters = {"PROMPT": prompt, "AOI": polygons(FIELD), "OUTPUT": str(tmp_path / f"{name}.tif")}
        results, ok = algorithm.run(parameters, QgsProcessingContext(), Feedback())
        assert ok and results["OUTPUT"] == parameters["OUTPUT"] and Path(results["OUTPUT"]).is_file()
    assert [message["request"]["ask"]["prompt"] for message in asked() if message["op"] == "run"] == ["vineyards", "meadows"]
