"""The catalogue: what is known of each model without opening its weights. Never imports torch.

Records lie in three places: of published archives in this package, of the embedded model beside its weights, and of what the user fetched or added
in `rsgeo.hub.places.models`. A model is at hand where its files are.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import warnings
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from rsgeo.errors import ModelError, RsgeoWarning
from rsgeo.hub import derived, huggingface, layout, places, unpack
from rsgeo.hub.layout import Layout
from rsgeo.hub.records import NOT_OF_THE_BASE, CatalogRecord, Task

__all__ = [
    "DEFAULT_MODEL", "EMBEDDED", "CatalogRecord", "Task", "about", "base_of", "default_for", "doing", "files_sha256", "find", "for_task",
    "is_at_hand", "is_sound", "known", "layout_of", "model_sha256", "names", "of_archive", "published_as", "record_of", "records",
]  # fmt: skip

EMBEDDED = Path(__file__).resolve().parents[1] / "weights"
PUBLISHED = Path(__file__).resolve().parent / "published"
DEFAULT_MODEL = "rsgeo-mini"
RECORD = "meta.json"
_KEPT_FROM = 64 * 2**20  # bytes of a file whose hash is worth keeping: some seconds for a model of gigabytes, at each command
_WORDS: dict[Task, str] = {
    "generate": "make pictures from words",
    "superres": "make a raster finer",
    "predict": "paint a series of rasters at another date",
    "inpaint": "fill gaps",
    "extend": "continue a raster beyond its edge",
}


def known() -> list[str]:
    """Names of all models that there are records of, at hand or not."""
    return sorted(_files())


def records() -> list[CatalogRecord]:
    """All records there are, sorted by name; warns of damaged ones."""
    found = []
    for name in known():
        try:
            found.append(record_of(name))
        except ModelError as error:
            warnings.warn(str(error), RsgeoWarning, stacklevel=2)
    return found


def names() -> list[str]:
    """Names of the models that are at hand; warns of damaged records."""
    return [record.name for record in records() if is_at_hand(record)]


def record_of(name: str) -> CatalogRecord:
    """The record of a name, whether its files are at hand or not.

    Raises:
        ModelError: no such name (near ones are listed), or its record, or that of its base, is damaged.
    """
    files = _files()
    if name not in files:
        near = difflib.get_close_matches(name.lower(), files, n=3, cutoff=0.3) or sorted(files)
        raise ModelError(f"There is no model or folder {name!r}; there is {', '.join(near)}, or add one by a name with rsgeo models add NAME PATH.")
    return _read(files[name], name)


def find(name_or_path: str, *, base: str | None = None, download: bool = False) -> CatalogRecord:
    """The record of a model at hand: by its name, of a folder or ZIP, with or without a record in it, or of an id of the Hugging Face hub.

    ``base`` names the model whose UNet a ControlNet works with, where its own record does not say so. ``download`` lets the network be used for a
    model of the hub that is not in its local cache.

    Raises:
        ModelError: no such model (near names are listed), its files are not at hand, or its record is damaged.
    """
    path = Path(name_or_path)
    if name_or_path in _files():
        record = record_of(name_or_path)
        if is_at_hand(record):
            return record if base is None else _beside(record, base)
        if not path.exists():
            raise ModelError(f"The files of {record.name} are not here; {_how_to_get(record)}.")
    if path.is_dir():
        return _of_folder(layout.root_of(path.resolve()), str(path.resolve()), base)
    if path.is_file():
        if unpack.is_checkpoint(path):
            raise ModelError(f"{path} is a training checkpoint; rsgeo models convert {path} FOLDER makes a model of it.")
        return _of_folder(layout.root_of(unpack.unpacked(path.resolve())), str(path.resolve()), base)
    if huggingface.is_id(name_or_path) and not path.exists():
        if (name := published_as(name_or_path)) is not None:
            return find(name, base=base)
        return _of_folder(huggingface.folder_of(name_or_path, download=download), name_or_path, base)
    return record_of(name_or_path)


def about(name_or_path: str) -> CatalogRecord:
    """As `find`, but of a name whose files need not be at hand."""
    return record_of(name_or_path) if name_or_path in _files() else find(name_or_path)


def for_task(task: Task, name_or_path: str | None = None) -> CatalogRecord:
    """The record of the model to do ``task`` with: the one that is named, else the default.

    Raises:
        ModelError: as `find` and `default_for`, or the model does not do this; the sentence names those that do.
    """
    if name_or_path is None:
        return default_for(task)
    record = find(name_or_path)
    if task not in record.tasks:
        raise ModelError(f"{record.name} cannot {_WORDS[task]}; {_those_that_do(task)}.")
    return record


def default_for(task: Task) -> CatalogRecord:
    """The model at hand that does ``task`` where none is named.

    Raises:
        ModelError: there is none; the sentence names the models and archives that do.
    """
    for record in records():
        if task in record.default_for and is_at_hand(record) and (record.base is None or is_at_hand(base_of(record))):
            return record
    raise ModelError(f"No model at hand is there to {_WORDS[task]}; {_those_that_do(task)}.")


def doing(task: Task) -> list[CatalogRecord]:
    """All records of models that do ``task``, at hand or not."""
    return [record for record in records() if task in record.tasks]


def is_at_hand(record: CatalogRecord) -> bool:
    """Whether the model's own files are here."""
    return record.folder != Path() and bool(layout.of(record.folder).parts)


