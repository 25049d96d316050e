"""The conversation: how it begins and ends, and what becomes of lines that are no part of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pytest
from worker_client import QUICK, Client, generate

PROBED = """
import atexit, sys
HEAVY = {"torch", "diffusers", "transformers", "dask", "rasterio", "geopandas"}
atexit.register(lambda: print("HEAVY:", *sorted(HEAVY & sys.modules.keys()), file=sys.stderr))
sys.argv = ["rsgeo", "worker"]
from rsgeo.cli import main
main()
"""
PRINTING = """
import sys
import rsgeo.tasks.resolve as module
resolve = module.resolve
def chatty(ask):
    print("a stray line")
    print('{"event": "result", "id": "1"}', flush=True)
    return resolve(ask)
module.resolve = chatty
sys.argv = ["rsgeo", "worker"]
from rsgeo.cli import main
main()
"""


def test_hello_comes_at_once_and_loads_nothing_that_is_heavy(start: Callable[..., Client]) -> None:
    client = start("-c", PROBED)
    hello = client.event("hello")
    assert time.monotonic() - client.begun < 2
    assert hello["protocols"] == [1] and hello["pid"] == client.process.pid and hello["python"] == sys.version.split()[0]
    client.tell("shutdown")
    client.event("bye")
    assert client.ended_within(5) and client.process.returncode == 0
    assert client.stderr.strip() == "HEAVY:"


def test_a_plan_needs_no_torch(start: Callable[..., Client], area: str) -> None:
    client = start("-c", PROBED).greet()
    client.good("plan", request=generate(aoi=area))
    client.tell("shutdown")
    client.event("bye")
    assert client.ended_within(10) and client.process.returncode == 0
    assert "rasterio" in client.stderr and "torch" not in client.stderr


def test_ready_names_what_can_be_asked(start: Callable[..., Client]) -> None:
    client = start()
    client.event("hello")
    client.tell("init", protocol=1, client="a newer one", locale="de", colour="a field of the future")
    assert client.event("ready") == {"event": "ready", "protocol": 1, "operations": ["generate", "extend", "inpaint", "superres", "predict", "info"]}


def test_another_protocol_is_refused_with_both_versions_and_the_known_one_goes_on(start: Callable[..., Client], area: str) -> None:
    client = start()
    client.event("hello")
    client.tell("plan", id="1", request=generate(aoi=area))
    assert client.event("error", id="1")["code"] == "bad_request"
    client.tell("init", protocol=7, client="tests", locale="de")
    error = client.event("error")
    assert error["code"] == "unsupported_protocol" and "7" in error["message"] and "1" in error["message"] and error["hint"] == "Update rsgeo."
    client.tell("init", protocol=1, client="tests", locale="de")
    client.event("ready")
    client.good("plan", request=generate(aoi=area))


BAD = {
    "no JSON": b"hello worker",
    "no object": b"[1, 2]",
    "no UTF-8": b'{"op": "describe", "id": "\xff"}',
    "not a number": b'{"op": "plan", "id": "1", "request": {"task": "generate", "ask": {"buffer_m": NaN}}}',
    "no operation": b'{"id": "1"}',
    "unknown operation": b'{"op": "dance", "id": "1"}',
    "no id": b'{"op": "describe"}',
    "unknown field": b'{"op": "describe", "id": "1", "colour": "red"}',
    "unknown runtime": b'{"op": "plan", "id": "1", "request": {}, "runtime": {"speed": 9}}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("line", BAD.values(), ids=BAD)
def test_a_bad_line_is_answered_by_one_error_and_the_worker_lives_on(worker: Client, line: bytes) -> None:
    worker.write(line + b"\n")
    error = worker.event("error")
    assert error["code"] == "bad_request" and error["message"] and error["hint"]
    assert error["id"] == ("1" if b'"id": "1"' in line and b"NaN" not in line else None)
    worker.tell("init", protocol=1)
    assert worker.hear(lambda event: event["event"] in ("ready", "error"))["event"] == "ready"


def test_a_line_that_is_too_long_is_refused_once_however_long_it_is(worker: Client) -> None:
    for size in (2**20, 3 * 2**20):
        worker.write(b'{"op": "describe", "id": "' + b"x" * size + b'"}\n')
        assert "longer than" in worker.event("error")["message"]
    worker.tell("init", protocol=1)
    assert worker.hear(lambda event: event["event"] in ("ready", "error"))["event"] == "ready"


def test_lines_may_come_in_pieces_and_several_at_a_time(worker: Client) -> None:
    line = '{"op": "info", "id": "Grünau", "path": "no such file"}\n'.encode()
    cut = line.index(b"\xbc")
    worker.write(line[:cut])
    time.sleep(0.2)
    worker.write(line[cut:] + line.replace("Grünau".encode(), b"2") + b"\n\r\n")
    assert worker.end("Grünau")["event"] == worker.end("2")["event"] == "error"


def test_the_process_says_that_it_lives(start: Callable[..., Client]) -> None:
    client = start().greet()
    first, second = client.event("heartbeat"), client.event("heartbeat")
    assert 1 < second["t"] - first["t"] < 4
    assert second["rss_mb"] is None or 10 < second["rss_mb"] < 1000


def test_prints_do_not_spoil_the_protocol(start: Callable[..., Client], area: str) -> None:
    client = start("-u", "-c", PRINTING).greet()
    assert client.good("plan", request=generate(aoi=area))["plan"]["width"] == 55
    client.close()
    assert client.ended_within(2)
    assert "a stray line" in client.stderr


def test_an_idle_worker_ends_with_its_owner(start: Callable[..., Client]) -> None:
    client = start().greet()
    client.close()
    assert client.ended_within(1) and client.process.returncode == 0
    assert client.stderr == ""


def test_what_was_asked_before_shutdown_is_still_answered(start: Callable[..., Client], area: str) -> None:
    client = start().greet()
    client.tell("plan", id="1", request=generate(aoi=area))
    client.tell("plan", id="2", request=generate(aoi=area, **QUICK | {"num_inference_steps": 5}))
    client.tell("shutdown")
    assert client.end("1")["plan"]["evaluations"] < client.end("2")["plan"]["evaluations"]
    client.event("bye")
    assert client.ended_within(10) and client.process.returncode == 0
