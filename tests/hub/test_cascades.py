"""Cascades in the catalogue: derived from their configurations, added, converted and fetched, and loaded strictly."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from rsgeo.errors import InputError, ModelError, RsgeoWarning
from rsgeo.hub import catalog, fetch, registry
from rsgeo.hub.convert import convert
from rsgeo.hub.convert_rsdiff import convert_rsdiff
from rsgeo.hub.load import load_pipeline
from rsgeo.models.log_snr_scheduler import LogSNRScheduler
from rsgeo.models.rsdiff_unet import RSDiffUNet
from rsgeo.pipelines.rsdiff_pipeline import RSDiffPipeline

FILES = Path(__file__).parents[1] / "data" / "rsdiff" / "checkpoints"
SIDES: dict[str, dict[str, Any]] = {"base": {"sample_size": 8}, "sr": {"sample_size": 16}}
CPU = {"device": "cpu", "dtype": "fp32"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden checkpoint of both stages, converted."""
    out = tmp_path_factory.mktemp("cascades") / "whole"
    convert_rsdiff(FILES / "stripped_ema_fp16.pt", out, config=SIDES)
    return out


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(whole, tmp_path / "mine"))


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


class TestRecord:
    def test_of_a_converted_folder(self, whole: Path) -> None:
        record = catalog.find(str(whole))
        assert (record.family, record.tasks, record.tile, record.scale, record.channels) == ("cascade", ("generate",), 16, 1, 3)
        assert [(stage.tile, stage.gsd_factor) for stage in record.stages] == [(8, 2), (16, 1)]
        assert record.defaults.scheduler == "dpmsolver++" and record.defaults.num_inference_steps <= 50
        assert (record.gsd_native, record.gsd_range, record.trained_fields) == (None, None, ())

    def test_of_a_base_stage_alone(self, tmp_path: Path) -> None:
        convert_rsdiff(FILES / "base_only.pt", tmp_path / "base", config={"base": SIDES["base"]})
        record = catalog.find(str(tmp_path / "base"))
        assert record.tasks == ("generate",) and [(stage.tile, stage.gsd_factor) for stage in record.stages] == [(8, 1)]
        assert load_pipeline(tmp_path / "base", **CPU).sr_unet is None

    def test_of_a_super_resolution_stage_alone_covers_no_areas(self, folder: Path) -> None:
        shutil.rmtree(folder / "base_unet")
        assert catalog.find(str(folder)).tasks == ()

    def test_of_pixels_that_do_not_nest_covers_no_areas(self, folder: Path) -> None:
        change(folder / "sr_unet" / "config.json", sample_size=20)
        assert catalog.find(str(folder)).tasks == ()

    def test_a_scheduler_that_starts_earlier_is_believed(self, folder: Path) -> None:
        change(folder / "scheduler" / "scheduler_config.json", start_time=0.97)
        schedule = catalog.find(str(folder)).schedule
        assert schedule.model_dump() == {"log_snr": "cosine", "start_time": 0.97, "lowres_noise_level": 0.2}

    def test_the_noise_that_a_pipeline_puts_on_its_base_is_believed(self, folder: Path) -> None:
        change(folder / "model_index.json", lowres_noise_level=0.05)
        assert catalog.find(str(folder)).schedule.model_dump()["lowres_noise_level"] == 0.05

    def test_few_steps_start_a_little_earlier_than_the_original_does(self, folder: Path) -> None:
        assert catalog.find(str(folder)).schedule.model_dump()["start_time"] == 0.99
        change(folder / "scheduler" / "scheduler_config.json", prediction_type="v_prediction")
        assert catalog.find(str(folder)).schedule.model_dump()["start_time"] == 0.998

    def test_a_folder_says_which_solver_it_is_for(self, folder: Path) -> None:
        for own, found in (("ancestral", "dpmsolver++"), ("dpmsolver++", "dpmsolver++"), ("sde-dpmsolver++", "sde-dpmsolver++")):
            change(folder / "scheduler" / "scheduler_config.json", algorithm_type=own)
            assert catalog.find(str(folder)).defaults.scheduler == found

    @pytest.mark.parametrize("settings", [{"sample_size": "large"}, {"sample_size": 0}, {"sample_size": None}])
    def test_of_no_cascade(self, folder: Path, settings: dict[str, Any]) -> None:
        change(folder / "sr_unet" / "config.json", **settings)
        with pytest.raises(ModelError, match="not those of a cascade of pixels"):
            catalog.find(str(folder))

    @pytest.mark.parametrize(
        "fields",
        [{"stages": []}, {"family": "latent"}, {"gsd_native": 1.0}, {"tile": 32}, {"stages": [{"tile": 16, "gsd_factor": 1}] * 2}],
    )
    def test_one_that_contradicts_itself_is_damaged(self, folder: Path, fields: dict[str, Any]) -> None:
        record = catalog.find(str(folder)).model_dump(mode="json")
        (folder / "meta.json").write_text(json.dumps({**record, **fields}))
        with pytest.raises(ModelError, match="damaged"):
            catalog.find(str(folder))

    def test_a_meta_json_of_another_kind_is_no_record(self, folder: Path, whole: Path) -> None:
        (folder / "meta.json").write_text(json.dumps({"data": "pictures", "stages": {"base": {"step": 3108}}}))
        with pytest.warns(RsgeoWarning, match=r"meta\.json is no record of the catalogue; .* rsgeo models add states them"):
            assert catalog.find(str(folder)).stages == catalog.find(str(whole)).stages

    def test_of_the_published_one(self) -> None:
        record = catalog.record_of("rsdiff-sr-cascade-ep650")
        assert (record.licence, record.trained_on, record.tasks) == ("Apache-2.0", "RSICD", ("generate",))
        assert record.archive is not None and record.archive.hub_id == "asebaq/rsdiff-sr-cascade-ep650" and record.archive.sha256 is None
        for name in (record.name, record.archive.hub_id):
            with pytest.raises(ModelError, match=r"not here; get them with rsgeo models fetch rsdiff-sr-cascade-ep650"):
                catalog.find(name)


