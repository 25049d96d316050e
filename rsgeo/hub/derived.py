"""A record for a model folder that has none, told from its configuration files; what they do not say is taken to be as DiffusionSat's models are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rsgeo.errors import ModelError
from rsgeo.hub.layout import INDEX, STAGES, Layout
from rsgeo.hub.records import NOT_OF_THE_BASE, CatalogRecord, Condition, Defaults, LogSNRSchedule, Schedule, Stage

LICENCE = "unknown; ask whoever published the weights (those that derive from Stable Diffusion 2.1 fall under its CreativeML Open RAIL++-M licence)"

CASCADE_LICENCE = "unknown; ask whoever published the weights"

FMOW_BANDS = ("B04", "B03", "B02", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
"""Sentinel-2 bands in the order of fMoW super-resolution (DiffusionSat's data loader: colours swapped, B01, B09 and B10 dropped)."""

_COLOURS = ("red", "green", "blue")
_LARGEST_CONFIG = 1_000_000
_BYTES_A_WINDOW = 400  # for each cell and channel of the first block: what two halves of guidance take in fp32, about
_FEW_STEPS, _START_TIME, _LOWRES_NOISE_LEVEL, _GUIDANCE = 25, 0.99, 0.2, 4.0
_START_TIME_OF_OTHERS = 0.998
_OF_THE_ORIGINAL, _SOLVER = "ancestral", "dpmsolver++"
_BATCH_PIXELS = 2**16


def single(layout: Layout, name: str) -> CatalogRecord:
    """The record of a text-to-image model, whose layout has a UNet, a codec and a scheduler.

    Raises:
        ModelError: a configuration is missing, or not one of a model that can be run.
    """
    unet, vae, scheduler = (_config(layout, part) for part in ("unet", "vae", "scheduler"))
    try:
        local = "patch_size" in vae
        tile, scale = int(unet["sample_size"]), int(vae["patch_size"]) if local else 2 ** (len(vae["block_out_channels"]) - 1)
        # Plain UNets of Stable Diffusion have no metadata; DiffusionSat's class has them unless its configuration denies it.
        reads = unet.get("use_metadata", unet.get("_class_name") == "SatUNet")
        return CatalogRecord(
            name=name,
            family="latent",
            title=f"model folder {name}",
            licence=LICENCE,
            tile=tile,
            scale=scale,
            channels=int(unet["in_channels"]),
            decoder_tile=None if local else tile,
            decoder_stride=None if local else tile * 3 // 4,
            window_bytes=_BYTES_A_WINDOW * tile**2 * int(unet["block_out_channels"][0]),
            gsd_native=1.0,
            gsd_min=0.3,
            gsd_max=5.0,
            encoding=unet.get("metadata_encoding", "sinusoid"),
            trained_fields=("place", "gsd", "date", "cloud_cover") if reads else (),
            schedule=Schedule(
                beta_schedule=scheduler["beta_schedule"],
                beta_start=scheduler["beta_start"],
                beta_end=scheduler["beta_end"],
                num_train_timesteps=scheduler.get("num_train_timesteps", 1000),
                rescale_zero_snr=scheduler.get("rescale_betas_zero_snr", False),
            ),
            defaults=Defaults(scheduler="ddim", num_inference_steps=50, guidance_scale=7.5, batch_size=4),
        )
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise ModelError(
            f"The configurations in {layout.root} are not those of a latent diffusion model ({_word(error)}); name another folder."
        ) from error


def cascade(layout: Layout, name: str) -> CatalogRecord:
    """The record of a cascade of pixels, of which one stage may be missing. What its training images' GSD was, no file of it says.

    Its solver is the folder's own, or one for few steps where that is the original's, for many. Without a base stage, or where a pixel of one stage
    is no whole number of the next one's, it covers no areas.

    Raises:
        ModelError: a configuration is missing, or not one of a cascade.
    """
    there, scheduler = [stage for stage in STAGES if stage in layout.parts], _config(layout, "scheduler")
    try:
        sides = [int(_config(layout, stage)["sample_size"]) for stage in there]
        widths = [int(_config(layout, stage)["dim"]) for stage in there]
        nests = there[0] == STAGES[0] and all(sides[-1] % side == 0 for side in sides) and sides == sorted(set(sides))
        stages = [Stage(tile=side, gsd_factor=sides[-1] // side) for side in sides] if nests else [Stage(tile=sides[-1], gsd_factor=1)]
        # At time 1, where the original begins, a network that predicts noise says nothing of the clean picture, and others little.
        usual = _START_TIME if scheduler.get("prediction_type", "epsilon") == "epsilon" else _START_TIME_OF_OTHERS
        start_time, solver = float(scheduler.get("start_time", 1.0)), str(scheduler.get("algorithm_type", _OF_THE_ORIGINAL))
        index = layout.root / INDEX
        lowres_noise_level = float((read_json(index) if index.is_file() else {}).get("lowres_noise_level", _LOWRES_NOISE_LEVEL))
        return CatalogRecord(
            name=name,
            family="cascade",
            title=f"cascade folder {name}",
            licence=CASCADE_LICENCE,
            tasks=("generate",) if nests else (),
            tile=sides[-1],
            scale=1,
            channels=3,
            stages=tuple(stages),
            window_bytes=max(_BYTES_A_WINDOW * side**2 * width for side, width in zip(sides, widths, strict=True)),
            trained_fields=(),
            schedule=LogSNRSchedule(
                log_snr=scheduler["schedule"], start_time=start_time if start_time < 1 else usual, lowres_noise_level=lowres_noise_level
            ),
            defaults=Defaults(
                scheduler=_SOLVER if solver == _OF_THE_ORIGINAL else solver,
                num_inference_steps=_FEW_STEPS,
                guidance_scale=_GUIDANCE,
                batch_size=max(1, min(16, _BATCH_PIXELS // sides[-1] ** 2)),
            ),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError, ValidationError) as error:
        raise ModelError(
            f"The configurations in {layout.root} are not those of a cascade of pixels ({_word(error)}); name another folder."
        ) from error


def controlnet(layout: Layout, name: str, base: CatalogRecord) -> CatalogRecord:
    """The record of a ControlNet beside the UNet of ``base``.

    Raises:
        ModelError: its configuration is missing or no ControlNet's.
    """
    config = _config(layout, "controlnet")
    try:
        channels, series = int(config["conditioning_in_channels"]), str(config["_class_name"]).endswith("3D")
        condition = _condition(channels, series, int(config.get("conditioning_scale", 1)), config.get("metadata_encoding", "sinusoid"))
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise ModelError(f"{layout.root / 'controlnet'} holds no configuration of a ControlNet ({_word(error)}); name another folder.") from error
    tasks = ("predict",) if series else ("inpaint", "extend") if "known" in condition.bands else ("superres",)
    own = {"name": name, "title": f"ControlNet folder {name}", "licence": LICENCE, "base": base.address, "tasks": tasks, "condition": condition}
    return CatalogRecord.model_validate({**base.model_dump(exclude=set(NOT_OF_THE_BASE)), **own})


def _condition(channels: int, series: bool, scale: int, encoding: str) -> Condition:
    if series:
        return Condition(bands=_bands(channels), images=3, series=True, metadata="own")
    if channels == len(FMOW_BANDS):
        return Condition(bands=FMOW_BANDS, scale=scale, metadata="target", gsd=10.0, radiometry="fmow-sentinel2")
    return Condition(bands=_bands(channels), scale=scale, metadata="none" if encoding == "rsgeo" else "target")


def _bands(channels: int) -> tuple[str, ...]:
    if channels in (3, 4):
        return (*_COLOURS, "known")[:channels]
    return tuple(f"band {number}" for number in range(1, channels + 1))


def _config(layout: Layout, part: str) -> dict[str, Any]:
    if part not in layout.parts:
        raise ModelError(f"{layout.root} holds no {part}/; give the whole folder of a model, or say which model it goes with.")
    file = layout.parts[part] / ("scheduler_config.json" if part == "scheduler" else "config.json")
    return read_json(file)


def read_json(file: Path) -> dict[str, Any]:
    """The object in a configuration file. Raises ModelError where there is none."""
    try:
        if file.stat().st_size > _LARGEST_CONFIG:
            raise ModelError(f"{file} is too large to be a configuration.")
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{file} is missing or no JSON; fetch the model again or name its folder.") from error
    if not isinstance(values, dict):
        raise ModelError(f"{file} is no configuration; fetch the model again.")
    return values


def _word(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0]}"
