"""What the plugin and `rsgeo worker` say to each other: protocol version 1, one JSON object a line. No process, no QGIS.

A worker says hello, is told ``init``, says ready, and is then asked one thing at a time; exactly one event ends each thing asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

PROTOCOL = 1
MOST_LINE_BYTES = 2**20

Event = dict[str, Any]


class WorkerError(Exception):
    """What went wrong on the other side: ``code`` of the protocol, a sentence for people, and what to do about it."""

    def __init__(self, code: str, message: str, hint: str = "", details: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.hint, self.details = code, message, hint, details

    def __str__(self) -> str:
        return "\n".join(part for part in (self.message, self.hint) if part)


class Cancelled(Exception):
    """The run was told to stop and left nothing behind."""


def encode(message: Event) -> bytes:
    """One line. Raises WorkerError for a message that no line can hold."""
    line = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8") + b"\n"
    if len(line) > MOST_LINE_BYTES:
        raise WorkerError("bad_request", "The request is too long for one message.", "Shorten the prompt, or take the area from a layer.")
    return line


def operation(name: str, ident: str, **fields: Any) -> bytes:
    """Something to ask of a worker, as a line."""
    return encode({"op": name, "id": ident, **fields})


SHUTDOWN = encode({"op": "shutdown"})
"""Asks a worker that has answered to end."""


class LineReader:
    """Bytes as they come to events. Lines may come in any pieces, cut within a character too."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events of all lines that are complete now. Raises WorkerError at the first that is none."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.strip():
                yield _event(line)
        if len(self._rest) > MOST_LINE_BYTES:
            raise _garbage(self._rest)


def _event(line: bytes) -> Event:
    if len(line) > MOST_LINE_BYTES:
        raise _garbage(line)
    try:
        event = json.loads(line.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise _garbage(line) from error
    if not isinstance(event, dict):
        raise _garbage(line)
    return event


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _garbage(line: bytes) -> WorkerError:
    begin = line[:80].decode("utf-8", "replace").strip()
    return WorkerError(
        "bad_answer",
        f"The program that should be rsgeo answered something that is no message: {begin!r}.",
        "Run “Check rsgeo installation”, or choose another Python in the settings.",
    )


class Conversation:
    """One worker's part and ours, from hello on, without the process: bytes in, events and bytes out."""

    def __init__(self, client: str, locale: str) -> None:
        self._client, self._locale = client, locale
        self._reader = LineReader()
        self._heard_hello = False
        self.ready = False
        self.hello: Event = {}
        self.operations: tuple[str, ...] = ()

    def receive(self, data: bytes) -> tuple[list[Event], bytes]:
        """The events in ``data`` that are the caller's to handle, and what must be answered at once.

        Raises WorkerError if that is no worker, or one of another protocol.
        """
        events: list[Event] = []
        answer = b""
        try:
            for event in self._reader.feed(data):
                if not self._heard_hello:
                    answer += self._greet(event)
                elif event.get("event") == "ready":
                    self.ready = True
                    self.operations = tuple(event.get("operations", ()))
                elif event.get("event") == "error" and not self.ready:
                    answer_of(event)
                else:
                    events.append(event)
        except WorkerError as error:
            if self._heard_hello:
                raise
            raise not_rsgeo(error.message) from error
        return events, answer

    def _greet(self, event: Event) -> bytes:
        if event.get("event") != "hello":
            raise _garbage(json.dumps(event).encode("utf-8"))
        self._heard_hello, self.hello = True, event
        theirs = [number for number in event.get("protocols", ()) if isinstance(number, int)]
        if PROTOCOL not in theirs:
            raise _other_version(str(event.get("rsgeo", "of unknown version")), theirs)
        return encode({"op": "init", "protocol": PROTOCOL, "client": self._client, "locale": self._locale})


def _other_version(rsgeo: str, theirs: list[int]) -> WorkerError:
    spoken = ", ".join(map(str, theirs)) or "none"
    newer = bool(theirs) and min(theirs) > PROTOCOL
    return WorkerError(
        "unsupported_protocol",
        f"rsgeo {rsgeo} speaks protocol {spoken}, this plugin speaks {PROTOCOL}.",
        "Update the plugin." if newer else "Update rsgeo in the Python that the plugin uses.",
    )


def not_rsgeo(details: str) -> WorkerError:
    """The error for an interpreter that gives no hello."""
    return WorkerError(
        "no_hello",
        "This Python has no working rsgeo.",
        "Run “Check rsgeo installation”, or choose another Python in the settings.",
        details,
    )


def died(exit_code: int, crashed: bool, stderr: str) -> WorkerError:
    """The error for a worker whose process ended before its answer. ``stderr`` is the end of what it said."""
    killed = crashed or exit_code in (-9, 137)
    how = "was ended by the system" if killed else f"ended with code {exit_code}"
    hint = "Most likely memory ran out: take a smaller area." if killed else "The log holds the last words of rsgeo."
    return WorkerError("worker_died", f"rsgeo {how} before it was done; there is no image.", hint, stderr)


def ends(event: Event, ident: str) -> bool:
    """Whether an event is the last answer to what was asked; an error without an id is one to whatever was said last."""
    kind = event.get("event")
    return (event.get("id") == ident and kind in ("result", "cancelled", "error")) or (kind == "error" and event.get("id") is None)


def answer_of(event: Event) -> Event:
    """A last event that is an answer. Raises Cancelled or WorkerError for the two that are none."""
    if event.get("event") == "cancelled":
        raise Cancelled
    if event.get("event") == "error":
        raise WorkerError(str(event.get("code", "internal")), str(event.get("message", "rsgeo failed.")), str(event.get("hint") or ""))
    return event
