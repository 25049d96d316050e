"""The original's side of `imagen_side_by_side.py`: imagen-pytorch 2.1.0, in an environment of its own, told what to sample in lines of JSON.

    python imagen_original.py FOLDER

FOLDER holds ``cascade.json`` (the arguments of its two networks, and the images' sides) and, for each stage, ``weights.STAGE.safetensors`` and
``inputs.STAGE.safetensors``: the text, its mask, and the noises in the order in which they are drawn. A line on standard input says ``stage``,
``steps`` and ``scale``; the image goes into ``image.safetensors``, and a line on standard output answers with the seconds that it took.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from common import Clock
from safetensors.torch import load_file, save_file

# A torchvision built for another torch cannot load its operators, and asks for these when it is imported. The library uses none of them.
if "+" in torch.__version__ and "+" not in version("torchvision"):
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from imagen_pytorch import Imagen, Unet


def recorded(noises: Iterator[torch.Tensor]) -> Any:
    """Stands for ``torch.randn`` and ``torch.randn_like``: the next of the recorded noises."""

    def draw(like: Any, **_: Any) -> torch.Tensor:
        noise = next(noises)
        if tuple(noise.shape) != tuple(like.shape if isinstance(like, torch.Tensor) else like):
            raise ValueError(f"the original draws other noise than {tuple(noise.shape)}")
        return noise

    return draw


def cascade(folder: Path, device: str) -> Imagen:
    told = json.loads((folder / "cascade.json").read_text())
    imagen = Imagen((Unet(**told["base"]), Unet(**told["sr"])), image_sizes=told["sides"], text_embed_dim=told["text_embed_dim"])
    for unet, stage in zip(imagen.unets, ("base", "sr"), strict=True):
        unet.load_state_dict(load_file(folder / f"weights.{stage}.safetensors"), strict=True)
    return imagen.eval().to(device)


def sample(imagen: Imagen, inputs: dict[str, torch.Tensor], stage: str, steps: int, scale: float) -> tuple[torch.Tensor, float]:
    """One stage's image in [0, 1], and the seconds that it took."""
    for scheduler in imagen.noise_schedulers:
        scheduler.num_timesteps = steps
    where = {"stop_at_unet_number": 1} if stage == "base" else {"start_at_unet_number": 2, "start_image_or_video": inputs["image"]}
    text = {"text_embeds": inputs["text_embeds"], "text_masks": inputs["text_mask"]}
    clock, drawn = Clock(inputs["text_embeds"].device.type), (torch.randn, torch.randn_like)
    torch.randn = torch.randn_like = recorded(iter([inputs[name] for name in sorted(inputs) if name.startswith("noise/")]))
    try:
        begin = clock.now()
        image = imagen.sample(**text, **where, cond_scale=scale, use_tqdm=False, use_one_unet_in_gpu=False)
        return image, clock.now() - begin
    finally:
        torch.randn, torch.randn_like = drawn


def main() -> None:
    folder, device = Path(sys.argv[1]), "cuda" if torch.cuda.is_available() else "cpu"
    answers, sys.stdout = sys.stdout, sys.stderr  # the library prints advice
    imagen = cascade(folder, device)
    print(json.dumps({name: version(name) for name in ("imagen-pytorch", "transformers", "torch")}), file=answers, flush=True)
    for line in sys.stdin:
        ask = json.loads(line)
        inputs = {name: tensor.to(device) for name, tensor in load_file(folder / f"inputs.{ask['stage']}.safetensors").items()}
        image, seconds = sample(imagen, inputs, **ask)
        save_file({"image": image.cpu().contiguous()}, folder / "image.safetensors")
        print(json.dumps({"seconds": seconds}), file=answers, flush=True)


if __name__ == "__main__":
    main()
