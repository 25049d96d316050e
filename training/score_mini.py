"""Score generated tiles against real ones: ``python training/score_mini.py --model DIR --eurosat DIR --judge DIR``.

Patch i shows class i modulo 10 at 10 m, drawn with seed i from "a satellite image of <caption_name>", at the place of a EuroSAT val tile
of its class (those places are at least 20 km from any training tile's). ``--places any`` takes the place of any val tile, so that it says
nothing of the class; ``--places none`` leaves it unknown. The prompts in unseen words always stand at the place of any val tile.
Pictures become uint8 before they are judged.

Every number about generated tiles stands beside the same number about real ones: accuracy beside the judge's own on all test tiles, the
Frechet distance to test tiles beside the floor, that of as many train tiles, gradients across patch borders beside those of test tiles.
``--against val`` takes val for test in all of them: choose settings there and keep test for the end. ``--areas`` makes each patch as
`rsgeo generate` does, an area of its own on the world's lattice, instead of as one tile: slower, and what users see.
"""

from __future__ import annotations

import argparse
import csv
import inspect
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer
from transformers import PreTrainedTokenizerFast

from rsgeo.data import packed
from rsgeo.evaluate import borders, frechet
from rsgeo.evaluate.judge import EUROSAT_CLASSES, Judge, load, look
from rsgeo.hub import catalog
from rsgeo.hub import load as hub
from rsgeo.models.loading import load_module
from rsgeo.models.patch_codec import PatchCodec
from rsgeo.models.sat_unet import SatUNet
from rsgeo.models.word_piece_encoder import WordPieceEncoder
from rsgeo.pipelines.sat_pipeline import SatPipeline
from rsgeo.request import Ask
from rsgeo.scene import SceneMetadata, Value
from rsgeo.tasks.generate import generate as area_task

GSD_M = 10.0
AREA_M = 800.0
METRES_A_DEGREE = 111_320.0
UNSEEN = Path(__file__).resolve().parent / "prompts_unseen.csv"


@dataclass(frozen=True)
class Patch:
    """One picture to make."""

    prompt: str
    scene: SceneMetadata
    seed: int


class RealTiles:
    """EuroSAT's spatial split by class, in storage order, which is shuffled."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.by_class: dict[tuple[str, str], list[packed.PackedImage]] = {}
        for image in packed.rows(root):
            self.by_class.setdefault((image.row["split_spatial"], image.label), []).append(image)

    def evenly(self, split: str, count: int) -> NDArray[np.uint8]:
        """(count, 64, 64, 3), classes in turn."""
        return self._read([self.by_class[split, EUROSAT_CLASSES[i % 10]][i // 10] for i in range(count)])

    def all(self, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Every tile of a part and its class index."""
        images = [image for label in EUROSAT_CLASSES for image in self.by_class[split, label]]
        return self._read(images), np.array([EUROSAT_CLASSES.index(image.label) for image in images])

    def places(self, labels: Sequence[str], index: int) -> SceneMetadata:
        """A scene at 10 m at the place of val tile ``index`` of the classes ``labels``, counted round."""
        images = sorted((image for label in labels for image in self.by_class["val", label]), key=lambda image: image.key)
        # A fixed stride that shares no factor with the count walks over all tiles without order.
        image = images[index * 7919 % len(images)]
        assert image.lon is not None and image.lat is not None
        return SceneMetadata(lon=Value(value=image.lon, source="EuroSAT val"), lat=Value(value=image.lat, source="EuroSAT val"), gsd=scene_gsd())

    def caption_name(self, label: str) -> str:
        return self.by_class["val", label][0].caption_name

    def _read(self, images: list[packed.PackedImage]) -> NDArray[np.uint8]:
        return np.stack(list(packed.pixels(self.root, images)))


def scene_gsd() -> Value:
    return Value(value=GSD_M, source="score")


def class_patches(real: RealTiles, count: int, places: str) -> list[Patch]:
    """Patches of the ten classes in turn, seeds 0 to count - 1."""
    patches = []
    for i in range(count):
        label = EUROSAT_CLASSES[i % 10]
        near = [label] if places == "class" else EUROSAT_CLASSES
        scene = SceneMetadata(gsd=scene_gsd()) if places == "none" else real.places(near, i)
        patches.append(Patch(f"a satellite image of {real.caption_name(label)}", scene, i))
    return patches


