"""`rsgeo doctor`."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import click

from rsgeo.cli import show

if TYPE_CHECKING:
    from rsgeo.hub.records import CatalogRecord


@click.command("doctor", short_help="Print versions, devices and models.")
def command() -> None:
    """Say what is installed, which devices there are and which models are at hand."""
    from rsgeo.hub import calibration, catalog, devices

    pairs = [("python", platform.python_version()), *((name, found or "MISSING") for name, found in devices.versions().items())]
    for device in devices.describe():
        memory = f", {device['memory'] / 2**30:.0f} GiB" if device["memory"] else ""
        pairs.append((f"device {device['kind']}", f"{device['name']}{memory}"))
    for name in catalog.names():
        record = catalog.find(name)
        state = _state(record)
        pairs.append((f"model {name}", f"{record.title}; {', '.join(record.tasks)}; {record.licence}; {record.gsd_words}; {state}"))
        if record.base is not None and not catalog.is_at_hand(catalog.base_of(record)):
            continue
        known = calibration.find(record)
        pace = known.pace(known.dtype, known.batch_size) if known else None
        if known and pace:
            rate = f"{1 / pace.seconds:.3g} evaluations a second"
            pairs.append((f"pace {name}", f"{rate} ({known.device}, {known.dtype}, batch {known.batch_size}, {known.threads} threads)"))
    click.echo(show.rows(pairs))


def _state(record: CatalogRecord) -> str:
    from rsgeo.hub import catalog

    if record.base is not None and not catalog.is_at_hand(catalog.base_of(record)):
        return f"WITHOUT ITS BASE {record.base}"
    return "FILES CHANGED; install again" if catalog.is_sound(record) is False else "files sound"
