"""`rsgeo generate`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from rsgeo.cli import options, show
from rsgeo.request import Ask


def _seed(ctx: click.Context, param: click.Parameter, value: str | None) -> int | str | None:
    if value is None or value == "random":
        return value
    try:
        return int(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is neither a whole number nor 'random'.") from error


@click.command("generate", short_help="Make a synthetic image of an area.")
@options.place
@click.option("--prompt", help="What shall be there; empty is whatever the model thinks fit.")
@click.option("--negative-prompt", help="What shall not be there.")
@options.by_polygon
@click.option("--date", help="Date of the scene (YYYY-MM-DD or YYYY-MM).")
@click.option("--cloud-cover", type=float, metavar="PERCENT")
@click.option("--seed", metavar="N|random", callback=_seed, help="Default 0; 'random' draws one and records it.")
@options.samples
@click.option("--num-inference-steps", type=int, metavar="N")
@click.option("--guidance-scale", type=float, metavar="X", help="How strictly to follow the wish; 1 is plain.")
@click.option("--scheduler", help="ddim, euler, dpmsolver++, sde-dpmsolver++ or unipc.")
@click.option("--model", help="Name or folder of a model; default rsgeo-mini.")
@click.option("--model-anyway", is_flag=True, help="With --from: use the installed model though the file was made with other weights.")
@options.machine
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
    rsgeo generate --aoi field.geojson --samples 8 uncertainty.tif
    """
    if out is None and not dry_run:
        raise click.UsageError("Say where to write: rsgeo generate ... OUT.tif (or --dry-run).")
    from rsgeo.tasks import generate as task
    from rsgeo.tasks.resolve import resolve

    how = options.take_runtime(values)
    resolved = resolve(Ask(**values))
    if dry_run:
        click.echo(show.plan(resolved, task.plan(resolved)))
        return
    assert out is not None
    with show.progress(quiet) as report:
        result = task.run(resolved, out, replace(how, progress=report))
    if not quiet:
        click.echo(show.result(resolved, result, how.preview))
