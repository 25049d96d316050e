"""Archives are unpacked whole, into one folder, or not at all."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rsgeo.errors import ModelError, NoSpaceError
from rsgeo.hub import unpack

UNET = {"root/unet/config.json": b"{}", "root/model_index.json": b"{}"}


def write_zip(path: Path, members: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] | None = None) -> Path:
    """``change`` is applied to the last member."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (name, content) in enumerate(members.items(), start=1):
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if change is not None and number == len(members):
                change(info)
            archive.writestr(info, content)
    return path


def nothing_but(folder: Path, *names: str) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


def test_what_makes_a_model_is_unpacked_and_the_rest_passed_over(tmp_path: Path) -> None:
    rest = {"root/checkpoint-9/optimizer.bin": b"x" * 100, "root/checkpoint-9/unet/config.json": b"[]", "root/LICENSE.txt": b"free"}
    unpack.unpack(write_zip(tmp_path / "a.zip", UNET | rest), tmp_path / "out")
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == {*UNET, "root/checkpoint-9/unet/config.json", "root/LICENSE.txt"}
    nothing_but(tmp_path, "a.zip", "out")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../unet/config.json", "leads out"),
        ("root/unet/../../../evil", "leads out"),
        ("root\\..\\unet\\evil", "leads out"),
        ("/unet/config.json", "absolute"),
        ("C:/unet/config.json", "absolute"),
        ("root/unet/CONFIG.json", "same name twice"),
    ],
)
def test_names_that_lead_elsewhere(tmp_path: Path, name: str, words: str) -> None:
    archive = write_zip(tmp_path / "a.zip", {**UNET, name: b"evil"})
    with pytest.raises(ModelError, match=words):
        unpack.unpack(archive, tmp_path / "deep" / "out")
    nothing_but(tmp_path, "a.zip", "deep")
    nothing_but(tmp_path / "deep")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR], ids=["link", "pipe", "device"])
def test_links_and_devices(tmp_path: Path, kind: int) -> None:
    def change(info: zipfile.ZipInfo) -> None:
        info.external_attr = (kind | 0o644) << 16

    archive = write_zip(tmp_path / "a.zip", {**UNET, "root/unet/weights": b"/etc/passwd"}, change)
    with pytest.raises(ModelError, match=r"a link or device \('root/unet/weights'\)"):
        unpack.unpack(archive, tmp_path / "out")
    nothing_but(tmp_path, "a.zip")


def test_more_than_may_be(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"unet/weights": bytes(2_000_000)})
    with pytest.raises(ModelError, match=r"would unpack to 0\.0 GB"):
        unpack.unpack(archive, tmp_path / "out", largest=1_000_000)
    nothing_but(tmp_path, "a.zip")


def test_a_bomb(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"unet/weights": bytes(80 * 2**20)})
    assert archive.stat().st_size < 200_000
    with pytest.raises(ModelError, match="would unpack to"):
        unpack.unpack(archive, tmp_path / "out")


def test_a_size_that_lies_is_found_out(tmp_path: Path) -> None:
    """The declared size is changed to less than there is, in the member's header and in the list at the end."""
    archive = write_zip(tmp_path / "a.zip", {"unet/weights": bytes(1_000_000)})
    content = archive.read_bytes()
    archive.write_bytes(content.replace((1_000_000).to_bytes(4, "little"), (1_000).to_bytes(4, "little")))
    with pytest.raises(ModelError, match="broken"):
        unpack.unpack(archive, tmp_path / "out")
    nothing_but(tmp_path, "a.zip")


@pytest.mark.parametrize("cut", [0, 10, 60, -30])
def test_broken_files(tmp_path: Path, cut: int) -> None:
    archive = write_zip(tmp_path / "a.zip", UNET)
    archive.write_bytes(archive.read_bytes()[:cut])
    with pytest.raises(ModelError, match="no ZIP that can be read"):
        unpack.unpack(archive, tmp_path / "out")
    nothing_but(tmp_path, "a.zip")


def test_a_flipped_bit_is_found_out(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("unet/weights", b"0123456789" * 100)
    content = bytearray(archive.read_bytes())
    content[content.index(b"0123456789")] ^= 1
    archive.write_bytes(content)
    with pytest.raises(ModelError, match="broken"):
        unpack.unpack(archive, tmp_path / "out")
    nothing_but(tmp_path, "a.zip")


def test_an_encrypted_one(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"unet/weights": b"secret"})
    content = bytearray(archive.read_bytes())
    for header, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(header) + offset] |= 1
    archive.write_bytes(content)
    with pytest.raises(ModelError, match="encrypted"):
        unpack.unpack(archive, tmp_path / "out")


def test_a_disk_that_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write_zip(tmp_path / "a.zip", {"unet/weights": bytes(1000)})
    monkeypatch.setattr(unpack.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 999})())
    with pytest.raises(NoSpaceError, match="free space or choose another place"):
        unpack.unpack(archive, tmp_path / "out")
    nothing_but(tmp_path, "a.zip")


def test_the_cache_unpacks_once_and_again_after_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSGEO_CACHE", str(tmp_path / "cache"))
    archive = write_zip(tmp_path / "a.zip", UNET)
    first = unpack.unpacked(archive)
    (first / "seen").touch()
    assert unpack.unpacked(archive) == first and (first / "seen").exists() and first.name == "a"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        opened.writestr("unet/config.json", "[]")
    archive.write_bytes(buffer.getvalue())
    assert unpack.unpacked(archive) != first