def load_pipeline(model: str, words: Path | None) -> SatPipeline:
    """A model of the catalogue, as users have it, or a checkpoint of `train_mini.py`: that holds no tokenizer and needs the word table."""
    if not (Path(model) / "training.json").is_file():
        return hub.load_pipeline(model)
    if words is None:
        sys.exit(f"{model} is a checkpoint of training; name the folder of the word table with --words.")
    folder = Path(model)
    encoder = load_module(WordPieceEncoder, folder / "text_encoder")
    pipe = SatPipeline(
        vae=load_module(PatchCodec, folder / "vae"),
        text_encoder=encoder,
        tokenizer=tokenizer(words, encoder.config.max_length),
        unet=load_module(SatUNet, folder / "unet"),
        scheduler=DPMSolverMultistepScheduler.from_pretrained(folder / "scheduler"),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tokenizer(words: Path, length: int) -> PreTrainedTokenizerFast:
    """The tokenizer that training used, with the face that the pipeline expects."""
    pieces = BertWordPieceTokenizer(str(words / "vocab.txt"), lowercase=True)
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "cls", "sep", "pad", "mask")}
    return PreTrainedTokenizerFast(tokenizer_object=pieces._tokenizer, model_max_length=length, **names)


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """Steps and guidance of the command line; where it leaves them open the catalogue's, or the pipeline's own for a checkpoint."""
    parameters = inspect.signature(SatPipeline.__call__).parameters
    given = {"num_inference_steps": args.steps, "guidance_scale": args.guidance}
    record = None if (Path(args.model) / "training.json").is_file() else catalog.find(args.model)
    return {
        name: value if value is not None else getattr(record.defaults, name) if record else parameters[name].default for name, value in given.items()
    }


