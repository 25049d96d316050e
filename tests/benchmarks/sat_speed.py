"""What do metadata and our pipeline cost beside diffusers' own UNet, at the full size of Stable Diffusion 2.1?

    OMP_NUM_THREADS=1 python tests/benchmarks/sat_speed.py [--rounds 7] [--dtypes float32 bfloat16] [--quick]

With MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=1000000000000 MALLOC_TOP_PAD_=268435456 in the environment glibc keeps the memory of activations; else
it gives it back and asks for it again at each step, which moves ratios by some per cent.

Random weights, 64 x 64 latents (512 px), no guidance, so that nothing hides what comes on top. One round, in changing order, is a bare denoising loop
around diffusers' `UNet2DConditionModel`, `SatPipeline` around a `SatUNet` with the same weights and seven numbers of metadata, and the bare loop once
more. The ratios are of the shortest of all rounds; that of the loop to itself says what chance does. On the CPU one step a round is timed, in seconds
of CPU time; on a GPU 20 steps, by the clock. Bars: the network with metadata at most 2 % over diffusers' own, the pipeline at most 5 % over the loop.

Beside the ratios, which the machine's noise moves, stand the parts by themselves: the metadata embedding, and what the pipeline does around
the network.
The full run needs 6 GB of memory, and takes about 10 minutes on two cores.
"""

from __future__ import annotations

import argparse
import sys
from statistics import median
from typing import Any

import torch
from accelerate import init_empty_weights
from common import Clock, Machine, table
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers import __version__ as diffusers_version

from rsgeo.models.sat_unet import SatUNet
from rsgeo.pipelines.sat_pipeline import SatPipeline

# That of Stable Diffusion 2.1, and of the published DiffusionSat checkpoints.
FULL = {
    "sample_size": 64, "block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True, "upcast_attention": True,
}  # fmt: skip
QUICK = {**FULL, "block_out_channels": (32, 64, 128, 128), "cross_attention_dim": 32, "attention_head_dim": (1, 2, 4, 4)}
METADATA = [925.8798, 345.2111, 411.4541, 0.0, 308.3333, 166.6667, 354.8387]


def with_random_weights(config: dict[str, Any]) -> SatUNet:
    """Small numbers, so that halves stay finite; torch's own ways to begin take longer than the measurement."""
    with init_empty_weights():
        unet = SatUNet(**config)
    unet.to_empty(device="cpu")
    for weight in unet.state_dict().values():
        weight.uniform_(-0.02, 0.02)
    return unet.eval()


def without_metadata(unet: SatUNet, config: dict[str, Any]) -> UNet2DConditionModel:
    """diffusers' own network on the same weights, not a copy of them."""
    with init_empty_weights():
        bare = UNet2DConditionModel(**config)
    bare.load_state_dict({name: value for name, value in unet.state_dict().items() if not name.startswith("metadata_")}, assign=True)
    return bare.eval()


def bare_loop(unet: UNet2DConditionModel, latents: torch.Tensor, states: torch.Tensor, steps: int) -> torch.Tensor:
    """What one would write without a pipeline."""
    scheduler = DDIMScheduler(clip_sample=False, prediction_type="v_prediction")
    scheduler.set_timesteps(steps, device=latents.device)
    for timestep in scheduler.timesteps:
        output = unet(latents.to(unet.dtype), timestep, encoder_hidden_states=states, return_dict=False)[0]
        latents = scheduler.step(output.float(), timestep, latents, return_dict=False)[0]
    return latents


@torch.no_grad()
def measure(unet: SatUNet, config: dict[str, Any], device: str, steps: int, rounds: int) -> dict[str, list[float]]:
    """Seconds a step of each part, round by round; the first round warms up and is left out."""
    vae = AutoencoderKL(block_out_channels=(32, 32, 32, 32), down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
    pipeline = SatPipeline(vae, None, None, unet, DDIMScheduler(clip_sample=False, prediction_type="v_prediction"))  # type: ignore[arg-type]
    pipeline.set_progress_bar_config(disable=True)
    bare, again = (without_metadata(unet, config) for _ in range(2))
    noise = torch.randn(1, 4, 64, 64, device=device)
    states = torch.randn(1, 77, config["cross_attention_dim"], device=device, dtype=unet.dtype)
    rows = torch.tensor([METADATA], device=device)
    parts: dict[str, list[float]] = {name: [] for name in ("bare network", "bare loop", "network", "pipeline", "metadata", "again")}
    networks = {"bare network": bare, "network": unet, "again": again}
    clocks = {name: Clock(device) for name in parts}
    for name, network in networks.items():
        network.forward = clocks[name].around(network.forward)  # type: ignore[method-assign]
    embed = clocks["metadata"].around(lambda: unet.metadata_embedding(rows, unet.time_proj, unet.dtype))
    loop = clocks["bare loop"].around(lambda: bare_loop(bare, noise, states, steps))
    whole = clocks["pipeline"].around(
        lambda: pipeline(prompt_embeds=states, metadata=METADATA, latents=noise, num_inference_steps=steps, guidance_scale=1.0, output_type="latent")
    )
    runs = [loop, whole, lambda: bare_loop(again, noise, states, steps)]
    for number in range(rounds + 1):
        for one in runs[number % 3 :] + runs[: number % 3]:
            one()
        for _ in range(steps):
            embed()
        for name, clock in clocks.items():
            if number:
                parts[name].append(clock.spent / steps)
            clock.spent = 0.0
    for network in networks.values():
        del network.forward
    return parts


def report(parts: dict[str, list[float]]) -> list[str]:
    """A row of the table."""

    def ratio(one: str, other: str) -> float:
        return min(parts[one]) / min(parts[other])

    def around(loop: str, network: str) -> float:
        return median(a - b for a, b in zip(parts[loop], parts[network], strict=True))

    network, pipeline, chance = ratio("network", "bare network"), ratio("pipeline", "bare loop"), ratio("again", "bare network")
    step = min(parts["bare network"])
    ours, theirs = around("pipeline", "network"), around("bare loop", "bare network")
    row = [
        f"{step:.3f} s",
        f"{100 * (network - 1):+.2f} %",
        f"{100 * (pipeline - 1):+.2f} %",
        f"{100 * (chance - 1):+.2f} %",
        f"{1000 * median(parts['metadata']):.1f} ms = {100 * median(parts['metadata']) / step:.2f} %",
        f"{1000 * ours:.1f} ms ({1000 * theirs:.1f} ms in the loop) = {100 * (ours - theirs) / step:+.2f} %",
    ]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    config, rounds = (QUICK, 3) if args.quick else (FULL, args.rounds)
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    machine, rows = Machine(quick=args.quick), []
    torch.manual_seed(0)
    unet = with_random_weights(config)
    for dtype in args.dtypes:
        unet = unet.to(getattr(torch, dtype))
        for device in devices:
            unet = unet.to(device)
            rows.append([device, dtype, *report(measure(unet, config, device, 1 if device == "cpu" else 20, rounds))])
            print(*rows[-1], sep=", ", file=sys.stderr)
        unet = unet.to("cpu")
    header = [
        "device",
        "dtype",
        "bare network, a step",
        "network with metadata",
        "pipeline over loop",
        "the same again",
        "metadata embedding",
        "around the network",
    ]
    print(table(header, rows))
    print(machine.report(diffusers=diffusers_version, rounds=rounds, bars="network with metadata 2 %, pipeline over loop 5 %"))


if __name__ == "__main__":
    main()
