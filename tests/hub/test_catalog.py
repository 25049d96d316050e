"""What is known of models without opening their weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rsgeo.errors import ModelError, RsgeoWarning
from rsgeo.hub import catalog, layout

ARCHIVE = Path(__file__).parents[1] / "data" / "diffusionsat" / "archive"
DIFFUSIONSAT = ["diffusionsat-256", "diffusionsat-512", "diffusionsat-superres", "diffusionsat-texas"]


class TestPublished:
    def test_records_are_known_but_not_at_hand(self) -> None:
        assert set(DIFFUSIONSAT) <= set(catalog.known())
        assert not set(DIFFUSIONSAT) & set(catalog.names())
        for name in DIFFUSIONSAT:
            record = catalog.record_of(name)
            assert record.archive is not None and record.archive.url.startswith("https://zenodo.org/records/137")
            assert record.encoding == "sinusoid" and "Open RAIL++-M" in record.licence

    def test_a_controlnet_has_what_its_record_leaves_out_from_its_base(self) -> None:
        record, base = catalog.record_of("diffusionsat-superres"), catalog.record_of("diffusionsat-512")
        assert (record.tile, record.scale, record.schedule, record.trained_fields) == (base.tile, base.scale, base.schedule, base.trained_fields)
        assert (record.tasks, record.default_for, record.gsd_native) == (("superres",), (), 2.5)
        assert catalog.base_of(record).checkpoint == "checkpoint-100000"

    def test_finding_one_says_how_to_get_it(self) -> None:
        with pytest.raises(ModelError, match=r"files of diffusionsat-512 are not here; get them with rsgeo models fetch diffusionsat-512, or .*add"):
            catalog.find("diffusionsat-512")


class TestTasks:
    def test_rsgeo_mini_is_the_default_for_generating(self) -> None:
        assert catalog.default_for("generate").name == catalog.for_task("generate").name == "rsgeo-mini"

    def test_without_a_model_the_archives_that_do_it_are_named(self, home: Path) -> None:
        with pytest.raises(ModelError, match=r"No model at hand .* paint a series .*_texas\.zip, .* \(rsgeo models fetch diffusionsat-texas\)"):
            catalog.default_for("predict")

    def test_a_model_that_does_not_do_it_is_refused_with_those_that_do(self) -> None:
        with pytest.raises(
            ModelError, match=r"rsgeo-mini cannot make a raster finer; rsgeo-mini-superres or diffusionsat-superres of .*\.zip.* can\."
        ):
            catalog.for_task("superres", "rsgeo-mini")
        with pytest.raises(ModelError, match=r"rsgeo-mini-superres cannot make pictures from words; rsgeo-mini or .* can\."):
            catalog.for_task("generate", "rsgeo-mini-superres")

    def test_controlnets_are_defaults_for_their_tasks(self) -> None:
        assert catalog.default_for("superres").name == "rsgeo-mini-superres"
        assert catalog.default_for("inpaint").name == catalog.default_for("extend").name == "rsgeo-mini-inpaint"
        assert catalog.default_for("generate").name == "rsgeo-mini"

    def test_one_whose_base_is_not_at_hand_is_no_default(self, home: Path, write_record: Callable[..., Path]) -> None:
        folder = write_record(home / "far", base="diffusionsat-512", tasks=["predict"], default_for=["predict"])
        (folder / "controlnet").mkdir()
        assert "far" in catalog.names()
        with pytest.raises(ModelError, match="No model at hand"):
            catalog.default_for("predict")
        with pytest.raises(ModelError, match="far works with the UNet of diffusionsat-512, whose files are not here; get them with"):
            catalog.layout_of(catalog.find("far"))


class TestHash:
    def test_of_the_embedded_model_is_what_its_record_says(self) -> None:
        record = catalog.find("rsgeo-mini")
        assert record.sha256 == catalog.model_sha256(record) == catalog.files_sha256(record)

    @pytest.mark.parametrize("name", sorted(path.parent.name for path in catalog.EMBEDDED.glob("*/meta.json")))
    def test_of_all_that_is_embedded_is_pinned(self, name: str) -> None:
        assert catalog.is_sound(catalog.find(name), afresh=True)

    def test_of_a_controlnet_covers_its_base(self, home: Path, write_record: Callable[..., Path]) -> None:
        shutil.copytree(catalog.EMBEDDED / "rsgeo-mini", home / "base")
        folder = write_record(home / "net", base="base", tasks=["superres"])
        (folder / "controlnet").mkdir()
        (folder / "controlnet" / "config.json").write_text("{}")
        own, whole = (hash_of(catalog.find("net")) for hash_of in (catalog.files_sha256, catalog.model_sha256))
        (home / "base" / "unet" / "config.json").write_text("{}")
        assert catalog.files_sha256(catalog.find("net")) == own
        assert catalog.model_sha256(catalog.find("net")) != whole

    def test_of_a_large_file_is_kept_until_the_file_changes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(catalog, "_KEPT_FROM", 0)
        monkeypatch.setenv("RSGEO_CACHE", str(tmp_path / "cache"))
        root = Path(shutil.copytree(ARCHIVE / "unet", tmp_path / "unet"))
        record = catalog.find(str(ARCHIVE)).model_copy(update={"folder": tmp_path})
        honest = catalog.files_sha256(record)
        catalog._file_sha256.cache_clear()
        for kept in (tmp_path / "cache" / "hashes").iterdir():
            kept.write_text("0" * 64)
        assert catalog.files_sha256(record) != honest == catalog.files_sha256(record, afresh=True)
        os.utime(root / "config.json", ns=(1, 1))
        os.utime(root / "diffusion_pytorch_model.safetensors", ns=(1, 1))
        assert catalog.files_sha256(record) == honest

    def test_leaves_out_what_training_left_in_a_checkpoint(self, tmp_path: Path) -> None:
        root = Path(shutil.copytree(ARCHIVE, tmp_path / "archive"))
        before = catalog.model_sha256(catalog.find(str(root)))
        for name in ("optimizer.bin", "random_states_0.pkl", "unet_ema/config.json"):
            path = root / "checkpoint-3" / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"state")
        assert catalog.model_sha256(catalog.find(str(root))) == before
        config = root / "checkpoint-3/unet/config.json"
        config.write_text(config.read_text() + "\n")
        assert catalog.model_sha256(catalog.find(str(root))) != before


class TestUserModels:
    def test_are_found_by_the_name_of_their_folder(self, home: Path) -> None:
        shutil.copytree(catalog.EMBEDDED / "rsgeo-mini", home / "mine")
        record = catalog.find("mine")
        assert (record.name, record.address, record.folder) == ("mine", "mine", home / "mine")
        assert "mine" in catalog.names()

    def test_do_not_replace_the_embedded_one(self, home: Path) -> None:
        shutil.copytree(catalog.EMBEDDED / "rsgeo-mini", home / "rsgeo-mini")
        assert catalog.find("rsgeo-mini").folder == catalog.EMBEDDED / "rsgeo-mini"

    def test_a_damaged_record_hides_no_other_model(self, home: Path) -> None:
        (home / "broken").mkdir()
        (home / "broken" / "meta.json").write_text("{")
        with pytest.warns(RsgeoWarning, match=r"broken.meta\.json is missing or no JSON"):
            assert catalog.names() == ["rsgeo-mini", "rsgeo-mini-inpaint", "rsgeo-mini-superres"]

    def test_a_base_that_is_a_controlnet_is_refused(self, home: Path, write_record: Callable[..., Path]) -> None:
        write_record(home / "a", base="b", tasks=["superres"])
        write_record(home / "b", base="a", tasks=["superres"])
        with pytest.raises(ModelError, match="b is a ControlNet and no base"):
            catalog.record_of("a")

    @pytest.mark.parametrize("name", ["..", "../models", ".", "", "/"])
    def test_a_name_is_no_way_out_of_the_folder(self, home: Path, name: str) -> None:
        (home.parent / "meta.json").write_text((catalog.EMBEDDED / "rsgeo-mini" / "meta.json").read_text())
        assert name not in catalog.known()


class TestDerived:
    def test_from_the_configurations_of_an_archive(self) -> None:
        record = catalog.find(str(ARCHIVE))
        assert (record.name, record.tile, record.scale, record.channels) == ("archive", 16, 8, 4)
        assert (record.decoder_tile, record.decoder_stride) == (16, 12)
        assert record.encoding == "sinusoid" and record.trained_fields == ("place", "gsd", "date", "cloud_cover")
        assert record.schedule.beta_schedule == "scaled_linear" and record.schedule.beta_start == 0.00085
        assert record.licence.startswith("unknown")

    def test_a_plain_unet_has_no_metadata(self, tmp_path: Path) -> None:
        root = Path(shutil.copytree(ARCHIVE, tmp_path / "archive", ignore=shutil.ignore_patterns("checkpoint-*")))
        config = json.loads((root / "unet/config.json").read_text())
        for key in ("use_metadata", "num_metadata"):
            del config[key]
        (root / "unet/config.json").write_text(json.dumps({**config, "_class_name": "UNet2DConditionModel"}))
        assert catalog.find(str(root)).trained_fields == ()

    def test_the_folder_of_a_published_archive_is_known_by_its_name(self, tmp_path: Path) -> None:
        root = Path(shutil.copytree(ARCHIVE, tmp_path / "finetune_sd21_256_sn-satlas-fmow_snr5_md7norm_bs64"))
        record = catalog.find(str(root))
        assert record.tile == 32 and "Open RAIL++-M" in record.licence and record.folder == root

    def test_one_folder_more_around_it_does_not_matter(self, tmp_path: Path) -> None:
        root = Path(shutil.copytree(ARCHIVE, tmp_path / "outer" / "archive"))
        assert catalog.find(str(tmp_path / "outer")).folder == root

    def test_a_controlnet_alone_asks_for_its_base(self, controlnet: Path) -> None:
        with pytest.raises(ModelError, match=rf"{controlnet.name} is a ControlNet without the UNet it works with; say with base= \(--base\)"):
            catalog.find(str(controlnet))
        record = catalog.find(str(controlnet), base=str(ARCHIVE))
        assert (record.tasks, record.base, record.tile) == (("superres",), str(ARCHIVE), 16)
        assert record.condition is not None and record.condition.gsd == 10.0 and record.condition.scale == 2

    def test_a_base_is_for_controlnets_only(self) -> None:
        with pytest.raises(ModelError, match="archive is no ControlNet"):
            catalog.find(str(ARCHIVE), base="rsgeo-mini")

    def test_a_folder_without_a_model_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="holds no model"):
            catalog.find(str(tmp_path))


class TestCheckpoints:
    def test_the_highest_counts_then_the_root(self, tmp_path: Path) -> None:
        for name in ("unet", "checkpoint-9/unet", "checkpoint-100/unet", "checkpoint-200/optimizer", "checkpoint-best/unet"):
            (tmp_path / name).mkdir(parents=True)
        assert layout.of(tmp_path).parts["unet"] == tmp_path / "checkpoint-100/unet"
        assert layout.of(tmp_path, "9").parts["unet"] == tmp_path / "checkpoint-9/unet"
        assert layout.of(tmp_path, "root").parts["unet"] == tmp_path / "unet"
        with pytest.raises(ModelError, match="no UNet 'checkpoint-7'; there is checkpoint-100, checkpoint-9, root"):
            layout.of(tmp_path, "checkpoint-7")


def test_the_catalogue_loads_no_torch() -> None:
    code = "import sys; from rsgeo.hub import catalog; catalog.names(); catalog.find(sys.argv[1]); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code, str(ARCHIVE)], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
