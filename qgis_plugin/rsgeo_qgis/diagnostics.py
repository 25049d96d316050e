"""What a report of a fault must hold, as text to copy into an issue: no names of people, no values of variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .discover import Python
from .env import REMOVED


def devices(answer: Mapping[str, Any]) -> list[str]:
    """The devices of a worker's answer to ``describe``, one a line."""
    return [_device(device) for device in answer.get("devices", ())]


def models(answer: Mapping[str, Any]) -> list[str]:
    """The models of a worker's answer to ``describe``, one a line."""
    return [_model(model) for model in answer.get("models", ())]


def report(
    versions: Mapping[str, str],
    environ: Mapping[str, str],
    python: Python | None,
    answer: Mapping[str, Any],
    error: str,
    pythons: Iterable[str] = (),
) -> str:
    """Markdown: what runs where, what the worker said of itself, and what went wrong.

    ``versions`` are those of the plugin, QGIS and the system; ``environ`` is QGIS's own environment, of which only the names of those variables are
    told that the worker does not get; ``answer`` is the worker's to ``describe``, with its hello.
    """
    lines = [f"- {name}: {value}" for name, value in versions.items()]
    lines.append(f"- kept from rsgeo: {', '.join(sorted(REMOVED & environ.keys())) or 'nothing'}")
    lines += [f"- found: {found}" for found in pythons]
    if python is None:
        lines.append("- Python that runs rsgeo: none that answered")
    else:
        kind = "virtual environment" if python.in_environment else "no virtual environment"
        lines.append(f"- Python that runs rsgeo: {python.version}, {python.bits} bit, {python.machine}, {kind}, {python.executable}")
        lines.append(f"- its system: {python.system}")
        lines.append(f"- rsgeo in it: {python.rsgeo or 'none'}")
    lines += [f"- device: {line}" for line in devices(answer)] + [f"- model: {line}" for line in models(answer)]
    if answer.get("free_memory"):
        lines.append(f"- free memory: {answer['free_memory'] / 2**30:.1f} GiB")
    lines += [f"- {name}: {version or 'MISSING'}" for name, version in answer.get("versions", {}).items()]
    text = "\n".join(lines)
    if error:
        text += f"\n\n```\n{error.strip()}\n```"
    return without_home(text, environ) + "\n"


def without_home(text: str, environ: Mapping[str, str]) -> str:
    """``text`` with ~ for the user's home, whose path is often a name."""
    for variable in ("HOME", "USERPROFILE"):
        home = environ.get(variable, "").rstrip("/\\")
        if len(home) > 1:
            text = text.replace(home, "~").replace(home.replace("\\", "/"), "~")
    return text


def _device(device: Mapping[str, Any]) -> str:
    memory = device.get("memory")
    words = [device.get("kind"), device.get("name"), f"{memory / 2**30:.1f} GiB" if memory else None]
    return ", ".join(str(word) for word in words if word)


def _model(model: Mapping[str, Any]) -> str:
    words = [model.get("name"), model.get("title"), model.get("licence"), f"weights {model.get('weights', 'unknown')}"]
    return ", ".join(str(word) for word in words if word)
