"""`rsgeo extend`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from rsgeo.cli import options, show
from rsgeo.request import Ask


@click.command("extend", short_help="Continue a synthetic image over more ground.")
@click.option("--aoi", metavar="FILE", help="Area to continue over: any vector file, STAC item or WKT.")
@click.option("--bounds", type=float, nargs=4, metavar="W S E N", help="Area to continue over as degrees (or in --aoi-crs).")
@options.vector
@options.limits
@options.by_polygon
@click.option("--model-anyway", is_flag=True, help="Use the installed weights though the file was made with others.")
@options.machine
@options.budget
@options.cluster
@options.writing
@click.argument("existing", type=click.Path(path_type=Path))
@click.argument("out", type=options.OUTPUT)
def command(existing: Path, out: Path, quiet: bool, **values: Any) -> None:
    """Write EXISTING and, beyond it, the area to OUT: old pixels unchanged, new ones of the same world.

    \b
    rsgeo extend village.tif --aoi county.gpkg county.tif
    """
    from rsgeo.tasks.extend import resolve_extension
    from rsgeo.tasks.generate import run

    how = options.take_runtime(values)
    resolved = resolve_extension(existing, Ask(**values))
    with show.progress(quiet) as report:
        result = run(resolved, out, replace(how, progress=report))
    if not quiet:
        click.echo(show.result(resolved, result, how.preview))
