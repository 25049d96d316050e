"""Put trained weights into the package: ``python training/export_mini.py --run runs/mini --words DIR [--scores scores.json]``.

Writes unet, text_encoder, vae (fp16), scheduler and tokenizer, and the catalogue record ``meta.json`` with the hash over all of them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import diffusers
from safetensors.torch import load_file, save_file
from tokenizers import BertWordPieceTokenizer
from transformers import PreTrainedTokenizerFast

from rsgeo.hub import catalog

WEIGHTS = ROOT / "rsgeo" / "weights" / "rsgeo-mini"

RECORD: dict[str, Any] = {
    "schema_version": 1,
    "name": "rsgeo-mini",
    "family": "latent",
    "title": "small embedded text-to-image model, EuroSAT and UC Merced",
    "licence": "Apache-2.0",
    "citation": "Trained on EuroSAT (Helber et al. 2019, MIT; contains modified Copernicus Sentinel data) and UC Merced Land Use"
    " (Yang and Newsam 2010, USGS public domain); words from all-MiniLM-L6-v2 (Apache-2.0).",
    "tasks": ["generate", "inpaint", "extend"],
    "default_for": ["generate"],
    "tile": 16,
    "scale": 4,
    "channels": 16,
    "window_bytes": 4_000_000,
    "gsd_native": 10.0,
    "gsd_min": 0.6,
    "gsd_max": 20.0,
    "trained_fields": ["place", "gsd"],
    "trained_region": [-21.0, 27.9, 33.6, 65.3],
    "trained_region_name": "Europe",
    "schedule": {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.015},
    "defaults": {"scheduler": "dpmsolver++", "num_inference_steps": 12, "guidance_scale": 3.5, "phases": 2, "batch_size": 16},
}
# What `SatPipeline.from_pretrained` reads; the tokenizer's class is the one that transformers 4 and 5 both know.
MODEL_INDEX = {
    "_class_name": "SatPipeline",
    "_diffusers_version": diffusers.__version__,
    "vae": ["rsgeo.models.patch_codec", "PatchCodec"],
    "text_encoder": ["rsgeo.models.word_piece_encoder", "WordPieceEncoder"],
    "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
    "unet": ["rsgeo.models.sat_unet", "SatUNet"],
    "guide": ["rsgeo.models.sat_unet", "SatUNet"],
    "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder of train_mini.py's --out")
    parser.add_argument("--words", type=Path, required=True, help="folder of the word table")
    parser.add_argument("--scores", type=Path, help="JSON of score_mini.py, kept in meta.json without its long lists")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    for part in ("unet", "text_encoder", "vae", "scheduler", "tokenizer"):
        shutil.rmtree(args.out / part, ignore_errors=True)
        if part != "tokenizer":
            shutil.copytree(args.run / "model" / part, args.out / part)
    facts = json.loads((args.run / "model" / "training.json").read_text())
    codec = args.out / "vae" / "diffusion_pytorch_model.safetensors"
    save_file({key: value.float() for key, value in load_file(codec).items()}, codec)
    words = BertWordPieceTokenizer(str(args.words / "vocab.txt"), lowercase=True)
    PreTrainedTokenizerFast(
        tokenizer_object=words._tokenizer,
        model_max_length=facts["config"]["text_encoder"]["max_length"],
        unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", mask_token="[MASK]",
    ).save_pretrained(args.out / "tokenizer")  # fmt: skip
    (args.out / "model_index.json").write_text(json.dumps(MODEL_INDEX, indent=1) + "\n")
    looks = json.loads(Path(__file__).with_name("looks.json").read_text())
    record: dict[str, Any] = {**RECORD, "looks": looks, "training": {key: facts[key] for key in facts if key != "config"}}
    if args.scores:
        scores = json.loads(args.scores.read_text())
        scores.pop("confusion", None)
        scores.get("unseen", {}).pop("prompts", None)
        record["scores"] = scores
    path = args.out / "meta.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    record["sha256"] = catalog.model_sha256(catalog.find(str(args.out)))
    path.write_text(json.dumps(record, indent=1) + "\n")
    size = sum(file.stat().st_size for file in args.out.rglob("*") if file.is_file())
    print(f"{args.out}: {size / 1e6:.1f} MB, {record['sha256']}")


if __name__ == "__main__":
    main()
