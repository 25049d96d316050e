"""Are pictures made from captions the same in any batch? Grey levels that they differ by from those of one whole batch, and how many do.

python tests/benchmarks/sample_batches.py [--model NAME_OR_FOLDER] [--n 12] [--quick]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import EXAMPLES, Machine, table
from PIL import Image

import rsgeo


def pictures(captions: list[str], model: str, batch: int, **asked: Any) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        runtime = rsgeo.Runtime(dtype="fp32", batch_size=batch)
        made = rsgeo.sample(captions, Path(folder) / "out", model=model, runtime=runtime, **asked)
        return np.stack([np.asarray(Image.open(file)) for file in made.pictures]).astype(np.int16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="rsgeo-mini")
    parser.add_argument("--scheduler", action="append", help="repeatable; default the model's own")
    parser.add_argument("--n", type=int, default=12)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    count, steps = (3, 2) if args.quick else (args.n, None)
    captions = (EXAMPLES / "captions.txt").read_text().splitlines()[:count]
    rows, machine = [], Machine(products=False)
    for scheduler in args.scheduler or [None]:
        asked = {"scheduler": scheduler, "num_inference_steps": steps}
        whole = pictures(captions, args.model, count, **asked)
        for batch in (1, (count + 1) // 2):
            apart = np.abs(whole - pictures(captions, args.model, batch, **asked))
            rows.append((scheduler or "default", batch, apart.max(), f"{(apart > 0).mean():.1e}"))
    print(table(["scheduler", "batch", "largest difference", "share that differs"], rows))
    print(machine.report(model=args.model, captions=count, number_type="fp32"))


if __name__ == "__main__":
    main()
