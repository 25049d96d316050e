"""Where finished blocks are kept until nobody needs them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rsgeo.synthesis.blocks import Block


class Store(Protocol):
    """Blocks and their arrays; ``done`` are those that are there from before."""

    @property
    def done(self) -> frozenset[Block]: ...

    def put(self, block: Block, array: NDArray[np.generic]) -> None: ...

    def get(self, block: Block) -> NDArray[np.generic]: ...

    def free(self, block: Block) -> None: ...


class MemoryStore:
    """Blocks in memory."""

    done: frozenset[Block] = frozenset()

    def __init__(self) -> None:
        self._arrays: dict[Block, NDArray[np.generic]] = {}

    def put(self, block: Block, array: NDArray[np.generic]) -> None:
        self._arrays[block] = array

    def get(self, block: Block) -> NDArray[np.generic]:
        return self._arrays[block]

    def free(self, block: Block) -> None:
        del self._arrays[block]
