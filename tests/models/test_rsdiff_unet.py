"""`RSDiffUNet` against the original's outputs, names and shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import init_empty_weights
from safetensors.torch import load_file

from rsgeo.models.loading import load_module
from rsgeo.models.rsdiff_blocks import Block
from rsgeo.models.rsdiff_configurations import CONFIGURATIONS
from rsgeo.models.rsdiff_unet import RSDiffUNet
from rsgeo.pipelines import guidance

GOLDEN = Path(__file__).parents[1] / "data" / "rsdiff"
STAGES = ("base", "sr")
MANIFESTS = {
    "rsdiff1.5-base": "base_27M", "rsdiff1.5-sr": "sr_as_built_105M",
    "rsdiff1-base": "rsdiff1_base_260M", "rsdiff1-sr": "rsdiff1_sr_as_built_493M",
}  # fmt: skip
KEEP_MIXED = [True, False]


def tiny(stage: str) -> RSDiffUNet:
    unet = RSDiffUNet(**json.loads((GOLDEN / "unet" / f"{stage}_tiny.json").read_text())["config"])
    unet.load_state_dict(load_file(GOLDEN / "unet" / f"{stage}_tiny.weights.safetensors"), strict=True)
    return unet.eval()


@pytest.fixture(scope="module")
def unets() -> dict[str, RSDiffUNet]:
    return {stage: tiny(stage) for stage in STAGES}


@pytest.fixture(scope="module")
def golden() -> dict[str, dict[str, torch.Tensor]]:
    return {stage: load_file(GOLDEN / "unet" / f"{stage}_tiny.cases.safetensors") for stage in STAGES}


def inputs(cases: dict[str, torch.Tensor], text: str | None = "text_embeds", mask: str | torch.Tensor | None = "text_mask") -> dict[str, Any]:
    """Arguments of the UNet for a golden case."""
    arguments: dict[str, Any] = {"sample": cases["in/x"], "timestep": cases["in/log_snr"]}
    if text is not None:
        arguments["encoder_hidden_states"] = cases[f"in/{text}"]
        arguments["encoder_attention_mask"] = cases[f"in/{mask}"] if isinstance(mask, str) else mask
    if "in/lowres_cond_img" in cases:
        arguments.update(lowres_sample=cases["in/lowres_cond_img"], lowres_timestep=cases["in/lowres_log_snr"])
    return arguments


def of_case(case: str, cases: dict[str, torch.Tensor]) -> dict[str, Any]:
    mask = cases["in/text_mask"]
    if case == "wide":
        first = {key: value[:1] for key, value in inputs(cases).items()}
        wide = {"sample": cases["in/x_wide"]}
        if "lowres_sample" in first:
            wide["lowres_sample"] = cases["in/lowres_cond_img_wide"]
        return {**first, **wide}
    return {
        "text_nomask": inputs(cases, mask=None),
        "text_mask": inputs(cases),
        "text_mask_zeroed": inputs(cases, "text_embeds_zeroed"),
        "text_mask_alltrue": inputs(cases, mask=torch.ones_like(mask)),
        "text_mask_allfalse": inputs(cases, mask=torch.zeros_like(mask)),
        "drop_mask": {**inputs(cases), "keep_text": False},
        "drop_nomask": {**inputs(cases, mask=None), "keep_text": False},
        "notext": inputs(cases, text=None),
        "text_long": inputs(cases, "text_embeds_long", "text_mask_long"),
        "keep_mixed": {**inputs(cases), "keep_text": KEEP_MIXED},
        "cfg1": inputs(cases),
    }[case]


CASES = [
    "text_nomask", "text_mask", "text_mask_zeroed", "text_mask_alltrue", "text_mask_allfalse", "drop_mask", "drop_nomask", "notext", "text_long",
    "keep_mixed", "cfg1", "wide",
]  # fmt: skip


def close(got: torch.Tensor, expected: torch.Tensor, atol: float = 1e-4) -> None:
    torch.testing.assert_close(got, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_golden(unets: dict[str, RSDiffUNet], golden: dict[str, dict[str, torch.Tensor]], stage: str, case: str) -> None:
    cases = golden[stage]
    close(unets[stage](**of_case(case, cases)).sample, cases[f"out/{case}"])


@pytest.mark.parametrize("stage", STAGES)
@torch.no_grad()
def test_golden_guidance(unets: dict[str, RSDiffUNet], golden: dict[str, dict[str, torch.Tensor]], stage: str) -> None:
    cases, unet = golden[stage], unets[stage]
    wish = unet(**inputs(cases)).sample
    blank = unet(**inputs(cases), keep_text=False).sample
    close(guidance.classic(wish, blank, 5.0), cases["out/cfg5_classic"])
    for scale in (0, 3, 5):
        close(guidance.orthogonal(wish, blank, scale), cases[f"out/cfg{scale}_orth"])
    close(guidance.orthogonal(wish, blank, 5.0, keep_parallel=0.3), cases["out/cfg5_orth_frac0.3"])


@torch.no_grad()
def test_golden_modules(unets: dict[str, RSDiffUNet], golden: dict[str, dict[str, torch.Tensor]]) -> None:
    """Each module gives what the original's of that name gives: a fault is found in the first that does not."""
    cases, unet = golden["base"], unets["base"]
    expected = {key.removeprefix("act/"): value for key, value in cases.items() if key.startswith("act/")}
    seen: dict[str, torch.Tensor] = {}
    hooks = [
        unet.get_submodule(name).register_forward_hook(lambda _module, _args, output, name=name: seen.__setitem__(name, output)) for name in expected
    ]
    unet(**{key: value[:1] for key, value in inputs(cases).items()})
    for hook in hooks:
        hook.remove()
    assert len(expected) > 40
    wrong = [name for name, value in expected.items() if not torch.allclose(seen[name].reshape(value.shape), value, rtol=0, atol=1e-4)]
    assert not wrong


