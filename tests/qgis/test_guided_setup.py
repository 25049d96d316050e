"""The guided set-up as data: where it may go, where it may come from, what it costs, its commands, and where it goes on."""

from __future__ import annotations

import ast
import hashlib
import http.server
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from rsgeo_qgis import guided_setup
from rsgeo_qgis.discover import Python, list_folder
from rsgeo_qgis.guided_setup import Bundle, Plan, WheelFolder
from rsgeo_qgis.sentence import PluginError

OUTSIDE = Path(guided_setup.__file__).with_name("outside.py")
DIGEST = "0123456789abcdef" * 4


def outside(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(OUTSIDE), *map(str, arguments)], capture_output=True, text=True)


def from_bundle() -> Plan:
    return guided_setup.plan(Bundle("https://example.org/w.zip", DIGEST), "/usr/bin/python3", "/d/rsgeo", "/p/outside.py", "linux")


def from_folder() -> Plan:
    return guided_setup.plan(WheelFolder("/wheels here"), "/usr/bin/python3", "/d/rsgeo", "/p/outside.py", "linux")


def wheel(path: Path, content: bytes = b"x" * 1000) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("module.py", content)
    return path


# Where it comes from


@pytest.mark.parametrize(
    "location", ["rsgeo", "rsgeo==0.1.0", "wheels.zip", "", "ftp://example.org/w.zip", "https://", "-r", "git+https://example.org/w.zip"]
)
def test_a_bare_name_is_never_installed(location: str) -> None:
    with pytest.raises(PluginError, match="nothing is installed by its name alone"):
        guided_setup.bundle(location, DIGEST)


@pytest.mark.parametrize("location", ["/d/rsgeo-0.1.0-py3-none-any.whl", "https://example.org/rsgeo.tar.gz"])
def test_what_is_no_zip_of_wheels_is_refused(location: str) -> None:
    with pytest.raises(PluginError, match="zip file of the wheels"):
        guided_setup.bundle(location, DIGEST)


@pytest.mark.parametrize("digest", ["", "abc", DIGEST + "0", DIGEST[:-1] + "g", "md5:" + DIGEST])
def test_a_bundle_needs_its_sha256(digest: str) -> None:
    with pytest.raises(PluginError, match="no SHA-256"):
        guided_setup.bundle("https://example.org/w.zip", digest)


@pytest.mark.parametrize("location", ["/d/w.zip", r"C:\Downloads\w.ZIP", "http://example.org/w.zip", "https://example.org/w.zip?raw=1"])
def test_a_path_or_address_with_its_sha256_is_taken_as_pasted(location: str) -> None:
    assert guided_setup.bundle(f" {location}\n", f"{DIGEST.upper()} ") == Bundle(location, DIGEST)


# Where it goes


@pytest.mark.parametrize(
    ("environ", "platform", "folder"),
    [
        ({"HOME": "/h"}, "linux", "/h/.local/share/rsgeo"),
        ({"HOME": "/h", "XDG_DATA_HOME": "/data"}, "linux", "/data/rsgeo"),
        ({"HOME": "/h"}, "darwin", "/h/Library/Application Support/rsgeo"),
        ({"LocalAppData": r"C:\Eva\Local"}, "win32", r"C:\Eva\Local\rsgeo"),
        ({"USERPROFILE": r"C:\Eva"}, "win32", r"C:\Eva\AppData\Local\rsgeo"),
    ],
)
def test_the_default_folder_is_the_users_own(environ: dict[str, str], platform: str, folder: str) -> None:
    assert guided_setup.default_folder(environ, platform) == folder