def base_of(record: CatalogRecord) -> CatalogRecord:
    """The record of a ControlNet's base, with the checkpoint that the ControlNet was trained beside; it may not be at hand.

    Raises:
        ModelError: there is no such record, or it is a ControlNet's itself.
    """
    if record.base is None:
        raise ModelError(f"{record.name} names no base; say the model whose UNet it works with.")
    base = _base(record.base)
    return base if record.base_checkpoint is None else base.model_copy(update={"checkpoint": record.base_checkpoint})


def layout_of(record: CatalogRecord) -> Layout:
    """The parts of a model at hand, those that a ControlNet's folder lacks taken from its base, but for its guide.

    Raises:
        ModelError: the base is not at hand, or a checkpoint that is named is not there.
    """
    own = layout.of(record.folder, None if record.base else record.checkpoint)
    if record.base is None:
        return own
    base = base_of(record)
    if not is_at_hand(base):
        words = f"{record.name} works with the UNet of {base.name}, whose files are not here"
        raise ModelError(f"{words}; {_how_to_get(base)}, or name another with base= (--base).")
    lent = {name: folder for name, folder in layout_of(base).parts.items() if name != "guide"}
    return Layout(own.root, {**lent, **own.parts})


def files_sha256(record: CatalogRecord, *, afresh: bool = False) -> str:
    """SHA-256 over the sorted lines ``relative-path NUL sha256(file)`` of a model's own weight and configuration files (PROVENANCE.md section 5).

    The hash of a file whose size and time of change are as before is taken from the cache unless ``afresh``.
    """
    return _sha256_of_lines(_lines(record, afresh))


def is_sound(record: CatalogRecord, *, afresh: bool = False) -> bool | None:
    """Whether a model's files are those that its record pins; None where it pins none. ``afresh`` as in `files_sha256`."""
    return None if record.sha256 is None else record.sha256 == files_sha256(record, afresh=afresh)


def model_sha256(record: CatalogRecord) -> str:
    """`files_sha256`; a ControlNet has one more line, ``base NUL`` and the hash of its base, for that decides the pixels as well."""
    if record.base is None:
        return files_sha256(record)
    return _sha256_of_lines([*_lines(record), f"base\0{model_sha256(base_of(record))}\n"])


def _files() -> dict[str, Path]:
    """The file of each record by the model's name; what the user added comes before what is published, the embedded before all."""
    published = {path.stem: path for path in PUBLISHED.glob("*.json")}
    folders = {path.parent.name: path for root in (places.models(), EMBEDDED) for path in root.glob(f"*/{RECORD}")}
    return published | {name: path for name, path in folders.items() if not name.startswith(".")}


def _read(file: Path, name: str | None = None, *, is_base: bool = False) -> CatalogRecord:
    """The record in a file; where it names a base, what it leaves out is as there. A base has none itself."""
    values = derived.read_json(file)
    named = values.get("base")
    if isinstance(named, str):
        if is_base:
            raise ModelError(f"{name or file.parent.name} is a ControlNet and no base for another; name a model with a UNet.")
        values = {field: value for field, value in _base(named).model_dump().items() if field not in NOT_OF_THE_BASE} | values
    try:
        record = CatalogRecord.model_validate(values)
    except ValidationError as error:
        raise ModelError(f"The record {file.parent.name}/{file.name} of a model is damaged; install the model again.") from error
    folder = Path() if file.parent == PUBLISHED else Path(record.files or file.parent)
    return record.model_copy(update={"folder": folder, "name": name or record.name, "address": name or str(folder)})


def _base(name_or_path: str) -> CatalogRecord:
    """The record of a base, whether its files are at hand or not."""
    files, folder = _files(), Path(name_or_path)
    if name_or_path in files:
        return _read(files[name_or_path], name_or_path, is_base=True)
    if (folder / RECORD).is_file():
        return _read(folder / RECORD, is_base=True)
    return find(name_or_path)


