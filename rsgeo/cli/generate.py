"""`rsgeo generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rsgeo.cli import options, show
from rsgeo.request import Ask
from rsgeo.runtime import Runtime


def _seed(ctx: click.Context, param: click.Parameter, value: str | None) -> int | str | None:
    if value is None or value == "random":
        return value
    try:
        return int(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is neither a whole number nor 'random'.") from error


@click.command("generate", short_help="Make a synthetic image of an area.")
@options.place
@click.option("--prompt", help="What shall be there; empty is whatever the model thinks fit.")
@click.option("--negative-prompt", help="What shall not be there.")
@click.option("--prompt-field", metavar="NAME", help="Attribute of the polygons that says what shall be where; --prompt fills the rest.")
@click.option("--prompt-map", metavar="JSON", help="What prompt each value of --prompt-field stands for, as {\"value\": \"prompt\"}.")
@click.option("--prompt-layer", metavar="FILE", help="Vector file with --prompt-field; default all features of --aoi.")
@click.option("--date", help="Date of the scene (YYYY-MM-DD or YYYY-MM).")
@click.option("--cloud-cover", type=float, metavar="PERCENT")
@click.option("--seed", metavar="N|random", callback=_seed, help="Default 0; 'random' draws one and records it.")
@click.option("--num-inference-steps", type=int, metavar="N")
@click.option("--guidance-scale", type=float, metavar="X", help="How strictly to follow the wish; 1 is plain.")
@click.option("--scheduler", help="ddim, euler, dpmsolver++, sde-dpmsolver++ or unipc.")
@click.option("--model", help="Name or folder of a model; default rsgeo-mini.")
@click.option("--model-anyway", is_flag=True, help="With --from: use the installed model though the file was made with other weights.")
@options.machine
@options.cluster
@click.option("--co", "creation", multiple=True, metavar="KEY=VALUE", help="GDAL creation option, for example COMPRESS=JPEG.")
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
@click.option("--fresh", is_flag=True, help="Discard the finished work of an interrupted run instead of going on.")
@click.option("--dry-run", is_flag=True, help="Say what would be done and stop.")
@click.option("--quiet", is_flag=True, help="Print errors and warnings only.")
@click.option("--preview", type=options.OUTPUT, metavar="PNG", help="Write a small picture as well.")
@click.option("--reproducible", is_flag=True, help="No time stamps: equal requests give equal bytes.")
@click.option("--no-sidecar", is_flag=True, help="Do not write the STAC item and QGIS metadata beside the image.")
@click.option("--private", is_flag=True, help="Store hashes instead of prompt and area (the file cannot be made again from itself).")
@click.option("--copyright", "copyright_", metavar="TEXT", help="Written as the image's copyright.")
@click.argument("out", type=options.OUTPUT, required=False)
def command(
    out: Path | None,
    device: Any,
    dtype: Any,
    batch_size: int | None,
    workers: int | None,
    dask: str | None,
    creation: tuple[str, ...],
    overwrite: bool,
    fresh: bool,
    dry_run: bool,
    quiet: bool,
    preview: Path | None,
    reproducible: bool,
    no_sidecar: bool,
    private: bool,
    copyright_: str | None,
    **asked: Any,
) -> None:
    """Make a synthetic, georeferenced image at OUT (a Cloud Optimized GeoTIFF).

    \b
    rsgeo generate --aoi field.geojson --prompt "vineyards on a slope" out.tif
    rsgeo generate --like scene.tif --seed 7 out.tif
    rsgeo generate --from out.tif again.tif
    """
    if out is None and not dry_run:
        raise click.UsageError("Say where to write: rsgeo generate ... OUT.tif (or --dry-run).")
    from rsgeo.tasks import generate as task
    from rsgeo.tasks.resolve import resolve

    resolved = resolve(Ask(**asked))
    if dry_run:
        click.echo(show.plan(resolved, task.plan(resolved)))
        return
    assert out is not None
    with show.progress(quiet) as report:
        runtime = Runtime(
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            overwrite=overwrite,
            fresh=fresh,
            workers=workers,
            dask=dask,
            reproducible=reproducible,
            sidecar=not no_sidecar,
            private=private,
            copyright=copyright_,
            creation_options=_creation_options(creation),
            preview=preview,
            progress=report,
        )
        result = task.run(resolved, out, runtime)
    if not quiet:
        click.echo(show.result(resolved, result, preview))


def _creation_options(pairs: tuple[str, ...]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE.", param_hint="--co")
    return dict(pair.split("=", 1) for pair in pairs)
