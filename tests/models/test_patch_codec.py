"""`PatchCodec` on real tiles: how good, how local, and that it has the face of a VAE."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from rsgeo.models.patch_codec import PatchCodec

TILES = sorted((Path(__file__).parents[1] / "data" / "eurosat").glob("*.webp"))


@pytest.fixture(scope="module")
def tiles() -> torch.Tensor:
    """(20, 3, 64, 64) in [-1, 1]."""
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in TILES])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def fitted(tiles: torch.Tensor, channels: int = 16, whitening: float = 0.5) -> PatchCodec:
    codec = PatchCodec(patch_size=4, latent_channels=channels)
    codec.fit(tiles, whitening)
    return codec


def psnr(codec: PatchCodec, pixels: torch.Tensor) -> float:
    error = (codec.decode(codec.encode(pixels).latent_dist.mode()).sample - pixels).square().mean()
    return float(10 * torch.log10(4 / error))


def test_more_channels_are_nearer(tiles: torch.Tensor) -> None:
    """Fitted on half of the tiles, scored on the other half."""
    scores = [psnr(fitted(tiles[::2], channels), tiles[1::2]) for channels in (4, 8, 12, 16, 48)]
    assert scores == sorted(scores)
    assert scores[0] > 25 and scores[3] > 35
    assert scores[-1] > 90  # all components: nothing is lost


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_latents_have_unit_variance_on_average(tiles: torch.Tensor, whitening: float) -> None:
    latents = fitted(tiles, whitening=whitening).encode(tiles).latent_dist.mode()
    variances = latents.var(dim=(0, 2, 3))
    assert float(variances.mean()) == pytest.approx(1.0, abs=1e-3)
    assert latents.mean(dim=(0, 2, 3)).abs().max() < 1e-3
    if whitening == 1.0:
        torch.testing.assert_close(variances, torch.ones(16), rtol=0, atol=5e-3)


def test_a_cell_and_its_patch_know_nothing_else(tiles: torch.Tensor) -> None:
    codec = fitted(tiles)
    pixels = tiles[:1].clone()
    latents = codec.encode(pixels).latent_dist.mode()
    pixels[:, :, 8:12, 20:24] = 0.3
    moved = (codec.encode(pixels).latent_dist.mode() != latents).any(dim=(0, 1))
    assert moved.nonzero().tolist() == [[2, 5]]
    picture = codec.decode(latents).sample
    latents[:, :, 2, 5] += 1
    moved = (codec.decode(latents).sample != picture).any(dim=(0, 1)).nonzero()
    assert moved.amin(dim=0).tolist() == [8, 20] and moved.amax(dim=0).tolist() == [11, 23]


def test_a_crop_is_coded_as_in_the_whole(tiles: torch.Tensor) -> None:
    codec = fitted(tiles)
    whole = codec.encode(tiles[:1]).latent_dist.mode()
    torch.testing.assert_close(codec.encode(tiles[:1, :, 16:48, 8:40]).latent_dist.mode(), whole[:, :, 4:12, 2:10], rtol=0, atol=1e-5)


def test_the_face_of_a_vae(tiles: torch.Tensor) -> None:
    codec = fitted(tiles)
    posterior = codec.encode(tiles[:2], return_dict=False)[0]
    assert torch.equal(posterior.sample(), posterior.mode())  # a distribution without variance
    assert torch.equal(codec.decode(posterior.mode(), return_dict=False)[0], codec.decode(posterior.mode()).sample)
    assert codec.config.scaling_factor == 1.0
    assert codec.dtype == torch.float32 and codec.half().dtype == torch.float16
    assert torch.isfinite(codec.decode(posterior.mode().half()).sample).all()


def test_latents_take_mean_colours_and_change_no_more_than_they_must(tiles: torch.Tensor) -> None:
    codec = fitted(tiles)
    torch.manual_seed(0)
    latents, wanted = torch.randn(2, 16, 5, 7), torch.rand(2, 3, 5, 7) * 2 - 1
    held = codec.with_means(latents, wanted)
    averaged = functional.avg_pool2d(codec.decode(held).sample, 4)
    assert torch.allclose(averaged, wanted, atol=1e-4) and torch.allclose(codec.means(held), averaged, atol=1e-4)
    assert torch.allclose(codec.with_means(held, wanted), held, atol=1e-4)
    # The change is orthogonal to every change that keeps the means.
    free = codec.with_means(torch.randn_like(latents), codec.means(torch.zeros_like(latents)))
    assert ((held - latents) * free).sum(dim=1).abs().max() < 1e-3
