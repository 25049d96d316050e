"""Train rsgeo-mini: ``accelerate launch training/train_mini.py --eurosat DIR --ucmerced DIR --words DIR --out DIR``.

The same command again goes on from the last checkpoint in ``--out``; ``--init`` starts a new run from the weights of a model. Needs torch,
diffusers, transformers, tokenizers, accelerate, safetensors, numpy, PIL, PyYAML and pydantic only, so that it can be carried to a bare machine.
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
from diffusers import DPMSolverMultistepScheduler
from loop import Loop, PowerEMA
from mini_data import MiniData
from safetensors.torch import load_file
from tokenizers import BertWordPieceTokenizer

from rsgeo import encoding
from rsgeo.models.patch_codec import PatchCodec
from rsgeo.models.sat_unet import SatUNet
from rsgeo.models.word_piece_encoder import WordPieceEncoder


class Denoiser(torch.nn.Module):
    """UNet and text encoder trained as one, so that accelerate wraps one module."""

    def __init__(self, unet: SatUNet, text_encoder: WordPieceEncoder) -> None:
        super().__init__()
        self.unet = unet
        self.text_encoder = text_encoder

    def forward(self, noisy: torch.Tensor, timesteps: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor, metadata: torch.Tensor) -> torch.Tensor:
        states, pooled = self.text_encoder(ids, mask)
        return self.unet(noisy, timesteps, states, metadata=metadata, text_embeds=pooled, encoder_attention_mask=mask, return_dict=False)[0]


def v_loss(error: torch.Tensor, codec: PatchCodec, border_weight: float) -> torch.Tensor:
    """Mean squared error of v, plus the squared gradient of the decoded error across patch borders, in units of the mean pixel error.

    The codec is linear, so a decoded error of v is the error of the decoded picture over sigma; the second term keeps a blockwise codec
    from showing its blocks.
    """
    zero = codec.decode(torch.zeros_like(error[:1])).sample
    pixels = codec.decode(error).sample - zero
    patch = codec.config.patch_size
    rows = pixels[:, :, patch::patch, :] - pixels[:, :, patch - 1 : -1 : patch, :]
    cols = pixels[:, :, :, patch::patch] - pixels[:, :, :, patch - 1 : -1 : patch]
    unit = codec.scale.square().sum() / codec.mean.numel()
    border = (rows.square().mean() + cols.square().mean()) / (2 * unit)
    return error.square().mean() + border_weight * border


def draw_timesteps(size: int, config: dict[str, Any], levels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Time steps whose ln(sigma/alpha) is normal, a share of them uniform; ``levels`` are ln(sigma/alpha) of all steps, ascending."""
    normal = torch.randn(size, generator=generator) * config["noise_deviation"] + config["noise_mean"]
    steps = torch.searchsorted(levels, normal).clamp_max(len(levels) - 1)
    uniform = torch.randint(len(levels), (size,), generator=generator)
    return torch.where(torch.rand(size, generator=generator) < config["uniform_share"], uniform, steps)


def save(folder: Path, denoiser: Denoiser, ema: PowerEMA, codec: PatchCodec, scheduler: Any, facts: dict[str, Any]) -> None:
    """Write the averaged weights (fp16) in the pipeline's folder layout."""
    own = {k: v.clone() for k, v in denoiser.state_dict().items()}
    denoiser.load_state_dict({**own, **ema.weights})
    for name, module in (("unet", denoiser.unet), ("text_encoder", denoiser.text_encoder)):
        part = folder / name
        part.mkdir(parents=True, exist_ok=True)
        kept = {k: v.clone() for k, v in module.state_dict().items()}
        module.half().save_pretrained(part)
        module.float().load_state_dict(kept)
    codec.save_pretrained(folder / "vae")
    scheduler.save_pretrained(folder / "scheduler")
    (folder / "training.json").write_text(json.dumps(facts, indent=1))
    denoiser.load_state_dict(own)


