"""A program that asks a real worker at the end of two pipes, and what it asks for."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RING = [[14.5, 46.0], [14.507, 46.0], [14.503, 46.005], [14.5, 46.0045], [14.5, 46.0]]
QUICK = {"num_inference_steps": 2, "guidance_scale": 1.0}
LONG = {"num_inference_steps": 400}
"""Steps enough for an area to be under way for many seconds."""

Event = dict[str, Any]


class Client:
    """A program that asks a worker; what is heard is kept in ``heard``."""

    def __init__(self, *program: str) -> None:
        command = program or ("-u", "-m", "rsgeo", "worker")
        self.begun = time.monotonic()
        self.process = subprocess.Popen([sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.heard: list[Event] = []
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._stderr: list[bytes] = []
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._read_stderr)]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._events.put(json.loads(line))
        self._events.put(None)

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        self._stderr.extend(self.process.stderr)

    @property
    def stderr(self) -> str:
        """All that was said beside the protocol, of a process that has ended."""
        self._threads[1].join(timeout=10)
        return b"".join(self._stderr).decode()

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def tell(self, op: str, **fields: Any) -> None:
        self.write(json.dumps({"op": op, **fields}).encode() + b"\n")

    def hear(self, wanted: Callable[[Event], bool], within_s: float = 120) -> Event:
        """The next event that is wanted; it fails when the worker ends before."""
        until = time.monotonic() + within_s
        while True:
            event = self._events.get(timeout=max(until - time.monotonic(), 0.01))
            assert event is not None, f"the worker ended with {self.process.wait()}: {self.stderr}"
            self.heard.append(event)
            if wanted(event):
                return event

    def event(self, name: str, **fields: Any) -> Event:
        """The next event of that name and those fields."""
        return self.hear(lambda event: event["event"] == name and fields.items() <= event.items())

    def greet(self) -> Client:
        self.event("hello")
        self.tell("init", protocol=1, client="tests", locale="de")
        self.event("ready")
        return self

    def ask(self, op: str, id: str = "1", **fields: Any) -> Event:
        """Ask and wait for the one end of it."""
        self.tell(op, id=id, **fields)
        return self.end(id)

    def end(self, id: str) -> Event:
        return self.hear(lambda event: event.get("id") == id and event["event"] in ("result", "cancelled", "error"))

    def good(self, op: str, id: str = "1", **fields: Any) -> Event:
        last = self.ask(op, id, **fields)
        assert last["event"] == "result", last
        return last

    def ended_within(self, seconds: float) -> bool:
        """Whether the process ends by itself in that time."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def generate(ask: Event | None = None, **fields: Any) -> Event:
    """What is asked for a picture of the small area in two steps, in the task's own way."""
    return {"schema_version": 1, "task": "generate", "ask": {**QUICK, **(ask or {}), **fields}}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
