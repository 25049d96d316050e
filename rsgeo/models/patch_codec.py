"""`PatchCodec`: a linear codec of square patches with the face of diffusers' `AutoencoderKL`."""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import nn
from torch.nn import functional


class PatchCodec(ModelMixin, ConfigMixin):
    """Principal components of ``patch_size`` x ``patch_size`` x 3 patches as latents, scaled per component.

    It is exactly local: a latent cell depends on its own patch and a patch on its own cell, so it needs no decoder phase and no overlap.
    ``fit`` computes the basis; until then it is zero. Pixels are in [-1, 1].
    """

    config_name = "config.json"

    @register_to_config
    def __init__(self, patch_size: int = 4, latent_channels: int = 16, scaling_factor: float = 1.0) -> None:
        super().__init__()
        size = 3 * patch_size**2
        self.mean = nn.Buffer(torch.zeros(size))
        self.basis = nn.Buffer(torch.zeros(latent_channels, size))
        self.scale = nn.Buffer(torch.ones(latent_channels))

    @torch.no_grad()
    def fit(self, pixels: torch.Tensor, whitening: float = 0.5) -> None:
        """Set the basis from images (batch, 3, height, width) in [-1, 1].

        Component i of standard deviation d_i is divided by d_i ** whitening (0 keeps the natural variances, 1 makes them equal), then all
        by one factor so that the mean variance of a latent is 1.
        """
        patches = self._patches(pixels).double()
        rows = patches.permute(0, 2, 3, 1).reshape(-1, patches.shape[1])
        mean = rows.mean(dim=0)
        values, vectors = torch.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
        count = self.config.latent_channels
        deviation = values.flip(0)[:count].clamp_min(1e-12).sqrt()
        basis = vectors.flip(1)[:, :count].T
        scale = deviation**whitening
        scale = scale * ((deviation / scale) ** 2).mean().sqrt()
        self.mean.copy_(mean)
        self.basis.copy_(basis)
        self.scale.copy_(scale)

    @apply_forward_hook  # so that an offloaded codec comes back, as it would before `forward`
    def encode(self, x: torch.Tensor, return_dict: bool = True) -> AutoencoderKLOutput | tuple[DiagonalGaussianDistribution]:
        """Pixels (batch, 3, height, width) in [-1, 1] -> a distribution without variance.

        Its mean are the latents, (batch, channels, height / p, width / p).
        """
        centred = self._patches(x) - self.mean.view(1, -1, 1, 1).to(x.dtype)
        kernel = (self.basis / self.scale[:, None]).to(x.dtype)
        latents = functional.conv2d(centred, kernel[:, :, None, None])
        posterior = DiagonalGaussianDistribution(torch.cat([latents, torch.zeros_like(latents)], dim=1), deterministic=True)
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    @apply_forward_hook
    def decode(self, z: torch.Tensor, return_dict: bool = True) -> DecoderOutput | tuple[torch.Tensor]:
        """Latents -> pixels (batch, 3, height * p, width * p)."""
        kernel = (self.basis * self.scale[:, None]).T.to(z.dtype)
        patches = functional.conv2d(z, kernel[:, :, None, None], self.mean.to(z.dtype))
        sample = functional.pixel_shuffle(patches, self.config.patch_size)
        return DecoderOutput(sample=sample) if return_dict else (sample,)

    def means(self, z: torch.Tensor) -> torch.Tensor:
        """The mean colour of each cell's patch: latents -> (batch, 3, height, width), in [-1, 1] as pixels are."""
        linear, offset = self._averaging()
        return functional.conv2d(z, linear.to(z.dtype)[:, :, None, None], offset.to(z.dtype))

    def with_means(self, z: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        """The latents nearest to ``z`` whose patches have the mean colours ``means``: ``z`` without what contradicts them.

        (Wang et al., Denoising Diffusion Null-Space Model, ICLR 2023, equation 13, with averaging as the degradation.)
        """
        inverse = torch.linalg.pinv(self._averaging()[0])
        correction: torch.Tensor = functional.conv2d(means - self.means(z), inverse.to(z.dtype)[:, :, None, None])
        return z + correction

    def _averaging(self) -> tuple[torch.Tensor, torch.Tensor]:
        """A cell's mean colour as a linear function of it: (3, channels) and what is added, (3,)."""
        columns = (self.basis * self.scale[:, None]).view(len(self.scale), 3, -1)
        return columns.mean(dim=2).T, self.mean.view(3, -1).mean(dim=1)

    def _patches(self, pixels: torch.Tensor) -> torch.Tensor:
        return functional.pixel_unshuffle(pixels, self.config.patch_size)
