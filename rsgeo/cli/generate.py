"""`rsgeo generate`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from rsgeo.cli import options, show
from rsgeo.request import Ask


@click.command("generate", short_help="Make a synthetic image of an area.")
@options.place
@options.wish
@options.by_polygon
@options.machine
@options.budget
@options.cluster
@options.writing
@click.option("--dry-run", is_flag=True, help="Say what would be done and stop.")
@click.argument("out", type=options.OUTPUT, required=False)
def command(out: Path | None, dry_run: bool, quiet: bool, **values: Any) -> None:
    """Make a synthetic, georeferenced image at OUT (a Cloud Optimized GeoTIFF).

    \b
    rsgeo generate --aoi field.geojson --prompt "vineyards on a slope" out.tif
    rsgeo generate --like scene.tif --seed 7 out.tif
    rsgeo generate --from out.tif again.tif
    """
    if out is None and not dry_run:
        raise click.UsageError("Say where to write: rsgeo generate ... OUT.tif (or --dry-run).")
    from rsgeo.tasks import generate as task
    from rsgeo.tasks.resolve import resolve

    how = options.take_runtime(values)
    resolved = resolve(Ask(**values))
    if dry_run:
        from rsgeo.tasks import plan

        planned = plan.plan(resolved, how)
        click.echo(show.plan(resolved, planned))
        plan.check(planned, how)
        return
    assert out is not None
    with show.progress(quiet) as report:
        result = task.run(resolved, out, replace(how, progress=report))
    if not quiet:
        click.echo(show.result(resolved, result, how.preview))
