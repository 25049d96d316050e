"""rsgeo in QGIS: draw an area, say what and when, press Run."""

from __future__ import annotations

from typing import Any


def classFactory(iface: Any) -> Any:
    from .plugin import Plugin

    return Plugin(iface)
