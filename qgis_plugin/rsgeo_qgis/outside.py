"""What a set-up needs that is not pip's: run as a script by the Python outside QGIS, never imported by QGIS.

    python outside.py obtain SOURCE SHA256 TARGET SPACE  a file or an http(s) address becomes TARGET, if its SHA-256 is that one
    python outside.py unpack BUNDLE FOLDER               the wheels of a zip file, wherever in it they lie, come into FOLDER

Every line printed is for people. What was fetched stays in TARGET.part when the script is ended, and the next run goes on behind it.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
import zipfile
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

CHUNK = 2**20


def obtain(source: str, sha256: str, target: Path, space: float) -> None:
    """Copy or fetch ``source`` to ``target`` and check it. ``space`` times its size must be free before anything is written."""
    part = target.with_name(target.name + ".part")
    have = part.stat().st_size if part.exists() else 0
    incoming, have, size = _open(source, have)
    needed = int(size * space) - have
    free = shutil.disk_usage(target.parent).free
    print(f"{size / 2**20:.1f} MB; with what is made of it {needed / 2**20:.0f} MB or more are needed, {free / 2**20:.0f} MB are free.", flush=True)
    if free < needed:
        sys.exit(f"There is not enough room: free {(needed - free) / 2**20:.0f} MB more, or choose another folder.")
    if have:
        print(f"Going on behind the {have / 2**20:.1f} MB that are here.", flush=True)
    shown = time.monotonic()
    with closing(incoming), part.open("ab" if have else "wb") as file:
        while chunk := incoming.read(CHUNK):
            file.write(chunk)
            have += len(chunk)
            if time.monotonic() - shown > 1:
                shown = time.monotonic()
                print(f"{have / 2**20:.1f} of {size / 2**20:.1f} MB", flush=True)
    if have != size:
        sys.exit(f"The connection ended after {have} of {size} bytes; run the set-up again to go on from there.")
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        part.unlink()
        sys.exit(f"SHA-256 is {found}, not {sha256}: this is not the file that was meant, and nothing of it was installed.")
    os.replace(part, target)
    print(f"SHA-256 is right: {found}", flush=True)


def _open(source: str, have: int) -> tuple[BinaryIO, int, int]:
    """The bytes behind the first ``have`` ones, how many those are in truth (0: it starts over), and the size of the whole."""
    if not source.startswith(("https://", "http://")):
        size = os.path.getsize(source)
        file = open(source, "rb")  # noqa: SIM115 - the caller closes it, like the answer of a server
        have = have if have <= size else 0
        file.seek(have)
        return file, have, size
    request = urllib.request.Request(source, headers={"User-Agent": "rsgeo-qgis", **({"Range": f"bytes={have}-"} if have else {})})
    try:
        answer = cast(http.client.HTTPResponse, _web_only().open(request, timeout=60))
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        return _open(source, 0)  # what is here is as long as the file or longer: not the one that was meant
    have = have if answer.status == 206 else 0
    rest = answer.headers["Content-Length"]
    if rest is None:
        sys.exit("The server does not say how large the file is; fetch it with a browser and give its path instead.")
    return cast(BinaryIO, answer), have, have + int(rest)


def _web_only() -> urllib.request.OpenerDirector:
    """An opener that knows proxies and redirections, but neither files nor ftp: what a server redirects to is asked of a server."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
    ):
        opener.add_handler(handler)
    return opener


def unpack(bundle: Path, folder: Path) -> None:
    """Take the wheels out of a zip file, by their last names alone, so that no name leads out of ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(bundle) as archive:
        wheels = [member for member in archive.infolist() if member.filename.endswith(".whl")]
        if not wheels:
            sys.exit(f"{bundle.name} holds no wheels (*.whl); give a zip file of the wheels of rsgeo and all that it needs.")
        for member in wheels:
            name = PurePosixPath(member.filename).name
            print(name, flush=True)
            with archive.open(member) as packed, (folder / name).open("wb") as file:
                shutil.copyfileobj(packed, file, CHUNK)


def main(arguments: list[str]) -> None:
    """Do what the first argument says. Exits with a sentence where the rest cannot be done."""
    try:
        if arguments[0] == "obtain":
            obtain(arguments[1], arguments[2], Path(arguments[3]), float(arguments[4]))
        else:
            unpack(Path(arguments[1]), Path(arguments[2]))
    except (OSError, http.client.HTTPException, zipfile.BadZipFile) as error:
        sys.exit(f"{arguments[1]}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
