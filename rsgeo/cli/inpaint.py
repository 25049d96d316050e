"""`rsgeo inpaint`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rsgeo.cli import options
from rsgeo.cli.carry_out import carry_out
from rsgeo.request import Ask


@click.command("inpaint", short_help="Make masked pixels of a raster anew.")
@click.option(
    "--mask",
    metavar="FILE|nodata",
    help="What to make anew: a raster (by default what is not 0 in it; any grid and CRS), a vector area, or the raster's own nodata.",
)
@click.option(
    "--mask-values",
    metavar="N,N,...",
    callback=options.numbers,
    help="Which numbers of a mask raster to make anew, such as 3,8,9,10 of a Sentinel-2 scene classification (shadow and clouds).",
)
@options.vector
@options.bands
@options.wish
@options.samples
@options.limits
@options.running
@click.argument("raster", type=click.Path(path_type=Path))
@click.argument("out", type=options.OUTPUT, required=False)
def command(raster: Path, out: Path | None, dry_run: bool, quiet: bool, **values: Any) -> None:
    """Write RASTER to OUT with its masked pixels made anew, all others bit for bit: clouds and gaps removed, or what might be there instead.

    Grid, number type, nodata, scale and names of the bands are RASTER's own; one band more says which pixels were generated (1) or observed (0). Red,
    green and blue are made; other bands become nodata there. Masks miss the rims of clouds: --buffer widens them. The result is an illustration: what
    was under a cloud is not known.

    \b
    rsgeo inpaint scene.tif --mask clouds.tif clear.tif
    rsgeo inpaint scene.tif --mask SCL.tif --mask-values 3,8,9,10 --buffer 60 clear.tif
    rsgeo inpaint before.tif --mask site.geojson --prompt "a lake" after.tif
    """
    if out is None and not dry_run:
        raise click.UsageError("Say where to write: rsgeo inpaint RASTER.tif --mask ... OUT.tif (or --dry-run).")
    from rsgeo.tasks.inpaint import resolve_inpainting

    how = options.take_runtime(values)
    carry_out(resolve_inpainting(raster, Ask(**values)), None if dry_run else out, how, quiet=quiet)