@pytest.mark.parametrize(
    ("folder", "platform", "message"),
    [
        ("rsgeo", "linux", "no whole path"),
        ("/profile/python/plugins/rsgeo_qgis/env", "linux", "belongs to QGIS"),
        ("/profile/env", "linux", "belongs to QGIS"),
        ("/Applications/QGIS.app/Contents/env", "darwin", "belongs to QGIS"),
        (r"C:\OSGeo4W\rsgeo", "win32", "belongs to QGIS"),
        ("C:\\" + "x" * 100, "win32", "too long for what Windows allows"),
    ],
)
def test_a_set_up_goes_nowhere_into_qgis(folder: str, platform: str, message: str) -> None:
    prefix = {"linux": "/usr", "darwin": "/Applications/QGIS.app/Contents/MacOS", "win32": r"C:\OSGeo4W\apps\qgis"}[platform]
    with pytest.raises(PluginError, match=message):
        guided_setup.check_folder(folder, "/profile/python/plugins/rsgeo_qgis", "/profile", prefix, platform, lambda _: [])


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    check = partial(guided_setup.check_folder, str(tmp_path), "/plugin", "/profile", "/usr", "linux", list_folder)
    check()
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(PluginError, match="holds other files"):
        check()
    (tmp_path / guided_setup.JOURNAL).touch()
    check()


# What it takes


def test_sizes_are_read_from_the_wheels_themselves(tmp_path: Path) -> None:
    names = ["rsgeo-0.1.0-py3-none-any.whl", "torch-2.13.0-cp311-cp311-win_amd64.whl"]
    paths = [wheel(tmp_path / name, b"\0" * 10**7) for name in names]
    sizes = guided_setup.sizes_of(WheelFolder(str(tmp_path)), list_folder)
    assert sizes is not None and sizes.packed == sum(path.stat().st_size for path in paths) and 2e7 < sizes.installed < 1e8


def test_the_room_is_found_before_the_folder_is_made(tmp_path: Path) -> None:
    assert guided_setup.free_bytes(str(tmp_path / "a" / "b")) == pytest.approx(guided_setup.free_bytes(str(tmp_path)), rel=0.01)


def test_too_little_room_is_said_in_megabytes() -> None:
    guided_setup.check_space(2**20, 2**20)
    with pytest.raises(PluginError, match="takes 2 MB, and only 1 MB are free"):
        guided_setup.check_space(2**20 + 1, 2**20)


def test_a_folder_without_rsgeo_and_a_broken_wheel_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="holds no wheel of rsgeo"):
        guided_setup.wheels_in(str(tmp_path), list_folder)
    (tmp_path / "rsgeo-0.1.0-py3-none-any.whl").write_bytes(b"half a down")
    with pytest.raises(PluginError, match="is no sound wheel"):
        guided_setup.sizes_of(WheelFolder(str(tmp_path)), list_folder)


