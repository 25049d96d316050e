"""The environment of a Python that runs outside QGIS: what QGIS sets for itself is taken out, for it breaks another interpreter."""

from __future__ import annotations

import ntpath
import posixpath
from collections.abc import Mapping

# Each of these made an outside interpreter fail or load QGIS's libraries, on Linux or in reports from Windows and macOS.
REMOVED = frozenset(
    {
        "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONUSERBASE", "VIRTUAL_ENV",
        "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__",  # python -E and -I do not help against these two
        "PROJ_LIB", "PROJ_DATA", "GDAL_DATA", "GDAL_DRIVER_PATH", "GDAL_PLUGIN_PATH", "GEOTIFF_CSV",
        "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FRAMEWORK_PATH", "DYLD_FALLBACK_LIBRARY_PATH",
        "QT_PLUGIN_PATH", "QT_QPA_PLATFORM_PLUGIN_PATH", "OSGEO4W_ROOT", "QGIS_PREFIX_PATH",
    }
)  # fmt: skip

SET = {
    "PYTHONUTF8": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONNOUSERSITE": "1",
    # The working directory is the folder for temporary files, where anybody may lay a file named like a module (heeded from Python 3.11 on).
    "PYTHONSAFEPATH": "1",
}


def child_environment(environ: Mapping[str, str], qgis_prefix: str, platform: str) -> dict[str, str]:
    """The environment for a Python outside QGIS.

    ``environ`` is the one of QGIS, ``qgis_prefix`` is ``QgsApplication.prefixPath()``, ``platform`` is as in ``sys.platform``. Everything not known
    to do harm stays: home, folders for temporary files, proxies, certificates, CUDA_*, HF_*.
    """
    windows = platform == "win32"
    kept = {name: value for name, value in environ.items() if (name.upper() if windows else name) not in REMOVED}
    roots = qgis_roots(qgis_prefix, platform)
    for name in kept:
        if roots and (name.upper() if windows else name) == "PATH":
            separator = ";" if windows else ":"
            kept[name] = separator.join(entry for entry in kept[name].split(separator) if not any(is_below(entry, root, platform) for root in roots))
    return {**kept, **SET}


def qgis_roots(qgis_prefix: str, platform: str) -> list[str]:
    """The folders that belong to QGIS alone, with all below them; none on Linux, where QGIS shares the folders of the system.

    On Windows the prefix is ``ROOT/apps/qgis`` or ``ROOT/apps/qgis-ltr`` and its Python and libraries lie elsewhere in ROOT; on macOS it lies in
    ``QGIS.app``.
    """
    if not qgis_prefix:
        return []
    if platform == "win32":
        parent, name = ntpath.split(ntpath.normpath(qgis_prefix))
        root, apps = ntpath.split(parent)
        return [root if apps.lower() == "apps" and name.lower().startswith("qgis") else ntpath.normpath(qgis_prefix)]
    if platform == "darwin":
        parts = posixpath.normpath(qgis_prefix).split("/")
        bundle = next((number for number, part in enumerate(parts) if part.endswith(".app")), None)
        return ["/".join(parts[: bundle + 1])] if bundle is not None else []
    return []


def is_below(path: str, root: str, platform: str) -> bool:
    """Whether ``path`` is ``root`` or lies in it, by the names alone; case does not count on Windows and macOS."""
    flavour = ntpath if platform == "win32" else posixpath

    def plain(text: str) -> str:
        normal = flavour.normpath(text.strip().strip('"'))
        return normal if platform.startswith("linux") else flavour.normcase(normal).lower()

    inner, outer = plain(path), plain(root).rstrip(flavour.sep)
    return inner == outer or inner.startswith(outer + flavour.sep)
