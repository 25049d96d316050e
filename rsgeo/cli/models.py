"""`rsgeo models`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rsgeo.cli import options, show
from rsgeo.errors import ModelError

if TYPE_CHECKING:
    from rsgeo.hub.records import CatalogRecord

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_BASE = click.option("--base", metavar="MODEL", help="The model whose UNet a ControlNet works with.")
_CHECKPOINT = click.option("--checkpoint", metavar="NAME", help="Which UNet of several, for example checkpoint-100000 or root; default the highest.")
_EXISTING = click.Path(path_type=Path)


@click.group("models", short_help="List, show, add, fetch, convert and verify models.")
def command() -> None:
    """The models that rsgeo knows: the embedded one, published archives, and your own."""


@command.command("list", short_help="Say which models there are.")
@_JSON
def list_(as_json: bool) -> None:
    """Say which models there are, and which are at hand."""
    from rsgeo.hub import catalog

    records = catalog.records()
    if as_json:
        click.echo(json.dumps([_facts(record) for record in records], indent=2, ensure_ascii=False))
        return
    click.echo(show.models([(record, catalog.is_at_hand(record)) for record in records]))


@command.command("show", short_help="Say all that is known of a model.")
@_JSON
@click.argument("name")
def show_(name: str, as_json: bool) -> None:
    """Say all that is known of the model NAME (or of a folder or ZIP), its licence included."""
    from rsgeo.hub import catalog

    record = catalog.about(name)
    if as_json:
        click.echo(json.dumps(_facts(record), indent=2, ensure_ascii=False))
        return
    click.echo(show.model(record))


@command.command("add", short_help="Give a model that you have a name.")
@_BASE
@_CHECKPOINT
@click.option("--base-checkpoint", metavar="NAME", help="Which UNet of the base, where it has several.")
@click.option("--licence", metavar="TEXT", help="The licence of the weights, as it is to stand in every output.")
@click.option("--title", metavar="TEXT")
@click.option("--citation", metavar="TEXT")
@click.option("--tile", type=click.IntRange(8, 512), metavar="CELLS", help="Side of the model's window in latent cells (64 is 512 px).")
@click.option("--gsd-native", type=click.FloatRange(min=0, min_open=True), metavar="METRES", help="GSD to paint at where none is asked for.")
@click.option("--gsd-min", type=click.FloatRange(min=0, min_open=True), metavar="METRES", help="Finest GSD of its training.")
@click.option("--gsd-max", type=click.FloatRange(min=0, min_open=True), metavar="METRES", help="Coarsest GSD of its training.")
@click.argument("name")
@click.argument("path", type=_EXISTING)
def add(name: str, path: Path, base: str | None, **stated: Any) -> None:
    """Give the model at PATH the name NAME. A folder stays where it is; a ZIP is unpacked. What the options do not state is told from its files."""
    from rsgeo.hub import registry

    click.echo(show.model(registry.add(name, path, base=base, **stated)))


@command.command("fetch", short_help="Download a published model.")
@click.option("--yes", is_flag=True, help="Agree to the licence and the download.")
@click.option("--from-file", type=_EXISTING, metavar="ZIP", help="Take the archive from a file instead of the network.")
@click.argument("name")
def fetch(name: str, yes: bool, from_file: Path | None) -> None:
    """Download the published model NAME, or a model of the Hugging Face hub by its id, and check it. It asks first; broken downloads go on.

    A training checkpoint of RSDiff is converted once it is here.
    """
    from rsgeo.hub import catalog, huggingface
    from rsgeo.hub import fetch as fetching

    def agreed(words: str) -> bool:
        click.echo(words, err=True)
        try:
            return yes or click.confirm("Download it?", err=True)
        except click.Abort:  # nobody is there to answer
            return False

    name = catalog.published_as(name) or name
    if huggingface.is_id(name) and name not in catalog.known():
        if not agreed(f"{name} of the Hugging Face hub; its licence stands on its page there."):
            raise ModelError("Nothing was fetched; agree, or say --yes.")
        found = catalog.find(name, download=True)
    else:
        with show.bytes_done() as progress:
            found = fetching.fetch(name, from_file=from_file, consent=lambda record: agreed(show.offer(record)), progress=progress)
    click.echo(show.model(found))


@command.command("convert", short_help="Write a model in rsgeo's layout.")
@click.option("--base", metavar="MODEL|PT", help="The model whose UNet a ControlNet works with, or the file of the base stage's run.")
@_CHECKPOINT
@click.option("--dtype", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp32", show_default=True, help="Numbers to store the networks in.")
@click.option("--weights", type=click.Choice(["ema", "online"]), help="Of a training checkpoint: averaged or last weights; default ema.")
@click.option("--config", type=_EXISTING, metavar="JSON", help="Of a training checkpoint: settings by stage, where its weights leave them open.")
@click.option("--text-encoder", type=_EXISTING, metavar="FOLDER", help="Of a cascade: the T5 encoder and tokenizer it was trained with.")
@click.argument("path")
@click.argument("out", type=options.OUTPUT)
def convert(path: str, out: Path, base: str | None, checkpoint: str | None, dtype: str, **trained: Any) -> None:
    """Write the model at PATH (a folder, ZIP or name) to the new folder OUT: safetensors in the layout of rsgeo and diffusers.

    PATH may also be a training checkpoint of RSDiff (.pt): the whole file, one of the super-resolution stage with the base stage's as --base, or the
    base stage's alone. A cascade without a text encoder is given one by --text-encoder.

    \b
    rsgeo models convert ckpt_sr_ep650_step89050.pt rsdiff --text-encoder t5-base
    """
    from rsgeo.hub import convert as converting
    from rsgeo.hub import convert_rsdiff, unpack

    how = {name: value for name, value in trained.items() if value is not None}
    if unpack.is_checkpoint(Path(path)):
        if checkpoint is not None:
            raise click.UsageError("--checkpoint names a UNet of several; a training checkpoint of RSDiff has one for each stage.")
        if "config" in how:
            how["config"] = convert_rsdiff.read_config(how["config"])
        click.echo(show.converted(convert_rsdiff.convert_rsdiff(Path(path), out, base=None if base is None else Path(base), dtype=dtype, **how)))
        return
    if given := [name for name in how if name != "text_encoder"]:
        raise click.UsageError(f"--{given[0]} is for a training checkpoint of RSDiff (.pt), which {path} is not.")
    click.echo(show.model(converting.convert(path, out, base=base, checkpoint=checkpoint, dtype=dtype, **how)))


@command.command("verify", short_help="Check a model's files against its pinned hash.")
@click.argument("name")
@click.pass_context
def verify(ctx: click.Context, name: str) -> None:
    """Read all files of the model NAME and compare their hash with the pinned one. Exit code 1 where they differ or none is pinned."""
    from rsgeo.hub import catalog

    record = catalog.find(name)
    sound = catalog.is_sound(record, afresh=True)
    words = {True: "as pinned", False: "CHANGED; fetch or add it again", None: "no hash is pinned; rsgeo models add NAME PATH pins one"}
    click.echo(show.rows([("model", record.name), ("sha256", catalog.files_sha256(record)), ("files", words[sound])]))
    if not sound:
        ctx.exit(1)


def _facts(record: CatalogRecord) -> dict[str, Any]:
    from rsgeo.hub import catalog

    return {
        **record.model_dump(mode="json"),
        "at_hand": catalog.is_at_hand(record),
        "folder": str(record.folder) if record.folder != Path() else None,
    }
