"""Options that several commands share, so that they mean the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from rsgeo.runtime import Runtime

F = TypeVar("F", bound=Callable[..., Any])

_MACHINE = ("device", "dtype", "batch_size")
_RUNTIME = (*_MACHINE, "workers", "dask", "overwrite", "fresh", "reproducible", "private", "preview")

DEVICES = click.Choice(["auto", "cpu", "cuda", "mps"])
DTYPES = click.Choice(["auto", "fp32", "bf16", "fp16"])
OUTPUT = click.Path(path_type=Path)


def several(*options: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator out of many."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    return () if value is None else tuple(name.strip() for name in value.split(","))


def _seed(ctx: click.Context, param: click.Parameter, value: str | None) -> int | str | None:
    if value is None or value == "random":
        return value
    try:
        return int(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is neither a whole number nor 'random'.") from error


vector = several(
    click.option("--layer", help="Layer of the vector file; default all."),
    click.option("--where", help="Pick features, for example \"name = 'Bled'\"."),
    click.option("--aoi-crs", metavar="CRS", help="Coordinate system of an area that states none, and of --bounds."),
    click.option("--buffer", "buffer_m", type=float, metavar="METRES", help="Make an area of points and lines, or widen polygons (or a mask)."),
)

limits = click.option("--max-pixels", type=click.IntRange(min=1), default=400_000_000, show_default=True, help="Refuse more than this.")

reference = click.option(
    "--reference", "references", multiple=True, metavar="FILE", help="With --from: a raster or mask that the file was made with, the very same."
)


def numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...]:
    """Whole numbers between commas."""
    try:
        return () if value is None else tuple(int(number) for number in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not whole numbers between commas, such as 4,3,2.") from error


bands = click.option("--bands", metavar="R,G,B", callback=numbers, help="The red, green and blue band, counted from 1; default as the raster says.")

place = several(
    click.option("--aoi", metavar="FILE", help="Area of interest: any vector file, STAC item or WKT."),
    click.option("--bounds", type=float, nargs=4, metavar="W S E N", help="Area of interest as degrees (or in --aoi-crs)."),
    click.option("--like", metavar="RASTER", help="Take the grid of this raster exactly."),
    vector,
    click.option("--crs", metavar="CRS", help="Coordinate system of the output, for example EPSG:32633; default UTM."),
    click.option("--gsd", metavar="METRES", help="Ground sample distance in metres; default the model's own."),
    click.option("--resolution", metavar="UNITS", help="Pixel size in units of the coordinate system, instead of --gsd."),
    click.option("--from", "from_file", metavar="TIF", help="Make a file of rsgeo again; other options change it."),
    click.option("--request", "request_file", metavar="JSON", help="Start from a request in a JSON file."),
    reference,
    limits,
)

machine = several(
    click.option("--device", type=DEVICES, default="auto", show_default=True),
    click.option("--dtype", type=DTYPES, default="auto", show_default=True, help="Numbers the network computes with."),
    click.option("--batch-size", type=click.IntRange(1, 1024), help="Windows computed at once."),
)

budget = several(
    click.option("--max-hours", type=click.FloatRange(min=0, min_open=True), metavar="H", help="Refuse what would take longer here."),
    click.option("--max-memory", type=click.FloatRange(min=0, min_open=True), metavar="GB", help="Refuse what would take more memory."),
)

cluster = several(
    click.option("--workers", type=click.IntRange(1, 1024), metavar="N", help="Compute with so many Dask processes on this machine."),
    click.option("--dask", metavar="ADDRESS", help="Compute on the workers of a Dask scheduler, for example tcp://10.0.0.1:8786."),
)

writing = several(
    click.option("--co", "creation", multiple=True, metavar="KEY=VALUE", help="GDAL creation option, for example COMPRESS=JPEG."),
    click.option("--overwrite", is_flag=True, help="Replace the output if it exists."),
    click.option("--fresh", is_flag=True, help="Discard the finished work of an interrupted run instead of going on."),
    click.option("--quiet", is_flag=True, help="Print errors and warnings only."),
    click.option("--preview", type=OUTPUT, metavar="PNG", help="Write a small picture as well."),
    click.option("--reproducible", is_flag=True, help="No time stamps: equal requests give equal bytes."),
    click.option("--no-sidecar", is_flag=True, help="Do not write the STAC item and QGIS metadata beside the image."),
    click.option("--private", is_flag=True, help="Store hashes instead of prompt and area (the file cannot be made again from itself)."),
    click.option("--copyright", "copyright_", metavar="TEXT", help="Written as the image's copyright."),
)

steps = several(
    click.option("--num-inference-steps", type=int, metavar="N"),
    click.option("--guidance-scale", type=float, metavar="X", help="How strictly to follow the wish; 1 is plain."),
)

conditioned_wish = several(
    click.option("--prompt", help="What shall be there; empty is whatever the model thinks fit."),
    click.option("--negative-prompt", help="What shall not be there."),
    click.option("--date", help="Date of the scene (YYYY-MM-DD or YYYY-MM)."),
    click.option("--cloud-cover", type=float, metavar="PERCENT"),
    click.option("--seed", metavar="N|random", callback=_seed, help="Default 0; 'random' draws one and records it."),
    steps,
    click.option("--scheduler", help="ddim, euler, dpmsolver++, sde-dpmsolver++ or unipc; of a cascade ancestral, dpmsolver++ or sde-dpmsolver++."),
    click.option(
        "--plan",
        metavar="default|economy|preview",
        help="How windows overlap: economy saves a seventh of the time where the best joins are not needed, preview is for looking only.",
    ),
    click.option("--model", help="Name, folder or ZIP of a model (rsgeo models list); default that of the task."),
)

wish = several(
    conditioned_wish,
    click.option("--model-anyway", is_flag=True, help="With --from: use the installed model though the file was made with other weights."),
)

part = several(
    click.option("--aoi", metavar="FILE", help="Area of interest, to cut out: any vector file, STAC item or WKT."),
    click.option("--bounds", type=float, nargs=4, metavar="W S E N", help="Area to cut out as degrees (or in --aoi-crs)."),
)

images = several(
    click.option(
        "--radiometry",
        type=click.Choice(["dn", "dn+1000", "reflectance", "rgb"]),
        help="What a raster's numbers are: reflectance times 10000, that plus 1000, reflectance, or grey levels; default recognised.",
    ),
    click.option(
        "--bands",
        "band_names",
        callback=_names,
        metavar="B02,B03,...",
        help="Names of a raster's bands in order, - for those of no use; default recognised.",
    ),
    click.option(
        "--reference-date", "reference_dates", multiple=True, metavar="DATE", help="When a reference was taken; once for each, in their order."
    ),
)

dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done and stop.")

samples = several(
    click.option(
        "--samples",
        type=int,
        metavar="N",
        help="Draw N worlds, of the seeds --seed, --seed + 1, ..., into one file; with --from, 1 takes one world of several.",
    ),
    click.option(
        "--samples-as",
        type=click.Choice(["statistics", "all"]),
        help="Write their mean and standard deviation (of the sample, in grey levels), or all of them; default statistics.",
    ),
)

by_polygon = several(
    click.option("--prompt-field", metavar="NAME", help="Attribute of the polygons that says what shall be where; --prompt fills the rest."),
    click.option("--prompt-map", metavar="JSON", help='What prompt each value of --prompt-field stands for, as {"value": "prompt"}.'),
    click.option("--prompt-layer", metavar="FILE", help="Vector file with --prompt-field; default all features of --aoi."),
)


running = several(machine, budget, cluster, writing, dry_run)
"""How a command that makes a georeferenced file runs and writes."""

by_references = several(images, part, vector, limits, conditioned_wish, by_polygon, samples)
"""What a command that is given rasters to work from wishes, and reads of them."""


def take_runtime(values: dict[str, Any]) -> Runtime:
    """Takes out of a command's values those that say how to run and write, and gives them as a Runtime."""
    return Runtime(
        sidecar=not values.pop("no_sidecar"),
        copyright=values.pop("copyright_"),
        creation_options=_creation_options(values.pop("creation")),
        max_hours=values.pop("max_hours"),
        max_memory=_bytes(values.pop("max_memory")),
        **{name: values.pop(name) for name in _RUNTIME},
    )


def take_machine(values: dict[str, Any]) -> Runtime:
    """The same of a command that writes no file."""
    return Runtime(max_hours=values.pop("max_hours"), max_memory=_bytes(values.pop("max_memory")), **{name: values.pop(name) for name in _MACHINE})


def _bytes(gigabytes: float | None) -> float | None:
    return None if gigabytes is None else gigabytes * 1e9


def _creation_options(pairs: tuple[str, ...]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE.", param_hint="--co")
    return dict(pair.split("=", 1) for pair in pairs)
