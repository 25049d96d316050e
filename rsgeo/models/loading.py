"""Strict loading of a module's folder: what is missing, left over or misshapen is an error that names it, never a line in a log."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from rsgeo.errors import ModelError
from rsgeo.models.control_trunk import ControlTrunk
from rsgeo.models.sat_controlnet import SatControlNet
from rsgeo.models.sat_controlnet3d import SatControlNet3D
from rsgeo.models.sat_unet import SatUNet

Module = TypeVar("Module", bound=torch.nn.Module)

_WEIGHTS = "diffusion_pytorch_model"
_NAMED = 4
_CONTROLNETS: dict[str, type[SatControlNet] | type[SatControlNet3D]] = {
    "SatControlNet": SatControlNet,
    "SatControlNet3D": SatControlNet3D,
    "ControlNetModel": SatControlNet,
    "ControlNetModel3D": SatControlNet3D,
}


def load_module(cls: type[Module], folder: str | Path, dtype: torch.dtype = torch.float32) -> Module:
    """The module of ``folder`` (config.json and .safetensors or .bin weights), in evaluation mode, its floating-point weights in ``dtype``.

    ``cls`` is a diffusers or a transformers class. A `SatUNet` or ControlNet whose configuration does not say whether it has metadata is decided from
    its weights. Weights are read as data only: nothing pickled is executed.

    Raises:
        ModelError: a file is missing or broken, or weights and configuration do not fit; the message names the weights.
    """
    folder = Path(folder)
    if issubclass(cls, PreTrainedModel):
        return _load_transformers(cls, folder, dtype)
    config, weights = _read_config(folder), read_weights(folder)
    if issubclass(cls, (SatUNet, ControlTrunk)):
        config = {**metadata_settings(weights), **config}
    try:
        with init_empty_weights():
            module = cls.from_config(config)  # type: ignore[attr-defined]
        module._fix_state_dict_keys_on_load(weights)
    except (TypeError, ValueError, KeyError, NotImplementedError) as error:
        raise ModelError(f"{folder / 'config.json'} is no configuration of {cls.__name__} ({error}); fetch the model again.") from error
    fill(module, weights, dtype, folder)
    return module.eval()  # type: ignore[no-any-return]


def load_controlnet(folder: str | Path, dtype: torch.dtype = torch.float32) -> SatControlNet | SatControlNet3D:
    """The ControlNet of ``folder`` as its configuration names it, in DiffusionSat's word or in rsgeo's; otherwise as `load_module`.

    Raises:
        ModelError: as `load_module`, or the configuration names another class.
    """
    name = _read_config(Path(folder)).get("_class_name")
    if name not in _CONTROLNETS:
        raise ModelError(f"{Path(folder) / 'config.json'} names {name} where one of {', '.join(_CONTROLNETS)} is needed; name a ControlNet's folder.")
    return load_module(_CONTROLNETS[name], folder, dtype)


def fill(module: torch.nn.Module, weights: Mapping[str, torch.Tensor], dtype: torch.dtype, where: str | Path) -> None:
    """Give a module, which may be on the meta device, its weights; floating-point ones in ``dtype``. ``where`` they are from is for messages.

    Raises:
        ModelError: weights are missing, left over or misshapen; the message names them.
    """
    expected = module.state_dict()
    misshapen = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    _require_fit(type(module), where, expected.keys() - weights.keys(), weights.keys() - expected.keys(), misshapen)
    module.load_state_dict({k: v.to(dtype) if v.is_floating_point() else v for k, v in weights.items()}, assign=True)


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The state dict of a diffusers module's folder, from safetensors if there is one, else from a .bin read as data only.

    Raises:
        ModelError: there is none, or it is broken.
    """
    safe, pickled = folder / f"{_WEIGHTS}.safetensors", folder / f"{_WEIGHTS}.bin"
    if not safe.is_file() and not pickled.is_file():
        raise ModelError(f"{folder} holds neither {safe.name} nor {pickled.name}; fetch the model again or name its folder.")
    file = safe if safe.is_file() else pickled
    try:
        weights = load_file(safe) if file is safe else torch.load(pickled, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise ModelError(f"{file} is broken or holds more than weights; fetch the model again.") from error
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ModelError(f"{file} holds no plain table of weights; fetch the model again.")
    return weights


def metadata_settings(weights: Iterable[str]) -> dict[str, Any]:
    """``use_metadata`` and ``num_metadata`` of a `SatUNet` or ControlNet, told from the names of its weights."""
    fields = {name.split(".")[1] for name in weights if name.startswith("metadata_embedding.")}
    return {"use_metadata": bool(fields), "num_metadata": len(fields)}


@contextmanager
def without_progress_bar() -> Iterator[None]:
    """Keeps the bars of transformers from standing amid whatever the caller prints."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def _read_config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} is missing or no JSON; fetch the model again or name its folder.") from error
    if not isinstance(config, dict):
        raise ModelError(f"{file} is no configuration; fetch the model again.")
    return config


def _load_transformers(cls: type[Module], folder: Path, dtype: torch.dtype) -> Module:
    _read_config(folder)
    try:
        with without_progress_bar():
            module, report = cls.from_pretrained(  # type: ignore[attr-defined]
                folder, dtype=dtype, local_files_only=True, output_loading_info=True, ignore_mismatched_sizes=True
            )
    except (OSError, ValueError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        raise ModelError(f"{folder} cannot be loaded as {cls.__name__} ({error}); fetch the model again.") from error
    misshapen = [f"{name} {tuple(there)} instead of {tuple(expected)}" for name, there, expected in report["mismatched_keys"]]
    _require_fit(cls, folder, report["missing_keys"], report["unexpected_keys"], misshapen)
    return module.eval()  # type: ignore[no-any-return]


def _require_fit(cls: type, folder: str | Path, missing: Iterable[str], unexpected: Iterable[str], misshapen: Iterable[str]) -> None:
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": misshapen}
    faults = [f"{kind}: {_names(sorted(names))}" for kind, names in kinds.items() if names]
    if faults:
        raise ModelError(f"The weights in {folder} do not fit {cls.__name__} ({'; '.join(faults)}); use the files of one model.")


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
