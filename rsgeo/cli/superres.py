"""`rsgeo superres`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rsgeo.cli import options
from rsgeo.cli.carry_out import carry_out
from rsgeo.request import Ask


@click.command("superres", short_help="Make a raster finer: Sentinel-2 or RGB to a finer RGB picture.")
@click.option("--gsd", metavar="METRES", required=True, help="Ground sample distance of the result.")
@click.option(
    "--reference", "more", type=click.Path(path_type=Path), multiple=True, metavar="FILE", help="A further image of another date; repeatable."
)
@options.by_references
@options.running
@click.argument("ref", type=click.Path(path_type=Path))
@click.argument("out", type=options.OUTPUT, required=False)
def command(ref: Path, out: Path | None, more: tuple[Path, ...], dry_run: bool, quiet: bool, **values: Any) -> None:
    """Write REF, a raster or a Sentinel-2 product (.SAFE folder or ZIP), as a finer picture in red, green and blue to OUT.

    \b
    rsgeo superres S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126.SAFE --gsd 2.5 --aoi field.geojson fine.tif
    rsgeo superres scene.tif --gsd 2.5 --bands B02,B03,B04,B08 --radiometry dn+1000 fine.tif
    """
    if out is None and not dry_run:
        raise click.UsageError("Say where to write: rsgeo superres REF --gsd METRES OUT.tif (or --dry-run).")
    from rsgeo.tasks.superres import resolve_superres

    how = options.take_runtime(values)
    carry_out(resolve_superres([ref, *more], Ask(**values)), None if dry_run else out, how, quiet=quiet)
