"""Builds the plugin's zip: `make plugin`, or `python qgis_plugin/build.py [FOLDER]`.

Needs nothing but Python and Qt's `lrelease`, which compiles the translations. The same files give the same zip, byte for byte.
"""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

PLUGIN = Path(__file__).resolve().parent / "rsgeo_qgis"
TAKEN = {".py", ".txt", ".svg", ".png", ".qml", ""}  # "" is LICENSE
LEFT = {".ts", ".pyc"}
EARLIEST = (1980, 1, 1, 0, 0, 0)  # what a zip can say; every file's time, so that none of them matters
PLACEHOLDER = ".example"


def files() -> Iterator[Path]:
    """The plugin's own files, sorted. Exits where one is of a kind that nobody meant to publish."""
    for path in sorted(PLUGIN.rglob("*")):
        if path.is_file() and path.suffix not in LEFT:
            if path.suffix not in TAKEN or any(part.startswith(".") for part in path.relative_to(PLUGIN).parts):
                sys.exit(f"{path} is no file of the plugin; remove it, or add its kind to TAKEN in {Path(__file__).name}.")
            yield path


def metadata() -> configparser.SectionProxy:
    """What `metadata.txt` says."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(PLUGIN / "metadata.txt", encoding="utf-8")
    return parser["general"]


def lrelease() -> str | None:
    """Qt's compiler of translations on this machine."""
    return next(filter(None, map(shutil.which, ["lrelease", "lrelease-qt5", "lrelease-qt6"])), None)


def translations(folder: Path) -> list[Path]:
    """Every `i18n/*.ts`, compiled into ``folder``. Exits where there is no `lrelease`, or a file that it cannot read."""
    program = lrelease()
    if program is None:
        sys.exit("Qt's lrelease is not on PATH; install it (Debian and Ubuntu: package qttools5-dev-tools) and try again.")
    compiled = []
    for source in sorted((PLUGIN / "i18n").glob("*.ts")):
        target = folder / source.with_suffix(".qm").name
        subprocess.run([program, "-silent", str(source), "-qm", str(target)], check=True)
        compiled.append(target)
    return compiled


def build(folder: Path) -> Path:
    """Write `rsgeo_qgis-VERSION.zip` into ``folder`` and say where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{PLUGIN.name}-{metadata()['version']}.zip"
    with tempfile.TemporaryDirectory() as made, zipfile.ZipFile(target, "w") as archive:
        named = [(path, path.relative_to(PLUGIN.parent).as_posix()) for path in files()]
        named += [(path, f"{PLUGIN.name}/i18n/{path.name}") for path in translations(Path(made))]
        for path, name in sorted(named, key=lambda pair: pair[1]):
            entry = zipfile.ZipInfo(name, EARLIEST)
            entry.compress_type, entry.external_attr, entry.create_system = zipfile.ZIP_DEFLATED, 0o100644 << 16, 3
            archive.writestr(entry, path.read_bytes(), compresslevel=9)
    return target


if __name__ == "__main__":
    print(build(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
    unset = [name for name in ("tracker", "repository", "homepage", "email") if PLACEHOLDER in metadata()[name]]
    if unset:
        print(f"Before it goes to the plugin repository, metadata.txt needs the project's own {', '.join(unset)}; they are placeholders.")