def start_from(module: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Take over the weights of a network that may lack some attention layers of this one; those change nothing at first.

    Raises:
        RuntimeError: the weights are of another network.
    """
    own = module.state_dict()
    new = {key: value for key, value in own.items() if key not in weights and ".attentions." in key}
    module.load_state_dict({**weights, **{k: torch.zeros_like(v) if ".proj_out." in k else v for k, v in new.items()}})
    if new:
        print(f"{sum(value.numel() for value in new.values()) / 1e6:.2f} million parameters are new", flush=True)


def facts_of(model: Path) -> dict[str, Any]:
    """How a model was trained: of a run, or of one that was put into the package."""
    run = model / "training.json"
    facts: dict[str, Any] = json.loads(run.read_text()) if run.is_file() else json.loads((model / "meta.json").read_text())["training"]
    return {key: facts[key] for key in facts if key != "config"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    here = Path(__file__).resolve().parent
    parser.add_argument("--config", type=Path, default=here / "mini.yaml")
    for name, what in (("eurosat", "packed EuroSAT"), ("ucmerced", "packed UC Merced"), ("words", "word table"), ("out", "results")):
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"folder of the {what}")
    parser.add_argument("--init", type=Path, help="folder of a model, shipped or DIR/model of another run, to start from")
    parser.add_argument("--mixed-precision", default="bf16", choices=["no", "bf16"])
    parser.add_argument("--minutes", type=float, help="instead of the configuration's")
    parser.add_argument("--dry-run", action="store_true", help="print the settings and stop")
    args = parser.parse_args()
    config: dict[str, Any] = yaml.safe_load(args.config.read_text())
    if args.minutes:
        config["minutes"] = args.minutes
    print(json.dumps(config, indent=1), flush=True)
    if args.dry_run:
        return

    torch.manual_seed(config["seed"])
    data = MiniData(args.eurosat, args.ucmerced, config)
    print(f"{len(data.eurosat.images)} EuroSAT tiles, {len(data.blocks)} blocks, {len(data.ucmerced.images)} UC Merced pictures", flush=True)

    codec = PatchCodec(**config["codec"])
    sample = np.stack(data.eurosat.pixels[::4]).transpose(0, 3, 1, 2)
    codec.fit(torch.from_numpy(np.ascontiguousarray(sample)).float() / 127.5 - 1.0, config["whitening"])
    tokenizer = BertWordPieceTokenizer(str(args.words / "vocab.txt"), lowercase=True)
    tokenizer.enable_truncation(config["text_encoder"]["max_length"])
    tokenizer.enable_padding()
    text_encoder = WordPieceEncoder(**config["text_encoder"])
    text_encoder.set_table(load_file(args.words / "wordpiece_embedding_128.safetensors")["embedding"])
    unet = SatUNet(
        **config["unet"],
        metadata_encoding="rsgeo",
        metadata_features=list(encoding.RSGEO_FIELDS.values()),
        text_embeds_dim=config["text_encoder"]["dim"],
    )
    print(f"UNet {sum(p.numel() for p in unet.parameters()) / 1e6:.2f} million parameters", flush=True)
    scheduler = DPMSolverMultistepScheduler(**config["scheduler"])
    alphas = scheduler.alphas_cumprod.double()
    levels = ((1 - alphas) / alphas).sqrt().log().float()

    denoiser = Denoiser(unet, text_encoder)
    origin = None
    if args.init:
        origin = facts_of(args.init)
        for name, module in (("unet", unet), ("text_encoder", text_encoder)):
            start_from(module, load_file(args.init / name / "diffusion_pytorch_model.safetensors"))
        print(f"starting from {args.init}", flush=True)
    loop = Loop(Accelerator(mixed_precision=args.mixed_precision), denoiser, denoiser, config, args.out)
    device, process = loop.device, loop.accelerator.process_index
    codec.to(device)

    def loss(step: int) -> torch.Tensor:
        batch = data.batch(config["batch_size"], process=process, step=step)
        generator = torch.Generator().manual_seed(hash((config["seed"], process, step)) % 2**63)
        timesteps = draw_timesteps(config["batch_size"], config, levels, generator)
        noise = torch.randn(config["batch_size"], *unet_shape(config), generator=generator).to(device)
        encoded = tokenizer.encode_batch(batch.captions)
        ids = torch.tensor([e.ids for e in encoded], device=device)
        mask = torch.tensor([e.attention_mask for e in encoded], device=device)
        metadata = torch.from_numpy(encoding.encode(batch.scenes, "rsgeo")).to(device)
        latents = codec.encode(torch.from_numpy(batch.pixels).to(device)).latent_dist.mean
        alpha = alphas[timesteps].sqrt().float().view(-1, 1, 1, 1).to(device)
        sigma = (1 - alphas[timesteps]).sqrt().float().view(-1, 1, 1, 1).to(device)
        with loop.accelerator.autocast():
            output = loop.model(alpha * latents + sigma * noise, timesteps.to(device), ids, mask, metadata)
        return v_loss(output.float() - (alpha * noise - sigma * latents), codec, config["border_weight"])

    def kept() -> None:
        save(args.out / "model", denoiser, loop.ema, codec, scheduler, {"config": config, **loop.facts(), "init": origin})

    loop.run(config["minutes"], loss, kept)


def unet_shape(config: dict[str, Any]) -> tuple[int, int, int]:
    """(channels, height, width) of the latents."""
    return config["unet"]["in_channels"], config["unet"]["sample_size"], config["unet"]["sample_size"]


if __name__ == "__main__":
    main()
