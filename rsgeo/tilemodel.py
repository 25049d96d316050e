"""The seam between models and places: all that the synthesis engine may know of a model family.

A `TileModel` is a pipeline bound to a sampler and a device. Its levels run coarse to fine; a plain latent model has one.
Cells are torch tensors (window, channel, tile, tile) on the model's device, float32; the engine gathers and scatters them,
the level denoises them. Nothing here may look at another window of the batch: a window's result is a function of the window alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from rsgeo.scene import SceneMetadata


@dataclass(frozen=True, eq=False)
class Seen:
    """What a window shows of the images that condition it, on a lattice ``conditioning_scale`` times coarser than the window's pixels.

    ``pixels`` (images, bands, side, side) float32 in [0, 1], 0 where there are none; ``mask`` (images, side, side) bool, True where there are;
    ``scenes`` one an image: what is known of it at the window's place. ``side`` is tile * scale / conditioning_scale.
    """

    pixels: NDArray[np.float32]
    mask: NDArray[np.bool_]
    scenes: tuple[SceneMetadata, ...]


@dataclass(frozen=True, eq=False)
class Known:
    """Pixels that are given and stay: ``pixels`` (3, height, width) float32 in [-1, 1], 0 elsewhere; ``mask`` (height, width) bool, True there."""

    pixels: NDArray[np.float32]
    mask: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Coarser:
    """What a batch of windows reads of the coarser level: its finished ``cells`` (window, channel, tile / ratio, tile / ratio) under each of them.

    ``noise`` (window, channel, tile, tile) is standard normal and belongs to the world's cells, for whoever adds some to what is read.
    """

    cells: torch.Tensor
    noise: torch.Tensor


class Solver(Protocol):
    """One phase's walk down the noise levels; made fresh for each phase and batch, so that no history leaks."""

    def step(self, cells: torch.Tensor, output: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """Cells at the next noise level from the model's ``output`` at the present one; ``noise`` (standard normal) for stochastic solvers."""


class Level(Protocol):
    """One resolution of a model.

    ``tile``: window side in cells. ``scale``: pixels a cell, in the level's own GSD. ``channels``: numbers a cell. ``gsd_factor``: GSD against the
    finest level, whose cells nest in those of all others; each level but the first reads the one before.
    ``stochastic``: whether the solver wants noise at each step. ``decoder_tile``/``decoder_stride`` in cells, None when `decode` is local (a pixel
    depends on its own cell only) and windows need no overlap to decode. ``noise_levels``: s = sigma/alpha before each step, descending; after
    the last step s is 0. ``conditioning_scale``: pixels for one pixel of the images that a window is shown, along one axis; 1 where it is shown none.
    """

    tile: int
    scale: int
    channels: int
    gsd_factor: int
    stochastic: bool
    decoder_tile: int | None
    decoder_stride: int | None
    noise_levels: tuple[float, ...]
    conditioning_scale: Fraction

    def conditions(
        self,
        prompts: Sequence[str],
        scenes: Sequence[SceneMetadata],
        seen: Sequence[Seen] | None = None,
        known: Sequence[Known] | None = None,
        coarser: Coarser | None = None,
    ) -> Any:
        """What the network needs besides its cells of each window's wish, scene, images, given pixels and coarser level; computed once a batch.

        `predict` then says of cells whose pixels are all ``known`` (side tile * scale) what makes a solver end at them.
        """

    def start(self, noise: torch.Tensor) -> torch.Tensor:
        """Cells at the first noise level from standard normal ``noise``."""

    def predict(self, cells: torch.Tensor, step: int, conditions: Any) -> torch.Tensor:
        """The guided model output for a batch of windows at step ``step``."""

    def solver(self, first: int, last: int) -> Solver:
        """A fresh solver for the steps ``first`` (included) to ``last`` (excluded) of the one fixed list."""

    def decode(self, cells: torch.Tensor) -> torch.Tensor:
        """Pixels (window, band, tile * scale, tile * scale), float32 in [-1, 1] where the model is sure (not clipped)."""


class TileModel(Protocol):
    """A model as the engine sees it."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """The model's resolutions, coarse to fine."""

    def to_device(self, array: Any) -> torch.Tensor:
        """A numpy float32 array as a tensor on the model's device."""
