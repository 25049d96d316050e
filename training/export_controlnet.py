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
        "defaults": {"scheduler": "dpmsolver++", "num_inference_steps": 12, "guidance_scale": 1.0, "phases": 2, "batch_size": 16},
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=sorted(RECORDS))
    parser.add_argument("--run", type=Path, required=True, help="folder of train_controlnet.py's --out")
    parser.add_argument("--scores", type=Path, help="JSON of the task's benchmark, kept in meta.json")
    parser.add_argument("--weights", type=Path, default=ROOT / "rsgeo" / "weights")
    args = parser.parse_args()
    base = catalog.find("rsgeo-mini")
    out = args.weights / f"{base.name}-{args.task}"
    shutil.rmtree(out / "controlnet", ignore_errors=True)
    shutil.copytree(args.run / "controlnet", out / "controlnet")
    record: dict[str, Any] = {
        "schema_version": 1,
        "name": out.name,
        "family": base.family,
        "licence": base.licence,
        "citation": base.citation,
        "base": base.name,
        **RECORDS[args.task],
        "training": json.loads((args.run / "training.json").read_text()),
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
