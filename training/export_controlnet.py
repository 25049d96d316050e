"""Put a trained ControlNet into the package: ``python training/export_controlnet.py superres --run runs/superres [--scores scores.json]``.

Writes the averaged weights (fp16) and the catalogue record ``meta.json`` with the hash over them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch
from safetensors.torch import load_file, save_file

from rsgeo.hub import catalog

COLOURS = ["red", "green", "blue"]
RECORDS: dict[str, dict[str, Any]] = {
    "superres": {
        "title": "4x super-resolution by rsgeo-mini, EuroSAT and UC Merced",
        "tasks": ["superres"],
        "default_for": ["superres"],
        "condition": {"bands": COLOURS, "scale": 4},
        "gsd_native": 2.5,
        "gsd_min": 0.3,
        "gsd_max": 10.0,
        "defaults": {"scheduler": "dpmsolver++", "num_inference_steps": 12, "guidance_scale": 1.0, "phases": 2, "batch_size": 16},
    },
    "inpaint": {
        "title": "gaps filled and edges continued by rsgeo-mini, EuroSAT and UC Merced",
        "tasks": ["inpaint", "extend"],
        "default_for": ["inpaint", "extend"],
        "condition": {"bands": [*COLOURS, "known"]},
        "gsd_min": 0.3,
        "defaults": {"scheduler": "sde-dpmsolver++", "num_inference_steps": 12, "guidance_scale": 1.0, "phases": 2, "batch_size": 16},
    },
}

COARSE = ("down_blocks.2.", "mid_block.")
LAST = ("controlnet_down_blocks.", "controlnet_mid_block.")


def export(run: Path, out: Path, strength: float) -> None:
    """The ControlNet of a run in the package's folder, what it adds to the UNet multiplied by ``strength``."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    shutil.copyfile(run / "config.json", out / "config.json")
    name = "diffusion_pytorch_model.safetensors"
    weights = load_file(run / name)
    for key, value in weights.items():
        if key.startswith(LAST):
            weights[key] = (value.float() * strength).half()
        elif key.startswith(COARSE) and value.ndim == 4:
            weights[key] = value.to(torch.float8_e4m3fn)
    save_file(weights, out / name, metadata={"format": "pt"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=sorted(RECORDS))
    parser.add_argument("--run", type=Path, required=True, help="folder of train_controlnet.py's --out")
    parser.add_argument("--scores", type=Path, help="JSON of the task's benchmark, kept in meta.json")
    parser.add_argument("--strength", type=float, default=1.0, help="what it adds to the UNet times this: a net that was trained briefly is timid")
    parser.add_argument("--weights", type=Path, default=ROOT / "rsgeo" / "weights")
    args = parser.parse_args()
    base = catalog.find("rsgeo-mini")
    out = args.weights / f"{base.name}-{args.task}"
    export(args.run / "controlnet", out / "controlnet", args.strength)
    record: dict[str, Any] = {
        "schema_version": 1,
        "name": out.name,
        "family": base.family,
        "licence": base.licence,
        "citation": base.citation,
        "base": base.name,
        **RECORDS[args.task],
        "training": {**json.loads((args.run / "training.json").read_text()), "strength": args.strength},
    }
    if args.scores:
        record["scores"] = json.loads(args.scores.read_text())
    path = out / "meta.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    record["sha256"] = catalog.files_sha256(catalog.find(str(out)))
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{out}: {sum(file.stat().st_size for file in out.rglob('*') if file.is_file()) / 1e6:.1f} MB, {record['sha256']}")


if __name__ == "__main__":
    main()
