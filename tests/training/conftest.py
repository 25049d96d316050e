"""Small packed sets to train on."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from rsgeo.evaluate.judge import EUROSAT_CLASSES


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory, pack: Callable[..., None]) -> Path:
    """Packed EuroSAT and UC Merced of smooth noise, and a word table of eight rows."""
    root = tmp_path_factory.mktemp("sets")
    pack(root / "eurosat", _smooth_noise([(label, 64) for label in EUROSAT_CLASSES * 4]))
    pack(root / "ucmerced", _smooth_noise([("freeway", 256), ("river", 256)]))
    words = root / "words"
    words.mkdir()
    (words / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "river", "forest"]), encoding="utf-8")
    table = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    save_file({"embedding": table}, words / "wordpiece_embedding_128.safetensors")
    return root


def _smooth_noise(pictures: list[tuple[str, int]]) -> Iterator[tuple[dict[str, str], bytes]]:
    rng = np.random.default_rng(1)
    for index, (label, side) in enumerate(pictures):
        coarse, file = rng.integers(0, 255, (side // 8, side // 8, 3), dtype=np.uint8), io.BytesIO()
        Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(file, "PNG")
        row = {"key": f"{label}_{index}", "class": label, "caption_name": label.lower(), "gsd_m": "10", "lon": str(index / 2), "lat": "50"}
        yield {**row, "country": "", "split_spatial": "train", "split_random": "train"}, file.getvalue()
