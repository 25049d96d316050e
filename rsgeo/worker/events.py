"""What a worker says: protocol version 1, one JSON object a line.

Every operation with an ``id`` is ended by exactly one of `Result`, `Cancelled` and `Error`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from rsgeo.request import Request
from rsgeo.worker.messages import MOST_LINE_BYTES, PROTOCOL

_MOST_REQUEST_BYTES = MOST_LINE_BYTES // 2

Stage = Literal["load", "sample", "decode", "write"]


class Event(BaseModel):
    """Anything said."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Hello(Event):
    """The first line, before anything that takes time."""

    event: Literal["hello"] = "hello"
    protocols: tuple[int, ...] = (PROTOCOL,)
    rsgeo: str
    python: str
    pid: int


class Ready(Event):
    """The answer to a good `Init`; ``operations`` are the tasks and what else can be asked for a file."""

    event: Literal["ready"] = "ready"
    protocol: int = PROTOCOL
    operations: tuple[str, ...]


class Progress(Event):
    """How far a run is; ``eta_s`` is what the stage will still take, null while that cannot be told."""

    event: Literal["progress"] = "progress"
    id: str
    stage: Stage
    done: int
    total: int
    eta_s: float | None = None


class Log(Event):
    """A sentence for the user."""

    event: Literal["log"] = "log"
    id: str
    level: Literal["info", "warning"]
    message: str


class Heartbeat(Event):
    """The process lives: ``t`` is seconds since its start, ``rss_mb`` its memory in MB (null where that is not known)."""

    event: Literal["heartbeat"] = "heartbeat"
    t: float
    rss_mb: int | None


class Result(Event):
    """A good end of any operation; what an operation does not give is left out of the line."""

    event: Literal["result"] = "result"
    id: str
    warnings: tuple[str, ...] = ()


class Parameter(Event):
    """A field of an ask or runtime: its default (null: nothing, or what rsgeo finds best), and what it may be."""

    name: str
    type: Literal["text", "integer", "number", "choice"]
    default: str | int | float | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    choices: tuple[str, ...] = ()
    unit: str | None = None


class ModelDescription(Event):
    """A model at hand; ``weights`` says whether its files are as they were published. GSD in metres, null where
    training had no fixed one.

    ``tasks`` are what it does, ``default_for`` those for which it is taken where no model is named.
    """

    name: str
    title: str
    licence: str
    tasks: tuple[str, ...]
    default_for: tuple[str, ...]
    weights: Literal["present", "changed"]
    gsd_native: float | None
    gsd_min: float | None
    gsd_max: float | None
    trained_fields: tuple[str, ...]
    trained_region: tuple[float, float, float, float] | None
    trained_region_name: str
    parameters: tuple[Parameter, ...]


class DeviceDescription(Event):
    """A device; ``memory`` in bytes, null where unknown."""

    kind: str
    name: str
    memory: int | None


class Described(Result):
    """The answer to `Describe`. ``devices`` is empty where torch is missing; ``versions`` says null for a package that is."""

    tasks: tuple[str, ...]
    models: tuple[ModelDescription, ...]
    runtime: tuple[Parameter, ...]
    devices: tuple[DeviceDescription, ...]
    versions: Mapping[str, str | None]
    python: str
    free_memory: int | None


class GridFacts(Event):
    """The size and place of a picture: CRS as code or WKT2, GSD in metres and place in degrees at the centre."""

    width: int
    height: int
    crs: str
    gsd_m: float
    lon: float
    lat: float


class Planned(Result):
    """The answer to `Plan`: ``plan`` is what ``rsgeo plan --json`` prints. ``request`` is null where it is too long for a line."""

    plan: Mapping[str, Any]
    grid: GridFacts
    request: Request | None


class Output(Event):
    """A file that was written."""

    role: Literal["image", "stac", "qmd", "preview", "request"]
    path: str
    sha256: str


class Written(Result):
    """The answer to `Write`."""

    outputs: tuple[Output, ...]
    request: Request | None


class Made(Result):
    """The answer to `Run`: ``metadata`` is what ``rsgeo info --json`` prints of the image, ``run`` the facts of the run."""

    outputs: tuple[Output, ...]
    seed: int
    request: Request | None
    metadata: Mapping[str, Any]
    run: Mapping[str, Any]
    licence: str


class Informed(Result):
    """The answer to `Info`: ``metadata`` is what ``rsgeo info --json`` prints."""

    metadata: Mapping[str, Any]


class Cancelled(Event):
    """The run was stopped, and nothing of it is left."""

    event: Literal["cancelled"] = "cancelled"
    id: str


class Error(Event):
    """The operation failed: ``code`` is one of `rsgeo.worker.faults.HINTS`, ``message`` says what is wrong, ``hint`` what to do.

    ``id`` is null where the line did not tell.
    """

    event: Literal["error"] = "error"
    id: str | None
    code: str
    message: str
    hint: str


class Bye(Event):
    """The last line."""

    event: Literal["bye"] = "bye"


def on_a_line(request: Request) -> Request | None:
    """The request, or None where it would fill a line: a country's outline does."""
    return request if len(request.canonical_json().encode()) <= _MOST_REQUEST_BYTES else None
