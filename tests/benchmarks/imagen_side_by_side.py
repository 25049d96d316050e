"""Does our cascade make the pictures of imagen-pytorch 2.1.0, the original's network and sampler, and how much faster is a step?

    OMP_NUM_THREADS=1 python tests/benchmarks/imagen_side_by_side.py [--work DIR] [--steps 2] [--rounds 2] [--quick]

The published configuration rsdiff1.5 (128 px, then 256 px) with random weights, guidance 4. The original runs in an environment of its own, which
this script makes in DIR with pip (250 MB beside the torch that is here already; DIR is kept for the next run, a folder for the time being is
not); weights, text and noises reach it as files. The sides take turns, so that a busy machine slows all of them; times are seconds of CPU time, or of
the clock on a GPU, the least of all rounds, divided by the steps. What is done once an image counts as a part of its few steps.

The bars: fp32 against fp32 the same images within 1e-3, and our fastest setting at least 1.5 times as fast as the original. Its two passes of
guidance are one batch here, the text is encoded once an image and its keys and values computed once, the tensors are channels-last. Whether
bf16 is faster than fp32 depends on the processor: the script takes what was faster here and says so.
The full run takes about 8 minutes on two cores, and 6 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from common import Clock, Machine, table
from safetensors.torch import load_file, save_file

from rsgeo.models.log_snr_scheduler import LogSNRScheduler
from rsgeo.models.rsdiff_configurations import CONFIGURATIONS
from rsgeo.models.rsdiff_unet import RSDiffUNet
from rsgeo.pipelines.rsdiff_pipeline import RSDiffPipeline

STAGES = ("base", "sr")
SCALE, WORDS, WIDTH = 4.0, 12, 768
SEEDS = {"base": 17, "sr": 18}
ORIGINAL = "imagen-pytorch"
SAME, FASTER = 1e-3, 1.5


class Original:
    """imagen-pytorch in its own process; lines of JSON go in and come out."""

    def __init__(self, python: Path, folder: Path) -> None:
        script = Path(__file__).with_name("imagen_original.py")
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        environment.pop("PYTHONPATH", None)
        self.process = subprocess.Popen(
            [str(python), str(script), "."], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.folder, self.versions = folder, self._answer()

    def sample(self, stage: str, steps: int) -> tuple[torch.Tensor, float]:
        assert self.process.stdin is not None
        print(json.dumps({"stage": stage, "steps": steps, "scale": SCALE}), file=self.process.stdin, flush=True)
        seconds = self._answer()["seconds"]
        return load_file(self.folder / "image.safetensors")["image"], seconds

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{ORIGINAL} ended with {self.process.wait()}; what it said stands above.")
        answer: dict[str, Any] = json.loads(line)
        return answer


class Ours:
    """The pipeline in one number type."""

    def __init__(self, unets: dict[str, RSDiffUNet], dtype: torch.dtype, device: str) -> None:
        mine = {stage: RSDiffUNet.from_config(unet.config) for stage, unet in unets.items()}
        for stage, unet in mine.items():
            unet.load_state_dict(unets[stage].state_dict())
            unet.eval().to(device, dtype)
        self.pipeline = RSDiffPipeline(mine["base"], mine["sr"], LogSNRScheduler(), LogSNRScheduler("linear"))
        self.pipeline.set_progress_bar_config(disable=True)
        self.clock = Clock(device)

    def sample(self, stage: str, steps: int, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, float]:
        generator = torch.Generator().manual_seed(SEEDS[stage])
        where = {"stop_after": "base"} if stage == "base" else {"start_at": "sr", "image": inputs["image"]}
        begin = self.clock.now()
        images = self.pipeline(
            prompt_embeds=inputs["text_embeds"],
            prompt_mask=inputs["text_mask"],
            num_inference_steps=steps,
            guidance_scale=SCALE,
            generator=generator,
            output_type="pt",
            **where,
        ).images
        return images.cpu(), self.clock.now() - begin


def with_random_weights(config: dict[str, Any], seed: int) -> RSDiffUNet:
    torch.manual_seed(seed)
    unet = RSDiffUNet(**config)
    unet.final_conv.reset_parameters()  # a fresh network gives zeros
    return unet.eval()


def noises(stage: str, side: int, steps: int) -> dict[str, torch.Tensor]:
    """What our pipeline draws from this stage's seed, for the original: the low-resolution noise, the start, and one a step."""
    generator = torch.Generator().manual_seed(SEEDS[stage])
    count = steps + (1 if stage == "base" else 2)
    return {f"noise/{number:04d}": torch.randn(1, 3, side, side, generator=generator) for number in range(count)}


def make_environment(folder: Path) -> Path:
    """The python of a virtual environment with imagen-pytorch that shares this environment's torch."""
    python = folder / "env" / "bin" / "python"
    done = folder / "env" / "done"
    if done.exists():
        return python
    print(f"Installing {ORIGINAL} into {folder / 'env'} ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder / "env"], check=True)
    home = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], check=True, capture_output=True, text=True)
    # Packages of its own come first; what it lacks, and torch above all, it takes from here.
    Path(home.stdout.strip(), "shared.pth").write_text(f"{Path(torch.__file__).parents[1]}\n")
    wanted = [f"{ORIGINAL}==2.1.0", "transformers<5", f"torch=={torch.__version__}"]
    pip = subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-compile", *wanted], capture_output=True, text=True)
    if pip.returncode:
        sys.exit(f"{ORIGINAL} cannot be installed:\n{pip.stderr}")
    done.touch()
    return python


