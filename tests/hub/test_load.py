"""From a name or a path to a pipeline: published layouts as they are, ControlNets with their base, golden numbers."""

from __future__ import annotations

import json
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import rsgeo
from rsgeo.errors import ModelError
from rsgeo.hub import catalog
from rsgeo.hub.load import load_pipeline
from rsgeo.models.sat_controlnet3d import SatControlNet3D
from rsgeo.pipelines.sat_controlnet_pipeline import SatControlNetPipeline
from rsgeo.pipelines.sat_pipeline import SatPipeline

ARCHIVE = Path(__file__).parents[1] / "data" / "diffusionsat" / "archive"
CASES = ARCHIVE.parent / "cases"
FP32 = {"device": "cpu", "dtype": "fp32"}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A copy that may be changed, with what training leaves in a checkpoint, its UNet as .bin as it was published."""
    root = Path(shutil.copytree(ARCHIVE, tmp_path / "archive"))
    unet = root / "checkpoint-3" / "unet"
    weights = load_file(unet / "diffusion_pytorch_model.safetensors")
    torch.save({name: value.float() for name, value in weights.items()}, unet / "diffusion_pytorch_model.bin")
    (unet / "diffusion_pytorch_model.safetensors").unlink()
    for name in ("optimizer.bin", "random_states_0.pkl", "scaler.pt"):
        (root / "checkpoint-3" / name).write_bytes(b"not to be read")
    return root


def weights_of(pipeline: SatPipeline) -> torch.Tensor:
    weight: torch.Tensor = pipeline.unet.conv_in.weight
    return weight


@pytest.fixture
def silent(capfd: pytest.CaptureFixture[str]) -> Any:
    """Fails the test where anything was printed or warned of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    said = capfd.readouterr()
    assert said.out == said.err == ""


