"""`rsgeo predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rsgeo.cli import options
from rsgeo.cli.carry_out import carry_out
from rsgeo.request import Ask


@click.command("predict", short_help="Paint a series of dated rasters at another date.")
@click.option(
    "--reference",
    "references",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    metavar="FILE",
    help="An image of the series; repeatable.",
)
@click.option(
    "--truth", type=click.Path(path_type=Path), metavar="FILE", help="An image of that date: the error is printed beside that of plain guesses."
)
@click.option("--gsd", metavar="METRES", help="Ground sample distance of the result; default that of the finest reference.")
@options.by_references
@options.running
@click.argument("out", type=options.OUTPUT, required=False)
def command(out: Path | None, references: tuple[Path, ...], truth: Path | None, dry_run: bool, quiet: bool, **values: Any) -> None:
    """Write the place of the references, as it may look at --date, to OUT. A picture, no forecast: compare it with --truth where you can.

    \b
    rsgeo predict --reference 2016.tif --reference 2017.tif --reference 2018.tif --date 2021-06-01 then.tif
    """
    if out is None and not dry_run:
        raise click.UsageError("Say where to write: rsgeo predict --reference FILE ... --date YYYY-MM-DD OUT.tif (or --dry-run).")
    from rsgeo.tasks.predict import resolve_prediction

    how = options.take_runtime(values)
    carry_out(resolve_prediction(references, Ask(**values), truth=truth), None if dry_run else out, how, quiet=quiet)
