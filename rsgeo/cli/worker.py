"""`rsgeo worker`."""

from __future__ import annotations

import click


@click.command("worker", short_help="Serve another program, such as QGIS.")
def command() -> None:
    """Take JSON lines from standard input and answer on standard output, until standard input closes; for programs, not for people."""
    from rsgeo.worker.serve import serve

    serve()