class TestPublishedLayout:
    def test_takes_the_unet_of_the_highest_checkpoint(self, archive: Path, silent: None) -> None:
        pipeline = load_pipeline(archive, **FP32)
        assert type(pipeline) is SatPipeline and pipeline.unet.config.block_out_channels == [32, 64]
        assert pipeline.unet.config.use_metadata and pipeline.scheduler.config.prediction_type == "v_prediction"

    def test_takes_the_checkpoint_that_is_told(self, archive: Path) -> None:
        other = Path(shutil.copytree(archive / "checkpoint-3", archive / "checkpoint-12"))
        weights = torch.load(other / "unet/diffusion_pytorch_model.bin", weights_only=True)
        torch.save({**weights, "conv_in.weight": weights["conv_in.weight"] * 2}, other / "unet/diffusion_pytorch_model.bin")
        highest = weights_of(load_pipeline(archive, **FP32))
        for told in ("3", "checkpoint-3"):
            assert torch.equal(highest, 2 * weights_of(load_pipeline(archive, checkpoint=told, **FP32)))
        assert load_pipeline(archive, checkpoint="root", **FP32).unet.config.block_out_channels == [16, 32]
        with pytest.raises(ModelError, match="archive holds no UNet '4'; there is checkpoint-12, checkpoint-3, root"):
            load_pipeline(archive, checkpoint="4", **FP32)

    def test_without_checkpoints_takes_the_roots(self, archive: Path) -> None:
        shutil.rmtree(archive / "checkpoint-3")
        unet = load_pipeline(archive, **FP32).unet
        assert unet.config.block_out_channels == [16, 32] and unet.dtype == torch.float32

    def test_golden_case_from_text_to_picture(self, archive: Path, silent: None) -> None:
        """Tokenizer, text encoder, UNet, scheduler and codec as `load_pipeline` found them, against the original code."""
        case = json.loads((CASES / "pipe_text2image_prompt_string" / "case.json").read_text())
        expected = load_file(CASES / "pipe_text2image_prompt_string" / "outputs.safetensors")
        pipeline = load_pipeline(archive, checkpoint="root", **FP32)
        latents, image = (
            pipeline(**case["args"], generator=torch.Generator().manual_seed(case["seed"]), output_type=kind).images for kind in ("latent", "np")
        )
        assert (latents - expected["latents"]).abs().max() <= 1e-4
        assert (torch.from_numpy(image) - expected["image"]).abs().max() <= 1e-4

    @pytest.mark.parametrize("top", ["", "finetune/"], ids=["flat", "in a folder"])
    def test_takes_it_zipped(self, archive: Path, tmp_path: Path, top: str, silent: None) -> None:
        expected = weights_of(load_pipeline(archive, **FP32))
        with zipfile.ZipFile(tmp_path / "published.zip", "w") as packed:
            for path in archive.rglob("*"):
                packed.write(path, top + path.relative_to(archive).as_posix())
        assert torch.equal(weights_of(load_pipeline(tmp_path / "published.zip", **FP32)), expected)
        assert catalog.find(str(tmp_path / "published.zip")).name == (top[:-1] or "published")

    def test_missing_and_unexpected_weights_are_named(self, archive: Path) -> None:
        file = archive / "checkpoint-3/unet/diffusion_pytorch_model.bin"
        weights = torch.load(file, weights_only=True)
        weights["surplus.weight"] = weights.pop("conv_out.bias")
        torch.save(weights, file)
        with pytest.raises(ModelError, match=r"missing: conv_out\.bias; unexpected: surplus\.weight"):
            load_pipeline(archive, **FP32)

    def test_position_ids_that_older_libraries_stored_are_no_surplus(self, archive: Path, silent: None) -> None:
        file = archive / "text_encoder/pytorch_model.bin"
        weights = torch.load(file, weights_only=True)
        torch.save({**weights, "text_model.embeddings.position_ids": torch.arange(77)[None]}, file)
        load_pipeline(archive, **FP32)

    @pytest.mark.parametrize("part", ["vae", "text_encoder", "tokenizer", "scheduler"])
    def test_a_missing_part_is_named(self, archive: Path, part: str) -> None:
        shutil.rmtree(archive / part)
        with pytest.raises(ModelError, match=rf"holds no {part}/"):
            load_pipeline(archive, **FP32)

    @pytest.mark.parametrize(
        ("file", "key", "value", "words"),
        [
            ("vae/config.json", "_class_name", "VQModel", "names VQModel where one of AutoencoderKL"),
            ("text_encoder/config.json", "architectures", ["T5EncoderModel"], "names T5EncoderModel where one of CLIPTextModel"),
            ("scheduler/scheduler_config.json", "_class_name", "DiffusionPipeline", "which is no scheduler"),
        ],
    )
    def test_no_other_class_is_made(self, archive: Path, file: str, key: str, value: Any, words: str) -> None:
        (archive / file).write_text(json.dumps({**json.loads((archive / file).read_text()), key: value}))
        with pytest.raises(ModelError, match=words):
            load_pipeline(archive, **FP32)

    def test_the_tile_of_a_known_archive_counts_more_than_that_of_stable_diffusion(self, archive: Path) -> None:
        known = archive.rename(archive.with_name("finetune_sd21_256_sn-satlas-fmow_snr5_md7norm_bs64"))
        assert load_pipeline(known, **FP32).unet.config.sample_size == 32


