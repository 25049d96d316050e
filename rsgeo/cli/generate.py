"""`rsgeo generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rsgeo.cli import options
from rsgeo.cli.carry_out import carry_out
from rsgeo.request import Ask


@click.command("generate", short_help="Make a synthetic image of an area.")
@options.place
@options.wish
@options.by_polygon
@options.samples
@options.running
@click.argument("out", type=options.OUTPUT, required=False)
def command(out: Path | None, dry_run: bool, quiet: bool, **values: Any) -> None:
    """Make a synthetic, georeferenced image at OUT (a Cloud Optimized GeoTIFF).

    \b
    rsgeo generate --aoi field.geojson --prompt "vineyards on a slope" out.tif
    rsgeo generate --like scene.tif --seed 7 out.tif
    rsgeo generate --from out.tif again.tif
    rsgeo generate --aoi field.geojson --samples 8 uncertainty.tif
    """
    if out is None and not dry_run:
        raise click.UsageError("Say where to write: rsgeo generate ... OUT.tif (or --dry-run).")
    from rsgeo.tasks.resolve import resolve

    how = options.take_runtime(values)
    carry_out(resolve(Ask(**values)), None if dry_run else out, how, quiet=quiet)
