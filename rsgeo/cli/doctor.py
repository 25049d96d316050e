"""`rsgeo doctor`."""

from __future__ import annotations

import platform

import click

from rsgeo.cli import show


@click.command("doctor", short_help="Print versions, devices and models.")
def command() -> None:
    """Say what is installed, which devices there are and which models are at hand."""
    from rsgeo.hub import catalog, devices

    pairs = [("python", platform.python_version()), *((name, found or "MISSING") for name, found in devices.versions().items())]
    for device in devices.describe():
        memory = f", {device['memory'] / 2**30:.0f} GiB" if device["memory"] else ""
        pairs.append((f"device {device['kind']}", f"{device['name']}{memory}"))
    for name in catalog.names():
        record = catalog.find(name)
        sound = record.sha256 is None or record.sha256 == catalog.model_sha256(record)
        state = "files sound" if sound else "FILES CHANGED; install again"
        pairs.append((f"model {name}", f"{record.title}; {record.licence}; {record.gsd_min:g} to {record.gsd_max:g} m; {state}"))
    click.echo(show.rows(pairs))
