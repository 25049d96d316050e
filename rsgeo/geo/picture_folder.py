"""A folder of pictures made from captions, one each: their names, their marks, and which of them are still to be made.

``sample.json`` holds the request and the facts of the last run; ``captions.txt`` the captions by index, a line each; ``_grid.png`` the first pictures
side by side. A picture that is not whole, or does not say that it is of this request, counts as not made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from rsgeo.errors import InputError, OutputError
from rsgeo.geo import preview, strip
from rsgeo.geo.atomic import replacing
from rsgeo.request import CaptionRequest

RECORD, CAPTIONS, GRID = "sample.json", "captions.txt", "_grid.png"
MOST_IN_GRID = 64

_SLUG = 40
_PART = re.compile(r"\..*\.[0-9a-f]{8}\.part")
_LARGEST_RECORD = 512 * 2**20
_MARK = "RSGEO_SAMPLE"


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    request: CaptionRequest
    run: dict[str, Any]


def name_of(index: int, count: int, caption: str) -> str:
    """The file name of one of ``count`` pictures, as RSDiff names them: "007_many_planes_are_parked.png"."""
    return f"{index:0{max(2, len(str(count - 1)))}d}_{slug(caption)}.png"


def slug(caption: str) -> str:
    """Letters and digits of a caption in lower case, the first 40 characters, with one underscore for all between them."""
    words = "".join(letter if letter.isalnum() else " " for letter in caption.lower()).split()
    return "_".join(words)[:_SLUG]


@dataclass(frozen=True)
class PictureFolder:
    """The folder at ``path`` for the pictures of ``request``."""

    path: Path
    request: CaptionRequest

    def file(self, index: int) -> Path:
        """Where a picture lies, or will."""
        return self.path / name_of(index, len(self.request.captions), self.request.captions[index])

    def check(self, *, overwrite: bool) -> Mapping[str, Any]:
        """See that pictures of this request can be put here; the facts of the run that began it, if there are any.

        Raises:
            OutputError: there is no place, or something else is there: no folder of samples, or, without ``overwrite``, samples of another request.
        """
        try:
            if not self.path.exists():
                if not self.path.parent.is_dir():
                    raise OutputError(f"The folder {self.path.parent} does not exist; make it first.")
                return {}
            if not self.path.is_dir():
                raise OutputError(f"{self.path} is not a folder; choose another name.")
            if all(_PART.fullmatch(path.name) for path in self.path.iterdir()):
                return {}
        except OSError as error:
            raise OutputError(f"{self.path} cannot be used ({error.strerror}); choose another place.") from error
        stored = self._stored()
        if stored is None:
            raise OutputError(f"{self.path} holds other files; choose a new or an empty folder.")
        if stored.request == self.request:
            return {} if overwrite else stored.run
        if not overwrite:
            other = _difference(stored.request, self.request)
            raise OutputError(f"{self.path} holds pictures of other settings ({other}); choose another folder, or say --overwrite to discard them.")
        return {}

    def missing(self) -> list[int]:
        """Indices of the pictures that are still to be made."""
        return [index for index in range(len(self.request.captions)) if not self._is_made(index)]

    def begin(self, run: Mapping[str, Any], *, overwrite: bool) -> None:
        """Make the folder if there is none, and write down the request, the facts of the run and the captions.

        With ``overwrite`` the pictures of the request that was written down before are removed, and always what a killed run left half-written: one
        run at a time. Raises OutputError if it cannot be.
        """
        try:
            self.path.mkdir(exist_ok=True)
            for path in self.path.iterdir():
                if _PART.fullmatch(path.name):
                    path.unlink()
            if overwrite and (stored := self._stored()) is not None:
                self._remove(stored.request)
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written ({error.strerror or error}); choose another place.") from error
        _write(self.path / RECORD, _Stored(request=self.request, run=dict(run)).model_dump_json(indent=1) + "\n")
        self._write_captions()

    def write(self, index: int, picture: Image.Image, *, created: datetime | None, copyright: str | None, licence: str) -> None:
        """Write one picture with its marks, whole or not at all. Raises OutputError if it cannot be."""
        said = {_MARK: self.request.of_picture(index), "RSGEO_MODEL_LICENCE": licence}
        preview.write_png(picture.convert("RGB"), self.file(index), synthetic="ALL", created=created, copyright=copyright, said=said)

    def finish(self, columns: int, *, title: Sequence[str], created: datetime | None) -> Path:
        """Write the captions, and the first pictures side by side, whose file is given back. Raises OutputError if it cannot be."""
        self._write_captions()
        shown = range(min(len(self.request.captions), MOST_IN_GRID))
        pictures = [_read(self.file(index)) for index in shown]
        captions = [f"{index} {self.request.captions[index]}" for index in shown]
        sheet = strip.contact_sheet(pictures, captions, title=title, columns=columns)
        preview.write_png(sheet, self.path / GRID, synthetic="ALL", created=created)
        return self.path / GRID

    def _write_captions(self) -> None:
        _write(self.path / CAPTIONS, "".join(f"{caption}\n" for caption in self.request.captions))

    def _is_made(self, index: int) -> bool:
        try:
            return bool(_read(self.file(index)).info.get(_MARK) == self.request.of_picture(index))
        except OutputError:
            return False

    def _remove(self, request: CaptionRequest) -> None:
        old = PictureFolder(self.path, request)
        for index in range(len(request.captions)):
            old.file(index).unlink(missing_ok=True)
        for name in (GRID, CAPTIONS, RECORD):
            (self.path / name).unlink(missing_ok=True)

    def _stored(self) -> _Stored | None:
        file = self.path / RECORD
        if not file.is_file():
            return None
        broken = f"{file} is damaged; choose another folder, or remove this one."
        try:
            if file.stat().st_size > _LARGEST_RECORD:
                raise InputError(broken)
            return _Stored.model_validate_json(file.read_bytes())
        except (OSError, ValidationError) as error:
            raise InputError(broken) from error


def _read(file: Path) -> Image.Image:
    """A picture in memory. Raises OutputError if it is missing or not whole."""
    try:
        with Image.open(file, formats=["PNG"]) as picture:
            picture.verify()  # checksums, which loading leaves unread; a picture is of no use after that
        with Image.open(file, formats=["PNG"]) as picture:
            picture.load()
            return picture
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise OutputError(f"{file} is missing or damaged; the same command makes it again.") from error


def _write(file: Path, text: str) -> None:
    with replacing(file) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def _difference(before: CaptionRequest, now: CaptionRequest) -> str:
    """The first setting that differs, in words."""
    if before.captions != now.captions:
        return f"{len(before.captions)} captions, not these {len(now.captions)}" if len(before.captions) != len(now.captions) else "other captions"
    was, then = dict(_flat(before.model_dump(mode="json"))), dict(_flat(now.model_dump(mode="json")))
    name = next(name for name in {**was, **then} if was.get(name) != then.get(name))
    return f"{name.replace('_', ' ')} {was.get(name)}, here {then.get(name)}"


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a nested record by the names that lead to them."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name} ")
        else:
            yield f"{before}{name}", value
