"""Whether a blockwise codec shows its blocks: gradients across patch borders beside those inside patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Gradients:
    """Mean absolute difference of neighbouring pixels in grey levels: ``across`` patch borders and ``inside`` patches."""

    across: float
    inside: float

    @property
    def ratio(self) -> float:
        """1 where the borders do not show."""
        return self.across / self.inside if self.inside else float("nan")


def gradients(tiles: NDArray[np.uint8], patch: int = 4) -> Gradients:
    """The mean gradients of tiles (n, height, width, 3), both directions and all bands alike.

    JPEG's blocks of 8 px show in real tiles too, so compare with real ones.
    """
    signed = tiles.astype(np.int16)
    steps = [np.abs(np.diff(signed, axis=axis)).mean(axis=(0, 3 - axis, 3)) for axis in (1, 2)]
    values: NDArray[Any] = np.concatenate(steps)
    border = np.concatenate([(np.arange(1, len(step) + 1) % patch) == 0 for step in steps])
    return Gradients(across=float(values[border].mean()), inside=float(values[~border].mean()))
