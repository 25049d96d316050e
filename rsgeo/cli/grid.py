"""`rsgeo grid`."""

from __future__ import annotations

import json
from typing import Any

import click

from rsgeo.cli import options
from rsgeo.request import Ask


@click.command("grid", short_help="Print the target grid as GeoJSON.")
@options.place
@click.option("--model", help="The model whose GSD is the default.")
def command(**asked: Any) -> None:
    """Print the grid that `rsgeo generate` would fill with the same options, as GeoJSON."""
    from rsgeo.geo import grid
    from rsgeo.tasks.resolve import resolve

    resolved = resolve(Ask(**asked))
    click.echo(json.dumps(grid.to_geojson(resolved.request.grid, resolved.aoi)))
