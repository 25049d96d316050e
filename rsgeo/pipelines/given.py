"""What a call of the pipelines is given, as one row for each of its pictures: a picture to start from, metadata, noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor

from rsgeo import encoding
from rsgeo.scene import SceneMetadata


@dataclass(frozen=True, eq=False)
class Given:
    """A picture that denoising starts from, as latents."""

    latents: torch.Tensor
    """Clean, (batch or 1, channels, height, width), float32."""
    strength: float = 1.0
    """Share of the steps that are taken, above 0 to 1: how much of the picture is given up. With 1 the start is noise alone."""
    known: torch.Tensor | None = None
    """Where the cells stay: bool, (batch or 1, 1, height, width), or None for nowhere (`rsgeo.pipelines.known_cells`)."""

    def for_batch(self, prompts: int, images: int = 1) -> Given:
        """With one row for each of ``images`` pictures of each of the prompts.

        Raises:
            ValueError: there are neither one, nor as many as prompts, nor as many as pictures.
        """
        known = None if self.known is None else spread("masks", self.known, prompts, images)
        return Given(spread("given pictures", self.latents, prompts, images), self.strength, known)


def metadata_rows(
    unet: Any,
    scenes: SceneMetadata | Sequence[SceneMetadata] | None,
    metadata: torch.Tensor | Sequence[Any] | None,
    prompts: int,
    images: int,
    device: torch.device,
) -> torch.Tensor:
    """What a network with metadata is fed, (pictures, numbers) float32: of scenes, or already encoded.

    Raises:
        ValueError: there are neither one, nor as many as prompts, nor as many as pictures, or ``metadata`` is of another shape.
    """
    if metadata is None:
        listed = [scenes or SceneMetadata()] * prompts if scenes is None or isinstance(scenes, SceneMetadata) else scenes
        if len(listed) not in (prompts, prompts * images):
            raise ValueError(f"as many scenes as prompts are needed, got {len(listed)} for {prompts}")
        rows = torch.from_numpy(encoding.encode(listed, unet.config.metadata_encoding)).to(device)
        return spread("scenes", rows, prompts, images)
    rows = torch.as_tensor(metadata, dtype=torch.float32, device=device)
    numbers, shape = unet.num_metadata_values, tuple(rows.shape)
    if len(shape) not in (1, 2) or shape[-1] != numbers:
        raise ValueError(f"metadata must have shape {(prompts, numbers)} or {(numbers,)}, got {shape}")
    return spread("rows of metadata", torch.atleast_2d(rows), prompts, images)


def noise_of(
    shape: tuple[int, ...], noise: torch.Tensor | None, device: torch.device, generator: torch.Generator | list[torch.Generator] | None
) -> torch.Tensor:
    """Standard normal float32, drawn unless it is given.

    Raises:
        ValueError: it is given in another shape.
    """
    if noise is None:
        noise = randn_tensor(shape, generator=generator, device=device, dtype=torch.float32)
    elif tuple(noise.shape) != shape:
        raise ValueError(f"latents must have shape {shape}, got {tuple(noise.shape)}")
    return noise.to(device, torch.float32)


def spread(what: str, rows: torch.Tensor, prompts: int, images: int = 1) -> torch.Tensor:
    """``rows``, one for all, one a prompt or one a picture, as one for each of ``images`` pictures of each of the prompts.

    Raises:
        ValueError: they are otherwise many; the message calls them ``what``.
    """
    if len(rows) not in (1, prompts, prompts * images):
        raise ValueError(f"as many {what} as prompts are needed, or one, got {len(rows)} for {prompts}")
    return rows.repeat_interleave(prompts * images // len(rows), dim=0)


def check_size(height: int, width: int, factor: int) -> None:
    """Raises a ValueError if a size in pixels is no multiple of the latent factor."""
    if height % factor or width % factor:
        raise ValueError(f"height and width must be multiples of {factor}, got {height} and {width}")
