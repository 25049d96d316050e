"""Options that several commands share, so that they mean the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

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


vector = several(
    click.option("--layer", help="Layer of the vector file; default all."),
    click.option("--where", help="Pick features, for example \"name = 'Bled'\"."),
    click.option("--aoi-crs", metavar="CRS", help="Coordinate system of an area that states none, and of --bounds."),
    click.option("--buffer", "buffer_m", type=float, metavar="METRES", help="Make an area of points and lines, or widen polygons."),
)

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
    click.option("--max-pixels", type=click.IntRange(min=1), default=400_000_000, show_default=True, help="Refuse more than this."),
)

machine = several(
    click.option("--device", type=DEVICES, default="auto", show_default=True),
    click.option("--dtype", type=DTYPES, default="auto", show_default=True, help="Numbers the network computes with."),
    click.option("--batch-size", type=click.IntRange(1, 1024), help="Windows computed at once."),
)

cluster = several(
    click.option("--workers", type=click.IntRange(1, 1024), metavar="N", help="Compute with so many Dask processes on this machine."),
    click.option("--dask", metavar="ADDRESS", help="Compute on the workers of a Dask scheduler, for example tcp://10.0.0.1:8786."),
)
