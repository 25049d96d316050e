"""Train a cascade in RSDiff's form: ``accelerate launch training/train_cascade.py STAGE --data NAME DIR --out DIR``.

STAGE is base (captions to small pictures), sr (the super-resolution stage, beside the base of ``--start``, which stays as it is) or joint (both
together, from ``--start``). ``--start`` is the folder ``pipeline`` that an earlier stage left; sr runs without one where its ``own_share`` is 0. The
same command again goes on from the last checkpoint in ``--out``. After each checkpoint pictures are made of the validation part's captions; the
weights whose Frechet distance to its pictures is the lowest so far are kept in ``--out``/pipeline, as `RSDiffPipeline.save_pretrained` writes
them, with what they are of in training.json; when no checkpoint has been better for a while the run ends.

NAME is rsicd (the user's own copy) or ucmerced. Needs torch, diffusers, transformers, tokenizers, accelerate, safetensors, numpy, PIL, PyYAML and
pydantic only, and pyarrow for RSICD as parquet.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cascade_data
import numpy as np
import torch
import yaml
from accelerate import Accelerator
from loop import Loop
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, T5EncoderModel

from rsgeo.evaluate import frechet
from rsgeo.evaluate.judge import Judge, load, look
from rsgeo.models.loading import load_module
from rsgeo.models.log_snr_scheduler import LogSNRScheduler
from rsgeo.models.rsdiff_unet import RSDiffUNet
from rsgeo.models.word_piece_encoder import WordPieceEncoder
from rsgeo.pipelines.rsdiff_pipeline import RSDiffPipeline


@dataclass(frozen=True)
class Captions:
    """A text encoder's states of a batch (`RSDiffPipeline.encode`), where they are tokens, and which captions are not empty (batch,)."""

    embeds: torch.Tensor
    mask: torch.Tensor
    keep: torch.Tensor


