"""The scoring script: what it draws and how it counts."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from rsgeo.evaluate.judge import EUROSAT_CLASSES, Judge

TRAINING = Path(__file__).resolve().parents[2] / "training"


@pytest.fixture(scope="module")
def score() -> ModuleType:
    return _script("score_mini")


@pytest.fixture(scope="module")
def eurosat(tmp_path_factory: pytest.TempPathFactory, pack: Callable[..., None]) -> Path:
    """A packed set in EuroSAT's layout: three tiles of noise for each class and part."""
    root = tmp_path_factory.mktemp("eurosat")
    rng = np.random.default_rng(0)
    images = []
    for index, label in enumerate(EUROSAT_CLASSES * 9):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(file, "WEBP", quality=30)
        row = {"key": f"{label}_{index}", "class": label, "caption_name": label.lower(), "gsd_m": "10", "lon": str(index % 30), "lat": "50"}
        images.append(({**row, "country": "", "split_spatial": ("train", "val", "test")[index // 10 % 3]}, file.getvalue()))
    pack(root, images)
    return root


def test_patches_take_classes_in_turn_seeds_in_order_and_places_of_val(score: ModuleType, eurosat: Path) -> None:
    real = score.RealTiles(eurosat)
    patches = score.class_patches(real, 20, "class")
    assert [patch.seed for patch in patches] == list(range(20))
    assert [patch.prompt for patch in patches[:2]] == ["a satellite image of annualcrop", "a satellite image of forest"]
    assert patches[3].prompt == patches[13].prompt
    places = {(image.lon, image.lat) for image in real.by_class["val", "Highway"]}
    assert all((patches[i].scene.lon.value, patches[i].scene.lat.value) in places for i in (3, 13))
    assert {patch.scene.gsd.value for patch in patches} == {10.0}
    assert all(patch.scene.lon is None for patch in score.class_patches(real, 20, "none"))


def test_recall_and_confusion_count_what_was_asked_for(score: ModuleType) -> None:
    asked, seen = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert score.recalls(asked, seen) == {"AnnualCrop": 0.5, "Forest": 1.0}
    table = np.array(score.confusion(asked, seen))
    assert table.sum() == 4 and table[0, 1] == 1 and table[1, 1] == 2


def test_real_tiles_in_the_place_of_generated_ones_are_at_no_distance(score: ModuleType, eurosat: Path) -> None:
    torch.manual_seed(0)
    real = score.RealTiles(eurosat)
    scores = score.score_classes(Judge().eval(), real, real.evenly("test", 30))
    assert scores["frechet"]["generated"] == pytest.approx(0.0, abs=1e-4)
    assert scores["accuracy"]["ratio"] == pytest.approx(1.0)
    assert scores["gradients"]["generated"] == scores["gradients"]["real"]
    assert json.loads(json.dumps(scores)) == scores
    assert "Frechet" in score.report({**scores, "settings": {}, "places": "class", "areas": False})


def test_generated_pictures_depend_on_their_own_seed_only(score: ModuleType, eurosat: Path) -> None:
    def pipe(prompts: list[str], scenes: list[object], *, generator: list[torch.Generator], output_type: str) -> SimpleNamespace:
        return SimpleNamespace(images=torch.stack([torch.rand(3, 64, 64, generator=one) for one in generator]))

    patches = score.class_patches(score.RealTiles(eurosat), 20, "any")
    whole, halves = score.generate(pipe, patches, {}, 20), score.generate(pipe, patches, {}, 7)
    assert whole.shape == (20, 64, 64, 3) and whole.dtype == np.uint8
    assert np.array_equal(whole, halves)


def test_a_checkpoint_reads_prompts_by_the_word_table(score: ModuleType, tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "sea", "lake", "##s"]
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    tokens = score.tokenizer(tmp_path, 6)(["Sea lakes", "sea"], padding="max_length", max_length=6, truncation=True)
    assert tokens.input_ids == [[2, 5, 6, 7, 3, 0], [2, 5, 3, 0, 0, 0]]
    assert tokens.attention_mask == [[1, 1, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0]]


def test_the_sheet_shows_both_sides_in_rows_of_classes() -> None:
    sheets = _script("sheets")
    tiles = np.stack([np.full((64, 64, 3), 25 * (i % 10), np.uint8) for i in range(100)])
    sheet = np.asarray(sheets.compose(tiles, tiles, scale=1))
    left, top = sheets.LABELS + 5, sheets.HEADER + 5
    for row in range(10):
        assert sheet[top + row * (64 + sheets.GAP), left, 0] == 25 * row
    assert sheet.shape[1] > 2 * 640


def test_the_unseen_prompts_are_forty_and_name_known_classes(score: ModuleType) -> None:
    with score.UNSEEN.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40 == len({row["prompt"] for row in rows})
    assert all(set(row["accepted"].split("|")) <= set(EUROSAT_CLASSES) for row in rows)


def _script(name: str) -> ModuleType:
    """A script of the training folder as a module; the scripts import each other by name."""
    if str(TRAINING) not in sys.path:
        sys.path.insert(0, str(TRAINING))
    spec = importlib.util.spec_from_file_location(name, TRAINING / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules.setdefault(name, importlib.util.module_from_spec(spec))
    if not hasattr(module, "main"):
        spec.loader.exec_module(module)
    return module
