"""`rsgeo info`."""

from __future__ import annotations

import json
from typing import Any

import click

from rsgeo.cli import options, show


@click.command("info", short_help="Say what a raster or area tells about itself.")
@options.vector
@click.option("--for-model", metavar="NAME", help="Show what this model is told of it: raw and encoded values, and what unknown becomes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.argument("file")
def command(file: str, for_model: str | None, as_json: bool, **asked: Any) -> None:
    """Derive place, GSD, date and cloud cover of FILE (raster, vector file, STAC item, product) and say where each comes from."""
    from rsgeo.geo import info

    found = info.describe(file, **asked)
    view = None
    if for_model is not None:
        from rsgeo.hub import catalog
        from rsgeo.tasks.told import told

        view = told(found, catalog.about(for_model))
    if as_json:
        text = found.to_json()
        if view is not None:
            text = json.dumps({**json.loads(text), "for_model": view.model_dump(mode="json")}, indent=2, ensure_ascii=False)
        click.echo(text)
        return
    click.echo(show.info(found))
    if view is not None:
        click.echo(show.told(view))
    for warning in found.warnings:
        click.echo(f"Warning: {warning}", err=True)
