"""What the plugin needs to know of its own QGIS to start a worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from qgis.core import Qgis, QgsApplication, QgsSettings
from qgis.PyQt.QtCore import QCoreApplication, QProcessEnvironment

from . import discover
from .env import child_environment
from .process import Launch
from .protocol import WorkerError

MODELS_SETTING = "rsgeo/models"


def plugin_version() -> str:
    """As `metadata.txt` says it."""
    path = os.path.join(os.path.dirname(__file__), "metadata.txt")
    if not os.path.isfile(path):
        return "unpackaged"
    with open(path, encoding="utf-8") as file:
        return next((line.split("=", 1)[1].strip() for line in file if line.startswith("version=")), "unpackaged")


def launch(folder: str) -> Launch:
    """How to start a worker in ``folder`` (an empty one of its own). Raises WorkerError if no Python with rsgeo is known."""
    environment = child_environment(_environ(), QgsApplication.prefixPath(), sys.platform)
    python = discover.find_python(QgsSettings().value(discover.SETTING) or None, environment)
    if python is None:
        raise WorkerError(
            "no_python",
            QCoreApplication.translate("Installation", "No Python with rsgeo is known."),
            QCoreApplication.translate("Installation", "Choose one in Settings ▸ Options ▸ rsgeo, or set RSGEO_PYTHON."),
        )
    client = f"rsgeo_qgis {plugin_version()} / QGIS {Qgis.version()}"
    return Launch(python, environment, folder, client, QgsApplication.locale())


def remember_models(answer: Mapping[str, Any]) -> None:
    """Keep which models that generate a worker told of, for the lists to choose from."""
    names = [str(model["name"]) for model in answer.get("models", ()) if "generate" in model.get("tasks", ("generate",))]
    QgsSettings().setValue(MODELS_SETTING, names)


def known_models() -> list[str]:
    """The models that a worker told of last; none before there was one."""
    return [str(name) for name in QgsSettings().value(MODELS_SETTING) or []]


def _environ() -> dict[str, str]:
    environment = QProcessEnvironment.systemEnvironment()
    return {name: environment.value(name) for name in environment.keys()}  # noqa: SIM118 - no mapping
