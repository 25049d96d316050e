"""Runs inside of QGIS's window (`test_window.py`): installs the zip, generates, loads and removes a layer. What happens stands in the log."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import processing
import pyplugin_installer
from qgis.core import QgsApplication, QgsCoordinateReferenceSystem, QgsProject, QgsRectangle
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QApplication, QPushButton
from qgis.utils import iface, plugins

FOLDER = Path(os.environ["RSGEO_WINDOW"])
EXTENT = "600000,603200,5500000,5502400 [EPSG:32631]"
log: dict[str, object] = {}
gaps: list[float] = []
kept: dict[str, object] = {}


def ticker() -> QTimer:
    """Notes how long the window stood still."""
    last = [time.monotonic()]

    def tick() -> None:
        now = time.monotonic()
        gaps.append(now - last[0])
        last[0] = now

    timer = QTimer()
    timer.timeout.connect(tick)
    timer.start(10)
    return timer


def later(step: Callable[[], None], milliseconds: int = 500) -> None:
    def go() -> None:
        try:
            step()
        except Exception:  # whatever it is, it must reach the test and not hang the window
            log["error"] = traceback.format_exc()
            leave()

    QTimer.singleShot(milliseconds, go)


def until(holds: Callable[[], object], step: Callable[[], None]) -> None:
    later(lambda: step() if holds() else until(holds, step), 200)


def press(text: str) -> None:
    button = next(button for button in kept["dialog"].findChildren(QPushButton) if button.text().replace("&", "") == text)
    button.click()


def layers() -> list[str]:
    return [layer.name() for layer in QgsProject.instance().mapLayers().values()]


def install() -> None:
    pyplugin_installer.instance().installFromZipFile(os.environ["RSGEO_ZIP"])
    log["installed"] = "rsgeo_qgis" in plugins
    log["algorithms"] = [algorithm.id() for algorithm in QgsApplication.processingRegistry().providerById("rsgeo").algorithms()]
    iface.mainWindow().showMaximized()
    canvas = iface.mapCanvas()
    QgsProject.instance().setCrs(QgsCoordinateReferenceSystem("EPSG:32631"))
    canvas.setExtent(QgsRectangle(600_000, 5_500_000, 601_280, 5_501_280))
    plugins["rsgeo_qgis"].show_dock()
    plugins["rsgeo_qgis"]._dock.use_map_extent()
    later(run)


def run() -> None:
    parameters = {"PROMPT": "annual crop land", "EXTENT": EXTENT, "OUTPUT": str(FOLDER / "image.tif")}
    kept["dialog"] = dialog = processing.createAlgorithmDialog("rsgeo:generate", parameters)
    dialog.show()
    later(start)


def start() -> None:
    kept["timer"] = ticker()
    press("Run")
    until(layers, loaded)


def loaded() -> None:
    kept["timer"].stop()
    log["layers"] = layers()
    log["longest_gap"] = max(gaps)
    kept["dialog"].close()
    iface.mapCanvas().zoomToFullExtent()
    later(picture, 2000)


def picture() -> None:
    QApplication.primaryScreen().grabWindow(0).save(str(FOLDER / "window.png"))
    QgsProject.instance().removeAllMapLayers()
    log["left"] = layers()
    # A second run, to be cancelled.
    processing_dialog = processing.createAlgorithmDialog("rsgeo:generate", {"EXTENT": EXTENT, "GSD": 0.6, "OUTPUT": str(FOLDER / "none.tif")})
    kept["dialog"] = processing_dialog
    processing_dialog.show()
    later(lambda: (press("Run"), later(cancel, 6000)))


def cancel() -> None:
    begin = time.monotonic()
    press("Cancel")

    def ended() -> bool:
        run_button = next(button for button in kept["dialog"].findChildren(QPushButton) if button.text() in ("Close", "&Close"))
        return run_button.isEnabled()

    def done() -> None:
        log["cancelled_after"] = time.monotonic() - begin
        log["files"] = sorted(path.name for path in FOLDER.iterdir() if "none" in path.name)
        kept["dialog"].close()
        later(leave, 1500)

    until(ended, done)


def leave() -> None:
    (FOLDER / "log.json").write_text(json.dumps(log), encoding="utf-8")
    # QGIS 3.22 hangs at its end if layers were loaded.
    QgsProject.instance().clear()
    iface.actionExit().trigger()


later(install, 3000)
