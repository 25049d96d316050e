"""A name or a path to a pipeline that is ready on a device."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler
from transformers import PreTrainedTokenizerFast

from rsgeo.errors import ModelError, RsgeoWarning
from rsgeo.hub import catalog
from rsgeo.hub.devices import pick_device, pick_dtype
from rsgeo.models.loading import load_module
from rsgeo.models.patch_codec import PatchCodec
from rsgeo.models.sat_unet import SatUNet
from rsgeo.models.word_piece_encoder import WordPieceEncoder
from rsgeo.pipelines.sat_pipeline import SatPipeline


def load_pipeline(
    name_or_path: str = catalog.DEFAULT_MODEL,
    *,
    device: str = "auto",
    dtype: str = "auto",
    compile: bool = False,
    adapters: tuple[str, ...] = (),
) -> SatPipeline:
    """A `SatPipeline` of a catalogue name or of a folder written by rsgeo, on ``device``.

    Only the UNet takes ``dtype``: codec and text encoder are small and stay in fp32. ``adapters`` are safetensors files of LoRA weights (peft);
    ``compile`` runs the UNet through ``torch.compile`` where there is a compiler, else warns and goes on without.

    Raises:
        ModelError: unknown model, missing or unexpected weights (each is named), or an adapter that does not fit.
        InputError: this machine has no such device.
    """
    record = catalog.find(name_or_path)
    where = pick_device(device)
    unet = load_module(SatUNet, record.folder / "unet", pick_dtype(dtype, where))
    for adapter in adapters:
        _add_adapter(unet, Path(adapter))
    pipeline = SatPipeline(
        vae=load_module(PatchCodec, record.folder / "vae", torch.float32),
        text_encoder=load_module(WordPieceEncoder, record.folder / "text_encoder", torch.float32),
        tokenizer=PreTrainedTokenizerFast.from_pretrained(record.folder / "tokenizer"),
        unet=unet,
        scheduler=DPMSolverMultistepScheduler.from_pretrained(record.folder / "scheduler"),
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(where)
    if compile:
        _compile(pipeline)
    return pipeline


_kept: dict[tuple[Any, ...], SatPipeline] = {}


def kept_pipeline(name_or_path: str, *, device: str, dtype: str, compile: bool = False, adapters: tuple[str, ...] = ()) -> SatPipeline:
    """`load_pipeline`, but the last pipeline stays in memory and is given again while the same is asked for and no file of it changed.

    Whoever gets it must not change it. Raises what `load_pipeline` raises.
    """
    stamps = tuple((adapter, path.stat().st_mtime_ns) for adapter in adapters if (path := Path(adapter)).is_file())
    key = (catalog.model_sha256(catalog.find(name_or_path)), device, dtype, compile, adapters, stamps)
    if key not in _kept:
        _kept.clear()  # before another is loaded: there may not be memory for two
        _kept[key] = load_pipeline(name_or_path, device=device, dtype=dtype, compile=compile, adapters=adapters)
    return _kept[key]


def _add_adapter(unet: Any, path: Path) -> None:
    if not path.is_file() or path.suffix != ".safetensors":
        raise ModelError(f"The adapter {path.name} must be a safetensors file that exists.")
    name, file = f"adapter{len(getattr(unet, 'peft_config', {}))}", path.resolve()
    try:
        # Offline, older diffusers (0.38) wants the file's name by itself, even where the file is given.
        unet.load_lora_adapter(str(file.parent), weight_name=file.name, prefix=None, adapter_name=name, use_safetensors=True)
    except (ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"The adapter {path.name} does not fit the model; train one for it.") from error


def _compile(pipeline: SatPipeline) -> None:
    if pipeline.device.type == "cpu" and not any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl")):
        warnings.warn("torch.compile needs a C++ compiler and there is none; the model runs uncompiled.", RsgeoWarning, stacklevel=3)
        return
    pipeline.unet.compile()
