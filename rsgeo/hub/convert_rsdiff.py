"""RSDiff's training checkpoints to an `RSDiffPipeline` in diffusers' layout.

A checkpoint is what imagen-pytorch 2.x writes: ``model`` (weights of both stages), ``ema`` (averaged ones beside them), ``version`` and the state of
the optimisers, but no configuration. The layouts are those of training runs, and of what is stripped from them or merged; other files are refused.
"""

from __future__ import annotations

import json
import pickle
import re
import shutil
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import init_empty_weights
from transformers import PreTrainedTokenizerFast, T5EncoderModel

from rsgeo.errors import InputError, ModelError, OutputError
from rsgeo.hub import catalog, registry
from rsgeo.hub.devices import pick_dtype
from rsgeo.models.loading import fill, load_module
from rsgeo.models.log_snr_scheduler import LogSNRScheduler
from rsgeo.models.rsdiff_configurations import CONFIGURATIONS
from rsgeo.models.rsdiff_unet import RSDiffUNet
from rsgeo.pipelines.rsdiff_pipeline import RSDiffPipeline

Which = Literal["ema", "online"]
Weights = dict[str, torch.Tensor]

STAGES = ("base", "sr")

_MOST_LEVELS = 16
_ORTHOGONAL_SINCE = (2, 1, 0)
_FORBIDDEN = re.compile(r"GLOBAL ([\w.]+)|Unsupported (?:class|global)[^\w]*([\w.]+)")


@dataclass(frozen=True)
class Converted:
    """What was written to ``folder``: the configuration of each stage, and what the checkpoint said of itself.

    ``weights`` are the averaged ("ema") or the last ones ("online"), ``guidance_rule`` is that of the library's version, ``steps`` are the updates
    of each stage.
    """

    folder: Path
    stages: Mapping[str, Mapping[str, Any]]
    weights: Which
    version: str
    guidance_rule: str
    steps: tuple[int, ...]