def _of_folder(folder: Path, address: str, base: str | None) -> CatalogRecord:
    """The record that lies in a folder, that of the archive that it was, or one derived from it."""
    there = layout.of(folder)
    if _has_record(folder):
        record = _read(folder / RECORD)
    elif not there.parts:
        raise ModelError(
            f"{folder} holds no model: neither {RECORD} nor unet/, checkpoint-N/unet/, controlnet/ or base_unet/; give the folder that does."
        )
    else:
        record = _of_published(folder) or _derived(there, base)
    record = record.model_copy(update={"folder": folder, "address": address})
    return record if base is None else _beside(record, base)


def _has_record(folder: Path) -> bool:
    """Whether a folder's meta.json is a record; a training's, which says other things, is not, and is warned of."""
    if not (folder / RECORD).is_file():
        return False
    if "schema_version" in derived.read_json(folder / RECORD):
        return True
    words = f"{folder / RECORD} is no record of the catalogue; the model's licence and GSD are unknown until rsgeo models add states them."
    warnings.warn(words, RsgeoWarning, stacklevel=3)
    return False


def _derived(there: Layout, base: str | None) -> CatalogRecord:
    """A whole model's record, or that of a ControlNet beside the UNet in its own folder or beside that of ``base``."""
    name = there.root.name
    if there.is_cascade:
        return derived.cascade(there, name)
    if "controlnet" not in there.parts:
        return derived.single(there, name)
    if base is not None:
        return derived.controlnet(there, name, find(base))
    if "unet" not in there.parts:
        raise ModelError(f"{name} is a ControlNet without the UNet it works with; say with base= (--base) the model that has it.")
    return derived.controlnet(there, name, derived.single(there, name)).model_copy(update={"base": None})


def published_as(hub_id: str) -> str | None:
    """The name of the published record whose archive lies on the Hugging Face hub under that id."""
    return next((record.name for record in records() if record.archive is not None and record.archive.hub_id == hub_id), None)


def of_archive(name: str) -> CatalogRecord | None:
    """The published record whose archive is a file of that name."""
    return next((record for record in records() if record.archive is not None and record.archive.name == name), None)


def _of_published(folder: Path) -> CatalogRecord | None:
    """The published record whose archive a folder is, by its name."""
    for record in records():
        if record.archive is not None and Path(record.archive.name).stem in (folder.name, folder.parent.name):
            return record.model_copy(update={"name": folder.name, "sha256": None})
    return None


def _beside(record: CatalogRecord, base: str) -> CatalogRecord:
    """A ControlNet's record with another base. Raises ModelError where the model is none."""
    if "controlnet" not in layout.of(record.folder).parts:
        raise ModelError(f"{record.name} is no ControlNet, and works with no other model's UNet; leave the base out.")
    return record.model_copy(update={"base": find(base).address, "base_checkpoint": None})


def _those_that_do(task: Task) -> str:
    records = sorted(doing(task), key=is_at_hand, reverse=True)
    if not records:
        return "no model known here does"
    ways = [record.name if is_at_hand(record) else f"{_with_archive(record)} (rsgeo models fetch {record.name})" for record in records]
    return f"{' or '.join(ways)} can"


def _with_archive(record: CatalogRecord) -> str:
    """A model's name, and the archives that it and its base were published as, as far as they are not here."""
    named = record.name if record.archive is None else f"{record.name} of {record.archive.name}"
    base = None if record.base is None else base_of(record)
    return named if base is None or is_at_hand(base) else f"{named}, beside {_with_archive(base)}"


def _how_to_get(record: CatalogRecord) -> str:
    if record.archive is None:
        return f"its folder {record.folder} was moved or deleted, so add it again with rsgeo models add"
    return f"get them with rsgeo models fetch {record.name}, or rsgeo models add {record.name} PATH where you have them"


def _lines(record: CatalogRecord, afresh: bool = False) -> list[str]:
    parts = layout.of(record.folder, None if record.base else record.checkpoint)
    if not parts.parts:
        raise ModelError(f"The files of {record.name} are not here; {_how_to_get(record)}.")
    hashed = {path: _digest(path) if afresh else _file_sha256(path, *_stamp(path)) for path in parts.files()}
    return [f"{path.relative_to(record.folder).as_posix()}\0{digest}\n" for path, digest in hashed.items()]


def _sha256_of_lines(lines: list[str]) -> str:
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=256)
def _file_sha256(path: Path, size: int, mtime_ns: int) -> str:
    if size < _KEPT_FROM:
        return _digest(path)
    key = hashlib.sha256(f"{path.resolve()}\0{size}\0{mtime_ns}".encode()).hexdigest()
    kept = places.cache() / "hashes" / key
    if kept.is_file() and len(known := kept.read_text(encoding="ascii", errors="replace")) == len(key):
        return known
    digest = _digest(path)
    with contextlib.suppress(OSError):  # without a cache it takes its time again
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(digest, encoding="ascii")
    return digest


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
