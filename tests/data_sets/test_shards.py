"""Shards: samples come out as adapters take them, and no pickle is opened."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsgeo.data.diffusionsat.texas import texas
from rsgeo.data.shards import read_samples
from rsgeo.errors import InputError


def npy(array: np.ndarray[Any, Any]) -> bytes:
    blob = io.BytesIO()
    np.save(blob, array)
    return blob.getvalue()


def write(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def test_samples_are_what_adapters_take(tmp_path: Path) -> None:
    housing = {"eff.year.built": 2014.0, "acres": 0.1929, "parcel.lon": -95.495, "parcel.lat": 30.243}
    arrays = {f"tif.{name}.npy": npy(np.full((16, 16, 3), grey, np.uint8)) for grey, name in enumerate(("rgb-2016", "rgb-2018", "sentinel-2016"))}
    members = {
        f"part/{key}.{name}": data for key in ("a", "b") for name, data in ({"tif.metadata.json": json.dumps(housing).encode()} | arrays).items()
    }
    found = list(read_samples(write(tmp_path / "texas.tar", {**members, "part/b.notes.bin": b"left out", "part/b.output.cls": b"7"})))
    assert [sample["__key__"] for sample in found] == ["part/a", "part/b"] and found[1]["output.cls"] == 7 and "notes.bin" not in found[1]
    example = texas(found[0], 8, random.Random(0), task="future", drop=0)
    assert example.caption == "a satlas satellite image of houses  built in 2014 covering 0.1929 acres"
    assert [round(float(view.image.mean()) * 255) for view in example.conditions] == [0, 2]


def test_arrays_in_both_orders(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    (sample,) = read_samples(write(tmp_path / "a.tar", {"x.c.npy": npy(array), "x.f.npy": npy(np.asfortranarray(array))}))
    np.testing.assert_array_equal(sample["c.npy"], array)
    np.testing.assert_array_equal(sample["f.npy"], array)


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def test_no_pickle_is_opened(tmp_path: Path) -> None:
    harm = tmp_path / "harm"
    bad = pickle.dumps([Malicious(harm)])
    with pytest.raises(InputError, match=r"a\.targets\.pyd in .* is a pickle, which can run code; write it as targets\.json"):
        list(read_samples(write(tmp_path / "a.tar", {"a.targets.pyd": bad})))
    objects = np.empty(1, object)
    objects[0] = Malicious(harm)
    with pytest.raises(InputError, match=r"a\.x\.npy in b\.tar is damaged"):
        list(read_samples(write(tmp_path / "b.tar", {"a.x.npy": npy(objects)})))
    assert not harm.exists()


def test_what_is_damaged_is_named(tmp_path: Path) -> None:
    huge = npy(np.zeros((4, 4), np.uint8)).replace(b"(4, 4)", b"(9" + b"0" * 3 + b",)")
    torn = npy(np.zeros(4)).replace(b"{", b"(")
    for name, data in (
        ("a.x.npy", b"no array"),
        ("a.x.npy", torn),
        ("a.x.npy", huge),
        ("a.x.json", b"{"),
        ("a.output.cls", b"zoo"),
        ("a.category.txt", b"\xff"),
    ):
        with pytest.raises(InputError, match=rf"{name} in a\.tar is damaged"):
            list(read_samples(write(tmp_path / "a.tar", {name: data})))
    (tmp_path / "b.tar").write_text("<html>")
    for path in (tmp_path / "b.tar", tmp_path / "none.tar"):
        with pytest.raises(InputError, match="no tar file"):
            list(read_samples(path))
