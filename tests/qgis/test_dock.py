"""The dock in a real QGIS, without a screen: its worker stays, works beside the window, and goes with the plugin."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("qgis.core", reason="QGIS is not in this Python; tests/qgis/run.sh runs these")
pytest.importorskip("pytest_qgis", reason="pytest-qgis is not in this Python; tests/qgis/run.sh runs these")

from qgis.core import QgsApplication, QgsCoordinateReferenceSystem, QgsCoordinateTransform, QgsGeometry, QgsProject, QgsRectangle, QgsSettings
from qgis.gui import QgsMapMouseEvent
from qgis.PyQt.QtCore import QCoreApplication, QEvent, QPoint, Qt
from rsgeo_qgis import dock as dock_module
from rsgeo_qgis.dock import Dock


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, fake_python: Callable[..., str], tmp_path: Path) -> Callable[..., None]:
    def use(mode: str = "ok", *arguments: str) -> None:
        monkeypatch.setenv("RSGEO_PYTHON", fake_python(mode, "--record", str(tmp_path / "asked.jsonl"), *arguments))

    return use


@pytest.fixture
def asked(tmp_path: Path) -> Callable[[], list[dict]]:
    return lambda: [json.loads(line) for line in (tmp_path / "asked.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def dock(qgis_app: QgsApplication, qgis_iface: object) -> Iterator[Dock]:
    QgsSettings().remove(dock_module.HISTORY_SETTING)
    canvas = qgis_iface.mapCanvas()
    canvas.resize(400, 400)
    canvas.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:32633"))
    canvas.setExtent(QgsRectangle(500_000, 5_500_000, 504_000, 5_504_000))
    dock = Dock(qgis_iface)
    yield dock
    dock.close_for_good()
    QgsProject.instance().clear()


def wait(holds: Callable[[], object], seconds: float = 20.0) -> float:
    """Runs the event loop until something holds; the longest time the loop stood still."""
    end, longest = time.monotonic() + seconds, 0.0
    while not holds():
        begin = time.monotonic()
        assert begin < end, "this did not come"
        QCoreApplication.processEvents()
        longest = max(longest, time.monotonic() - begin)
        time.sleep(0.005)
    return longest


def names() -> list[str]:
    return sorted(layer.name() for layer in QgsProject.instance().mapLayers().values())


def runs(messages: list[dict]) -> list[dict]:
    return [message for message in messages if message["op"] == "run"]


def test_nothing_can_be_asked_before_there_is_an_area(dock, use) -> None:
    use()
    assert not dock.generate.isEnabled() and not dock.preview.isEnabled() and not dock.cancel.isEnabled()
    dock.use_map_extent()
    assert dock.generate.isEnabled() and not dock.again.isEnabled()


def test_preview_then_image_on_one_worker(dock, use, asked, tmp_path) -> None:
    use()
    dock.use_map_extent()
    dock.prompt.setPlainText("vineyards")
    dock.seed.setValue(7)
    dock.gsd.setValue(10)
    dock.preview.click()
    assert not dock.generate.isEnabled() and dock.cancel.isEnabled()
    wait(lambda: dock.generate.isEnabled())
    assert names() == ["Preview: vineyards (synthetic)"]
    dock.preview.click()
    wait(lambda: dock.generate.isEnabled())
    assert names() == ["Preview: vineyards (synthetic)"]  # the new one takes the place of the old
    output = tmp_path / "image.tif"
    dock.output.setFilePath(str(output))
    dock.generate.click()
    wait(lambda: dock.generate.isEnabled())
    assert output.is_file() and names() == ["Preview: vineyards (synthetic)", "vineyards (synthetic)"]
    messages = asked()
    assert [message["op"] for message in messages] == ["init", "run", "run", "plan", "run"]  # one conversation
    first, _, full = runs(messages)
    assert first["preview"]["size"] == 256 and first["preview"]["crs"] == "EPSG:32633"
    assert (first["preview"]["x"], first["preview"]["y"]) == pytest.approx((502_000, 5_502_000))
    assert first["request"] == full["request"] and "preview" not in full  # the very pixels of the image
    assert full["request"]["ask"]["gsd"] == "10" and full["runtime"]["on_cancel"] == "stay"


def test_a_plan_is_said_before_the_image(dock, use) -> None:
    use("ok", "--steps", "20", "--delay", "0.05")
    dock.use_map_extent()
    dock.generate.click()
    wait(lambda: "0.65 GB" in dock.status.text())
    assert dock.cancel.isEnabled()
    wait(lambda: dock.generate.isEnabled())


def test_a_drawn_area(dock, use, qgis_iface) -> None:
    use()
    canvas = qgis_iface.mapCanvas()
    dock.draw.click()
    tool = canvas.mapTool()
    for x, y, button in [(100, 100, "Left"), (200, 100, "Left"), (200, 200, "Left"), (0, 0, "Right")]:
        button = Qt.MouseButton.LeftButton if button == "Left" else Qt.MouseButton.RightButton
        event = QgsMapMouseEvent(canvas, QEvent.Type.MouseButtonRelease, QPoint(x, y), button)
        tool.canvasReleaseEvent(event)
    ask = dock.asked()["ask"]
    assert ask["aoi_crs"] == "EPSG:32633" and QgsGeometry.fromWkt(ask["aoi"]).area() == pytest.approx(canvas.mapUnitsPerPixel() ** 2 * 5000, rel=0.05)


def test_the_area_stays_in_its_place_when_the_map_gets_another_crs(dock, use, qgis_iface) -> None:
    dock.use_map_extent()
    before = dock.asked()["ask"]
    qgis_iface.mapCanvas().setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:4326"))
    assert dock.asked()["ask"] == before
    map_crs, degrees = QgsCoordinateReferenceSystem("EPSG:32633"), QgsCoordinateReferenceSystem("EPSG:4326")
    there = QgsCoordinateTransform(map_crs, degrees, QgsProject.instance()).transformBoundingBox(QgsRectangle(*before["bounds"]))
    assert dock._band.asGeometry().boundingBox().center().distance(there.center()) < 0.001


def test_four_variants_and_taking_one(dock, use, asked) -> None:
    use()
    dock.use_map_extent()
    dock.seed.setValue(40)
    dock.variants.click()
    wait(lambda: dock.generate.isEnabled())
    assert [message["request"]["ask"]["seed"] for message in runs(asked())] == [40, 41, 42, 43]
    assert all(not button.icon().isNull() for button in dock.thumbnails)
    dock.thumbnails[2].click()
    assert dock.seed.value() == 42


def test_again_and_vary_seed(dock, use, asked, tmp_path, qgis_iface) -> None:
    use()
    dock.use_map_extent()
    dock.prompt.setPlainText("a lake")
    dock.seed.setValue(5)
    dock.generate.click()
    wait(lambda: dock.generate.isEnabled())
    dock.prompt.setPlainText("something else")
    other = Dock(qgis_iface)  # as after a restart
    other.past.setCurrentItem(other.past.topLevelItem(0))
    other.again.click()
    wait(lambda: other.generate.isEnabled())
    other.past.setCurrentItem(other.past.topLevelItem(0))
    other.vary.click()
    wait(lambda: other.generate.isEnabled())
    first, again, varied = runs(asked())
    assert again["request"] == first["request"] and again["output"] != first["output"]
    assert varied["request"]["ask"] == {**first["request"]["ask"], "seed": varied["request"]["ask"]["seed"]}
    assert varied["request"]["ask"]["seed"] != 5
    assert other.past.topLevelItemCount() == 3
    other.close_for_good()


def test_copy_as_command_line(dock, use, tmp_path) -> None:
    use()
    dock.use_map_extent()
    output = tmp_path / "my image.tif"
    dock.output.setFilePath(str(output))
    dock.generate.click()
    wait(lambda: dock.generate.isEnabled())
    dock.past.setCurrentItem(dock.past.topLevelItem(0))
    dock.copy.click()
    wait(lambda: dock.status.text().startswith("Copied"))
    path = tmp_path / "my image.request.json"
    assert path.is_file()
    assert QgsApplication.clipboard().text() == f"rsgeo generate --request '{path}' '{output}'"


def test_cancel_keeps_the_worker_and_leaves_no_file(dock, use, asked, tmp_path) -> None:
    use("ok", "--steps", "1000", "--delay", "0.02")
    folder = tmp_path / "out"
    folder.mkdir()
    dock.use_map_extent()
    dock.output.setFilePath(str(folder / "image.tif"))
    dock.generate.click()
    wait(lambda: list(folder.iterdir()))
    dock.cancel.click()
    began = time.monotonic()
    wait(lambda: dock.generate.isEnabled())
    assert time.monotonic() - began < 1.0
    assert "Cancelled" in dock.status.text() and list(folder.iterdir()) == []
    dock.preview.click()
    wait(lambda: len(runs(asked())) == 2)
    assert [message["op"] for message in asked()].count("init") == 1  # the same worker
    dock.cancel.click()
    wait(lambda: dock.generate.isEnabled())


def test_a_worker_that_heeds_no_cancel_is_ended(dock, use, monkeypatch, tmp_path) -> None:
    import rsgeo_qgis.process as process

    monkeypatch.setattr(process, "WARM_CANCEL_S", 0.3)
    monkeypatch.setattr(process, "OWNER_GONE_S", 0.3)
    use("hang", "--steps", "2")
    dock.use_map_extent()
    dock.generate.click()
    wait(lambda: dock.bar.format().startswith("Computing"))
    dock.cancel.click()
    wait(lambda: dock.generate.isEnabled())
    assert "Cancelled" in dock.status.text()
    use("ok")
    dock.preview.click()
    wait(lambda: dock.generate.isEnabled())
    assert names() == ["Preview: rsgeo-mini (synthetic)"]


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("absent", "no working rsgeo"),
        ("rubbish", "no working rsgeo"),
        ("version", "speaks protocol 2"),
        ("crash", "memory ran out"),
        ("rubbish-later", "no message"),
        ("error", "Take a smaller area"),
    ],
)
def test_each_failure_is_one_message_and_the_next_run_works(dock, use, mode, said) -> None:
    use(mode)
    dock.use_map_extent()
    dock.generate.click()
    wait(lambda: dock.generate.isEnabled())
    assert said in dock.status.text()
    if mode != "error":
        use("ok")
        dock.preview.click()
        wait(lambda: dock.generate.isEnabled())
        assert len(names()) == 1


def test_the_window_stays_alive(dock, use) -> None:
    use("ok", "--steps", "100", "--delay", "0.005")
    dock.use_map_extent()
    longest = []
    for _ in range(3):  # best of three: other work on the machine stalls a window too
        dock.preview.click()
        longest.append(wait(lambda: dock.generate.isEnabled()))
    assert min(longest) < 0.3


def test_unloading_ends_the_worker(qgis_app, qgis_iface, use) -> None:
    use("ok", "--steps", "1000", "--delay", "0.02")
    dock = Dock(qgis_iface)
    dock.use_map_extent()
    dock.generate.click()
    wait(lambda: dock.bar.format().startswith("Computing"))
    process = dock._jobs._worker._process
    assert process.processId()
    dock.close_for_good()
    assert process.processId() == 0
