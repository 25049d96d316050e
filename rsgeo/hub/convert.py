"""Models in the layout of this project, which diffusers reads too: safetensors, own class names, one UNet, a record."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from rsgeo.errors import InputError, OutputError
from rsgeo.hub import catalog, registry
from rsgeo.hub.convert_rsdiff import read_text_encoder
from rsgeo.hub.load import load_pipeline
from rsgeo.hub.records import CatalogRecord
from rsgeo.models.loading import without_progress_bar
from rsgeo.pipelines.rsdiff_pipeline import RSDiffPipeline


def convert(
    name_or_path: str, out: Path, *, base: str | None = None, checkpoint: str | None = None, dtype: str = "fp32", text_encoder: Path | None = None
) -> CatalogRecord:
    """Write the model of a name, folder or ZIP to the new folder ``out``; networks in ``dtype``, codec and text encoder in fp32.

    A ControlNet that works with another model's UNet is written alone, with that model as the base in its record. A cascade may be given the
    ``text_encoder`` that it was trained with: a folder of the T5 encoder and its tokenizer.

    Raises:
        InputError: there is something at ``out``, or a text encoder is given to another model than a cascade.
        ModelError: as `rsgeo.hub.load.load_pipeline`.
        OutputError: ``out`` cannot be written.
    """
    if out.exists():
        raise InputError(f"There is something at {out}; choose another name for the folder.")
    pipeline = load_pipeline(name_or_path, base, checkpoint, device="cpu", dtype=dtype)
    record = catalog.find(name_or_path, base=base)
    if text_encoder is not None:
        if not isinstance(pipeline, RSDiffPipeline):
            raise InputError(f"{record.name} is no cascade and has a text encoder; leave --text-encoder out.")
        encoder, tokenizer = read_text_encoder(text_encoder, {"base": pipeline.base_unet, "sr": pipeline.sr_unet})
        pipeline.register_modules(text_encoder=encoder, tokenizer=tokenizer)
    part = out.with_name(f".{out.name[:32]}.{uuid.uuid4().hex[:8]}.part")
    try:
        part.mkdir()
        if record.base is None:
            with without_progress_bar():
                pipeline.save_pretrained(part, safe_serialization=True)
        else:
            pipeline.controlnet.save_pretrained(part / "controlnet", safe_serialization=True)
        # One UNet is written, so that no checkpoint is left to be named, and files of its own, which no archive pins.
        written = record.model_copy(update={"checkpoint": None, "archive": None, "files": None, "folder": part, "default_for": ()})
        registry.write_record(written.model_copy(update={"sha256": catalog.files_sha256(written)}), part)
        part.rename(out)
    except OSError as error:
        raise OutputError(f"{out} cannot be written ({error.strerror or error}); choose another place.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return catalog.find(str(out))