class TestControlNets:
    def test_an_archive_of_one_needs_its_base(self, controlnet: Path) -> None:
        with pytest.raises(ModelError, match=rf"{controlnet.name} is a ControlNet without the UNet it works with; say with base="):
            load_pipeline(controlnet, **FP32)

    def test_takes_what_it_lacks_from_its_base(self, controlnets: Path, archive: Path, silent: None) -> None:
        for folder in controlnets.iterdir():
            pipeline = load_pipeline(folder, base=archive, **FP32)
            assert isinstance(pipeline, SatControlNetPipeline)
            assert isinstance(pipeline.controlnet, SatControlNet3D) == ("3d" in folder.name)
            assert pipeline.unet.config.block_out_channels == [32, 64]

    def test_of_a_published_name_asks_for_the_base_of_its_record(self, controlnet: Path, tmp_path: Path, archive: Path) -> None:
        known = Path(shutil.copytree(controlnet, tmp_path / "controlnet_sd21_md7norm_fmow_condres256"))
        with pytest.raises(ModelError, match=r"UNet of diffusionsat-512, whose files are not here; get them with .*name another with base="):
            load_pipeline(known, **FP32)
        assert isinstance(load_pipeline(known, archive, **FP32), SatControlNetPipeline)

    def test_beside_rsgeo_mini(self) -> None:
        condition = torch.rand(1, 3, 16, 16)
        pipeline = load_pipeline("rsgeo-mini-superres", **FP32)
        assert isinstance(pipeline, SatControlNetPipeline) and pipeline.conditioning_scale == 4

        def picture(image: torch.Tensor) -> torch.Tensor:
            return pipeline("a river", image, num_inference_steps=2, generator=torch.Generator().manual_seed(0), output_type="pt").images

        assert picture(condition).shape == (1, 3, 64, 64)
        assert not torch.equal(picture(condition), picture(1 - condition))
        inpaint = load_pipeline("rsgeo-mini-inpaint", **FP32)
        assert inpaint.controlnet.config.conditioning_in_channels == 4

    def test_number_type_is_that_of_both_networks(self) -> None:
        pipeline = load_pipeline("rsgeo-mini-superres", device="cpu", dtype="bf16")
        assert pipeline.unet.dtype == pipeline.controlnet.dtype == torch.bfloat16 and pipeline.vae.dtype == torch.float32

    def test_channels_that_the_record_does_not_list_are_refused(self, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(catalog.EMBEDDED / "rsgeo-mini-superres", tmp_path / "rsgeo-mini-superres"))
        file = folder / "meta.json"
        file.write_text(file.read_text().replace('"blue"', '"blue", "nir"'))
        with pytest.raises(ModelError, match=r"reads 3 channels, and the record of rsgeo-mini-superres lists 4"):
            load_pipeline(folder, **FP32)


class TestOwnFolders:
    def test_what_save_pretrained_wrote(self, archive: Path, tmp_path: Path) -> None:
        first = load_pipeline(archive, **FP32)
        first.save_pretrained(tmp_path / "saved")
        again = load_pipeline(tmp_path / "saved", **FP32)
        assert torch.equal(weights_of(first), weights_of(again)) and type(again) is SatPipeline

    def test_with_a_controlnet(self, tmp_path: Path) -> None:
        first = load_pipeline("rsgeo-mini-superres", **FP32)
        first.save_pretrained(tmp_path / "saved")
        again = load_pipeline(tmp_path / "saved", **FP32)
        assert isinstance(again, SatControlNetPipeline)
        assert torch.equal(first.controlnet.controlnet_mid_block.weight, again.controlnet.controlnet_mid_block.weight)
        assert catalog.find(str(tmp_path / "saved")).tasks == ("superres",)

    def test_the_public_name(self) -> None:
        assert rsgeo.load_pipeline is load_pipeline


class TestHub:
    def test_an_id_that_is_not_cached_uses_no_network_and_says_how(self) -> None:
        with pytest.raises(ModelError, match=r"some-one/a-model is neither a folder here nor in the local cache .*models fetch some-one/a-model"):
            load_pipeline("some-one/a-model", **FP32)

    def test_one_that_cannot_be_downloaded_is_an_error(self) -> None:
        """The tests run with the hub's library offline."""
        with pytest.raises(ModelError, match="some-one/a-model cannot be had from the Hugging Face hub"):
            load_pipeline("some-one/a-model", download=True, **FP32)

    def test_a_cached_one_is_loaded(self, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The cache's layout is documented by the hub: models--owner--name/refs/main and snapshots/<commit>."""
        from huggingface_hub import constants

        commit = "0" * 40
        repository = tmp_path / "hub" / "models--some-one--a-model"
        shutil.copytree(archive, repository / "snapshots" / commit)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(commit)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        assert type(load_pipeline("some-one/a-model", **FP32)) is SatPipeline
