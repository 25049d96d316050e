"""`rsgeo sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rsgeo.cli import options, show
from rsgeo.runtime import Runtime

_MACHINE = ("device", "dtype", "batch_size", "overwrite", "reproducible")


@click.command("sample", short_help="Make a picture of each of many captions.")
@click.option(
    "--captions",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Text with a caption a line, a table (.csv), or RSICD's list (.json).",
)
@click.option("--split", metavar="NAME", help="Of a table or list the rows of this split; default all.")
@click.option("--column", metavar="NAME", help="Of a table or list the captions in this column; default sent1.")
@click.option("--n", type=int, metavar="N", help="Draw so many captions by --seed; default all, in their order.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Of the draw and of the pictures; each has its own numbers.")
@click.option("--negative-prompt", default="", help="What shall not be there.")
@click.option("--gsd", metavar="METRES", help="Told to the model; default its own ('unknown' is possible).")
@click.option("--lon", type=float, metavar="DEGREES", help="Told to the model; default unknown.")
@click.option("--lat", type=float, metavar="DEGREES", help="Told to the model; default unknown.")
@click.option("--date", help="Told to the model (YYYY-MM-DD or YYYY-MM); default unknown.")
@click.option("--cloud-cover", type=float, metavar="PERCENT", help="Told to the model; default unknown.")
@options.steps
@click.option("--scheduler", help="ddim, euler, dpmsolver++, sde-dpmsolver++ or unipc; of a cascade ancestral, dpmsolver++ or sde-dpmsolver++.")
@click.option("--model", default="rsgeo-mini", show_default=True, help="Name or folder of a model.")
@options.machine
@click.option("--cols", "columns", type=int, default=4, show_default=True, metavar="N", help="Pictures beside each other in _grid.png.")
@click.option("--overwrite", is_flag=True, help="Discard the pictures that are in OUT and make all anew.")
@click.option("--reproducible", is_flag=True, help="No time stamps: equal runs give equal bytes.")
@click.option("--quiet", is_flag=True, help="Print errors and warnings only.")
@click.argument("out", type=options.OUTPUT)
def command(out: Path, quiet: bool, **asked: Any) -> None:
    """Make a picture of each caption in the folder OUT: PNGs, captions.txt, and _grid.png to look at. The same command goes on after a stop.

    \b
    rsgeo sample --captions captions.txt pictures
    rsgeo sample --captions dataset_rsicd.csv --split test --n 1093 --seed 17 --model rsdiff pictures

    Each picture has numbers of its own, so it is the same in any batch, after a stop, or made alone.
    """
    from rsgeo.tasks import sample as task

    machine = {name: asked.pop(name) for name in _MACHINE}
    with show.progress(quiet) as report:
        result = task.sample(task.SampleAsk(**asked), out, Runtime(progress=report, **machine))
    if not quiet:
        click.echo(show.samples(result))
