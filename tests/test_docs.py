"""What the documents say can be typed is typed here: each document's blocks, in order, in one empty folder that has examples/.

A block that cannot run says why in its opening line: ```bash no-run: needs a GPU
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [path for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))] if path.is_file()]

FENCE = re.compile(r"^```(?P<language>bash|console|python)(?P<rest>[^\n]*)\n(?P<body>.*?)^```\s*$", re.MULTILINE | re.DOTALL)
# How a reader gets to where the examples start; CI walks these lines themselves.
SETTING_UP = ("make ", "git ", "cd ", "pip ", "python -m venv ", "python3 -m venv ", "source ", "#")


@dataclass(frozen=True)
class Block:
    language: str
    rest: str
    body: str
    line: int


def blocks(document: Path) -> Iterator[Block]:
    text = document.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        yield Block(match["language"], match["rest"].strip(), match["body"], text.count("\n", 0, match.start()) + 1)


def commands(block: Block) -> list[str]:
    """The command lines of a bash block, or those after ``$`` in a console block, with continued lines joined."""
    lines = block.body.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$") for line in lines if line.startswith("$")]
    return [line.strip() for line in lines if line.strip()]


def steps(document: Path) -> Iterator[tuple[int, list[str]]]:
    """(line in the document, argument list) of all that is to be run."""
    for block in blocks(document):
        if block.rest.startswith("no-run"):
            continue
        if block.language == "python":
            yield block.line, [sys.executable, "-c", block.body]
            continue
        for command in commands(block):
            if command.startswith("rsgeo"):
                yield block.line, ["bash", "-c", command]


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_tells_to_type_works(document: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for line, arguments in steps(document):
        run = subprocess.run(arguments, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True)
        assert run.returncode == 0, f"{document.name}:{line}: {arguments[-1]}\n{run.stdout}{run.stderr}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_command_of_a_document_escapes_the_test(document: Path) -> None:
    for block in blocks(document):
        if block.rest.startswith("no-run"):
            assert re.match(r"no-run: \w", block.rest), f"{document.name}:{block.line}: say why it is not run"
        elif block.language != "python":
            for command in commands(block):
                assert command.startswith(("rsgeo ", *SETTING_UP)), f"{document.name}:{block.line}: this is run by no test: {command}"
