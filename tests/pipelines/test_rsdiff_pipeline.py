"""`RSDiffPipeline` against whole runs of the original, and what its arguments promise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast, T5EncoderModel

from rsgeo.errors import ModelError, RsgeoWarning
from rsgeo.hub import catalog
from rsgeo.models import log_snr_scheduler
from rsgeo.models.log_snr_scheduler import LogSNRScheduler
from rsgeo.models.rsdiff_unet import RSDiffUNet
from rsgeo.models.word_piece_encoder import WordPieceEncoder
from rsgeo.pipelines import rsdiff_pipeline
from rsgeo.pipelines.rsdiff_pipeline import RSDiffPipeline
from rsgeo.pipelines.sat_pipeline import SatPipeline

GOLDEN = Path(__file__).parents[1] / "data" / "rsdiff"
CASES = {case["case"]: case for case in json.loads((GOLDEN / "sampling" / "index.json").read_text()) if "stages" in case}
HERE = [name for name in CASES if (GOLDEN / "sampling" / f"{name}.safetensors").exists()]
TEXT = load_file(GOLDEN / "sampling" / "text.safetensors")
SIDES = {"base": 16, "sr": 32}


def unet(stage: str) -> RSDiffUNet:
    network = RSDiffUNet(sample_size=SIDES[stage], **json.loads((GOLDEN / "unet" / f"{stage}_tiny.json").read_text())["config"])
    network.load_state_dict(load_file(GOLDEN / "unet" / f"{stage}_tiny.weights.safetensors"))
    return network.eval()


def tiny(**settings: Any) -> RSDiffPipeline:
    pipeline = RSDiffPipeline(unet("base"), unet("sr"), LogSNRScheduler(), LogSNRScheduler("linear"), **settings)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def cascade() -> RSDiffPipeline:
    return tiny()


class RecordedNoise:
    """Gives recorded numbers in the order in which the original drew them."""

    def __init__(self, golden: dict[str, torch.Tensor]) -> None:
        self._left: Iterator[torch.Tensor] = iter([golden[key] for key in sorted(golden) if key.startswith("noise/")])

    def __call__(self, shape: Any, **_: Any) -> torch.Tensor:
        noise = next(self._left)
        assert tuple(shape) == tuple(noise.shape)
        return noise

    def is_used_up(self) -> bool:
        return next(self._left, None) is None


def arguments(case: dict[str, Any], golden: dict[str, torch.Tensor]) -> dict[str, Any]:
    """The pipeline's arguments for a recorded run."""
    theirs = case["sample_args"]
    ours: dict[str, Any] = {
        "prompt_embeds": TEXT["text_embeds"][: case["batch"]], "prompt_mask": TEXT["text_mask"][: case["batch"]],
        "num_inference_steps": case["timesteps"], "guidance_scale": theirs["cond_scale"], "keep_parallel": theirs.get("cfg_keep_parallel_frac", 0.0),
        "guidance_rule": "orthogonal" if theirs.get("cfg_remove_parallel_component", True) else "classic",
    }  # fmt: skip
    if "start_at_unet_number" in theirs:
        ours |= {"start_at": "sr", "image": golden["in/start_image"], "lowres_noise_level": theirs["lowres_sample_noise_level"]}
    if "init_images" in theirs:
        ours |= {"image": golden["in/init_images"], "skip_steps": theirs["skip_steps"]}
    if "inpaint_images" in theirs:
        ours |= {"inpaint_image": golden["in/inpaint_images"], "inpaint_mask": golden["in/inpaint_masks"]}
        ours |= {"resample_times": theirs["inpaint_resample_times"]}
    return ours if case["stages"] == ["base", "sr"] else ours | {"stop_after": "base"}


