"""The guided set-up as it runs in QGIS: real processes, stopped, gone on with, failing; its window; and from nothing to a picture."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("qgis.core", reason="QGIS is not in this Python; tests/qgis/run.sh runs these")
pytest.importorskip("pytest_qgis", reason="pytest-qgis is not in this Python; tests/qgis/run.sh runs these")

from qgis.core import QgsApplication, QgsSettings
from qgis.PyQt.QtCore import QCoreApplication, QTranslator
from rsgeo_qgis import discover, guided_setup
from rsgeo_qgis.env import child_environment
from rsgeo_qgis.guided_setup import Plan, Step
from rsgeo_qgis.installer import Installer, Prober
from rsgeo_qgis.sentence import PluginError
from rsgeo_qgis.settings import OptionsFactory, OptionsPage
from rsgeo_qgis.setup_dialog import SetupDialog, said

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"  # an outside one: what QGIS's is embedded from, but started as a program


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "home of Jörg"
    home.mkdir()
    return child_environment({**os.environ, "HOME": str(home), "PATH": "/usr/bin:/bin"}, "/usr", sys.platform)


@pytest.fixture
def until(qgis_app: QgsApplication) -> Callable[..., None]:
    """Lets QGIS's event loop run until something holds."""

    def wait(holds: Callable[[], object], seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "this did not come"
            QCoreApplication.processEvents()
            time.sleep(0.01)

    return wait


class Told:
    """What an Installer said, in order."""

    def __init__(self, installer: Installer) -> None:
        self.begun: list[int] = []
        self.lines: list[str] = []
        self.ended: list[object] = []
        installer.begins.connect(self.begun.append)
        installer.said.connect(self.lines.append)
        installer.done.connect(lambda: self.ended.append("done"))
        installer.stopped.connect(self.ended.append)


def plan(folder: Path, *scripts: str, again_from: int | None = None) -> Plan:
    """A set-up whose steps are these Python scripts."""
    numbered = enumerate(scripts)
    steps = tuple(Step("verify", PYTHON, ("-c", script), number if again_from is None else again_from) for number, script in numbered)
    return Plan(str(folder), steps, PYTHON, str(folder / "wheels"), (str(folder / "bundle.zip"),))


def alive(mark: str) -> list[str]:
    """The command lines of this machine's processes that hold ``mark``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue  # it ended meanwhile
        if mark in command and "pytest" not in command:
            found.append(command)
    return found


def test_steps_run_in_order_and_every_line_is_shown(tmp_path: Path, environment: dict[str, str], until: Callable[..., None]) -> None:
    folder = tmp_path / "set-up é"
    folder.mkdir()
    (folder / "bundle.zip").touch()
    installer = Installer()
    told = Told(installer)
    installer.run(plan(folder, "print('eins é'); print('two', end='')", "import os; print(os.getcwd())"), environment)
    until(lambda: told.ended)
    assert told.ended == ["done"] and told.begun == [0, 1] and not installer.running
    assert [line for line in told.lines if not line.startswith("$")] == ["eins é", "two", str(folder)]
    assert not (folder / "bundle.zip").exists()  # what is no longer needed goes


def test_a_step_that_fails_says_its_last_line_and_is_begun_again(tmp_path: Path, environment: dict[str, str], until: Callable[..., None]) -> None:
    door = tmp_path / "door"
    scripts = ["print('once')", f"import os, sys; os.path.exists({str(door)!r}) or sys.exit('the door is shut')", "print('last')"]
    installer = Installer()
    told = Told(installer)
    installer.run(plan(tmp_path / "s", *scripts), environment)
    until(lambda: told.ended)
    assert isinstance(told.ended[0], PluginError) and "the door is shut" in str(told.ended[0])
    assert installer.begun(plan(tmp_path / "s", *scripts))
    door.touch()
    installer.run(plan(tmp_path / "s", *scripts), environment)
    until(lambda: len(told.ended) == 2)
    assert told.ended[1] == "done" and told.begun == [0, 1, 1, 2]


def test_stop_ends_all_that_a_step_started(tmp_path: Path, environment: dict[str, str], until: Callable[..., None]) -> None:
    mark = f"sleeper-{os.getpid()}"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(99)', '{mark}'])"
    installer = Installer()
    told = Told(installer)
    installer.run(plan(tmp_path / "s", script), environment)
    until(lambda: len(alive(mark)) == 2)
    installer.cancel()
    until(lambda: told.ended, 5)
    assert told.ended == [None]
    until(lambda: not alive(mark), 5)


def test_what_a_step_started_is_stopped_even_if_it_does_not_listen(tmp_path: Path, environment: dict[str, str], until: Callable[..., None]) -> None:
    mark = f"deaf-{os.getpid()}"
    child = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(99)  # {mark}"
    installer = Installer()
    told = Told(installer)
    installer.run(plan(tmp_path / "s", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"), environment)
    until(lambda: "deaf" in told.lines)
    installer.cancel()
    until(lambda: told.ended, 5)
    until(lambda: not alive(mark), 5)


def test_a_step_that_does_not_listen_is_stopped_all_the_same(tmp_path: Path, environment: dict[str, str], until: Callable[..., None]) -> None:
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(99)"
    installer = Installer()
    told = Told(installer)
    installer.run(plan(tmp_path / "s", script), environment)
    until(lambda: "deaf" in told.lines)
    installer.cancel()
    until(lambda: told.ended, 10)
    assert told.ended == [None]


def test_unloading_stops_a_step_at_once(tmp_path: Path, environment: dict[str, str], until: Callable[..., None]) -> None:
    mark = f"unloaded-{os.getpid()}"
    installer = Installer()
    told = Told(installer)
    installer.run(plan(tmp_path / "s", f"import time; time.sleep(99)  # {mark}"), environment)
    until(lambda: alive(mark))
    installer.close()
    assert not alive(mark) and not installer.running and not told.ended


@pytest.mark.parametrize("python", ["/nowhere/python", "/etc/hostname"])
def test_a_python_that_is_none_is_said_to_be_none(python: str, environment: dict[str, str], until: Callable[..., None], tmp_path: Path) -> None:
    installer, prober = Installer(), Prober()
    told, failed = Told(installer), []
    installer.run(Plan(str(tmp_path / "s"), (Step("verify", python, (), 0),), python, "", ()), environment)
    until(lambda: told.ended)
    assert isinstance(told.ended[0], PluginError) and f"{python} cannot be started" in str(told.ended[0])
    prober.failed.connect(lambda path, error: failed.append((path, str(error))))
    prober.ask([python, python], environment, str(tmp_path))
    until(lambda: len(failed) == 2)
    assert failed[0][0] == python and "cannot be started" in failed[0][1]


def test_a_folder_that_cannot_be_written_is_said_so(tmp_path: Path, environment: dict[str, str], until: Callable[..., None]) -> None:
    (tmp_path / "file").touch()
    installer = Installer()
    told = Told(installer)
    installer.run(plan(tmp_path / "file" / "s", "print(1)"), environment)
    assert "cannot be written" in str(told.ended[0])


def test_the_window_says_what_is_missing_until_all_is_there(tmp_path: Path, environment: dict[str, str], until: Callable[..., None]) -> None:
    dialog = SetupDialog(environment)
    until(lambda: dialog.python.count())
    assert "Choose the folder of wheels" in dialog.verdict.text() and not dialog.start.isEnabled()
    dialog.wheels.setFilePath(str(tmp_path))
    assert "holds no wheel of rsgeo" in dialog.verdict.text()
    dialog.from_bundle.setChecked(True)
    assert "neither a whole path nor" in dialog.verdict.text()
    dialog.location.setText("https://example.org/wheels.zip")
    assert "no SHA-256" in dialog.verdict.text()
    dialog.sha256.setText("ab" * 32)
    assert dialog.start.isEnabled() and "MB are free" in dialog.verdict.text()
    dialog.folder.setFilePath(os.path.join(QgsApplication.qgisSettingsDirPath(), "rsgeo"))
    assert "belongs to QGIS" in dialog.verdict.text() and not dialog.start.isEnabled()
    assert not Path(environment["HOME"], ".local").exists()  # nothing was done
    dialog.end()


def test_the_window_speaks_german(tmp_path: Path, qgis_app: QgsApplication) -> None:
    lrelease = shutil.which("lrelease")
    if lrelease is None:
        pytest.skip("Qt's lrelease is not here (Debian and Ubuntu: package qttools5-dev-tools)")
    german = tmp_path / "rsgeo_de.qm"
    subprocess.run([lrelease, "-silent", str(ROOT / "qgis_plugin/rsgeo_qgis/i18n/rsgeo_de.ts"), "-qm", str(german)], check=True)
    translator = QTranslator()
    assert translator.load(str(german))
    QCoreApplication.installTranslator(translator)
    try:
        assert said(PluginError("There is no file {path}.", path="x.zip")) == "Es gibt keine Datei x.zip."
        page = OptionsFactory().createWidget(None)
        assert page.set_up.text() == "rsgeo einrichten…"
    finally:
        QCoreApplication.removeTranslator(translator)


def test_the_page_tells_that_there_is_no_rsgeo(qgis_app: QgsApplication, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("RSGEO_PYTHON", raising=False)
    page = OptionsPage()
    page.python.setFilePath(PYTHON)
    page.show()
    until(lambda: "has no rsgeo" in page.verdict.text())
    assert "- QGIS: 3." in page.report.toPlainText() and os.environ["HOME"] not in page.report.toPlainText()
    until(lambda: page.pythons.topLevelItemCount())
    page.hide()


def test_the_page_lists_devices_and_models(fake_python: Callable[..., str], qgis_app: QgsApplication, until: Callable[..., None]) -> None:
    page = OptionsPage()
    page._probed(fake_python("ok"), discover.Python("python", "/env", "3.11.2", 64, "0.1.0", True, True, True, "x86_64", "Linux"))
    until(lambda: "works" in page.verdict.text())
    assert "cpu" in page.verdict.text() and "rsgeo-mini" in page.verdict.text()
    assert "- device: " in page.report.toPlainText() and "- model: rsgeo-mini" in page.report.toPlainText()
    page.hide()


@pytest.mark.parametrize(("mode", "words"), [("rubbish", "no working rsgeo"), ("version", "speaks protocol")])
def test_the_page_tells_what_is_wrong_with_a_worker(
    mode: str, words: str, fake_python: Callable[..., str], qgis_app: QgsApplication, until: Callable[..., None]
) -> None:
    page = OptionsPage()
    page._probed(fake_python(mode), discover.Python("python", "/env", "3.11.2", 64, "0.1.0", True, True, True, "x86_64", "Linux"))
    until(lambda: words in page.verdict.text())
    assert words in page.report.toPlainText()
    page.hide()


def stand_in(path: Path, needs: str = "") -> None:
    """A wheel named rsgeo whose only word is that it works, for the way of a bundle; the slow test has the real ones."""
    info = "rsgeo-0.1.0.dist-info"
    files = {
        "rsgeo/__init__.py": "",
        "rsgeo/__main__.py": "import sys; print('all sound:', *sys.argv[1:])",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: rsgeo\nVersion: 0.1.0\n" + (f"Requires-Dist: {needs}\n" if needs else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
        wheel.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"]))


@pytest.mark.slow
def test_a_bundle_becomes_an_environment_and_leaves_nothing_else(tmp_path: Path, environment: dict[str, str], until: Callable[..., None]) -> None:
    stand_in(tmp_path / "rsgeo-0.1.0-py3-none-any.whl")
    bundle = tmp_path / "rsgeo wheels.zip"
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.write(tmp_path / "rsgeo-0.1.0-py3-none-any.whl", "wheels/rsgeo-0.1.0-py3-none-any.whl")
    dialog = SetupDialog(environment)
    ready: list[str] = []
    dialog.ready.connect(ready.append)
    until(dialog.python.count)
    dialog.from_bundle.setChecked(True)
    dialog.location.setText(str(bundle))
    dialog.sha256.setText("0" * 64)
    dialog.start.click()
    until(lambda: "this is not the file that was meant" in dialog.verdict.text())

    dialog.sha256.setText(hashlib.sha256(bundle.read_bytes()).hexdigest())
    dialog.start.click()
    until(lambda: ready or "stopped" in dialog.verdict.text(), 120)
    folder = Path(guided_setup.default_folder(environment, sys.platform))
    assert ready == [guided_setup.interpreter(str(folder), sys.platform)] and "all sound: doctor" in dialog.log.toPlainText()
    assert sorted(path.name for path in folder.iterdir()) == ["python", guided_setup.JOURNAL]


@pytest.mark.slow
def test_a_wheel_that_is_missing_is_not_looked_for_elsewhere(tmp_path: Path, environment: dict[str, str], until: Callable[..., None]) -> None:
    stand_in(tmp_path / "rsgeo-0.1.0-py3-none-any.whl", needs="numpy")
    dialog = SetupDialog(environment)
    until(dialog.python.count)
    dialog.wheels.setFilePath(str(tmp_path))
    dialog.start.click()
    until(lambda: "stopped" in dialog.verdict.text(), 120)
    assert "No matching distribution found for numpy" in dialog.verdict.text()


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels of rsgeo and all that it needs, for the Python of QGIS's system. RSGEO_WHEELS names a folder that has them already."""
    if "RSGEO_WHEELS" in os.environ:
        return Path(os.environ["RSGEO_WHEELS"])
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "-c", str(ROOT / "constraints.txt"), "-w", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    return folder


@pytest.mark.slow
def test_from_nothing_to_a_picture(
    wheels: Path, tmp_path: Path, environment: dict[str, str], until: Callable[..., None], monkeypatch: pytest.MonkeyPatch, qgis_processing: None
) -> None:
    """No rsgeo anywhere, a folder of wheels: stopped while it installs, gone on with, and then Generate works."""
    import processing
    from rsgeo_qgis.plugin import Plugin

    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("RSGEO_PYTHON", raising=False)
    QgsSettings().remove(discover.SETTING)
    assert discover.find_python(None, environment) is None

    page = OptionsPage()
    page._environment = environment  # a home with nothing in it
    page.open_setup()
    dialog = page.setup
    until(dialog.python.count)
    dialog.wheels.setFilePath(str(wheels))
    until(dialog.start.isEnabled)
    folder = Path(guided_setup.default_folder(environment, sys.platform))
    assert not folder.exists() and "MB in the folder" in dialog.verdict.text()

    dialog.start.click()
    until(lambda: "Processing " in dialog.log.toPlainText(), 120)  # pip is at work
    dialog.stop.click()
    until(dialog.start.isEnabled, 20)
    assert dialog.start.text() == "Go on" and not alive(str(folder))

    dialog.start.click()
    until(lambda: "works, in" in dialog.verdict.text(), 900)
    python = guided_setup.interpreter(str(folder), sys.platform)
    assert QgsSettings().value(discover.SETTING) == python
    until(lambda: "rsgeo-mini" in page.verdict.text(), 120)
    installed = sum(path.lstat().st_size for path in folder.rglob("*"))
    assert installed < guided_setup.sizes_of(guided_setup.WheelFolder(str(wheels)), discover.list_folder).installed * 1.1

    plugin = Plugin(None)
    plugin.initProcessing()
    output = tmp_path / "from nothing.tif"
    parameters = {"EXTENT": "15.000,15.004,49.650,49.653 [EPSG:4326]", "PROMPT": "a forest", "GSD": 10, "SEED": 1, "OUTPUT": str(output)}
    processing.run("rsgeo:generate", parameters)
    plugin.unload()
    read = "import rasterio, sys; d = rasterio.open(sys.argv[1]); print(d.count, d.crs.to_epsg(), d.read().std() > 1)"
    told = subprocess.run([python, "-c", read, str(output)], capture_output=True, text=True, check=True, env=environment)
    assert told.stdout.split() == ["3", "32633", "True"]
    QgsSettings().remove(discover.SETTING)
    page.hide()
    dialog.end()
