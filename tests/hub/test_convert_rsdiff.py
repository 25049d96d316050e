"""RSDiff's training checkpoints: what they give is what the original gave, and what is no such file is refused without running it."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import T5Config, T5EncoderModel

from rsgeo.errors import InputError, ModelError
from rsgeo.hub.convert_rsdiff import configuration_of, convert_rsdiff, read_checkpoint, read_config
from rsgeo.models.rsdiff_configurations import CONFIGURATIONS
from rsgeo.pipelines.rsdiff_pipeline import RSDiffPipeline

GOLDEN = Path(__file__).parents[1] / "data" / "rsdiff"
FILES = GOLDEN / "checkpoints"
EXPECTED = load_file(FILES / "expected.safetensors")
WHOLE = Path(os.environ.get("RSGEO_SHARED_REFERENCE", "missing")) / "rsdiff" / "checkpoints" / "full_cascade.pt"
SIDES: dict[str, dict[str, Any]] = {"base": {"sample_size": 8}, "sr": {"sample_size": 16}}
MANIFESTS = {
    "rsdiff1.5-base": "base_27M", "rsdiff1.5-sr": "sr_as_built_105M",
    "rsdiff1-base": "rsdiff1_base_260M", "rsdiff1-sr": "rsdiff1_sr_as_built_493M",
}  # fmt: skip


def outputs(folder: Path) -> dict[str, torch.Tensor]:
    """What the stages of a converted folder give for the golden inputs."""
    pipeline = RSDiffPipeline.from_pretrained(folder)
    text = (EXPECTED["in/text_embeds"], EXPECTED["in/text_mask"])
    lowres = {"lowres_sample": EXPECTED["in/lowres_cond_img"], "lowres_timestep": EXPECTED["in/lowres_log_snr"]}
    with torch.no_grad():
        return {
            stage: unet(EXPECTED[f"in/x_{stage}"], EXPECTED["in/log_snr"], *text, **(lowres if stage == "sr" else {})).sample
            for stage, unet in (("base", pipeline.base_unet), ("sr", pipeline.sr_unet))
            if unet is not None
        }


@pytest.mark.parametrize("weights", ["ema", "online"])
@pytest.mark.parametrize(
    ("case", "checkpoint", "base"),
    [
        ("base_only", "base_only", None),
        ("merged", "sr_slim", "base_only"),
        ("stripped_ema_fp16", "stripped_ema_fp16", None),
    ],
)
def test_every_layout_gives_what_the_original_gave(tmp_path: Path, case: str, checkpoint: str, base: str | None, weights: Any) -> None:
    out = tmp_path / "out"
    config = {"base": SIDES["base"]} if case == "base_only" else SIDES
    found = convert_rsdiff(FILES / f"{checkpoint}.pt", out, base=base and FILES / f"{base}.pt", weights=weights, config=config)  # type: ignore[arg-type]
    assert (found.version, found.guidance_rule, found.weights) == ("2.1.0", "orthogonal", weights)
    given = outputs(out)
    assert given.keys() == found.stages.keys() == config.keys()
    for stage, output in given.items():
        if (key := f"{case}/{weights}/{stage}") in EXPECTED:
            torch.testing.assert_close(output, EXPECTED[key], rtol=0, atol=1e-4)
    assert case == "stripped_ema_fp16" or all(f"{case}/{weights}/{stage}" in EXPECTED for stage in given)


@pytest.mark.skipif(not WHOLE.is_file(), reason="a run's whole checkpoint lies outside the repository; RSGEO_SHARED_REFERENCE says where")
@pytest.mark.parametrize("weights", ["ema", "online"])
def test_a_whole_checkpoint(tmp_path: Path, weights: Any) -> None:
    convert_rsdiff(WHOLE, tmp_path / "out", weights=weights, config=SIDES)
    expected = load_file(WHOLE.with_name("expected.safetensors"))
    for stage, output in outputs(tmp_path / "out").items():
        torch.testing.assert_close(output, expected[f"full_cascade/{weights}/{stage}"], rtol=0, atol=1e-4)


def test_averaged_and_last_weights_differ(tmp_path: Path) -> None:
    for weights in ("ema", "online"):
        convert_rsdiff(FILES / "base_only.pt", tmp_path / weights, weights=weights, config={"base": SIDES["base"]})  # type: ignore[arg-type]
    assert (outputs(tmp_path / "ema")["base"] - outputs(tmp_path / "online")["base"]).abs().max() > 0.01


@pytest.mark.parametrize("name", MANIFESTS)
def test_published_configurations_are_told_from_names_and_shapes(name: str) -> None:
    manifest = json.loads((GOLDEN / "manifests" / f"{MANIFESTS[name]}.json").read_text())
    shapes = manifest.get("shapes") or manifest.get("tensors") or manifest.get("keys") or manifest
    told = configuration_of({key: torch.empty(shape, device="meta") for key, shape in shapes.items()}, name)
    for setting, value in CONFIGURATIONS[name].items():
        assert told[setting] == (value if setting != "num_resnet_blocks" or not isinstance(value, int) else [value] * 4), setting


def test_sizes_that_no_weight_tells_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r'no weight tells the size of its images; give it with --config, as \{"base"'):
        convert_rsdiff(FILES / "base_only.pt", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    def refused(message: str, checkpoint: Path, error: type[Exception] = ModelError, **how: Any) -> None:
        with pytest.raises(error, match=message):
            convert_rsdiff(checkpoint, tmp_path / "out", **{"config": SIDES, **how})
        assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*.part"))

    whole = torch.load(FILES / "base_only.pt", weights_only=True)

    def variant(name: str, **changes: Any) -> Path:
        torch.save({key: value for key, value in {**whole, **changes}.items() if value is not None}, tmp_path / f"{name}.pt")
        return tmp_path / f"{name}.pt"

    only_base: dict[str, Any] = {"config": {"base": SIDES["base"]}}
    refused("super-resolution stage only; give the file of the base run with --base", FILES / "sr_slim.pt")
    refused("holds a base stage already", FILES / "stripped_ema_fp16.pt", base=FILES / "base_only.pt")
    refused("holds no base stage; --base takes", FILES / "sr_slim.pt", base=FILES / "sr_slim.pt")
    refused(r"no averaged \(ema\) weights of the base stage, .* say --weights online", variant("model", ema=None), **only_base)
    refused("neither 'model' nor 'ema'", variant("empty", ema=None, model=None), **only_base)
    refused("does not say which version", variant("versionless", version=None), **only_base)
    old = {f"unets.0.downs.0.1.block1.groupnorm.{part}": torch.ones(4) for part in ("weight", "bias")}
    refused("imagen-pytorch 1.x", variant("old", ema=None, model={**whole["model"], **old}), weights="online", **only_base)
    less = {key: value for key, value in whole["model"].items() if not key.endswith("mid_attn.layers.0.0.norm.g")}
    refused("missing: mid_attn.layers.0.0.norm.g", variant("less", ema=None, model=less), weights="online", **only_base)
    more = {**whole["model"], "unets.0.extra.weight": torch.ones(1)}
    refused("unexpected: extra.weight", variant("more", ema=None, model=more), weights="online", **only_base)
    refused("no weights of an RSDiff network", variant("other", ema=None, model={"unets.0.a": torch.ones(1)}), weights="online", **only_base)
    refused("There is no file", tmp_path / "none.pt")
    (tmp_path / "page.pt").write_text("<html>")
    refused("is damaged or no checkpoint", tmp_path / "page.pt")
    (tmp_path / "cut.pt").write_bytes((FILES / "base_only.pt").read_bytes()[:100_000])
    refused("is damaged or no checkpoint", tmp_path / "cut.pt")
    refused("speaks of a stage 'sr'", FILES / "base_only.pt", InputError)
    refused("has no setting 'depth'", FILES / "base_only.pt", InputError, config={"base": {"depth": 3}})
    refused("of another shape", FILES / "base_only.pt", config={"base": {"sample_size": 8, "attn_heads": 4}})
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="There is something at"):
        convert_rsdiff(FILES / "base_only.pt", tmp_path / "out", **only_base)


def test_guidance_follows_the_version(tmp_path: Path) -> None:
    whole = torch.load(FILES / "base_only.pt", weights_only=True)
    for version, rule in (("2.0.0", "classic"), ("2.1.0", "orthogonal"), ("2.10.3", "orthogonal")):
        torch.save({**whole, "version": version}, tmp_path / "one.pt")
        out = tmp_path / version
        assert convert_rsdiff(tmp_path / "one.pt", out, config={"base": SIDES["base"]}).guidance_rule == rule
        assert RSDiffPipeline.from_pretrained(out).config.guidance_rule == rule


class Malicious:
    """Unpickled without care, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, zipped: bool) -> None:
    harm, file = tmp_path / "harm", tmp_path / "bad.pt"
    whole = torch.load(FILES / "base_only.pt", weights_only=True)
    torch.save({**whole, "scaler0": Malicious(harm)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match=r"asks to run \S*system, which is no part of a checkpoint; it is refused, and nothing of it was run"):
        convert_rsdiff(file, tmp_path / "out", config={"base": SIDES["base"]})
    assert not harm.exists() and not (tmp_path / "out").exists()
    torch.load(file, weights_only=False)  # so the trap is a real one
    assert harm.exists()


def test_a_bare_pickle_with_code_is_not_run(tmp_path: Path) -> None:
    harm, file = tmp_path / "harm", tmp_path / "bad.pt"
    file.write_bytes(pickle.dumps({"model": Malicious(harm)}))
    with pytest.raises(ModelError):
        read_checkpoint(file)
    assert not harm.exists()


def test_numbers_that_are_not_in_the_file_are_refused(tmp_path: Path) -> None:
    """A few bytes can claim to be a table of any size: spread from one number, or packed."""
    whole = torch.load(FILES / "base_only.pt", weights_only=True)
    spread = {**whole["model"], "unets.0.text_to_cond.weight": torch.zeros(1).expand(40_000, 8)}
    torch.save({**whole, "model": spread}, tmp_path / "spread.pt")
    with pytest.raises(ModelError, match="no plain table of numbers"):
        convert_rsdiff(tmp_path / "spread.pt", tmp_path / "out", weights="online", config={"base": SIDES["base"]})
    with zipfile.ZipFile(FILES / "base_only.pt") as source, zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in source.infolist():
            packed.writestr(entry.filename, source.read(entry))
    with pytest.raises(ModelError, match="is compressed inside"):
        read_checkpoint(tmp_path / "packed.pt")


def test_a_text_encoder_comes_along_if_it_fits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    for width in (8, 12):
        config = T5Config(vocab_size=40, d_model=width, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
        T5EncoderModel(config).save_pretrained(tmp_path / f"t5-{width}")
    only_base: dict[str, Any] = {"config": {"base": SIDES["base"]}}
    with pytest.raises(ModelError, match="is 12 wide, the base stage reads 8"):
        convert_rsdiff(FILES / "base_only.pt", tmp_path / "out", text_encoder=tmp_path / "t5-12", **only_base)
    with pytest.raises(ModelError, match="holds no tokenizer"):
        convert_rsdiff(FILES / "base_only.pt", tmp_path / "out", text_encoder=tmp_path / "t5-8", **only_base)
    _tokenizer().save_pretrained(tmp_path / "t5-8")
    convert_rsdiff(FILES / "base_only.pt", tmp_path / "out", text_encoder=tmp_path / "t5-8", **only_base)
    pipeline = RSDiffPipeline.from_pretrained(tmp_path / "out")
    image = pipeline("a pond", stop_after="base", num_inference_steps=2, output_type="np").images
    assert image.shape == (1, 8, 8, 3)


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3, "pond": 4}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=16)


def test_settings_are_read_from_json(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(SIDES))
    assert read_config(file) == SIDES
    for text in ("[1]", "{", ""):
        file.write_text(text)
        with pytest.raises(InputError, match="settings by stage"):
            read_config(file)
