"""Training of rsgeo-mini: what a batch holds, and that a run stops, goes on, and starts from a model's weights."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

TRAINING = Path(__file__).resolve().parents[2] / "training"
sys.path.insert(0, str(TRAINING))

import train_mini  # noqa: E402
from mini_data import MiniData  # noqa: E402

CONFIG = yaml.safe_load((TRAINING / "mini.yaml").read_text())


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped recipe with a network of a few thousand weights."""
    small = {
        **CONFIG,
        "batch_size": 4,
        "text_encoder": {"vocab_size": 8, "dim": 16, "num_layers": 1, "num_heads": 2, "max_length": 8, "table_noise": 1.0},
        "unet": {
            **CONFIG["unet"],
            "block_out_channels": [32, 32, 32],
            "attention_head_dim": [1, 1, 1],
            "norm_num_groups": 8,
            "cross_attention_dim": 16,
        },
    }
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    path.write_text(yaml.safe_dump(small))
    return path


def test_a_batch_is_a_function_of_process_and_step(sets: Path) -> None:
    data = MiniData(sets / "eurosat", sets / "ucmerced", CONFIG)
    first, again, other, later = (data.batch(8, process=p, step=s) for p, s in ((0, 3), (0, 3), (1, 3), (0, 4)))
    assert np.array_equal(first.pixels, again.pixels) and first.captions == again.captions and first.scenes == again.scenes
    assert not np.array_equal(first.pixels, other.pixels) and not np.array_equal(first.pixels, later.pixels)
    assert first.pixels.shape == (8, 3, 64, 64) and -1 <= first.pixels.min() < first.pixels.max() <= 1


def test_classes_are_drawn_by_their_weights(sets: Path) -> None:
    data = MiniData(sets / "eurosat", sets / "ucmerced", {**CONFIG, "class_weights": {"Forest": 5.0, "River": 0.0}})
    label_of = {image.lon: image.label for image in data.eurosat.images}
    scenes = [scene for step in range(15) for scene in data.batch(200, process=0, step=step).scenes]
    drawn = Counter(label_of[scene.lon.value] for scene in scenes if scene.lon and scene.gsd and scene.gsd.value == 10.0)
    count = drawn.total()
    assert drawn["River"] == 0
    assert drawn["Forest"] == pytest.approx(count * 5 / 13, rel=0.1) and drawn["SeaLake"] == pytest.approx(count / 13, rel=0.3)


def test_a_run_goes_on_where_it_stopped_and_another_starts_from_its_weights(
    sets: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = _train(sets, config, tmp_path / "a", 0.02, monkeypatch)
    longer = _train(sets, config, tmp_path / "a", 0.05, monkeypatch)
    assert f"going on from step {first['step']}, " in capsys.readouterr().out
    assert longer["step"] > first["step"] > 0 and first["init"] is None

    # One step of the warm-up hardly moves the weights; on disk they are fp16.
    init = tmp_path / "a" / "model"
    other = _train(sets, config, tmp_path / "b", 1e-9, monkeypatch, "--init", str(init))
    assert other["init"] == {key: longer[key] for key in longer if key != "config"}
    for part in ("unet", "text_encoder"):
        before, after = (load_file(folder / part / "diffusion_pytorch_model.safetensors") for folder in (init, tmp_path / "b" / "model"))
        assert before.keys() == after.keys()
        assert all(torch.allclose(before[key].float(), after[key].float(), atol=2e-3) for key in before)


def _train(sets: Path, config: Path, out: Path, minutes: float, monkeypatch: pytest.MonkeyPatch, *more: str) -> dict[str, object]:
    options = {"config": config, "eurosat": sets / "eurosat", "ucmerced": sets / "ucmerced", "words": sets / "words", "out": out, "minutes": minutes}
    typed = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    monkeypatch.setattr(sys, "argv", ["train_mini.py", *typed, "--mixed-precision", "no", *more])
    train_mini.main()
    facts: dict[str, object] = json.loads((out / "model" / "training.json").read_text())
    return facts


def test_layers_that_the_first_weights_lack_change_nothing_at_first(config: Path) -> None:
    small = yaml.safe_load(config.read_text())["unet"]
    grown = {**small, "up_block_types": [*small["up_block_types"][:-1], "CrossAttnUpBlock2D"]}
    old, new = (train_mini.SatUNet(**unet, use_metadata=False).eval() for unet in (small, grown))
    train_mini.start_from(new, old.state_dict())
    generator = torch.Generator().manual_seed(0)
    noisy, states = (torch.randn(shape, generator=generator) for shape in ((2, 16, 16, 16), (2, 3, 16)))
    before, after = (unet(noisy, torch.tensor([10, 900]), states).sample for unet in (old, new))
    assert torch.equal(before, after) and before.std() > 0
    with pytest.raises(RuntimeError, match=r"conv_in\.weight"):
        train_mini.start_from(new, {key: value for key, value in old.state_dict().items() if key != "conv_in.weight"})