def convert_rsdiff(
    checkpoint: Path,
    out: Path,
    *,
    base: Path | None = None,
    weights: Which = "ema",
    config: Mapping[str, Mapping[str, Any]] | None = None,
    text_encoder: Path | None = None,
    dtype: str = "fp32",
) -> Converted:
    """Write the cascade of a training checkpoint to the new folder ``out``, from which `RSDiffPipeline.from_pretrained` reads it.

    A file of the name and the sizes of a published one takes over what its record says, its licence among that.

    Args:
        checkpoint: a file with both stages, the base stage alone, or, with ``base``, the super-resolution stage alone.
        base: the file of the base run, from which the first stage is taken.
        weights: "ema", as the original samples, or "online", the last ones of training.
        config: settings of `RSDiffUNet` by stage ("base", "sr") that override what is told from the weights. Needed for ``sample_size`` where a stage
            is none of `CONFIGURATIONS`, because no weight tells it.
        text_encoder: a folder of the T5 encoder that the cascade was trained with (t5-base), with its tokenizer; without it the pipeline takes
            embeddings only.
        dtype: numbers that the stages are stored in, "fp32", "bf16" or "fp16".

    Raises:
        InputError: there is something at ``out``, or a setting of ``config`` is none.
        ModelError: a file is none of the layouts, holds more than numbers (nothing of it is run), lacks the weights that are asked for, or leaves
            its configuration open.
        OutputError: ``out`` cannot be written.
    """
    if out.exists():
        raise InputError(f"There is something at {out}; choose another name for the folder.")
    files = {"checkpoint": read_checkpoint(checkpoint)}
    if base is not None:
        files["base"] = read_checkpoint(base)
    of_stage = _stages(files["checkpoint"], files.get("base"), checkpoint, base, weights)
    version = _version(files["checkpoint"], checkpoint)
    overrides = _overrides(config or {}, of_stage)
    number_type = pick_dtype(dtype, torch.device("cpu"))
    unets = {stage: _unet(stage, found, overrides.get(stage, {}), number_type, checkpoint) for stage, found in of_stage.items()}
    rule = "orthogonal" if version >= _ORTHOGONAL_SINCE else "classic"
    encoder, tokenizer = (None, None) if text_encoder is None else read_text_encoder(text_encoder, unets)
    pipeline = RSDiffPipeline(
        unets.get("base"),
        unets.get("sr"),
        LogSNRScheduler(),
        LogSNRScheduler("linear"),
        text_encoder=encoder,
        tokenizer=tokenizer,
        guidance_rule=rule,
    )
    _save(pipeline, out, checkpoint)
    settings = {stage: {key: value for key, value in unet.config.items() if not key.startswith("_")} for stage, unet in unets.items()}
    return Converted(out, settings, weights, ".".join(map(str, version)), rule, _steps(files["checkpoint"]))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint as data: tensors, numbers and names; nothing pickled in it is executed.

    Raises:
        ModelError: there is no such file, it is damaged, or it holds anything else, which the message names.
    """
    if not path.is_file():
        raise ModelError(f"There is no file {path}; name a checkpoint of RSDiff (.pt).")
    try:
        mapped = zipfile.is_zipfile(path)
        if mapped:
            with zipfile.ZipFile(path) as archive:
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise ModelError(f"{path} is compressed inside, as no checkpoint of torch is; fetch it again.")
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        named = _FORBIDDEN.search(str(error))
        if named is None:
            raise ModelError(f"{path} is damaged or no checkpoint of torch; fetch it again.") from error
        words = f"{path} asks to run {named[1] or named[2]}, which is no part of a checkpoint"
        raise ModelError(f"{words}; it is refused, and nothing of it was run.") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is damaged or no checkpoint of torch; fetch it again.") from error
    if not isinstance(found, dict) or not any(isinstance(found.get(key), Mapping) and found[key] for key in ("model", "ema")):
        raise ModelError(f"{path} is no training checkpoint of RSDiff: it has neither 'model' nor 'ema'.")
    return found


def configuration_of(weights: Mapping[str, torch.Tensor], where: str | Path) -> dict[str, Any]:
    """The settings of `RSDiffUNet` that the names and shapes of weights tell: all but ``sample_size``, which a published configuration tells.

    Raises:
        ModelError: weights are missing that every such network has, or their shapes contradict each other.
    """
    if any(".groupnorm." in name for name in weights):
        raise ModelError(f"{where} was written by imagen-pytorch 1.x, whose network has another norm; use a checkpoint of version 2.")

    def shape(name: str, axes: int) -> tuple[int, ...]:
        tensor = weights.get(name)
        if tensor is None or tensor.ndim != axes:
            raise ModelError(f"{where} holds no weights of an RSDiff network: {name} is missing or misshapen.")
        return tuple(tensor.shape)

    def count(prefix: str) -> int:
        """How many parts are numbered after ``prefix``."""
        return len({name[len(prefix) :].partition(".")[0] for name in weights if name.startswith(prefix)})

    levels = count("downs.")
    if not 1 <= levels <= _MOST_LEVELS:
        raise ModelError(f"{where} holds no weights of an RSDiff network: it has {levels} levels.")
    dim = sum(shape(f"init_conv.convs.{number}.weight", 4)[0] for number in range(3))
    channels, last = shape("final_conv.weight", 4)[:2]
    lowres = any(name.startswith("to_lowres_time_hiddens.") for name in weights)
    following = [shape(f"downs.{level}.4.{'fns.0' if level == levels - 1 else '1'}.weight", 4)[0] for level in range(levels)]
    text_heads, dim_head = shape("attn_pool.layers.0.0.to_q.weight", 2)[0], shape("attn_pool.layers.0.0.q_scale", 1)[0]
    if any(width % dim for width in following) or text_heads % dim_head or last != dim + (channels if lowres else 0):
        raise ModelError(f"{where} contradicts itself: the widths {following} and {last} are none of a network {dim} wide; give --config.")
    told: dict[str, Any] = {
        "dim": dim,
        "cond_dim": shape("norm_cond.weight", 1)[0],
        "dim_mults": [width // dim for width in following],
        "num_resnet_blocks": [count(f"downs.{level}.2.") for level in range(levels)],
        "layer_attns": [count(f"downs.{level}.3.layers.") > 0 for level in range(levels)],
        "layer_cross_attns": [count(f"downs.{level}.1.cross_attn.") > 0 for level in range(levels)],
        "attn_heads": text_heads // dim_head,
        "attn_dim_head": dim_head,
        "text_embed_dim": shape("text_to_cond.weight", 2)[1],
        "max_text_len": shape("null_text_embed", 3)[1],
        "attn_pool_num_latents": shape("attn_pool.latents", 2)[0],
        "channels": channels,
        "lowres_cond": lowres,
    }
    sides = {known["sample_size"] for known in CONFIGURATIONS.values() if _settled(known, levels) == told}
    return {**told, "sample_size": sides.pop()} if len(sides) == 1 else told


def _settled(known: Mapping[str, Any], levels: int) -> dict[str, Any]:
    """A published configuration with its defaults, in the form of `configuration_of`."""
    with init_empty_weights():
        whole = {key: value for key, value in RSDiffUNet(**known).config.items() if not key.startswith("_")}
    blocks = whole["num_resnet_blocks"]
    whole["num_resnet_blocks"] = [blocks] * levels if isinstance(blocks, int) else blocks
    return {key: list(value) if isinstance(value, list | tuple) else value for key, value in whole.items() if key != "sample_size"}


def _stages(found: dict[str, Any], of_base: dict[str, Any] | None, checkpoint: Path, base: Path | None, which: Which) -> dict[str, Weights]:
    """The weights of each stage; the base's from its own file where there is one."""
    stages = {stage: part for number, stage in enumerate(STAGES) if (part := _weights(found, number, which, checkpoint))}
    if of_base is None:
        if "base" not in stages:
            raise ModelError(f"{checkpoint} holds the super-resolution stage only; give the file of the base run with --base.")
        return stages
    if "base" in stages:
        raise ModelError(f"{checkpoint} holds a base stage already; leave out --base, or give a file without one.")
    own = _weights(of_base, 0, which, base)
    if not own:
        raise ModelError(f"{base} holds no base stage; --base takes the file of the base run.")
    return {"base": own, **stages}


