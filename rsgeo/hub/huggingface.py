"""Models of the Hugging Face hub, in the cache that its own library keeps; the network is used only when that is asked for."""

from __future__ import annotations

import re
from pathlib import Path

from rsgeo.errors import ModelError
from rsgeo.hub.layout import PARTS

_ID = re.compile(r"[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95}", re.ASCII)
_WANTED = ["meta.json", "model_index.json", *(f"{part}/*" for part in PARTS), "checkpoint-*/unet/*"]
_UNUSED = ["*.fp16.*", "*.non_ema.*", "*.ckpt", "*.msgpack", "*.onnx", "*.h5", "*.xml"]


def is_id(text: str) -> bool:
    """Whether a text may be a model's id on the hub: owner/name."""
    return _ID.fullmatch(text) is not None


def folder_of(model_id: str, *, download: bool) -> Path:
    """The local snapshot of a model of the hub.

    Raises:
        ModelError: it is not in the local cache, or with ``download`` cannot be had.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model_id, allow_patterns=_WANTED, ignore_patterns=_UNUSED, local_files_only=not download))
    except LocalEntryNotFoundError as error:
        if download:
            raise ModelError(f"{model_id} cannot be had from the Hugging Face hub; look at the connection and try again.") from error
        words = f"{model_id} is neither a folder here nor in the local cache of the Hugging Face hub"
        raise ModelError(f"{words}; rsgeo models fetch {model_id} (in Python download=True) gets it from there.") from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ModelError(
            f"{model_id} cannot be had from the Hugging Face hub ({type(error).__name__}); look at the name and the connection."
        ) from error