@pytest.mark.parametrize("name", MANIFESTS)
def test_full_size_weights_have_the_published_names_and_shapes(name: str) -> None:
    manifest = json.loads((GOLDEN / "manifests" / f"{MANIFESTS[name]}.json").read_text())
    with init_empty_weights():
        unet = RSDiffUNet(**CONFIGURATIONS[name])
    assert {key: list(value.shape) for key, value in unet.state_dict().items()} == manifest["shapes"]
    assert sum(parameter.numel() for parameter in unet.parameters()) == manifest["parameters"]


@pytest.mark.parametrize("stage", STAGES)
@torch.no_grad()
def test_text_that_was_encoded_before_gives_the_same(unets: dict[str, RSDiffUNet], golden: dict[str, dict[str, torch.Tensor]], stage: str) -> None:
    unet, arguments = unets[stage], inputs(golden[stage])
    expected = unet(**arguments).sample
    text = unet.encode_text(arguments.pop("encoder_hidden_states"), arguments.pop("encoder_attention_mask"))
    assert torch.equal(unet(**arguments, encoder_hidden_states=text).sample, expected)
    close(unet(**arguments, encoder_hidden_states=unet.read_text(text)).sample, expected, atol=1e-6)


@torch.no_grad()
def test_a_caption_does_not_depend_on_its_neighbours(unets: dict[str, RSDiffUNet], golden: dict[str, dict[str, torch.Tensor]]) -> None:
    """A short caption is padded to the longest of its batch; alone it is not."""
    unet, arguments = unets["base"], inputs(golden["base"])
    together = unet(**arguments).sample[1:]
    length = int(arguments["encoder_attention_mask"][1].sum())
    alone = {key: value[1:] for key, value in arguments.items()}
    for key in ("encoder_hidden_states", "encoder_attention_mask"):
        alone[key] = alone[key][:, :length]
    close(unet(**alone).sample, together, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("stage", STAGES)
@torch.no_grad()
def test_halves_stay_near(golden: dict[str, dict[str, torch.Tensor]], stage: str, dtype: torch.dtype) -> None:
    cases = golden[stage]
    half = {key: value.to(dtype) if key in ("sample", "lowres_sample") else value for key, value in inputs(cases).items()}
    got = tiny(stage).to(dtype)(**half).sample
    assert got.dtype == dtype
    expected = cases["out/text_mask"]
    assert float((got.float() - expected).norm() / expected.norm()) < {torch.float16: 0.01, torch.bfloat16: 0.08}[dtype]


@torch.no_grad()
def test_a_black_image_is_no_nan_in_halves(golden: dict[str, dict[str, torch.Tensor]]) -> None:
    unet = tiny("base").half()
    for conv in unet.init_conv.convs:
        conv.bias.zero_()
    arguments = inputs(golden["base"])
    assert torch.isfinite(unet(**{**arguments, "sample": torch.zeros_like(arguments["sample"]).half()}).sample).all()


@pytest.mark.parametrize("stage", STAGES)
def test_a_fresh_network_gives_zeros_and_learns(golden: dict[str, dict[str, torch.Tensor]], stage: str) -> None:
    unet = RSDiffUNet(**tiny(stage).config)
    output = unet(**inputs(golden[stage])).sample
    assert not output.any()
    (output - 1).square().mean().backward()
    assert unet.final_conv.weight.grad.any()
    for parameter in unet.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    unet.zero_grad()
    unet(**inputs(golden[stage]), keep_text=KEEP_MIXED).sample.square().mean().backward()
    assert not [name for name, parameter in unet.named_parameters() if parameter.grad is None or not torch.isfinite(parameter.grad).all()]


def test_gradients_of_a_block_that_works_in_place() -> None:
    torch.manual_seed(0)
    block = Block(3, 2).double()
    x, scale, shift = (torch.randn(size, dtype=torch.float64, requires_grad=True) for size in ((2, 3, 4, 5), (2, 3, 1, 1), (2, 3, 1, 1)))
    assert torch.autograd.gradcheck(lambda *values: block(values[0], values[1:]), (x, scale, shift))
    before = x.detach().clone()
    block(x, (scale, shift)).sum().backward()
    assert torch.equal(x, before)
    assert block.norm.gamma.grad is not None and block.norm.gamma.grad.any()


def test_fresh_pixels_of_a_cell_are_equal() -> None:
    """Otherwise a fresh network draws a checkerboard."""
    cells = RSDiffUNet(**tiny("base").config).ups[0][3](torch.randn(1, 16, 2, 2))
    assert cells.any()
    assert torch.equal(cells, cells[..., ::2, ::2].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))


