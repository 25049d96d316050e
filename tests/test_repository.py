"""What is committed holds on any machine: no paths of the one it was written on, no addresses of package registries."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Written in pieces, so that this file does not hold what it looks for.
REGISTRIES = [f"{name}.org" for name in ("pypi", "pythonhosted", "npmjs", "deb.debian", "download.pytorch")]
FOLDERS_OF_ONE_MACHINE = "|".join(["home", "Users", "root", "work", "mnt", "opt"])
MACHINE_PATH = re.compile(rf"(?<![\w.\-}}/])/(?:{FOLDERS_OF_ONE_MACHINE})/\w|\b[A-Z]:\\Users\\")
NEIGHBOUR = "/".join(["..", "shared"])
REAL_DATA = ("tests/data/", "examples/")  # other people's files, kept byte by byte


def text_files() -> list[tuple[str, str]]:
    """(path, text) of every file that is committed or would be, but for binary ones and real data."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("this is no git clone, so there is no list of committed files")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    files = []
    for name in filter(None, listing.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and not (name.startswith(REAL_DATA) and path.suffix != ".md"):
            content = path.read_bytes()
            if b"\0" not in content:
                files.append((name, content.decode("utf-8")))
    return files


def test_no_file_names_a_package_registry() -> None:
    found = [(name, host) for name, text in text_files() for host in REGISTRIES if host in text]
    assert not found


def test_no_file_names_a_place_on_one_machine() -> None:
    found = [(name, match[0]) for name, text in text_files() for match in MACHINE_PATH.finditer(text)]
    found += [(name, NEIGHBOUR) for name, text in text_files() if NEIGHBOUR in text]
    assert not found


def test_no_file_is_larger_than_the_embedded_model_may_be() -> None:
    large = [path.name for path in ROOT.glob("rsgeo/weights/**/*") if path.stat().st_size > 30_000_000]
    assert not large


def test_every_benchmark_says_what_it_measures_and_is_listed() -> None:
    folder = ROOT / "tests" / "benchmarks"
    listed = (folder / "README.md").read_text(encoding="utf-8")
    for path in folder.glob("*.py"):
        documented = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert documented and f"`{path.name}`" in listed, path.name