class TestLoad:
    def test_makes_what_the_folder_makes_in_diffusers(self, whole: Path) -> None:
        ours, theirs = load_pipeline(whole, **CPU), RSDiffPipeline.from_pretrained(whole)
        assert isinstance(ours, RSDiffPipeline) and ours.config.guidance_rule == theirs.config.guidance_rule == "orthogonal"
        assert dict(ours.scheduler.config) == dict(theirs.scheduler.config)
        assert ours.lowres_scheduler.config.schedule == "linear"
        for stage in ("base_unet", "sr_unet"):
            theirs_of_it = getattr(theirs, stage).state_dict()
            for name, tensor in getattr(ours, stage).state_dict().items():
                assert torch.equal(tensor, theirs_of_it[name].float()), name

    def test_the_rule_of_guidance_is_that_of_the_folder(self, folder: Path) -> None:
        change(folder / "model_index.json", guidance_rule="classic", keep_parallel=0.5)
        config = load_pipeline(folder, **CPU).config
        assert (config.guidance_rule, config.keep_parallel) == ("classic", 0.5)
        change(folder / "model_index.json", guidance_rule="none")
        with pytest.raises(ModelError, match=r"settings .* are those of no cascade"):
            load_pipeline(folder, **CPU)

    def test_with_a_text_encoder(self, tmp_path: Path) -> None:
        mini = load_pipeline("rsgeo-mini", **CPU)
        width = mini.text_encoder.config.dim
        small = {"dim": 8, "cond_dim": 16, "dim_mults": [1, 2], "layer_attns": [False, True], "layer_cross_attns": [False, True]}
        unets = (
            RSDiffUNet(sample_size=8, text_embed_dim=width, **small),
            RSDiffUNet(sample_size=16, text_embed_dim=width, lowres_cond=True, **small),
        )
        RSDiffPipeline(*unets, LogSNRScheduler(), LogSNRScheduler("linear"), mini.text_encoder, mini.tokenizer).save_pretrained(tmp_path / "worded")
        pipeline = load_pipeline(tmp_path / "worded", **CPU)
        picture = pipeline("a forest", num_inference_steps=1, output_type="pt", generator=torch.Generator().manual_seed(0)).images
        assert picture.shape == (1, 3, 16, 16)

    def test_weights_that_do_not_fit_are_named(self, folder: Path) -> None:
        change(folder / "sr_unet" / "config.json", cond_dim=24)
        with pytest.raises(ModelError, match="do not fit RSDiffUNet"):
            load_pipeline(folder, **CPU)

    @pytest.mark.parametrize(("part", "named"), [("scheduler", "no scheduler/"), ("lowres_scheduler", "no lowres_scheduler/")])
    def test_a_missing_part_is_named(self, folder: Path, part: str, named: str) -> None:
        record = catalog.find(str(folder)).model_dump(mode="json")
        (folder / "meta.json").write_text(json.dumps(record))
        shutil.rmtree(folder / part)
        with pytest.raises(ModelError, match=named):
            load_pipeline(folder, **CPU)

    def test_adapters_are_refused(self, whole: Path) -> None:
        with pytest.raises(ModelError, match="Adapters are for latent models"):
            load_pipeline(whole, adapters=("some.safetensors",), **CPU)

    def test_a_checkpoint_names_the_command_that_converts_it(self) -> None:
        with pytest.raises(ModelError, match=r"training checkpoint; rsgeo models convert .*base_only\.pt FOLDER"):
            load_pipeline(FILES / "base_only.pt", **CPU)


