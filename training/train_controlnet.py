"""Train a ControlNet of rsgeo-mini: ``accelerate launch training/train_controlnet.py TASK --eurosat DIR --ucmerced DIR --out DIR``.

TASK is superres (the picture from its 4 x 4 box averages) or inpaint (the picture from what is known of it). The UNet and its text encoder, those of
``--base``, stay as they are. The same command again goes on from the last checkpoint in ``--out``. Needs what `train_mini.py` needs.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
import yaml
from accelerate import Accelerator
from conditions import box_averaged, known_pixels, masked
from diffusers import DPMSolverMultistepScheduler
from mini_data import TILE, MiniData
from tokenizers import Tokenizer
from train_mini import PowerEMA, draw_timesteps, v_loss

from rsgeo import encoding
from rsgeo.models.loading import load_module
from rsgeo.models.patch_codec import PatchCodec
from rsgeo.models.sat_controlnet import SatControlNet
from rsgeo.models.sat_unet import SatUNet
from rsgeo.models.word_piece_encoder import WordPieceEncoder


class Controlled(torch.nn.Module):
    """A frozen UNet with its text encoder and a ControlNet that learns, as one module for accelerate."""

    def __init__(self, unet: SatUNet, text_encoder: WordPieceEncoder, controlnet: SatControlNet) -> None:
        super().__init__()
        self.unet, self.text_encoder = unet.requires_grad_(False), text_encoder.requires_grad_(False)
        self.controlnet = controlnet

    def forward(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor, metadata: torch.Tensor, condition: torch.Tensor
    ) -> torch.Tensor:
        states, pooled = self.text_encoder(ids, mask)
        skips, middle = self.controlnet(
            noisy, timesteps, states, condition, metadata=metadata, text_embeds=pooled, encoder_attention_mask=mask, return_dict=False
        )
        output: torch.Tensor = self.unet(
            noisy, timesteps, states, metadata=metadata, text_embeds=pooled, encoder_attention_mask=mask,
            down_block_additional_residuals=tuple(skips), mid_block_additional_residual=middle, return_dict=False,
        )[0]  # fmt: skip
        return output


def condition(task: str, pixels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What the ControlNet sees, (batch, channels, side, side) in [0, 1], and the pixels it need not make, (batch, side, side) bool."""
    if task == "superres":
        return (box_averaged(pixels, 4) + 1) / 2, np.zeros((len(pixels), TILE, TILE), np.bool_)
    known = np.stack([known_pixels(TILE, rng) for _ in pixels])
    return masked(pixels, known), known


