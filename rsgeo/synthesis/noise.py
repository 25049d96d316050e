"""The world's noise: standard normals that are a pure function of (seed, field, world cell).

Philox4x32 with 10 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), keyed by a hash of the field's name,
counted by the cell's row and column, so that any window of the endless plane can be made alone and always looks the same.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

NOISE_VERSION = "rsgeo-noise/1"

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)

Words = NDArray[np.uint64]


def philox4x32(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> tuple[Words, Words, Words, Words]:
    """Four random 32-bit words (held in uint64) for each counter; the counter's four words broadcast against one another."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        first, second = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (second >> _HALF) ^ c1 ^ np.uint64(k0), second & _LOW, (first >> _HALF) ^ c3 ^ np.uint64(k1), first & _LOW
        k0, k1 = (k0 + _KEY_STEPS[0]) & 0xFFFFFFFF, (k1 + _KEY_STEPS[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def noise_words(seed: int, field: str, group: int, row0: int, col0: int, height: int, width: int) -> NDArray[np.uint32]:
    """Random words (4, height, width) of the world cells from (row0, col0) on; indices are signed 64-bit, negative ones included."""
    digest = hashlib.blake2b(f"{NOISE_VERSION}|{seed}|{field}|{group}".encode("ascii"), digest_size=16).digest()
    key = int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")
    rows = _twos_complement(row0, height)[:, None]
    cols = _twos_complement(col0, width)[None, :]
    words = philox4x32((rows & _LOW, rows >> _HALF, cols & _LOW, cols >> _HALF), key)
    return np.stack(words).astype(np.uint32)


def noise_normal(seed: int, field: str, row0: int, col0: int, height: int, width: int, channels: int) -> NDArray[np.float32]:
    """Standard normal noise (channels, height, width) of the world cells from (row0, col0) on.

    Fields are names, for example "L0/init" (where synthesis starts) and "L0/step7" (what a stochastic solver adds at step 7).
    Channels come in groups of four, each by the Box-Muller transform from its own words; values stay within +-6.77.
    """
    out = np.empty((channels, height, width), np.float32)
    for group in range(-(-channels // 4)):
        words = noise_words(seed, field, group, row0, col0, height, width).astype(np.float64)
        radius = np.sqrt(-2.0 * np.log((words[0::2] + 0.5) / 2.0**32))
        angle = words[1::2] * (2.0 * np.pi / 2.0**32)
        normals = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(4, height, width)
        out[4 * group : 4 * group + 4] = normals[: channels - 4 * group]
    return out


def _twos_complement(start: int, count: int) -> Words:
    return np.arange(count, dtype=np.uint64) + np.uint64(start % 2**64)
