"""Training of rsgeo-mini's ControlNets: a run learns, stops and goes on, and what it leaves loads and steers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from rsgeo.hub import catalog
from rsgeo.models.loading import load_controlnet

TRAINING = Path(__file__).resolve().parents[2] / "training"
sys.path.insert(0, str(TRAINING))

import train_controlnet  # noqa: E402

CONFIG = yaml.safe_load((TRAINING / "controlnet.yaml").read_text())
BASE = catalog.find("rsgeo-mini").folder


@pytest.mark.parametrize(("task", "condition"), [("superres", (1, 3, 16, 16)), ("inpaint", (1, 4, 64, 64))])
def test_a_run_goes_on_where_it_stopped(
    task: str, condition: tuple[int, ...], sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load_file(BASE / "unet" / "diffusion_pytorch_model.safetensors")
    first = _train(task, sets, tmp_path, 0.01, monkeypatch)
    longer = _train(task, sets, tmp_path, float(first["minutes"]) + 0.1, monkeypatch)  # minutes are rounded to tenths
    assert f"going on from step {first['step']}, " in capsys.readouterr().out
    assert longer["step"] > first["step"] > 0 and longer["task"] == task

    net = load_controlnet(tmp_path / "controlnet")
    noisy, states = torch.randn(1, 16, 16, 16), torch.zeros(1, 2, 128)
    skips, middle = net(noisy, 500, states, torch.rand(condition), return_dict=False)
    assert all(residual.abs().max() > 0 for residual in (*skips, middle))
    after = load_file(BASE / "unet" / "diffusion_pytorch_model.safetensors")
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_cell_is_known_only_with_all_its_pixels() -> None:
    known = torch.ones(1, 8, 8, dtype=torch.bool)
    known[0, 3, 3] = False
    assert train_controlnet.wholly_known(known, 4).tolist() == [[[[0.0, 1.0], [1.0, 1.0]]]]


def test_what_need_not_be_made_is_what_is_shown() -> None:
    pixels = np.random.default_rng(0).uniform(-1, 1, (3, 3, 64, 64)).astype(np.float32)
    seen, known = train_controlnet.condition("inpaint", pixels, np.random.default_rng(1))
    assert np.array_equal(seen[:, 3] == 1, known)
    assert np.allclose(seen[:, :3] * 2 - 1, np.where(known[:, None], pixels, -1), atol=1e-6)
    _, known = train_controlnet.condition("superres", pixels, np.random.default_rng(1))
    assert not known.any()


def _train(task: str, sets: Path, out: Path, minutes: float, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    config = out / "config.yaml"
    config.write_text(yaml.safe_dump({**CONFIG, "batch_size": 4, "warmup_steps": 1}))
    options = {"config": config, "eurosat": sets / "eurosat", "ucmerced": sets / "ucmerced", "out": out, "minutes": minutes}
    typed = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    monkeypatch.setattr(sys, "argv", ["train_controlnet.py", task, *typed, "--mixed-precision", "no"])
    train_controlnet.main()
    facts: dict[str, Any] = json.loads((out / "training.json").read_text())
    return facts
