"""Put a guide into the package: ``python training/make_guide.py --earlier DIR``, and store both networks small.

The guide (Karras et al., Guiding a Diffusion Model with a Bad Version of Itself, 2024) is the network of an earlier run, ``DIR/unet``, less
trained and with the same faults, only larger. That of rsgeo-mini is its first run: ``git archive e02e832 rsgeo/weights/rsgeo-mini`` gives
DIR. It was trained with another noise schedule, ``DIR/scheduler``; so that it is asked for a time step as the model is, its time embedding
is fitted to give at each step of the model's schedule what it gave at the one of equal signal-to-noise ratio. Matrices and convolutions of both
networks are stored as float8, so that both take the place of one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch
from diffusers import DPMSolverMultistepScheduler
from safetensors.torch import load_file, save_file

from rsgeo.hub import catalog
from rsgeo.models.loading import load_module
from rsgeo.models.sat_unet import SatUNet

WEIGHTS = ROOT / "rsgeo" / "weights" / "rsgeo-mini"
FILE = "diffusion_pytorch_model.safetensors"
KEPT_FINE = ("conv_in.", "conv_out.", "time_embedding.")
FIT_STEPS = 6_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--earlier", type=Path, required=True, help="folder of the earlier run's model")
    parser.add_argument("--model", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    guide = load_module(SatUNet, args.earlier / "unet")
    error = retime(guide, levels(args.earlier / "scheduler"), levels(args.model / "scheduler"))
    print(f"time embedding fitted, error {100 * error:.2f} % of its deviation")
    store(guide.state_dict(), args.model / "guide")
    shutil.copyfile(args.model / "unet" / "config.json", args.model / "guide" / "config.json")
    store(load_file(args.model / "unet" / FILE), args.model / "unet")
    meta = args.model / "meta.json"
    record = {**json.loads(meta.read_text()), "sha256": catalog.files_sha256(catalog.find(str(args.model)), afresh=True)}
    meta.write_text(json.dumps(record, indent=1) + "\n")


def levels(folder: Path) -> torch.Tensor:
    """ln(sigma/alpha) of all time steps of a schedule, ascending."""
    alphas = DPMSolverMultistepScheduler.from_pretrained(folder).alphas_cumprod.double()
    return ((1 - alphas) / alphas).sqrt().log()


def retime(unet: SatUNet, before: torch.Tensor, after: torch.Tensor, steps: int = FIT_STEPS) -> float:
    """Fit the time embedding of a network to another schedule; gives the error that is left, over the embedding's deviation."""
    upper = torch.searchsorted(before, after).clamp(1, len(before) - 1)
    share = ((after - before[upper - 1]) / (before[upper] - before[upper - 1])).clamp(0, 1)
    with torch.no_grad():
        wanted = unet.time_embedding(unet.time_proj((upper - 1 + share).float()))
    given, unit = unet.time_proj(torch.arange(len(after)).float()), wanted.std()
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(unet.time_embedding.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        loss = ((unet.time_embedding(given) - wanted) / unit).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return float(loss.detach().sqrt())


def store(weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Write weights: matrices and convolutions in float8, vectors and what is sensitive in fp16."""
    folder.mkdir(parents=True, exist_ok=True)
    coarse = {key for key, value in weights.items() if value.ndim > 1 and not key.startswith(KEPT_FINE)}
    kinds = {key: torch.float8_e4m3fn if key in coarse else torch.float16 for key in weights}
    save_file({key: value.detach().to(kinds[key]).contiguous() for key, value in weights.items()}, folder / FILE, metadata={"format": "pt"})


if __name__ == "__main__":
    main()
