"""`rsgeo models` as it is typed."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from rsgeo.cli import main
from rsgeo.hub import catalog

ARCHIVE = Path(__file__).parents[1] / "data" / "diffusionsat" / "archive"
RSDIFF = Path(__file__).parents[1] / "data" / "rsdiff" / "checkpoints"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RSGEO_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home" / "models"


@pytest.fixture
def served(tmp_path: Path, home: Path) -> Iterator[list[str]]:
    """A record "tiny" whose archive a server of this machine has; gives the paths that were asked for."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    shutil.make_archive(str(tmp_path / "www" / "tiny"), "zip", ARCHIVE)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "www")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    record = catalog.find(str(ARCHIVE)).model_dump(mode="json")
    archive = {"url": f"http://127.0.0.1:{server.server_port}/tiny.zip"}
    (home / "tiny").mkdir(parents=True)
    (home / "tiny" / "meta.json").write_text(json.dumps({**record, "archive": archive, "licence": "Of its own kind"}))
    yield asked
    server.shutdown()


def rsgeo(*arguments: str | Path, say: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=say)


def good(*arguments: str | Path, say: str | None = None) -> Result:
    result = rsgeo(*arguments, say=say)
    assert result.exit_code == 0, result.output
    return result


class TestList:
    def test_says_what_is_at_hand_and_what_can_be_fetched(self, home: Path) -> None:
        lines = good("models", "list").stdout.splitlines()
        assert lines[0].startswith("rsgeo-mini") and "at hand" in lines[0]
        assert sum("rsgeo models fetch" in line for line in lines) == len(list(catalog.PUBLISHED.glob("*.json")))

    def test_as_json(self, home: Path) -> None:
        found = {record["name"]: record for record in json.loads(good("models", "list", "--json").stdout)}
        assert found["rsgeo-mini"]["at_hand"] and found["rsgeo-mini"]["default_for"] == ["generate"]
        assert not found["diffusionsat-texas"]["at_hand"] and found["diffusionsat-texas"]["condition"]["series"]


class TestShow:
    def test_says_where_a_published_model_is_and_under_which_licence(self, home: Path) -> None:
        said = good("models", "show", "diffusionsat-superres").stdout
        for word in (
            "not here",
            "zenodo.org/records/13756246/files/",
            "Open RAIL++-M",
            "diffusionsat-512, checkpoint-100000",
            "B8A",
            "the year 1980",
        ):
            assert word in said, word

    def test_of_a_folder(self, home: Path) -> None:
        assert json.loads(good("models", "show", "--json", ARCHIVE).stdout)["tile"] == 16

    def test_of_nothing_names_what_is_near(self, home: Path) -> None:
        result = rsgeo("models", "show", "diffusionsat-513")
        assert result.exit_code == 1 and "there is diffusionsat-512" in result.stderr


class TestFetch:
    def test_asks_first_and_takes_no_for_an_answer(self, served: list[str]) -> None:
        for answer in ("n\n", ""):
            result = rsgeo("models", "fetch", "tiny", say=answer)
            assert result.exit_code == 1 and "Licence: Of its own kind" in result.stderr and "Nothing was fetched" in result.stderr
        assert served == []

    def test_says_the_licence_and_the_hash(self, served: list[str], home: Path) -> None:
        said = good("models", "fetch", "tiny", "--yes")
        assert served == ["/tiny.zip"] and "Licence: Of its own kind" in said.stderr
        assert "Of its own kind" in said.stdout and "SHA-256" in said.stdout
        record = json.loads((home / "tiny" / "meta.json").read_text())
        assert record["archive"]["sha256"] in said.stdout
        assert good("models", "verify", "tiny").stdout.splitlines()[-1].endswith("as pinned")

    def test_from_a_file(self, served: list[str], tmp_path: Path) -> None:
        said = good("models", "fetch", "tiny", "--from-file", tmp_path / "www" / "tiny.zip").stdout
        assert "Of its own kind" in said and served == []


class TestVerify:
    def test_ends_with_1_after_a_change(self, home: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(ARCHIVE, tmp_path / "mine")
        good("models", "add", "mine", folder, "--licence", "CC0")
        (folder / "vae" / "config.json").write_text("{}")
        result = rsgeo("models", "verify", "mine")
        assert result.exit_code == 1 and "CHANGED" in result.stdout

    def test_the_embedded_model_is_as_published(self) -> None:
        assert "as pinned" in good("models", "verify", "rsgeo-mini").stdout


def test_an_area_by_an_added_archive_carries_its_licence_everywhere(home: Path, tmp_path: Path) -> None:
    """The published layout from the command line: the picture is made by the latent model with its overlapping decoder."""
    import rasterio

    good("models", "add", "paris", ARCHIVE, "--licence", "Only for tests", "--gsd-native", "2")
    bounds = ("--bounds", "14.5", "46.0", "14.5015", "46.001")
    good("generate", *bounds, "--model", "paris", "--dtype", "fp32", "--num-inference-steps", "2", "--guidance-scale", "1", "out.tif")
    with rasterio.open("out.tif") as made:
        assert made.res == (2.0, 2.0) and made.read().std() > 0
        assert made.tags()["RSGEO_MODEL"] == "paris" and made.tags()["RSGEO_MODEL_LICENCE"] == "Only for tests"
    assert "Only for tests" in Path("out.stac.json").read_text() and "Only for tests" in Path("out.qmd").read_text()
    assert "made again  equal" in good("verify", "--regenerate", "out.tif").stdout


def test_doctor_lists_what_is_at_hand_and_what_lacks_its_base(home: Path) -> None:
    good("models", "add", "paris", ARCHIVE)
    (home / "far" / "controlnet").mkdir(parents=True)
    facts = {"name": "far", "family": "latent", "title": "Far", "licence": "CC0", "base": "diffusionsat-512", "tasks": ["superres"]}
    (home / "far" / "meta.json").write_text(json.dumps(facts))
    lines = good("doctor").stdout.splitlines()
    assert next(line for line in lines if line.startswith("model paris")).endswith("files sound")
    assert next(line for line in lines if line.startswith("model far")).endswith("WITHOUT ITS BASE diffusionsat-512")
    assert not [line for line in lines if line.startswith("model diffusionsat")]


def test_convert(home: Path) -> None:
    good("models", "convert", ARCHIVE, "out", "--checkpoint", "root")
    assert good("models", "verify", "out").exit_code == 0
    assert not Path("out/checkpoint-3").exists() and Path("out/unet/diffusion_pytorch_model.safetensors").is_file()


def test_convert_a_training_checkpoint(home: Path) -> None:
    Path("sizes.json").write_text('{"base": {"sample_size": 8}, "sr": {"sample_size": 16}}')
    whole = ("models", "convert", RSDIFF / "sr_slim.pt", "cascade", "--base", RSDIFF / "base_only.pt")
    open_ = rsgeo(*whole)
    assert open_.exit_code == 1 and "no weight tells the size of its images; give it with --config" in open_.stderr
    said = good(*whole, "--config", "sizes.json", "--weights", "online").stdout
    assert "orthogonal, as imagen-pytorch 2.1.0 does" in said and "last (online), 0 and 125 updates" in said
    assert Path("cascade/model_index.json").is_file()
    other = rsgeo("models", "convert", ARCHIVE, "out", "--weights", "ema")
    assert other.exit_code == 2 and "--weights is for a training checkpoint" in other.stderr
    assert sorted(path.name for path in Path().iterdir() if path.name != "home") == ["cascade", "sizes.json"]
