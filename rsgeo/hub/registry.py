"""The user's own models: added where they lie, or moved in from an archive, each a folder with a record in `rsgeo.hub.places.models`."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rsgeo.errors import InputError, ModelError, OutputError
from rsgeo.hub import catalog, layout, places, unpack
from rsgeo.hub.records import CatalogRecord

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def add(name: str, path: Path, *, base: str | None = None, **stated: Any) -> CatalogRecord:
    """Give the model in a folder or ZIP a name: a folder stays where it is, a ZIP is unpacked into the user's models.

    What the record says is the published record's where ``name`` is one, else what lies in the folder, else what its configurations tell; ``stated``
    are fields of it that the user knows better (None: not stated). The hash over the files is pinned.

    Raises:
        InputError: the name is taken or no name, or what is stated cannot be.
        ModelError: there is no model at ``path``, or a ControlNet's base is not said.
        OutputError: the folder of models cannot be written.
    """
    _check_name(name)
    given = {field: value for field, value in stated.items() if value is not None}
    if unpack.is_checkpoint(path):
        raise InputError(f"{path} is a training checkpoint; rsgeo models convert {path} FOLDER makes a model of it, which can be added.")
    if path.is_file():
        with _made(name) as folder:
            unpack.unpack(path, folder)
            return _settle(layout.root_of(folder), name, _known_as(name, layout.root_of(folder), path.stem, base), given)
    if not path.is_dir():
        raise InputError(f"There is no folder or file {path}; give the folder or ZIP of a model.")
    where = layout.root_of(path.resolve())
    with _made(name) as folder:
        folder.mkdir(parents=True)
        return _settle(folder, name, _known_as(name, where, where.name, base), {**given, "files": str(where)})


def move_in(record: CatalogRecord, archive: Path) -> CatalogRecord:
    """Bring the archive of a published record into the user's models: a ZIP unpacked, a training checkpoint converted. Raises as `add`."""
    with _made(record.name) as folder:
        if unpack.is_checkpoint(archive):
            _convert(record, archive, folder)
        else:
            unpack.unpack(archive, folder)
        root = layout.root_of(folder)
        if not layout.of(root).parts:
            raise ModelError(
                f"{archive.name} holds no model: neither unet/, checkpoint-N/unet/, controlnet/ nor base_unet/; it is not that of {record.name}."
            )
        return _settle(root, record.name, record, {})


def _convert(record: CatalogRecord, checkpoint: Path, folder: Path) -> None:
    from rsgeo.hub import convert_rsdiff  # torch is not needed for anything else here

    sides = {name: {"sample_size": stage.tile} for name, stage in zip(convert_rsdiff.STAGES, record.stages, strict=False)}
    convert_rsdiff.convert_rsdiff(checkpoint, folder, config=sides)


def write_record(record: CatalogRecord, folder: Path) -> None:
    """Write a record beside the files that it is of."""
    text = json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False)
    (folder / catalog.RECORD).write_text(text + "\n", encoding="utf-8")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name for a model; take letters, digits, points, hyphens and underscores, 64 at most.")
    if name in catalog.names():
        raise InputError(f"There is a model {name} in {catalog.record_of(name).folder}; take another name, or delete {places.models() / name} first.")


def _known_as(name: str, where: Path, archive: str, base: str | None) -> CatalogRecord:
    """The record to begin with: of the published model of that name or archive, else as `rsgeo.hub.catalog.find` has it."""
    for record in catalog.records():
        if record.archive is not None and (record.name == name or Path(record.archive.name).stem == archive):
            beside = {} if base is None else {"base": catalog.find(base).address, "base_checkpoint": None}
            return record.model_copy(update=beside if record.name == name else {**beside, "default_for": ()})
    return catalog.find(str(where), base=base).model_copy(update={"default_for": ()})  # nothing is done with it that was not asked for


def _settle(folder: Path, name: str, record: CatalogRecord, stated: dict[str, Any]) -> CatalogRecord:
    """Write the record into a folder that is still being made, and give it as it will be found."""
    if "tile" in stated and record.decoder_tile is not None:
        stated = {**stated, "decoder_tile": stated["tile"], "decoder_stride": stated["tile"] * 3 // 4}
    values = {**record.model_dump(exclude={"sha256"}), **stated, "name": name}
    try:
        settled = CatalogRecord.model_validate(values)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        what = f"The {where} that was stated for {name}" if where else f"What was stated for {name}"
        raise InputError(f"{what} cannot be: {error.errors()[0]['msg']}.") from error
    native, range_ = settled.gsd_native, settled.gsd_range
    if native is not None and range_ is not None and not range_[0] <= native <= range_[1]:
        said = f"{range_[0]:g}, {native:g} and {range_[1]:g} m"
        raise InputError(f"The finest, the native and the coarsest GSD of {name} would be {said}; state all three in that order.")
    here = settled.model_copy(update={"folder": Path(settled.files or folder)})
    write_record(settled.model_copy(update={"sha256": catalog.files_sha256(here)}), folder)
    home = places.models() / name
    if home.is_dir():  # a record whose files are not at hand
        (home / catalog.RECORD).unlink()
        home.rmdir()
    folder.rename(home)
    return catalog.record_of(name)


@contextmanager
def _made(name: str) -> Iterator[Path]:
    """A hidden place beside the user's models, for what will be one of them; whatever is left there in the end is removed."""
    part = places.models() / f".{name}.{uuid.uuid4().hex[:8]}.part"
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        yield part
    except OSError as error:
        raise OutputError(f"{places.models()} cannot be written ({error.strerror or error}); RSGEO_HOME names another place.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
