"""What a window is wished to show: one prompt, or several where regions meet, each with a soft mask on the lattice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FAINT = 0.05  # a prompt that holds nowhere in a window by more than this is not worth an evaluation of the network


@dataclass(frozen=True, eq=False)
class Wish:
    """A prompt and its share (tile, tile) of each cell of a window, 0 to 1; None is the whole window."""

    prompt: str
    share: NDArray[np.float32] | None = None


WishesAt = Callable[[Sequence[tuple[int, int]], int, int], list[tuple[Wish, ...]]]
"""``wishes_at(corners, tile, factor)``: the wishes of windows near each other, given by their first world cells; a window's shares sum to 1.

Each cell is ``factor`` of the finest level's along an axis."""


def soft(covered: NDArray[np.bool_], scale: int) -> NDArray[np.float32]:
    """Cover of pixels (height, width) as the share of cells of ``scale`` pixels, smoothed over neighbours; a rim of one cell is used up."""
    height, width = (side // scale for side in covered.shape)
    cells = covered.reshape(height, scale, width, scale).mean(axis=(1, 3), dtype=np.float32)
    rows = (cells[:-2] + 2 * cells[1:-1] + cells[2:]) / 4
    return np.asarray((rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4)


def blend(prompts: Sequence[str], shares: NDArray[np.float32]) -> tuple[Wish, ...]:
    """The wishes of a window: ``shares`` (prompt, tile, tile) need not sum to 1; faint ones are left out.

    Where several regions lie over each other they share the place.
    """
    strong = np.flatnonzero(shares.max(axis=(1, 2)) > _FAINT)
    if len(strong) <= 1:
        return (Wish(prompts[int(strong[0]) if len(strong) else 0]),)
    kept = shares[strong]
    total = kept.sum(axis=0)
    kept = np.where(total > 0, kept / np.maximum(total, 1e-6), 1 / len(strong)).astype(np.float32)
    return tuple(Wish(prompts[int(index)], share) for index, share in zip(strong, kept, strict=True))
