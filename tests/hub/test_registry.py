"""The user's own models: added, verified, converted."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rsgeo.errors import InputError, ModelError
from rsgeo.hub import catalog, registry
from rsgeo.hub.convert import convert
from rsgeo.hub.load import load_pipeline
from rsgeo.pipelines.sat_controlnet_pipeline import SatControlNetPipeline

ARCHIVE = Path(__file__).parents[1] / "data" / "diffusionsat" / "archive"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ARCHIVE, tmp_path / "mine"))


class TestAdd:
    def test_a_folder_stays_where_it_is(self, home: Path, folder: Path) -> None:
        record = registry.add("paris", folder, licence="CC0", gsd_min=0.5, tile=8)
        assert record == catalog.find("paris") and record.folder == folder and record.address == "paris"
        assert (record.licence, record.gsd_min, record.gsd_max, record.tile) == ("CC0", 0.5, 5.0, 8)
        assert (record.decoder_tile, record.decoder_stride) == (8, 6)
        assert [path.name for path in (home / "paris").iterdir()] == ["meta.json"]
        written = json.loads((home / "paris" / "meta.json").read_text())
        assert written["sha256"] == catalog.files_sha256(record) and written["files"] == str(folder)
        assert load_pipeline("paris", device="cpu", dtype="fp32").unet.config.sample_size == 8

    def test_a_zip_is_unpacked(self, home: Path, folder: Path, tmp_path: Path) -> None:
        shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "mine")
        record = registry.add("paris", tmp_path / "packed.zip")
        assert record.folder == home / "paris" and (home / "paris" / "vae" / "config.json").is_file()
        assert [path.name for path in home.iterdir()] == ["paris"]

    def test_a_checkpoint_stays_chosen(self, home: Path, folder: Path) -> None:
        assert registry.add("root", folder, checkpoint="root").sha256 != registry.add("three", folder).sha256
        assert load_pipeline("root", device="cpu", dtype="fp32").unet.config.block_out_channels == [16, 32]
        with pytest.raises(ModelError, match="no UNet '7'"):
            registry.add("seven", folder, checkpoint="7")
        assert sorted(path.name for path in home.iterdir()) == ["root", "three"]

    def test_a_published_name_takes_the_published_record(self, home: Path, folder: Path) -> None:
        record = registry.add("diffusionsat-256", folder)
        assert record.tile == 32 and "Open RAIL++-M" in record.licence and "diffusionsat-256" in catalog.names()

    def test_a_controlnet_with_its_base(self, home: Path, folder: Path, controlnet: Path) -> None:
        registry.add("paris", folder)
        with pytest.raises(ModelError, match=r"--base"):
            registry.add("finer", controlnet)
        record = registry.add("finer", controlnet, base="paris")
        assert (record.base, record.tasks) == ("paris", ("superres",))
        assert isinstance(load_pipeline("finer", device="cpu", dtype="fp32"), SatControlNetPipeline)

    def test_a_copy_is_the_default_for_nothing(self, home: Path) -> None:
        assert registry.add("a-copy", catalog.EMBEDDED / "rsgeo-mini").default_for == ()
        assert catalog.default_for("generate").name == "rsgeo-mini"

    @pytest.mark.parametrize(
        ("name", "words"),
        [("rsgeo-mini", "There is a model rsgeo-mini"), ("../x", "no name"), (".x", "no name"), ("", "no name"), ("a/b", "no name")],
    )
    def test_names_that_cannot_be(self, home: Path, folder: Path, name: str, words: str) -> None:
        with pytest.raises(InputError, match=words):
            registry.add(name, folder)
        assert list(home.iterdir()) == []

    def test_gsds_that_cannot_be(self, home: Path, folder: Path) -> None:
        with pytest.raises(InputError, match=r"would be 0\.3, 8 and 5 m; state all three"):
            registry.add("paris", folder, gsd_native=8.0)
        assert list(home.iterdir()) == []

    def test_twice_is_refused(self, home: Path, folder: Path) -> None:
        registry.add("paris", folder)
        with pytest.raises(InputError, match="There is a model paris in"):
            registry.add("paris", folder)

    def test_nothing_there(self, home: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="There is no folder or file"):
            registry.add("paris", tmp_path / "nowhere")
        (tmp_path / "empty").mkdir()
        with pytest.raises(ModelError, match="holds no model"):
            registry.add("paris", tmp_path / "empty")
        assert list(home.iterdir()) == []

    def test_a_folder_that_is_gone_says_so(self, home: Path, folder: Path) -> None:
        registry.add("paris", folder)
        shutil.rmtree(folder)
        assert "paris" not in catalog.names()
        with pytest.raises(ModelError, match=r"files of paris are not here; its folder .* was moved or deleted"):
            catalog.find("paris")
        again = Path(shutil.copytree(ARCHIVE, folder.with_name("moved")))
        assert registry.add("paris", again).folder == again


class TestVerify:
    def test_finds_a_changed_byte(self, home: Path, folder: Path) -> None:
        registry.add("paris", folder)
        assert catalog.is_sound(catalog.find("paris")) is True
        file = folder / "checkpoint-3/unet/diffusion_pytorch_model.safetensors"
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
        assert catalog.is_sound(catalog.find("paris")) is False
        assert catalog.is_sound(catalog.find(str(folder))) is None


class TestConvert:
    def test_an_archive_becomes_safetensors_that_give_the_same(self, home: Path, folder: Path, tmp_path: Path) -> None:
        record = convert(str(folder), tmp_path / "out")
        assert not list((tmp_path / "out").rglob("*.bin")) and list((tmp_path / "out").rglob("checkpoint-*")) == []
        assert catalog.is_sound(record) and record.tile == 16 and record.encoding == "sinusoid"
        before, after = (load_pipeline(path, device="cpu", dtype="fp32") for path in (folder, tmp_path / "out"))
        noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
        first, second = (pipe("a port", latents=noise, num_inference_steps=2, output_type="pt").images for pipe in (before, after))
        assert torch.equal(first, second)

    def test_diffusers_reads_it(self, folder: Path, tmp_path: Path) -> None:
        from rsgeo.pipelines.sat_pipeline import SatPipeline

        convert(str(folder), tmp_path / "out", checkpoint="root", dtype="fp16")
        loaded = SatPipeline.from_pretrained(tmp_path / "out")
        assert loaded.unet.config.block_out_channels == [16, 32]
        stored = load_file(tmp_path / "out/unet/diffusion_pytorch_model.safetensors")
        assert {value.dtype for value in stored.values()} == {torch.float16}

    def test_a_controlnet_is_written_alone_and_knows_its_base(self, controlnet: Path, folder: Path, tmp_path: Path) -> None:
        record = convert(str(controlnet), tmp_path / "out", base=str(folder))
        assert record.base == str(folder) and sorted(path.name for path in (tmp_path / "out").iterdir()) == ["controlnet", "meta.json"]
        assert isinstance(load_pipeline(tmp_path / "out", device="cpu", dtype="fp32"), SatControlNetPipeline)

    def test_nothing_is_replaced_and_nothing_left_of_a_failure(self, folder: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="There is something at"):
            convert(str(folder), folder)
        (folder / "vae" / "config.json").unlink()
        with pytest.raises(ModelError):
            convert(str(folder), tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_zip_of_a_model_that_names_files_elsewhere_is_read_from_the_zip(tmp_path: Path, write_record: Callable[..., Path]) -> None:
    """A record in an archive is somebody else's word: its ``files`` lead nowhere."""
    record = catalog.find(str(ARCHIVE)).model_dump(mode="json")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("meta.json", json.dumps({**record, "files": str(catalog.EMBEDDED / "rsgeo-mini")}))
        packed.writestr("unet/config.json", "{}")
    found = catalog.find(str(tmp_path / "a.zip"))
    assert catalog.EMBEDDED not in found.folder.parents and list(catalog.layout_of(found).parts) == ["unet"]
