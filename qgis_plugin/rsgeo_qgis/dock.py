"""The dock: a wish beside the map, a preview of it, then the image. A thin form over `request`; all work is the worker's."""

from __future__ import annotations

import os
import secrets
import sys
from typing import Any

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsGeometry,
    QgsProcessingUtils,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsSettings,
)
from qgis.gui import QgsDateTimeEdit, QgsDockWidget, QgsDoubleSpinBox, QgsFileWidget, QgsSpinBox
from qgis.PyQt.QtCore import QCoreApplication, QDateTime, QSize, Qt
from qgis.PyQt.QtGui import QIcon, QPixmap
from qgis.PyQt.QtWidgets import (
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QToolButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from . import history, layers, report, request
from .draw import DrawPolygon, outline
from .history import Entry
from .jobs import Job, Jobs
from .layers import LayerError
from .leftovers import Leftovers
from .protocol import Cancelled, Event, WorkerError

HISTORY_SETTING = "rsgeo/history"
VARIANTS = 4
_THUMBNAIL = 76
_LARGEST_SEED = 2**31 - 1


def tr(text: str) -> str:
    return QCoreApplication.translate("Dock", text)


class Dock(QgsDockWidget):
    """Holds the form, the queue of jobs and the history."""

    def __init__(self, iface: Any) -> None:
        super().__init__(tr("rsgeo: synthetic images"))
        self.setObjectName("RsgeoDock")
        self._iface, self._canvas = iface, iface.mapCanvas()
        self._area: request.Fields | None = None
        self._preview_layer = ""
        self._leftovers: Leftovers | None = None
        self._entries = history.from_text(QgsSettings().value(HISTORY_SETTING) or "[]")
        self._jobs = Jobs(self)
        self._jobs.began.connect(self._began)
        self._jobs.progressed.connect(self._progressed)
        self._jobs.warned.connect(self._warned)
        self._jobs.failed.connect(self._failed)
        self._jobs.idle.connect(self._idle)
        self._tool = DrawPolygon(self._canvas)
        self._tool.drawn.connect(self.use_polygon)
        self._band = outline(self._canvas)
        self._canvas.destinationCrsChanged.connect(self._show_area)
        self._build()
        self._list_history()
        self._idle()

    def close_for_good(self) -> None:
        """End the worker and take the drawing off the map: for unloading."""
        self._jobs.stop()
        self._canvas.destinationCrsChanged.disconnect(self._show_area)
        self._canvas.unsetMapTool(self._tool)
        scene = self._canvas.scene()
        for item in (self._band, self._tool.band):
            scene.removeItem(item)

    # The form

    def _build(self) -> None:
        self.draw, self.map_extent = QPushButton(tr("Draw area")), QPushButton(tr("Map extent"))
        self.draw.setToolTip(tr("Left button: a corner. Right button: done. Escape: the last corner was none."))
        self.draw.clicked.connect(lambda: self._canvas.setMapTool(self._tool))
        self.map_extent.clicked.connect(self.use_map_extent)
        self.area = QLabel(tr("No area yet."))
        self.prompt = QPlainTextEdit()
        self.prompt.setPlaceholderText(tr("What shall be there? For example: vineyards on a slope"))
        self.prompt.setMaximumHeight(64)
        self.date = QgsDateTimeEdit()
        self.date.setDisplayFormat("yyyy-MM-dd")
        self.date.setAllowNull(True)
        self.date.setNullRepresentation(tr("not said"))
        self.date.clear()
        self.gsd = QgsDoubleSpinBox()
        self.gsd.setRange(0.0, 10_000.0)
        self.gsd.setDecimals(3)
        self.gsd.setSuffix(" m")
        self.gsd.setSpecialValueText(tr("the model's own"))
        self.gsd.setClearValue(0.0)
        self.seed = QgsSpinBox()
        self.seed.setRange(0, _LARGEST_SEED)
        self.output = QgsFileWidget()
        self.output.setStorageMode(QgsFileWidget.StorageMode.SaveFile)
        self.output.setFilter("GeoTIFF (*.tif)")
        self.output.lineEdit().setPlaceholderText(tr("[temporary file]"))
        form = QFormLayout()
        form.addRow(_row(self.draw, self.map_extent))
        form.addRow(tr("Area"), self.area)
        form.addRow(tr("Prompt"), self.prompt)
        form.addRow(tr("Date"), self.date)
        form.addRow(tr("GSD"), self.gsd)
        form.addRow(tr("Seed"), self.seed)
        form.addRow(tr("Image file"), self.output)
        self.preview, self.variants, self.generate = QPushButton(tr("Preview")), QPushButton(tr("Four variants")), QPushButton(tr("Generate"))
        self.preview.setToolTip(tr("The 256 × 256 px around the middle of the map: the very pixels of the image."))
        self.variants.setToolTip(tr("The same preview with four seeds; a click on one takes its seed."))
        self.preview.clicked.connect(self.start_preview)
        self.variants.clicked.connect(self.start_variants)
        self.generate.clicked.connect(self.start_generate)
        self.cancel = QPushButton(tr("Cancel"))
        self.cancel.clicked.connect(self._jobs.cancel)
        self.bar, self.status = QProgressBar(), QLabel()
        self.bar.setRange(0, 100)
        self.status.setWordWrap(True)
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.thumbnails = [_thumbnail(self) for _ in range(VARIANTS)]
        grid = QGridLayout()
        for number, button in enumerate(self.thumbnails):
            button.clicked.connect(lambda _=False, button=button: self._take_variant(button))
            grid.addWidget(button, 0, number)
        self.past = QTreeWidget()
        self.past.setHeaderLabels([tr("When"), tr("Prompt"), tr("Seed")])
        self.past.setRootIsDecorated(False)
        self.past.header().setStretchLastSection(False)
        self.past.header().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.past.header().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.past.itemSelectionChanged.connect(self._idle_buttons)
        self.again, self.vary, self.copy = QPushButton(tr("Again")), QPushButton(tr("Vary seed")), QPushButton(tr("Copy as command line"))
        self.again.clicked.connect(lambda: self._repeat(vary=False))
        self.vary.clicked.connect(lambda: self._repeat(vary=True))
        self.copy.clicked.connect(self._copy_command)
        column = QVBoxLayout()
        column.addLayout(form)
        column.addLayout(_row(self.preview, self.variants, self.generate))
        column.addLayout(_row(self.bar, self.cancel))
        column.addWidget(self.status)
        column.addLayout(grid)
        column.addWidget(QLabel(tr("Made before")))
        column.addWidget(self.past, 1)
        column.addLayout(_row(self.again, self.vary))
        column.addWidget(self.copy)
        inner, scroll = QWidget(), QScrollArea()
        inner.setLayout(column)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inner)
        scroll.setMinimumWidth(inner.minimumSizeHint().width() + scroll.verticalScrollBar().sizeHint().width())
        self.setWidget(scroll)

    def use_polygon(self, polygon: QgsGeometry) -> None:
        """Take a polygon in the map's CRS as the area."""
        self._canvas.unsetMapTool(self._tool)
        crs = self._map_crs()
        if crs:
            self._take_area(request.area_wkt(polygon.asWkt(17), crs), tr("drawn"))

    def use_map_extent(self) -> None:
        """Take what the map shows as the area."""
        crs, box = self._map_crs(), self._canvas.extent()
        if crs:
            fields = request.area_bounds(box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum(), crs)
            self._take_area(fields, tr("the map's extent"))

    def _map_crs(self) -> str:
        """The map's CRS for rsgeo; empty, and said so, if it has none."""
        try:
            return layers.crs_text(self._canvas.mapSettings().destinationCrs())
        except LayerError:
            self.status.setText(tr("The map has no coordinate reference system; set the project's."))
            return ""

    def _take_area(self, fields: request.Fields, said: str) -> None:
        self._area = fields
        self.area.setText(f"{said} ({fields['aoi_crs'].split('[')[0]})")
        self._show_area()
        self._idle_buttons()

    def _show_area(self) -> None:
        """Draw the area where it lies in the map's present CRS."""
        if self._area is None:
            return
        bounds = self._area.get("bounds")
        shape = QgsGeometry.fromRect(QgsRectangle(*bounds)) if bounds else QgsGeometry.fromWkt(self._area["aoi"])
        crs = QgsCoordinateReferenceSystem()
        crs.createFromUserInput(self._area["aoi_crs"])
        self._band.setToGeometry(shape, crs)

    def asked(self) -> request.Fields | None:
        """What the form says, as a request; None if no area is chosen."""
        if self._area is None:
            return None
        date = None if self.date.isNull() else self.date.dateTime().date().toString("yyyy-MM-dd")
        return request.generate(
            self._area,
            prompt=self.prompt.toPlainText(),
            gsd_m=self.gsd.value() or None,
            date=date,
            seed=self.seed.value(),
            model=request.DEFAULT_MODEL,
        )

    def _fill(self, asked: request.Fields) -> None:
        """The form as it was when something was asked."""
        ask = asked["ask"]
        self.prompt.setPlainText(ask.get("prompt", ""))
        self.gsd.setValue(float(ask.get("gsd", 0)))
        self.seed.setValue(int(ask.get("seed", 0)))
        if ask.get("date"):
            self.date.setDateTime(QDateTime.fromString(ask["date"], "yyyy-MM-dd"))
        else:
            self.date.clear()
        fields = {name: ask[name] for name in ("aoi", "aoi_crs", "bounds") if name in ask}
        self._take_area(fields, tr("as before"))

    # What is asked

    def start_preview(self) -> None:
        """The middle of the map, at full GSD."""
        asked, crs = self.asked(), self._map_crs()
        if asked is not None and crs:
            self._jobs.add([self._preview_job(asked, crs, tr("Preview"), self._show_preview)])

    def start_variants(self) -> None:
        """The middle of the map with this seed and the next three."""
        asked, crs = self.asked(), self._map_crs()
        if asked is None or not crs:
            return
        first = min(self.seed.value(), _LARGEST_SEED - VARIANTS + 1)
        jobs = []
        for number, button in enumerate(self.thumbnails):
            button.setIcon(QIcon())
            button.setText("")
            one = request.with_seed(asked, first + number)
            title = tr("Variant {} of {}").format(number + 1, VARIANTS)
            jobs.append(self._preview_job(one, crs, title, lambda answer, asked, button=button: self._show_variant(answer, button)))
        self._jobs.add(jobs)

    def start_generate(self) -> None:
        """The whole area: what it costs is said first."""
        asked = self.asked()
        if asked is None:
            return
        output = self.output.filePath() or QgsProcessingUtils.generateTempFilename("image.tif")
        if not output.lower().endswith((".tif", ".tiff")):
            output += ".tif"
        how = request.runtime(stay=True)
        self._leftovers = Leftovers(output)
        self._jobs.add(
            [
                Job("plan", tr("Planning"), {"request": asked, **how}, self._show_plan),
                Job("run", tr("Generating"), {"request": asked, "output": output, **how}, lambda answer: self._made(asked, output, answer)),
            ]
        )

    def _preview_job(self, asked: request.Fields, crs: str, title: str, done: Any) -> Job:
        middle = self._canvas.center()
        window = request.preview(middle.x(), middle.y(), crs)
        output = QgsProcessingUtils.generateTempFilename("preview.tif")
        fields = {"request": asked, "output": output, **window, **request.runtime(stay=True)}
        return Job("run", title, fields, lambda answer: done({**answer, "path": output}, asked))

    # What comes of it

    def _show_plan(self, answer: Event) -> None:
        self.status.setText("\n".join(report.plan_lines(answer)))

    def _show_preview(self, answer: Event, asked: request.Fields) -> None:
        if QgsProject.instance().mapLayer(self._preview_layer) is not None:
            QgsProject.instance().removeMapLayer(self._preview_layer)
        layer = self._load(answer["path"], asked, answer)
        if layer is not None:
            layer.setName(tr("Preview: {}").format(layer.name()))
            self._preview_layer = layer.id()

    def _show_variant(self, answer: Event, button: QToolButton) -> None:
        layer = QgsRasterLayer(answer["path"])
        seed = answer.get("seed")
        if layer.isValid():
            button.setIcon(QIcon(QPixmap.fromImage(layer.previewAsImage(QSize(_THUMBNAIL, _THUMBNAIL)))))
            button.setText(tr("Seed {}").format(seed))
            button.setProperty("seed", seed)

    def _take_variant(self, button: QToolButton) -> None:
        seed = button.property("seed")
        if seed is not None:
            self.seed.setValue(int(seed))

    def _made(self, asked: request.Fields, output: str, answer: Event) -> None:
        self._load(output, asked, answer)
        self.status.setText(tr("Written: {}").format(output))
        now = QDateTime.currentDateTimeUtc().toString("yyyy-MM-ddTHH:mm:ssZ")
        self._entries = history.added(self._entries, Entry(now, asked, output))
        QgsSettings().setValue(HISTORY_SETTING, history.to_text(self._entries))
        self._list_history()

    def _load(self, path: str, asked: request.Fields, answer: Event) -> QgsRasterLayer | None:
        layer = QgsRasterLayer(path, os.path.basename(path))
        if not layer.isValid():
            self.status.setText(tr("{} was written and cannot be shown.").format(path))
            return None
        layers.Mark.of(asked, answer).put_on(layer)
        QgsProject.instance().addMapLayer(layer)
        return layer

    # The history

    def _list_history(self) -> None:
        self.past.clear()
        for entry in self._entries:
            self.past.addTopLevelItem(QTreeWidgetItem([entry.when[:16].replace("T", " "), entry.prompt, str(entry.seed)]))

    def _chosen(self) -> Entry | None:
        index = self.past.indexOfTopLevelItem(self.past.currentItem()) if self.past.selectedItems() else -1
        return self._entries[index] if index >= 0 else None

    def _repeat(self, vary: bool) -> None:
        entry = self._chosen()
        if entry is None:
            return
        # A picture that is there stays: what is made now goes to a file of its own.
        self.output.setFilePath("")
        asked = request.with_seed(entry.request, secrets.randbelow(_LARGEST_SEED)) if vary else dict(entry.request)
        self._fill(asked)
        self.start_generate()

    def _copy_command(self) -> None:
        entry = self._chosen()
        if entry is None:
            return
        path = request.request_path(entry.output)
        command = request.command_line(path, entry.output, sys.platform == "win32")

        def copy(answer: Event) -> None:
            QgsApplication.clipboard().setText(command)
            self.status.setText(tr("Copied: {}").format(command))

        self._jobs.add([Job("request", tr("Writing the request"), {"request": dict(entry.request), "output": path}, copy)])

    # How far it is

    def _began(self, title: str) -> None:
        self.bar.setValue(0)
        self.bar.setFormat(title)
        self._idle_buttons()

    def _progressed(self, percent: float, words: str) -> None:
        self.bar.setValue(int(percent))
        self.bar.setFormat(f"{words} (%p %)")

    def _warned(self, message: str) -> None:
        self._iface.messageBar().pushWarning("rsgeo", message)

    def _failed(self, error: WorkerError | Cancelled) -> None:
        if self._leftovers is not None:
            self._leftovers.remove(job=isinstance(error, Cancelled))
        if isinstance(error, Cancelled):
            self.status.setText(tr("Cancelled; nothing is written."))
            return
        self.status.setText(str(error))
        if error.details:
            QgsApplication.messageLog().logMessage(error.details, "rsgeo")

    def _idle(self) -> None:
        self.bar.setValue(0)
        self.bar.setFormat("")
        self._idle_buttons()

    def _idle_buttons(self) -> None:
        busy = self._jobs.busy
        for button in (self.preview, self.variants, self.generate):
            button.setEnabled(not busy and self._area is not None)
        for button in (self.again, self.vary, self.copy):
            button.setEnabled(not busy and self._chosen() is not None)
        self.cancel.setEnabled(busy)


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row


def _thumbnail(parent: QWidget) -> QToolButton:
    button = QToolButton(parent)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
    button.setIconSize(QSize(_THUMBNAIL, _THUMBNAIL))
    button.setAutoRaise(True)
    return button
