"""One screen of text about a request, a plan or a result, and progress on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rsgeo.runtime import Progress

if TYPE_CHECKING:
    from rsgeo.geo.info import AreaInfo, RasterInfo
    from rsgeo.hub.convert_rsdiff import Converted
    from rsgeo.hub.records import CatalogRecord
    from rsgeo.request import Reference
    from rsgeo.runtime import Result
    from rsgeo.synthesis.plan import SynthesisPlan
    from rsgeo.tasks.resolve import Resolved
    from rsgeo.tasks.sample import SampleResult
    from rsgeo.tasks.told import Told, ToldField

_PLAIN_LINE_EVERY_S = 15.0
_TERMINAL_LINE_EVERY_S = 0.2
_MOST_NAMES = 6
_GUESSES = {
    "copy_previous": "copy of the date before",
    "copy_next": "copy of the date after",
    "linear_in_time": "line in time",
    "mean_of_all": "mean of the series",
}
_WORDS = {
    "calibrate": "Measuring this machine, once", "load": "Loading the model", "synthesis": "Computing", "write": "Writing",
    "download": "Downloading", "check": "Checking",
}  # fmt: skip


def rows(pairs: list[tuple[str, str]]) -> str:
    """Two columns of text."""
    width = max(len(name) for name, _ in pairs)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in pairs)


def plan(resolved: Resolved, planned: SynthesisPlan) -> str:
    """What would be done."""
    return rows(
        [
            *_request(resolved),
            ("windows", f"{' + '.join(str(n) for n in planned.windows)} in {len(planned.windows)} phases (plan {resolved.request.synthesis.plan})"),
            ("evaluations", f"{planned.evaluations}"),
            ("cost", f"{planned.cost:.2f} charged to this area, {planned.steady_cost:.2f} inside a boundless one (butt-joined tiles: 1)"),
            ("valid pixels", f"{planned.valid_pixels:,}"),
            ("time", _duration(planned.seconds)),
            *([("as run on", planned.machine)] if planned.machine else []),
            ("memory", f"about {planned.memory_bytes / 1e9:.2f} GB"),
            ("file", f"about {planned.file_bytes / 1e6:.1f} MB ({planned.output_bytes / 1e6:.1f} MB raw)"),
        ]
    )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "unknown; rsgeo plan --calibrate measures this machine"
    if seconds < 100:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 6000 else f"about {seconds / 3600:.1f} hours"


def result(resolved: Resolved, done: Result, preview: Path | None) -> str:
    """What was made."""
    facts = done.run
    machine = f"{facts['device']}, {facts['dtype']}, batch {facts['batch_size']}, {facts['threads']} threads"
    written = [("written", str(done.path))] + ([("preview", str(preview))] if preview else [])
    marks = "SYNTHETIC (tags, XMP, band names; rsgeo info shows them)"
    if any(reference.role == "known" for reference in done.request.references):
        partly = "PARTLY " if "observed" in done.bands[-1] else ""
        marks = f"{partly}SYNTHETIC (tags, XMP); the last of {len(done.bands)} bands says where: {done.bands[-1]}"
    return rows([*written, ("marked as", marks), *_request(resolved), ("run", machine), *_measured(done.report or {})])


def samples(done: SampleResult) -> str:
    """What was made of captions."""
    request, facts = done.request, done.run
    count, scene, sampler = len(request.captions), request.scene, request.sampler
    there = count - done.made
    gsd = "unknown" if scene.gsd is None else f"{scene.gsd.value:g} m"
    return rows(
        [
            ("written", f"{count} pictures in {done.path}" + (f" ({there} of them were there)" if there else "")),
            ("to look at", str(done.grid)),
            ("marked as", "SYNTHETIC (XMP and text in each PNG)"),
            ("model", f"{request.model.name} ({request.model.sha256[:12]})"),
            ("gsd", gsd),
            ("sampler", f"{sampler.scheduler}, {sampler.num_inference_steps} steps, guidance {sampler.guidance_scale:g}, seed {request.seed}"),
            ("run", f"{facts['device']}, {facts['dtype']}, batch {facts['batch_size']}, {facts['threads']} threads"),
        ]
    )


def _measured(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was measured of the picture, a line each."""
    lines = []
    for name, found in report.items():
        worlds = found if all(isinstance(value, dict) for value in found.values()) else {"": found}
        for world, facts in worlds.items():
            said = _consistency(facts) if name == "consistency" else _prediction(facts)
            lines += [(f"{world} {title}".strip(), text) for title, text in said]
    return lines


