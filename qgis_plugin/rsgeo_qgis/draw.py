"""A map tool that draws one polygon."""

from __future__ import annotations

from qgis.core import QgsGeometry, QgsPointXY, QgsWkbTypes
from qgis.gui import QgsMapCanvas, QgsMapMouseEvent, QgsMapTool, QgsRubberBand
from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtGui import QColor, QKeyEvent


class DrawPolygon(QgsMapTool):
    """Left button: a corner; right button: done; Escape or Backspace: the last corner was none. ``drawn`` gives the polygon in the map's CRS."""

    drawn = pyqtSignal(QgsGeometry)

    def __init__(self, canvas: QgsMapCanvas) -> None:
        super().__init__(canvas)
        self._corners: list[QgsPointXY] = []
        self.band = outline(canvas)

    def canvasReleaseEvent(self, event: QgsMapMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._corners.append(event.mapPoint())
            self._show()
        elif event.button() == Qt.MouseButton.RightButton and len(self._corners) > 2:
            polygon = QgsGeometry.fromPolygonXY([[*self._corners, self._corners[0]]])
            self.clear()
            self.drawn.emit(polygon)

    def canvasMoveEvent(self, event: QgsMapMouseEvent) -> None:
        if self._corners:
            self._show(event.mapPoint())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Escape, Qt.Key.Key_Backspace) and self._corners:
            event.accept()
            self._corners.pop()
            self._show()

    def deactivate(self) -> None:
        self.clear()
        super().deactivate()

    def clear(self) -> None:
        """Forget the corners."""
        self._corners = []
        self._show()

    def _show(self, pointer: QgsPointXY | None = None) -> None:
        corners = [*self._corners, *([pointer] if pointer is not None else [])]
        self.band.setToGeometry(QgsGeometry.fromPolygonXY([corners]) if corners else QgsGeometry(), None)


def outline(canvas: QgsMapCanvas) -> QgsRubberBand:
    """A rubber band for an area."""
    band = QgsRubberBand(canvas, QgsWkbTypes.geometryType(QgsWkbTypes.Type.Polygon))
    band.setColor(QColor(200, 60, 30))
    band.setFillColor(QColor(200, 60, 30, 30))
    band.setWidth(2)
    return band
