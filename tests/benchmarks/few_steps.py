"""Few steps of the second-order solvers beside the ancestral sampler, by a small cascade (`training/train_cascade.py`).

    python tests/benchmarks/few_steps.py --pipeline DIR --work DIR [--ancestral-steps 1000] [--steps 25] [--images 1000]

Picture i shows class i modulo 21 of UC Merced, from "a satellite image of <caption_name>", without guidance; all samplers start from the same noise.
What they predict of the clean picture is clipped: dynamic thresholding is made for guidance.
The Frechet distance is taken in the 64 features of a classifier that saw UC Merced only (`training/train_judge.py`, trained in ``--work`` where it
is not there), to as many real training pictures. Wanted of a solver: at most 5 % above the ancestral sampler's, or above it by no more than the
distances of two halves of the ancestral set, to one half of the real pictures each, differ. The half sets' distance to each other is printed too.

Times are those of the same run: the samplers take turns, batch by batch. Every batch is kept in ``--work``, so that the same command again goes on.
The pictures lie under ``RSGEO_SHARED_DATA`` (ucmerced), or the folder of --data.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "training"))

from common import Machine, table
from mini_data import resized

from rsgeo.data import packed
from rsgeo.evaluate import frechet
from rsgeo.evaluate.judge import Judge, load, look
from rsgeo.models.log_snr_scheduler import LogSNRScheduler
from rsgeo.pipelines.rsdiff_pipeline import RSDiffPipeline

TRAIN_JUDGE = Path(__file__).resolve().parents[2] / "training" / "train_judge.py"
MARGIN = 1.05
CLIPPED = {"thresholding": False, "clip_sample": True}
ANCESTRAL = {"algorithm_type": "ancestral", "timestep_spacing": "time", "start_time": 1.0}
SOLVERS = {
    "deterministic": {"algorithm_type": "dpmsolver++", "timestep_spacing": "time", "start_time": 0.998},
    "stochastic": {"algorithm_type": "sde-dpmsolver++", "timestep_spacing": "time", "start_time": 0.995},
}
Pictures = NDArray[np.uint8]


def read(root: Path, count: int, side: int) -> tuple[Pictures, list[str]]:
    """Real training pictures (count, side, side, 3), classes in turn, and the classes' names for captions."""
    by_class: dict[str, list[packed.PackedImage]] = {}
    for image in packed.rows(root, lambda row: row["split_random"] == "train"):
        by_class.setdefault(image.label, []).append(image)
    labels = sorted(by_class)
    most = len(labels) * min(len(images) for images in by_class.values())
    if count > most:
        raise SystemExit(f"there are {most} training pictures with classes in turn; --images {most} at most")
    picked = [by_class[labels[i % len(labels)]][i // len(labels)] for i in range(count)]
    return np.stack([resized(pixels, side) for pixels in packed.pixels(root, picked)]), [by_class[label][0].caption_name for label in labels]


def judge_of(work: Path, root: Path) -> Judge:
    folder = work / "judge"
    if not (folder / "config.json").is_file():
        options = ["--channels", "24", "40", "56", "64", "--epochs", "40", "--batch-size", "64", "--mixed-precision", "no"]
        subprocess.run([sys.executable, str(TRAIN_JUDGE), "--ucmerced", str(root), "--out", str(folder), *options], check=True)
    return load(folder)


def gflop(pipeline: RSDiffPipeline) -> dict[str, float]:
    """Of one forward of each stage for one picture, the text pooled before; a multiplication and an addition are two."""
    found = {}
    for stage, unet in (("base", pipeline.base_unet), ("sr", pipeline.sr_unet)):
        sample = torch.zeros(1, 3, unet.config.sample_size, unet.config.sample_size, dtype=unet.dtype)
        read = {"lowres_sample": sample, "lowres_timestep": 0.0} if unet.config.lowres_cond else {}
        text = unet.encode_text(torch.zeros(1, 1, unet.config.text_embed_dim), torch.ones(1, 1, dtype=torch.bool))
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            unet(sample, 0.0, text, **read)
        found[stage] = counter.get_total_flops() / 1e9
    return found


class Sampler:
    """Batches of pictures by one setting of the scheduler, kept in a folder."""

    def __init__(
        self, pipeline: RSDiffPipeline, weights: list[Path], folder: Path, settings: dict[str, Any], scheduler: dict[str, Any], batch_size: int
    ) -> None:
        self.pipeline, self.folder, self.settings = pipeline, folder, settings
        self.scheduler = LogSNRScheduler.from_config(pipeline.scheduler.config, **scheduler)
        said = {
            "weights": [hashlib.sha256(file.read_bytes()).hexdigest() for file in weights],
            **self.settings,
            "batch_size": batch_size,
            "scheduler": dict(self.scheduler.config),
            "dtype": str(pipeline.dtype),
            "threads": torch.get_num_threads(),
        }
        text = json.dumps(said, indent=1, default=str) + "\n"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "settings.json"
        if file.is_file() and file.read_text() != text:
            raise SystemExit(f"{folder} holds pictures of other weights or settings; take another --work")
        file.write_text(text)

    def batch(self, number: int, captions: list[str]) -> None:
        file = self.folder / f"{number:04d}.npz"
        if file.is_file():
            return
        self.pipeline.scheduler = self.scheduler
        generator = torch.Generator().manual_seed(number)
        wall, cpu = time.perf_counter(), time.process_time()
        images = self.pipeline(captions, **self.settings, generator=generator, output_type="pt").images
        seconds = [time.perf_counter() - wall, time.process_time() - cpu]
        pixels = (images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        part = file.with_suffix(".part")
        with part.open("wb") as stream:
            np.savez_compressed(stream, pixels=pixels, seconds=np.array(seconds))
        part.replace(file)

    def first(self, batches: int) -> tuple[Pictures, NDArray[np.float64]]:
        """The pictures of the first batches, and the seconds that they took: on the clock, and of the processor."""
        parts = [np.load(self.folder / f"{number:04d}.npz") for number in range(batches)]
        return np.concatenate([part["pixels"] for part in parts]), np.sum([part["seconds"] for part in parts], axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pipeline", type=Path, required=True, help="folder of the cascade")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is made")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RSGEO_SHARED_DATA", "missing")) / "ucmerced", help="packed UC Merced")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--ancestral-steps", type=int, default=1000, help="250 may stand in where there is no GPU")
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--lowres-noise-level", type=float, default=0.05, help="time of the noise on what the second stage reads")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--settings", type=json.loads, default={}, metavar="JSON", help="further settings of the scheduler, for all samplers")
    parser.add_argument("--sheet", type=Path, help="write a picture of some of each, and of real ones")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    if not (options.data / "metadata.csv").is_file():
        raise SystemExit(f"there are no packed pictures in {options.data}; set RSGEO_SHARED_DATA or give --data")

    machine = Machine()
    pipeline = RSDiffPipeline.from_pretrained(options.pipeline, torch_dtype=getattr(torch, options.dtype)).to(options.device)
    pipeline.set_progress_bar_config(disable=True)
    work = gflop(pipeline)
    for unet in (pipeline.base_unet, pipeline.sr_unet):
        unet.to(memory_format=torch.channels_last)
    real, names = read(options.data, options.images, pipeline.sr_unet.config.sample_size)
    judge = judge_of(options.work, options.data)
    samplers = {
        name: Sampler(
            pipeline,
            [options.pipeline / f"{stage}_unet" / "diffusion_pytorch_model.safetensors" for stage in work],
            options.work / name,
            {"num_inference_steps": steps, "guidance_scale": 1.0, "lowres_noise_level": options.lowres_noise_level},
            {**CLIPPED, **scheduler, **options.settings},
            options.batch_size,
        )
        for name, steps, scheduler in (
            ("ancestral", options.ancestral_steps, ANCESTRAL),
            *((name, options.steps, scheduler) for name, scheduler in SOLVERS.items()),
        )
    }
    captions = [f"a satellite image of {names[i % len(names)]}" for i in range(options.images)]
    batches = [captions[start : start + options.batch_size] for start in range(0, options.images, options.batch_size)]
    for number, batch in enumerate(batches):
        for sampler in samplers.values():
            sampler.batch(number, batch)
        print(f"\r{number + 1} of {len(batches)} batches", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)

    made = {name: sampler.first(len(batches)) for name, sampler in samplers.items()}
    features = {name: look(judge, pixels)[0] for name, (pixels, _) in made.items()}
    of_real, half = look(judge, real)[0], options.images // 2
    distances = {name: frechet.distance(of_set, of_real) for name, of_set in features.items()}
    first, second = (part for part in (features["ancestral"][:half], features["ancestral"][half : 2 * half]))
    halves = [frechet.distance(part, of_real[:half]) for part in (first, second)]
    spread, between = abs(halves[0] - halves[1]), frechet.distance(first, second)
    seconds = {name: [float(value) for value in taken] for name, (_, taken) in made.items()}
    share = {name: np.mean(look(judge, pixels)[1] == np.arange(len(pixels)) % len(names)) for name, (pixels, _) in made.items()}
    right = float(np.mean(look(judge, real)[1] == np.arange(len(real)) % len(names)))

    steps = {name: sampler.settings["num_inference_steps"] for name, sampler in samplers.items()}
    rows = [
        (name, steps[name], f"{distances[name]:.3f}", f"{share[name]:.2f}", f"{seconds[name][0]:.0f}", f"{seconds[name][1]:.0f}") for name in samplers
    ]
    print(table(["sampler", "steps a stage", "Frechet distance", "class recognised", "wall s", "CPU s"], rows))
    told = {}
    for name in SOLVERS:
        ratio, more = distances[name] / distances["ancestral"], distances[name] - distances["ancestral"]
        told[name] = (
            f"{ratio:.3f} of the ancestral distance, {seconds['ancestral'][0] / seconds[name][0]:.1f} times as fast on the clock;"
            f" wanted at most {MARGIN}, or above it by at most {spread:.3f}: {'met' if ratio <= MARGIN or more <= spread else 'not met'}"
        )
    print(
        machine.report(
            pictures=f"{options.images}, to as many real training pictures, of which {right:.2f} are recognised",
            cascade=", ".join(f"{stage} {value:.3f}" for stage, value in work.items()) + " GFLOP a forward",
            halves=f"of the ancestral set {halves[0]:.3f} and {halves[1]:.3f}; to each other {between:.3f}",
            **told,
        )
    )
    if options.out is not None:
        facts = {"frechet": distances, "halves": halves, "between_halves": between, "seconds": seconds, "gflop": work, "images": options.images}
        options.out.write_text(json.dumps({**facts, "steps": steps}, indent=1) + "\n", encoding="utf-8")
    if options.sheet is not None:
        lines = [np.concatenate(list(pixels[:12]), axis=1) for pixels in (*(pixels for pixels, _ in made.values()), real)]
        sheet = Image.fromarray(np.concatenate(lines, axis=0))
        sheet.resize((sheet.width * 2, sheet.height * 2), Image.Resampling.NEAREST).save(options.sheet)


if __name__ == "__main__":
    main()
