"""Known means: whatever the network says, cells end at the mean colours that a coarser image has."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, SchedulerMixin
from torch.nn import functional

from rsgeo.hub import catalog
from rsgeo.hub.load import load_pipeline
from rsgeo.models.loading import load_module
from rsgeo.models.patch_codec import PatchCodec
from rsgeo.models.sat_controlnet import SatControlNet
from rsgeo.pipelines.known_means import hold_means, means_of
from rsgeo.pipelines.sat_controlnet_pipeline import SatControlNetPipeline


@pytest.fixture(scope="module")
def codec() -> PatchCodec:
    return load_module(PatchCodec, catalog.EMBEDDED / "rsgeo-mini" / "vae")


def clean_of(output: torch.Tensor, cells: torch.Tensor, alpha: float, sigma: float, prediction_type: str) -> torch.Tensor:
    return {"sample": output, "v_prediction": alpha * cells - sigma * output, "epsilon": (cells - sigma * output) / alpha}[prediction_type]


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("sigma", [0.05, 0.6, 0.999])
def test_the_clean_cells_have_the_means_and_are_else_as_they_were(codec: PatchCodec, prediction_type: str, sigma: float) -> None:
    rng = torch.Generator().manual_seed(0)
    cells, output = (torch.randn(2, codec.config.latent_channels, 8, 8, generator=rng) for _ in range(2))
    means, alpha = torch.rand(2, 3, 8, 8, generator=rng) * 2 - 1, (1 - sigma**2) ** 0.5
    noise = {"alpha": alpha, "sigma": sigma, "prediction_type": prediction_type}
    held = hold_means(output, cells, codec, means, **noise)
    before, after = (clean_of(one, cells, **noise) for one in (output, held))
    pixels = codec.decode(after).sample
    assert torch.allclose(pixels.unflatten(3, (8, 4)).unflatten(2, (8, 4)).mean(dim=(3, 5)), means, atol=2e-3)
    # What has no mean colour stays: the detail of each patch.
    assert torch.allclose(codec.with_means(before, means), after, atol=2e-2)
    again = hold_means(held, cells, codec, means, **noise)
    assert torch.allclose(again, held, atol=1e-3)


def test_another_prediction_is_refused(codec: PatchCodec) -> None:
    cells = torch.zeros(1, codec.config.latent_channels, 2, 2)
    with pytest.raises(ValueError, match="known means need"):
        hold_means(cells, cells, codec, torch.zeros(1, 3, 2, 2), alpha=0.8, sigma=0.6, prediction_type="flow")


def test_a_cell_has_the_mean_of_its_pixels() -> None:
    images = torch.arange(16.0).view(1, 1, 4, 4).expand(1, 3, 4, 4) / 16
    assert torch.equal(means_of(images, (4, 4)), images * 2 - 1)
    assert torch.allclose(means_of(images, (2, 2))[0, 0], torch.tensor([[2.5, 4.5], [10.5, 12.5]]) / 8 - 1)


@pytest.mark.parametrize("scheduler", [DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler])
def test_a_picture_has_the_means_that_it_was_shown_whatever_the_solver(scheduler: type[SchedulerMixin]) -> None:
    mini = load_pipeline("rsgeo-mini", device="cpu")
    settings = {"conditioning_in_channels": 3, "conditioning_scale": 4, "latent_factor": 4, "use_metadata": False}
    parts = {**mini.components, "scheduler": scheduler.from_config(mini.scheduler.config, clip_sample=False)}
    low = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.4
    apart = []
    for keeps in (True, False):
        net = SatControlNet.from_unet(mini.unet, keeps_means=keeps, conditioning_embedding_out_channels=[8, 8], **settings).eval()
        pipeline = SatControlNetPipeline(**parts, controlnet=net)
        pipeline.set_progress_bar_config(disable=True)
        made = pipeline("", low, num_inference_steps=4, generator=torch.Generator().manual_seed(1), output_type="latent").images
        apart.append((functional.avg_pool2d(pipeline.decode(made), 4) - (low * 2 - 1)).abs().max())
    assert apart[0] < 0.01 < apart[1]
