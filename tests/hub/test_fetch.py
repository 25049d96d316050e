"""Fetching from a server of this machine: whole, broken, changed, and from a file."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rsgeo.errors import InputError, ModelError
from rsgeo.hub import catalog, fetch
from rsgeo.hub.records import CatalogRecord

ARCHIVE = Path(__file__).parents[1] / "data" / "diffusionsat" / "archive"


class Server:
    """Serves one file at /tiny.zip; ``breaks`` ends so many answers after a third of what is left, ``ranges`` says whether parts are served."""

    def __init__(self, content: bytes) -> None:
        self.content, self.breaks, self.ranges, self.tag, self.status, self.length = content, 0, True, '"one"', 200, True
        self.asked: list[str | None] = []
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                served.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/tiny.zip"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.asked.append(wanted)
        if self.status != 200:
            request.send_error(self.status)
            return
        first = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.ranges else 0
        if request.headers.get("If-Range") not in (None, self.tag):
            first = 0
        if first >= len(self.content):
            request.send_error(416)
            return
        body = self.content[first:]
        request.send_response(206 if first else 200)
        request.send_header("ETag", self.tag)
        if self.length:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if self.breaks:
            self.breaks -= 1
            body = body[: len(body) // 3]
        request.wfile.write(body)


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return Path(shutil.make_archive(str(tmp_path / "tiny"), "zip", ARCHIVE))


@pytest.fixture
def server(packed: Path) -> Iterator[Server]:
    server = Server(packed.read_bytes())
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def publish(home: Path, server: Server, write_record: Callable[..., Path]) -> Callable[..., None]:
    """Writes the record of the served archive; its files are not at hand."""
    values = catalog.find(str(ARCHIVE)).model_dump(mode="json")

    def publish(**known: Any) -> None:
        write_record(home / "tiny", **{**values, "archive": {"url": server.url, **known}, "licence": "Of its own"})

    return publish


def yes(_: CatalogRecord) -> bool:
    return True


class TestDownload:
    def test_is_unpacked_and_its_hash_pinned(self, publish: Callable[..., None], home: Path, packed: Path) -> None:
        publish()
        told: list[tuple[str, int, int | None]] = []
        record = fetch.fetch("tiny", consent=yes, progress=lambda *step: told.append(step))
        assert record.archive is not None and record.archive.bytes == packed.stat().st_size
        assert record.archive.sha256 == hashlib.sha256(packed.read_bytes()).hexdigest()
        assert record.sha256 == catalog.files_sha256(record) and record.licence == "Of its own"
        assert "tiny" in catalog.names() and record.folder == home / "tiny"
        assert {stage for stage, *_ in told} == {"download", "check"} and told[-1][1:] == (packed.stat().st_size,) * 2
        assert not list((home / ".parts").glob("*.zip"))

    def test_a_broken_connection_goes_on_where_it_ended(self, publish: Callable[..., None], server: Server) -> None:
        publish()
        server.breaks = 3
        fetch.fetch("tiny", consent=yes)
        starts = [0 if wanted is None else int(wanted[6:-1]) for wanted in server.asked]
        assert len(starts) == 4 and starts == sorted(set(starts)) and starts[1] == len(server.content) // 3

    def test_one_that_never_holds_says_what_is_here_and_the_next_goes_on(self, publish: Callable[..., None], server: Server, home: Path) -> None:
        publish()
        server.breaks = 5
        with pytest.raises(ModelError, match=r"connection to 127\.0\.0\.1 does not hold .* MB are here, and the same command goes on"):
            fetch.fetch("tiny", consent=yes)
        assert "tiny" not in catalog.names() and (home / ".parts" / "tiny.zip").stat().st_size > 0
        fetch.fetch("tiny", consent=yes)
        assert server.asked[5] is not None and "tiny" in catalog.names()

    def test_a_file_that_changed_meanwhile_begins_anew(self, publish: Callable[..., None], server: Server) -> None:
        publish()
        server.breaks, whole = 5, server.content
        server.content = b"another file altogether" * 1000
        with pytest.raises(ModelError, match="does not hold"):
            fetch.fetch("tiny", consent=yes)
        server.content, server.tag = whole, '"two"'
        assert fetch.fetch("tiny", consent=yes).archive is not None

    def test_a_server_without_ranges_begins_anew(self, publish: Callable[..., None], server: Server) -> None:
        publish()
        server.breaks, server.ranges = 1, False
        fetch.fetch("tiny", consent=yes)
        assert "tiny" in catalog.names()

    def test_a_server_that_says_no_length(self, publish: Callable[..., None], server: Server) -> None:
        publish()
        server.length = False
        fetch.fetch("tiny", consent=yes)
        assert "tiny" in catalog.names()

    def test_another_size_is_refused_before_it_is_read(self, publish: Callable[..., None], server: Server) -> None:
        publish(bytes=7)
        with pytest.raises(ModelError, match=rf"has {len(server.content)} bytes instead of 7"):
            fetch.fetch("tiny", consent=yes)

    def test_another_hash_is_refused(self, publish: Callable[..., None], home: Path) -> None:
        publish(sha256="0" * 64)
        with pytest.raises(ModelError, match=r"has SHA-256 [0-9a-f]{64} .* not the archive that is known"):
            fetch.fetch("tiny", consent=yes)
        assert "tiny" not in catalog.names() and not list(home.glob(".tiny*")) and not list((home / ".parts").glob("*.zip"))

    def test_a_page_instead_of_the_archive_is_not_kept(self, publish: Callable[..., None], server: Server, home: Path) -> None:
        publish()
        server.content = b"<html>Please sign in</html>"
        with pytest.raises(ModelError, match="no ZIP that can be read"):
            fetch.fetch("tiny", consent=yes)
        assert not list((home / ".parts").glob("*.zip"))

    def test_a_missing_file(self, publish: Callable[..., None], server: Server) -> None:
        publish()
        server.status = 404
        with pytest.raises(ModelError, match="status 404"):
            fetch.fetch("tiny", consent=yes)

    def test_nobody_there(self, publish: Callable[..., None], server: Server) -> None:
        publish()
        server.http.shutdown()
        server.http.server_close()
        with pytest.raises(ModelError, match="does not hold"):
            fetch.fetch("tiny", consent=yes)

    @pytest.mark.parametrize("url", ["file:///etc/passwd", "http://example.org/a.zip", "ftp://example.org/a.zip"])
    def test_other_addresses_are_refused(self, publish: Callable[..., None], url: str) -> None:
        publish(url=url)
        with pytest.raises(ModelError, match="is no https address"):
            fetch.fetch("tiny", consent=yes)

    def test_without_consent_nothing_is_asked_of_the_network(self, publish: Callable[..., None], server: Server) -> None:
        publish()
        with pytest.raises(ModelError, match="Nothing was fetched"):
            fetch.fetch("tiny", consent=lambda _: False)
        assert server.asked == []


class TestFromFile:
    def test_needs_no_network_and_pins_too(self, publish: Callable[..., None], server: Server, packed: Path) -> None:
        publish()
        record = fetch.fetch("tiny", from_file=packed, consent=lambda _: False)
        assert server.asked == [] and packed.is_file() and record.archive is not None and record.archive.sha256 is not None

    def test_of_a_published_archive(self, home: Path, packed: Path) -> None:
        record = fetch.fetch("diffusionsat-512", from_file=packed, consent=lambda _: False)
        assert record.tile == 64 and "Open RAIL++-M" in record.licence and "diffusionsat-512" in catalog.names()
        with pytest.raises(InputError, match="is here already"):
            fetch.fetch("diffusionsat-512", from_file=packed, consent=yes)

    def test_another_hash_is_refused(self, publish: Callable[..., None], packed: Path) -> None:
        publish(sha256="0" * 64)
        with pytest.raises(ModelError, match="not the archive that is known"):
            fetch.fetch("tiny", from_file=packed, consent=yes)
        assert packed.is_file()

    def test_what_is_no_archive_of_a_model_is_refused(self, publish: Callable[..., None], tmp_path: Path, home: Path) -> None:
        publish()
        (tmp_path / "text").mkdir()
        (tmp_path / "text" / "a.txt").write_text("nothing")
        other = Path(shutil.make_archive(str(tmp_path / "other"), "zip", tmp_path / "text"))
        with pytest.raises(ModelError, match="holds no model"):
            fetch.fetch("tiny", from_file=other, consent=yes)
        with pytest.raises(InputError, match="There is no file"):
            fetch.fetch("tiny", from_file=tmp_path / "none.zip", consent=yes)

    def test_the_embedded_model_is_here_already(self, home: Path) -> None:
        with pytest.raises(InputError, match="rsgeo-mini is here already"):
            fetch.fetch("rsgeo-mini", consent=yes)
