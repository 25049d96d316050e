"""Models that see images, with random weights, in a home of their own: what tests of superres, predict and inpaint run on."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from rsgeo.hub import calibration, catalog
from rsgeo.hub.calibration import Calibration, Pace
from rsgeo.models.loading import load_module
from rsgeo.models.sat_controlnet import SatControlNet
from rsgeo.models.sat_unet import SatUNet

DIFFUSIONSAT = Path(__file__).parents[1] / "data" / "diffusionsat"


def add_superres(home: Path) -> str:
    """A ControlNet of rsgeo-mini's own kind, whose last layers are not the zeros of an untrained one. Gives its name."""
    condition = {"bands": ["red", "green", "blue"], "scale": 4}
    return _add_mini(home, "test-superres", condition, tasks=["superres"], default_for=["superres"])


def add_inpaint(home: Path) -> str:
    """The same for pixels that are given, with their mask. Gives its name."""
    condition = {"bands": ["red", "green", "blue", "known"], "scale": 1}
    return _add_mini(home, "test-inpaint", condition, tasks=["inpaint", "extend"], default_for=[])


def _add_mini(home: Path, name: str, condition: dict[str, Any], **tasks: list[str]) -> str:
    torch.manual_seed(0)
    unet = load_module(SatUNet, catalog.EMBEDDED / "rsgeo-mini" / "unet")
    settings = {"conditioning_in_channels": len(condition["bands"]), "conditioning_scale": condition["scale"], "latent_factor": 4}
    net = SatControlNet.from_unet(unet, **settings)
    for zero in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
        torch.nn.init.normal_(zero.weight, std=0.05)
    folder = _record(home / "models" / name, base="rsgeo-mini", condition=condition, **tasks)
    net.save_pretrained(folder / "controlnet")
    return _calibrated(name)


def add_diffusionsat(home: Path) -> tuple[str, str]:
    """DiffusionSat's single-image archive, its super-resolution of ten bands and its series, tiny. Gives the names of the two ControlNets."""
    base = home / "models" / "tiny"
    shutil.copytree(DIFFUSIONSAT / "archive", base)
    _record(base, **catalog.find(str(base)).model_dump(mode="json", exclude={"name"}))
    models = {
        "tiny-fmow": ("controlnet_tiny_md7norm_fmow_condres", ["superres"]),
        "tiny-texas": ("controlnet3d-mixattn_tiny_md7norm_texas", ["predict"]),
    }
    for name, (archive, tasks) in models.items():
        folder = Path(shutil.copytree(DIFFUSIONSAT / "controlnets" / archive, home / "models" / name))
        for packed in folder.rglob("*.gz"):
            packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
            packed.unlink()
        condition = catalog.find(str(folder), base="tiny").condition
        assert condition is not None
        _record(folder, base="tiny", tasks=tasks, default_for=[], condition=condition.model_dump(mode="json"))
        _calibrated(name)
    return "tiny-fmow", "tiny-texas"


def _record(folder: Path, **fields: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    record = {"schema_version": 1, "family": "latent", "title": folder.name, "licence": "Apache-2.0", **fields, "name": folder.name}
    (folder / "meta.json").write_text(json.dumps(record))
    return folder


def _calibrated(name: str) -> str:
    """Spare the test the measuring of a machine."""
    record, threads = catalog.find(name), torch.get_num_threads()
    pace = Pace(dtype="float32", batch_size=8, seconds=0.01, device_bytes=0)
    here = {"device": "cpu", "device_name": calibration._cpu_name(), "threads": threads, "start_seconds": 1.0}
    known = Calibration(model_sha256=catalog.model_sha256(record), **here, dtype="float32", batch_size=8, paces=(pace,))
    calibration.keep(known)
    assert calibration.find(record, "cpu", threads) is not None
    return name
