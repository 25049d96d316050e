"""Shards of a published data set: tar files whose members of one name, up to its first dot, are one sample."""

from __future__ import annotations

import io
import json
import math
import tarfile
from collections.abc import Iterator
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsgeo.errors import InputError

_LARGEST_MEMBER = 1 << 30


def read_samples(shard: Path) -> Iterator[dict[str, Any]]:
    """The samples of a tar file, one after the other: decoded members by their ending, and the name as ``__key__``.

    ``.json`` is decoded, ``.npy`` is an array, ``.cls`` a number and ``.txt`` text; what else there is, is left out. Nothing is unpacked to disk.
    A member in Python's pickle (``.pyd``, as Satlas' targets were published) can run code and is not read: write it as ``.json`` if you trust it.

    Raises:
        InputError: no tar file, or a member that is damaged, too large or a pickle; the message names it.
    """
    try:
        with tarfile.open(shard, "r:*") as archive:
            yield from _samples(archive, shard)
    except (OSError, tarfile.TarError, EOFError) as error:
        raise InputError(f"{shard} is no tar file that can be read ({error}); fetch it again.") from error


def _samples(archive: tarfile.TarFile, shard: Path) -> Iterator[dict[str, Any]]:
    sample: dict[str, Any] = {}
    for member in archive:
        folder, _, file = member.name.rpartition("/")
        stem, _, ending = file.partition(".")
        if not member.isreg() or not stem or not ending:
            continue
        key = f"{folder}/{stem}" if folder else stem
        if sample and sample["__key__"] != key:
            yield sample
            sample = {}
        sample["__key__"] = key
        if ending.endswith((".pyd", ".pkl", ".pickle")) or ending in ("pyd", "pkl", "pickle"):
            raise InputError(
                f"{member.name} in {shard.name} is a pickle, which can run code; write it as {ending.rpartition('.')[0] or 'targets'}.json."
            )
        if member.size > _LARGEST_MEMBER:
            raise InputError(f"{member.name} in {shard.name} is larger than any sample's ({member.size / 1e9:.1f} GB).")
        source = archive.extractfile(member)
        if source is not None:
            value = _decoded(source.read(), ending, f"{member.name} in {shard.name}")
            if value is not None:
                sample[ending] = value
    if sample:
        yield sample


def _decoded(data: bytes, ending: str, where: str) -> Any:
    try:
        match ending.rpartition(".")[2]:
            case "json":
                return json.loads(data)
            case "npy":
                return _array(data)
            case "cls":
                return int(data)
            case "txt":
                return data.decode("utf-8").strip()
    except (ValueError, SyntaxError, TokenError, RecursionError) as error:  # numpy reads an array's header as Python literals
        raise InputError(f"{where} is damaged ({error}); fetch the shard again.") from error
    return None


def _array(data: bytes) -> NDArray[Any]:
    """An array in numpy's format, whose size is checked before memory is taken. Raises ValueError if it is none, or holds objects."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, by_column, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"numpy's format {version} is unknown")
    start = file.tell()
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError("the array holds objects, or is not as large as it says")
    flat = np.frombuffer(data, dtype, offset=start)
    return flat.reshape(shape[::-1]).T if by_column else flat.reshape(shape)
