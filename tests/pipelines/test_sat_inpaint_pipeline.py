"""Inpainting and image to image: what is kept, what is made, and how pictures may be given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.schedulers import KarrasDiffusionSchedulers
from PIL import Image

from rsgeo.pipelines.given import Given
from rsgeo.pipelines.sat_img2img_pipeline import SatImg2ImgPipeline
from rsgeo.pipelines.sat_inpaint_pipeline import SatInpaintPipeline
from rsgeo.pipelines.sat_pipeline import SatPipeline

# One without a table of noise levels, one that may not be there.
SCHEDULERS = [one.name for one in KarrasDiffusionSchedulers if one.name not in ("EDMEulerScheduler", "DPMSolverSDEScheduler")]


def close(got: torch.Tensor, expected: torch.Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(got, expected, rtol=0, atol=atol)


def run(pipeline: Any, *arguments: Any, **settings: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    settings = {"num_inference_steps": 4, "output_type": "latent", "generator": torch.Generator().manual_seed(3), **settings}
    return pipeline(*arguments, **settings).images


@pytest.fixture
def inpaint(mini: SatPipeline) -> SatInpaintPipeline:
    pipeline: SatInpaintPipeline = SatInpaintPipeline.from_pipe(mini)
    return pipeline


@pytest.fixture
def change(mini: SatPipeline) -> SatImg2ImgPipeline:
    pipeline: SatImg2ImgPipeline = SatImg2ImgPipeline.from_pipe(mini)
    return pipeline


def picture(side: int = 16, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def mask(side: int = 16) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """True where pixels are made: a block that cuts cells of 4 px."""
    made = np.zeros((side, side), np.bool_)
    made[3:9, 6:] = True
    return made


def test_known_pixels_come_back_unchanged(inpaint: SatInpaintPipeline) -> None:
    """In every kind of output, bit for bit, and only they."""
    pixels, made = picture(), mask()
    pil = run(inpaint, "a forest", Image.fromarray(pixels), Image.fromarray(made), output_type="pil")[0]
    assert np.array_equal(np.asarray(pil)[~made], pixels[~made])
    assert not np.array_equal(np.asarray(pil)[made], pixels[made])
    tensor = torch.rand(1, 3, 16, 16)
    where = torch.from_numpy(made)[None, None]
    got = run(inpaint, "a forest", tensor, where, output_type="pt")
    assert torch.equal(got.masked_fill(where, 0), tensor.masked_fill(where, 0))
    assert not torch.isclose(got, tensor).all(dim=1)[0][where[0, 0]].any()
    array = run(inpaint, "a forest", tensor.permute(0, 2, 3, 1).numpy(), made[None], output_type="np")
    assert np.array_equal(array[0][~made], tensor[0].permute(1, 2, 0).numpy()[~made])
    apart = run(inpaint, "a forest", tensor, where, output_type="pt", composite=False)
    assert torch.equal(apart.masked_fill(~where, 0), got.masked_fill(~where, 0))
    assert not torch.equal(apart, got)


def test_ways_to_give_a_picture_and_a_mask(inpaint: SatInpaintPipeline) -> None:
    pixels, made = picture(), mask()
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    plain = run(inpaint, "a forest", tensor, torch.from_numpy(made)[None, None])
    masks = [Image.fromarray(made), [Image.fromarray(made)], made[None].astype(np.float32), torch.from_numpy(made).float()[None]]
    for image in (Image.fromarray(pixels), [Image.fromarray(pixels)], pixels[None].astype(np.float32) / 255, list(tensor)):
        for one in masks:
            close(run(inpaint, "a forest", image, one), plain)
    assert run(inpaint, "a forest", Image.fromarray(picture(20)), Image.fromarray(mask(20)), height=16, width=16).shape == (1, 6, 4, 4)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
def test_every_solver_ends_at_the_known_cells(inpaint: SatInpaintPipeline, golden: Path, scheduler: str, prediction: str) -> None:
    """By itself: the last step makes what is put there afterwards, but for the noise that some solvers leave (0.03 of standard deviation)."""
    inpaint.scheduler = getattr(diffusers, scheduler).from_pretrained(golden / "archive" / "scheduler", prediction_type=prediction)
    tensor, where = torch.rand(1, 3, 16, 16), torch.from_numpy(mask())[None, None]
    last: dict[str, torch.Tensor] = {}
    latents = run(
        inpaint, "a forest", tensor, where, num_inference_steps=12, callback_on_step_end=lambda _, __, ___, state: last.update(state) or {}
    )  # fmt: skip
    known = torch.ones(1, 6, 4, 4, dtype=torch.bool)
    known[..., 0:3, 1:] = False  # every cell that the block touches
    clean = inpaint.encode(2 * tensor - 1)
    assert torch.equal(latents[known], clean[known])
    close(last["latents"][known], clean[known], atol=0.12)
    assert torch.equal(latents[~known], last["latents"][~known])
    assert (latents - clean)[~known].abs().mean() > 0.1


def test_what_is_made_looks_at_what_is_known(inpaint: SatInpaintPipeline) -> None:
    where = torch.from_numpy(mask())[None, None]
    dark, light = (run(inpaint, "a forest", torch.full((1, 3, 16, 16), level), where) for level in (0.1, 0.9))
    assert not torch.allclose(dark[..., 1, 2], light[..., 1, 2], atol=1e-3)


def test_nothing_known_is_the_pipeline_itself(inpaint: SatInpaintPipeline, mini: SatPipeline) -> None:
    got = run(inpaint, "a forest", torch.rand(1, 3, 16, 16), torch.ones(1, 1, 16, 16))
    assert torch.equal(got, run(mini, "a forest"))


def test_strength_begins_with_what_lies_under_the_mask(inpaint: SatInpaintPipeline) -> None:
    tensor, where = torch.rand(1, 3, 16, 16), torch.ones(1, 1, 16, 16)
    clean = inpaint.encode(2 * tensor - 1)
    distance = [(run(inpaint, "a forest", tensor, where, num_inference_steps=20, strength=one) - clean).abs().mean() for one in (0.1, 0.5, 1.0)]
    assert distance[0] < distance[1] < distance[2]
    assert torch.equal(run(inpaint, "a forest", tensor, where), run(inpaint, "a forest", 1 - tensor, where))  # noise alone


def test_image_to_image_keeps_the_more_the_weaker_it_is(change: SatImg2ImgPipeline) -> None:
    tensor = torch.rand(1, 3, 16, 16)
    clean = change.encode(2 * tensor - 1)
    distance = [(run(change, "a forest", tensor, num_inference_steps=20, strength=one) - clean).abs().mean() for one in (0.1, 0.5, 1.0)]
    assert distance[0] < distance[1] < distance[2]
    pil = Image.fromarray(picture())
    from_pixels = run(change, "a forest", pil, strength=0.5)
    from_latents = run(change, "a forest", change.encode(torch.from_numpy(picture()).permute(2, 0, 1)[None] / 127.5 - 1), strength=0.5)
    close(from_pixels, from_latents)


def test_several_prompts_and_pictures(change: SatImg2ImgPipeline, inpaint: SatInpaintPipeline) -> None:
    images, noise = torch.rand(2, 3, 16, 16), torch.randn(4, 6, 4, 4)
    settings: dict[str, Any] = {"latents": noise, "num_images_per_prompt": 2}
    whole = run(change, ["a forest", "a river"], images, strength=0.5, **settings)
    one = run(change, "a river", images[1:], strength=0.5, latents=noise[3:])
    close(whole[3:], one)
    where = torch.from_numpy(mask())[None, None]
    made = run(inpaint, ["a forest", "a river"], images, where, output_type="pt", **settings)
    for i in range(4):
        assert torch.equal(made[i].masked_fill(where[0], 0), images[i // 2].masked_fill(where[0], 0))


def test_what_cannot_be_is_an_error(change: SatImg2ImgPipeline, inpaint: SatInpaintPipeline, mini: SatPipeline) -> None:
    image, where = torch.rand(1, 3, 16, 16), torch.ones(1, 1, 16, 16)
    with pytest.raises(ValueError, match="needs image"):
        change("a forest")
    with pytest.raises(ValueError, match="needs image, and mask_image"):
        inpaint("a forest", image)
    for strength in (0.0, 1.5):
        with pytest.raises(ValueError, match=f"strength must be above 0 and at most 1, got {strength}"):
            change("a forest", image, strength=strength)
    with pytest.raises(ValueError, match=r"strength 0\.1 leaves none of 4 steps"):
        run(change, "a forest", image, strength=0.1)
    with pytest.raises(ValueError, match="multiples of 4, got 18 and 16"):
        change("a forest", torch.rand(1, 3, 18, 16))
    with pytest.raises(ValueError, match="multiples of 4, got 18 and 16"):
        inpaint("a forest", torch.rand(1, 3, 18, 16), torch.ones(1, 1, 18, 16))
    with pytest.raises(ValueError, match="as many given pictures as prompts are needed, or one, got 2 for 3"):
        inpaint(["a", "of", "a"], image.repeat(2, 1, 1, 1), where)
    with pytest.raises(ValueError, match=r"given latents must have shape \(1, 6, 4, 4\), got \(1, 6, 2, 2\)"):
        mini("a", given=Given(torch.zeros(1, 6, 2, 2)))
