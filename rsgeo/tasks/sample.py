"""Sample: captions become a folder of pictures, one each; the same call goes on where an interrupted one stopped."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from rsgeo._version import __version__
from rsgeo.data import caption_files
from rsgeo.errors import CancelledError, InputError, RsgeoWarning
from rsgeo.geo import provenance
from rsgeo.geo.picture_folder import MOST_IN_GRID, PictureFolder
from rsgeo.hub import catalog
from rsgeo.hub.catalog import CatalogRecord
from rsgeo.request import Ask, CaptionRequest, ModelRecord
from rsgeo.runtime import Progress, Runtime
from rsgeo.scene import SceneMetadata
from rsgeo.tasks import making, told
from rsgeo.tasks.resolve import sampler_of
from rsgeo.tasks.wished import UNKNOWN, value_of

if TYPE_CHECKING:
    from rsgeo.pipelines.caption_view import CaptionView

DEFAULT_COLUMNS = 4


@dataclass(frozen=True)
class SampleAsk:
    """What to make pictures of, and how.

    ``captions`` are the captions themselves, or a file of them, of which ``split`` and ``column`` name a part
    (`rsgeo.data.caption_files.read_captions`). ``n`` of them are drawn by ``seed``, which is that of the pictures too; without ``n`` all are taken in
    their order. ``gsd`` (metres), ``lon``, ``lat`` (degrees), ``date`` and ``cloud_cover`` (percent) are what the model is told of every picture:
    unknown, but for the GSD, which is the model's own ("unknown" is possible too). ``columns`` pictures of the grid stand beside each other.
    """

    captions: str | Path | Sequence[str]
    split: str | None = None
    column: str | None = None
    n: int | None = None
    seed: int = 0
    negative_prompt: str = ""
    gsd: str | float | None = None
    lon: float | None = None
    lat: float | None = None
    date: str | None = None
    cloud_cover: float | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    scheduler: str | None = None
    model: str | None = None
    columns: int = DEFAULT_COLUMNS


@dataclass(frozen=True)
class SampleResult:
    """The folder, its request, the pictures in the order of the captions, how many of them this call made, and the facts of the run."""

    path: Path
    request: CaptionRequest
    pictures: tuple[Path, ...]
    grid: Path
    made: int
    run: Mapping[str, Any]


def sample(ask: SampleAsk, out: str | Path, runtime: Runtime | None = None) -> SampleResult:
    """Make a picture of each caption in the folder ``out``, as PNG with its marks, with ``captions.txt``, ``sample.json`` and ``_grid.png``.

    A picture depends on its caption, its index and the request's settings, whatever the batch size and whichever pictures are there already: in fp32
    by a grey level at most, and not at all for the same call. Only what is missing or damaged is made; pictures of another request are refused, or
    with ``Runtime.overwrite`` discarded.

    Raises:
        RsgeoError: one sentence; what was finished before stays, and nothing is half-written.
    """
    how = runtime or Runtime()
    captions = _captions(ask)
    record = catalog.for_task("generate", ask.model)
    steps = Ask(num_inference_steps=ask.num_inference_steps, guidance_scale=ask.guidance_scale, scheduler=ask.scheduler)
    sampler, scene = sampler_of(steps, None, record), _scene(ask, record)
    if ask.columns < 1:
        raise InputError(f"--cols must be 1 or more, got {ask.columns}.")
    if how.batch_size is not None and how.batch_size < 1:
        raise InputError(f"--batch-size must be 1 or more, got {how.batch_size}.")
    created = provenance.creation_time(how.reproducible)
    chosen = _chosen(how, record, len(captions))
    request = CaptionRequest(
        model=ModelRecord(name=record.name, sha256=catalog.model_sha256(record)),
        captions=tuple(captions),
        negative_prompt=ask.negative_prompt,
        scene=scene,
        sampler=sampler,
        seed=ask.seed,
        dtype=chosen.dtype,
    )
    folder = PictureFolder(Path(out), request)
    _warn_of_other(folder.check(overwrite=how.overwrite), chosen)
    missing = list(range(len(captions))) if how.overwrite else folder.missing()
    facts = making.facts(chosen)
    make = _loaded(request, chosen, how) if missing else None
    try:
        if make is not None:
            folder.begin(facts, overwrite=how.overwrite)
            for index, picture in _pictures(make, missing, chosen.batch_size, how):
                folder.write(index, picture, created=created, copyright=how.copyright, licence=record.licence)
        grid = folder.finish(ask.columns, title=_title(request), created=created)
    except (KeyboardInterrupt, CancelledError) as error:
        raise CancelledError(f"Interrupted; what is finished stays in {folder.path}, and the same command goes on from there.") from error
    return SampleResult(folder.path, request, tuple(map(folder.file, range(len(captions)))), grid, len(missing), facts)


def _captions(ask: SampleAsk) -> list[str]:
    if not 0 <= ask.seed < 2**32:
        raise InputError(f"--seed must be a whole number from 0 to 2^32 - 1, got {ask.seed}.")
    if ask.n is not None and ask.n < 1:
        raise InputError(f"--n must be 1 or more, got {ask.n}.")
    if isinstance(ask.captions, (str, Path)):
        captions = caption_files.read_captions(Path(ask.captions), split=ask.split, column=ask.column)
    elif ask.split is not None or ask.column is not None:
        raise InputError("A split and a column are those of a file; leave them out with a list of captions.")
    else:
        captions = caption_files.checked(ask.captions)
    return captions if ask.n is None else caption_files.draw(captions, ask.n, ask.seed)


def _scene(ask: SampleAsk, record: CatalogRecord) -> SceneMetadata:
    """What the model is told of every picture; warns of what it does not take in as it was said."""
    said = {"gsd": ask.gsd, "lon": ask.lon, "lat": ask.lat, "date": ask.date, "cloud_cover_percent": ask.cloud_cover}
    wished = {name: value_of(name, value) for name, value in said.items() if value is not None}
    if (ask.lon is None) != (ask.lat is None):
        raise InputError("A place is --lon and --lat; give both, or neither.")
    scene = SceneMetadata(**{"gsd": None if record.gsd_native is None else value_of("gsd", record.gsd_native), **wished})
    seen = told.seen(scene, record)
    changed = [
        f"{name} {value.value} as {UNKNOWN if (known := getattr(seen, name)) is None else known.value}"
        for name, value in wished.items()
        if value is not None and getattr(seen, name) != value
    ]
    if changed:
        warnings.warn(f"{record.name} was not taught all that it is told; it sees {', '.join(changed)}.", RsgeoWarning, stacklevel=3)
    return seen


def _chosen(how: Runtime, record: CatalogRecord, count: int) -> making.Settings:
    """What runs here. Batches are as even as they can be. Raises InputError for a device that this machine has not."""
    from rsgeo.hub.devices import pick_device, pick_dtype

    device = pick_device(how.device)
    most = how.batch_size or record.defaults.batch_size
    batch = math.ceil(count / math.ceil(count / most))
    return making.Settings(device.type, str(pick_dtype(how.dtype, device)).removeprefix("torch."), batch, record.address)


def _warn_of_other(begun: Mapping[str, Any], chosen: making.Settings) -> None:
    """Say what may show where a run goes on with what another one began."""
    for name, here in (("device", chosen.device), ("rsgeo", __version__)):
        if begun.get(name, here) != here:
            words = f"The pictures that are there were begun with {name} {begun[name]}, and {here} goes on; they may differ by a grey level."
            warnings.warn(words, RsgeoWarning, stacklevel=3)


def _loaded(request: CaptionRequest, chosen: making.Settings, how: Runtime) -> CaptionView:
    from rsgeo.hub.load import load_pipeline
    from rsgeo.pipelines import caption_view

    report = how.progress or (lambda _: None)
    report(Progress("load", 0, 1))
    pipeline = load_pipeline(chosen.model, device=chosen.device, dtype=chosen.dtype, compile=how.compile)
    report(Progress("load", 1, 1))
    return caption_view.view(pipeline, request)


def _pictures(make: CaptionView, missing: list[int], batch_size: int, how: Runtime) -> Iterator[tuple[int, Image.Image]]:
    """The pictures that are missing with their indices, made batch by batch.

    Batches are those of a run that misses nothing: what stands beside a picture, and where in the batch it does, may move its last bits.
    """
    count, wanted = len(make.request.captions), set(missing)
    every = [range(first, min(first + batch_size, count)) for first in range(0, count, batch_size)]
    batches, done = [batch for batch in every if not wanted.isdisjoint(batch)], 0

    def tell() -> None:
        nonlocal done
        done += 1
        if how.progress is not None:
            how.progress(Progress("synthesis", done, len(batches) * make.evaluations))
        if how.cancelled is not None and how.cancelled():
            raise CancelledError("Interrupted.")

    for batch in batches:
        full = [*batch, *[batch[-1]] * (batch_size - len(batch))]
        yield from ((index, picture) for index, picture in zip(batch, make(full, tell), strict=False) if index in wanted)


def _title(request: CaptionRequest) -> list[str]:
    count, sampler = len(request.captions), request.sampler
    shown = f"the first {MOST_IN_GRID} of {count} pictures" if count > MOST_IN_GRID else f"{count} pictures"
    return [
        f"SYNTHETIC, not observations: {request.model.name}, {shown}",
        f"{sampler.scheduler}, {sampler.num_inference_steps} steps, guidance {sampler.guidance_scale:g}, seed {request.seed}",
    ]
