"""Compare the patch codec with a trained VAE of as many channels: ``python training/compare_codecs.py --eurosat DIR --minutes 12``.

Both make 16 channels at a quarter of the resolution, are fitted on EuroSAT's training tiles (spatial split) and are measured on its
validation tiles. Minutes are CPU minutes of training; the patch codec needs seconds.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn.functional import mse_loss

from rsgeo.data import packed
from rsgeo.evaluate import borders
from rsgeo.models.patch_codec import PatchCodec

BATCH = 16


def tiles(root: Path, split: str) -> torch.Tensor:
    """(n, 3, 64, 64) uint8."""
    images = packed.rows(root, lambda row: row["split_spatial"] == split)
    return torch.from_numpy(np.stack(list(packed.pixels(root, images)))).permute(0, 3, 1, 2).contiguous()


def signed(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.float() / 127.5 - 1.0


@torch.inference_mode()
def report(name: str, codec: PatchCodec | AutoencoderKL, real: torch.Tensor, minutes: float) -> None:
    """One line: weights, minutes of training, error and speed of the decoder, and how much of the patch grid shows."""
    start, decoded = time.process_time(), []
    for batch in real.split(64):
        latents = codec.encode(signed(batch)).latent_dist.mean
        decoded.append(codec.decode(latents).sample)
    cost = (time.process_time() - start) / len(real)
    made = torch.cat(decoded).clamp(-1, 1)
    error = (((made - signed(real)) * 127.5) ** 2).mean(dim=(1, 2, 3))
    again = ((made + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    weights = sum(p.numel() for p in codec.parameters()) + sum(b.numel() for b in codec.buffers())
    print(
        f"{name:12} {weights / 1e6:8.3f} M weights  {minutes:6.1f} CPU min  {(10 * torch.log10(255**2 / error)).mean():6.2f} dB"
        f"  {cost * 1e3:6.2f} ms a tile  gradient across / inside {borders.gradients(again).ratio:.3f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eurosat", type=Path, required=True, help="folder of the packed EuroSAT")
    parser.add_argument("--minutes", type=float, default=12.0, help="CPU minutes of training")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    train, val = tiles(args.eurosat, "train"), tiles(args.eurosat, "val")[:1000]
    print(f"gradient across / inside of the real tiles {borders.gradients(val.permute(0, 2, 3, 1).numpy()).ratio:.3f}")

    start = time.process_time()
    linear = PatchCodec(patch_size=4, latent_channels=16)
    linear.fit(signed(train[::4]), 0.5)
    report("patch codec", linear, val, (time.process_time() - start) / 60)

    vae = AutoencoderKL(
        block_out_channels=(32, 64, 96),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=16,
        norm_num_groups=16,
        sample_size=64,
        mid_block_add_attention=False,
    )
    optimizer = torch.optim.AdamW(vae.parameters(), lr=1e-3, betas=(0.9, 0.99))
    start, reported = time.process_time(), 0.0
    while (minutes := (time.process_time() - start) / 60) < args.minutes:
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1.0, 2 * (1 - minutes / args.minutes))
        pixels = signed(train[torch.randint(len(train), (BATCH,))])
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(pixels).latent_dist
            made = vae.decode(posterior.sample()).sample
        # The weight of the KL term is that of latent diffusion's autoencoders (Rombach et al. 2022, appendix G).
        loss = mse_loss(made.float(), pixels) + 1e-6 * posterior.kl().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        if minutes - reported >= 3:
            report("VAE", vae, val[:200], minutes)
            reported = minutes
    report("VAE", vae, val, args.minutes)


if __name__ == "__main__":
    main()
