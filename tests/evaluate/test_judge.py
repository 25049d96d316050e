"""The judge: it survives its folder, and the one kept with the training scripts knows real tiles."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from rsgeo.data import packed
from rsgeo.errors import InputError, ModelError
from rsgeo.evaluate.judge import EUROSAT_CLASSES, Judge, load, look

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "training" / "judge"


@pytest.fixture
def tiles() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 64, 64, 3), dtype=np.uint8)


def test_logits_are_the_head_on_the_features() -> None:
    judge = Judge().eval()
    pixels = torch.rand(2, 3, 64, 64)
    features = judge.features(pixels)
    assert features.shape == (2, 128)
    assert torch.equal(judge.logits(pixels), judge.head(features))
    assert judge.logits(pixels).shape == (2, len(EUROSAT_CLASSES))


def test_a_saved_judge_judges_the_same(tmp_path: Path, tiles: np.ndarray) -> None:
    judge = Judge(channels=(8, 8, 16, 24)).eval()
    judge.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert not again.training
    assert np.array_equal(look(judge, tiles)[0], look(again, tiles)[0])


def test_a_folder_without_judge_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no judge"):
        load(tmp_path)


def test_a_tile_is_judged_alike_in_any_batch(tiles: np.ndarray) -> None:
    judge = Judge().eval()
    together, alone = look(judge, tiles)[0], look(judge, tiles, batch_size=2)[0]
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("shape", "dtype"), [((2, 3, 64, 64), np.uint8), ((2, 64, 64, 3), np.float32), ((0, 64, 64, 3), np.uint8)])
def test_pictures_in_another_form_are_refused(shape: tuple[int, ...], dtype: type) -> None:
    with pytest.raises(InputError):
        look(Judge().eval(), np.zeros(shape, dtype))


def test_the_kept_judge_is_small_and_finite() -> None:
    judge = load(KEPT)
    assert sum(file.stat().st_size for file in KEPT.iterdir()) < 3_000_000
    assert tuple(judge.config["classes"]) == EUROSAT_CLASSES
    assert all(torch.isfinite(value).all() for value in judge.state_dict().values())


def test_the_kept_judge_knows_real_tiles() -> None:
    root = Path(os.environ.get("RSGEO_SHARED_DATA", "missing")) / "eurosat"
    if not root.is_dir():
        pytest.skip("EuroSAT is not on this machine")
    images = packed.rows(root, lambda row: row["split_spatial"] == "test" and row["shard"] == "eurosat-000.bin")
    labels = np.array([EUROSAT_CLASSES.index(image.label) for image in images])
    _, seen = look(load(KEPT), np.stack(list(packed.pixels(root, images))))
    assert (seen == labels).mean() > 0.88
