"""A stand-in for `rsgeo worker` that computes nothing: it speaks the protocol, takes its time, and fails as it is told to. Stdlib only.

    python fake_worker.py [--mode MODE] [--steps N] [--delay S] [--record FILE]

The modes: ``ok``; ``crash`` (dies by a signal in the middle), ``exit`` (ends with code 3 and a traceback), ``hang`` (says nothing more and heeds
neither cancel nor the end of its input), ``rubbish`` (no protocol at all), ``rubbish-later`` (in the middle of a run), ``version`` (another
protocol), ``silent`` (no hello), ``absent`` (as a Python without rsgeo), ``error`` (out of memory). ``--record`` appends each message heard.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

SIDE, PIXEL_M, WEST, NORTH, EPSG = 16, 10.0, 500_000.0, 5_500_000.0, 32633
WARNING = "A warning of the plan and the run."


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", default="ok")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--record", type=Path)
    options, _ = parser.parse_known_args()  # -u -m rsgeo worker
    Worker(options).serve()


class Worker:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.mode = options.mode
        self.messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.cancelled = threading.Event()
        self.part: Path | None = None

    def serve(self) -> None:
        if self.mode == "absent":
            sys.stderr.write("No module named rsgeo\n")
            sys.exit(1)
        if self.mode == "rubbish":
            print("Welcome! Type help for help.", flush=True)
        if self.mode in ("rubbish", "silent"):
            time.sleep(3600)
        protocols = [2] if self.mode == "version" else [1]
        self.say(event="hello", protocols=protocols, rsgeo="9.8.7", python="3.11.2", pid=os.getpid())
        threading.Thread(target=self.listen, daemon=True).start()
        threading.Thread(target=self.beat, daemon=True).start()
        while True:
            message = self.messages.get()
            if message is None or message["op"] == "shutdown":
                return
            getattr(self, message["op"])(message)

    def listen(self) -> None:
        rest = b""
        while True:
            data = os.read(0, 65536)
            if not data:
                if self.mode == "hang":
                    return
                self.leave()
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if self.options.record:
                    with self.options.record.open("ab") as file:
                        file.write(line + b"\n")
                message = json.loads(line)
                if message["op"] == "cancel":
                    if self.mode != "hang":
                        self.cancelled.set()
                else:
                    self.messages.put(message)

    def leave(self) -> None:
        if self.part is not None:
            self.part.unlink(missing_ok=True)
        os._exit(0)

    def beat(self) -> None:
        while self.mode != "hang":
            self.say(event="heartbeat", t=time.monotonic(), rss_mb=10)
            time.sleep(2)

    def say(self, **event: Any) -> None:
        # One write a line, so that threads do not mix theirs.
        os.write(1, json.dumps(event, ensure_ascii=False).encode() + b"\n")

    def init(self, message: dict[str, Any]) -> None:
        self.say(event="ready", protocol=message["protocol"], operations=["generate", "extend", "info"])

    def describe(self, message: dict[str, Any]) -> None:
        models = [{"name": "rsgeo-mini", "weights": "present"}, {"name": "ein größeres", "weights": "changed"}]
        self.say(event="result", id=message["id"], models=models, devices=[{"kind": "cpu", "name": "CPU", "memory": None}], free_memory=4_000_000_000)

    def plan(self, message: dict[str, Any]) -> None:
        plan = {"memory_bytes": 650_000_000, "file_bytes": 1_000_000, "seconds": 12.0}
        grid = {"width": SIDE, "height": SIDE, "gsd_m": PIXEL_M}
        self.warn(message["id"])
        self.say(event="result", id=message["id"], plan=plan, grid=grid, request=complete(message["request"]), warnings=[WARNING])

    def warn(self, ident: str) -> None:
        self.say(event="log", id=ident, level="warning", message=WARNING)

    def info(self, message: dict[str, Any]) -> None:
        metadata = {"center_lon": 15.0, "center_lat": 49.65, "gsd_m": 10.004, "crs": "EPSG:32633", "date": None}
        self.say(event="result", id=message["id"], metadata=metadata, warnings=[])

    def request(self, message: dict[str, Any]) -> None:
        made = complete(message["request"])
        Path(message["output"]).write_text(json.dumps(made), encoding="utf-8")
        self.say(event="result", id=message["id"], request=made, outputs=[{"role": "request", "path": message["output"]}])

    def run(self, message: dict[str, Any]) -> None:
        ident, output = message["id"], Path(message["output"])
        self.cancelled.clear()
        self.part = output.with_name(f".{output.name[:32]}.{os.getpid():08x}.part")
        self.part.write_bytes(b"unfinished")
        if self.mode == "hang":
            # What only a worker that is killed leaves: a folder of parts, and the finished work of a large area.
            output.with_name(f".{output.name[:32]}.xyz.part").mkdir()
            output.with_name(f"{output.name}.job").mkdir()
        self.say(event="progress", id=ident, stage="load", done=1, total=1)
        self.warn(ident)
        for step in range(self.options.steps):
            if self.cancelled.is_set():
                self.part.unlink()
                self.say(event="cancelled", id=ident)
                return
            if step == self.options.steps // 2:
                self.fail(ident)
                if self.mode == "error":
                    return
            self.say(event="progress", id=ident, stage="sample", done=step + 1, total=self.options.steps, eta_s=1.5)
            time.sleep(self.options.delay)
        self.part.write_bytes(geotiff())
        self.part.replace(output)
        self.say(event="progress", id=ident, stage="write", done=1, total=1)
        made = complete(message["request"])
        outputs = [{"role": "image", "path": str(output)}]
        self.say(event="result", id=ident, outputs=outputs, seed=made["seed"], request=made, metadata={}, licence="Apache-2.0", warnings=[WARNING])

    def fail(self, ident: str) -> None:
        if self.mode == "crash":
            sys.stderr.write("about to be killed\n")
            sys.stderr.flush()
            os.kill(os.getpid(), 9)
        if self.mode == "exit":
            sys.stderr.write("Traceback (most recent call last):\nZeroDivisionError: division by zero\n")
            sys.stderr.flush()
            os._exit(3)
        if self.mode == "hang":
            time.sleep(3600)
        if self.mode == "rubbish-later":
            os.write(1, b"warning: something printed\n")
            time.sleep(3600)
        if self.mode == "error":
            assert self.part is not None
            self.part.unlink()
            self.say(event="error", id=ident, code="out_of_memory", message="There is not enough memory.", hint="Take a smaller area.")


def complete(asked: dict[str, Any]) -> dict[str, Any]:
    ask = asked.get("ask", {})
    model = {"name": ask.get("model", "rsgeo-mini")}
    return {"schema_version": 1, "task": asked.get("task"), "prompt": ask.get("prompt", ""), "seed": ask.get("seed") or 0, "model": model}


def geotiff() -> bytes:
    """A green square in UTM 33N as an uncompressed GeoTIFF."""
    pixels = bytes((40, 120, 60)) * (SIDE * SIDE)
    doubles = {33550: (PIXEL_M, PIXEL_M, 0.0), 33922: (0.0, 0.0, 0.0, WEST, NORTH, 0.0)}
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, EPSG)
    extra = bytearray()
    base = 8 + 2 + 12 * 13 + 4

    def put(data: bytes) -> int:
        extra.extend(data)
        return base + len(extra) - len(data)

    bits = put(struct.pack("<3H", 8, 8, 8) + b"\0\0")
    places = {tag: put(struct.pack(f"<{len(values)}d", *values)) for tag, values in doubles.items()}
    key_place = put(struct.pack(f"<{len(keys)}H", *keys))
    strip = put(pixels)
    entries = [
        (256, 3, 1, SIDE), (257, 3, 1, SIDE), (258, 3, 3, bits), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, strip), (277, 3, 1, 3),
        (278, 3, 1, SIDE), (279, 4, 1, len(pixels)), (284, 3, 1, 1), (33550, 12, 3, places[33550]), (33922, 12, 6, places[33922]),
        (34735, 3, len(keys), key_place),
    ]  # fmt: skip
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + directory + struct.pack("<I", 0) + bytes(extra)


if __name__ == "__main__":
    main()
