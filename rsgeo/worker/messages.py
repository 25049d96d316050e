"""What a worker is told: protocol version 1, one JSON object a line.

It may hold no field that is unknown here, but for ``init``, in which a newer program may say more.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from rsgeo.errors import InputError
from rsgeo.request import Ask
from rsgeo.runtime import Device, DType

PROTOCOL = 1
MOST_LINE_BYTES = 2**20


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True)


class PartOfFile(_Message):
    """A layer of a vector file."""

    path: str
    layer: str | None = None


def _ask_model() -> type[_Message]:
    """`Ask` as a message: the same fields, so that a new one is understood here as well."""
    types: dict[str, Any] = get_type_hints(Ask)
    types["prompt_layer"] = Annotated[PartOfFile | Any, Field(union_mode="left_to_right")]
    types["request_file"] = str | None
    known: Any = {field.name: (types[field.name], field.default) for field in fields(Ask)}
    return create_model("AskMessage", __base__=_Message, **known)


AskMessage = _ask_model()


class Asked(_Message):
    """What was typed for a task, of which each has its own kind of this (`rsgeo.worker.tasks`)."""

    schema_version: Literal[1] = 1
    ask: AskMessage = AskMessage()  # type: ignore[valid-type]


class RuntimeFields(_Message):
    """How to run: as `rsgeo.runtime.Runtime`.

    ``on_cancel`` "exit" ends the whole process at once, whatever it does; "stay" ends the run between two steps and keeps the model loaded.
    """

    device: Device = "auto"
    dtype: DType = "auto"
    batch_size: int | None = Field(default=None, ge=1, le=1024)
    overwrite: bool = False
    fresh: bool = False
    sidecar: bool = True
    preview: str | None = None
    on_cancel: Literal["exit", "stay"] = "exit"


class Around(_Message):
    """A part of the picture: the ``size`` x ``size`` pixels around a point of ``crs``, as far as they lie on the grid."""

    x: float
    y: float
    crs: str
    size: int = Field(default=256, ge=1, le=4096)


class Init(_Message):
    """Begins the conversation, once."""

    model_config = ConfigDict(extra="ignore")

    op: Literal["init"]
    protocol: int
    client: str = ""
    locale: str = ""


class Describe(_Message):
    """What is there: models, devices, versions, parameters."""

    op: Literal["describe"]
    id: str


class Plan(_Message):
    """What a request would cost; ``request`` is an `Asked` of a task, or a complete `rsgeo.request.Request`."""

    op: Literal["plan"]
    id: str
    request: dict[str, Any]
    preview: Around | None = None
    runtime: RuntimeFields = RuntimeFields()


class Run(_Message):
    """Make the picture at ``output``."""

    op: Literal["run"]
    id: str
    request: dict[str, Any]
    output: str
    preview: Around | None = None
    runtime: RuntimeFields = RuntimeFields()


class Write(_Message):
    """Write the complete request to ``output``, from where ``rsgeo generate --request`` makes the same pixels; an older file is replaced."""

    op: Literal["request"]
    id: str
    request: dict[str, Any]
    output: str
    preview: Around | None = None


class Info(_Message):
    """What a raster, area, STAC item or product tells about itself."""

    op: Literal["info"]
    id: str
    path: str
    layer: str | None = None
    where: str | None = None
    aoi_crs: str | None = None
    buffer_m: float | None = None


class Cancel(_Message):
    """Stop what was asked under that id."""

    op: Literal["cancel"]
    id: str


class Shutdown(_Message):
    """End when all that was asked before is done."""

    op: Literal["shutdown"]


Operation = Describe | Plan | Run | Write | Info
Told = Init | Operation | Cancel | Shutdown
_TOLD: dict[str, type[Told]] = {
    "init": Init,
    "describe": Describe,
    "plan": Plan,
    "run": Run,
    "request": Write,
    "info": Info,
    "cancel": Cancel,
    "shutdown": Shutdown,
}


class BadMessageError(InputError):
    """A line that is no message; ``id`` is whose it was, where that can be told."""

    def __init__(self, words: str, id: str | None = None) -> None:
        super().__init__(words)
        self.id = id


def parse(line: bytes) -> Told:
    """The message of a line. Raises BadMessageError."""
    try:
        message = json.loads(line.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadMessageError("A line was no JSON in UTF-8; send one object a line.") from error
    if not isinstance(message, dict):
        raise BadMessageError("A line was no JSON object; send one object a line.")
    id = message.get("id") if isinstance(message.get("id"), str) else None
    kind = _TOLD.get(str(message.get("op")))
    if kind is None:
        raise BadMessageError(f"There is no operation {message.get('op')!r}; there is {', '.join(_TOLD)}.", id)
    try:
        return kind.model_validate(message)
    except ValidationError as error:
        raise BadMessageError(in_words(error), id) from error


def in_words(error: ValidationError) -> str:
    """What is wrong with a message, as one sentence."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the whole"
    if first["type"] == "extra_forbidden":
        return f"The request has a field {where}, which this version of rsgeo does not know; leave it out, or update rsgeo."
    return f"The request's field {where} is wrong ({first['msg'].rstrip('.')}); correct it."


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no number")
