"""The loop that all training here shares: checkpoints, going on from them, learning rate, average of the weights, and the limit of time.

Settings that it reads: ``learning_rate``, ``warmup_steps``, ``decay_from``, ``ema_width``, ``batch_size`` and ``checkpoint_minutes``.
"""

from __future__ import annotations

import math
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator


class PowerEMA:
    """Average of the weights with a power-function profile (Karras et al. 2024, equation 3 and appendix C)."""

    def __init__(self, model: torch.nn.Module, width: float) -> None:
        self.weights = {k: v.detach().clone() for k, v in model.state_dict().items() if v.is_floating_point()}
        roots = np.roots([1, 7, 16 - width**-2, 12 - width**-2])
        self.gamma = float(np.real(roots[np.isreal(roots)]).max())

    @torch.no_grad()
    def update(self, model: torch.nn.Module, step: int) -> None:
        beta = (1 - 1 / (step + 1)) ** (self.gamma + 1)
        state = model.state_dict()
        for key, average in self.weights.items():
            average.lerp_(state[key], 1 - beta)


class Loop:
    """A run of training in ``out``; where that holds a checkpoint, the run goes on from it.

    Args:
        accelerator: of accelerate.
        model: what computes the loss; afterwards ``model``, ready to be called.
        learns: the part of it that is trained, averaged (``ema``) and kept; the model itself, or a module in it.
        config: the settings.
        out: folder of the checkpoint, ``state.pt``.
    """

    def __init__(self, accelerator: Accelerator, model: torch.nn.Module, learns: torch.nn.Module, config: dict[str, Any], out: Path) -> None:
        self.accelerator, self.learns, self.config = accelerator, learns, config
        optimizer = torch.optim.AdamW(learns.parameters(), lr=config["learning_rate"], betas=(0.9, 0.99), weight_decay=0.01, fused=True)
        self.ema = PowerEMA(learns, config["ema_width"])
        self.step, self.minutes = 0, 0.0
        self._file = out / "state.pt"
        if self._file.is_file():
            state = torch.load(self._file, weights_only=True, map_location="cpu")
            learns.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            self.ema.weights, self.step, self.minutes = state["ema"], state["step"], state["minutes"]
            print(f"going on from step {self.step}, {self.minutes:.1f} min", flush=True)
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.device: torch.device = accelerator.device
        self.ema.weights = {k: v.to(self.device) for k, v in self.ema.weights.items()}
        out.mkdir(parents=True, exist_ok=True)

    def run(self, minutes: float, loss: Callable[[int], torch.Tensor], kept: Callable[[], bool | None]) -> None:
        """Train until ``minutes``, those of earlier runs counted in, are over.

        Args:
            minutes: the learning rate falls to zero over their last part.
            loss: of a step, by its number; each process computes its own.
            kept: called by the main process after each checkpoint, to write what the run gives; True ends the run.
        """
        start, base, saved, losses = time.monotonic(), self.minutes, self.minutes, []
        mark, size = start, self.config["batch_size"]
        while self.minutes < minutes:
            value = loss(self.step)
            self.accelerator.backward(value)
            self.accelerator.clip_grad_norm_(self.learns.parameters(), 1.0)
            decay = min(1.0, (1 - self.minutes / minutes) / (1 - self.config["decay_from"]))
            for group in self.optimizer.param_groups:
                group["lr"] = self.config["learning_rate"] * min(1.0, (self.step + 1) / self.config["warmup_steps"]) * decay
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.step += 1
            self.ema.update(self.learns, self.step)
            losses.append(value.item())
            self.minutes = base + (time.monotonic() - start) / 60
            if not math.isfinite(losses[-1]):
                sys.exit(f"The loss is not finite at step {self.step}; lower the learning rate.")
            if self.step % 100 == 0:
                rate = size * 100 / max(1e-9, time.monotonic() - mark)
                mark = time.monotonic()
                print(f"{self.minutes:7.1f} min  step {self.step:6d}  loss {np.mean(losses[-100:]):.4f}  {rate:6.1f} images/s", flush=True)
            if self.minutes - saved >= self.config["checkpoint_minutes"]:
                saved = self.minutes
                if self._checkpoint(kept):
                    return
        self._checkpoint(kept)

    def facts(self) -> dict[str, Any]:
        """How far the run is, and on what machine."""
        return {
            "step": self.step,
            "minutes": round(self.minutes, 1),
            "images": self.step * self.config["batch_size"] * self.accelerator.num_processes,
            "machine": platform.machine(),
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }

    def _checkpoint(self, kept: Callable[[], bool | None]) -> bool:
        ends = False
        if self.accelerator.is_main_process:
            part = self._file.with_suffix(".part")
            state = {"model": self.learns.state_dict(), "optimizer": self.optimizer.state_dict(), "ema": self.ema.weights}
            torch.save({**state, "step": self.step, "minutes": self.minutes}, part)
            part.replace(self._file)
            ends = bool(kept())
        # All processes end together, or the others would wait for gradients for ever.
        told = torch.tensor(float(ends), device=self.device)
        return bool(self.accelerator.reduce(told, reduction="sum").item())