@pytest.mark.parametrize(
    ("name", "version", "platform", "fits"),
    [
        ("rsgeo-0.1.0-py3-none-any.whl", "3.11.2", "linux", True),
        ("tzdata-2026.6-py2.py3-none-any.whl", "3.14.0", "win32", True),
        ("torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", "3.11.2", "linux", True),
        ("torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", "3.12.0", "linux", False),
        ("torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", "3.11.2", "win32", False),
        ("torch-2.13.0-cp313-cp313-macosx_11_0_arm64.whl", "3.13.1", "darwin", True),
        ("tokenizers-0.23.3-cp310-abi3-win_amd64.whl", "3.13.1", "win32", True),
        ("tokenizers-0.23.3-cp312-abi3-win_amd64.whl", "3.11.1", "win32", False),
        ("hf_xet-1.8.0-cp37-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "3.11.1", "linux", True),
        ("nvidia_nccl-2.29-py3-none-manylinux_2_18_x86_64.whl", "3.11.1", "linux", True),
        ("six-1.17.0-1-py2-none-any.whl", "3.11.1", "linux", False),
    ],
)
def test_wheels_are_for_one_python_and_one_system(name: str, version: str, platform: str, fits: bool) -> None:
    python = Python("python", "/usr", version, 64, None, False, True, True, "x86_64", "")
    if fits:
        guided_setup.check_wheels([name], python, platform)
    else:
        with pytest.raises(PluginError, match=f"not for Python {version} on this system: {name.split('-')[0]};"):
            guided_setup.check_wheels([name], python, platform)


def test_one_fitting_wheel_of_a_project_is_enough() -> None:
    python = Python("python", "/usr", "3.12.0", 64, None, False, True, True, "x86_64", "")
    names = [f"torch-2.13.0-cp{minor}-cp{minor}-manylinux_2_28_x86_64.whl" for minor in (311, 312)]
    guided_setup.check_wheels(names, python, "linux")


# Its commands


def test_pip_never_sees_an_index() -> None:
    for plan in (from_folder(), from_bundle()):
        install = next(step for step in plan.steps if step.name == "install")
        assert {"--no-index", "--isolated", "--only-binary"} <= set(install.arguments)
        assert install.arguments[install.arguments.index("--find-links") + 1] == plan.wheels
        assert [step.name for step in plan.steps if "pip" in step.arguments] == ["install"]


def test_the_sha256_is_checked_before_anything_of_the_file_is_used() -> None:
    assert [step.name for step in from_bundle().steps] == ["obtain", "unpack", "environment", "install", "verify"]
    assert DIGEST in from_bundle().steps[0].arguments
    assert [step.name for step in from_folder().steps] == ["environment", "install", "verify"]


def test_a_set_up_on_windows_has_windows_paths() -> None:
    plan = guided_setup.plan(WheelFolder(r"D:\wheels"), r"C:\Py\python.exe", r"C:\Eva\rsgeo", r"C:\p\outside.py", "win32")
    assert plan.python == r"C:\Eva\rsgeo\python\Scripts\python.exe" and plan.steps[1].program == plan.python


def test_commands_can_be_typed(tmp_path: Path) -> None:
    line = guided_setup.commands(from_folder(), "linux").splitlines()[1]
    arguments = subprocess.run(["sh", "-c", f"set -- {line}; printf '%s\\n' \"$@\""], capture_output=True, text=True, check=True).stdout.splitlines()
    assert arguments == [from_folder().steps[1].program, *from_folder().steps[1].arguments]


def test_what_runs_the_commands_knows_qts_core_alone() -> None:
    source = OUTSIDE.with_name("installer.py").read_text(encoding="utf-8")
    modules = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qgis")}
    assert modules == {"qgis.PyQt.QtCore"}


# Where it goes on


@pytest.mark.parametrize(("begun", "again"), [(0, 0), (1, 1), (2, 2), (3, 2), (4, 4)])
def test_what_was_finished_is_not_done_again(begun: int, again: int) -> None:
    plan = from_bundle()
    assert guided_setup.begun(plan, guided_setup.journal(plan, begun)) == begun
    assert guided_setup.resume_at(plan, guided_setup.journal(plan, begun)) == again


def test_a_finished_set_up_begins_anew() -> None:
    plan = from_bundle()
    done = guided_setup.journal(plan, len(plan.steps))
    assert guided_setup.begun(plan, done) is None and guided_setup.resume_at(plan, done) == 0


@pytest.mark.parametrize("text", ["", "null", "[]", '{"begun": 2', json.dumps({"begun": 2, "steps": []}), guided_setup.journal(from_folder(), 2)])
def test_the_journal_of_another_set_up_does_not_count(text: str) -> None:
    assert guided_setup.begun(from_bundle(), text) is None and guided_setup.resume_at(from_bundle(), text) == 0


# The script that runs outside


@pytest.fixture
def bundle_file(tmp_path: Path) -> Path:
    path = tmp_path / "served" / "w.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("wheels/rsgeo-0.1.0-py3-none-any.whl", b"r" * 3_000_000)
        archive.writestr("../../outside.whl", b"o")
        archive.writestr("README.txt", b"no wheel")
    return path


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, with ranges; ``asked`` collects them, ``broken`` ends the first answer half-way."""

    asked: list[str | None] = []  # noqa: RUF012 - one list for all requests is what is wanted
    broken = False

    def do_GET(self) -> None:
        if self.path == "/elsewhere.zip":
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname")
            self.end_headers()
            return
        wanted = self.headers["Range"]
        self.asked.append(wanted)
        content = Path(self.translate_path(self.path)).read_bytes()
        begin = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        rest = content[begin:]
        self.wfile.write(rest[: len(rest) // 2] if self.broken and not wanted else rest)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(bundle_file: Path) -> Iterator[str]:
    Handler.asked, Handler.broken = [], False
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(bundle_file.parent))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_with_the_right_sha256_is_taken(bundle_file: Path, tmp_path: Path) -> None:
    run = outside("obtain", bundle_file, digest(bundle_file), tmp_path / "rsgeo.zip", 4)
    assert run.returncode == 0 and "SHA-256 is right" in run.stdout, run.stderr
    assert (tmp_path / "rsgeo.zip").read_bytes() == bundle_file.read_bytes()


def test_a_file_with_another_sha256_leaves_nothing(bundle_file: Path, address: str, tmp_path: Path) -> None:
    for source in (bundle_file, f"{address}/w.zip"):
        run = outside("obtain", source, DIGEST, tmp_path / "rsgeo.zip", 4)
        assert run.returncode == 1 and "not the file that was meant" in run.stderr
        assert not list(tmp_path.glob("rsgeo.zip*"))


def test_a_broken_download_goes_on_where_it_broke(bundle_file: Path, address: str, tmp_path: Path) -> None:
    Handler.broken = True
    first = outside("obtain", f"{address}/w.zip", digest(bundle_file), tmp_path / "rsgeo.zip", 4)
    assert first.returncode == 1 and "run the set-up again" in first.stderr and not (tmp_path / "rsgeo.zip").exists()
    have = (tmp_path / "rsgeo.zip.part").stat().st_size
    second = outside("obtain", f"{address}/w.zip", digest(bundle_file), tmp_path / "rsgeo.zip", 4)
    assert second.returncode == 0, second.stderr
    assert Handler.asked == [None, f"bytes={have}-"] and have > 0
    assert (tmp_path / "rsgeo.zip").read_bytes() == bundle_file.read_bytes()


def test_what_does_not_fit_is_not_begun(bundle_file: Path, tmp_path: Path) -> None:
    run = outside("obtain", bundle_file, digest(bundle_file), tmp_path / "rsgeo.zip", 1e9)
    assert run.returncode == 1 and "not enough room" in run.stderr and "MB are free" in run.stdout
    assert not list(tmp_path.glob("rsgeo.zip*"))


def test_a_server_cannot_send_us_to_a_file(address: str, tmp_path: Path) -> None:
    run = outside("obtain", f"{address}/elsewhere.zip", DIGEST, tmp_path / "rsgeo.zip", 4)
    assert run.returncode == 1 and "Traceback" not in run.stderr and not list(tmp_path.glob("rsgeo.zip*"))


@pytest.mark.parametrize("source", ["http://127.0.0.1:9/w.zip", "/nowhere/w.zip"])
def test_what_is_not_there_is_said_in_one_line(source: str, tmp_path: Path) -> None:
    run = outside("obtain", source, DIGEST, tmp_path / "rsgeo.zip", 4)
    assert run.returncode == 1 and len(run.stderr.splitlines()) == 1 and source in run.stderr


def test_no_name_in_a_bundle_leads_out_of_the_folder(bundle_file: Path, tmp_path: Path) -> None:
    run = outside("unpack", bundle_file, tmp_path / "wheels")
    assert run.returncode == 0, run.stderr
    assert sorted(path.name for path in tmp_path.rglob("*.whl")) == ["outside.whl", "rsgeo-0.1.0-py3-none-any.whl"]
    assert {path.parent for path in tmp_path.rglob("*.whl")} == {tmp_path / "wheels"}


def test_a_bundle_without_wheels_or_none_at_all_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("readme.txt", b"")
    assert "holds no wheels" in outside("unpack", tmp_path / "empty.zip", tmp_path / "wheels").stderr
    (tmp_path / "page.zip").write_text("<html>404</html>")
    assert "page.zip: File is not a zip file" in outside("unpack", tmp_path / "page.zip", tmp_path / "wheels").stderr