def generate(pipe: SatPipeline, patches: Sequence[Patch], sampler: dict[str, Any], batch_size: int) -> NDArray[np.uint8]:
    """Pictures (n, 64, 64, 3) of patches; each depends on its own seed only."""
    parts = []
    for start in range(0, len(patches), batch_size):
        batch = patches[start : start + batch_size]
        generators = [torch.Generator().manual_seed(patch.seed) for patch in batch]
        images = pipe([patch.prompt for patch in batch], [patch.scene for patch in batch], generator=generators, output_type="pt", **sampler).images
        parts.append((images.clamp(0, 1) * 255.0).round().byte().permute(0, 2, 3, 1).cpu().numpy())
        print(f"\r{start + len(batch)} of {len(patches)} tiles", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return np.concatenate(parts)


def generate_areas(model: str, patches: Sequence[Patch], sampler: dict[str, Any]) -> NDArray[np.uint8]:
    """Pictures (n, 64, 64, 3) of patches as `rsgeo generate` makes them: the middle of an area of 0.8 x 0.8 km around each place."""
    parts = []
    for done, patch in enumerate(patches, start=1):
        assert patch.scene.lon is not None and patch.scene.lat is not None
        lon, lat = patch.scene.lon.value, patch.scene.lat.value
        east, north = AREA_M / 2 / (METRES_A_DEGREE * np.cos(np.radians(lat))), AREA_M / 2 / METRES_A_DEGREE
        bounds = (lon - east, lat - north, lon + east, lat + north)
        ask = Ask(bounds=bounds, gsd=str(GSD_M), prompt=patch.prompt, seed=patch.seed, model=model, **sampler)
        pixels = area_task(ask).pixels
        assert pixels is not None
        row, col = ((side - 64) // 2 for side in pixels.shape[1:])
        parts.append(pixels[:, row : row + 64, col : col + 64].transpose(1, 2, 0))
        print(f"\r{done} of {len(patches)} areas", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return np.stack(parts)


def recalls(asked: NDArray[np.int64], seen: NDArray[np.int64]) -> dict[str, float]:
    """Share of the tiles of each class that the judge recognises."""
    return {label: float((seen[asked == i] == i).mean()) for i, label in enumerate(EUROSAT_CLASSES) if (asked == i).any()}


def confusion(asked: NDArray[np.int64], seen: NDArray[np.int64]) -> list[list[int]]:
    """Rows: the class asked for; columns: the class seen."""
    table = np.zeros((10, 10), dtype=int)
    np.add.at(table, (asked, seen), 1)
    counts: list[list[int]] = table.tolist()
    return counts


def score_classes(judge: Judge, real: RealTiles, generated: NDArray[np.uint8], split: str = "test") -> dict[str, Any]:
    """Accuracy, Frechet distance and gradients of generated tiles, each beside those of the real tiles of ``split``."""
    count = len(generated)
    asked = np.arange(count) % 10
    features, seen = look(judge, generated)
    real_tiles, real_labels = real.all(split)
    _, real_seen = look(judge, real_tiles)
    even = real.evenly(split, count)
    even_features, train_features = look(judge, even)[0], look(judge, real.evenly("train", count))[0]
    own = float((real_seen == real_labels).mean())
    accuracy = float((seen == asked).mean())
    distance = frechet.distance(features, even_features)
    floor = frechet.distance(train_features, even_features)
    return {
        "tiles": count,
        "against": split,
        "accuracy": {"generated": accuracy, "real": own, "ratio": accuracy / own},
        "frechet": {"generated": distance, "floor": floor, "ratio": distance / floor},
        "class_means_apart": {"generated": mean_by_class(features, even_features), "floor": mean_by_class(train_features, even_features)},
        "recall": {"generated": recalls(asked, seen), "real": recalls(real_labels, real_seen)},
        "confusion": {"generated": confusion(asked, seen), "real": confusion(real_labels, real_seen)},
        "gradients": {"generated": gradients(generated), "real": gradients(even)},
        "grey_level": {"generated": grey_level(generated), "real": grey_level(even)},
    }


def mean_by_class(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Mean over classes of the squared distance between the mean features of a class; classes in turn."""
    gaps = [np.square(first[i::10].mean(axis=0) - second[i::10].mean(axis=0)).sum() for i in range(10)]
    return float(np.mean(gaps))


def gradients(tiles: NDArray[np.uint8]) -> dict[str, float]:
    found = borders.gradients(tiles)
    return {**asdict(found), "ratio": found.ratio}


def grey_level(tiles: NDArray[np.uint8]) -> dict[str, float]:
    """Mean and deviation over all pixels, and the deviation of the tiles' mean colours: whether all tiles look alike."""
    between = tiles.mean(axis=(1, 2)).std(axis=0).mean()
    return {"mean": float(tiles.mean()), "deviation": float(tiles.std()), "between_tiles": float(between)}


def score_unseen(judge: Judge, real: RealTiles, pipe: SatPipeline, args: argparse.Namespace, sampler: dict[str, Any]) -> dict[str, Any]:
    """The share of pictures of prompts in unseen words whose recognised class is one of those accepted."""
    with UNSEEN.open(encoding="utf-8", newline="") as file:
        prompts = [(row["prompt"], set(row["accepted"].split("|"))) for row in csv.DictReader(file)]
    each = args.unseen_seeds
    wording = "a satellite image of {}" if args.unseen_template else "{}"
    patches = [
        Patch(wording.format(prompt), real.places(EUROSAT_CLASSES, i * each + j), 10_000 + i * each + j)
        for i, (prompt, _) in enumerate(prompts)
        for j in range(each)
    ]
    _, seen = look(judge, generate(pipe, patches, sampler, args.batch_size))
    table = [
        {"prompt": prompt, "accepted": sorted(accepted), "seen": [EUROSAT_CLASSES[k] for k in seen[i * each : (i + 1) * each]]}
        for i, (prompt, accepted) in enumerate(prompts)
    ]
    right = [np.mean([label in row["accepted"] for label in row["seen"]]) for row in table]
    return {"wording": wording, "images": len(patches), "share_of_images": float(np.mean(right)),
            "share_of_prompts_by_majority": float(np.mean(np.array(right) > 0.5)), "prompts": table}  # fmt: skip


def report(scores: dict[str, Any]) -> str:
    """The figures side by side, for people."""
    accuracy, distance, means, steps, grey = (scores[key] for key in ("accuracy", "frechet", "class_means_apart", "gradients", "grey_level"))
    made = "areas" if scores["areas"] else "tiles"
    lines = [
        f"{scores['tiles']} {made} against {scores['against']}, {scores['settings']}, places: {scores['places']}",
        f"{'':34}{'generated':>10}{'real':>10}{'ratio':>8}",
        f"{'judge: class asked for':34}{accuracy['generated']:10.3f}{accuracy['real']:10.3f}{accuracy['ratio']:8.3f}",
        f"{'Frechet distance (real: train)':34}{distance['generated']:10.3f}{distance['floor']:10.3f}{distance['ratio']:8.2f}",
        f"{'class means apart (real: train)':34}{means['generated']:10.3f}{means['floor']:10.3f}",
        *(f"{'gradient ' + key:34}{steps['generated'][key]:10.3f}{steps['real'][key]:10.3f}" for key in ("across", "inside", "ratio")),
        *(f"{'grey level ' + key:34}{grey['generated'][key]:10.1f}{grey['real'][key]:10.1f}" for key in grey["generated"]),
        *(f"  {label:32}{value:10.3f}{scores['recall']['real'][label]:10.3f}" for label, value in scores["recall"]["generated"].items()),
    ]
    if "unseen" in scores:
        unseen = scores["unseen"]
        lines.append(f"unseen words, {unseen['images']} images: {unseen['share_of_images']:.3f} recognised; "
                     f"by majority {unseen['share_of_prompts_by_majority']:.3f} of the prompts")  # fmt: skip
        wrong = [row for row in unseen["prompts"] if not set(row["seen"]) <= set(row["accepted"])]
        lines += [f"  {row['prompt']}: {', '.join(row['seen'])}" for row in wrong]
    return "\n".join(lines)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Options that say which model makes tiles and how."""
    parser.add_argument("--model", default=catalog.DEFAULT_MODEL, help="name or folder of a model, or DIR/model of a training run")
    parser.add_argument("--words", type=Path, help="folder of the word table, for a checkpoint of a training run")
    parser.add_argument("--eurosat", type=Path, required=True, help="folder of the packed EuroSAT")
    parser.add_argument("--steps", type=int, help="instead of the model's default")
    parser.add_argument("--guidance", type=float, help="instead of the model's default")
    parser.add_argument("--places", choices=["class", "any", "none"], default="class", help="where the patches lie")
    parser.add_argument("--batch-size", type=int, default=20)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_options(parser)
    parser.add_argument("--judge", type=Path, default=Path(__file__).resolve().parent / "judge", help="folder of the judge")
    parser.add_argument("--n", type=int, default=1000, help="tiles, a multiple of 10")
    parser.add_argument("--against", choices=["test", "val"], default="test", help="the real tiles to compare with")
    parser.add_argument("--areas", action="store_true", help="each patch as an area of its own, as rsgeo generate makes it")
    parser.add_argument("--unseen-seeds", type=int, default=5, help="pictures for each prompt in unseen words; 0: leave them out")
    parser.add_argument("--unseen-template", action="store_true", help='put "a satellite image of" before the unseen prompts')
    parser.add_argument("--out", type=Path, help="JSON file for all figures")
    args = parser.parse_args()
    if args.n < 20 or args.n % 10:
        parser.error("--n must be a multiple of 10, at least 20")
    if args.areas and (args.places == "none" or (Path(args.model) / "training.json").is_file()):
        parser.error("--areas needs places and a model of the catalogue")

    torch.set_num_threads(args.threads)
    judge, real, pipe = load(args.judge), RealTiles(args.eurosat), load_pipeline(args.model, args.words)
    sampler = settings(args)
    start = time.process_time()
    patches = class_patches(real, args.n, args.places)
    generated = generate_areas(args.model, patches, sampler) if args.areas else generate(pipe, patches, sampler, args.batch_size)
    cost = (time.process_time() - start) / args.n
    scores = {"model": Path(args.model).name, "settings": sampler, "places": args.places, "areas": args.areas}
    scores |= {"cpu_seconds_a_tile": round(cost, 4), **score_classes(judge, real, generated, args.against)}
    if args.unseen_seeds:
        scores["unseen"] = score_unseen(judge, real, pipe, args, sampler)
    print(report(scores))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    main()
