"""Train a ControlNet of rsgeo-mini: ``accelerate launch training/train_controlnet.py TASK --eurosat DIR --ucmerced DIR --out DIR``.

TASK is superres (the picture from its 4 x 4 box averages) or inpaint (the picture from what is known of it). The UNet and its text encoder, those of
``--base``, stay as they are. The same command again goes on from the last checkpoint in ``--out``. Needs what `train_mini.py` needs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
import yaml
from accelerate import Accelerator
from conditions import box_averaged, known_pixels, masked
from diffusers import DPMSolverMultistepScheduler
from loop import Loop
from mini_data import TILE, MiniData
from tokenizers import Tokenizer
from train_mini import draw_timesteps, v_loss

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
    fresh = {"latent_factor": factor, **config["controlnet"]}
    controlnet = load_module(SatControlNet, args.init) if args.init else SatControlNet.from_unet(unet, **fresh)
    print(f"ControlNet {sum(p.numel() for p in controlnet.parameters()) / 1e6:.2f} million parameters", flush=True)

    controlled = Controlled(unet, text_encoder, controlnet.train())
    loop = Loop(Accelerator(mixed_precision=args.mixed_precision), controlled, controlnet, config, args.out)
    device, process = loop.device, loop.accelerator.process_index
    codec.to(device)

    def loss(step: int) -> torch.Tensor:
        batch = data.batch(config["batch_size"], process=process, step=step)
        rng = np.random.default_rng([config["seed"], process, step, 1])
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
        with loop.accelerator.autocast():
            output = loop.model(alpha * latents + sigma * noise, timesteps.to(device), ids, mask, metadata, torch.from_numpy(seen).to(device))
        # What is known, cells or the mean colours of cells, is put right when a picture is made, so nothing has to be learned of it.
        wanted = 1 - wholly_known(torch.from_numpy(known).to(device), factor)
        error = (output.float() - (alpha * noise - sigma * latents)) * wanted
        if controlnet.config.keeps_means:
            error = codec.with_means(error, codec.means(torch.zeros_like(error)))
        return v_loss(error, codec, config["border_weight"]) / wanted.mean().clamp_min(0.05)

    def kept() -> None:
        averaged = SatControlNet.from_config(controlnet.config)
        averaged.load_state_dict({**controlnet.state_dict(), **loop.ema.weights})
        averaged.half().save_pretrained(args.out / "controlnet")
        (args.out / "training.json").write_text(json.dumps({"task": args.task, **loop.facts()}, indent=1))

    loop.run(budget, loss, kept)


if __name__ == "__main__":
    main()
