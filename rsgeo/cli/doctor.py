"""`rsgeo doctor`."""

from __future__ import annotations

import platform

import click

from rsgeo.cli import show


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
        sound = record.sha256 is None or record.sha256 == catalog.model_sha256(record)
        state = "files sound" if sound else "FILES CHANGED; install again"
        pairs.append((f"model {name}", f"{record.title}; {record.licence}; {record.gsd_min:g} to {record.gsd_max:g} m; {state}"))
        known = calibration.find(record)
        pace = known.pace(known.dtype, known.batch_size) if known else None
        if known and pace:
            rate = f"{1 / pace.seconds:.3g} evaluations a second"
            pairs.append((f"pace {name}", f"{rate} ({known.device}, {known.dtype}, batch {known.batch_size}, {known.threads} threads)"))
    click.echo(show.rows(pairs))
