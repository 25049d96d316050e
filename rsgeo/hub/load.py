"""A name or a path to a pipeline that is ready on a device."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import AutoencoderKL, SchedulerMixin
from transformers import CLIPTextModel, CLIPTokenizer, PreTrainedTokenizerFast, T5EncoderModel

from rsgeo.errors import ModelError, RsgeoWarning
from rsgeo.hub import catalog
from rsgeo.hub.catalog import CatalogRecord
from rsgeo.hub.derived import read_json
from rsgeo.hub.devices import pick_device, pick_dtype
from rsgeo.hub.layout import INDEX, STAGES
from rsgeo.models.loading import load_controlnet, load_module
from rsgeo.models.log_snr_scheduler import LogSNRScheduler
from rsgeo.models.patch_codec import PatchCodec
from rsgeo.models.rsdiff_unet import RSDiffUNet
from rsgeo.models.sat_unet import SatUNet
from rsgeo.models.word_piece_encoder import WordPieceEncoder
from rsgeo.pipelines.rsdiff_pipeline import RSDiffPipeline
from rsgeo.pipelines.sat_controlnet_pipeline import SatControlNetPipeline
from rsgeo.pipelines.sat_pipeline import SatPipeline

# Whatever class a folder names, only these are made of it.
_CODECS: dict[str, type[Any]] = {"AutoencoderKL": AutoencoderKL, "PatchCodec": PatchCodec}
_TEXT_ENCODERS: dict[str, type[Any]] = {"CLIPTextModel": CLIPTextModel, "WordPieceEncoder": WordPieceEncoder}
_TEXT_ENCODERS_OF_CASCADES: dict[str, type[Any]] = {"T5EncoderModel": T5EncoderModel, "WordPieceEncoder": WordPieceEncoder}

Pipeline = SatPipeline | RSDiffPipeline


def load_pipeline(
    name_or_path: str | Path = catalog.DEFAULT_MODEL,
    base: str | Path | None = None,
    checkpoint: str | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    compile: bool = False,
    adapters: tuple[str, ...] = (),
    download: bool = False,
) -> Pipeline:
    """A model as a pipeline on ``device``: a `SatPipeline`, a `SatControlNetPipeline` where it has a ControlNet, an `RSDiffPipeline` of a cascade.

    UNets and ControlNet take ``dtype``; codec and text encoder stay in fp32.

    Args:
        name_or_path: a name of the catalogue (``rsgeo models list``); the folder or ZIP of a published DiffusionSat archive as it is; a folder that
            ``save_pretrained`` wrote; or a model's id on the Hugging Face hub, from its local cache alone.
        base: name or path of the model whose UNet a ControlNet works with, and whose other parts it takes where it has none; by default what its
            record says.
        checkpoint: which UNet of several: ``checkpoint-100000`` (or ``100000``), or ``root`` for that in ``unet/``; by default what the record says,
            else the highest checkpoint, else the root's. For a ControlNet it is that of the base.
        compile: run UNets, guide and ControlNet through ``torch.compile`` where there is a compiler, else warn and go on without.
        adapters: safetensors files of LoRA weights (peft) for the UNet, which then is its own guide; a cascade takes none.
        download: fetch a model of the Hugging Face hub that is not in its local cache. Without it no network is used.

    Raises:
        ModelError: unknown model, missing or unexpected weights (each is named), a ControlNet without its base, or an adapter that does not fit.
        InputError: this machine has no such device.
    """
    record = catalog.find(str(name_or_path), base=None if base is None else str(base), download=download)
    if checkpoint is not None:
        record = record.model_copy(update={"base_checkpoint" if record.base else "checkpoint": checkpoint})
    where = pick_device(device)
    number_type = pick_dtype(dtype, where)
    pipeline = _cascade(record, number_type, adapters) if record.family == "cascade" else _latent(record, number_type, adapters)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(where)
    if compile:
        _compile(pipeline)
    return pipeline


_kept: dict[tuple[Any, ...], Pipeline] = {}


def kept_pipeline(name_or_path: str, *, device: str, dtype: str, compile: bool = False, adapters: tuple[str, ...] = ()) -> Pipeline:
    """`load_pipeline`, but the last pipeline stays in memory and is given again while the same is asked for and no file of it changed.

    Whoever gets it must not change it. Raises what `load_pipeline` raises.
    """
    stamps = tuple((adapter, path.stat().st_mtime_ns) for adapter in adapters if (path := Path(adapter)).is_file())
    key = (catalog.model_sha256(catalog.find(name_or_path)), device, dtype, compile, adapters, stamps)
    if key not in _kept:
        _kept.clear()  # before another is loaded: there may not be memory for two
        _kept[key] = load_pipeline(name_or_path, device=device, dtype=dtype, compile=compile, adapters=adapters)
    return _kept[key]


def _latent(record: CatalogRecord, dtype: torch.dtype, adapters: tuple[str, ...]) -> SatPipeline:
    parts = _whole(record)
    unet = load_module(SatUNet, parts["unet"], dtype)
    # Stable Diffusion 2.1's configuration says 768 px, whatever size a model was trained at afterwards.
    unet.register_to_config(sample_size=record.tile)
    for adapter in adapters:
        _add_adapter(unet, Path(adapter))
    components = {
        "vae": load_module(_named(_CODECS, parts["vae"]), parts["vae"], torch.float32),
        "text_encoder": load_module(_named(_TEXT_ENCODERS, parts["text_encoder"]), parts["text_encoder"], torch.float32),
        "tokenizer": _tokenizer(parts["tokenizer"]),
        "unet": unet,
        "scheduler": _scheduler(parts["scheduler"]),
    }
    if "controlnet" not in parts:
        # A guide shows what the UNet as it was trained does better; with an adapter that is another network.
        guide = load_module(SatUNet, parts["guide"], dtype) if "guide" in parts and not adapters else None
        return SatPipeline(**components, guide=guide)
    return SatControlNetPipeline(**components, controlnet=_controlnet(record, parts["controlnet"], dtype))


def _cascade(record: CatalogRecord, dtype: torch.dtype, adapters: tuple[str, ...]) -> RSDiffPipeline:
    """A cascade; a stage, or the text encoder with its tokenizer, may be missing."""
    parts, root = catalog.layout_of(record).parts, record.folder
    if adapters:
        raise ModelError(f"Adapters are for latent models, and {record.name} is a cascade; leave them out.")
    missing = [f"{part}/" for part in ("scheduler", "lowres_scheduler") if part not in parts]
    if missing or ("text_encoder" in parts) != ("tokenizer" in parts):
        raise ModelError(f"{root} holds no {', '.join(missing) or 'text_encoder/ with its tokenizer/'}; give the whole folder of a cascade.")
    stages = {stage: load_module(RSDiffUNet, parts[stage], dtype) if stage in parts else None for stage in STAGES}
    encoder = tokenizer = None
    if "text_encoder" in parts:
        encoder = load_module(_named(_TEXT_ENCODERS_OF_CASCADES, parts["text_encoder"]), parts["text_encoder"], torch.float32)
        tokenizer = _tokenizer(parts["tokenizer"])
    index = read_json(root / INDEX)
    settings = {name: index[name] for name in ("guidance_rule", "keep_parallel") if name in index}
    try:
        own, lowres = (LogSNRScheduler.from_config(read_json(parts[part] / "scheduler_config.json")) for part in ("scheduler", "lowres_scheduler"))
        return RSDiffPipeline(stages["base_unet"], stages["sr_unet"], own, lowres, encoder, tokenizer, **settings)
    except (TypeError, ValueError) as error:
        raise ModelError(f"The settings in {root} are those of no cascade ({error}); fetch the model again or name its folder.") from error


def _whole(record: CatalogRecord) -> dict[str, Path]:
    """The folders of all parts. Raises ModelError where one is missing."""
    parts = dict(catalog.layout_of(record).parts)
    missing = [f"{part}/" for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler") if part not in parts]
    if missing:
        raise ModelError(f"{record.folder} holds no {', '.join(missing)}; give the whole folder of a model, or a ControlNet's base.")
    return parts


def _named(known: dict[str, type[Any]], folder: Path) -> type[Any]:
    """The class that a part's configuration names, in diffusers' way or in that of transformers."""
    config = read_json(folder / "config.json")
    name = config.get("_class_name") or next(iter(config.get("architectures") or ()), None)
    if name not in known:
        raise ModelError(f"{folder / 'config.json'} names {name} where one of {', '.join(known)} is needed; rsgeo runs no other kind.")
    return known[name]


def _tokenizer(folder: Path) -> Any:
    settings = read_json(folder / "tokenizer_config.json")
    cls = CLIPTokenizer if settings.get("tokenizer_class") == "CLIPTokenizer" else PreTrainedTokenizerFast
    try:
        return cls.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{folder} holds no tokenizer that can be read ({error}); fetch the model again.") from error


def _scheduler(folder: Path) -> Any:
    config = read_json(folder / "scheduler_config.json")
    cls: Any = getattr(diffusers, str(config.get("_class_name")), None)
    is_scheduler = isinstance(cls, type) and issubclass(cls, SchedulerMixin)
    if not is_scheduler:
        raise ModelError(f"{folder / 'scheduler_config.json'} names {config.get('_class_name')}, which is no scheduler of diffusers.")
    return cls.from_config(config)


def _controlnet(record: CatalogRecord, folder: Path, dtype: torch.dtype) -> Any:
    net, seen = load_controlnet(folder, dtype), record.condition
    channels = net.config.conditioning_in_channels
    if seen is not None and channels not in (len(seen.bands), len(seen.bands) * seen.images):
        raise ModelError(
            f"The ControlNet in {folder} reads {channels} channels, and the record of {record.name} lists {len(seen.bands)}; correct it."
        )
    return net


def _add_adapter(unet: Any, path: Path) -> None:
    if not path.is_file() or path.suffix != ".safetensors":
        raise ModelError(f"The adapter {path.name} must be a safetensors file that exists.")
    name, file = f"adapter{len(getattr(unet, 'peft_config', {}))}", path.resolve()
    try:
        # Offline, older diffusers (0.38) wants the file's name by itself, even where the file is given.
        unet.load_lora_adapter(str(file.parent), weight_name=file.name, prefix=None, adapter_name=name, use_safetensors=True)
    except (ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"The adapter {path.name} does not fit the model; train one for it.") from error


def _compile(pipeline: Pipeline) -> None:
    if pipeline.device.type == "cpu" and not any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl")):
        warnings.warn("torch.compile needs a C++ compiler and there is none; the model runs uncompiled.", RsgeoWarning, stacklevel=3)
        return
    for name in ("unet", "guide", "controlnet", "base_unet", "sr_unet"):
        network = getattr(pipeline, name, None)
        if network is not None:
            network.compile()