def _weights(found: dict[str, Any], number: int, which: Which, path: Path | None) -> Weights:
    """One stage's weights, of the averaged or the last ones; none where the file does not have the stage."""
    online = _under(found, "model", f"unets.{number}.") or _under(found, "ema", f"{number}.online_model.")
    averaged = _under(found, "ema", f"{number}.ema_model.")
    chosen = averaged if which == "ema" else online
    if not chosen and (averaged or online):
        kind, other = ("averaged (ema)", "online") if which == "ema" else ("online", "ema")
        raise ModelError(f"{path} holds no {kind} weights of the {STAGES[number]} stage, from which the original samples; say --weights {other}.")
    for name, tensor in chosen.items():
        if not _is_plain(tensor):
            raise ModelError(f"{path} holds {name}, which is no plain table of numbers; fetch the file again.")
    return chosen


def _under(found: dict[str, Any], table: str, prefix: str) -> dict[str, Any]:
    entries = found.get(table)
    if not isinstance(entries, Mapping):
        return {}
    return {name[len(prefix) :]: value for name, value in entries.items() if isinstance(name, str) and name.startswith(prefix)}


def _is_plain(tensor: Any) -> bool:
    """Whether a value is a dense tensor of floating-point numbers that all lie in the file: none is spread from a few."""
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided or tensor.device.type != "cpu" or not tensor.is_floating_point():
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _version(found: dict[str, Any], path: Path) -> tuple[int, ...]:
    """The library's version, which says by what rule guidance was meant."""
    text = found.get("version")
    match = re.match(r"(\d{1,4})\.(\d{1,4})\.(\d{1,4})", text) if isinstance(text, str) else None
    if match is None:
        raise ModelError(
            f"{path} does not say which version of imagen-pytorch wrote it, so its guidance is unknown; use the file as it was published."
        )
    return tuple(int(part) for part in match.groups())


