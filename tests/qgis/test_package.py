"""The plugin's zip as the plugin repository's validator and scanners will see it, and what every plugin must keep to."""

from __future__ import annotations

import configparser
import importlib.util
import json
import re
import string
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import build
import pytest
import strings

ROOT = Path(__file__).resolve().parents[2]
REQUIRED = ["name", "description", "version", "qgisMinimumVersion", "author", "email", "about", "tracker", "repository"]
LINKS = ["tracker", "repository", "homepage"]
LRELEASE_MISSING = "Qt's lrelease is not here (Debian and Ubuntu: package qttools5-dev-tools)"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if build.lrelease() is None:
        pytest.skip(LRELEASE_MISSING)
    return build.build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    return folder / "rsgeo_qgis"


# The validator's rules


def test_the_zip_has_one_folder_with_what_a_plugin_must_have(package: Path) -> None:
    with zipfile.ZipFile(package) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
    assert package.stat().st_size <= 25 * 10**6
    (top,) = {name.split("/")[0] for name in names}
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9-_]+", top)
    assert {f"{top}/__init__.py", f"{top}/metadata.txt", f"{top}/LICENSE", f"{top}/icon.svg"} <= set(names)


def test_the_zip_has_nothing_that_a_plugin_must_not_have(package: Path) -> None:
    with zipfile.ZipFile(package) as archive:
        names = archive.namelist()
    assert len(names) == len(set(names))
    bad = re.compile(r"\.pyc$|__pycache__|\.git|__MACOSX|\.\.|^/|\\|\.(so|dll|pyd|dylib|exe|whl|ts)$|/tests?/|/\.")
    assert not [name for name in names if bad.search(name)]


def test_the_metadata_has_all_that_is_required(unpacked: Path) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(unpacked / "metadata.txt", encoding="utf-8")
    general = parser["general"]
    assert not [key for key in REQUIRED if not general.get(key, "").strip()]
    assert all(re.match(r"https?://\S+$", general[link]) for link in LINKS)
    assert "/" not in general["author"] and re.fullmatch(r"[^@\s]+@[^@\s]+", general["email"])
    assert re.fullmatch(r"\d+\.\d+(\.\d+)?", general["version"])
    assert (general["qgisMinimumVersion"], general["qgisMaximumVersion"]) == ("3.22", "3.99") and "supportsQt6" not in general
    assert general["hasProcessingProvider"] == "yes" and general["category"] == "Raster"
    assert (unpacked / general["icon"]).is_file()


def test_plugin_and_package_have_one_version() -> None:
    version = re.search(r'__version__ = "(.+)"', (ROOT / "rsgeo" / "_version.py").read_text(encoding="utf-8"))
    assert version and build.metadata()["version"] == version[1]


def test_the_licence_is_the_gpl(unpacked: Path) -> None:
    text = (unpacked / "LICENSE").read_text(encoding="utf-8")
    assert "GNU GENERAL PUBLIC LICENSE" in text and "Version 2, June 1991" in text and "NO WARRANTY" in text
    assert build.metadata()["license"] == "GPL-2.0-or-later"


def test_the_icon_is_a_drawing_that_qt_can_read(unpacked: Path) -> None:
    root = ElementTree.parse(unpacked / "icon.svg").getroot()
    assert root.tag.endswith("svg")
    assert not {node.tag.rsplit("}")[-1] for node in root.iter()} & {"script", "image", "foreignObject", "style"}


def test_the_same_files_give_the_same_zip(package: Path, tmp_path: Path) -> None:
    assert build.build(tmp_path).read_bytes() == package.read_bytes()


def test_a_file_that_nobody_meant_to_publish_stops_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.docx").touch()
    monkeypatch.setattr(build, "PLUGIN", tmp_path)
    with pytest.raises(SystemExit, match=r"notes\.docx is no file of the plugin"):
        list(build.files())


# The scanners


def test_bandit_finds_nothing(unpacked: Path) -> None:
    if importlib.util.find_spec("bandit") is None:
        pytest.skip("bandit is not installed; the extra dev has it")
    run = subprocess.run([sys.executable, "-m", "bandit", "-q", "-r", str(unpacked), "-f", "json"], capture_output=True, text=True)
    report = json.loads(run.stdout)
    assert not report["errors"] and report["metrics"]["_totals"]["loc"] > 1000
    assert not [(result["test_id"], result["filename"], result["line_number"]) for result in report["results"]]
    assert report["metrics"]["_totals"]["nosec"] == 0


def test_detect_secrets_finds_nothing(unpacked: Path) -> None:
    if importlib.util.find_spec("detect_secrets") is None:
        pytest.skip("detect-secrets is not installed; the extra dev has it")
    command = [sys.executable, "-m", "detect_secrets", "scan", "--all-files", "--no-verify", "."]
    run = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout)["results"] == {}
    (unpacked / "leak.py").write_text('password = "hunter2 and more 8f3k2"\n', encoding="utf-8")
    leaking = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, check=True)
    (unpacked / "leak.py").unlink()
    assert list(json.loads(leaking.stdout)["results"]) == ["leak.py"]  # it always exits with 0: this is how we know that it looked


# The languages


def test_german_is_complete() -> None:
    wanted = strings.messages()
    german = strings.read(strings.PLUGIN / "i18n" / "rsgeo_de.ts")
    hint = "run python qgis_plugin/strings.py and translate what is unfinished"
    assert set(german) == wanted and len(wanted) > 50, hint
    assert not [text for (_, text), translation in german.items() if not translation], hint


def test_a_translation_keeps_what_is_filled_in() -> None:
    def filled(text: str) -> list[str | None]:
        return sorted(str(name) + (conversion or "") for _, name, _, conversion in string.Formatter().parse(text) if name is not None)

    german = strings.read(strings.PLUGIN / "i18n" / "rsgeo_de.ts")
    assert not [text for (_, text), translation in german.items() if filled(text) != filled(translation)]


def test_strings_are_found_in_every_way_they_are_said(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        'def tr(text):\n    return QCoreApplication.translate("Module", text)\n'
        'tr("one " "sentence")\nQCoreApplication.translate("Other", "direct")\nPluginError("wrong {x}", x=1)\n'
        'class Base:\n    def f(self):\n        return self.tr("inherited")\nclass Child(Base):\n    pass\n',
        encoding="utf-8",
    )
    assert strings.messages(tmp_path) == {
        ("Module", "one sentence"), ("Other", "direct"), ("PluginError", "wrong {x}"), ("Base", "inherited"), ("Child", "inherited"),
    }  # fmt: skip
    (tmp_path / "b.py").write_text('def tr(text):\n    return QCoreApplication.translate("B", text)\ntr(f"made up {x}")\n', encoding="utf-8")
    with pytest.raises(SystemExit, match=r"b\.py:3"):
        strings.messages(tmp_path)


def test_translations_survive_an_update() -> None:
    known = {("A", "yes & no"): "ja & nein"}
    text = strings.text_of("de", known, {("A", "yes & no"), ("B", "yes & no"), ("B", "new")})
    assert text.count("<translation>ja &amp; nein</translation>") == 2 and text.count('type="unfinished"') == 1


def test_the_compiled_translation_is_in_the_zip(unpacked: Path) -> None:
    assert [path.name for path in (unpacked / "i18n").iterdir()] == ["rsgeo_de.qm"]
