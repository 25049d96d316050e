"""`rsgeo extend`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rsgeo.cli import options
from rsgeo.cli.carry_out import carry_out
from rsgeo.request import Ask


@click.command("extend", short_help="Continue an image over more ground.")
@click.option("--aoi", metavar="FILE", help="Area to continue over: any vector file, STAC item or WKT.")
@click.option("--bounds", type=float, nargs=4, metavar="W S E N", help="Area to continue over as degrees (or in --aoi-crs).")
@options.vector
@options.limits
@options.by_polygon
@options.wish
@options.bands
@options.samples
@options.running
@click.argument("existing", type=click.Path(path_type=Path))
@click.argument("out", type=options.OUTPUT, required=False)
def command(existing: Path, out: Path | None, dry_run: bool, quiet: bool, **values: Any) -> None:
    """Write EXISTING and, beyond it, the area to OUT: old pixels unchanged, new ones beside them.

    The marks in EXISTING say what it is. A synthetic image goes on as the same world: prompt, seed and model are read from it, and may not be given.
    Any other image stays bit for bit, number type and all its bands, and one band more says which pixels were generated (1) or observed (0).

    \b
    rsgeo extend village.tif --aoi county.gpkg county.tif
    rsgeo extend photo.tif --bounds 14.50 45.99 14.53 46.02 --prompt "fields" wider.tif
    """
    if out is None and not dry_run:
        raise click.UsageError("Say where to write: rsgeo extend EXISTING.tif ... OUT.tif (or --dry-run).")
    from rsgeo.tasks.extend import resolve_extension

    how = options.take_runtime(values)
    carry_out(resolve_extension(existing, Ask(**values)), None if dry_run else out, how, quiet=quiet)
