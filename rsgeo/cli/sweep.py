"""`rsgeo sweep`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rsgeo.cli import options, show
from rsgeo.runtime import Runtime

if TYPE_CHECKING:
    from rsgeo.tasks.sweep import SweepResult

_FIELDS = click.Choice(["gsd", "date", "lon", "lat", "cloud_cover_percent"])


@click.command("sweep", short_help="See what one field of the scene does to a model's pictures.")
@click.option("--field", type=_FIELDS, required=True, help="What to vary; all else is held.")
@click.option("--values", required=True, metavar="A,B,...", help="Metres, degrees, percent, dates or 'unknown'; the first is compared with.")
@click.option("--samples", type=int, default=8, show_default=True, metavar="N", help="Pictures of each value, of the seeds --seed, --seed + 1, ...")
@click.option("--prompt", default="", help="What shall be there.")
@click.option("--negative-prompt", default="", help="What shall not be there.")
@click.option("--lon", type=float, metavar="DEGREES", help="Held; default unknown, or while --field is lat the middle of what the model knows.")
@click.option("--lat", type=float, metavar="DEGREES", help="Held; default unknown, or while --field is lon the middle of what the model knows.")
@click.option("--gsd", type=float, metavar="METRES", help="Held; default the model's own.")
@click.option("--date", help="Held (YYYY-MM-DD or YYYY-MM); default unknown.")
@click.option("--cloud-cover", type=float, metavar="PERCENT", help="Held; default unknown.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of the first picture of each value.")
@options.steps
@click.option("--model", default="rsgeo-mini", show_default=True, help="Name or folder of a model.")
@options.machine
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
@click.option("--reproducible", is_flag=True, help="No time stamp: equal sweeps give equal bytes.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as one JSON object.")
@click.argument("out", type=options.OUTPUT)
def command(out: Path, as_json: bool, values: str, **asked: Any) -> None:
    """Make the same pictures with one field of the scene varied, side by side in OUT (a PNG), and print how much colour and structure changed.

    \b
    rsgeo sweep --field gsd --values 0.6,1.2,10,20 --prompt "a town" gsd.png
    rsgeo sweep --field lat --values 37,45,53,61,unknown --prompt "pasture" lat.png

    Each change is set against chance: what two other sets of as many seeds differ by. What stays under that changes almost nothing.
    """
    from rsgeo.tasks import sweep as task

    machine = {name: asked.pop(name) for name in ("device", "dtype", "batch_size", "overwrite", "reproducible")}
    with show.progress(quiet=as_json) as report:
        result = task.sweep(task.SweepAsk(values=values.split(","), **asked), out, Runtime(progress=report, **machine))
    click.echo(json.dumps(result.as_dict()) if as_json else _table(result))


def _table(result: SweepResult) -> str:
    """Changes in grey levels, and how many times the noise floor they are."""
    floors = (result.colour_floor, result.structure_floor, result.picture_floor)
    lines: list[tuple[str, ...]] = [(result.field, "colour", "structure", "picture", "")]
    for row in result.rows:
        lines.append((row.value, *(_times(*pair) for pair in zip((row.colour, row.structure, row.picture), floors, strict=True)), row.verdict))
    lines.append(("by chance", *(f"{floor:.2f}" for floor in floors), "grey levels: what other seeds change"))
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    table = ["  ".join([line[0].ljust(widths[0]), *(line[n].rjust(widths[n]) for n in (1, 2, 3)), line[4]]).rstrip() for line in lines]
    return "\n".join([f"written {result.path} (marked SYNTHETIC)", *table, result.verdict])


def _times(change: float, floor: float) -> str:
    return f"{change:.2f} ({change / floor:.1f}x)" if floor > 0 else f"{change:.2f}"