class Cascade(torch.nn.Module):
    """Both stages, either of which may be missing, and the loss of those that ``stage`` trains, as one module for accelerate."""

    def __init__(self, stage: str, base: RSDiffUNet | None, sr: RSDiffUNet | None, config: dict[str, Any]) -> None:
        super().__init__()
        self.stage, self.config, self.base, self.sr = stage, config, base, sr
        self.factor = config["sr"]["sample_size"] // config["base"]["sample_size"]
        self.scheduler, self.lowres_scheduler = schedulers(config)

    def forward(self, pixels: torch.Tensor, captions: Captions, generator: torch.Generator) -> torch.Tensor:
        """The loss, one number, of pixels (batch, 3, side, side) of the second stage's size in [-1, 1].

        The small picture is the mean over cells of the large one, in both stages; numbers are drawn from a generator of the CPU.
        """
        small = functional.avg_pool2d(pixels, self.factor)
        if self.stage == "base":
            return self._denoising(self.base, small, captions, generator)
        read = self.lowres(small, captions, generator)
        of_sr = self._denoising(self.sr, pixels, captions, generator, read)
        if self.stage == "sr":
            return of_sr
        return self._denoising(self.base, small, captions, generator) + self.config["sr_weight"] * of_sr

    def lowres(self, small: torch.Tensor, captions: Captions, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """What the second stage reads: small pictures, the first ``own_share`` of them made by the base, each noised to a level of its own."""
        own = round(self.config["own_share"] * len(small))
        if own:
            some = Captions(captions.embeds[:own], captions.mask[:own], captions.keep[:own])
            small = torch.cat([self.made_anew(small[:own], some, generator), small[own:]])
        wide = functional.interpolate(small, scale_factor=self.factor, mode="nearest")
        times = torch.rand(len(small), generator=generator) * self.config["lowres_noise_most"]
        level = self.lowres_scheduler.log_snr(times.to(small.device))
        noise = torch.randn(wide.shape, generator=generator).to(small.device)
        return {"lowres_sample": self.lowres_scheduler.add_noise(wide, noise, level), "lowres_timestep": level}

    @torch.no_grad()
    def made_anew(self, small: torch.Tensor, captions: Captions, generator: torch.Generator) -> torch.Tensor:
        """Small pictures noised to a time of their own and denoised by the base: its mistakes, beside the large picture that they belong to.

        (Meng et al., SDEdit, ICLR 2022, by steps of Song et al., DDIM, ICLR 2021, equation 12 with sigma 0.)
        """
        assert self.base is not None
        steps = self.config["own_steps"]
        start = torch.rand(len(small), generator=generator) * self.config["own_from"]
        times = (start[:, None] * torch.linspace(1, 0, steps + 1)).to(small.device)
        levels = self.scheduler.log_snr(times)
        noise = torch.randn(small.shape, generator=generator).to(small.device)
        conditions = self.base.encode_text(captions.embeds, captions.mask, captions.keep)
        sample = self.scheduler.add_noise(small, noise, levels[:, 0])
        for step in range(steps):
            here = levels[:, step]
            output = self.base(sample, here, conditions, return_dict=False)[0].float()
            original = self.scheduler.threshold(self.scheduler.predict_original(output, here, sample))
            alpha, sigma = (torch.sigmoid(sign * here).sqrt().view(-1, 1, 1, 1) for sign in (1, -1))
            sample = self.scheduler.add_noise(original, (sample - alpha * original) / sigma, levels[:, step + 1])
        return sample.clamp(-1.0, 1.0)

    def _denoising(
        self, unet: Any, pixels: torch.Tensor, captions: Captions, generator: torch.Generator, read: dict[str, torch.Tensor] | None = None
    ) -> torch.Tensor:
        level = self.scheduler.log_snr(torch.rand(len(pixels), generator=generator).to(pixels.device))
        noise = torch.randn(pixels.shape, generator=generator).to(pixels.device)
        noisy = self.scheduler.add_noise(pixels, noise, level)
        wanted = {"epsilon": lambda: noise, "v_prediction": lambda: self.scheduler.get_velocity(pixels, noise, level), "sample": lambda: pixels}
        output = unet(noisy, level, captions.embeds, captions.mask, keep_text=captions.keep, return_dict=False, **read or {})[0]
        error = (output.float() - wanted[self.scheduler.config.prediction_type]()).square().mean(dim=(1, 2, 3))
        return (error * self.scheduler.loss_weights(level, self.config["min_snr_gamma"])).mean()


class Validation:
    """Frechet distances of what weights make of the validation part's captions to its pictures, in the judge's features."""

    def __init__(self, stage: str, pictures: cascade_data.Pictures, judge: Judge, config: dict[str, Any]) -> None:
        self.stage, self.judge, self.settings, self.seed = stage, judge, config["validation"], config["seed"]
        count = min(self.settings["pictures"], len(pictures.pixels))
        rng = np.random.default_rng([self.seed, 2])
        order = rng.permutation(len(pictures.pixels))[:count]
        large = torch.from_numpy(cascade_data.signed(pictures.pixels[order]))
        self.small = functional.avg_pool2d(large, config["sr"]["sample_size"] // config["base"]["sample_size"]) / 2 + 0.5
        self.captions = [pictures.words[index](rng) for index in order]
        real = self.small if stage == "base" else large / 2 + 0.5
        self.real = look(judge, as_bytes(real))[0]

    def distance(self, pipeline: RSDiffPipeline) -> float:
        """With the same noise every time, so that distances of one run compare. The sr stage refines the real small pictures."""
        generator = torch.Generator().manual_seed(self.seed)
        made, size = [], 70
        for start in range(0, len(self.captions), size):
            part = slice(start, start + size)
            given = {"start_at": "sr", "image": self.small[part]} if self.stage == "sr" else {}
            ends = {"stop_after": "base"} if self.stage == "base" else {}
            images = pipeline(
                self.captions[part],
                num_inference_steps=self.settings["steps"],
                guidance_scale=1.0,
                generator=generator,
                output_type="pt",
                **given,
                **ends,
            ).images
            made.append(as_bytes(images))
        return frechet.distance(look(self.judge, np.concatenate(made))[0], self.real)


def as_bytes(pixels: torch.Tensor) -> Any:
    """(n, 3, side, side) in [0, 1] -> (n, side, side, 3) uint8."""
    return (pixels.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def schedulers(config: dict[str, Any]) -> tuple[LogSNRScheduler, LogSNRScheduler]:
    return LogSNRScheduler(**config["scheduler"]), LogSNRScheduler(schedule=config["lowres_schedule"])


def read_text(folder: Path) -> tuple[Any, PreTrainedTokenizerFast]:
    """Text encoder, frozen, and tokenizer: of a T5 encoder's folder, or of a model's with the parts text_encoder and tokenizer, as rsgeo-mini's."""
    if (folder / "text_encoder").is_dir():
        encoder: Any = load_module(WordPieceEncoder, folder / "text_encoder")
        folder = folder / "tokenizer"
    else:
        encoder = load_module(T5EncoderModel, folder)
    return encoder.requires_grad_(False), PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)


def start_from(folder: Path | None, stage: str, config: dict[str, Any]) -> tuple[RSDiffUNet | None, RSDiffUNet | None]:
    """Base and super-resolution stage: those of an earlier stage's pipeline where there are, new ones of the stage that is trained."""
    parts: dict[str, RSDiffUNet | None] = {"base": None, "sr": None}
    for name in parts:
        if folder is not None and (folder / f"{name}_unet").is_dir():
            parts[name] = load_module(RSDiffUNet, folder / f"{name}_unet").train()
    if stage in parts and parts[stage] is None:
        parts[stage] = RSDiffUNet(**config[stage])
    lacking = [name for name in parts if parts[name] is None and (stage == "joint" or (name == "base" and config.get("own_share", 0)))]
    if lacking:
        sys.exit(f"The stage {stage} needs the {lacking[0]} stage; name the pipeline of an earlier run with --start.")
    if stage == "sr" and parts["base"] is not None:
        parts["base"].requires_grad_(False)
    return parts["base"], parts["sr"]


def replace(folder: Path, new: Path) -> None:
    """Put a new folder in the place of an old one, which is whole at any time but for the moment between two renamings."""
    old = folder.with_suffix(".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    here = Path(__file__).resolve().parent
    parser.add_argument("stage", choices=["base", "sr", "joint"])
    parser.add_argument("--config", type=Path, default=here / "cascade.yaml")
    parser.add_argument("--data", nargs=2, required=True, metavar=("NAME", "DIR"), help=f"{' or '.join(cascade_data.DATA_SETS)}, and its folder")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--start", type=Path, help="pipeline that an earlier stage left")
    parser.add_argument("--text", type=Path, default=here.parent / "rsgeo" / "weights" / "rsgeo-mini", help="T5 encoder's folder, or a model's")
    parser.add_argument("--judge", type=Path, default=here / "judge", help="folder of the classifier whose features validate")
    parser.add_argument("--mixed-precision", default="no", choices=["no", "bf16"])
    parser.add_argument("--minutes", type=float, help="instead of the configuration's")
    args = parser.parse_args()
    name, root = args.data
    if name not in cascade_data.DATA_SETS:
        parser.error(f"--data must be {' or '.join(cascade_data.DATA_SETS)}, not {name!r}")
    config: dict[str, Any] = yaml.safe_load(args.config.read_text())
    config = {**config, **config["stages"][args.stage]}
    config.pop("stages")
    print(json.dumps(config, indent=1), flush=True)

    accelerator = Accelerator(mixed_precision=args.mixed_precision)
    torch.manual_seed(config["seed"])
    side = config["sr"]["sample_size"]
    data, held_out = (cascade_data.read(name, Path(root), split, side) for split in ("train", "val"))
    base, sr = start_from(args.start, args.stage, config)
    text_encoder, tokenizer = read_text(args.text)
    cascade = Cascade(args.stage, base, sr, config)
    learns = {"base": cascade.base, "sr": cascade.sr, "joint": cascade}[args.stage]
    print(f"{len(data.pixels)} pictures; {sum(p.numel() for p in learns.parameters()) / 1e6:.2f} million parameters learn", flush=True)
    loop = Loop(accelerator, cascade, learns, config, args.out)
    text_encoder.to(loop.device)
    encode = RSDiffPipeline(base, sr, *schedulers(config), text_encoder, tokenizer).encode
    validation = Validation(args.stage, held_out, load(args.judge), config)
    earlier = json.loads((args.start / "training.json").read_text())["stages"] if args.start else {}

    def loss(step: int) -> torch.Tensor:
        process = accelerator.process_index
        pixels, captions = data.batch(config["batch_size"], seed=config["seed"], process=process, step=step, drop_text=config["drop_text"])
        generator = torch.Generator().manual_seed(int(np.random.default_rng([config["seed"], process, step, 1]).integers(2**62)))
        keep = torch.tensor([bool(caption) for caption in captions], device=loop.device)
        with accelerator.autocast():
            return loop.model(torch.from_numpy(pixels).to(loop.device), Captions(*encode(captions), keep), generator)  # type: ignore[no-any-return]

    def averaged() -> RSDiffPipeline:
        of_loop = copy.deepcopy(learns)
        of_loop.load_state_dict({**of_loop.state_dict(), **loop.ema.weights})
        parts = {"base": base, "sr": sr} | ({"base": of_loop.base, "sr": of_loop.sr} if args.stage == "joint" else {args.stage: of_loop})
        level = config["validation"]["lowres_noise_level"]
        pipeline = RSDiffPipeline(parts["base"], parts["sr"], *schedulers(config), text_encoder, tokenizer, lowres_noise_level=level)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def kept() -> bool:
        file = args.out / "validation.json"
        history = json.loads(file.read_text()) if file.is_file() else []
        pipeline = averaged()
        found = round(validation.distance(pipeline), 4)
        best = not history or found < min(entry["frechet"] for entry in history)
        history.append({"step": loop.step, "minutes": round(loop.minutes, 1), "frechet": found})
        print(f"Frechet distance to {len(validation.captions)} validation pictures: {found:.3f}{', the best so far' if best else ''}", flush=True)
        if best:
            part = args.out / "pipeline.part"
            shutil.rmtree(part, ignore_errors=True)
            pipeline.save_pretrained(part)
            run = {"config": config, **loop.facts(), "validation_frechet": found}
            meta = {"data": cascade_data.DATA_SETS[name], "licence": cascade_data.LICENCES[name], "stages": {**earlier, args.stage: run}}
            (part / "training.json").write_text(json.dumps(meta, indent=1) + "\n")
            replace(args.out / "pipeline", part)
        file.write_text(json.dumps(history, indent=1) + "\n")
        since = len(history) - 1 - min(range(len(history)), key=lambda index: history[index]["frechet"])
        return since >= config["validation"]["patience"]

    loop.run(float(args.minutes or config["minutes"]), loss, kept)


if __name__ == "__main__":
    main()
