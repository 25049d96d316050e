"""`rsgeo plan`."""

from __future__ import annotations

import json
from typing import Any

import click

from rsgeo.cli import options, show
from rsgeo.request import Ask


@click.command("plan", short_help="Say what an area would cost, before any work.")
@options.place
@options.wish
@options.by_polygon
@options.samples
@options.machine
@options.budget
@click.option("--calibrate", is_flag=True, help="Measure how fast the model runs here, for some seconds, and keep it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--geojson", "as_geojson", is_flag=True, help="Print every window as GeoJSON.")
def command(calibrate: bool, as_json: bool, as_geojson: bool, **values: Any) -> None:
    """Say what `rsgeo generate` would do with the same options: windows, evaluations of the network, time, memory, file size.

    Exit code 1 when that is more than --max-pixels, --max-hours or --max-memory allow. The time is unknown until the model ran here once, or
    --calibrate measured it.
    """
    if as_json and as_geojson:
        raise click.UsageError("Choose --json or --geojson, not both.")
    from rsgeo.tasks import making
    from rsgeo.tasks import plan as task
    from rsgeo.tasks.resolve import resolve

    how = options.take_machine(values)
    resolved = resolve(Ask(**values))
    if calibrate:
        making.calibrate(how, resolved.record)
    if as_geojson:
        click.echo(json.dumps(task.windows(resolved)))
        return
    planned = task.plan(resolved, how)
    click.echo(json.dumps(planned.as_dict()) if as_json else show.plan(resolved, planned))
    task.check(planned, how)
