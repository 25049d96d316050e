"""The command line: options to an `Ask`, a task, one screen of text or JSON."""

from __future__ import annotations

import click

from rsgeo._version import __version__
from rsgeo.cli.lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    commands_in={
        "generate": "rsgeo.cli.generate",
        "extend": "rsgeo.cli.extend",
        "inpaint": "rsgeo.cli.inpaint",
        "superres": "rsgeo.cli.superres",
        "predict": "rsgeo.cli.predict",
        "plan": "rsgeo.cli.plan",
        "sample": "rsgeo.cli.sample",
        "sweep": "rsgeo.cli.sweep",
        "info": "rsgeo.cli.info",
        "grid": "rsgeo.cli.grid",
        "verify": "rsgeo.cli.verify",
        "models": "rsgeo.cli.models",
        "doctor": "rsgeo.cli.doctor",
        "worker": "rsgeo.cli.worker",
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="rsgeo")
def main() -> None:
    """Make georeferenced, openly synthetic satellite images of a place."""


__all__ = ["main"]
