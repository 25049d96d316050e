"""The plugin's side of the protocol, without QGIS: lines in any pieces, and every way in which a worker can be none."""

from __future__ import annotations

import json

import pytest
from rsgeo_qgis import protocol
from rsgeo_qgis.protocol import Cancelled, Conversation, LineReader, WorkerError


def test_lines_may_come_in_any_pieces_even_cut_within_a_character() -> None:
    data = '{"event":"log","message":"Grüße aus Bled – 1 µm"}\n{"event":"heartbeat","t":1.5}\n'.encode()
    for size in (1, 2, 3, 7, len(data)):
        reader = LineReader()
        events = [event for start in range(0, len(data), size) for event in reader.feed(data[start : start + size])]
        assert [event["event"] for event in events] == ["log", "heartbeat"]
        assert events[0]["message"] == "Grüße aus Bled – 1 µm"


@pytest.mark.parametrize("line", [b"Welcome!\n", b"[1, 2]\n", b"\xff\xfe\n", b'{"t": NaN}\n', b'{"event": "log"\n', b"7\n"])
def test_a_line_that_is_no_message_is_an_error(line: bytes) -> None:
    with pytest.raises(WorkerError, match="no message"):
        list(LineReader().feed(line))


def test_a_line_may_have_a_mebibyte_and_no_more() -> None:
    def line(length: int) -> bytes:
        frame = len('{"m":""}')
        return b'{"m":"' + b"x" * (length - frame) + b'"}'

    assert len(list(LineReader().feed(line(protocol.MOST_LINE_BYTES) + b"\n"))) == 1
    with pytest.raises(WorkerError):
        list(LineReader().feed(line(protocol.MOST_LINE_BYTES + 1) + b"\n"))
    with pytest.raises(WorkerError):
        list(LineReader().feed(b"x" * (protocol.MOST_LINE_BYTES + 1)))  # a line without an end


def test_messages_are_one_line_in_utf8_and_hold_numbers_only() -> None:
    line = protocol.operation("plan", "7", request={"prompt": "Wälder\nund Felder"})
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert json.loads(line) == {"op": "plan", "id": "7", "request": {"prompt": "Wälder\nund Felder"}}
    with pytest.raises(ValueError):
        protocol.encode({"gsd": float("nan")})
    with pytest.raises(WorkerError, match="too long"):
        protocol.encode({"prompt": "x" * protocol.MOST_LINE_BYTES})


def hello(**changes: object) -> bytes:
    return protocol.encode({"event": "hello", "protocols": [1], "rsgeo": "0.3.0", "python": "3.11.9", "pid": 1, **changes})


def test_a_handshake() -> None:
    talk = Conversation("rsgeo_qgis 1 / QGIS 3.22", "de")
    events, answer = talk.receive(hello(something_new=True))
    assert events == [] and not talk.ready
    assert json.loads(answer) == {"op": "init", "protocol": 1, "client": "rsgeo_qgis 1 / QGIS 3.22", "locale": "de"}
    ready = protocol.encode({"event": "ready", "protocol": 1, "operations": ["generate"]})
    events, answer = talk.receive(ready + b'{"event":"heartbeat","t":1}\n')
    assert talk.ready and talk.operations == ("generate",) and answer == b""
    assert [event["event"] for event in events] == ["heartbeat"]


@pytest.mark.parametrize("first", [b"Welcome!\n", b'{"event":"log"}\n', b'"hello"\n'])
def test_who_does_not_say_hello_first_is_not_rsgeo(first: bytes) -> None:
    with pytest.raises(WorkerError) as caught:
        Conversation("", "").receive(first)
    assert caught.value.code == "no_hello" and "no working rsgeo" in str(caught.value)


@pytest.mark.parametrize(("protocols", "update"), [([2, 3], "the plugin"), ([0], "rsgeo"), ([], "rsgeo"), (["1"], "rsgeo")])
def test_another_protocol_says_which_of_the_two_to_update(protocols: list[object], update: str) -> None:
    with pytest.raises(WorkerError) as caught:
        Conversation("", "").receive(hello(protocols=protocols))
    assert f"Update {update}" in str(caught.value) and "0.3.0" in str(caught.value)


def test_an_error_instead_of_ready_is_not_waited_out() -> None:
    talk = Conversation("", "")
    talk.receive(hello())
    with pytest.raises(WorkerError, match="speaks protocol"):
        talk.receive(protocol.encode({"event": "error", "id": None, "code": "unsupported_protocol", "message": "This one speaks protocol 2."}))


def test_what_ends_a_question() -> None:
    assert protocol.ends({"event": "result", "id": "3"}, "3")
    assert not protocol.ends({"event": "result", "id": "2"}, "3")
    assert not protocol.ends({"event": "something_new", "id": "3"}, "3")
    assert protocol.ends({"event": "error", "id": None}, "3")  # a line that could not be read as a whole
    with pytest.raises(Cancelled):
        protocol.answer_of({"event": "cancelled", "id": "3"})
    with pytest.raises(WorkerError, match="No memory") as caught:
        protocol.answer_of({"event": "error", "id": "3", "code": "out_of_memory", "message": "No memory.", "hint": "Take less."})
    assert str(caught.value) == "No memory.\nTake less."


def test_a_dead_worker_says_how_it_died() -> None:
    assert "memory ran out" in str(protocol.died(9, True, ""))
    ended = protocol.died(3, False, "Traceback ...")
    assert "code 3" in str(ended) and ended.details == "Traceback ..."