def _consistency(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not facts["pixels"]:
        return [("consistency", f"unknown: no pixel of {facts['reference']} is covered as a whole")]
    rmse = ", ".join(f"{colour} {value:.1f}" for colour, value in facts["rmse"].items())
    angle, shift = facts["spectral_angle_deg"], facts["shift_px"]
    where = (
        "unknown"
        if shift is None
        else f"{shift[0]:+.2f} px right, {shift[1]:+.2f} px down ({facts['shift_m'][0]:+.1f} m, {facts['shift_m'][1]:+.1f} m)"
    )
    return [
        ("consistency", f"averaged back to {facts['reference']}: RMSE {rmse} of 255 grey levels"),
        ("colours", f"spectral angle {angle['median']:.2f} degrees (median), {angle['percentile_95']:.2f} (95 %)"),
        ("shift", where),
    ]


def _prediction(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not facts["pixels"]:
        return [("error", f"unknown: {facts['truth']}, the series and the result have no pixel in common")]
    errors = dict(facts["errors"])
    own, best = errors.pop("prediction"), min(errors, key=errors.__getitem__)
    guesses = ", ".join(f"{_GUESSES[name]} {value:.1f}" for name, value in errors.items())
    verdict = "better than all of these" if own < errors[best] else f"no better than {_GUESSES[best]}"
    return [("error", f"{own:.1f} of 255 grey levels against {facts['truth']}"), ("plain guesses", f"{guesses}; the prediction is {verdict}")]


def _request(resolved: Resolved) -> list[tuple[str, str]]:
    from rsgeo.geo import grid, provenance

    request, cells = resolved.request, resolved.request.grid
    ground = grid.ground(cells)
    sampler, scene, samples = request.sampler, request.scene, provenance.samples_in_words(request)
    return [
        ("grid", f"{cells.width} x {cells.height} px, {ground.gsd_m:.4g} m, {_short(cells.crs)}, centre {ground.lon:.5f} {ground.lat:.5f}"),
        *([("continued", "as the same world, from the request stored in it")] if resolved.known else []),
        *(_kept(reference) for reference in request.references if reference.role == "known"),
        ("prompt", request.prompt or "(none: unconditional)"),
        *([("by polygon", ", ".join(region.prompt for region in request.regions))] if request.regions else []),
        *([("not", request.negative_prompt)] if request.negative_prompt else []),
        ("date, cloud", f"{scene.date.value if scene.date else 'unknown'}, {_percent(scene.cloud_cover_percent)}"),
        ("sampler", f"{sampler.scheduler}, {sampler.num_inference_steps} steps, guidance {sampler.guidance_scale:g}, seed {request.seed}"),
        *([("samples", samples)] if samples else []),
        ("model", f"{request.model.name} ({request.model.sha256[:12]}), {resolved.record.licence}"),
    ]


def _kept(reference: Reference) -> tuple[str, str]:
    """Which raster's pixels stay, where they do not, and how a model sees them."""
    ends = [f"{low:.4g} to {high:.4g}" for low, high in reference.stretch]
    seen = f"bands {', '.join(map(str, reference.bands))} seen from {', '.join(dict.fromkeys(ends))}"
    mask = reference.mask
    if mask is None:
        return "continued", f"{reference.name}, from its pixels, which stay bit for bit; {seen}"
    where = "where it has no data" if mask.kind == "nodata" else "in the area of the mask"
    if mask.kind == "raster":
        where = f"where {mask.name} is {', '.join(map(str, mask.values)) or 'not 0'}"
    grown = f" and up to {mask.grow_px} px round it" if mask.grow_px else ""
    return "inpainted", f"{reference.name}, {where}{grown}; {seen}"


def _percent(value: object) -> str:
    return "unknown" if value is None else f"{getattr(value, 'value', 0.0):g} %"


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A progress bar with time left on a terminal, plain lines elsewhere, nothing when quiet; always on stderr."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar() as report:
            yield report
    else:
        yield _lines()


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    with Bar(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"), TimeRemainingColumn(), console=Console(stderr=True)
    ) as bar:
        tasks: dict[str, TaskID] = {}

        def report(step: Progress) -> None:
            if step.stage not in tasks:
                tasks[step.stage] = bar.add_task(_WORDS[step.stage], total=step.total)
            bar.update(tasks[step.stage], completed=step.done, total=step.total)

        yield report


def _lines() -> Callable[[Progress], None]:
    begun: dict[str, float] = {}
    last = 0.0

    def report(step: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        first = step.stage not in begun
        begun.setdefault(step.stage, now)
        if step.stage != "synthesis" or not (first or now - last >= _PLAIN_LINE_EVERY_S):
            return
        last = now
        share = step.done / step.total
        left = f", {(now - begun[step.stage]) * (1 - share) / share:.0f} s left" if not first and share > 0 else ""
        click.echo(f"{_WORDS[step.stage]}: {100 * share:.0f} % of {step.total} evaluations{left}", err=True)

    return report


def info(found: RasterInfo | AreaInfo) -> str:
    """What a file tells about itself; unknown values say so."""
    facts = found.model_dump()
    pairs = [("file", found.path), ("kind", found.kind)]
    if found.kind == "raster":
        pairs.append(("size", f"{facts['width']} x {facts['height']} px, {facts['bands']} bands, {facts['dtype']}"))
        if found.band_names:
            pairs.append(("band names", _some([name or "(none)" for name in found.band_names])))
        note = f" ({facts['georeference_note']})" if facts["georeference_note"] else ""
        pairs.append(("georeference", f"{facts['georeference']}{note}"))
        pairs.append(("centre", _place(facts["center_lon"], facts["center_lat"])))
        gsd = facts["gsd_m"]
        pairs.append(("gsd", "unknown" if gsd is None else f"{gsd:.5g} m ({facts['gsd_col_m']:.5g} x {facts['gsd_row_m']:.5g} m)"))
    else:
        area = facts["area_km2"]
        pairs.append(("area", "unknown" if area is None else f"{area:.6g} km2"))
        pairs.append(("centroid", _place(facts["centroid_lon"], facts["centroid_lat"])))
    box = found.bbox_lonlat
    crossing = " (crosses the antimeridian)" if found.crosses_antimeridian else ""
    pairs.append(("crs", _short(found.crs) if found.crs else "unknown"))
    pairs.append(("bounds", "unknown" if box is None else " ".join(f"{side:.5f}" for side in box) + crossing))
    if found.synthetic:
        pairs.append(("synthetic", f"{found.synthetic}: this is not an observation of the Earth"))
        pairs.append(("requested date", found.requested_date or "none"))
    else:
        date, cloud = found.date, found.cloud_cover_percent
        pairs.append(("date", "unknown" if date is None else f"{date.value} ({date.precision}; from {date.source})"))
        pairs.append(("cloud cover", "unknown" if cloud is None else f"{cloud.value:g} % (from {cloud.source})"))
    return rows(pairs)


def told(view: Told) -> str:
    """What a model is told of a file, a line a field: raw values, then the numbers that its network is fed."""
    taught = ", ".join(field.name for field in view.fields if field.taught) or "no metadata"
    return rows([("for model", f"{view.model}, which was taught {taught}"), *((field.name, _told(field)) for field in view.fields)])


def _told(field: ToldField) -> str:
    raw = {name: None if value is None else value["value"] for name, value in field.raw.items()}
    words = " ".join("unknown" if value is None else _short_number(value) for value in raw.values())
    encoded = ", ".join(f"{name} {_numbers(given)}" for name, given in field.encoded.items() if given is not None)
    if field.unknown_reads_as is not None:
        why = "not taught" if not field.taught else "not in the file" if None in raw.values() else "beyond where it was taught"
        return f"{words}; unknown to the model ({why}): {f'{encoded}, that is ' if encoded else ''}{field.unknown_reads_as}"
    moved = "" if field.seen == raw else f", taken as {' '.join(map(_short_number, field.seen.values()))}"
    return f"{words}{moved}; as {encoded}"


def _short_number(value: Any) -> str:
    return f"{value:.8g}" if isinstance(value, float) else str(value)


def _numbers(given: float | list[float] | None) -> str:
    if given is None:
        return "-"
    if isinstance(given, float):
        return f"{given:.6g}"
    return " ".join(f"{number:.3f}" for number in given[:3]) + (f" ... ({len(given)} numbers)" if len(given) > 3 else "")


def models(found: list[tuple[CatalogRecord, bool]]) -> str:
    """The models that are known, one a line, those at hand first."""
    lines = []
    for record, at_hand in sorted(found, key=lambda pair: not pair[1]):
        state = "at hand" if at_hand else "rsgeo models fetch" if record.archive else "files are gone"
        gsd = record.gsd_words
        lines.append((record.name, f"{state:<18}  {', '.join(record.tasks):<25}  {gsd:<13}  {record.title}"))
    return rows(lines)


def converted(found: Converted) -> str:
    """What a training checkpoint became."""
    stages = [
        (stage, f"{settings['sample_size']} px, {settings['dim']} wide, levels {settings['dim_mults']}") for stage, settings in found.stages.items()
    ]
    kind = {"ema": "averaged (ema)", "online": "last (online)"}[found.weights]
    steps = f", {' and '.join(str(step) for step in found.steps)} updates" if found.steps else ""
    guidance = f"{found.guidance_rule}, as imagen-pytorch {found.version} does"
    return rows([("written", str(found.folder)), *stages, ("weights", kind + steps), ("guidance", guidance)])


def model(record: CatalogRecord) -> str:
    """What is known of a model."""
    from rsgeo import encoding
    from rsgeo.hub import catalog

    archive, sees = record.archive, record.condition
    pairs = [("model", f"{record.name}: {record.title}"), ("files", str(record.folder) if catalog.is_at_hand(record) else "not here")]
    if archive is not None:
        size = "size unknown" if archive.bytes is None else f"{archive.bytes / 1e9:.2f} GB"
        pairs += [("archive", archive.url), ("", f"{size}, SHA-256 {archive.sha256 or 'unknown until it was fetched once'}")]
    defaults = f" (default for {', '.join(record.default_for)})" if record.default_for else ""
    pairs += [("licence", record.licence), ("tasks", ", ".join(record.tasks) + defaults)]
    if record.base is not None:
        base = catalog.base_of(record)
        checkpoint = f", {base.checkpoint}" if base.checkpoint else ""
        missing = "" if catalog.is_at_hand(base) else f" (not here; rsgeo models fetch {base.name})"
        pairs.append(("works with", f"the UNet of {base.name}{checkpoint}{missing}"))
    if sees is not None:
        images = "a dated series of images" if sees.series else "one image" if sees.images == 1 else f"{sees.images} images"
        pairs.append(("sees", f"{images} of {', '.join(sees.bands)}; {sees.scale} px of the picture for one of theirs"))
    if record.stages:
        stages = [f"{stage.tile} px" + (f" at {stage.gsd_factor} times the GSD" if stage.gsd_factor > 1 else "") for stage in record.stages]
        pairs.append(("stages", ", then ".join(stages)))
    unknown = ", ".join(dict.fromkeys(encoding.UNKNOWN_READS_AS[record.encoding].values()))
    native = "which is to be stated" if record.gsd_native is None else f"{record.gsd_native:g} m where none is asked for"
    pairs += [
        ("window", f"{record.tile * record.scale} px"),
        ("gsd", f"{record.gsd_words}, {native}"),
        ("was taught", ", ".join(record.trained_fields) or "no metadata"),
        *([("unknown is", unknown)] if record.family == "latent" else []),
        ("sampler", f"{record.defaults.scheduler}, {record.defaults.num_inference_steps} steps, guidance {record.defaults.guidance_scale:g}"),
        ("cite", record.citation or "unknown"),
        ("sha256", record.sha256 or "not pinned"),
    ]
    return rows(pairs)


def offer(record: CatalogRecord) -> str:
    """What is to be downloaded, from where and under which licence."""
    archive = record.archive
    assert archive is not None
    size = "a size that its record does not say" if archive.bytes is None else f"{archive.bytes / 1e9:.2f} GB"
    return f"{record.title}\n{archive.url}, {size}\nLicence: {record.licence}"


@contextmanager
def bytes_done() -> Iterator[Callable[[str, int, int | None], None]]:
    """Progress of a download on stderr: a bar on a terminal, a line now and then elsewhere."""
    last = time.monotonic()
    terminal = sys.stderr.isatty()
    shown = False

    def report(stage: str, done: int, total: int | None) -> None:
        nonlocal last, shown
        now = time.monotonic()
        if done != total and now - last < (_TERMINAL_LINE_EVERY_S if terminal else _PLAIN_LINE_EVERY_S):
            return
        last, shown = now, terminal
        share = "" if not total else f" of {total / 1e6:.1f} MB, {100 * done / total:.0f} %"
        click.echo(f"{_WORDS[stage]}: {done / 1e6:.1f} MB{share}" + ("\r" if terminal else ""), err=True, nl=not terminal)

    yield report
    if shown:
        click.echo(err=True)


def _place(lon: float | None, lat: float | None) -> str:
    return "unknown" if lon is None or lat is None else f"{lon:.6f} {lat:.6f} (lon lat)"


def _some(names: list[str]) -> str:
    return ", ".join(names if len(names) <= _MOST_NAMES else [*names[:3], "...", names[-1]])


def _short(text: str) -> str:
    return text if len(text) < 60 else f"{text[:57]}..."