@pytest.mark.parametrize("name", HERE)
def test_golden(cascade: RSDiffPipeline, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Every step and the image, from the recorded noise."""
    case, golden = CASES[name], load_file(GOLDEN / "sampling" / f"{name}.safetensors")
    noise, steps = RecordedNoise(golden), {"base": 0, "sr": 0}
    monkeypatch.setattr(rsdiff_pipeline, "randn_tensor", noise)
    monkeypatch.setattr(log_snr_scheduler, "randn_tensor", noise)
    seen: list[tuple[str, float]] = []
    step = cascade.scheduler.step

    def watched(output: torch.Tensor, timestep: torch.Tensor, sample: torch.Tensor, **settings: Any) -> Any:
        stage = "base" if sample.shape[-1] == SIDES["base"] else "sr"
        result = step(output, timestep, sample, **settings)
        key = f"{stage}/{steps[stage]:02d}"
        steps[stage] += 1
        for part, got in {"pred": output, "x_start": result.pred_original_sample, "x_next": result.prev_sample}.items():
            if f"{key}/{part}" in golden:
                seen.append((f"{key}/{part}", float((got - golden[f"{key}/{part}"]).abs().max())))
        return result

    monkeypatch.setattr(cascade.scheduler, "step", watched)
    image = cascade(**arguments(case, golden), output_type="pt").images
    recorded = [key for key in golden if key.split("/")[-1] in ("pred", "x_start", "x_next")]
    assert sorted(key for key, _ in seen) == sorted(recorded)
    assert max(difference for _, difference in seen) < 1e-4
    assert noise.is_used_up()
    last = max(key for key in golden if key.startswith("image/"))
    torch.testing.assert_close(image, golden[last], rtol=0, atol=1e-4)
    assert int(((image * 255).to(torch.uint8).int() - golden["uint8/last"].int()).abs().max()) <= 1


def test_golden_seed(cascade: RSDiffPipeline) -> None:
    """The global generator gives the same pictures as with the original."""
    golden = load_file(GOLDEN / "sampling" / "seed17_T4_cs5.safetensors")
    settings = {"prompt_embeds": TEXT["text_embeds"], "prompt_mask": TEXT["text_mask"], "num_inference_steps": 4, "guidance_scale": 5.0}
    for stop_after, key in (("base", "base"), ("sr", "cascade")):
        torch.manual_seed(17)
        images = cascade(**settings, stop_after=stop_after, output_type="pt").images
        torch.testing.assert_close(images, golden[key], rtol=0, atol=1e-4)


def run(pipeline: RSDiffPipeline, **settings: Any) -> Any:
    fixed: dict[str, Any] = {
        "prompt_embeds": TEXT["text_embeds"], "prompt_mask": TEXT["text_mask"], "num_inference_steps": 2, "guidance_scale": 1.0,
        "generator": torch.Generator().manual_seed(1), "output_type": "pt",
    }  # fmt: skip
    return pipeline(**fixed | settings).images


def test_stages_in_two_calls_are_the_stages_in_one(cascade: RSDiffPipeline) -> None:
    generator = torch.Generator().manual_seed(4)
    base = run(cascade, generator=generator, stop_after="base")
    assert base.shape == (2, 3, 16, 16)
    refined = run(cascade, generator=generator, start_at="sr", image=base)
    assert refined.shape == (2, 3, 32, 32)
    assert torch.equal(refined, run(cascade, generator=torch.Generator().manual_seed(4)))


def test_settings_of_each_stage(cascade: RSDiffPipeline) -> None:
    counts: list[tuple[str, int]] = []

    def count(_: Any, index: int, timestep: torch.Tensor, state: dict[str, Any]) -> dict[str, Any]:
        counts.append((state["stage"], index))
        return {}

    guided = run(cascade, num_inference_steps=(3, 2), guidance_scale=(1.0, 3.0), callback_on_step_end=count)
    assert counts == [("base", 0), ("base", 1), ("base", 2), ("sr", 0), ("sr", 1)]
    base = run(cascade, num_inference_steps=3, stop_after="base", guidance_scale=1.0)
    assert torch.equal(base, run(cascade, num_inference_steps=(3, 2), stop_after="base", guidance_scale=(1.0, 3.0)))
    assert not torch.allclose(guided, run(cascade, num_inference_steps=(3, 2), guidance_scale=(1.0, 1.0)), atol=1e-3)


def test_a_generator_for_each_caption_makes_each_alone(cascade: RSDiffPipeline) -> None:
    together = run(cascade, generator=[torch.Generator().manual_seed(seed) for seed in (5, 6)])
    alone = run(
        cascade, prompt_embeds=TEXT["text_embeds"][1:], prompt_mask=TEXT["text_mask"][1:], generator=[torch.Generator().manual_seed(6)]
    )  # fmt: skip
    torch.testing.assert_close(together[1:], alone, rtol=0, atol=1e-4)


def test_the_callback_may_change_the_sample(cascade: RSDiffPipeline) -> None:
    images = run(cascade, stop_after="base", callback_on_step_end=lambda _p, _i, _t, state: {"sample": state["sample"] * 0 + 0.5})
    assert torch.equal(images, torch.full_like(images, 0.75))


def test_inpainting_keeps_the_picture_at_both_sizes(cascade: RSDiffPipeline) -> None:
    picture, mask = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(2)), torch.zeros(1, 32, 32, dtype=torch.bool)
    mask[:, :, :16] = True
    images = run(cascade, inpaint_image=picture, inpaint_mask=mask, resample_times=2)
    torch.testing.assert_close(images[..., :16], picture[..., :16].expand(2, -1, -1, -1), rtol=0, atol=1e-6)
    assert not torch.allclose(images[..., 16:], picture[..., 16:].expand(2, -1, -1, -1), atol=0.05)


def test_few_deterministic_steps(cascade: RSDiffPipeline) -> None:
    """The solver draws the starts and the low-resolution noise alone."""
    pipeline = RSDiffPipeline.from_pipe(cascade, scheduler=LogSNRScheduler.from_config(cascade.scheduler.config, algorithm_type="dpmsolver++"))
    pipeline.set_progress_bar_config(disable=True)
    generator, drawn = torch.Generator().manual_seed(9), torch.Generator().manual_seed(9)
    images = run(pipeline, generator=generator, num_inference_steps=5)
    for shape in ((2, 3, 16, 16), (2, 3, 32, 32), (2, 3, 32, 32)):
        torch.randn(shape, generator=drawn)
    assert torch.equal(generator.get_state(), drawn.get_state())
    assert torch.isfinite(images).all() and images.std() > 0.05


def test_images_as_bytes_are_cut_as_the_original_cuts_them(cascade: RSDiffPipeline) -> None:
    tensor, array, pictures = (run(cascade, output_type=kind) for kind in ("pt", "np", "pil"))
    assert array.shape == (2, 32, 32, 3)
    assert np.array_equal(array, tensor.permute(0, 2, 3, 1).numpy())
    assert all(isinstance(picture, Image.Image) for picture in pictures)
    assert np.array_equal(np.stack([np.asarray(picture) for picture in pictures]), (array * 255).astype(np.uint8))


def test_prompts_by_t5(t5: tuple[T5EncoderModel, PreTrainedTokenizerFast]) -> None:
    encoder, tokenizer = t5
    pipeline = tiny(text_encoder=encoder, tokenizer=tokenizer)
    captions = ["a river .", "there are some farmlands near the sea ."]
    tokens = tokenizer(captions, padding="longest", return_tensors="pt")
    assert tokens.input_ids[1, -1] == tokenizer.eos_token_id and not tokens.attention_mask[0].all()
    with torch.no_grad():
        embeds = encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0]
    given = run(pipeline, prompt_embeds=embeds, prompt_mask=tokens.attention_mask, guidance_scale=3.0)
    prompted = run(pipeline, prompt=captions, prompt_embeds=None, prompt_mask=None, guidance_scale=3.0)
    torch.testing.assert_close(prompted, given, rtol=0, atol=1e-4)
    other = run(pipeline, prompt=["a forest .", captions[1]], prompt_embeds=None, prompt_mask=None, guidance_scale=3.0)
    assert not torch.allclose(other[0], given[0], atol=1e-3)
    torch.testing.assert_close(other[1], given[1], rtol=0, atol=1e-4)


def test_the_empty_prompt_is_no_caption(t5: tuple[T5EncoderModel, PreTrainedTokenizerFast]) -> None:
    pipeline = tiny(text_encoder=t5[0], tokenizer=t5[1])
    plain = run(pipeline, prompt="", prompt_embeds=None, prompt_mask=None, guidance_scale=1.0)
    guided = run(pipeline, prompt="", prompt_embeds=None, prompt_mask=None, guidance_scale=5.0)
    torch.testing.assert_close(guided, plain, rtol=0, atol=1e-4)


def test_a_caption_of_more_than_256_tokens_is_cut_with_a_warning(t5: tuple[T5EncoderModel, PreTrainedTokenizerFast]) -> None:
    pipeline = tiny(text_encoder=t5[0], tokenizer=t5[1])
    with pytest.warns(RsgeoWarning, match=r"longer than the model takes \(256 tokens\)"):
        run(pipeline, prompt="a river " * 200, prompt_embeds=None, prompt_mask=None, stop_after="base")


def test_save_and_load(t5: tuple[T5EncoderModel, PreTrainedTokenizerFast], tmp_path: Path) -> None:
    pipeline = tiny(text_encoder=t5[0], tokenizer=t5[1], guidance_rule="classic")
    pipeline.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["base_unet"] == index["sr_unet"] == ["rsgeo.models.rsdiff_unet", "RSDiffUNet"]
    assert index["scheduler"] == ["rsgeo.models.log_snr_scheduler", "LogSNRScheduler"]
    loaded = RSDiffPipeline.from_pretrained(tmp_path)
    assert loaded.config.guidance_rule == "classic" and loaded.lowres_scheduler.config.schedule == "linear"
    assert index["text_encoder"] == ["transformers", "T5EncoderModel"]
    for ours, theirs in zip(pipeline.encode(["a river .", ""]), loaded.encode(["a river .", ""]), strict=True):
        assert torch.equal(ours, theirs)
    settings = {"prompt": "a river .", "prompt_embeds": None, "prompt_mask": None, "guidance_scale": 2.0}
    torch.testing.assert_close(run(loaded, **settings), run(pipeline, **settings), rtol=0, atol=1e-5)


def test_a_cascade_with_the_text_encoder_of_rsgeo_mini_is_saved_and_loaded(tmp_path: Path) -> None:
    embedded = catalog.EMBEDDED / catalog.DEFAULT_MODEL
    encoder = WordPieceEncoder.from_pretrained(embedded / "text_encoder")
    torch.manual_seed(0)
    text = {"text_embed_dim": encoder.config.dim, "max_text_len": encoder.config.max_length}
    shape = {
        "dim": 8,
        "cond_dim": 16,
        "dim_mults": (1, 2),
        "layer_attns": (False, True),
        "layer_cross_attns": (False, True),
        "attn_heads": 2,
        "attn_dim_head": 8,
        **text,
    }
    pipeline = RSDiffPipeline(
        RSDiffUNet(sample_size=8, **shape),
        RSDiffUNet(sample_size=16, lowres_cond=True, **shape),
        LogSNRScheduler(),
        LogSNRScheduler("linear"),
        encoder,
        PreTrainedTokenizerFast.from_pretrained(embedded / "tokenizer"),
    )
    for stage in (pipeline.base_unet, pipeline.sr_unet):
        torch.nn.init.normal_(stage.final_conv.weight, std=0.1)  # fresh, it is 0, and so is all that the network says
    pipeline.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "model_index.json").read_text())["text_encoder"] == ["rsgeo.models.word_piece_encoder", "WordPieceEncoder"]
    loaded = RSDiffPipeline.from_pretrained(tmp_path)
    captions = ["a river", "houses with gardens beside a motorway"]
    embeds, mask = pipeline.encode(captions)
    assert embeds.shape == (2, 8, encoder.config.dim) and mask.sum(dim=1).tolist() == [4, 8]
    for ours, theirs in zip((embeds, mask), loaded.encode(captions), strict=True):
        assert torch.equal(ours, theirs)
    settings = {"prompt": captions, "prompt_embeds": None, "prompt_mask": None, "guidance_scale": 2.0}
    torch.testing.assert_close(run(loaded, **settings), run(pipeline, **settings), rtol=0, atol=1e-5)
    given = {"prompt_embeds": embeds, "prompt_mask": mask, "guidance_scale": 2.0}
    assert torch.equal(run(pipeline, **given), run(pipeline, **settings))


def test_one_stage_alone_is_saved_and_loaded(tmp_path: Path) -> None:
    RSDiffPipeline(unet("base"), None, LogSNRScheduler(), LogSNRScheduler("linear")).save_pretrained(tmp_path)
    loaded = RSDiffPipeline.from_pretrained(tmp_path)
    assert run(loaded, stop_after="base").shape == (2, 3, 16, 16)
    with pytest.raises(ValueError, match="no sr stage"):
        run(loaded)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start_at": "sr"}, "needs image"),
        ({"start_at": "sr", "stop_after": "base"}, "in this order"),
        ({"stop_after": "super-resolution"}, "must be base or sr"),
        ({"skip_steps": 1}, "skip_steps needs image"),
        ({"skip_steps": 2, "image": torch.zeros(1, 3, 16, 16)}, "leaves none of the 2 steps"),
        ({"inpaint_mask": torch.zeros(1, 16, 16)}, "go together"),
        ({"inpaint_image": torch.zeros(1, 3, 16, 16), "inpaint_mask": torch.zeros(1, 16, 16), "resample_times": 0}, "at least 1"),
        ({"guidance_rule": "parallel"}, "orthogonal, classic"),
        ({"prompt": "a river"}, "either prompt or prompt_embeds"),
        ({"prompt": "a river", "prompt_embeds": None}, "no text encoder"),
        ({"image": torch.zeros(3, 16, 16)}, "images must have shape"),
        ({"output_type": "jpeg"}, "output_type must be"),
    ],
)
def test_arguments_that_do_not_go_together_are_errors(cascade: RSDiffPipeline, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(cascade, **settings)


def test_a_text_encoder_without_a_mask_is_an_error(archive: SatPipeline) -> None:
    pipeline = tiny(text_encoder=archive.text_encoder, tokenizer=archive.tokenizer)
    with pytest.raises(ValueError, match="needs a text encoder with a mask"):
        run(pipeline, prompt="a river", prompt_embeds=None, prompt_mask=None)


def test_numbers_that_are_not_finite_are_an_error() -> None:
    pipeline = tiny()
    torch.nn.init.constant_(pipeline.base_unet.final_conv.bias, float("nan"))
    with pytest.raises(ModelError, match=r"not finite in torch\.float32"):
        run(pipeline)
