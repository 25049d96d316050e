"""What becomes of a finished run: the layer that QGIS loads, the files beside it, and its request for the command line."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext

from .. import layers, request
from ..protocol import Event


def load_marked(context: QgsProcessingContext, output: str, result: Event) -> None:
    """If QGIS is going to load the output, it will be marked then."""
    if context.willLoadLayerOnCompletion(output):
        marker = layers.Marker.of(result.get("request") or {}, result.get("seed"))
        context.layerToLoadOnCompletionDetails(output).setPostProcessor(marker)


def sidecar(result: Event) -> str:
    """The path of the STAC item, empty if none was written."""
    outputs = result.get("outputs", ())
    return next((str(entry.get("path", "")) for entry in outputs if entry.get("role") in ("stac", "sidecar")), "")


def write_request(complete: dict[str, Any], output: str, windows: bool) -> str:
    """Write the complete request beside the output; gives the command that makes the same pixels. Raises LayerError."""
    path = request.request_path(output)
    try:
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            file.write(request.request_text(complete))
    except OSError as error:
        raise layers.LayerError(f"{path} cannot be written ({error.strerror}).") from error
    return request.command_line(path, output, windows)
