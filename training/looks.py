"""What rsgeo-mini's training pictures look like: ``python training/looks.py --eurosat DIR --ucmerced DIR`` writes looks.json beside itself.

`export_mini.py` puts it into the model's record (`rsgeo.hub.records.Look`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rsgeo.data import packed
from rsgeo.hub.records import Look

FILE = Path(__file__).with_suffix(".json")


def look(gsd: float, root: Path, split: str) -> Look:
    """Of the training part of a data set."""
    images = packed.rows(root, lambda row: row[split] == "train")
    sums = np.array([
        [(flat := tile.reshape(-1, 3).astype(np.float64) / 255).mean(axis=0), np.square(flat).mean(axis=0)] for tile in packed.pixels(root, images)
    ])  # fmt: skip
    means, (mean, square) = sums[:, 0], sums.mean(axis=0)
    ranges = {"brightness": means.mean(axis=1), "red_less_green": means[:, 0] - means[:, 1], "blue_less_green": means[:, 2] - means[:, 1]}
    return Look(
        gsd=gsd,
        mean=tuple(mean.round(4)),
        deviation=round(float(np.sqrt(square - mean**2).mean()), 4),
        **{name: tuple(np.percentile(values, (2, 98)).round(4)) for name, values in ranges.items()},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--eurosat", type=Path, required=True)
    parser.add_argument("--ucmerced", type=Path, required=True)
    args = parser.parse_args()
    looks = [look(10.0, args.eurosat, "split_spatial"), look(0.6, args.ucmerced, "split_random")]
    FILE.write_text("[\n " + ",\n ".join(one.model_dump_json() for one in looks) + "\n]\n")
    print(FILE.read_text())


if __name__ == "__main__":
    main()