def _steps(found: dict[str, Any]) -> tuple[int, ...]:
    steps = found.get("steps")
    return tuple(int(step) for step in steps.flatten()[: len(STAGES)]) if isinstance(steps, torch.Tensor) else ()


def _overrides(config: Mapping[str, Mapping[str, Any]], stages: Mapping[str, Weights]) -> Mapping[str, Mapping[str, Any]]:
    for stage, settings in config.items():
        if stage not in stages:
            raise InputError(f"The configuration speaks of a stage {stage!r}; the checkpoint has {', '.join(stages)}.")
        if not isinstance(settings, Mapping):
            raise InputError(f"The configuration of the stage {stage!r} must be settings by name.")
        if unknown := sorted(settings.keys() - _SETTINGS):
            raise InputError(f"The network has no setting {unknown[0]!r}; it has {', '.join(sorted(_SETTINGS))}.")
    return config


_SETTINGS = {*CONFIGURATIONS["rsdiff1.5-sr"], "attn_heads", "attn_dim_head", "text_embed_dim", "max_text_len", "attn_pool_num_latents", "channels"}


def read_config(path: Path) -> dict[str, dict[str, Any]]:
    """Settings by stage from a JSON file, for ``config``. Raises InputError if it is none."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f'{path} is missing or no JSON; it holds settings by stage, such as {{"base": {{"sample_size": 64}}}}.') from error
    if not isinstance(config, dict):
        raise InputError(f'{path} must hold settings by stage, such as {{"base": {{"sample_size": 64}}}}.')
    return config


def _unet(stage: str, weights: Weights, overrides: Mapping[str, Any], dtype: torch.dtype, where: Path) -> RSDiffUNet:
    settings = {**configuration_of(weights, where), **overrides}
    if "sample_size" not in settings:
        words = f"The {stage} stage of {where} is none of {', '.join(CONFIGURATIONS)}, and no weight tells the size of its images"
        raise ModelError(f'{words}; give it with --config, as {{"{stage}": {{"sample_size": 64}}}}.')
    if settings["lowres_cond"] != (stage == "sr"):
        reads = "reads a low-resolution image" if settings["lowres_cond"] else "reads no low-resolution image"
        raise ModelError(f"The {stage} stage of {where} {reads}, as the other stage should; give the files in their places.")
    try:
        with init_empty_weights():
            unet: RSDiffUNet = RSDiffUNet(**settings)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"The settings of the {stage} stage are those of no network ({error}); correct --config.") from error
    fill(unet, weights, dtype, where)
    unet.eval()
    return unet


def read_text_encoder(folder: Path, unets: Mapping[str, RSDiffUNet | None]) -> tuple[Any, Any]:
    """The T5 encoder and tokenizer in a folder, for the networks of the stages by their names. Raises ModelError where they do not fit."""
    encoder = load_module(T5EncoderModel, folder)
    for stage, unet in unets.items():
        if unet is not None and unet.config.text_embed_dim != encoder.config.d_model:
            raise ModelError(f"The text encoder in {folder} is {encoder.config.d_model} wide, the {stage} stage reads {unet.config.text_embed_dim}.")
    try:
        return encoder, PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{folder} holds no tokenizer (tokenizer.json) for its text encoder; fetch the model again.") from error


def _save(pipeline: RSDiffPipeline, out: Path, checkpoint: Path) -> None:
    part = out.with_name(f".{out.name[:32]}.{uuid.uuid4().hex[:8]}.part")
    try:
        part.mkdir()
        pipeline.save_pretrained(part, safe_serialization=True)
        published = catalog.of_archive(checkpoint.name)
        sides = [unet.config.sample_size for unet in (pipeline.base_unet, pipeline.sr_unet) if unet is not None]
        if published is not None and [stage.tile for stage in published.stages] == sides:
            written = published.model_copy(update={"archive": None, "files": None, "folder": part, "default_for": ()})
            registry.write_record(written.model_copy(update={"sha256": catalog.files_sha256(written)}), part)
        part.rename(out)
    except OSError as error:
        raise OutputError(f"{out} cannot be written ({error.strerror or error}); choose another place.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
