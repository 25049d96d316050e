"""Training of cascades: what a batch holds, what each stage learns, and that a run stops, goes on, hands over to the next stage and ends early."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from rsgeo.hub.load import load_pipeline
from rsgeo.models.log_snr_scheduler import LogSNRScheduler
from rsgeo.models.rsdiff_unet import RSDiffUNet
from rsgeo.pipelines.rsdiff_pipeline import RSDiffPipeline

TRAINING = Path(__file__).resolve().parents[2] / "training"
sys.path.insert(0, str(TRAINING))

import cascade_data  # noqa: E402
import train_cascade  # noqa: E402

CONFIG = yaml.safe_load((TRAINING / "cascade.yaml").read_text())

pytestmark = pytest.mark.filterwarnings("ignore:RSICD in .* pictures in the part")


@pytest.fixture(scope="module")
def rsicd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RSICD's image folder of twelve pictures for each part, each of one grey, whose captions are told apart by their number and sentence."""
    root = tmp_path_factory.mktemp("rsicd")
    (root / "RSICD_images").mkdir()
    with (root / "dataset_rsicd.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "split", "imgid", *(f"sent{n}" for n in range(1, 6)), "label"])
        for number in range(36):
            name = f"river_{number}.png"
            Image.new("RGB", (20, 24), (5 * number, 5 * number, 5 * number)).save(root / "RSICD_images" / name)
            writer.writerow([name, ("train", "val", "test")[number % 3], number, *(f"river {number} {n}" for n in range(1, 6)), "river"])
    return root


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random T5 encoder of a few weights with its tokenizer."""
    folder = tmp_path_factory.mktemp("t5")
    words = {word: number for number, word in enumerate(["<pad>", "</s>", "<unk>", "river", "1", "2", "3"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=16)
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    T5EncoderModel(T5Config(vocab_size=len(words), d_model=128, d_kv=8, d_ff=16, num_layers=1, num_heads=2)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe with networks of a few thousand weights for 8 and 16 px, which predict noise as the published ones do."""
    common = {"dim": 8, "dim_mults": [1, 2], "num_resnet_blocks": 0, "layer_attns": [False, True], "layer_cross_attns": [False, True], "cond_dim": 16,
              "attn_heads": 2, "attn_dim_head": 8, "text_embed_dim": 128, "max_text_len": 16, "attn_pool_num_latents": 2}  # fmt: skip
    config = {
        **CONFIG,
        "batch_size": 4,
        "warmup_steps": 1,
        "validation": {"pictures": 12, "steps": 2, "lowres_noise_level": 0.05, "patience": 100},
        "scheduler": {"prediction_type": "epsilon", "algorithm_type": "dpmsolver++"},
        "base": {**common, "sample_size": 8},
        "sr": {**common, "sample_size": 16, "lowres_cond": True},
    }
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_batch_is_a_function_of_process_and_step_and_shows_every_caption(rsicd: Path) -> None:
    data = cascade_data.read("rsicd", rsicd, "train", 16)

    def batch(process: int, step: int, drop_text: float = 0.0) -> tuple[Any, list[str]]:
        return data.batch(64, seed=1, process=process, step=step, drop_text=drop_text)

    (first, texts), (again, same), (other, _), (later, _) = batch(0, 3), batch(0, 3), batch(1, 3), batch(0, 4)
    assert np.array_equal(first, again) and texts == same
    assert not np.array_equal(first, other) and not np.array_equal(first, later)
    greys = [round((float(value) + 1) * 127.5 / 5) for value in first[:, 0, 0, 0]]
    assert [int(text.split()[1]) for text in texts] == greys and all(grey % 3 == 0 for grey in greys)
    assert {text.split()[2] for text in texts} == set("12345")
    assert 10 < batch(0, 3, drop_text=0.5)[1].count("") < 54


def test_pictures_come_in_all_eight_positions_of_the_square() -> None:
    corner = np.zeros((1, 4, 4, 3), np.uint8)
    corner[0, 0, 1] = 255
    pixels, _ = cascade_data.Pictures(corner, [lambda rng: "a"]).batch(200, seed=0, process=0, step=0, drop_text=0.0)
    assert len({picture.tobytes() for picture in pixels}) == 8


def cascade(stage: str, small: Path, **settings: Any) -> train_cascade.Cascade:
    config = yaml.safe_load(small.read_text())
    config = {**config, **config["stages"]["joint"], **settings}
    torch.manual_seed(0)
    return train_cascade.Cascade(stage, RSDiffUNet(**config["base"]), RSDiffUNet(**config["sr"]), config)


def captions(count: int) -> train_cascade.Captions:
    return train_cascade.Captions(torch.randn(count, 3, 128), torch.ones(count, 3, dtype=torch.bool), torch.ones(count, dtype=torch.bool))


def test_the_loss_of_a_fresh_network_is_the_weighted_mean_square_of_the_noise(small: Path) -> None:
    """A fresh network gives zeros, and the weights of noise are those of Min-SNR, told by the same draws of time."""
    module = cascade("base", small)
    with torch.no_grad():
        loss = module(torch.zeros(512, 3, 16, 16), captions(512), torch.Generator().manual_seed(5))
    levels = LogSNRScheduler().log_snr(torch.rand(512, generator=torch.Generator().manual_seed(5)))
    assert float(loss) == pytest.approx(float(LogSNRScheduler().loss_weights(levels).mean()), rel=0.02)


@pytest.mark.parametrize(("stage", "learns"), [("base", {"base"}), ("sr", {"sr"}), ("joint", {"base", "sr"})])
def test_a_stage_trains_its_own_networks(stage: str, learns: set[str], small: Path) -> None:
    module = cascade(stage, small)
    module(torch.randn(4, 3, 16, 16), captions(4), torch.Generator().manual_seed(0)).backward()
    assert {name.split(".")[0] for name, weight in module.named_parameters() if weight.grad is not None} == learns


def test_the_second_stage_reads_what_the_base_makes_of_its_share(small: Path) -> None:
    settings = {"lowres_noise_most": 0.0, "own_from": 0.9}
    pixels, texts = torch.rand(4, 3, 8, 8) * 2 - 1, captions(4)

    def read(share: float) -> torch.Tensor:
        given = cascade("sr", small, own_share=share, **settings).lowres(pixels, texts, torch.Generator().manual_seed(0))
        assert given["lowres_timestep"].shape == (4,)
        return torch.nn.functional.avg_pool2d(given["lowres_sample"], 2)

    real, half = read(0.0), read(0.5)
    torch.testing.assert_close(real, pixels, rtol=0, atol=0.05)  # at time 0 the noise is of 0.01
    assert (half[:2] - pixels[:2]).abs().mean() > 0.1
    torch.testing.assert_close(half[2:], pixels[2:], rtol=0, atol=0.05)


def test_a_perfect_base_makes_what_it_was_shown(small: Path) -> None:
    module = cascade("sr", small)
    pixels = torch.rand(3, 3, 8, 8) * 2 - 1

    class Perfect(torch.nn.Module):
        def encode_text(self, *given: Any) -> None: ...

        def forward(self, sample: torch.Tensor, level: torch.Tensor, conditions: None, return_dict: bool) -> tuple[torch.Tensor]:
            alpha, sigma = (torch.sigmoid(sign * level).sqrt().view(-1, 1, 1, 1) for sign in (1, -1))
            return ((sample - alpha * pixels) / sigma,)

    module.base = Perfect()
    made = module.made_anew(pixels, captions(3), torch.Generator().manual_seed(0))
    torch.testing.assert_close(made, pixels, rtol=0, atol=0.05)


def test_stages_follow_each_other_and_go_on_where_they_stopped(
    rsicd: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = _train("base", rsicd, small, tmp_path / "base", 0.01, monkeypatch)
    longer = _train("base", rsicd, small, tmp_path / "base", 0.02, monkeypatch)
    assert "going on from step" in capsys.readouterr().out
    assert [entry["step"] for entry in longer["history"]] > [entry["step"] for entry in base["history"]]
    assert longer["meta"]["licence"] == "none stated by the data" and "RSICD" in longer["meta"]["data"]
    best = min(longer["history"], key=lambda entry: entry["frechet"])
    assert longer["meta"]["stages"]["base"]["step"] == best["step"]

    start = ["--start", str(tmp_path / "base" / "pipeline")]
    sr = _train("sr", rsicd, small, tmp_path / "sr", 0.01, monkeypatch, *start)
    before, after = (load_file(tmp_path / run / "pipeline" / "base_unet" / "diffusion_pytorch_model.safetensors") for run in ("base", "sr"))
    assert all(torch.equal(before[key], after[key]) for key in before)
    joint = _train("joint", rsicd, small, tmp_path / "joint", 0.01, monkeypatch, "--start", str(tmp_path / "sr" / "pipeline"))
    assert [list(run["meta"]["stages"]) for run in (base, sr, joint)] == [["base"], ["base", "sr"], ["base", "sr", "joint"]]
    tuned = load_file(tmp_path / "joint" / "pipeline" / "base_unet" / "diffusion_pytorch_model.safetensors")
    assert not all(torch.equal(before[key], tuned[key]) for key in before)

    pipeline = load_pipeline(str(tmp_path / "joint" / "pipeline"))
    assert isinstance(pipeline, RSDiffPipeline)
    images = pipeline("a river", num_inference_steps=2, output_type="pt", generator=torch.Generator().manual_seed(0)).images
    assert images.shape == (1, 3, 16, 16) and torch.isfinite(images).all()


def test_a_run_by_t5_leaves_t5(rsicd: Path, small: Path, t5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _train("base", rsicd, small, tmp_path, 1e-9, monkeypatch, "--text", str(t5))
    index = json.loads((tmp_path / "pipeline" / "model_index.json").read_text())
    assert index["text_encoder"] == ["transformers", "T5EncoderModel"] and index["lowres_noise_level"] == 0.05


def test_a_run_ends_when_no_checkpoint_is_better_for_a_while(rsicd: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a learning rate of almost nothing the weights stay, so no checkpoint is better than the first."""
    config = yaml.safe_load(small.read_text())
    config["stages"]["base"]["learning_rate"] = 1e-30
    still = {**config, "checkpoint_minutes": 0, "validation": {**config["validation"], "patience": 2}}
    path = tmp_path / "still.yaml"
    path.write_text(yaml.safe_dump(still))
    run = _train("base", rsicd, path, tmp_path / "out", 60, monkeypatch)
    assert [entry["step"] for entry in run["history"]] == [1, 2, 3] and run["meta"]["stages"]["base"]["step"] == 1


def test_ucmerced_has_its_captions_and_its_split(sets: Path) -> None:
    data = cascade_data.read("ucmerced", sets / "ucmerced", "train", 32)
    assert data.pixels.shape == (2, 32, 32, 3)
    _, texts = data.batch(40, seed=0, process=0, step=0, drop_text=0.0)
    assert any("river" in text or "stream" in text for text in texts) and any("road" in text or "freeway" in text for text in texts)


def test_a_stage_without_the_one_before_says_what_it_needs(rsicd: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="The stage sr needs the base stage; name the pipeline of an earlier run with --start"):
        _train("sr", rsicd, small, tmp_path, 0.01, monkeypatch)


def _train(stage: str, rsicd: Path, config: Path, out: Path, minutes: float, monkeypatch: pytest.MonkeyPatch, *more: str) -> dict[str, Any]:
    typed = ["--config", str(config), "--data", "rsicd", str(rsicd), "--out", str(out), "--minutes", str(minutes), *more]
    monkeypatch.setattr(sys, "argv", ["train_cascade.py", stage, *typed])
    train_cascade.main()
    return {
        "meta": json.loads((out / "pipeline" / "training.json").read_text()),
        "history": json.loads((out / "validation.json").read_text()),
    }
