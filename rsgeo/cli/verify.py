"""`rsgeo verify`."""

from __future__ import annotations

from typing import Any

import click

from rsgeo.cli import options, show
from rsgeo.runtime import Runtime


@click.command("verify", short_help="Check a file of rsgeo against its own marks.")
@click.option("--regenerate", is_flag=True, help="Make the pixels again and compare.")
@click.option("--model-anyway", is_flag=True, help="With --regenerate: use the installed weights though the file was made with others.")
@click.option("--reference", "references", multiple=True, metavar="FILE", help="With --regenerate: a raster or mask that the file was made with.")
@options.machine
@click.argument("file")
def command(file: str, regenerate: bool, references: tuple[str, ...], model_anyway: bool, **machine: Any) -> None:
    """Compare the pixels and the request of FILE with the hashes stored in it; exit code 1 if anything differs."""
    from rsgeo.tasks import verify as task

    with show.progress(quiet=not regenerate) as report:
        how = Runtime(progress=report, **machine)
        found = task.verify(file, regenerate=regenerate, references=references, runtime=how, model_anyway=model_anyway)
    pixels = {True: "as written", False: "CHANGED since they were written", None: "no hash stored"}[found.pixels_intact]
    pairs = [
        ("file", file),
        ("synthetic", found.synthetic),
        ("request", "as written" if found.request_intact else "EDITED since it was written"),
        ("pixels", pixels),
    ]
    if found.max_difference is not None:
        equal = "equal" if not found.max_difference else f"{found.differing_pixels} pixels differ, by at most {found.max_difference} grey levels"
        pairs.append(("made again", equal))
    click.echo(show.rows(pairs))
    if not found.good:
        raise click.exceptions.Exit(1)