def wholly_known(known: torch.Tensor, factor: int) -> torch.Tensor:
    """(batch, height, width) pixels -> (batch, 1, height / factor, width / factor): 1 for cells all of whose pixels are known."""
    return 1 - torch.nn.functional.max_pool2d(1 - known[:, None].float(), factor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    here = Path(__file__).resolve().parent
    parser.add_argument("task", choices=["superres", "inpaint"])
    parser.add_argument("--config", type=Path, default=here / "controlnet.yaml")
    for name, what in (("eurosat", "packed EuroSAT"), ("ucmerced", "packed UC Merced"), ("out", "results")):
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"folder of the {what}")
    parser.add_argument("--base", type=Path, default=here.parent / "rsgeo" / "weights" / "rsgeo-mini", help="folder of the model to be steered")
    parser.add_argument("--init", type=Path, help="folder of a ControlNet to start from, instead of the UNet's own weights")
    parser.add_argument("--mixed-precision", default="bf16", choices=["no", "bf16"])
    parser.add_argument("--minutes", type=float, help="instead of the configuration's")
    args = parser.parse_args()
    config: dict[str, Any] = yaml.safe_load(args.config.read_text())
    own = config["tasks"][args.task]
    config = {**config, **own, "controlnet": {**config["controlnet"], **own["controlnet"]}}
    budget = float(args.minutes or config["minutes"])
    print(json.dumps(config, indent=1), flush=True)

    accelerator = Accelerator(mixed_precision=args.mixed_precision)
    torch.manual_seed(config["seed"])
    data = MiniData(args.eurosat, args.ucmerced, config)
    codec = load_module(PatchCodec, args.base / "vae")
    unet = load_module(SatUNet, args.base / "unet")
    text_encoder = load_module(WordPieceEncoder, args.base / "text_encoder")
    tokenizer = Tokenizer.from_file(str(args.base / "tokenizer" / "tokenizer.json"))
    tokenizer.enable_truncation(text_encoder.config.max_length)
    tokenizer.enable_padding()
    factor = codec.config.patch_size
    scheduler = DPMSolverMultistepScheduler.from_pretrained(args.base / "scheduler")
    alphas = scheduler.alphas_cumprod.double()
    levels = ((1 - alphas) / alphas).sqrt().log().float()
    if args.init:
        controlnet = load_module(SatControlNet, args.init)
    else:
        controlnet = SatControlNet.from_unet(unet, latent_factor=factor, **config["controlnet"])
    print(f"ControlNet {sum(p.numel() for p in controlnet.parameters()) / 1e6:.2f} million parameters", flush=True)

    controlled = Controlled(unet, text_encoder, controlnet.train())
    optimizer = torch.optim.AdamW(controlnet.parameters(), lr=config["learning_rate"], betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    ema = PowerEMA(controlnet, config["ema_width"])
    step, minutes = 0, 0.0
    state_file = args.out / "state.pt"
    if state_file.is_file():
        state = torch.load(state_file, weights_only=True, map_location="cpu")
        controlnet.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        ema.weights, step, minutes = state["ema"], state["step"], state["minutes"]
        print(f"going on from step {step}, {minutes:.1f} min", flush=True)
    model, optimizer = accelerator.prepare(controlled, optimizer)
    device = accelerator.device
    codec.to(device)
    ema.weights = {k: v.to(device) for k, v in ema.weights.items()}
    args.out.mkdir(parents=True, exist_ok=True)

    def checkpoint() -> None:
        if not accelerator.is_main_process:
            return
        bare = accelerator.unwrap_model(model).controlnet
        part = state_file.with_suffix(".part")
        torch.save({"model": bare.state_dict(), "optimizer": optimizer.state_dict(), "ema": ema.weights, "step": step, "minutes": minutes}, part)
        part.replace(state_file)
        averaged = SatControlNet.from_config(bare.config)
        averaged.load_state_dict({**bare.state_dict(), **ema.weights})
        averaged.half().save_pretrained(args.out / "controlnet")
        images = step * config["batch_size"] * accelerator.num_processes
        facts = {"task": args.task, "step": step, "minutes": round(minutes, 1), "images": images, "machine": platform.machine(),
                 "device": str(device), "threads": torch.get_num_threads(), "torch": torch.__version__}  # fmt: skip
        (args.out / "training.json").write_text(json.dumps(facts, indent=1))

    start, base, saved, losses = time.monotonic(), minutes, minutes, []
    mark = start
    while minutes < budget:
        batch = data.batch(config["batch_size"], process=accelerator.process_index, step=step)
        rng = np.random.default_rng([config["seed"], accelerator.process_index, step, 1])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        seen, known = condition(args.task, batch.pixels, rng)
        timesteps = draw_timesteps(config["batch_size"], config, levels, generator)
        encoded = tokenizer.encode_batch(batch.captions)
        ids = torch.tensor([e.ids for e in encoded], device=device)
        mask = torch.tensor([e.attention_mask for e in encoded], device=device)
        metadata = torch.from_numpy(encoding.encode(batch.scenes, "rsgeo")).to(device)
        latents = codec.encode(torch.from_numpy(batch.pixels).to(device)).latent_dist.mean
        noise = torch.randn(latents.shape, generator=generator).to(device)
        alpha = alphas[timesteps].sqrt().float().view(-1, 1, 1, 1).to(device)
        sigma = (1 - alphas[timesteps]).sqrt().float().view(-1, 1, 1, 1).to(device)
        with accelerator.autocast():
            output = model(alpha * latents + sigma * noise, timesteps.to(device), ids, mask, metadata, torch.from_numpy(seen).to(device))
        # What is known, cells or the mean colours of cells, is put right when a picture is made, so nothing has to be learned of it.
        wanted = 1 - wholly_known(torch.from_numpy(known).to(device), factor)
        error = (output.float() - (alpha * noise - sigma * latents)) * wanted
        if controlnet.config.keeps_means:
            error = codec.with_means(error, codec.means(torch.zeros_like(error)))
        loss = v_loss(error, codec, config["border_weight"]) / wanted.mean().clamp_min(0.05)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(controlnet.parameters(), 1.0)
        decay = min(1.0, (1 - minutes / budget) / (1 - config["decay_from"]))
        for group in optimizer.param_groups:
            group["lr"] = config["learning_rate"] * min(1.0, (step + 1) / config["warmup_steps"]) * decay
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        ema.update(accelerator.unwrap_model(model).controlnet, step)
        losses.append(loss.item())
        minutes = base + (time.monotonic() - start) / 60
        if not math.isfinite(losses[-1]):
            sys.exit(f"The loss is not finite at step {step}; lower the learning rate.")
        if step % 100 == 0:
            rate = config["batch_size"] * 100 / (time.monotonic() - mark)
            mark = time.monotonic()
            print(f"{minutes:7.1f} min  step {step:6d}  loss {np.mean(losses[-100:]):.4f}  {rate:6.1f} images/s", flush=True)
        if minutes - saved >= config["checkpoint_minutes"]:
            checkpoint()
            saved = minutes
    checkpoint()


if __name__ == "__main__":
    main()
