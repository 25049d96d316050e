"""`rsgeo info`."""

from __future__ import annotations

from typing import Any

import click

from rsgeo.cli import options, show


@click.command("info", short_help="Say what a raster or area tells about itself.")
@options.vector
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.argument("file")
def command(file: str, as_json: bool, **asked: Any) -> None:
    """Derive place, GSD, date and cloud cover of FILE (raster, vector file, STAC item, product) and say where each comes from."""
    from rsgeo.geo import info

    found = info.describe(file, **asked)
    if as_json:
        click.echo(found.to_json())
        return
    click.echo(show.info(found))
    for warning in found.warnings:
        click.echo(f"Warning: {warning}", err=True)