def write_cascade(folder: Path, configs: dict[str, dict[str, Any]], unets: dict[str, RSDiffUNet], steps: int) -> dict[str, dict[str, torch.Tensor]]:
    """The files that the original reads; its inputs, stage by stage."""
    t5 = folder / "google" / "t5-v1_1-base"  # asked for when the library is imported
    t5.mkdir(parents=True, exist_ok=True)
    (t5 / "config.json").write_text(json.dumps({"model_type": "t5", "d_model": WIDTH}))
    theirs = {
        stage: {name: value for name, value in config.items() if name not in ("sample_size", "lowres_cond")} for stage, config in configs.items()
    }
    sides = [configs[stage]["sample_size"] for stage in STAGES]
    (folder / "cascade.json").write_text(json.dumps({**theirs, "sides": sides, "text_embed_dim": WIDTH}))
    generator = torch.Generator().manual_seed(0)
    text = {"text_embeds": torch.randn(1, WORDS, WIDTH, generator=generator), "text_mask": torch.arange(WORDS)[None] < WORDS - 2}
    image = {"image": torch.rand(1, 3, sides[0], sides[0], generator=generator)}
    inputs = {}
    for stage, side in zip(STAGES, sides, strict=True):
        save_file({name: value.contiguous() for name, value in unets[stage].state_dict().items()}, folder / f"weights.{stage}.safetensors")
        inputs[stage] = {**text, **noises(stage, side, steps), **({} if stage == "base" else image)}
        save_file(inputs[stage], folder / f"inputs.{stage}.safetensors")
    return inputs


@contextmanager
def work_folder(named: Path | None) -> Iterator[Path]:
    if named is None:
        with tempfile.TemporaryDirectory(prefix="imagen-") as folder:
            yield Path(folder)
    else:
        named.mkdir(parents=True, exist_ok=True)
        yield named.resolve()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="keeps the original's environment")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    small = {"dim": 16, "cond_dim": 16} if args.quick else {}
    configs = {stage: {**CONFIGURATIONS[f"rsdiff1.5-{stage}"], **small} for stage in STAGES}
    if args.quick:
        configs["base"]["sample_size"], configs["sr"]["sample_size"] = 32, 64
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with work_folder(args.work) as folder:
        python = make_environment(folder)
        unets = {stage: with_random_weights(configs[stage], number) for number, stage in enumerate(STAGES)}
        inputs = write_cascade(folder, configs, unets, args.steps)
        machine = Machine(quick=args.quick)
        original = Original(python, folder)
        ours = {"fp32": Ours(unets, torch.float32, device), "bf16": Ours(unets, torch.bfloat16, device)}
        rows, verdicts = [], []
        for stage in STAGES:
            found = measure(original, ours, stage, args.steps, args.rounds, inputs[stage])
            rows += found[0]
            verdicts += found[1]
        original.end()
    print(table(["stage", "side", "s a step", "times as fast (each round)", "largest difference of the image", "mean difference"], rows))
    print("\n".join(["", *(f"* {verdict}" for verdict in verdicts)]))
    others = ", ".join(f"{name} {number}" for name, number in original.versions.items())
    print(machine.report(original=others, diffusers=version("diffusers"), device=device, steps=args.steps, rounds=args.rounds))


def measure(
    original: Original, ours: dict[str, Ours], stage: str, steps: int, rounds: int, inputs: dict[str, torch.Tensor]
) -> tuple[list[list[str]], list[str]]:
    """Rows of the table, and whether the bars are held."""
    seconds: dict[str, list[float]] = {ORIGINAL: [], **{name: [] for name in ours}}
    images: dict[str, torch.Tensor] = {}
    for number in range(rounds):
        order = list(seconds) if number % 2 == 0 else list(seconds)[::-1]
        for name in order:
            images[name], spent = original.sample(stage, steps) if name == ORIGINAL else ours[name].sample(stage, steps, inputs)
            seconds[name].append(spent / steps)
            print(f"{stage}, {name}: {spent / steps:.2f} s a step", file=sys.stderr)
    least = {name: min(spent) for name, spent in seconds.items()}
    rows, differences = [[stage, ORIGINAL, f"{least[ORIGINAL]:.2f}", "1", "", ""]], {}
    for name in ours:
        difference = (images[name] - images[ORIGINAL]).abs()
        differences[name] = float(difference.max())
        each = ", ".join(f"{theirs / mine:.2f}" for theirs, mine in zip(seconds[ORIGINAL], seconds[name], strict=True))
        ratio = least[ORIGINAL] / least[name]
        rows.append([stage, name, f"{least[name]:.2f}", f"{ratio:.2f} ({each})", f"{differences[name]:.1e}", f"{float(difference.mean()):.1e}"])
    fastest = min(ours, key=lambda name: least[name])
    times = least[ORIGINAL] / least[fastest]
    return rows, [
        f"{stage}: fp32 against fp32 {differences['fp32']:.1e}, bar {SAME:.0e}: {'held' if differences['fp32'] <= SAME else 'missed'}",
        f"{stage}: {fastest} is the fastest here, {times:.2f} times, bar {FASTER}: {'held' if times >= FASTER else 'missed'}",
    ]


if __name__ == "__main__":
    main()
