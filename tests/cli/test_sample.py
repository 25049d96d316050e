"""`rsgeo sample` as it is typed."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from rsgeo.cli import main

QUICK = ("--num-inference-steps", "2", "--guidance-scale", "1", "--dtype", "fp32")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with captions."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "captions.txt").write_text("a river\na dense forest\nhouses\n")
    (tmp_path / "dataset.csv").write_text("split,sent1,sent2\ntest,a lake,water\ntrain,a road,traffic\ntest,a field,crops\n")
    return tmp_path


def sample(*arguments: str, out: str = "out") -> Result:
    return CliRunner().invoke(main, ["sample", *QUICK, *arguments, out])


def sentence(result: Result) -> str:
    said = [line for line in result.stderr.splitlines() if not line.startswith(("Warning: ", "Computing: "))]
    assert result.exit_code == 1 and result.stdout == "" and len(said) == 1 and said[0].startswith("Error: ") and said[0].endswith("."), result.output
    return said[0]


def test_says_what_it_made_and_what_was_there(folder: Path) -> None:
    done = sample("--captions", "captions.txt", "--seed", "5", "--cols", "2")
    assert done.exit_code == 0, done.output
    for words in ("3 pictures in out", "out/_grid.png", "SYNTHETIC", "rsgeo-mini", "seed 5", "2 steps", "guidance 1", "float32", "10 m"):
        assert words in done.stdout, words
    assert "Computing: " in done.stderr
    in_two_columns = Image.open("out/_grid.png").height
    (folder / "out" / "01_a_dense_forest.png").unlink()
    again = sample("--captions", "captions.txt", "--seed", "5", "--cols", "1")
    assert "(2 of them were there)" in again.stdout and Image.open("out/_grid.png").height > in_two_columns
    assert sample("--captions", "captions.txt", "--seed", "5", "--quiet").stdout == ""


def test_a_table_by_split_and_column(folder: Path) -> None:
    assert sample("--captions", "dataset.csv", "--split", "test", "--column", "sent2", "--n", "2", "--seed", "1").exit_code == 0
    assert sorted((folder / "out" / "captions.txt").read_text().split()) == ["crops", "water"]
    assert json.loads((folder / "out" / "sample.json").read_text())["request"]["seed"] == 1


def test_mistakes_are_one_sentence_and_write_nothing(folder: Path) -> None:
    assert "no captions of the split 'val'; it has 2 of 'test', 1 of 'train'" in sentence(sample("--captions", "dataset.csv", "--split", "val"))
    assert "There are 2 captions, fewer than --n 3" in sentence(sample("--captions", "dataset.csv", "--split", "test", "--n", "3"))
    assert "There is no file none.txt" in sentence(sample("--captions", "none.txt"))
    assert not (folder / "out").exists()
    assert "is not a folder" in sentence(sample("--captions", "captions.txt", out="dataset.csv"))
    assert "holds other files" in sentence(sample("--captions", "captions.txt", out="."))
    assert sample("--captions", "captions.txt").exit_code == 0
    assert "seed 0, here 1" in sentence(sample("--captions", "captions.txt", "--seed", "1"))
    assert sample("--captions", "captions.txt", "--seed", "1", "--overwrite").exit_code == 0


def test_ctrl_c_says_how_to_go_on(folder: Path) -> None:
    program = [sys.executable, "-c", "from rsgeo.cli import main; main(prog_name='rsgeo')", "sample", "--captions", "captions.txt", "--dtype", "fp32"]
    slow = [*program, "--num-inference-steps", "500", "--batch-size", "1", "out"]
    # A shell's background jobs, in which tests may run, do not heed SIGINT, nor do their children.
    heeding = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ, preexec_fn=heeding) as run:
        until = time.monotonic() + 120
        while not (folder / "out" / "captions.txt").exists() and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
    assert run.returncode == 130 and "what is finished stays in out, and the same command goes on from there" in said and "Traceback" not in said
    assert {path.suffix for path in (folder / "out").iterdir()} <= {".txt", ".json", ".png"}
