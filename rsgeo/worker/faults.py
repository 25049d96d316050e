"""Whatever can go wrong, as an `Error` event: a code for programs, a sentence and a hint for people."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator

from rsgeo.errors import RsgeoError
from rsgeo.worker.events import Error

_FULL = (errno.ENOSPC, errno.EDQUOT)

HINTS = {
    "bad_request": "Correct the value that is named and run again.",
    "unsupported_protocol": "Update rsgeo, or the program that asks it, so that both speak the same protocol.",
    "aoi_invalid": "Draw or choose a polygon that is larger than a pixel, or an extent.",
    "aoi_too_large": "Choose a smaller area or a coarser GSD.",
    "crs_unsupported": "Choose a coordinate system with an EPSG code that covers the area.",
    "no_reference": "Give the layer a coordinate system and a place on the Earth.",
    "weights_missing": "Choose another model, or install rsgeo again.",
    "torch_missing": "Install rsgeo with all it needs into this Python, or choose another Python.",
    "device_unavailable": "Choose the device auto or cpu.",
    "out_of_memory": "Choose a smaller batch size, a smaller area or the device cpu, or close other programs.",
    "no_space": "Free space on the disk, or write to another one.",
    "write_failed": "Choose another place or name for the output.",
    "internal": "This is a fault of rsgeo: please report it with the log.",
}


def error(id: str | None, failure: BaseException) -> Error:
    """What is said of a failure."""
    code, message = _told(failure)
    return Error(id=id, code=code, message=message, hint=HINTS[code])


def unsupported(protocol: int, known: int) -> Error:
    """What is said to a program of another protocol."""
    message = f"The program speaks protocol {protocol}, this rsgeo speaks {known}."
    hint = "Update rsgeo." if protocol > known else "Update the program that asks rsgeo."
    return Error(id=None, code="unsupported_protocol", message=message, hint=hint)


def _told(failure: BaseException) -> tuple[str, str]:
    if any(isinstance(cause, OSError) and cause.errno in _FULL for cause in _causes(failure)):
        return "no_space", str(failure) if isinstance(failure, RsgeoError) else "The disk is full."
    if isinstance(failure, RsgeoError):
        return failure.code, str(failure)
    if _is_memory(failure):
        return "out_of_memory", "There is not enough memory."
    if isinstance(failure, ModuleNotFoundError):
        return "torch_missing", f"The package {failure.name} is missing in {sys.executable}."
    return "internal", f"rsgeo failed ({type(failure).__name__}: {failure})."


def _causes(failure: BaseException | None) -> Iterator[BaseException]:
    while failure is not None:
        yield failure
        failure = failure.__cause__


def _is_memory(failure: BaseException) -> bool:
    """torch has an error of its own for a GPU's memory, and none for a CPU's."""
    torch = sys.modules.get("torch")
    of_gpu = torch is not None and isinstance(failure, torch.OutOfMemoryError)
    return of_gpu or isinstance(failure, MemoryError) or (isinstance(failure, RuntimeError) and "allocate memory" in str(failure))
