"""What commands that make a picture do with a resolved request: say its plan, or run it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rsgeo.cli import show

if TYPE_CHECKING:
    from rsgeo.runtime import Runtime
    from rsgeo.tasks.resolve import Resolved


def carry_out(resolved: Resolved, out: Path | None, how: Runtime, *, quiet: bool) -> None:
    """Write the picture to ``out`` and say so, or say what it would take where ``out`` is None. Raises RsgeoError, as tasks do."""
    if out is None:
        from rsgeo.tasks import plan

        planned = plan.plan(resolved, how)
        click.echo(show.plan(resolved, planned))
        plan.check(planned, how)
        return
    from rsgeo.tasks import generate

    with show.progress(quiet) as report:
        result = generate.run(resolved, out, replace(how, progress=report))
    if not quiet:
        click.echo(show.result(resolved, result, how.preview))