@pytest.mark.parametrize("stage", STAGES)
@torch.no_grad()
def test_save_and_load(unets: dict[str, RSDiffUNet], golden: dict[str, dict[str, torch.Tensor]], tmp_path: Path, stage: str) -> None:
    unet, arguments = unets[stage], inputs(golden[stage])
    unet.save_pretrained(tmp_path)
    for loaded in (RSDiffUNet.from_pretrained(tmp_path), load_module(RSDiffUNet, tmp_path)):
        assert loaded.config.lowres_cond == (stage == "sr")
        assert all(torch.equal(value, unet.state_dict()[name]) for name, value in loaded.state_dict().items())
        close(loaded(**arguments).sample, unet(**arguments).sample, atol=1e-6)


@torch.no_grad()
def test_traced_as_one_graph_gives_the_same(unets: dict[str, RSDiffUNet], golden: dict[str, dict[str, torch.Tensor]]) -> None:
    unet, arguments = unets["sr"], inputs(golden["sr"])
    close(torch.compile(unet, backend="eager", fullgraph=True)(**arguments).sample, unet(**arguments).sample)


@pytest.mark.parametrize(
    ("stage", "change", "message"),
    [
        ("base", {"sample": torch.zeros(2, 3, 16, 12)}, "multiples of 8, got 16 and 12"),
        ("base", {"lowres_sample": torch.zeros(2, 3, 16, 16), "lowres_timestep": 0.7}, "reads no low-resolution image"),
        ("sr", {"lowres_sample": None}, "lowres_sample and lowres_timestep are needed"),
        ("sr", {"lowres_timestep": None}, "lowres_sample and lowres_timestep are needed"),
        ("sr", {"lowres_sample": torch.zeros(2, 3, 16, 16)}, "must have the sample's shape"),
        ("base", {"encoder_hidden_states": torch.zeros(2, 7, 768)}, r"must have shape \(batch, tokens, 32\)"),
        ("base", {"encoder_attention_mask": torch.ones(2, 6)}, r"text mask must have shape \(2, 7\)"),
    ],
)
def test_inputs_that_do_not_fit_are_errors(
    unets: dict[str, RSDiffUNet], golden: dict[str, dict[str, torch.Tensor]], stage: str, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        unets[stage](**{**inputs(golden[stage]), **change})


def test_a_setting_for_too_few_levels_is_an_error() -> None:
    with pytest.raises(ValueError, match="layer_attns must have one entry for each of the 4 levels"):
        RSDiffUNet(layer_attns=[False, True])


def test_more_text_than_the_pool_has_positions_is_an_error() -> None:
    with pytest.raises(ValueError, match="max_text_len must be at most 512"):
        RSDiffUNet(max_text_len=513)
