"""Known cells in the network's output: whatever is known comes out, and nothing else changes."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler

from rsgeo.pipelines.known_cells import inner_cells, replace_known, whole_cells

KINDS = ["epsilon", "v_prediction", "sample"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("timestep", [999, 500, 20])
def test_the_solver_finds_the_known_cells(kind: str, timestep: int) -> None:
    scheduler = DDIMScheduler(prediction_type=kind, clip_sample=False)
    scheduler.set_timesteps(10)
    alpha, sigma = scheduler.alphas_cumprod[timestep] ** 0.5, (1 - scheduler.alphas_cumprod[timestep]) ** 0.5
    output, cells, known = (torch.randn(2, 3, 4, 4, dtype=torch.float64) for _ in range(3))
    mask = torch.rand(2, 1, 4, 4) > 0.5
    replaced = replace_known(output, cells, known, mask, alpha=float(alpha), sigma=float(sigma), prediction_type=kind)
    clean, before = (scheduler.step(one, timestep, cells).pred_original_sample for one in (replaced, output))
    torch.testing.assert_close(clean, torch.where(mask, known, before), rtol=0, atol=1e-5)
    assert torch.equal(replaced.masked_fill(mask, 0), output.masked_fill(mask, 0))


@pytest.mark.parametrize("kind", KINDS)
def test_it_equals_replacing_cells_by_noised_known_ones(kind: str) -> None:
    """Under DDIM, with the noise that the cells began with; the network is any function that looks at all cells."""
    scheduler = DDIMScheduler(prediction_type=kind, clip_sample=False, timestep_spacing="trailing", rescale_betas_zero_snr=kind != "epsilon")
    scheduler.set_timesteps(8)
    levels = {int(t): (float(scheduler.alphas_cumprod[t] ** 0.5), float((1 - scheduler.alphas_cumprod[t]) ** 0.5)) for t in scheduler.timesteps}
    start, known = (torch.randn(1, 3, 6, 6, dtype=torch.float64) for _ in range(2))
    mask = torch.zeros(1, 1, 6, 6, dtype=torch.bool)
    mask[..., :4] = True
    alpha, sigma = levels[int(scheduler.timesteps[0])]
    noise = (start - alpha * known) / sigma

    def network(cells: torch.Tensor) -> torch.Tensor:
        return torch.tanh(cells.roll(1, -1) + 0.5 * cells.mean())

    ours = theirs = start
    for timestep in scheduler.timesteps:
        alpha, sigma = levels[int(timestep)]
        output = replace_known(network(ours), ours, known, mask, alpha=alpha, sigma=sigma, prediction_type=kind)
        ours = scheduler.step(output, timestep, ours).prev_sample
        theirs = torch.where(mask, alpha * known + sigma * noise, theirs)
        theirs = scheduler.step(network(theirs), timestep, theirs).prev_sample
    torch.testing.assert_close(ours.masked_fill(mask, 0), theirs.masked_fill(mask, 0), rtol=0, atol=1e-4)
    torch.testing.assert_close(torch.where(mask, ours, known), known, rtol=0, atol=1e-4)


def test_a_cell_is_known_if_all_its_pixels_are() -> None:
    known = torch.ones(2, 1, 8, 12, dtype=torch.bool)
    known[0, 0, 5, 6] = False
    whole = whole_cells(known, 4)
    assert whole.shape == (2, 1, 2, 3)
    assert (~whole).nonzero().tolist() == [[0, 0, 1, 1]]


def test_another_prediction_type_is_an_error() -> None:
    cells = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ValueError, match="got 'flow_prediction'"):
        replace_known(cells, cells, cells, torch.ones(1, 1, 2, 2, dtype=torch.bool), alpha=0.6, sigma=0.8, prediction_type="flow_prediction")


def test_a_cell_is_inner_if_its_neighbours_are_whole_too() -> None:
    known = torch.ones(2, 1, 12, 16, dtype=torch.bool)
    known[0, 0, 1, 1] = known[1, 0, 11, 15] = False
    inner = inner_cells(known, 4)
    assert inner.shape == (2, 1, 3, 4)
    assert (~inner[0, 0]).nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]] and (~inner[1, 0]).nonzero().tolist() == [
        [1, 2],
        [1, 3],
        [2, 2],
        [2, 3],
    ]
    assert inner_cells(torch.ones(1, 1, 8, 8, dtype=torch.bool), 4).all(), "what lies beyond the edges is taken to be known"