class TestRegistry:
    def test_a_folder_is_added_and_its_gsd_stated(self, home: Path, folder: Path) -> None:
        record = registry.add("tiny", folder, gsd_native=0.5, gsd_min=0.3, gsd_max=1.0, licence="CC0")
        assert record == catalog.find("tiny") and record.gsd_range == (0.3, 1.0) and catalog.is_sound(record, afresh=True)
        assert isinstance(load_pipeline("tiny", **CPU), RSDiffPipeline)
        change(folder / "model_index.json", guidance_rule="classic")
        assert catalog.is_sound(record, afresh=True) is False

    def test_what_cannot_be_stated(self, home: Path, folder: Path) -> None:
        with pytest.raises(InputError, match=r"What was stated for tiny cannot be: .*given together"):
            registry.add("tiny", folder, gsd_native=0.5)
        with pytest.raises(InputError, match=r"cannot be: .*record's tile"):
            registry.add("tiny", folder, tile=32)
        with pytest.raises(InputError, match=r"rsgeo models convert .*FOLDER makes a model of it"):
            registry.add("tiny", FILES / "base_only.pt")
        assert catalog.names() == sorted(path.parent.name for path in catalog.EMBEDDED.glob("*/meta.json"))

    def test_is_written_anew_with_a_text_encoder_of_its_width_only(self, folder: Path, tmp_path: Path) -> None:
        record = convert(str(folder), tmp_path / "again")
        assert record.sha256 is not None and record.stages == catalog.find(str(folder)).stages
        written = load_file(tmp_path / "again" / "sr_unet" / "diffusion_pytorch_model.safetensors")
        assert all(torch.equal(tensor, load_pipeline(folder, **CPU).sr_unet.state_dict()[name]) for name, tensor in list(written.items())[:3])
        with pytest.raises(InputError, match="no cascade"):
            convert("rsgeo-mini", tmp_path / "words", text_encoder=tmp_path)
        with pytest.raises(ModelError):
            convert(str(folder), tmp_path / "words", text_encoder=tmp_path)
        assert not (tmp_path / "words").exists()


class TestFetch:
    @pytest.fixture
    def published(self, home: Path, whole: Path, write_record: Callable[..., Path]) -> None:
        values = catalog.find(str(whole)).model_dump(mode="json")
        write_record(home / "tiny", **{**values, "archive": {"url": "https://example.org/tiny.pt"}, "licence": "Of its own"})

    def test_a_checkpoint_is_converted_and_pinned(self, published: None, whole: Path, tmp_path: Path) -> None:
        file = Path(shutil.copy(FILES / "stripped_ema_fp16.pt", tmp_path / "tiny.pt"))
        record = fetch.fetch("tiny", from_file=file, consent=lambda _: True)
        assert record.archive is not None and record.archive.bytes == file.stat().st_size and record.archive.sha256
        assert record.licence == "Of its own" and catalog.is_sound(record, afresh=True)
        ours, theirs = load_pipeline("tiny", **CPU), load_pipeline(whole, **CPU)
        assert torch.equal(ours.base_unet.final_conv.weight, theirs.base_unet.final_conv.weight)

    def test_a_published_checkpoint_keeps_its_licence_when_it_is_converted(self, published: None, tmp_path: Path) -> None:
        file = Path(shutil.copy(FILES / "stripped_ema_fp16.pt", tmp_path / "tiny.pt"))
        convert_rsdiff(file, tmp_path / "out", config=SIDES)
        record = catalog.find(str(tmp_path / "out"))
        assert record.licence == "Of its own" and catalog.is_sound(record, afresh=True) and record.archive is None
        convert_rsdiff(file, tmp_path / "other", config={"base": {"sample_size": 8}, "sr": {"sample_size": 32}})
        assert "unknown" in catalog.find(str(tmp_path / "other")).licence

    def test_one_that_is_no_checkpoint_of_it_leaves_nothing(self, published: None, home: Path, tmp_path: Path) -> None:
        torch.save({"model": {"unets.0.other": torch.zeros(1)}, "version": "2.1.0"}, tmp_path / "tiny.pt")
        with pytest.raises(ModelError):
            fetch.fetch("tiny", from_file=tmp_path / "tiny.pt", consent=lambda _: True)
        assert "tiny" not in catalog.names() and [path.name for path in home.iterdir()] == ["tiny"]
